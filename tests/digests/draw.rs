//! Inputs: a stream of integers (splitmix64), and what is made of them without a rounding that could differ.

/// A stream of integers.
pub struct Draw(u64);

impl Draw {
    /// The stream of a name, so that a new input moves no other.
    pub fn of(name: &str) -> Self {
        Self(super::record::fnv(name.as_bytes()))
    }

    pub fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 32) as u32
    }

    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.word()) * u64::from(bound)) >> 32) as u32
    }

    pub fn words(&mut self, len: usize, bound: u32) -> Vec<u32> {
        (0..len).map(|_| self.below(bound)).collect()
    }

    /// From -2 to 2, in steps of 2^-22.
    pub fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.word() >> 8) as f32 / 4_194_304.0 - 2.0).collect()
    }

    /// Sizes of rows: most are small, some are empty, and one in a hundred is `wide`.
    pub fn sizes(&mut self, len: usize, wide: u32) -> Vec<u32> {
        let size = |draw: &mut Self| match draw.below(100) {
            0 => wide,
            1..15 => 0,
            _ => draw.below(40),
        };
        (0..len).map(|_| size(self)).collect()
    }

    /// Lengths of bags, segments or rows of a matrix that add up to `total`; the second takes a large part.
    pub fn offsets(&mut self, parts: usize, total: u32) -> Vec<u32> {
        let mut cuts = self.words(parts - 1, total - total / 3);
        cuts.iter_mut().for_each(|cut| *cut += total / 3);
        cuts[0] = 3.min(total);
        cuts.extend([0, total]);
        cuts.sort_unstable();
        cuts
    }
}
