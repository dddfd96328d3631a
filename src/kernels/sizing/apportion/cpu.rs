//! The CPU twin: the same integers in 128 bits, and a selection by histograms in place of the sort.

use rayon::prelude::*;

use super::infeasible;
use crate::check;
use crate::{Error, Result};

const NAME: &str = "sizing/apportion";
/// Rows between two stored prefix sums. A sum that ends between them is added up when it is needed.
const BLOCK: usize = 256;
/// Rows of a parallel task.
const TASK: usize = 64 * BLOCK;

/// What to give out, and the bounds of each size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allotment {
    /// What the sizes sum to, unless all are at `d_max` before that.
    pub total: u32,
    /// Least size.
    pub d_min: u32,
    /// Largest size, at most 65,535.
    pub d_max: u32,
}

impl Allotment {
    pub(super) fn check(&self, entities: u64) -> Result<()> {
        check::domain(NAME, "d_max", self.d_max, self.d_max <= 65_535, "at most 65,535")?;
        check::domain(NAME, "d_min", self.d_min, self.d_min <= self.d_max, "at most d_max")?;
        let least = entities * u64::from(self.d_min);
        if least > u64::from(self.total) {
            return Err(infeasible(entities, least, self.total.into()));
        }
        Ok(())
    }

    /// `min(total, entities * d_max)`.
    pub(super) fn target(&self, entities: u64) -> u32 {
        u64::from(self.total).min(entities * u64::from(self.d_max)) as u32
    }
}

/// The CPU twin of [`Apportion`](super::Apportion) on slices.
///
/// # Errors
/// [`Error::Infeasible`]; [`Error::Argument`] for bounds and weights. After an error `sizes` is unchanged.
///
/// # Panics
/// When the lengths differ.
pub fn apportion(weights: &[f32], allotment: Allotment, sizes: &mut [u32]) -> Result<()> {
    assert_eq!(weights.len(), sizes.len(), "a size for each weight");
    let n = weights.len() as u64;
    check::indexable(NAME, "weights", n)?;
    allotment.check(n)?;
    validate(weights)?;
    if weights.is_empty() {
        return Ok(());
    }
    let target = allotment.target(n);
    let scale = Scale::new(weights[0]);
    // The quantised weights are kept where the sizes will be.
    let sums: Vec<u64> = sizes
        .par_chunks_mut(BLOCK)
        .zip(weights.par_chunks(BLOCK))
        .with_min_len(TASK / BLOCK)
        .map(|(sizes, weights)| {
            sizes.iter_mut().zip(weights).for_each(|(size, &weight)| *size = scale.quantised(weight));
            sizes.iter().map(|&q| u64::from(q)).sum()
        })
        .collect();
    let multiplier = Search::new(sizes, &sums, allotment, target).multiplier();
    let mut keys = vec![0u32; sizes.len()];
    let whole: u64 = sizes
        .par_chunks_mut(TASK)
        .zip(keys.par_chunks_mut(TASK))
        .map(|(sizes, keys)| {
            sizes.iter_mut().zip(keys).fold(0, |sum, (size, key)| {
                (*size, *key) = round_down(multiplier * u128::from(*size), allotment);
                sum + u64::from(*size)
            })
        })
        .sum();
    round_up(sizes, &keys, (u64::from(target) - whole) as usize);
    Ok(())
}

fn validate(weights: &[f32]) -> Result<()> {
    let (Some(&first), Some(&last)) = (weights.first(), weights.last()) else { return Ok(()) };
    // It does not end early, so that it runs in vectors. False for NaN.
    let falls = |weights: &[f32]| weights.iter().zip(&weights[1..]).fold(true, |falls, (a, b)| falls & (b <= a));
    let tasks = (0..weights.len()).into_par_iter().step_by(TASK);
    let all_fall = tasks.map(|start| falls(&weights[start..weights.len().min(start + TASK + 1)])).all(|falls| falls);
    if first.is_finite() && last >= 0.0 && all_fall {
        return Ok(());
    }
    let good = |i: usize| {
        let weight = weights[i];
        weight.is_finite() && weight >= 0.0 && (i == 0 || weight <= weights[i - 1])
    };
    let bad = (0..weights.len()).find(|&i| !good(i)).expect("one of them failed above");
    Err(Error::Argument {
        op: NAME,
        arg: "weights",
        expected: "finite, at least 0 and not above the weight before".to_owned(),
        got: format!("weights[{bad}] = {}", weights[bad]),
    })
}

/// The shift that gives the largest weight 32 bits.
#[derive(Clone, Copy)]
struct Scale {
    exponent: u32,
    up: u32,
}

impl Scale {
    fn new(largest: f32) -> Self {
        Self { exponent: exponent(largest), up: mantissa(largest).leading_zeros() }
    }

