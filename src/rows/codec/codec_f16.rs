//! Values as f16, IEEE 754's binary16.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::{Codec, Noise, Scalar};

impl Scalar for f16 {
    #[inline(always)]
    fn decode(self) -> f32 {
        self.to_f32()
    }

    fn nearest(value: f32) -> Self {
        f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
    }

    fn dithered(value: f32, noise: u32) -> Self {
        let bits = value.to_bits();
        let sign = (bits >> 16 & 0x8000) as u16;
        let size = bits & 0x7FFF_FFFF;
        if size > 0x7F80_0000 {
            return f16::from_bits(sign | 0x7E00);
        }
        // 65,504, the largest.
        let size = size.min(0x477F_E000);
        // 2^-14, below which neighbours are 2^-24 apart.
        if size >= 0x3880_0000 {
            return f16::from_bits(sign | ((size - 0x3800_0000 + (noise >> 3)) >> 13) as u16);
        }
        let shift = 126 - (size >> 23);
        if shift > 31 {
            return f16::from_bits(sign);
        }
        let mantissa = size & 0x7F_FFFF | 0x80_0000;
        let noise = if shift <= 16 { noise >> (16 - shift) } else { noise << (shift - 16) };
        f16::from_bits(sign | ((mantissa + noise) >> shift) as u16)
    }
}

impl Codec for f16 {
    const NAME: &'static str = "f16";
    const DTYPE: &'static str = "F16";
    const SHADER: &'static str = include_str!("../../../shaders/rows/codec_f16.wgsl");

    #[inline(always)]
    fn to_f32(row: &[Self], to: &mut [f32]) {
        row[..to.len()].convert_to_f32_slice(to);
    }

    #[inline(always)]
    fn store(values: &[f32], row: &mut [Self]) {
        Self::each_stored(values, row);
    }

    #[inline(always)]
    fn round(values: &[f32], row: &mut [Self], noise: Noise) {
        Self::each_rounded(values, row, noise);
    }

    #[inline(always)]
    fn to_f16(row: &[Self], to: &mut [f16]) {
        to.copy_from_slice(&row[..to.len()]);
    }
}
