//! The one random stream of both devices: Philox4x32-10, a counter-based generator.
//!
//! A draw is a pure function of a counter and a key, so it does not depend on the order of threads or on the device.
//! `shaders/common/philox.wgsl` computes the same words.
//!
//! Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

use std::convert::Infallible;
use std::sync::LazyLock;

use rand::TryRng;

/// What a stream of random words is for. It is the last counter word, so two purposes never share a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Training triples: counter (occurrence, step, 0).
    Triples = 1,
    /// New embedding dims: counter (row, dim, 0).
    Dims = 2,
    /// Size draws: counter (rank / 4, draw, action).
    Sizes = 3,
    /// Replay samples.
    Replay = 4,
    /// Random orders.
    Shuffle = 5,
    /// What users of this crate draw through [`Philox`].
    User = 6,
    /// Training triples from a log: counter (occurrence, step, try / 4).
    LogTriples = 7,
    /// Initial weights of the agent's networks, a substream each.
    Weights = 8,
    /// The agent's exploration, a substream an action.
    Explore = 9,
    /// The agent's batches and their noise, a substream a learning step.
    Learn = 10,
    /// Actions near the best of a search, a substream a probe.
    NearBest = 11,
    /// Size actions that a search tries, a substream a segment.
    Actions = 12,
    /// The rounding of values in updates: counter (row, dim / 4, step).
    Rounding = 13,
    /// The test users that are ranked for, a substream a segment.
    Evaluate = 14,
    /// Training triples from feedback blocks: counter (occurrence, step, 0).
    Blocks = 15,
    /// Rows that keys share: counter (low word, high word, part).
    Addresses = 16,
}

/// Stafford's mix 13, the finaliser of SplitMix64: a bijection of 64 bits, in which each bit that goes in moves half of
/// those that come out. It hashes; nothing is drawn by it.
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Ten rounds of Philox4x32: four random words for a counter and a key.
///
/// ```
/// // Known answer of the reference implementation (Random123, kat_vectors).
/// assert_eq!(
///     scall_gpu::rng::philox([0; 4], [0; 2]),
///     [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
/// );
/// ```
#[inline(always)]
pub const fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    let mut round = 0;
    while round < 10 {
        let p0 = 0xD251_1F53_u64 * c0 as u64;
        let p1 = 0xCD9E_8D57_u64 * c2 as u64;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// The key of a seed: low word, high word.
#[inline]
pub const fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// Maps a random word to `0..n` by the high half of the product (bias below `n / 2^32`). `n = 0` gives 0.
#[inline(always)]
pub const fn below(word: u32, n: u32) -> u32 {
    ((word as u64 * n as u64) >> 32) as u32
}

/// Fraction bits of [`normal_fixed`].
pub(crate) const NORMAL_FRACTION_BITS: u32 = 20;
/// Smallest biased exponent of a tail probability in the table: 2^-41, beyond what 32-bit draws reach.
const LOWEST_EXPONENT: u32 = 86;

/// A power of two, so that a mask bounds every index and vectors can gather; entries past the last step are zero.
const NORMAL_ENTRIES: usize = 4096;

pub(crate) type NormalTable = [i32; NORMAL_ENTRIES];

/// Upper-tail quantiles of the standard normal in fixed point, 64 steps an octave of the tail probability:
/// entry i belongs to the f32 whose bits are `(86 * 64 + i) << 17`. The last octave ends at probability 1/2.
///
/// Why a table: log, sqrt and cos differ between devices, integers do not. Interpolated linearly, the error is below
/// 2e-5.
pub(crate) static NORMAL_TABLE: LazyLock<NormalTable> = LazyLock::new(|| {
    let entries = (126 - LOWEST_EXPONENT) * 64 + 2;
    let mut table = [0; NORMAL_ENTRIES];
    let mut z = 0.0f64;
    // From probability 1/2 outward: each root lies to the right of the last, where Newton's method converges
    // monotonically.
    for i in (0..entries - 1).rev() {
        let p = f32::from_bits((LOWEST_EXPONENT * 64 + i) << 17) as f64;
        for _ in 0..8 {
            let tail = 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2);
            let density = libm::exp(-0.5 * z * z) / (2.0 * std::f64::consts::PI).sqrt();
            z += (tail - p) / density;
        }
        table[i as usize] = libm::round(z * f64::from(1 << NORMAL_FRACTION_BITS)) as i32;
    }
    table
});

/// Upper-tail normal quantile in fixed point for the bits of a tail probability in (0, 1/2].
#[inline(always)]
fn normal_tail(table: &NormalTable, probability_bits: u32) -> i32 {
    // Without the branches of a clamp, which would keep compilers from making vectors of loops.
    #[expect(clippy::manual_clamp)]
    let bits = probability_bits.max(LOWEST_EXPONENT << 23).min(126 << 23);
    let i = ((bits >> 17) - LOWEST_EXPONENT * 64) as usize;
    let fraction = ((bits & 0x1_FFFF) >> 1) as i32;
    let (low, high) = (table[i % NORMAL_ENTRIES], table[(i + 1) % NORMAL_ENTRIES]);
    low - (((low - high) * fraction) >> 16)
}

