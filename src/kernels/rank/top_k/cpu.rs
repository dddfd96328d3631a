//! The CPU twin: register-blocked products, and a sorted list a query behind a bar that few candidates pass.

use rayon::prelude::*;

/// Queries and candidates of one register block: 4 by 8 sums fill half of the 16 vector registers of x86-64's base set
/// and of NEON; wider vectors want more candidates to hide the latency of the additions.
const QUERIES: usize = 4;
const CANDIDATES: usize = if cfg!(target_feature = "avx") { 16 } else { 8 };

/// Query values of a task: half of an L1 cache.
const TASK_VALUES: usize = 4096;

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
        let block = (TASK_VALUES / self.dims.max(1)).next_multiple_of(QUERIES).min(64).min(fair).max(QUERIES);
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
        let stride = self.dims + self.bias;
        // Transposed to [group of queries][dim][query], and [dim][candidate]; what is past the end stays zero.
        let mut queries = vec![[0.0f32; QUERIES]; lists.len().div_ceil(QUERIES) * self.dims];
        for i in 0..lists.len() {
            let query = &self.queries[(first_query + i) * self.dims..][..self.dims];
            let packed = &mut queries[i / QUERIES * self.dims..][..self.dims];
            packed.iter_mut().zip(query).for_each(|(packed, value)| packed[i % QUERIES] = *value);
        }
        let mut panel = vec![[0.0f32; CANDIDATES]; self.dims];
        for first in (0..self.candidate_count).step_by(CANDIDATES) {
            let count = (self.candidate_count - first).min(CANDIDATES);
            let mut biases = [0.0f32; CANDIDATES];
            for (c, bias) in biases.iter_mut().enumerate().take(count) {
                let candidate = &self.candidates[(first + c) * stride..][..stride];
                *bias = if self.bias == 1 { candidate[0] } else { 0.0 };
                panel.iter_mut().zip(&candidate[self.bias..]).for_each(|(packed, value)| packed[c] = *value);
            }
            let base = self.candidate_base + first as u32;
            for (group, lists) in lists.chunks_mut(QUERIES).enumerate() {
                let scores = products(&queries[group * self.dims..][..self.dims], &panel, &biases);
                for (list, scores) in lists.iter_mut().zip(&scores) {
                    // False for NaN. One test for all: almost always none passes.
                    if scores.iter().fold(false, |any, score| any | (*score >= list.bar)) {
                        scores[..count].iter().zip(base..).for_each(|(score, position)| list.offer(*score, position));
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn products(
    queries: &[[f32; QUERIES]],
    panel: &[[f32; CANDIDATES]],
    biases: &[f32; CANDIDATES],
) -> [[f32; CANDIDATES]; QUERIES] {
    let mut sums = [*biases; QUERIES];
    for (queries, candidates) in queries.iter().zip(panel) {
        for (sums, query) in sums.iter_mut().zip(queries) {
            for (sum, candidate) in sums.iter_mut().zip(candidates) {
                *sum += query * candidate;
            }
        }
    }
    sums
}

struct List<'a> {
    /// Best first: scores and positions in one number each, see [`entry_of`].
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
