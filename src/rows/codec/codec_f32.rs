//! Values as f32.

use super::{Codec, Noise, Scalar};

impl Scalar for f32 {
    #[inline(always)]
    fn decode(self) -> f32 {
        self
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn dithered(value: f32, _: u32) -> Self {
        value
    }
}

impl Codec for f32 {
    const NAME: &'static str = "f32";
    const DTYPE: &'static str = "F32";
    const SHADER: &'static str = include_str!("../../../shaders/rows/codec_f32.wgsl");

    #[inline(always)]
    fn to_f32(row: &[Self], to: &mut [f32]) {
        to.copy_from_slice(&row[..to.len()]);
    }

    #[inline(always)]
    fn store(values: &[f32], row: &mut [Self]) {
        row[..values.len()].copy_from_slice(values);
    }

    #[inline(always)]
    fn round(values: &[f32], row: &mut [Self], _: Noise) {
        Self::store(values, row);
    }

    #[inline(always)]
    fn as_f32(row: &[Self]) -> Option<&[f32]> {
        Some(row)
    }

    #[inline(always)]
    fn widen<'a>((row, len): (&'a [Self], usize), _: &'a mut Vec<f32>) -> &'a [f32] {
        &row[..len]
    }

    #[inline(always)]
    fn in_f32((row, _): (&mut [Self], usize), _: &mut Vec<f32>, _: Noise, change: impl FnOnce(&mut [f32])) {
        change(row);
    }
}
