//! Ragged lookup: rows of different sizes into a dense output.
//!
//! Single ids: `out[b, j] = arena[offsets[id_b] + j]` for `j < d`, else 0, where `d` is the size of row `id_b`.
//! Bags: `out[k, j] = sum over the ids i of bag k of w_i * row_i[j]`, divided by the number of ids for the mean.
//! An id past the table is an empty row, on both devices.
//!
//! # Numerics
//! Single ids are copied bit for bit. Bags add in the order of their ids; the two devices agree within
//! `2 * eps * (sum of |w_i * row_i[j]|)` times the bag's length (the products may be fused).
//!
//! # Cost
//! One dispatch; `4 * (sum of min(d, D)) + 4 * B * D` bytes, plus ids and offsets. Bags of more than about 16,000 ids
//! take further dispatches.

use half::f16;
use rayon::prelude::*;

use crate::Result;
use crate::device::{Access, Buffer, Element, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::{MAX_TRIPS, TASK_ELEMENTS, check};

pub(crate) static SHADER: Shader = Shader {
    name: "table/lookup",
    source: include_str!("../../../shaders/table/lookup.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry {
            name: "rows",
            workgroup: 256,
            bindings: &[(1, Access::Read), (2, Access::Read), (3, Access::Read), (4, Access::Write)],
        },
        Entry {
            name: "rows_f16",
            workgroup: 256,
            bindings: &[(1, Access::Read), (2, Access::Read), (3, Access::Read), (7, Access::Write)],
        },
        Entry {
            name: "pooled",
            workgroup: 256,
            bindings: &[
                (1, Access::Read),
                (2, Access::Read),
                (3, Access::Read),
                (4, Access::Write),
                (5, Access::Read),
                (6, Access::Read),
            ],
        },
    ],
};

params! {
    struct Params {
        rows: u32,
        count: u32,
        dims: u32,
        weighted: u32,
        mean: u32,
        first: u32,
        last: u32,
    }
}

/// Lanes that share a row of `dims` values: enough for neighbouring loads, few enough that short rows waste none, and
/// for very wide rows so many that a lane visits at most 256 values.
pub(crate) fn lanes(dims: u32) -> u32 {
    let wide = (dims / 256).next_power_of_two();
    dims.next_power_of_two().clamp(1, 32).max(wide)
}

