//! Values in words of four with a shared exponent: block floating point of one byte a value.
//!
//! ```text
//! bits of a word   0..7    7..14   14..21  21..28  28..32
//!                  code 0  code 1  code 2  code 3  exponent e
//! value j = code_j * 2^(e - 12)      codes from -63 to 63, in two's complement; e = 15: all four are NaN
//! ```
//!
//! The exponent is the least with which the largest of the four is within the codes, so what is stored follows from the
//! values alone. A word says all about its values, so rows of any width are read, stepped and moved word by word.

use super::{Codec, Noise};

/// A byte of a word: no value by itself.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Code(u8);

impl Code {
    /// The byte.
    pub fn to_le_bytes(self) -> [u8; 1] {
        [self.0]
    }

    /// Of a byte.
    pub fn from_le_bytes([byte]: [u8; 1]) -> Self {
        Self(byte)
    }
}

/// The exponent of a word without numbers.
const NAN: u32 = 15;

/// Noise that rounds to the nearest.
const NEAREST: [u32; 4] = [0x8000; 4];

/// The bits of 252 = 63 * 4, the largest value.
const LARGEST: u32 = 0x437C_0000;

#[inline(always)]
fn word(codes: &[Code; 4]) -> u32 {
    u32::from_le_bytes(codes.map(|code| code.0))
}

#[inline(always)]
fn codes(word: u32) -> [Code; 4] {
    word.to_le_bytes().map(Code)
}

/// The four values of a word.
#[inline(always)]
fn decoded(word: u32) -> [f32; 4] {
    let exponent = word >> 28;
    let spacing = if exponent == NAN { f32::NAN } else { f32::from_bits((exponent + 115) << 23) };
    [25, 18, 11, 4].map(|shift| ((word << shift) as i32 >> 25) as f32 * spacing)
}

/// The bits of a value's size; for one beyond the range, those of the largest within. NaN stays above all.
#[inline(always)]
fn size(value: f32) -> u32 {
    let size = value.to_bits() & 0x7FFF_FFFF;
    if size > 0x7F80_0000 { size } else { size.min(LARGEST) }
}

/// The word of four values, rounded by noise of 16 bits.
#[inline(always)]
fn encoded(values: [f32; 4], noise: [u32; 4]) -> u32 {
    let largest = values.into_iter().fold(0, |largest, value| size(value).max(largest));
    if largest > LARGEST {
        return NAN << 28;
    }
    // 63 is 1.96875 * 2^5: a fraction above that needs the next exponent.
    with_exponent(((largest + 0x3_FFFF) >> 23).saturating_sub(120), values, noise)
}

/// The same with a given exponent; what is beyond its codes becomes the largest of them.
#[inline(always)]
fn with_exponent(exponent: u32, values: [f32; 4], noise: [u32; 4]) -> u32 {
    let inverse = f32::from_bits((139 - exponent) << 23);
    let code = |value: f32, noise: u32| {
        let scaled = (value * inverse).clamp(-63.0, 63.0);
        (scaled + noise as f32 * (1.0 / 65_536.0)).floor() as i32 as u32 & 0x7F
    };
    let [a, b, c, d] = std::array::from_fn(|k| code(values[k], noise[k]));
    a | b << 7 | c << 14 | d << 21 | exponent << 28
}

/// Sets the first values of a row; `noise` is that of four neighbours by their number.
#[inline(always)]
fn put(values: &[f32], row: &mut [Code], noise: impl Fn(u32) -> [u32; 4]) {
    for ((four, values), to) in (0..).zip(values.chunks(4)).zip(row.as_chunks_mut::<4>().0) {
        let own = values.try_into().unwrap_or_else(|_| {
            let mut own = decoded(word(to));
            own[..values.len()].copy_from_slice(values);
            own
        });
        *to = codes(encoded(own, noise(four)));
    }
}

impl Codec for Code {
    const NAME: &'static str = "i8";
    const DTYPE: &'static str = "U32";
    const DTYPE_BYTES: usize = 4;
    const SHADER: &'static str = include_str!("../../../shaders/rows/codec_i8.wgsl");
    const GROUP: usize = 4;

    #[inline(always)]
    fn to_f32(row: &[Self], to: &mut [f32]) {
        let (whole, rest) = to.as_chunks_mut::<4>();
        let words = row.as_chunks::<4>().0;
        whole.iter_mut().zip(words).for_each(|(to, from)| *to = decoded(word(from)));
        if !rest.is_empty() {
            rest.copy_from_slice(&decoded(word(&words[whole.len()]))[..rest.len()]);
        }
    }

    #[inline(always)]
    fn store(values: &[f32], row: &mut [Self]) {
        put(values, row, |_| NEAREST);
    }

    #[inline(always)]
    fn round(values: &[f32], row: &mut [Self], noise: Noise) {
        put(values, row, |four| noise.of_four(four));
    }

    fn cut(row: &mut [Self], len: usize) {
        if !len.is_multiple_of(4) {
            let last = &mut row.as_chunks_mut::<4>().0[len / 4];
            *last = codes(word(last) & (0xF << 28 | codes_below(len % 4)));
        }
    }

    /// No code is -64, and there is none past the last value.
    fn is_own(row: &[Self], len: usize) -> bool {
        row.as_chunks::<4>().0.iter().take(len.div_ceil(4)).enumerate().all(|(number, codes)| {
            let (word, count) = (word(codes), (len - 4 * number).min(4));
            let code = |k: usize| word >> (7 * k) & 0x7F;
            (0..count).all(|k| code(k) != 0x40) && word & 0xFFF_FFFF & !codes_below(count) == 0
        })
    }

    /// Values that begin are rounded by the noise: the nearest of a small value in a word with large ones is 0, and two
    /// zeros that are multiplied never learn.
    fn begin(values: &[f32], row: &mut [Self], first: usize, noise: Noise) {
        let (mut kept, mut rest) = (first % 4, values);
        for (four, to) in (0..).zip(row.as_chunks_mut::<4>().0).skip(first / 4) {
            if rest.is_empty() {
                break;
            }
            let (own, others) = rest.split_at(rest.len().min(4 - kept));
            *to = codes(joined(word(to), kept, own, noise.of_four(four)));
            (kept, rest) = (0, others);
        }
    }
}

/// The bits of the first codes of a word.
fn codes_below(count: usize) -> u32 {
    (1 << (7 * count)) - 1
}

/// A word of which the first `kept` values stay as they are, and others begin after them. The exponent is that of the
/// values that stay, unless all these are 0.
fn joined(word: u32, kept: usize, begin: &[f32], noise: [u32; 4]) -> u32 {
    let codes = codes_below(kept);
    let mut own = [0.0; 4];
    own[kept..kept + begin.len()].copy_from_slice(begin);
    match word >> 28 {
        NAN if kept > 0 => NAN << 28,
        exponent if word & codes != 0 => with_exponent(exponent, own, noise) & !codes | word & codes,
        _ => encoded(own, noise),
    }
}

#[cfg(test)]
mod tests;