/// A standard normal number for one random word, in units of 2^-20: the same integer on every device.
#[inline(always)]
pub(crate) fn normal_fixed(table: &NormalTable, word: u32) -> i32 {
    // (m + 1/2) / 2^32 for the low 31 bits m, as the bits of an f32 with the mantissa cut off.
    let odd = (word << 1) | 1;
    let zeros = odd.leading_zeros();
    let mantissa = odd.checked_shl(zeros + 1).unwrap_or(0) >> 9;
    let tail = normal_tail(table, ((125 - zeros) << 23) | mantissa);
    if word >> 31 == 1 { -tail } else { tail }
}

/// Blocks of four words that [`philox_blocks`] draws at once: enough to hide the latency of a product.
pub(crate) const BLOCKS: usize = 16;

/// [`philox`] of many counters: word w of counter b is at `[w][b]`, and so is that of its block.
pub(crate) fn philox_blocks(counters: [[u32; BLOCKS]; 4], key: [u32; 2]) -> [[u32; BLOCKS]; 4] {
    pulp::Arch::new().dispatch(Blocks { words: counters, key })
}

struct Blocks {
    words: [[u32; BLOCKS]; 4],
    key: [u32; 2],
}

impl pulp::NullaryFnOnce for Blocks {
    type Output = [[u32; BLOCKS]; 4];

    /// A loop that becomes vectors.
    #[inline(always)]
    fn call(self) -> [[u32; BLOCKS]; 4] {
        // Each word lies in the lower half of 64 bits, where a product needs no unpacking. The upper half does not
        // matter.
        let mut wide = [[0u64; BLOCKS]; 4];
        for (wide, words) in wide.iter_mut().zip(&self.words) {
            for b in 0..BLOCKS {
                wide[b] = words[b].into();
            }
        }
        let [mut c0, mut c1, mut c2, mut c3] = wide;
        let [mut k0, mut k1] = self.key;
        for _ in 0..10 {
            for b in 0..BLOCKS {
                let p0 = 0xD251_1F53 * (c0[b] & 0xFFFF_FFFF);
                let p1 = 0xCD9E_8D57 * (c2[b] & 0xFFFF_FFFF);
                (c0[b], c2[b]) = ((p1 >> 32) ^ c1[b] ^ u64::from(k0), (p0 >> 32) ^ c3[b] ^ u64::from(k1));
                (c1[b], c3[b]) = (p1, p0);
            }
            k0 = k0.wrapping_add(0x9E37_79B9);
            k1 = k1.wrapping_add(0xBB67_AE85);
        }
        let mut words = [[0; BLOCKS]; 4];
        for (words, wide) in words.iter_mut().zip([c0, c1, c2, c3]) {
            for b in 0..BLOCKS {
                words[b] = wide[b] as u32;
            }
        }
        words
    }
}

/// [`normal_fixed`] of some words.
pub(crate) fn normals_fixed(words: [u32; BLOCKS]) -> [i32; BLOCKS] {
    pulp::Arch::new().dispatch(Normals { table: &NORMAL_TABLE, words })
}

struct Normals<'a> {
    table: &'a NormalTable,
    words: [u32; BLOCKS],
}

impl pulp::NullaryFnOnce for Normals<'_> {
    type Output = [i32; BLOCKS];

    /// A loop that becomes vectors.
    #[inline(always)]
    fn call(self) -> [i32; BLOCKS] {
        let Self { table, words } = self;
        let mut normals = [0; BLOCKS];
        // A plain loop: a closure would be compiled by itself, without the vectors.
        for b in 0..BLOCKS {
            let word = words[b];
            let odd = (word << 1) | 1;
            // The leading zeros, by the exponent of a float that no rounding lifts to the next power of two. Vectors
            // can convert numbers, but few can count zeros.
            let exponent = (((odd & !(odd >> 1)) >> 1) as i32 as f32).to_bits() >> 23;
            let zeros = if odd == 1 { 31 } else { 157 - exponent };
            let mantissa = (odd << (zeros & 31) << 1) >> 9;
            let bits = ((125 - zeros) << 23) | mantissa;
            let i = ((bits >> 17) - LOWEST_EXPONENT * 64) as usize;
            let fraction = ((bits & 0x1_FFFF) >> 1) as i32;
            let (low, high) = (table[i % NORMAL_ENTRIES], table[(i + 1) % NORMAL_ENTRIES]);
            let tail = low - (((low - high) * fraction) >> 16);
            let sign = word as i32 >> 31;
            normals[b] = (tail ^ sign) - sign;
        }
        normals
    }
}