    #[inline(always)]
    fn quantised(self, weight: f32) -> u32 {
        // Up by at most 32 (all weights zero) and down by at most 254.
        let wide = u64::from(mantissa(weight)) << self.up;
        (wide >> (self.exponent - exponent(weight)).min(63)).max(1) as u32
    }
}

#[inline(always)]
fn mantissa(weight: f32) -> u32 {
    let bits = weight.to_bits() & 0x7fff_ffff;
    bits & 0x7f_ffff | if bits >= 0x80_0000 { 0x80_0000 } else { 0 }
}

#[inline(always)]
fn exponent(weight: f32) -> u32 {
    ((weight.to_bits() & 0x7fff_ffff) >> 23).max(1)
}

struct Search<'a> {
    q: &'a [u32],
    /// Sum before each block.
    before: Vec<u64>,
    allotment: Allotment,
    target: u32,
}

impl<'a> Search<'a> {
    fn new(q: &'a [u32], sums: &[u64], allotment: Allotment, target: u32) -> Self {
        let mut running = 0;
        let mut before = Vec::with_capacity(sums.len() + 1);
        for sum in sums {
            before.push(running);
            running += sum;
        }
        before.push(running);
        Self { q, before, allotment, target }
    }

    /// The largest `L` up to `d_max * 2^64` that fits.
    fn multiplier(&self) -> u128 {
        let most = u128::from(self.allotment.d_max) << 64;
        (0..80).rev().fold(0, |l, bit| {
            let trial = l | 1 << bit;
            if trial <= most && self.fits(trial) { trial } else { l }
        })
    }

    /// Whether the clamped `l * q` sum to at most the target.
    fn fits(&self, l: u128) -> bool {
        let [d_min, d_max] = [self.allotment.d_min, self.allotment.d_max].map(|d| u128::from(d) << 64);
        let full = self.q.partition_point(|&q| l * u128::from(q) >= d_max);
        let free = full + self.q[full..].partition_point(|&q| l * u128::from(q) > d_min);
        let clamped = full as u128 * d_max + (self.q.len() - free) as u128 * d_min;
        clamped + l * u128::from(self.prefix(free) - self.prefix(full)) <= u128::from(self.target) << 64
    }

    /// Sum of the first `rows`.
    fn prefix(&self, rows: usize) -> u64 {
        let block = rows / BLOCK;
        self.before[block] + self.q[block * BLOCK..rows].iter().map(|&q| u64::from(q)).sum::<u64>()
    }
}

/// Whole part and key of the fraction.
#[inline(always)]
fn round_down(y: u128, allotment: Allotment) -> (u32, u32) {
    let (whole, fraction) = ((y >> 64) as u64, y as u64);
    if whole >= u64::from(allotment.d_max) {
        (allotment.d_max, 0)
    } else if whole < u64::from(allotment.d_min) || (whole == u64::from(allotment.d_min) && fraction == 0) {
        (allotment.d_min, 0)
    } else {
        (whole as u32, ((fraction >> 32) as u32).max(1))
    }
}

/// One more for the `rows` largest keys, ties to the lower rank.
fn round_up(sizes: &mut [u32], keys: &[u32], rows: usize) {
    if rows == 0 {
        return;
    }
    // The key of the last row served, half by half, and how many of that key are served.
    let (high, left) = nth_largest(keys, |_| true, |key| key >> 16, rows);
    let (low, mut left) = nth_largest(keys, |key| key >> 16 == high, |key| key & 0xffff, left);
    let last = high << 16 | low;
    for (size, &key) in sizes.iter_mut().zip(keys) {
        let tie = key == last && left > 0;
        left -= usize::from(tie);
        *size += u32::from(key > last || tie);
    }
}

/// The 16-bit digit of the `rows`-th largest among the keys that `of` takes, and how many of that digit are among
/// those.
fn nth_largest(
    keys: &[u32],
    of: impl Fn(u32) -> bool + Sync,
    digit: impl Fn(u32) -> u32 + Sync,
    rows: usize,
) -> (u32, usize) {
    let count = |mut counts: Vec<u32>, keys: &[u32]| {
        keys.iter().filter(|&&key| of(key)).for_each(|&key| counts[digit(key) as usize] += 1);
        counts
    };
    let empty = || vec![0u32; 1 << 16];
    // Two halves at most: a histogram is large compared with a small task.
    let counts = keys.par_chunks(keys.len().div_ceil(rayon::current_num_threads()).max(1 << 18)).fold(empty, count);
    let counts = counts.reduce(empty, |mut a, b| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    });
    let mut left = rows;
    for (digit, &count) in counts.iter().enumerate().rev() {
        if left <= count as usize {
            return (digit as u32, left);
        }
        left -= count as usize;
    }
    unreachable!("{rows} rows are to be rounded up, but only {} have a fraction", rows - left)
}
