//! Made-up inputs, the same in every run.

use scall_gpu::rng::philox;

/// `count` numbers below `n`, the same in every run.
pub fn uniform(count: usize, n: u32, salt: u32) -> Vec<u32> {
    (0..count as u32).map(|i| ((u64::from(philox([i, salt, 0, 6], [1, 2])[0]) * u64::from(n)) >> 32) as u32).collect()
}

/// `count` ids below `n` by a Zipf-like law: the density falls with the id.
pub fn skewed(count: usize, n: u32, salt: u32) -> Vec<u32> {
    uniform(count, 1 << 24, salt)
        .into_iter()
        .map(|word| (f64::from(n).powf(f64::from(word) / f64::from(1 << 24)) - 1.0) as u32)
        .collect()
}

/// Offsets of `rows` rows of sizes 1 to `2 * mean - 1`.
pub fn ragged(rows: usize, mean: u32) -> Vec<u32> {
    let mut offsets = vec![0];
    for size in uniform(rows, 2 * mean - 1, 9) {
        offsets.push(offsets[offsets.len() - 1] + size + 1);
    }
    offsets
}

/// `len` values, the same in every run.
pub fn values(len: usize) -> Vec<f32> {
    uniform(len, 2001, 5).into_iter().map(|word| word as f32 / 1000.0 - 1.0).collect()
}
