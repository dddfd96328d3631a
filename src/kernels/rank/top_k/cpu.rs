//! The CPU twin: candidates packed once in panels that are as deep as their widest, products in blocks of registers,
//! and a sorted list for each query. A panel that cannot reach any list of a block is left out. Few candidates pass the
//! score of the list's last entry, so scores are compared with it where they are, and almost never stored.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::Result;
use crate::device::{Buffer, Device};

/// Queries and vectors of candidates in a block of registers: 12 sums and their factors fill the 16 registers of AVX2,
/// and hide the latency of additions.
pub(super) const QUERIES: usize = 6;
const VECTORS: usize = 2;

/// The most queries of a task: a panel that is read from memory then serves many.
const TASK_QUERIES: usize = 42 * QUERIES;

/// The most query values of a task: about half of an L2 cache.
const TASK_VALUES: usize = 64 * 1024;

/// Panels that are packed together at least: less would not be worth a task.
const TASK_PANELS: usize = 16;

pub(super) struct Tile<'a> {
    pub queries: &'a [f32],
    pub candidates: &'a [f32],
    pub candidate_count: usize,
    pub candidate_base: u32,
    pub dims: usize,
    pub bias: usize,
    pub ragged: Option<HostRagged<'a>>,
    pub excluded_offsets: &'a [u32],
    pub excluded: &'a [u32],
    pub k: usize,
    pub fresh: bool,
}

/// [`Ragged`](super::Ragged) on the host.
#[derive(Clone, Copy)]
pub(super) struct HostRagged<'a> {
    pub query_widths: &'a [u32],
    /// Position and width of each candidate.
    pub candidates: &'a [[u32; 2]],
}

impl Tile<'_> {
    pub(super) fn merge(&self, scores: &mut [f32], positions: &mut [u32]) -> Result<()> {
        let count = scores.len() / self.k;
        let panels = Panels::new(self)?;
        // Large blocks read a panel less often; small ones keep all threads busy.
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
                self.offer_all(task * block, &panels, &mut lists);
                for ((list, scores), positions) in
                    lists.iter().zip(scores.chunks_mut(self.k)).zip(positions.chunks_mut(self.k))
                {
                    for ((entry, score), position) in list.entries.iter().zip(scores).zip(positions) {
                        (*score, *position) = (score_of(*entry), !(*entry as u32));
                    }
                }
            },
        );
        Ok(())
    }

    fn list(&self, query: usize, scores: &[f32], positions: &[u32]) -> List<'_> {
        let entries = if self.fresh {
            vec![entry_of(f32::NEG_INFINITY, u32::MAX); self.k]
        } else {
            scores.iter().zip(positions).map(|(score, position)| entry_of(*score, *position)).collect()
        };
        let excluded = self.excluded_offsets[query] as usize..self.excluded_offsets[query + 1] as usize;
        List { entries, excluded: &self.excluded[excluded] }
    }

    fn query(&self, query: usize) -> &[f32] {
        let width = self.ragged.map_or(self.dims, |of| (of.query_widths[query] as usize).min(self.dims));
        &self.queries[query * self.dims..][..width]
    }

    /// Its bias and its values.
    fn candidate(&self, candidate: usize) -> (f32, &[f32]) {
        let stride = self.dims + self.bias;
        let (bias, values) = self.candidates[candidate * stride..][..stride].split_at(self.bias);
        let width = self.ragged.map_or(self.dims, |of| (of.candidates[candidate][1] as usize).min(self.dims));
        (bias.first().copied().unwrap_or(0.0), &values[..width])
    }

    fn position(&self, candidate: usize) -> u32 {
        self.candidate_base.wrapping_add(self.ragged.map_or(candidate as u32, |of| of.candidates[candidate][0]))
    }

    /// Offers every candidate to the lists of neighbouring queries.
    fn offer_all(&self, first_query: usize, panels: &Panels, lists: &mut [List<'_>]) {
        let arch = Arch::new();
        let queries: Vec<&[f32]> = (0..lists.len()).map(|i| self.query(first_query + i)).collect();
        let mut groups = Groups::new(&queries, lists);
        let mut scores = vec![0.0f32; panels.width];
        for panel in 0..panels.count() {
            let first = panel * panels.width;
            let offer = |list: &mut List<'_>, bar: &mut f32, scores: &[f32]| {
                for (c, score) in scores.iter().enumerate().take(self.candidate_count - first) {
                    if !is_below(*score, *bar) {
                        list.offer(*score, self.position(first + c));
                        *bar = list.bar();
                    }
                }
            };
            let (values, biases) = panels.panel(panel);
            let reach = panels.reaches[panel];
            arch.dispatch(Products { groups: &mut groups, lists, reach, values, biases, scores: &mut scores, offer });
        }
    }
}

