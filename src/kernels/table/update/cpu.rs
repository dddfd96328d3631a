//! The CPU twin: pairs of (row, occurrence) sorted, cut into tasks between rows, and each task's rows stepped one after
//! the other.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{BagGradients, CHUNK, LONG_LANES, Update, chunk, lanes_of};
use crate::Result;
use crate::check;
use crate::device::Kernel;
use crate::kernels::HAND_OVER;
use crate::kernels::prim::sort::{Pair, bits_below, sort_pairs};
use crate::kernels::row_sums::{Addend, ROWS_AT_ONCE, add_rows};
use crate::kernels::table::bags::Pooling;
use crate::kernels::table::optimizer::{Constants, Counter, RowsMut, Run};
use crate::rows::{BEYOND_CACHES, Codec, Rows, VALUES_AHEAD, WIDEST_VECTOR, prefetch_slice, with_codec};

pub(super) fn update<V: Codec>(of: Update<'_>, used: usize) -> Result<()> {
    let op = <Update<'_> as Kernel>::NAME;
    let (count, dims, past) = (of.count as usize, of.dims as usize, of.rows.len());
    let ids = &of.ids.host(op, "ids")?[of.first as usize..][..count];
    let (pairs, space) = of.workspace.host_mut(op, "workspace")?.split_at_mut(4 * count);
    let (home, away) = pairs.as_chunks_mut().0.split_at_mut(count);
    let bits = bits_below(past + 1);
    let gradients = of.gradients.buffer().host(op, "gradients")?;
    let (source, sorted) = match of.gradients.bags() {
        None => {
            let row = |i: usize| if i < used { ids[i].min(past) } else { past };
            let sorted = sort_pairs(|i| [row(i), i as u32], [home, away], bits);
            (Source { gradients, bag_of: None, scale: Scale::One }, sorted)
        }
        Some(bags) => {
            let (bag_of, space) = space.split_at_mut(count);
            let used = &bags.bags.host(op, "bags")?[..=used];
            let within = put_bags(op, used, bag_of)?;
            let (bag_of, row) = (&*bag_of, |i| if within.contains(&i) { ids[i].min(past) } else { past });
            let scale = Scale::new(op, (bags, used), &mut space[..count])?;
            if let Scale::One = scale {
                // The gradient of a bag is that of each of its ids.
                let sorted = sort_pairs(|i| [row(i), bag_of[i]], [home, away], bits);
                (Source { gradients, bag_of: None, scale }, sorted)
            } else {
                let sorted = sort_pairs(|i| [row(i), i as u32], [home, away], bits);
                (Source { gradients, bag_of: Some(bag_of), scale }, sorted)
            }
        }
    };
    let [values, state, _] = of.rows.size_bytes();
    let beyond_caches = values + state >= BEYOND_CACHES;
    let batch = Batch {
        occurrences: &sorted[..sorted.partition_point(|&[row, _]| row < past)],
        source,
        dims,
        chunk: chunk(of.count, of.dims) as usize,
        short_lanes: lanes_of(of.rows, of.dims),
        constants: of.rule.constants(of.step, of.seed),
        beyond_caches,
    };
    let counter = Counter::new(op, of.counter)?;
    counter.add(batch.step(RowsMut::<V>::pages(op, of.rows)?));
    Ok(())
}

/// Steps rows along the gradients of occurrences that are sorted by row: pairs of both. Gives the number of dims that
/// were not finite.
pub(in crate::kernels) fn step_sorted(
    op: &'static str,
    rows: &mut Rows,
    (gradients, dims): (&[f32], u32),
    occurrences: &[Pair],
    constants: Constants,
) -> Result<u32> {
    let source = Source { gradients, bag_of: None, scale: Scale::One };
    let [values, state, _] = rows.size_bytes();
    let (chunk, short_lanes) = (CHUNK as usize, lanes_of(rows, dims));
    let (dims, beyond_caches) = (dims as usize, values + state >= BEYOND_CACHES);
    let batch = Batch { occurrences, source, dims, chunk, short_lanes, constants, beyond_caches };
    with_codec!(rows.layout().format, V => Ok(batch.step(RowsMut::<V>::pages(op, rows)?)))
}

/// Writes the bag of each id, and says which ids are in one.
fn put_bags(op: &'static str, bags: &[u32], bag_of: &mut [u32]) -> Result<Range<usize>> {
    check::offsets(op, "bags", bags, bag_of.len())?;
    for (bag, ends) in (0..).zip(bags.windows(2)) {
        bag_of[ends[0] as usize..ends[1] as usize].fill(bag);
    }
    Ok(bags[0] as usize..bags[bags.len() - 1] as usize)
}

/// The gradients of occurrences.
struct Source<'a> {
    gradients: &'a [f32],
    /// Which gradient is that of an occurrence, where it is not that of its own number.
    bag_of: Option<&'a [u32]>,
    scale: Scale<'a>,
}