/// What a lookup may write: `f32`, or `f16` for a model in half precision.
///
/// Values beyond the range of f16 become its largest; NaN is whatever the device makes of it. The CPU rounds to the nearest, ties to even; a GPU may round either
/// way, so f16 outputs agree within one unit in the last place (`2^-10` of the value).
pub trait Output: Element + sealed::Sealed {
    /// The shader's entry point, which writes words of so many elements.
    #[doc(hidden)]
    const ENTRY: (&'static str, u32);

    #[doc(hidden)]
    fn convert(from: &[f32], to: &mut [Self]);
}

impl Output for f32 {
    const ENTRY: (&'static str, u32) = ("rows", 1);

    #[inline(always)]
    fn convert(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}

impl Output for f16 {
    const ENTRY: (&'static str, u32) = ("rows_f16", 2);

    #[inline(always)]
    fn convert(from: &[f32], to: &mut [Self]) {
        for (half, value) in to.iter_mut().zip(from) {
            *half = f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
}

/// Looks up single rows. See the [module](self).
#[derive(Debug)]
pub struct Lookup<'a, T: Output = f32> {
    /// Values of all rows, one after another.
    pub arena: &'a Buffer<f32>,
    /// `rows + 1` element offsets into the arena.
    pub offsets: &'a Buffer<u32>,
    /// `B` row ids.
    pub ids: &'a Buffer<u32>,
    /// Output width `D`; even for f16, which a GPU writes in pairs.
    pub dims: u32,
    /// `B * D` values; every one is written.
    pub out: &'a mut Buffer<T>,
}

impl<T: Output> Kernel for Lookup<'_, T> {
    const NAME: &'static str = "table/lookup";

    fn check(&self) -> Result<()> {
        check::rows(Self::NAME, "offsets", self.offsets.len())?;
        check::indexable(Self::NAME, "ids", self.ids.len() as u64)?;
        check::dims(Self::NAME, self.dims)?;
        let whole_words = self.dims.is_multiple_of(T::ENTRY.1);
        check::domain(Self::NAME, "dims", self.dims, whole_words, "even")?;
        let expected = self.ids.len() as u64 * u64::from(self.dims);
        check::indexable(Self::NAME, "out", expected)?;
        check::len(Self::NAME, "out", self.out.len(), expected)
    }

    fn dispatch(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let (entry, per_word) = T::ENTRY;
        let (dims, count) = (self.dims, self.ids.len() as u32);
        let lanes = lanes(dims / per_word);
        let rows = self.offsets.len() as u32 - 1;
        Launch {
            shader: &SHADER,
            entry,
            constants: &[("lanes", f64::from(lanes))],
            params: Params { rows, count, dims, weighted: 0, mean: 0, first: 0, last: 0 }.words(),
            bindings: &[
                self.arena.binding("arena"),
                self.offsets.binding("offsets"),
                self.ids.binding("ids"),
                self.out.binding("out"),
            ],
            groups: u64::from(count).div_ceil(u64::from(256 / lanes)),
        }
        .record(gpu, pass)
    }

    fn twin(self) -> Result<()> {
        let arena = self.arena.host(Self::NAME, "arena")?;
        let offsets = self.offsets.host(Self::NAME, "offsets")?;
        let ids = self.ids.host(Self::NAME, "ids")?;
        let out = self.out.host_mut(Self::NAME, "out")?;
        lookup(arena, offsets, ids, self.dims as usize, out);
        Ok(())
    }
}

/// The row's values. An id past the table is an empty row, and so is one whose offsets do not lie in the arena.
#[inline(always)]
pub(crate) fn row<'a>(arena: &'a [f32], offsets: &[u32], id: u32) -> &'a [f32] {
    match offsets.get(id as usize..id as usize + 2) {
        Some(range) => arena.get(range[0] as usize..range[1] as usize).unwrap_or(&[]),
        None => &[],
    }
}

/// The CPU twin of [`Lookup`] on slices.
pub(crate) fn lookup<T: Output>(arena: &[f32], offsets: &[u32], ids: &[u32], dims: usize, out: &mut [T]) {
    if dims == 0 {
        return;
    }
    let task = (TASK_ELEMENTS / dims).max(1);
    out.par_chunks_mut(task * dims).zip(ids.par_chunks(task)).for_each(|(out, ids)| {
        for (out, &id) in out.chunks_exact_mut(dims).zip(ids) {
            let row = row(arena, offsets, id);
            let (kept, padding) = out.split_at_mut(row.len().min(dims));
            T::convert(&row[..kept.len()], kept);
            padding.fill(T::zeroed());
        }
    });
}

/// How the rows of a bag become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// Their (weighted) sum.
    #[default]
    Sum,
    /// The (weighted) sum over the number of ids.
    Mean,
}

/// Looks up bags of rows. See the [module](self).
#[derive(Debug)]
pub struct LookupBags<'a> {
    /// Values of all rows, one after another.
    pub arena: &'a Buffer<f32>,
    /// `rows + 1` element offsets into the arena.
    pub offsets: &'a Buffer<u32>,
    /// Row ids, bag after bag.
    pub ids: &'a Buffer<u32>,
    /// `bags + 1` offsets into `ids`, monotone, the last at most its length.
    pub bags: &'a Buffer<u32>,
    /// Ids in the longest bag, or more. A longer bag is an error on the CPU; a GPU, whose bags are not read back, leaves out
    /// the ids beyond and then does not divide for the mean.
    pub longest_bag: u32,
    /// A factor for each id.
    pub weights: Option<&'a Buffer<f32>>,
    /// Sum or mean.
    pub pooling: Pooling,
    /// Output width `D`.
    pub dims: u32,
    /// `bags * D` values; every one is written.
    pub out: &'a mut Buffer<f32>,
}

