//! Values as bf16: the upper half of an f32.

use half::bf16;

use super::{Codec, Noise, Scalar};

/// The bits of the largest finite value, as those of an f32.
const LARGEST: u32 = 0x7F7F_0000;

/// Sign and size of a value, the size cut to the range; nothing for NaN.
fn parts(value: f32) -> Option<(u16, u32)> {
    let bits = value.to_bits();
    let size = bits & 0x7FFF_FFFF;
    (size <= 0x7F80_0000).then(|| ((bits >> 16 & 0x8000) as u16, size.min(LARGEST)))
}

impl Scalar for bf16 {
    #[inline(always)]
    fn decode(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    fn nearest(value: f32) -> Self {
        parts(value)
            .map_or(bf16::NAN, |(sign, size)| bf16::from_bits(sign | ((size + 0x7FFF + (size >> 16 & 1)) >> 16) as u16))
    }

    fn dithered(value: f32, noise: u32) -> Self {
        parts(value).map_or(bf16::NAN, |(sign, size)| bf16::from_bits(sign | ((size + noise) >> 16) as u16))
    }
}

impl Codec for bf16 {
    const NAME: &'static str = "bf16";
    const DTYPE: &'static str = "BF16";
    const SHADER: &'static str = include_str!("../../../shaders/rows/codec_bf16.wgsl");

    #[inline(always)]
    fn to_f32(row: &[Self], to: &mut [f32]) {
        Self::each_to_f32(row, to);
    }

    #[inline(always)]
    fn store(values: &[f32], row: &mut [Self]) {
        Self::each_stored(values, row);
    }

    #[inline(always)]
    fn round(values: &[f32], row: &mut [Self], noise: Noise) {
        Self::each_rounded(values, row, noise);
    }
}
