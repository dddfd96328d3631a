//! Values as f32.

use super::{Codec, Noise};

impl Codec for f32 {
    const NAME: &'static str = "f32";
    const DTYPE: &'static str = "F32";
    const SHADER: &'static str = include_str!("../../../shaders/rows/codec_f32.wgsl");

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

    #[inline(always)]
    fn as_f32(row: &[Self]) -> Option<&[f32]> {
        Some(row)
    }

    #[inline(always)]
    fn to_f32(from: &[Self], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    #[inline(always)]
    fn widen<'a>(row: &'a [Self], _: &'a mut Vec<f32>) -> &'a [f32] {
        row
    }

    #[inline(always)]
    fn in_f32((row, _): (&mut [Self], usize), _: &mut Vec<f32>, _: Noise, change: impl FnOnce(&mut [f32])) {
        change(row);
    }
}
