//! Codecs: how a value is stored. One file each, and one list of all.
//!
//! Kernels compute in f32 whatever a value is stored as. A codec says how the bits of a value become an f32, and how an
//! f32 becomes bits: rounded to the nearest where values are set, and rounded at random where an update moves them. It
//! says so twice, in Rust ([`Codec`], for the CPU) and in WGSL (`shaders/rows/codec_NAME.wgsl`). Nothing else knows how
//! a value is stored.
//!
//! # Adding a codec
//! A file here that implements [`Codec`], its twin `shaders/rows/codec_NAME.wgsl`, a line in the list below, and a line
//! in `docs/table-file.md`. All tests of kernels on rows go through [`Format::ALL`].

use std::str::FromStr;

use half::f16;

use crate::check;
use crate::device::{Binding, Buffer, CodecSource, Device, Element};
use crate::rng::{self, Purpose};
use crate::{Error, Result};

#[macro_use]
mod list;
mod codec_bf16;
mod codec_f16;
mod codec_f32;

codecs! {$
    /// 4 bytes a value.
    #[default]
    F32: f32,
    /// 2 bytes a value: 5 bits of exponent and 10 of fraction, from 6e-8 to 65,504. Two values share a 32-bit word, so
    /// no feature of a device is needed. Updates round at random ([`Update`](crate::kernels::table::update::Update)),
    /// so that steps smaller than half the distance to the next value are not lost.
    F16: ::half::f16,
    /// 2 bytes a value: the range of f32, and 7 bits of fraction. For values whose size is not known beforehand; around
    /// 1 an f16 is eight times as precise. Otherwise as [`F16`](Self::F16).
    BF16: ::half::bf16,
}

pub(crate) use with_codec;

/// Ties a type to its variants of [`Format`] and [`Values`]; the list of codecs does so.
pub trait Stored: Element {
    /// Its name.
    const FORMAT: Format;

    /// These values, if they are stored so.
    fn of(values: &Values) -> Option<&Buffer<Self>>;

    /// The same, to write.
    fn of_mut(values: &mut Values) -> Option<&mut Buffer<Self>>;

    /// A buffer as values.
    fn values(buffer: Buffer<Self>) -> Values;
}

/// How a value is stored, on the CPU. See the [module](self).
pub trait Codec: Stored {
    /// Its name in files of WGSL and on command lines.
    const NAME: &'static str;
    /// Its name in the file of a table.
    const DTYPE: &'static str;
    /// The codec in WGSL.
    const SHADER: &'static str;

    /// The f32 that it stands for.
    fn decode(self) -> f32;

    /// From f32, rounded to the nearest, ties to even. A value beyond the range becomes the largest within; NaN stays
    /// NaN.
    fn nearest(value: f32) -> Self;

    /// From f32, rounded to one of the two neighbours. Each is taken with a chance in proportion to the distance of the
    /// other, so the result is right on average. `noise` is 16 random bits. Computed in whole numbers, so that every
    /// device rounds alike.
    fn dithered(value: f32, noise: u32) -> Self;

    /// The row itself, when it is f32.
    #[inline(always)]
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }

    /// To f32, both of the same length.
    #[inline(always)]
    fn to_f32(from: &[Self], to: &mut [f32]) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = from.decode());
    }

    /// To f16, both of the same length.
    #[inline(always)]
    fn to_f16(from: &[Self], to: &mut [f16]) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = f16::nearest(from.decode()));
    }

    /// The row as f32: itself, or in `scratch`.
    #[inline(always)]
    fn widen<'a>(row: &'a [Self], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        scratch.resize(row.len(), 0.0);
        Self::to_f32(row, scratch);
        scratch
    }

    /// Changes a row of `width` values in f32, in `scratch` where it is stored as something else, and then rounds it by
    /// the noise. More may lie behind the row, and behind what is changed: `change` has to leave it as it is.
    #[inline(always)]
    fn in_f32(
        (row, width): (&mut [Self], usize),
        scratch: &mut Vec<f32>,
        noise: Noise,
        change: impl FnOnce(&mut [f32]),
    ) {
        Self::widen(&row[..width], scratch);
        scratch.resize(width.next_multiple_of(WIDEST_VECTOR), 0.0);
        change(scratch);
        noise.round(scratch, &mut row[..width]);
    }
}

/// The most f32 in a vector of any processor that the crate is compiled for: so much longer than a row, a slice has the
/// row in whole vectors.
pub(crate) const WIDEST_VECTOR: usize = 16;

/// Values of a 32-bit word.
pub(crate) const fn per_word<V: Codec>() -> u32 {
    4 / size_of::<V>() as u32
}

/// The noise that rounds the values of a step, by (seed, row, dim, step).
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    pub key: [u32; 2],
    pub row: u32,
    pub step: u32,
}

