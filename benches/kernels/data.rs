//! Made-up inputs, the same in every run.

use std::ops::Range;

use scall_gpu::Result;
use scall_gpu::device::Device;
use scall_gpu::rng::philox;
use scall_gpu::rows::StateSize;
use scall_gpu::rows::{Layout, Rows};

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

/// `rows` sizes, 1 to `2 * mean - 1`.
pub fn ragged(rows: usize, mean: u32) -> Vec<u32> {
    uniform(rows, 2 * mean - 1, 9).into_iter().map(|size| size + 1).collect()
}

/// `len` values, the same in every run.
pub fn values(len: usize) -> Vec<f32> {
    uniform(len, 2001, 5).into_iter().map(|word| word as f32 / 1000.0 - 1.0).collect()
}

/// Rows of made-up values on the host, one behind the other: what a plain loop works on.
pub struct HostRows {
    pub sizes: Vec<u32>,
    pub values: Vec<f32>,
    begins: Vec<usize>,
}

impl HostRows {
    pub fn new(sizes: Vec<u32>) -> Self {
        let mut len = 0;
        let mut begin = |&size: &u32| {
            len += size as usize;
            len - size as usize
        };
        let begins = sizes.iter().map(&mut begin).collect();
        Self { sizes, values: values(len), begins }
    }

    pub fn size(&self, id: u32) -> u64 {
        self.sizes[id as usize].into()
    }

    /// Where a row lies.
    pub fn range(&self, id: u32) -> Range<usize> {
        let begin = self.begins[id as usize];
        begin..begin + self.sizes[id as usize] as usize
    }

    pub fn row(&self, id: u32) -> &[f32] {
        &self.values[self.range(id)]
    }

    /// The same on a device, with zeroed state.
    pub fn on(&self, device: &Device, state: StateSize) -> Result<Rows> {
        self.laid_out(device, Layout::default(), state)
    }

    /// The same in another layout.
    pub fn laid_out(&self, device: &Device, layout: Layout, state: StateSize) -> Result<Rows> {
        let mut rows = Rows::zeroed(device, &self.sizes, layout, state)?;
        rows.write(&self.values)?;
        Ok(rows)
    }
}
