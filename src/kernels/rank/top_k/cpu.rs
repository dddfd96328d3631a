//! The CPU twin: products in blocks of registers, and a sorted list for each query. Few candidates pass the score of
//! the list's last entry.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Queries and vectors of candidates in a block of registers: 12 sums and their factors fill the 16 registers of AVX2,
/// and hide the latency of additions.
const QUERIES: usize = 6;
const VECTORS: usize = 2;

/// The most queries of a task: packing a panel of candidates then costs little compared with the products.
const TASK_QUERIES: usize = 42 * QUERIES;

/// The most query values of a task: about half of an L2 cache.
const TASK_VALUES: usize = 64 * 1024;

pub(super) struct Tile<'a> {
    pub queries: &'a [f32],
    pub candidates: &'a [f32],
    pub candidate_count: usize,
    pub candidate_base: u32,
    pub dims: usize,
    pub bias: usize,
    pub excluded_offsets: &'a [u32],
    pub excluded: &'a [u32],
    pub k: usize,
    pub fresh: bool,
}

impl Tile<'_> {
    pub(super) fn merge(&self, scores: &mut [f32], positions: &mut [u32]) {
        let count = scores.len() / self.k;
        // Large blocks share the packing of the candidates; small ones keep all threads busy.
        let fair = count.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(QUERIES);
        let block = (TASK_VALUES / self.dims.max(1)).next_multiple_of(QUERIES).min(TASK_QUERIES).min(fair).max(QUERIES);
        scores.par_chunks_mut(block * self.k).zip(positions.par_chunks_mut(block * self.k)).enumerate().for_each(
            |(task, (scores, positions))| {
                let mut lists: Vec<List<'_>> = scores
                    .chunks(self.k)
                    .zip(positions.chunks(self.k))
                    .enumerate()
                    .map(|(i, (scores, positions))| self.list(task * block + i, scores, positions))
                    .collect();
                self.offer_all(task * block, &mut lists);
                for ((list, scores), positions) in
                    lists.iter().zip(scores.chunks_mut(self.k)).zip(positions.chunks_mut(self.k))
                {
                    for ((entry, score), position) in list.entries.iter().zip(scores).zip(positions) {
                        (*score, *position) = (score_of(*entry), !(*entry as u32));
                    }
                }
            },
        );
    }

    fn list(&self, query: usize, scores: &[f32], positions: &[u32]) -> List<'_> {
        let entries = if self.fresh {
            vec![entry_of(f32::NEG_INFINITY, u32::MAX); self.k]
        } else {
            scores.iter().zip(positions).map(|(score, position)| entry_of(*score, *position)).collect()
        };
        let excluded = self.excluded_offsets[query] as usize..self.excluded_offsets[query + 1] as usize;
        List { bar: score_of(entries[self.k - 1]), entries, excluded: &self.excluded[excluded] }
    }

    /// Offers every candidate to the lists of neighbouring queries.
    fn offer_all(&self, first_query: usize, lists: &mut [List<'_>]) {
        let arch = Arch::new();
        let (dims, stride, width) = (self.dims, self.dims + self.bias, arch.dispatch(Width));
        // Transposed to [group of queries][dim][query], and [dim][candidate]. Elements past the end stay zero.
        let mut queries = vec![0.0f32; lists.len().div_ceil(QUERIES) * dims * QUERIES];
        for i in 0..lists.len() {
            let query = &self.queries[(first_query + i) * dims..][..dims];
            let packed = queries[i / QUERIES * dims * QUERIES..].chunks_exact_mut(QUERIES);
            packed.zip(query).for_each(|(packed, value)| packed[i % QUERIES] = *value);
        }
        let (mut panel, mut biases) = (vec![0.0f32; dims * width], vec![0.0f32; width]);
        let mut scores = vec![0.0f32; QUERIES * width];
        for first in (0..self.candidate_count).step_by(width) {
            let count = (self.candidate_count - first).min(width);
            for (c, bias) in biases.iter_mut().enumerate().take(count) {
                let candidate = &self.candidates[(first + c) * stride..][..stride];
                *bias = if self.bias == 1 { candidate[0] } else { 0.0 };
                let packed = panel.chunks_exact_mut(width).zip(&candidate[self.bias..]);
                packed.for_each(|(packed, value)| packed[c] = *value);
            }
            let base = self.candidate_base + first as u32;
            for (group, lists) in lists.chunks_mut(QUERIES).enumerate() {
                let queries = &queries[group * dims * QUERIES..][..dims * QUERIES];
                arch.dispatch(Products { queries, panel: &panel, biases: &biases, scores: &mut scores });
                for (list, scores) in lists.iter_mut().zip(scores.chunks_exact(width)) {
                    // False for NaN. One test for all of them: almost always none passes.
                    if scores.iter().fold(false, |any, score| any | (*score >= list.bar)) {
                        scores[..count].iter().zip(base..).for_each(|(score, position)| list.offer(*score, position));
                    }
                }
            }
        }
    }
}

/// Candidates of a panel.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        VECTORS * S::F32_LANES
    }
}

/// `scores[q, c] = biases[c] + sum over j of queries[j, q] * panel[j, c]`, in the order of the dims. Products are not
/// fused with the sums, so the width of the vectors changes no bit.
struct Products<'a> {
    queries: &'a [f32],
    panel: &'a [f32],
    biases: &'a [f32],
    scores: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let panel = S::as_simd_f32s(self.panel).0.as_chunks::<VECTORS>().0;
        let biases = S::as_simd_f32s(self.biases).0.as_chunks::<VECTORS>().0;
        let mut sums = [biases[0]; QUERIES];
        for (queries, candidates) in self.queries.as_chunks::<QUERIES>().0.iter().zip(panel) {
            for q in 0..QUERIES {
                let query = simd.splat_f32s(queries[q]);
                for v in 0..VECTORS {
                    sums[q][v] = simd.add_f32s(sums[q][v], simd.mul_f32s(query, candidates[v]));
                }
            }
        }
        S::as_mut_simd_f32s(self.scores).0.as_chunks_mut::<VECTORS>().0.copy_from_slice(&sums);
    }
}

struct List<'a> {
    /// Best first. Each entry is score and position in one number, see [`entry_of`].
    entries: Vec<u64>,
    /// Score of the last entry.
    bar: f32,
    excluded: &'a [u32],
}

impl List<'_> {
    fn offer(&mut self, score: f32, position: u32) {
        let entry = entry_of(score, position);
        let last = self.entries.len() - 1;
        if entry <= self.entries[last] || self.excluded.binary_search(&position).is_ok() {
            return;
        }
        let at = self.entries.partition_point(|better| *better > entry);
        self.entries.copy_within(at..last, at + 1);
        self.entries[at] = entry;
        self.bar = score_of(self.entries[last]);
    }
}

/// The larger, the better: an integer that rises with the score (NaN lowest, one zero), then the position, inverted.
fn entry_of(score: f32, position: u32) -> u64 {
    let bits = score.to_bits();
    let key = if score.is_nan() {
        0
    } else if score == 0.0 {
        1 << 31
    } else if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    u64::from(key) << 32 | u64::from(!position)
}

fn score_of(entry: u64) -> f32 {
    let key = (entry >> 32) as u32;
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}