impl Kernel for LookupBags<'_> {
    const NAME: &'static str = "table/lookup";

    fn check(&self) -> Result<()> {
        check::rows(Self::NAME, "offsets", self.offsets.len())?;
        check::indexable(Self::NAME, "ids", self.ids.len() as u64)?;
        check::dims(Self::NAME, self.dims)?;
        let bags = check::rows(Self::NAME, "bags", self.bags.len())?;
        if let Some(weights) = self.weights {
            check::len(Self::NAME, "weights", weights.len(), self.ids.len() as u64)?;
        }
        let expected = u64::from(bags) * u64::from(self.dims);
        check::indexable(Self::NAME, "out", expected)?;
        check::len(Self::NAME, "out", self.out.len(), expected)
    }

    fn dispatch(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let lanes = lanes(self.dims);
        let bags = self.bags.len() as u32 - 1;
        let window = MAX_TRIPS / self.dims.div_ceil(lanes).max(1);
        for first in (0..self.longest_bag.max(1)).step_by(window as usize) {
            Launch {
                shader: &SHADER,
                entry: "pooled",
                constants: &[("lanes", f64::from(lanes))],
                params: Params {
                    rows: self.offsets.len() as u32 - 1,
                    count: bags,
                    dims: self.dims,
                    weighted: u32::from(self.weights.is_some()),
                    mean: u32::from(self.pooling == Pooling::Mean),
                    first,
                    last: first.saturating_add(window),
                }
                .words(),
                bindings: &[
                    self.arena.binding("arena"),
                    self.offsets.binding("offsets"),
                    self.ids.binding("ids"),
                    self.out.binding("out"),
                    self.bags.binding("bags"),
                    // Unread when there are no weights; the arena has the right type.
                    self.weights.unwrap_or(self.arena).binding("weights"),
                ],
                groups: u64::from(bags).div_ceil(u64::from(256 / lanes)),
            }
            .record(gpu, pass)?;
        }
        Ok(())
    }

    fn twin(self) -> Result<()> {
        let arena = self.arena.host(Self::NAME, "arena")?;
        let offsets = self.offsets.host(Self::NAME, "offsets")?;
        let ids = self.ids.host(Self::NAME, "ids")?;
        let bags = self.bags.host(Self::NAME, "bags")?;
        let weights = self.weights.map(|w| w.host(Self::NAME, "weights")).transpose()?;
        let out = self.out.host_mut(Self::NAME, "out")?;
        let dims = self.dims as usize;
        if dims == 0 {
            return Ok(());
        }
        check::offsets(Self::NAME, "bags", bags, ids.len())?;
        let longest = bags.windows(2).map(|bag| bag[1] - bag[0]).max().unwrap_or(0);
        let known = longest <= self.longest_bag;
        check::domain(Self::NAME, "longest_bag", self.longest_bag, known, &format!("at least {longest}"))?;
        let task = (TASK_ELEMENTS / dims).max(1);
        out.par_chunks_mut(task * dims).enumerate().for_each(|(chunk, out)| {
            for (k, out) in out.chunks_exact_mut(dims).enumerate() {
                let bag = bags[chunk * task + k] as usize..bags[chunk * task + k + 1] as usize;
                out.fill(0.0);
                for i in bag.clone() {
                    let weight = weights.map_or(1.0, |w| w[i]);
                    for (sum, value) in out.iter_mut().zip(row(arena, offsets, ids[i])) {
                        *sum += weight * value;
                    }
                }
                if self.pooling == Pooling::Mean && !bag.is_empty() {
                    out.iter_mut().for_each(|sum| *sum /= bag.len() as f32);
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
