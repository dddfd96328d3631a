//! The GPU's steps along the gradients of occurrences that are sorted by row.

use super::{LONG_LANES, Params, SHADER, TILE, chunk, lanes_of};
use crate::Result;
use crate::device::{Binding, Buffer, Dispatches, Gpu};
use crate::kernels::table::optimizer::Constants;
use crate::rows::{PageLaunch, Rows};

/// One of two tables whose occurrences were sorted together, ahead: see [`rank::plan`](crate::kernels::rank::plan).
pub(in crate::kernels) struct SortedSide<'a> {
    pub rows: &'a Rows,
    pub stepping: Constants,
    /// Occurrences of both tables.
    pub count: u32,
    /// Of this table's gradients.
    pub dims: u32,
    /// The first occurrence that is this table's, and the key of its first row.
    pub first: u32,
    pub first_key: u32,
    pub gradients: &'a Buffer<f32>,
    /// Where keys, occurrences and partial sums stand in a buffer.
    pub order: &'a Buffer<u32>,
    pub keys: u32,
    pub occurrences: u32,
    pub partials: u32,
    /// A counter and its word that counts.
    pub counter: Option<(&'a Buffer<u32>, u32)>,
}

impl SortedSide<'_> {
    pub fn record(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let Self { rows, stepping, count, dims, first, first_key, gradients, order, .. } = self;
        let params = Params {
            page: rows.pages()[0].params(),
            table_rows: rows.len(),
            count,
            used: count,
            dims,
            first,
            first_key,
            keys: self.keys,
            occurrences: self.occurrences,
            partials: self.partials,
            sources: 0,
            weighted: 0,
            mean: 0,
            counter_at: self.counter.map_or(0, |(_, word)| word),
            step: stepping.params(),
        };
        let gradients = gradients.binding("gradients");
        let counter = self.counter.map(|(counter, _)| counter.binding("counter"));
        // No bag has a winner here: the gradients are bound in their place, and not read there.
        let (space, winners) = (order.binding("order"), gradients);
        SortedRuns { rows, stepping, params, source: 0.0, gradients, space, winners, counter }.record(gpu, list)
    }
}

/// Sorted occurrences of a table's rows, two dispatches a page: short runs together with the partial sums of long ones,
/// then long runs.
pub(super) struct SortedRuns<'a> {
    pub rows: &'a Rows,
    pub stepping: Constants,
    /// But for the page.
    pub params: Params,
    /// The shader's number for what gradients are.
    pub source: f64,
    pub gradients: Binding<'a>,
    pub space: Binding<'a>,
    pub winners: Binding<'a>,
    pub counter: Option<Binding<'a>>,
}

impl SortedRuns<'_> {
    pub fn record(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let Self { rows, stepping, params, source, gradients, space, winners, counter } = self;
        let (count, dims) = (params.count, params.dims);
        let (lanes, chunk) = (lanes_of(rows, dims), chunk(count, dims));
        // Untouched where there is none.
        let counting = counter.unwrap_or_else(|| space.shared());
        let [short, long] =
            if stepping.by_row() { ["short_runs_by_row", "long_runs_by_row"] } else { ["short_runs", "long_runs"] };
        let windows = count.div_ceil(chunk);
        for page in rows.pages() {
            let mut launch = |entry, lanes: u32, bindings: Vec<Binding<'_>>, groups: u32| {
                let own = [("lanes", f64::from(lanes)), ("chunk", f64::from(chunk)), ("source", source)];
                let constants = stepping.overrides(own, counter.is_some());
                let (shader, groups) = (&SHADER, groups.into());
                let params = Params { page: page.params(), ..params }.words();
                page.launch(gpu, list, PageLaunch { shader, entry, constants, params, bindings, groups })
            };
            let rows = || {
                let state = [0, 1].map(|number| page.state_binding(number));
                page.bindings().into_iter().chain(state)
            };
            let bindings = rows().chain([gradients, space, winners, counting]).collect();
            launch(short, lanes, bindings, count.div_ceil(TILE) + windows.div_ceil(256 / lanes))?;
            let bindings = rows().chain([space, counting]).collect();
            launch(long, LONG_LANES, bindings, windows.div_ceil(256 / LONG_LANES))?;
        }
        Ok(())
    }
}