/// What a gradient is multiplied by.
enum Scale<'a> {
    One,
    /// A number for each occurrence.
    By(&'a [f32]),
    /// One where the occurrence has won, else zero.
    Won(&'a [u32]),
}

impl<'a> Scale<'a> {
    fn new(op: &'static str, (of, bags): (&BagGradients<'a>, &[u32]), space: &'a mut [u32]) -> Result<Self> {
        if let Some(winners) = of.winners {
            return Ok(Self::Won(winners.host(op, "winners")?));
        }
        let weights = of.weights.map(|weights| weights.host(op, "weights")).transpose()?;
        if of.pooling != Pooling::Mean {
            return Ok(weights.map_or(Self::One, Self::By));
        }
        let factors: &mut [f32] = bytemuck::cast_slice_mut(space);
        match weights {
            Some(weights) => factors.copy_from_slice(&weights[..factors.len()]),
            None => factors.fill(1.0),
        }
        for ends in bags.windows(2) {
            let length = (ends[1] - ends[0]) as f32;
            factors[ends[0] as usize..ends[1] as usize].iter_mut().for_each(|factor| *factor /= length);
        }
        Ok(Self::By(factors))
    }
}

impl Source<'_> {
    /// An occurrence's gradient before it is scaled, and those behind it.
    #[inline(always)]
    fn gradient_and_more(&self, &[_, occurrence]: &Pair, dims: usize) -> &[f32] {
        let number = self.bag_of.map_or(occurrence, |bag_of| bag_of[occurrence as usize]);
        &self.gradients[number as usize * dims..]
    }

    /// Its first dims.
    #[inline(always)]
    fn gradient(&self, pair: &Pair, [dims, width]: [usize; 2]) -> &[f32] {
        &self.gradient_and_more(pair, dims)[..width]
    }

    #[inline(always)]
    fn factor(&self, &[_, occurrence]: &Pair) -> f32 {
        if let Scale::By(factors) = self.scale { factors[occurrence as usize] } else { 1.0 }
    }

    /// Writes the sum of these occurrences' gradients in their order, in whole vectors: `sum` is longer than its first
    /// dims that are needed.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, occurrences: &[Pair], dims: usize, sum: &mut [f32]) {
        if let Scale::Won(winners) = self.scale {
            sum.fill(0.0);
            for pair in occurrences {
                let gradient = self.gradient_and_more(pair, dims);
                let begin = self.bag_of.map_or(pair[1], |bag_of| bag_of[pair[1] as usize]) as usize * dims;
                for ((sum, g), &winner) in sum.iter_mut().zip(gradient).zip(&winners[begin..]) {
                    *sum += if winner == pair[1] { *g } else { 0.0 };
                }
            }
            return;
        }
        // To which any number, a -0 too, is added as it is.
        sum.fill(-0.0);
        let mut left = occurrences;
        while !left.is_empty() {
            let (part, behind) = left.split_at(left.len().min(ROWS_AT_ONCE));
            let mut rows = [Addend::default(); ROWS_AT_ONCE];
            for (row, pair) in rows.iter_mut().zip(part) {
                let values = self.gradient_and_more(pair, dims);
                *row = Addend { values, len: sum.len().min(values.len()), factor: self.factor(pair) };
            }
            // Of a long run: rows of gradients lie anywhere.
            for pair in behind.iter().take(ROWS_AT_ONCE) {
                prefetch_slice(self.gradient(pair, [dims, sum.len().min(dims)]));
            }
            if let Scale::One = self.scale {
                add_rows::<S, false>(simd, &rows[..part.len()], sum);
            } else {
                add_rows::<S, true>(simd, &rows[..part.len()], sum);
            }
            left = behind;
        }
    }
}

/// A batch, its occurrences sorted by row.
struct Batch<'a> {
    occurrences: &'a [Pair],
    source: Source<'a>,
    dims: usize,
    chunk: usize,
    short_lanes: u32,
    constants: Constants,
    beyond_caches: bool,
}

/// A stretch of the sorted occurrences, with the rows that they fall into.
struct Task<'a, V> {
    range: Range<usize>,
    rows: RowsMut<'a, V>,
}

/// The steps of a task's rows, in loops compiled for the vectors that there are.
struct Step<'a, 'b, V> {
    batch: &'a Batch<'a>,
    task: Task<'b, V>,
    sum: &'a mut [f32],
}

impl<V: Codec> WithSimd for Step<'_, '_, V> {
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u32 {
        self.batch.step_rows(simd, self.task, self.sum)
    }
}

/// The sum of a part of a long run, likewise.
struct Sum<'a> {
    source: &'a Source<'a>,
    occurrences: &'a [Pair],
    dims: usize,
    sum: &'a mut [f32],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.source.sum(simd, self.occurrences, self.dims, self.sum);
    }
}

/// Elements of gradients up to which the caller's thread steps alone. Fewer than elsewhere: what is summed and stepped
/// lies anywhere.
const SMALL: usize = HAND_OVER / 4;

/// Occurrences of a run that memory is asked for at once.
const MOST_AHEAD: usize = 32;

/// Chunks of a run that one thread sums without help.
const TASK_CHUNKS: usize = 64;

