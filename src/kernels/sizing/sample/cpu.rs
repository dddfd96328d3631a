//! The CPU twin. Each draw is made in one buffer of a thread, tile by tile, in vectors of [`LANES`] ranks.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::super::distribution::{Constants, Distribution, Profile};
use crate::kernels::elementary::{exp, ln, ln_1p_core};
use crate::rng::{self, NORMAL_TABLE, NormalTable, Purpose, normal_quantile};

/// Ranks that advance together, each through its own run of [`STEPS`] neighbours: prefix sums without shuffles.
const LANES: usize = 8;
const STEPS: usize = 32;
const TILE: usize = LANES * STEPS;

/// Values of 256 ranks: entry `step * LANES + lane` is rank `lane * STEPS + step`.
type Tile = [f32; TILE];

/// Elements that the draws of a wave hold at least. Without it every short draw would wake a thread up.
const WAVE_ELEMENTS: usize = 1 << 17;

/// Which draws, of what.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// Entities `n` of each profile.
    pub entities: u32,
    /// Draws `R` to average.
    pub draws: u32,
    /// Seed of the random stream.
    pub seed: u64,
    /// Stream of the first profile's random numbers.
    pub first_stream: u32,
    /// Neighbouring profiles that share a stream, at least 1.
    pub profiles_per_stream: u32,
}

/// The CPU twin of [`Sample`](super::Sample) on slices: `out` is `[profiles, entities]`.
///
/// # Panics
/// When `out` has another length, or no profile shares a stream.
pub fn sample(profiles: &[Profile], draws: Draws, out: &mut [f32]) {
    let n = draws.entities as usize;
    assert_eq!(out.len(), profiles.len() * n, "out is [profiles, entities]");
    if out.is_empty() {
        return;
    }
    let threads = rayon::current_num_threads();
    let shared = draws.profiles_per_stream as usize;
    // With enough streams for all threads, a thread takes a stream. Otherwise threads share the draws of a stream. The
    // order of every sum is the same.
    if profiles.len().div_ceil(shared) >= 2 * threads {
        let streams = out.par_chunks_mut(n.saturating_mul(shared)).zip(profiles.par_chunks(shared)).enumerate();
        streams.for_each(|(k, (rows, profiles))| average(profiles, k, draws, 1, rows));
    } else {
        let wave = (WAVE_ELEMENTS / n).max(2 * threads);
        let streams = out.chunks_mut(n.saturating_mul(shared)).zip(profiles.chunks(shared)).enumerate();
        streams.for_each(|(k, (rows, profiles))| average(profiles, k, draws, wave, rows));
    }
}

/// A draw under way: the spacings that all profiles share, the draws of one profile (in the place of the spacings where
/// there is one profile only), and the factor that scales them to their share of the mean.
struct Slot {
    spacings: Vec<Tile>,
    total: f64,
    draws: Vec<Tile>,
    scale: f32,
}

impl Slot {
    fn drawn(&self) -> &[Tile] {
        if self.draws.is_empty() { &self.spacings } else { &self.draws }
    }
}

/// The mean of all draws of the profiles of a stream, `wave` of them at a time.
fn average(profiles: &[Profile], k: usize, draws: Draws, wave: usize, rows: &mut [f32]) {
    let Draws { entities, draws, seed, first_stream, .. } = draws;
    let stream = |draw| Stream { key: rng::key(seed), stream: first_stream.wrapping_add(k as u32), draw };
    let n = entities as usize;
    // One spacing more than ranks.
    let tiles = n / TILE + 1;
    let alone = profiles.len() == 1;
    let empty = |tiles: usize| vec![[0.0; TILE]; tiles];
    let slot = |_| Slot { spacings: empty(tiles), total: 0.0, draws: empty(if alone { 0 } else { tiles }), scale: 0.0 };
    let mut slots: Vec<Slot> = (0..wave.min(draws as usize)).map(slot).collect();
    let mut rows: Vec<Sums<'_>> = rows.chunks_exact_mut(n).map(Sums::new).collect();
    for first in (0..draws).step_by(slots.len().max(1)) {
        let count = slots.len().min((draws - first) as usize);
        let slots = &mut slots[..count];
        each(slots, |i, slot| {
            let (stream, tiles) = (stream(first + i as u32), &mut slot.spacings[..]);
            slot.total = Arch::new().dispatch(Spacings { stream, n: entities, tiles });
        });
        for (profile, row) in profiles.iter().zip(&mut rows) {
            let constants = profile.constants(entities);
            each(slots, |_, Slot { spacings, total, draws: own, scale }| {
                let (source, tiles) = if alone { (None, spacings) } else { (Some(&spacings[..]), own) };
                let sum = Arch::new().dispatch(Draw { constants, total: *total, n: entities, source, tiles });
                *scale = (1.0 / (sum * f64::from(draws))) as f32;
            });
            row.add(slots);
        }
    }
    rows.into_iter().for_each(Sums::finish);
}

