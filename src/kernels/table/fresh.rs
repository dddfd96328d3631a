//! How a row begins. What a dim starts as is a function of (seed, row, dim), written down here and in
//! `shaders/common/fresh.wgsl`, and nowhere else.

use std::ops::Range;

use crate::Result;
use crate::check;
use crate::device::param_group;
use crate::rng::{self, Purpose};
use crate::rows::{Codec, Noise};

/// What a dim that appears starts as.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fill {
    /// Zero: new optimizer state.
    #[default]
    Zero,
    /// `N(0, std^2)`: new embeddings.
    Normal {
        /// Key of the draw; another one for each table.
        seed: u64,
        /// Standard deviation; SCALL draws at 0.01.
        std: f32,
        /// Leading dims that start at zero all the same, such as a bias.
        zero_dims: u32,
    },
}

impl Fill {
    /// Domain of the constants.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        match *self {
            Self::Zero => Ok(()),
            Self::Normal { std, .. } => {
                check::domain(op, "std", std, std.is_finite() && std >= 0.0, "finite and not negative")
            }
        }
    }

    pub(crate) fn fresh(&self) -> Fresh {
        match *self {
            Self::Zero => Fresh { key: [0, 0], scale: 0.0, zero_dims: 0 },
            Self::Normal { seed, std, zero_dims } => {
                let scale = std / (1u32 << rng::NORMAL_FRACTION_BITS) as f32;
                Fresh { key: rng::key(seed), scale, zero_dims }
            }
        }
    }
}

/// A fill as kernels take it; `shaders/common/fresh.wgsl` gives the same values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh {
    pub key: [u32; 2],
    /// Factor of the fixed-point normal; 0 for zeros.
    pub scale: f32,
    pub zero_dims: u32,
}

param_group! {
    /// What a kernel that begins rows has to know: `shaders/common/fresh_params.wgsl`.
    "fresh", struct FreshParams {
        one_a_row: u32,
        key_low: u32,
        key_high: u32,
        purpose: u32,
        zero_dims: u32,
        scale: f32,
    }
}

impl Fresh {
    /// The shader's parameters, for the values of rows or for one number a row.
    pub fn params(&self, one_a_row: bool) -> FreshParams {
        let &Self { key: [key_low, key_high], scale, zero_dims } = self;
        let (one_a_row, purpose) = (one_a_row.into(), Purpose::Dims as u32);
        FreshParams { one_a_row, key_low, key_high, purpose, zero_dims, scale }
    }

    /// All `dims` of a row, whose values are the first of these; `drawn` is room for them.
    pub fn write<V: Codec>(&self, id: u32, (row, dims): (&mut [V], usize), drawn: &mut Vec<f32>) {
        let mut draws = Draws::new(*self);
        drawn.resize(dims, 0.0);
        draws.add(drawn, (id, 0), 0..dims);
        draws.draw(drawn);
        V::begin(drawn, row, 0, self.noise(id));
    }

    /// What rounds the values of a row that begin.
    pub fn noise(&self, id: u32) -> Noise {
        Noise::of_beginning(self.key, id)
    }
}

/// Dims that are still to be drawn; four of them share a counter. Their values are stored one by one.
pub(super) struct Draws {
    fresh: Fresh,
    /// Of each counter the row,
    rows: [u32; rng::BLOCKS],
    /// and the first dim over four.
    fours: [u32; rng::BLOCKS],
    counters: usize,
    /// Of each dim its place among the words of all counters, first words first,
    words: [u8; 4 * rng::BLOCKS],
    /// and where its value goes.
    places: [usize; 4 * rng::BLOCKS],
    dims: usize,
}

impl Draws {
    pub fn new(fresh: Fresh) -> Self {
        let (rows, fours) = ([0; rng::BLOCKS], [0; rng::BLOCKS]);
        let (words, places) = ([0; 4 * rng::BLOCKS], [0; 4 * rng::BLOCKS]);
        Self { fresh, rows, fours, counters: 0, words, places, dims: 0 }
    }

    /// Draws the dims of a row from `first` on to these places, now or later.
    #[inline(always)]
    pub fn add<V: Codec>(&mut self, values: &mut [V], (row, mut first): (u32, u32), mut places: Range<usize>) {
        let Fresh { scale, zero_dims, .. } = self.fresh;
        let zeros =
            if scale == 0.0 { places.len() } else { places.len().min(zero_dims.saturating_sub(first) as usize) };
        values[places.start..places.start + zeros].fill(V::zeroed());
        (places.start, first) = (places.start + zeros, first + zeros as u32);
        while !places.is_empty() {
            let word = first as usize & 3;
            let count = places.len().min(4 - word);
            (self.rows[self.counters], self.fours[self.counters]) = (row, first >> 2);
            for k in 0..count {
                self.words[self.dims] = ((word + k) * rng::BLOCKS + self.counters) as u8;
                self.places[self.dims] = places.start + k;
                self.dims += 1;
            }
            self.counters += 1;
            if self.counters == rng::BLOCKS {
                self.draw(values);
            }
            (places.start, first) = (places.start + count, first + count as u32);
        }
    }

    /// Draws the dims that wait. Often only one dim of a counter does; only its word becomes a normal number.
    pub fn draw<V: Codec>(&mut self, values: &mut [V]) {
        let constant = |word| [word; rng::BLOCKS];
        let counters = [self.rows, self.fours, constant(0), constant(Purpose::Dims as u32)];
        let words = rng::philox_blocks(counters, self.fresh.key);
        let parts = self.words[..self.dims].chunks(rng::BLOCKS).zip(self.places[..self.dims].chunks(rng::BLOCKS));
        for (own, places) in parts {
            let mut picked = [0; rng::BLOCKS];
            for (picked, &word) in picked.iter_mut().zip(own) {
                *picked = words.as_flattened()[word as usize];
            }
            for (&place, normal) in places.iter().zip(rng::normals_fixed(picked)) {
                V::store(&[normal as f32 * self.fresh.scale], &mut values[place..]);
            }
        }
        (self.counters, self.dims) = (0, 0);
    }
}