/// The tile's candidates, side by side.
struct Panels {
    /// Candidates of a panel.
    width: usize,
    /// By panel, then [dim][candidate], as deep as the widest of the panel. Places past a row's end are zero.
    values: Buffer<f32>,
    /// Where the values of a panel begin, and where the last ends.
    begins: Vec<usize>,
    biases: Buffer<f32>,
    reaches: Vec<Reach>,
}

impl Panels {
    fn new(tile: &Tile<'_>) -> Result<Self> {
        let width = Arch::new().dispatch(Width);
        let candidates: Vec<usize> = (0..tile.candidate_count).collect();
        let depths = candidates.chunks(width).map(|some| widest(some.iter().map(|&c| tile.candidate(c).1.len())));
        let begins: Vec<usize> = std::iter::once(0)
            .chain(depths.scan(0, |end, depth| {
                *end += depth * width;
                Some(*end)
            }))
            .collect();
        // Such buffers begin with a cache line: no vector straddles two.
        let (device, count) = (Device::cpu(), begins.len() - 1);
        let mut values = Buffer::<f32>::zeroed(&device, begins[count])?;
        let mut biases = Buffer::<f32>::zeroed(&device, count * width)?;
        let mut rest = values.host_mut("rank/top_k", "panels")?;
        let mut panels = Vec::with_capacity(count);
        for ends in begins.windows(2) {
            let (panel, behind) = rest.split_at_mut(ends[1] - ends[0]);
            panels.push(panel);
            rest = behind;
        }
        let biases_of = biases.host_mut("rank/top_k", "biases")?.par_chunks_mut(width);
        let all = panels.into_par_iter().zip(biases_of).zip(candidates.par_chunks(width));
        let pack = |((panel, biases), candidates): ((&mut [f32], &mut [f32]), &[usize])| {
            let mut reach = Reach::NONE;
            for (lane, &c) in candidates.iter().enumerate() {
                let (bias, row) = tile.candidate(c);
                biases[lane] = bias;
                reach.extend(bias, row);
                panel.chunks_exact_mut(width).zip(row).for_each(|(packed, value)| packed[lane] = *value);
            }
            reach.with_rounding(tile.dims)
        };
        let reaches = all.with_min_len(TASK_PANELS).map(pack).collect();
        Ok(Self { width, values, begins, biases, reaches })
    }

    fn count(&self) -> usize {
        self.begins.len() - 1
    }

    /// Values and biases.
    fn panel(&self, panel: usize) -> (&[f32], &[f32]) {
        let (values, biases) = (self.values.as_slice(), self.biases.as_slice());
        let values = &values.expect("on the host")[self.begins[panel]..self.begins[panel + 1]];
        (values, &biases.expect("on the host")[panel * self.width..][..self.width])
    }
}

/// How large a score with any candidate of a panel can be: `base + slope * |query|`, by the inequality of Cauchy and
/// Schwarz, and by what rounding can add to it.
#[derive(Clone, Copy)]
struct Reach {
    /// The largest bias.
    base: f64,
    /// The largest bias by size.
    size: f64,
    /// The largest norm.
    slope: f64,
}

impl Reach {
    const NONE: Self = Self { base: f64::NEG_INFINITY, size: 0.0, slope: 0.0 };

    /// Numbers of which no sum of a score comes near the end of the range.
    const LARGE: f64 = 1e36;

    fn extend(&mut self, bias: f32, row: &[f32]) {
        let bias = if bias.is_finite() { f64::from(bias) } else { f64::INFINITY };
        self.base = self.base.max(bias);
        self.size = self.size.max(bias.abs());
        self.slope = self.slope.max(norm(row));
    }

    /// A sum of d products and a bias is off by less than `(d + 1) eps` times the sizes of its terms; products that are
    /// too small for the format are off by less than `1e-44` each.
    fn with_rounding(self, dims: usize) -> Self {
        let off = (dims + 4) as f64 * f64::from(f32::EPSILON);
        let base = self.base + off * self.size + 1e-37;
        Self {
            base: if self.size < Self::LARGE { base } else { f64::INFINITY },
            slope: self.slope * (1.0 + off),
            ..self
        }
    }

    /// Whether no score with a query of this norm gets as far as the bar. False for all that is not finite.
    #[inline(always)]
    fn is_below(self, norm: f64, bar: f32) -> bool {
        let most = self.base + self.slope * norm;
        most < f64::from(bar) && most < Self::LARGE
    }
}