/// Works on all slots, given their numbers; on several at once where there are several.
fn each(slots: &mut [Slot], work: impl Fn(usize, &mut Slot) + Sync) {
    match slots {
        [slot] => work(0, slot),
        _ => slots.par_iter_mut().enumerate().for_each(|(i, slot)| work(i, slot)),
    }
}

/// The sums of a row's draws, tile by tile in the row's own memory, apart from the rest of the last tile.
struct Sums<'a> {
    whole: &'a mut [Tile],
    rest: &'a mut [f32],
    last: Tile,
}

impl<'a> Sums<'a> {
    fn new(row: &'a mut [f32]) -> Self {
        row.fill(0.0);
        let (whole, rest) = row.as_chunks_mut();
        Self { whole, rest, last: [0.0; TILE] }
    }

    /// Adds draws, one after the other.
    fn add(&mut self, slots: &[Slot]) {
        let add = |t: usize, sums: &mut Tile| {
            for slot in slots {
                for (sum, x) in sums.iter_mut().zip(&slot.drawn()[t]) {
                    *sum += x * slot.scale;
                }
            }
        };
        add(self.whole.len(), &mut self.last);
        match slots.len() {
            1 => self.whole.iter_mut().enumerate().for_each(|(t, sums)| add(t, sums)),
            _ => self.whole.par_iter_mut().with_min_len(64).enumerate().for_each(|(t, sums)| add(t, sums)),
        }
    }

    /// Puts the ranks in order, each weight at most the one before it.
    fn finish(self) {
        let mut least = f32::INFINITY;
        let mut descend = |sums: &Tile, ranks: &mut [f32]| {
            for (i, weight) in ranks.iter_mut().enumerate() {
                least = least.min(sums[i % STEPS * LANES + i / STEPS]);
                *weight = least;
            }
        };
        for tile in self.whole {
            let sums = *tile;
            descend(&sums, tile);
        }
        descend(&self.last, self.rest);
    }
}

#[derive(Clone, Copy)]
struct Stream {
    key: [u32; 2],
    stream: u32,
    draw: u32,
}

/// The spacings of a draw; returns their sum. Compiled for the widest vectors, so everything that it calls has to be
/// inlined.
struct Spacings<'a> {
    stream: Stream,
    n: u32,
    tiles: &'a mut [Tile],
}

impl NullaryFnOnce for Spacings<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { stream, n, tiles } = self;
        let last = tiles.len() - 1;
        let mut total = 0.0;
        for (t, tile) in tiles.iter_mut().enumerate() {
            spacings(stream, t as u32, tile);
            if t == last {
                (0..TILE).filter(|&i| rank(last, i) > n as usize).for_each(|i| tile[i] = 0.0);
            }
            total = lane_sums(tile).iter().fold(total, |total, &sum| total + f64::from(sum));
        }
        total
    }
}

/// The rank of a tile's entry.
#[inline(always)]
fn rank(tile: usize, i: usize) -> usize {
    tile * TILE + i % LANES * STEPS + i / LANES
}

/// Turns spacings, in their place or from a source, into one sorted draw that is not normalised; returns its sum.
struct Draw<'a> {
    constants: Constants,
    total: f64,
    n: u32,
    source: Option<&'a [Tile]>,
    tiles: &'a mut [Tile],
}

impl NullaryFnOnce for Draw<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { constants, total, n, source, tiles } = self;
        let last = tiles.len() - 1;
        let first = f64::from(source.unwrap_or(tiles)[0][0]);
        let map = Map {
            constants,
            per_total: (1.0 / total) as f32,
            per_first: (1.0 / first) as f32,
            per_rest: (1.0 / (total - first).max(1e-6 * total)) as f32,
            normal_table: &NORMAL_TABLE,
        };
        let (mut before, mut sum) = (0.0, 0.0);
        for (t, tile) in tiles.iter_mut().enumerate() {
            if let Some(source) = source {
                *tile = source[t];
            }
            let (mut prefix, mut suffix) = ([0.0; LANES], [0.0; LANES]);
            // The carries are f64, so that prefix and suffix keep their relative accuracy, however small they are.
            for ((lane, prefix), suffix) in lane_sums(tile).into_iter().zip(&mut prefix).zip(&mut suffix) {
                *prefix = before as f32;
                before += f64::from(lane);
                *suffix = (total - before) as f32;
            }
            map.tile(tile, prefix, suffix);
            if t == last {
                (0..TILE).filter(|&i| rank(last, i) >= n as usize).for_each(|i| tile[i] = 0.0);
            }
            sum = lane_sums(tile).iter().fold(sum, |sum, &x| sum + f64::from(x));
        }
        sum
    }
}