/// Standard normal quantile z with P(Z > z) = `upper` for `upper` in (0, 1), given with its exact complement
/// `lower = 1 - upper` so that neither tail is cancelled. Absolute error below 2e-5.
#[inline(always)]
pub(crate) fn normal_quantile(table: &NormalTable, upper: f32, lower: f32) -> f32 {
    let tail = normal_tail(table, upper.min(lower).to_bits()) as f32 * (1.0 / (1 << NORMAL_FRACTION_BITS) as f32);
    if upper <= lower { tail } else { -tail }
}

/// A sequential generator over [`philox`], for host code: shuffles, samples, tests. Implements [`rand::Rng`].
///
/// ```
/// use rand::{Rng, seq::SliceRandom};
/// use scall_gpu::rng::{Philox, Purpose};
/// let mut order: Vec<u32> = (0..10).collect();
/// order.shuffle(&mut Philox::new(7, Purpose::User));
/// assert_ne!(Philox::new(7, Purpose::User).next_u32(), Philox::new(8, Purpose::User).next_u32());
/// ```
#[derive(Clone, Debug)]
pub struct Philox {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl Philox {
    /// The stream of a seed for one purpose.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self::substream(seed, purpose, 0)
    }

    /// One of 2^32 independent streams of a seed and purpose, such as one a segment.
    pub fn substream(seed: u64, purpose: Purpose, index: u32) -> Self {
        Self { key: key(seed), counter: [0, 0, index, purpose as u32], words: [0; 4], used: 4 }
    }

    /// A standard normal number, the same on every machine.
    pub(crate) fn normal(&mut self) -> f64 {
        let Ok(word) = self.try_next_u32();
        f64::from(normal_fixed(&NORMAL_TABLE, word)) / f64::from(1 << NORMAL_FRACTION_BITS)
    }
}

impl TryRng for Philox {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        if self.used == 4 {
            self.words = philox(self.counter, self.key);
            self.used = 0;
            let (low, carry) = self.counter[0].overflowing_add(1);
            self.counter[0] = low;
            self.counter[1] = self.counter[1].wrapping_add(u32::from(carry));
        }
        self.used += 1;
        Ok(self.words[self.used - 1])
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = u64::from(self.try_next_u32()?);
        Ok(low | u64::from(self.try_next_u32()?) << 32)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for chunk in dst.chunks_mut(4) {
            let word = self.try_next_u32()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_what_each_is() {
        let key = [0xDEAD_BEEF, 77];
        for salt in [0u32, 1, 0x8000_0000, u32::MAX] {
            let counters: [[u32; BLOCKS]; 4] = std::array::from_fn(|w| {
                std::array::from_fn(|b| {
                    (b as u32).wrapping_mul(0x9E37_79B9) ^ (w as u32).wrapping_mul(0x85EB_CA6B) ^ salt
                })
            });
            let got = philox_blocks(counters, key);
            for b in 0..BLOCKS {
                assert_eq!(got.map(|words| words[b]), philox(counters.map(|words| words[b]), key));
            }
            for words in got {
                assert_eq!(normals_fixed(words), words.map(|word| normal_fixed(&NORMAL_TABLE, word)));
            }
        }
        let edges =
            [0, 1, 2, 3, 0x7FFF_FFFE, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX, 5, 6, 7, 8, 9, 10];
        assert_eq!(normals_fixed(edges), edges.map(|word| normal_fixed(&NORMAL_TABLE, word)));
    }

    /// Random123's kat_vectors for philox4x32 with 10 rounds.
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        assert_eq!(
            philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn quantile_matches_erfc() {
        for i in 1..20_000u32 {
            let upper = i as f32 / 20_000.0;
            let z = f64::from(normal_quantile(&NORMAL_TABLE, upper, 1.0 - upper));
            let back = 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2);
            let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!(((back - f64::from(upper)) / density).abs() < 2.5e-5, "P(Z > {z}) is {back}, not {upper}");
        }
        // Far tails, from published tables.
        assert!((normal_quantile(&NORMAL_TABLE, 1e-9, 1.0) - 5.997_807).abs() < 2e-5);
        assert!((normal_quantile(&NORMAL_TABLE, 1.0, 1e-6) + 4.753_424).abs() < 2e-5);
    }

    #[test]
    fn normal_moments() {
        let mut rng = Philox::new(3, Purpose::User);
        let n = 400_000;
        let mut moments = [0.0f64; 4];
        for _ in 0..n {
            let z = rng.normal();
            for (power, m) in moments.iter_mut().enumerate() {
                *m += z.powi(power as i32 + 1) / f64::from(n);
            }
        }
        let [mean, variance, skew, kurtosis] = moments;
        assert!(mean.abs() < 0.006, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.01, "variance {variance}");
        assert!(skew.abs() < 0.03, "skew {skew}");
        assert!((kurtosis - 3.0).abs() < 0.06, "kurtosis {kurtosis}");
    }

    #[test]
    fn extreme_words_stay_finite() {
        for word in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            assert!(normal_fixed(&NORMAL_TABLE, word).abs() < 7 << NORMAL_FRACTION_BITS);
        }
    }
}