impl Batch<'_> {
    /// Gives the number of dims that were not finite.
    fn step<V: Codec>(&self, pages: Vec<RowsMut<'_, V>>) -> u32 {
        let all = self.occurrences;
        // Cut between rows into tasks of about equal length; rows ascend, so their values split at the same places. Few
        // stay on the caller's thread.
        let length = match all.len() * self.dims {
            0..=SMALL => all.len(),
            _ => all.len().div_ceil(4 * rayon::current_num_threads()).max(256),
        };
        let mut tasks = Vec::new();
        let mut position = 0;
        for mut left in pages {
            let behind = left.ids().end;
            let page_end = position + all[position..].partition_point(|&[row, _]| row < behind);
            while position < page_end {
                let mut end = (position + length).min(page_end);
                let [last, _] = all[end - 1];
                end += all[end..page_end].partition_point(|&[row, _]| row == last);
                let (own, rest) = left.split_at(last + 1);
                tasks.push(Task { range: position..end, rows: own });
                (left, position) = (rest, end);
            }
        }
        let arch = Arch::new();
        let room = || vec![0.0; self.dims.next_multiple_of(WIDEST_VECTOR)];
        if tasks.len() == 1 {
            return tasks.into_iter().map(|task| arch.dispatch(Step { batch: self, task, sum: &mut room() })).sum();
        }
        tasks
            .into_par_iter()
            .map_init(room, |sum, task| arch.dispatch(Step { batch: self, task, sum }))
            .reduce(|| 0, u32::wrapping_add)
    }

    #[inline(always)]
    fn step_rows<S: Simd, V: Codec>(&self, simd: S, Task { range, mut rows }: Task<'_, V>, sum: &mut [f32]) -> u32 {
        let mut left_out = 0u32;
        let mut at = range.start;
        while at < range.end {
            let row = self.occurrences[at][0];
            let length = self.occurrences[at..range.end].iter().take_while(|pair| pair[0] == row).count();
            let width = self.dims.min(rows.size(row) as usize);
            let run = at..at + length;
            let ahead = at + VALUES_AHEAD;
            let ahead = ahead..(ahead + length.min(MOST_AHEAD)).min(range.end);
            if self.beyond_caches {
                self.prefetch(&rows, ahead);
            } else {
                // Gradients come from another kernel, perhaps by another thread.
                for pair in self.occurrences.get(ahead).unwrap_or_default() {
                    prefetch_slice(self.source.gradient(pair, [self.dims, width]));
                }
            }
            let is_one = length == 1 && matches!(self.source.scale, Scale::One);
            let gradient = if is_one {
                self.source.gradient_and_more(&self.occurrences[at], self.dims)
            } else {
                self.sum(simd, run.clone(), &mut sum[..width.next_multiple_of(WIDEST_VECTOR)]);
                &*sum
            };
            let lanes = if length <= self.chunk { self.short_lanes } else { LONG_LANES };
            let run_of = Run { row, gradient, width, lanes };
            left_out = left_out.wrapping_add(rows.step(simd, &self.constants, run_of));
            at = run.end;
        }
        left_out
    }

    /// Asks memory for the rows and the gradients of these occurrences.
    #[inline(always)]
    fn prefetch<V: Codec>(&self, rows: &RowsMut<'_, V>, range: Range<usize>) {
        for position in range {
            let pair = &self.occurrences[position];
            let width = self.dims.min(rows.size(pair[0]) as usize);
            if self.occurrences[position - 1][0] != pair[0] {
                rows.prefetch(pair[0], width);
            }
            prefetch_slice(self.source.gradient(pair, [self.dims, width]));
        }
    }

    /// In the GPU's order: a long run chunk by chunk, chunks counted from where it begins.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, run: Range<usize>, sum: &mut [f32]) {
        if run.len() <= self.chunk {
            return self.source.sum(simd, &self.occurrences[run], self.dims, sum);
        }
        self.sum_long(run, sum);
    }

    #[inline(never)]
    fn sum_long(&self, run: Range<usize>, sum: &mut [f32]) {
        let (&Self { ref source, dims, chunk, .. }, arch) = (self, Arch::new());
        let sum_part = |occurrences, sum: &mut [f32]| arch.dispatch(Sum { source, occurrences, dims, sum });
        let (first, others) = self.occurrences[run].split_at(chunk);
        sum_part(first, sum);
        let width = sum.len();
        let mut add = |partial: &[f32]| sum.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial);
        if others.len() <= TASK_CHUNKS * chunk {
            let mut partial = vec![0.0; width];
            for part in others.chunks(chunk) {
                sum_part(part, &mut partial);
                add(&partial);
            }
            return;
        }
        // Side by side, so that a hot row does not keep one thread while the others have nothing left.
        let mut partials = vec![0.0; others.len().div_ceil(chunk) * width];
        let parts = partials.par_chunks_exact_mut(width.max(1)).with_min_len(TASK_CHUNKS).zip(others.par_chunks(chunk));
        parts.for_each(|(partial, part)| sum_part(part, partial));
        partials.chunks_exact(width.max(1)).for_each(add);
    }
}
