//! The CPU twins: parts of the output side by side.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Lookup, LookupPacked, LookupSizes, Output};
use crate::Result;
use crate::check;
use crate::device::Kernel;
use crate::kernels::vectors::first;
use crate::kernels::{HAND_OVER, TASK_ELEMENTS};
use crate::rows::{Codec, HostRows};

impl<T: Output> Lookup<'_, T> {
    pub(super) fn twin_of<V: Codec>(self, count: usize) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let rows = HostRows::<V>::new(op, "rows", self.rows)?;
        let ids = &self.ids.host(op, "ids")?[..count];
        let dims = self.dims as usize;
        let out = &mut self.out.host_mut(op, "out")?[..count * dims];
        if dims == 0 {
            return Ok(());
        }
        let arch = Arch::new();
        let fill = |(out, ids): (&mut [T], &[u32])| arch.dispatch(Padded { rows: &rows, ids, dims, out });
        if out.len() <= HAND_OVER {
            fill((out, ids));
        } else {
            let task = (TASK_ELEMENTS / dims).max(1);
            out.par_chunks_mut(task * dims).zip(ids.par_chunks(task)).for_each(fill);
        }
        Ok(())
    }
}

/// Rows to pad to some dims, in loops compiled for the vectors that there are.
struct Padded<'a, 'b, V, T> {
    rows: &'b HostRows<'a, V>,
    ids: &'b [u32],
    dims: usize,
    out: &'b mut [T],
}

/// Dims up to which a row and what is behind it are read whole. Beyond, lines of memory would be read in vain.
const MOST_WHOLE: usize = 64;

impl<V: Codec, T: Output> WithSimd for Padded<'_, '_, V, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, ids, dims, out } = self;
        let in_vectors = dims.is_multiple_of(S::F32_LANES) && dims <= MOST_WHOLE;
        for (k, (out, &id)) in out.chunks_exact_mut(dims).zip(ids).enumerate() {
            rows.prefetch(ids, k, dims);
            let (values, len) = rows.row(id);
            if !in_vectors || !put_whole(simd, (values, len), out) {
                put((values, len), out);
            }
        }
    }
}

/// The first `len` values into an output of whole vectors, which is zero behind them: no branch depends on the length.
/// Nothing is written, and the answer is false, where there are too few values or one of the two is not of f32.
#[inline(always)]
fn put_whole<S: Simd, V: Codec, T: Output>(simd: S, (values, len): (&[V], usize), out: &mut [T]) -> bool {
    let values = V::as_f32(values).and_then(|values| values.get(..out.len()));
    let (Some(values), Some(out)) = (values, T::as_f32_mut(out)) else { return false };
    for (n, (to, from)) in S::as_mut_simd_f32s(out).0.iter_mut().zip(S::as_simd_f32s(values).0).enumerate() {
        let within = first(simd, len.saturating_sub(n * S::F32_LANES));
        *to = simd.select_f32s(within, *from, simd.splat_f32s(0.0));
    }
    true
}

/// A row of the first `len` values into an output that may be shorter, or longer: zeros then.
#[inline(always)]
fn put<V: Codec, T: Output>((values, len): (&[V], usize), out: &mut [T]) {
    let (kept, padding) = out.split_at_mut(len.min(out.len()));
    T::convert(values, kept);
    padding.fill(T::zeroed());
}

impl LookupSizes<'_> {
    pub(super) fn twin_of<V: Codec>(self, count: usize) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let rows = HostRows::<V>::new(op, "rows", self.rows)?;
        let ids = &self.ids.host(op, "ids")?[..count];
        let (sizes, others) = self.out.host_mut(op, "out")?.split_at_mut(count);
        for (out, &id) in sizes.iter_mut().zip(ids) {
            *out = (rows.row(id).1 as u32).min(self.dims);
        }
        others.fill(0);
        Ok(())
    }
}

impl<T: Output> LookupPacked<'_, T> {
    pub(super) fn twin_of<V: Codec>(self, count: usize) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let rows = HostRows::<V>::new(op, "rows", self.rows)?;
        let ids = &self.ids.host(op, "ids")?[..count];
        let out_offsets = &self.out_offsets.host(op, "out_offsets")?[..=count];
        let out = self.out.host_mut(op, "out")?;
        check::offsets(op, "out_offsets", out_offsets, out.len())?;
        let widest = out_offsets.windows(2).map(|stretch| stretch[1] - stretch[0]).max().unwrap_or(0);
        let known = widest <= self.widest;
        check::domain(op, "widest", self.widest, known, &format!("at least {widest}"))?;
        let (begin, end) = (out_offsets[0] as usize, out_offsets[ids.len()] as usize);
        let small = end - begin <= HAND_OVER;
        let task = if small { ids.len() } else { (TASK_ELEMENTS / self.widest.max(1) as usize).max(1) };
        pack(&rows, Packed { ids, ends: &out_offsets[1..], begin, task }, &mut out[begin..end]);
        Ok(())
    }
}

/// Rows to pack next to each other from element `begin` on, and where each ends.
struct Packed<'a> {
    ids: &'a [u32],
    ends: &'a [u32],
    begin: usize,
    /// Rows that one thread takes.
    task: usize,
}

/// Values that are copied at once: most rows then take one copy of a known length.
const BLOCK: usize = 32;

/// Halves until a thread's part is left: stretches differ in length, so no chunks of one length would do.
fn pack<V: Codec, T: Output>(rows: &HostRows<'_, V>, packed: Packed<'_>, out: &mut [T]) {
    let Packed { ids, ends, begin, task } = packed;
    if ids.len() > task {
        let (ids, right_ids) = ids.split_at(ids.len() / 2);
        let (ends, right_ends) = ends.split_at(ids.len());
        let middle = ends[ids.len() - 1] as usize;
        let (out, right_out) = out.split_at_mut(middle - begin);
        rayon::join(
            || pack(rows, Packed { ids, ends, begin, task }, out),
            || pack(rows, Packed { ids: right_ids, ends: right_ends, begin: middle, task }, right_out),
        );
        return;
    }
    let mut rest = out;
    let mut from = begin;
    for (k, (&id, &end)) in ids.iter().zip(ends).enumerate() {
        rows.prefetch(ids, k, usize::MAX >> 1);
        let (values, len) = rows.row(id);
        let width = end as usize - from;
        let kept = len.min(width);
        // What a block writes past the row is written again by the next row.
        match (V::as_f32(values).and_then(|row| row.first_chunk::<BLOCK>()), T::as_f32_mut(rest)) {
            (Some(row), Some(out)) if kept <= BLOCK && out.len() >= BLOCK => {
                out[..BLOCK].copy_from_slice(row);
                rest[kept..width].fill(T::zeroed());
            }
            _ => put((values, len), &mut rest[..width]),
        }
        (rest, from) = (&mut rest[width..], end as usize);
    }
}
