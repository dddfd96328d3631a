//! Integer sizes from weights: the sum is exact, every size within bounds, and larger weights never get less.
//!
//! ```text
//! y_k     = clamp(lambda * q_k, d_min, d_max)     lambda as large as sum y_k <= b allows
//! sizes_k = floor(y_k) + one more for the r largest fractions, ties to the lower rank
//! sum     = min(b, n * d_max)
//! ```
//! where `q_k` are the weights as integers: all are shifted so that the largest has 32 bits. Weights below 2^-32 of the
//! largest count as that much. So a row of weight zero gets dims too when the others are full, and weights that are all
//! zero count as equal.
//!
//! # Why it is exact
//! `L = lambda * 2^64` is the largest integer in `[0, d_max * 2^64]` with `S(L) <= b * 2^64`, where `S` sums the
//! clamped `L * q_k`. Because the weights fall, the rows at `d_max` are a prefix and those at `d_min` a suffix, found
//! by binary search; the rows between sum to `L` times a difference of prefix sums. Each has
//! `L * q_k < d_max * 2^64 < 2^80`, and there are below 2^32 of them, so that product stays below 2^112.
//!
//! The remainder has room. Let `u` be the number of rows strictly between the bounds. Unless all rows are at `d_max`,
//! `b * 2^64 - S(L) < S(L+1) - S(L) <= sum q_k < 2^64`, because `n < 2^32` and `q_k < 2^32`. So
//! `r = (b * 2^64 - S(L)) / 2^64 + sum of fractions < 1 + u`, hence `r <= u`. The rows at a bound have key 0 and get
//! nothing, and a row between the bounds is below `d_max` before it gets one more.
//!
//! The sizes do not rise. Take ranks `i < j`, hence `y_i >= y_j`. If the floors differ, one more for `j` makes them
//! equal at most. If the floors are equal and `i` is at a bound, then `j` is at `d_min` too and gets nothing (a floor
//! of `d_max` belongs to rows at `d_max` only). Otherwise `i` has the larger key, or the same key and the lower rank,
//! and is served first.
//!
//! # Numerics
//! Integers only: every device gives the same bits. The fractions are compared by their upper 32 bits.
//!
//! Weights must be finite and not negative, and must not rise. The CPU checks that. The GPU takes the absolute value of
//! what it finds, and no more than the first weight; if weights rise, the sizes are the same in every run, but their
//! sum may miss the target.
//!
//! # Cost
//! 7 dispatches and a [sort](mod@crate::kernels::prim::sort) of `n` fractions. The search is one invocation with
//! `160 * log2(n)` steps. The CPU selects instead of sorting.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::sizing::apportion::{Allotment, Apportion};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut sizes = Buffer::zeroed(&device, 4)?;
//! Apportion {
//!     weights: &Buffer::from_slice(&device, &[0.5, 0.3, 0.2, 0.0])?,
//!     first: 0,
//!     allotment: Allotment { total: 10, d_min: 1, d_max: 4 },
//!     sizes: &mut sizes,
//!     workspace: &mut Buffer::zeroed(&device, Apportion::workspace_len(4))?,
//! }
//! .run(&device)?;
//! assert_eq!(sizes.read()?, [4, 3, 2, 1]); // lambda is 10, the first and the last are at their bounds
//! # Ok(()) }
//! ```