#[inline(always)]
fn lane_sums(tile: &Tile) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for step in tile.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            sums[lane] += step[lane];
        }
    }
    sums
}

/// Philox calls of a tile, four ranks each.
const CALLS: usize = TILE / 4;

/// The tile's spacings, -ln U.
#[inline(always)]
fn spacings(stream: Stream, tile: u32, out: &mut Tile) {
    let mut planes = [[0u32; CALLS]; 4];
    philox(tile * CALLS as u32, stream, &mut planes);
    let mut values = [[0.0; CALLS]; 4];
    for (value, word) in values.as_flattened_mut().iter_mut().zip(planes.as_flattened()) {
        *value = -ln(((word >> 9) as i32 as f32 + 0.5) * (1.0 / 8_388_608.0));
    }
    for (step, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        *out = values[step % 4].as_chunks::<LANES>().0[step / 4];
    }
}

/// [`rng::philox`] for all counters of a tile: word w of call c of lane l lands at `out[w][c * LANES + l]`.
#[inline(always)]
fn philox(first: u32, stream: Stream, out: &mut [[u32; CALLS]; 4]) {
    let [out0, out1, out2, out3] = out;
    for i in 0..CALLS {
        let counter = first + (i % LANES * (STEPS / 4) + i / LANES) as u32;
        let words = rng::philox([counter, stream.draw, stream.stream, Purpose::Sizes as u32], stream.key);
        [out0[i], out1[i], out2[i], out3[i]] = words;
    }
}

/// The inverse distribution function of one draw.
struct Map<'a> {
    constants: Constants,
    per_total: f32,
    per_first: f32,
    per_rest: f32,
    normal_table: &'a NormalTable,
}

impl Map<'_> {
    /// Spacings to draws, given the sums before and after each lane's run.
    #[inline(always)]
    fn tile(&self, tile: &mut Tile, prefix: [f32; LANES], suffix: [f32; LANES]) {
        let Constants { kind, a, b, c, d, e } = self.constants;
        let (total, table) = (self.per_total, self.normal_table);
        // Plain loops: a closure would be compiled by itself, without the vectors.
        match Distribution::ALL[kind as usize] {
            Distribution::PowerLaw => {
                let rest = after(tile, suffix);
                for (x, t) in tile.iter_mut().zip(rest) {
                    *x = exp((ln(t * self.per_rest) * a).max(super::LEAST_EXPONENT));
                }
            }
            Distribution::Pareto => {
                before(tile, prefix);
                for x in tile {
                    *x = exp((ln(*x * self.per_first) * -a).max(super::LEAST_EXPONENT));
                }
            }
            Distribution::TruncatedNormal => {
                let rest = after(tile, suffix);
                before(tile, prefix);
                // Into an array of its own: a compiler cannot know that the table does not overlap it.
                let mut draws = [0.0; TILE];
                for i in 0..TILE {
                    let z = normal_quantile(table, tile[i] * total * c + d, rest[i] * total * c + e);
                    draws[i] = (a + b * z).clamp(super::LEAST, 1.0);
                }
                *tile = draws;
            }
            Distribution::TruncatedExponential => {
                let rest = after(tile, suffix);
                before(tile, prefix);
                for (x, t) in tile.iter_mut().zip(rest) {
                    let (v, u) = (*x * total, t * total);
                    let w = u * a;
                    let near = -ln_1p_core(-w.min(0.25));
                    let far = -ln(v + u * b);
                    *x = (if w < 0.25 { near } else { far }).max(super::LEAST);
                }
            }
            Distribution::LogNormal => {
                let rest = after(tile, suffix);
                before(tile, prefix);
                let mut draws = [0.0; TILE];
                for i in 0..TILE {
                    draws[i] = exp(a * normal_quantile(table, tile[i] * total, rest[i] * total));
                }
                *tile = draws;
            }
        }
    }
}

/// Inclusive prefix sums, in place.
#[inline(always)]
fn before(tile: &mut Tile, carry: [f32; LANES]) {
    let mut running = [0.0; LANES];
    for step in tile.as_chunks_mut::<LANES>().0 {
        for l in 0..LANES {
            running[l] += step[l];
            step[l] = running[l] + carry[l];
        }
    }
}

/// Exclusive suffix sums.
#[inline(always)]
fn after(tile: &Tile, carry: [f32; LANES]) -> Tile {
    let mut rest = [0.0; TILE];
    let mut running = [0.0; LANES];
    let steps = tile.as_chunks::<LANES>().0.iter().zip(rest.as_chunks_mut::<LANES>().0);
    for (step, rest) in steps.rev() {
        for l in 0..LANES {
            rest[l] = running[l] + carry[l];
            running[l] += step[l];
        }
    }
    rest
}
