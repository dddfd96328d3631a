//! Bags of ragged rows, pooled.
//!
//! For the ids i of bag k, with `row_i[j] = 0` where row i has no dim j (or there is no row i):
//!
//! * sum: `out[k, j] = sum of w_i * row_i[j]`
//! * mean: the sum over the number of ids
//! * max: `out[k, j] = the largest row_i[j]`, and with it the position of the first id that has it
//!
//! An empty bag is 0. The way back is part of the update: [`Gradients::Bags`](super::update::Gradients::Bags).
//!
//! # Numerics
//! Bags add in f32 in the order of their ids, also for f16; the two devices agree within
//! `2 * eps * (sum of |w_i * row_i[j]|)` times the
//! bag's length (the products may be fused; on a GPU the ids of a page come before those of the next). Maxima are equal
//! in every bit, but
//! for NaN, which is whatever the device makes of it, and the sign of a zero where there are several pages.
//!
//! # Cost
//! One dispatch a page; `4 * (sum of min(d_i, D)) + 4 * bags * D` bytes, plus ids, bags and directory (f16: half of
//! what is read or written).
//! Bags of more than about 16,000 ids take further dispatches. Where f16 outputs take more than one on a GPU, they are
//! summed in f32 first,
//! for which `4 * bags * D` bytes are allocated, and rounded by one dispatch more.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::table::bags::{LookupBags, Pooling};
//! use scall_gpu::rows::{Layout, Rows};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut rows = Rows::zeroed(&device, &[2, 0, 3], Layout::default(), Default::default())?;
//! rows.write(&[1.0, 2.0, 3.0, 4.0, 5.0])?;
//! let ids = Buffer::from_slice(&device, &[0, 2, 0])?;
//! let bags = Buffer::from_slice(&device, &[0, 1, 1, 3])?; // row 0; none; rows 2 and 0
//! let mut out = Buffer::<f32>::zeroed(&device, 3 * 3)?;
//! LookupBags {
//!     rows: &rows,
//!     ids: &ids,
//!     bags: &bags,
//!     longest_bag: 2,
//!     weights: None,
//!     pooling: Pooling::Mean,
//!     dims: 3,
//!     out: &mut out,
//!     winners: None,
//! }
//! .run(&device)?;
//! assert_eq!(out.read()?, [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 3.0, 2.5]); // [3, 3]
//! # Ok(()) }
//! ```
//!
//! Source: the embedding bag of recommenders (Naumov et al., "Deep learning recommendation model for personalization
//! and
//! recommendation systems", 2019), on rows of different sizes.

use super::lookup::{Output, lanes_of_fours, whole_words};
use crate::Result;
use crate::check;
use crate::device::{Access, Binding, Buffer, Device, Dispatches, Entry, Gpu, Launch, Shader, params, reads, writes};
use crate::kernels::MAX_TRIPS;
use crate::kernels::count::{Count, Countable};
use crate::rows::{Format, PageLaunch, PageParams, Rows, with_codec};

mod cpu;

pub(crate) static SHADER: Shader = Shader {
    name: "table/bags",
    source: include_str!("../../../shaders/table/bags.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("pooled", &[reads(1), reads(2), reads(3), writes(4), reads(5), reads(6), USED])
            .with_overrides(&["counted", "lanes"]),
        Entry::of("pooled_f16", &[reads(1), reads(2), reads(3), reads(5), reads(6), writes(7), USED])
            .with_overrides(&["counted", "lanes"]),
        Entry::of("largest", &[reads(1), reads(2), reads(3), writes(4), reads(5), USED])
            .with_overrides(&["counted", "lanes"]),
        Entry::of("largest_f16", &[reads(1), reads(2), reads(3), reads(5), writes(7), USED])
            .with_overrides(&["counted", "lanes"]),
        Entry::of("largest_and_winners", &[reads(1), reads(2), reads(3), writes(4), reads(5), writes(8), USED])
            .with_overrides(&["counted", "lanes"]),
        Entry::of("rounded", &[writes(4), writes(7), USED]).with_overrides(&["counted"]),
    ],
};

/// How many of the ids (or bags) are used, where the device alone knows.
const USED: (u32, Access) = reads(9);

params! {
    #[derive(Default)]
    struct Params {
        page: PageParams,
        table_rows: u32,
        used: u32,
        dims: u32,
        weighted: u32,
        mean: u32,
        first: u32,
        last: u32,
        begins: u32,
        ends: u32,
    }
}

/// How the rows of a bag become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// Their (weighted) sum.
    #[default]
    Sum,
    /// The (weighted) sum over the number of ids.
    Mean,
    /// The largest value of each dim; without weights.
    Max,
}

/// Looks up bags of rows. See the [module](self).
#[derive(Debug)]
pub struct LookupBags<'a, T: Output = f32> {
    /// The rows.
    pub rows: &'a Rows,
    /// Row ids, bag after bag.
    pub ids: &'a Buffer<u32>,
    /// `bags + 1` offsets into `ids`, monotone, the last at most its length.
    pub bags: &'a Buffer<u32>,
    /// Ids in the longest bag, or more. A longer bag is an error on the CPU; a GPU, whose bags are not read back,
    /// leaves out
    /// the ids beyond and then does not divide for the mean.
    pub longest_bag: u32,
    /// A factor for each id.
    pub weights: Option<&'a Buffer<f32>>,
    /// Sum, mean or max.
    pub pooling: Pooling,
    /// Output width `D`; even for f16, which a GPU writes in pairs.
    pub dims: u32,
    /// `bags * D` values; every one is written.
    pub out: &'a mut Buffer<T>,
    /// For the max of f32: `bags * D` positions in `ids`, of the first id with the largest value. `u32::MAX` where that
    /// value is the 0 of
    /// a row without the dim, and for an empty bag.
    pub winners: Option<&'a mut Buffer<u32>>,
}

