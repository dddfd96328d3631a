//! The CPU twins: parts of the output side by side.

use rayon::prelude::*;

use super::{Lookup, LookupPacked, LookupSizes, Output};
use crate::Result;
use crate::check;
use crate::device::Kernel;
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
        let fill = |(out, ids): (&mut [T], &[u32])| {
            for (k, (out, &id)) in out.chunks_exact_mut(dims).zip(ids).enumerate() {
                rows.prefetch(ids, k, dims);
                put(rows.row(id), out);
            }
        };
        if out.len() <= HAND_OVER {
            fill((out, ids));
        } else {
            let task = (TASK_ELEMENTS / dims).max(1);
            out.par_chunks_mut(task * dims).zip(ids.par_chunks(task)).for_each(fill);
        }
        Ok(())
    }
}

/// A row into an output that may be shorter, or longer: zeros then.
#[inline(always)]
fn put<V: Codec, T: Output>(row: &[V], out: &mut [T]) {
    let (kept, padding) = out.split_at_mut(row.len().min(out.len()));
    T::convert(&row[..kept.len()], kept);
    padding.fill(T::zeroed());
}

impl LookupSizes<'_> {
    pub(super) fn twin_of<V: Codec>(self, count: usize) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let rows = HostRows::<V>::new(op, "rows", self.rows)?;
        let ids = &self.ids.host(op, "ids")?[..count];
        let (sizes, others) = self.out.host_mut(op, "out")?.split_at_mut(count);
        for (out, &id) in sizes.iter_mut().zip(ids) {
            *out = (rows.row(id).len() as u32).min(self.dims);
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
        let (out, behind) = rest.split_at_mut(end as usize - from);
        put(rows.row(id), out);
        (rest, from) = (behind, end as usize);
    }
}