/// Infinite where a value is not finite.
fn norm(row: &[f32]) -> f64 {
    let squares: f64 = row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    if squares.is_finite() { squares.sqrt() } else { f64::INFINITY }
}

pub(super) fn widest(widths: impl Iterator<Item = usize>) -> usize {
    widths.max().unwrap_or(0)
}

/// Queries in sixes.
struct Groups {
    /// By six, then [dim][query], as deep as the widest of the six. Places past a row's end are zero.
    values: Vec<[f32; QUERIES]>,
    sixes: Vec<Six>,
}

/// Six queries.
struct Six {
    /// Width of the widest.
    depth: usize,
    norms: [f64; QUERIES],
    /// What a score has to reach.
    bars: [f32; QUERIES],
}

impl Groups {
    fn new(queries: &[&[f32]], lists: &[List<'_>]) -> Self {
        let (mut values, mut sixes) = (Vec::new(), Vec::new());
        for (rows, lists) in queries.chunks(QUERIES).zip(lists.chunks(QUERIES)) {
            let (begin, depth) = (values.len(), widest(rows.iter().map(|row| row.len())));
            values.resize(begin + depth, [0.0; QUERIES]);
            for (q, row) in rows.iter().enumerate() {
                values[begin..].iter_mut().zip(*row).for_each(|(packed, value)| packed[q] = *value);
            }
            // Nothing enters where the last six has no query.
            let bars = std::array::from_fn(|q| lists.get(q).map_or(f32::INFINITY, List::bar));
            let norms = std::array::from_fn(|q| rows.get(q).map_or(0.0, |row| norm(row)));
            sixes.push(Six { depth, norms, bars });
        }
        Self { values, sixes }
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

/// `scores[q, c] = biases[c] + sum over j of queries[j, q] * panel[j, c]` for each six, in the order of the dims, up to
/// the end of whichever is less deep, but for sixes none of whose bars the panel reaches. Products are not fused with
/// the sums, so the width of the vectors changes no bit. Where a score is not below its bar, those of its query are
/// offered.
struct Products<'a, 'l, F> {
    groups: &'a mut Groups,
    lists: &'a mut [List<'l>],
    reach: Reach,
    values: &'a [f32],
    biases: &'a [f32],
    scores: &'a mut [f32],
    offer: F,
}

impl<'l, F: Fn(&mut List<'l>, &mut f32, &[f32])> WithSimd for Products<'_, 'l, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let panel = S::as_simd_f32s(self.values).0.as_chunks::<VECTORS>().0;
        let biases = S::as_simd_f32s(self.biases).0.as_chunks::<VECTORS>().0[0];
        let mut queries = &self.groups.values[..];
        for (Six { depth, norms, bars }, lists) in self.groups.sixes.iter_mut().zip(self.lists.chunks_mut(QUERIES)) {
            let (six, behind) = queries.split_at(*depth);
            queries = behind;
            if (0..QUERIES).fold(true, |all, q| all & self.reach.is_below(norms[q], bars[q])) {
                continue;
            }
            let mut sums = [biases; QUERIES];
            for (queries, candidates) in six.iter().zip(panel) {
                for q in 0..QUERIES {
                    let query = simd.splat_f32s(queries[q]);
                    for v in 0..VECTORS {
                        sums[q][v] = simd.add_f32s(sums[q][v], simd.mul_f32s(query, candidates[v]));
                    }
                }
            }
            // Almost always all are below.
            let is_below = |q: usize, bar: f32| {
                let bar = simd.splat_f32s(bar);
                simd.and_m32s(simd.less_than_f32s(sums[q][0], bar), simd.less_than_f32s(sums[q][1], bar))
            };
            let any_passes = |below: S::m32s| simd.first_true_m32s(simd.not_m32s(below)) < S::F32_LANES;
            let below = (1..QUERIES).fold(is_below(0, bars[0]), |all, q| simd.and_m32s(all, is_below(q, bars[q])));
            if any_passes(below) {
                for ((q, list), bar) in lists.iter_mut().enumerate().zip(bars) {
                    if any_passes(is_below(q, *bar)) {
                        S::as_mut_simd_f32s(self.scores).0.copy_from_slice(&sums[q]);
                        (self.offer)(list, bar, self.scores);
                    }
                }
            }
        }
    }
}

/// False for NaN, which is in no order: a bar may be one where a caller's list has it.
fn is_below(score: f32, bar: f32) -> bool {
    score < bar
}

struct List<'a> {
    /// Best first. Each entry is score and position in one number, see [`entry_of`].
    entries: Vec<u64>,
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
    }

    /// Score of the last entry.
    fn bar(&self) -> f32 {
        score_of(self.entries[self.entries.len() - 1])
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