impl<T: Output> LookupBags<'_, T> {
    /// Ids of a bag that one dispatch takes.
    fn window(&self) -> u32 {
        MAX_TRIPS / self.dims.div_ceil(4 * self.lanes()).max(1)
    }

    /// Threads that share a bag.
    fn lanes(&self) -> u32 {
        lanes_of_fours(self.dims / T::PER_WORD)
    }

    fn entry(&self) -> &'static str {
        match (self.pooling, T::PER_WORD > 1, &self.winners) {
            (Pooling::Max, true, _) => "largest_f16",
            (Pooling::Max, false, Some(_)) => "largest_and_winners",
            (Pooling::Max, false, None) => "largest",
            (_, true, _) => "pooled_f16",
            (_, false, _) => "pooled",
        }
    }
}

impl<T: Output> Countable for LookupBags<'_, T> {
    const OP: &'static str = "table/bags";

    fn check_arguments(&self) -> Result<()> {
        let op = Self::OP;
        check::indexable(op, "ids", self.ids.len() as u64)?;
        check::dims(op, self.dims)?;
        whole_words::<T>(op, self.dims)?;
        let bags = check::rows(op, "bags", self.bags.len())?;
        if let Some(weights) = self.weights {
            check::domain(op, "weights", "some", self.pooling != Pooling::Max, "none for the max")?;
            check::len(op, "weights", weights.len(), self.ids.len() as u64)?;
        }
        check::matrix(op, "out", self.out.len(), bags.into(), self.dims)?;
        if let Some(winners) = &self.winners {
            let known = self.pooling == Pooling::Max && T::PER_WORD == 1;
            check::domain(op, "winners", "some", known, "none but for the max of f32")?;
            check::matrix(op, "winners", winners.len(), bags.into(), self.dims)?;
        }
        Ok(())
    }

    fn room(&self) -> u32 {
        self.bags.len() as u32 - 1
    }

    fn dispatch_first(self, gpu: &Gpu, list: &mut Dispatches, count: Count<'_>) -> Result<()> {
        let lanes = self.lanes();
        let (window, entry, longest) = (self.window(), self.entry(), self.longest_bag.max(1));
        let pages = self.rows.pages();
        let windows = longest.div_ceil(window);
        if T::PER_WORD > 1 && (windows > 1 || pages.len() > 1) {
            return self.dispatch_in_f32(gpu, list, count);
        }
        let launches = (0..windows).flat_map(|number| pages.iter().enumerate().map(move |page| (number, page)));
        for (number, (index, page)) in launches {
            let [arena, directory] = page.bindings();
            let table = [arena, directory, self.ids.binding("ids")];
            let (out, bags_binding) = (self.out.binding("out"), self.bags.binding("bags"));
            let weights = match self.weights {
                Some(weights) => weights.binding("weights"),
                // Unread when there are none.
                None => page.values.binding("rows"),
            };
            let rest: Vec<Binding<'_>> = match (entry, &self.winners) {
                ("pooled", _) => vec![out, bags_binding, weights],
                ("pooled_f16", _) => vec![bags_binding, weights, out],
                ("largest_f16", _) => vec![bags_binding, out],
                (_, Some(winners)) => vec![out, bags_binding, winners.binding("winners")],
                _ => vec![out, bags_binding],
            };
            let first = number * window;
            let last_page = index + 1 == pages.len();
            let launch = PageLaunch {
                shader: &SHADER,
                entry,
                constants: vec![("lanes", f64::from(lanes)), count.counted()],
                params: Params {
                    page: page.params(),
                    table_rows: self.rows.len(),
                    used: count.at_most(),
                    dims: self.dims,
                    weighted: u32::from(self.weights.is_some()),
                    mean: u32::from(self.pooling == Pooling::Mean),
                    first,
                    last: first.saturating_add(window),
                    begins: u32::from(number == 0 && index == 0),
                    ends: u32::from(number + 1 == windows && last_page),
                }
                .words(),
                bindings: table.into_iter().chain(rest).chain([count.binding(bags_binding)]).collect(),
                groups: u64::from(count.at_most()).div_ceil(u64::from(256 / lanes)),
            };
            page.launch(gpu, list, launch)?;
        }
        Ok(())
    }

    fn twin_first(self, count: u32) -> Result<()> {
        with_codec!(self.rows.layout().format, V => self.twin_of::<V>(count as usize))
    }
}

impl<T: Output> LookupBags<'_, T> {
    /// Parts of a sum that pass through f16 would lose what it cannot hold.
    fn dispatch_in_f32(self, gpu: &Gpu, list: &mut Dispatches, count: Count<'_>) -> Result<()> {
        let Self { rows, ids, bags, longest_bag, weights, pooling, dims, out, winners: _ } = self;
        let mut sums = Buffer::<f32>::zeroed(&Device::Gpu(gpu.clone()), out.len())?;
        let (out_f32, winners) = (&mut sums, None);
        LookupBags { rows, ids, bags, longest_bag, weights, pooling, dims, out: out_f32, winners }
            .dispatch_first(gpu, list, count)?;
        Launch {
            shader: &SHADER,
            entry: "rounded",
            // It reads no row, but its shader has a table.
            codecs: &[Format::F32.source()],
            constants: &[count.counted()],
            params: Params { used: count.at_most(), dims, ..Params::default() }.words(),
            bindings: &[sums.binding("out"), out.binding("out"), count.binding(bags.binding("bags"))],
            groups: (u64::from(count.at_most()) * u64::from(dims / 2)).div_ceil(256),
        }
        .record(gpu, list)
    }
}

#[cfg(test)]
mod tests;