impl Noise {
    fn round<V: Codec>(self, from: &[f32], to: &mut [V]) {
        for (four, (from, to)) in (0..).zip(from.chunks(4).zip(to.chunks_mut(4))) {
            let words = rng::philox([self.row, four, self.step, Purpose::Rounding as u32], self.key);
            to.iter_mut().zip(from).zip(words).for_each(|((to, &from), word)| *to = V::dithered(from, word >> 16));
        }
    }
}

impl Format {
    /// Bytes of a value.
    pub fn bytes(self) -> u64 {
        with_codec!(self, V => size_of::<V>() as u64)
    }

    /// Its name: `f32`, `f16` or `bf16`, as [`FromStr`] reads it.
    ///
    /// ```
    /// use scall_gpu::rows::Format;
    /// let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
    /// assert_eq!(names, ["f32", "f16", "bf16"]);
    /// assert_eq!("bf16".parse::<Format>()?, Format::BF16);
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn name(self) -> &'static str {
        with_codec!(self, V => V::NAME)
    }

    /// Its name in the file of a table.
    pub(crate) fn dtype(self) -> &'static str {
        with_codec!(self, V => V::DTYPE)
    }

    /// What a shader has to know of it.
    pub(crate) fn source(self) -> CodecSource {
        with_codec!(self, V => CodecSource { name: V::NAME, source: V::SHADER })
    }

    /// Values of a 32-bit word.
    pub(crate) fn per_word(self) -> u32 {
        with_codec!(self, V => per_word::<V>())
    }

    /// Whether its values are f32 as they are stored.
    pub(crate) fn is_f32(self) -> bool {
        self == Self::F32
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check::named("Format", "format", Self::ALL, Self::name, text)
    }
}

impl Values {
    /// `len` zeros on a device.
    ///
    /// # Errors
    /// [`Error::Limit`] past the device's largest binding.
    pub fn zeroed(device: &Device, format: Format, len: usize) -> Result<Self> {
        with_codec!(format, V => Ok(V::values(Buffer::zeroed(device, len)?)))
    }

    /// Values on a device, each stored as the nearest that the format has.
    ///
    /// # Errors
    /// [`Error::Limit`] past the device's largest binding.
    pub fn from_f32(device: &Device, format: Format, values: &[f32]) -> Result<Self> {
        with_codec!(format, V => {
            let values: Vec<V> = values.iter().map(|&value| V::nearest(value)).collect();
            Ok(V::values(Buffer::from_vec(device, values)?))
        })
    }

    /// What they are stored as.
    pub fn format(&self) -> Format {
        fn of<V: Stored>(_: &Buffer<V>) -> Format {
            V::FORMAT
        }
        with_values!(self, values => of(values))
    }

    /// Their number, including those between rows.
    pub fn len(&self) -> usize {
        with_values!(self, values => values.len())
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their bytes.
    pub fn size_bytes(&self) -> u64 {
        with_values!(self, values => values.size_bytes())
    }

    /// The wgpu buffer, when they live on a GPU.
    pub fn as_wgpu(&self) -> Option<&wgpu::Buffer> {
        with_values!(self, values => values.as_wgpu())
    }

    /// Their bytes in it.
    pub(super) fn as_wgpu_binding(&self) -> Option<wgpu::BufferBinding<'_>> {
        with_values!(self, values => values.as_wgpu_binding())
    }

    /// The values as f32.
    ///
    /// # Errors
    /// What the device reports.
    pub fn read(&self) -> Result<Vec<f32>> {
        with_values!(self, values => Ok(decoded(values.read()?)))
    }

    pub(crate) fn binding(&self, arg: &'static str) -> Binding<'_> {
        with_values!(self, values => values.binding(arg))
    }

    pub(super) fn duplicate(&self, device: &Device) -> Result<Self> {
        fn copy<V: Stored>(device: &Device, values: &Buffer<V>) -> Result<Values> {
            Ok(V::values(duplicate(device, values)?))
        }
        with_values!(self, values => copy(device, values))
    }
}

/// A copy of a buffer.
pub(super) fn duplicate<T: Element>(device: &Device, from: &Buffer<T>) -> Result<Buffer<T>> {
    let mut to = Buffer::zeroed(device, from.len())?;
    let mut commands = device.commands();
    commands.copy(from, &mut to, from.len())?;
    commands.submit()?;
    Ok(to)
}

/// Values as f32, in place where they are f32 already.
fn decoded<V: Codec>(values: Vec<V>) -> Vec<f32> {
    // No copy where the elements are of one type.
    bytemuck::allocation::try_cast_vec(values).unwrap_or_else(|(_, values)| {
        let mut out = vec![0.0; values.len()];
        V::to_f32(&values, &mut out);
        out
    })
}

#[cfg(test)]
mod tests;
