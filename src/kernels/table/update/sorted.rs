//! The GPU's steps along the gradients of occurrences that are sorted by row.

use super::{LONG_LANES, Params, SHADER, TILE, chunk, lanes_of};
use crate::Result;
use crate::device::{Binding, Dispatches, Gpu};
use crate::kernels::table::optimizer::Constants;
use crate::rows::{PageLaunch, Rows};

/// Sorted occurrences of a table's rows, two dispatches a page: short runs together with the partial sums of long ones,
/// then long runs.
pub(in crate::kernels) struct SortedRuns<'a> {
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