use crate::check;
use crate::device::{Access, Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::prim::scan::Region;
use crate::kernels::prim::sort::{Keys, Sort, Sorting};
use crate::{Error, Result};

pub use cpu::{Allotment, apportion};

mod cpu;

const ROWS: &[(u32, Access)] = &[reads(1), writes(2)];
const SCRATCH: &[(u32, Access)] = &[writes(2)];

pub(crate) static SHADER: Shader = Shader {
    name: "sizing/apportion",
    source: include_str!("../../../shaders/sizing/apportion.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("tile_sums", ROWS),
        Entry::of("carries", SCRATCH),
        Entry::of("prefixes", ROWS),
        Entry::of("solve", ROWS).with_threads(1),
        Entry::of("floors", &[reads(1), writes(2), writes(3)]),
        Entry::of("remainder", SCRATCH),
        Entry::of("round_up", &[writes(2), writes(3)]),
    ],
};

params! {
    struct Params {
        count: u32,
        first: u32,
        total: u32,
        d_min: u32,
        d_max: u32,
        tiles: u32,
    }
}

/// Rows of a workgroup, and the words of the workspace that come before those of the tiles.
const TILE: u32 = 256 * 16;
const HEADER: u32 = 4;

/// Apportions a budget. See the [module](self).
#[derive(Debug)]
pub struct Apportion<'a> {
    /// Weights that do not rise, such as rows of [`Sample`](super::sample::Sample).
    pub weights: &'a Buffer<f32>,
    /// Where the `n` weights to use begin.
    pub first: u32,
    /// What to give out, and the bounds of each size.
    pub allotment: Allotment,
    /// `n` sizes; every one is written.
    pub sizes: &'a mut Buffer<u32>,
    /// At least [`Apportion::workspace_len`] words; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<u32>,
}

impl Apportion<'_> {
    /// Words of workspace that `count` sizes need.
    pub fn workspace_len(count: u32) -> usize {
        let tiles = count.div_ceil(TILE) as usize;
        HEADER as usize + 2 * tiles + 2 * count as usize + Sort::workspace_len(count)
    }
}

impl Kernel for Apportion<'_> {
    const NAME: &'static str = "sizing/apportion";

    fn check(&self) -> Result<()> {
        check::indexable(Self::NAME, "sizes", self.sizes.len() as u64)?;
        let end = u64::from(self.first) + self.sizes.len() as u64;
        check::indexable(Self::NAME, "weights", end)?;
        check::at_least(Self::NAME, "weights", self.weights.len(), end)?;
        self.allotment.check(self.sizes.len() as u64)?;
        let needed = if self.sizes.as_wgpu().is_some() { Self::workspace_len(self.sizes.len() as u32) } else { 0 };
        check::workspace(Self::NAME, self.workspace.len(), needed as u64)
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let count = self.sizes.len() as u32;
        if count == 0 {
            return Ok(());
        }
        let tiles = count.div_ceil(TILE);
        let params = Params {
            count,
            first: self.first,
            total: self.allotment.target(count.into()),
            d_min: self.allotment.d_min,
            d_max: self.allotment.d_max,
            tiles,
        };
        let launch = |list: &mut Dispatches, entry, groups: u32| {
            let bindings = SHADER.entry(entry).bindings.iter().map(|(binding, _)| match binding {
                1 => self.weights.binding("weights"),
                2 => self.workspace.binding("workspace"),
                _ => self.sizes.binding("sizes"),
            });
            Launch {
                shader: &SHADER,
                entry,
                codecs: &[],
                constants: &[],
                params: params.words(),
                bindings: &bindings.collect::<Vec<_>>(),
                groups: groups.into(),
            }
            .record(gpu, list)
        };
        launch(list, "tile_sums", tiles)?;
        launch(list, "carries", 1)?;
        launch(list, "prefixes", tiles)?;
        launch(list, "solve", 1)?;
        launch(list, "floors", tiles)?;
        launch(list, "remainder", 1)?;
        let part = |base| Region::new("workspace", &*self.workspace).at(base);
        let keys = HEADER + 2 * tiles;
        let home = [part(keys), part(keys + count)];
        let space = part(keys + 2 * count);
        Sorting { keys: Keys::new(count, 32), home, space }.record_in_place(gpu, list)?;
        launch(list, "round_up", count.div_ceil(256))
    }

    fn twin(self) -> Result<()> {
        let sizes = self.sizes.host_mut(Self::NAME, "sizes")?;
        let first = self.first as usize;
        let weights = &self.weights.host(Self::NAME, "weights")?[first..first + sizes.len()];
        apportion(weights, self.allotment, sizes)
    }
}

fn infeasible(entities: u64, min: u64, budget: u64) -> Error {
    Error::Infeasible { entities, min, budget, unit: "parameters" }
}

#[cfg(test)]
mod tests;
