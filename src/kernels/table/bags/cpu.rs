//! The CPU twin: bags side by side, their rows found ahead and summed in registers.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{LookupBags, Pooling};
use crate::Result;
use crate::check;
use crate::device::Kernel;
use crate::kernels::row_sums::Ahead;
use crate::kernels::table::lookup::Output;
use crate::kernels::{HAND_OVER, TASK_ELEMENTS};
use crate::rows::{Codec, Format, HostRows};

impl<T: Output> LookupBags<'_, T> {
    pub(super) fn twin_of<V: Codec>(self, count: usize) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let table = Bags {
            rows: HostRows::<V>::new(op, "rows", self.rows)?,
            ids: self.ids.host(op, "ids")?,
            bags: &self.bags.host(op, "bags")?[..=count],
            weights: self.weights.map(|w| w.host(op, "weights")).transpose()?,
        };
        let dims = self.dims as usize;
        let used = count * dims;
        let out = &mut self.out.host_mut(op, "out")?[..used];
        let winners = self.winners.map(|w| w.host_mut(op, "winners")).transpose()?.map(|winners| &mut winners[..used]);
        if dims == 0 {
            return Ok(());
        }
        check::offsets(op, "bags", table.bags, table.ids.len())?;
        let longest = table.bags.windows(2).map(|bag| bag[1] - bag[0]).max().unwrap_or(0);
        let known = longest <= self.longest_bag;
        check::domain(op, "longest_bag", self.longest_bag, known, &format!("at least {longest}"))?;
        let count = (TASK_ELEMENTS / dims).max(1);
        let (arch, size, pooling) = (Arch::new(), count * dims, self.pooling);
        let task = |part, out, winners| Task { table: &table, first: part * count, pooling, dims, out, winners };
        // What is read counts here: a bag may be long.
        let read = (table.bags[table.bags.len() - 1] - table.bags[0]) as usize * dims;
        if read.max(used) <= HAND_OVER {
            arch.dispatch(task(0, out, winners));
            return Ok(());
        }
        let outputs = out.par_chunks_mut(size);
        match winners {
            Some(winners) => {
                outputs.zip(winners.par_chunks_mut(size)).enumerate().for_each(|(part, (out, winners))| {
                    arch.dispatch(task(part, out, Some(winners)));
                })
            }
            None => outputs.enumerate().for_each(|(part, out)| arch.dispatch(task(part, out, None))),
        }
        Ok(())
    }
}

/// What bags are pooled from.
struct Bags<'a, V> {
    rows: HostRows<'a, V>,
    ids: &'a [u32],
    bags: &'a [u32],
    weights: Option<&'a [f32]>,
}

/// The bags from `first` on, as many as there is room for, in loops compiled for the vectors that there are.
struct Task<'a, V, T> {
    table: &'a Bags<'a, V>,
    first: usize,
    pooling: Pooling,
    dims: usize,
    out: &'a mut [T],
    winners: Option<&'a mut [u32]>,
}

impl<V: Codec, T: Output> WithSimd for Task<'_, V, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { table, first, pooling, dims, out, mut winners } = self;
        let (mut pooled, mut scratch) = (vec![0.0; dims], Vec::new());
        let bags = &table.bags[first..];
        let numbers = bags[0] as usize..bags[out.len() / dims] as usize;
        let mut ahead = Ahead::new(&table.rows, (table.ids, table.weights), 0..dims, numbers);
        for (k, out) in out.chunks_exact_mut(dims).enumerate() {
            let bag = bags[k] as usize..bags[k + 1] as usize;
            if pooling == Pooling::Max {
                let own = winners.as_deref_mut().map(|winners| &mut winners[k * dims..(k + 1) * dims]);
                table.max(bag, &mut pooled, (own, &mut scratch));
                T::convert(&pooled, out);
                continue;
            }
            // Where the output is f32 already, sums are made in place.
            let in_place = T::as_f32_mut(out);
            let is_in_place = in_place.is_some();
            let sums = in_place.unwrap_or(&mut pooled);
            let length = bag.len().max(1) as f32;
            table.sum(simd, bag, sums, (&mut ahead, &mut scratch));
            if pooling == Pooling::Mean {
                sums.iter_mut().for_each(|sum| *sum /= length);
            }
            if !is_in_place {
                T::convert(&pooled, out);
            }
        }
    }
}

impl<V: Codec> Bags<'_, V> {
    #[inline(always)]
    fn sum<S: Simd>(
        &self,
        simd: S,
        bag: Range<usize>,
        sums: &mut [f32],
        (ahead, scratch): (&mut Ahead<'_, '_, V>, &mut Vec<f32>),
    ) {
        sums.fill(0.0);
        let dims = sums.len();
        if V::FORMAT != Format::F32 {
            for i in bag {
                self.rows.prefetch(self.ids, i, dims);
                let row = V::widen(self.rows.row(self.ids[i]), scratch);
                let weight = self.weights.map_or(1.0, |weights| weights[i]);
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
            return;
        }
        ahead.add(simd, bag, sums);
    }

    fn max(&self, bag: Range<usize>, best: &mut [f32], (mut winners, scratch): (Option<&mut [u32]>, &mut Vec<f32>)) {
        best.fill(0.0);
        if let Some(winners) = winners.as_deref_mut() {
            winners.fill(u32::MAX);
        }
        for i in bag.clone() {
            let row = V::widen(self.rows.row(self.ids[i]), scratch);
            for (j, best) in best.iter_mut().enumerate() {
                let value = row.get(j).copied().unwrap_or(0.0);
                if value > *best || i == bag.start {
                    *best = value;
                    if let Some(winners) = winners.as_deref_mut() {
                        winners[j] = if j < row.len() { i as u32 } else { u32::MAX };
                    }
                }
            }
        }
    }
}
