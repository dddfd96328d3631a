//! Codecs: how a value is stored. One file each, and one list of all.
//!
//! Kernels compute in f32 whatever a value is stored as. A codec says how the bits of a value become an f32, and how an
//! f32 becomes bits: rounded to the nearest where values are set, and rounded at random where an update moves them. It
//! says so twice, in Rust ([`Codec`], for the CPU) and in WGSL (`shaders/rows/codec_NAME.wgsl`). Nothing else knows how
//! a value is stored. Most store each value by itself (`Scalar`); one stores the values of a word together.
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
mod codec_i8;

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
    /// 1 byte a value, block floating point: four neighbouring values of a row share a word of four codes of 7 bits,
    /// from -63 to 63, and an exponent of 4 bits. A value is `code * 2^(exponent - 12)`, up to 252, precise to a 63rd
    /// of the largest of its four: a large one, such as a learned bias, makes the three next to it coarser. Updates
    /// round at random, so that a table trains in place without a copy in f32.
    I8: crate::rows::Code,
}

pub use codec_i8::Code;
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

/// How rows are stored, on the CPU. See the [module](self).
///
/// A row that is read or written here comes as its values and what lies after them in the page, at least to the end of
/// its last group ([`GROUP`](Self::GROUP)).
pub trait Codec: Stored {
    /// Its name in files of WGSL and on command lines.
    const NAME: &'static str;
    /// Its name in the file of a table.
    const DTYPE: &'static str;
    /// The codec in WGSL.
    const SHADER: &'static str;
    /// Bytes of a number of that type.
    const DTYPE_BYTES: usize = size_of::<Self>();
    /// How many neighbouring values share bits: 1, or all of a word. Rows are stored in whole groups.
    const GROUP: usize = 1;

    /// The first values of a row as f32, as far as there is room.
    fn to_f32(row: &[Self], to: &mut [f32]);

    /// Sets the first values of a row, each to the nearest that there is. A value beyond the range becomes the largest
    /// within; NaN stays NaN. Those that share a group with them may be rounded.
    fn store(values: &[f32], row: &mut [Self]);

    /// The same, but each is rounded to one of its two neighbours by the noise. Either is taken with a chance in
    /// proportion to the distance of the other, so the result is right on average. Computed in whole numbers, so that
    /// every device rounds alike.
    fn round(values: &[f32], row: &mut [Self], noise: Noise);

    /// Sets the values of a row from place `first` on, that begin there: as [`store`](Self::store), but what is there
    /// before them stays as it is.
    #[inline(always)]
    fn begin(values: &[f32], row: &mut [Self], first: usize, _: Noise) {
        Self::store(values, &mut row[first..]);
    }

    /// What lies after the first `len` values of a row in their group becomes 0.
    #[inline(always)]
    fn cut(_: &mut [Self], _: usize) {}

    /// Whether the first `len` values of a row are stored as this codec stores them.
    fn is_own(_: &[Self], _: usize) -> bool {
        true
    }

    /// The row itself, when it is f32.
    #[inline(always)]
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }

    /// The first values of a row as f16, as far as there is room.
    #[inline(always)]
    fn to_f16(row: &[Self], to: &mut [f16]) {
        let mut values = [0.0; 32];
        for (row, to) in row.chunks(values.len()).zip(to.chunks_mut(values.len())) {
            let values = &mut values[..to.len()];
            Self::to_f32(row, values);
            f16::store(values, to);
        }
    }

    /// The first `len` values of a row as f32: in place, or in `scratch`.
    #[inline(always)]
    fn widen<'a>((row, len): (&'a [Self], usize), scratch: &'a mut Vec<f32>) -> &'a [f32] {
        scratch.resize(len, 0.0);
        Self::to_f32(row, scratch);
        scratch
    }

    /// Changes the first `width` values of a row in f32, in `scratch` where it is stored as something else, and then
    /// rounds it by the noise. `change` is given more than these, and has to leave that as it is.
    #[inline(always)]
    fn in_f32(
        (row, width): (&mut [Self], usize),
        scratch: &mut Vec<f32>,
        noise: Noise,
        change: impl FnOnce(&mut [f32]),
    ) {
        Self::widen((row, width), scratch);
        scratch.resize(width.next_multiple_of(WIDEST_VECTOR), 0.0);
        change(scratch);
        Self::round(&scratch[..width], row, noise);
    }
}

/// How a value is stored by itself.
pub(crate) trait Scalar: Stored {
    /// The f32 that it stands for.
    fn decode(self) -> f32;

    /// From f32, rounded to the nearest, ties to even.
    fn nearest(value: f32) -> Self;

    /// From f32, rounded to one of the two neighbours by 16 random bits.
    fn dithered(value: f32, noise: u32) -> Self;

    /// [`Codec::to_f32`] one by one.
    #[inline(always)]
    fn each_to_f32(row: &[Self], to: &mut [f32]) {
        to.iter_mut().zip(row).for_each(|(to, from)| *to = from.decode());
    }

    /// [`Codec::store`] one by one.
    #[inline(always)]
    fn each_stored(values: &[f32], row: &mut [Self]) {
        row.iter_mut().zip(values).for_each(|(to, &value)| *to = Self::nearest(value));
    }

    /// [`Codec::round`] one by one.
    #[inline(always)]
    fn each_rounded(values: &[f32], row: &mut [Self], noise: Noise) {
        for (four, (values, row)) in (0..).zip(values.chunks(4).zip(row.chunks_mut(4))) {
            let words = noise.of_four(four);
            row.iter_mut().zip(values).zip(words).for_each(|((to, &value), noise)| *to = Self::dithered(value, noise));
        }
    }
}

/// The most f32 in a vector of any processor that the crate is compiled for: so much longer than a row, a slice has the
/// row in whole vectors.
pub(crate) const WIDEST_VECTOR: usize = 16;

/// Values of a 32-bit word.
pub(crate) const fn per_word<V: Codec>() -> u32 {
    4 / size_of::<V>() as u32
}

/// The noise that rounds values, by (seed, row, dim, step, purpose).
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    pub key: [u32; 2],
    pub row: u32,
    pub step: u32,
    pub purpose: Purpose,
}

impl Noise {
    /// That of a step.
    pub fn of_step(key: [u32; 2], row: u32, step: u32) -> Self {
        Self { key, row, step, purpose: Purpose::Rounding }
    }

    /// That of a row that begins.
    pub fn of_beginning(key: [u32; 2], row: u32) -> Self {
        // Step 0 draws the values themselves.
        Self { key, row, step: 1, purpose: Purpose::Dims }
    }

    /// 16 bits for each of four neighbouring dims.
    #[inline(always)]
    fn of_four(self, four: u32) -> [u32; 4] {
        rng::philox([self.row, four, self.step, self.purpose as u32], self.key).map(|word| word >> 16)
    }
}

impl Format {
    /// Bytes of a value.
    pub fn bytes(self) -> u64 {
        with_codec!(self, V => size_of::<V>() as u64)
    }

    /// Its name: `f32`, `f16`, `bf16` or `i8`, as [`FromStr`] reads it.
    ///
    /// ```
    /// use scall_gpu::rows::Format;
    /// let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
    /// assert_eq!(names, ["f32", "f16", "bf16", "i8"]);
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

    /// Bytes of a number there.
    pub(crate) fn dtype_bytes(self) -> usize {
        with_codec!(self, V => V::DTYPE_BYTES)
    }

    /// What a shader has to know of it.
    pub(crate) fn source(self) -> CodecSource {
        with_codec!(self, V => CodecSource { name: V::NAME, source: V::SHADER })
    }

    /// How many neighbouring values share bits. Rows are stored in whole groups.
    pub(crate) fn group(self) -> usize {
        with_codec!(self, V => V::GROUP)
    }

    /// Elements that a row of this many values is stored in: whole groups.
    pub(crate) fn stored_len(self, values: usize) -> usize {
        values.next_multiple_of(self.group())
    }

    /// Values of a 32-bit word.
    pub(crate) fn per_word(self) -> u32 {
        with_codec!(self, V => per_word::<V>())
    }

    /// What each of these values is once it is stored with zeros next to it.
    pub(crate) fn each_alone(self, values: Vec<f32>) -> Vec<f32> {
        with_codec!(self, V => {
            let alone = |value: f32| {
                let (mut group, mut stored) = ([<V as bytemuck::Zeroable>::zeroed(); V::GROUP], [0.0]);
                <V as Codec>::store(&[value], &mut group);
                <V as Codec>::to_f32(&group, &mut stored);
                stored[0]
            };
            values.into_iter().map(alone).collect()
        })
    }

    /// What the values of a row are once they are stored.
    #[cfg(test)]
    pub(crate) fn nearest(self, row: &[f32]) -> Vec<f32> {
        with_codec!(self, V => decoded(encoded::<V>(row))[..row.len()].to_vec())
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

    /// Values on a device, each stored as the nearest that the format has, in whole groups: of
    /// [`I8`](Format::I8), in fours, the last of which may end in zeros.
    ///
    /// # Errors
    /// [`Error::Limit`] past the device's largest binding.
    pub fn from_f32(device: &Device, format: Format, values: &[f32]) -> Result<Self> {
        with_codec!(format, V => {
            Ok(V::values(Buffer::from_vec(device, encoded::<V>(values))?))
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

/// Values as they are stored in whole groups.
fn encoded<V: Codec>(values: &[f32]) -> Vec<V> {
    let mut stored = vec![bytemuck::Zeroable::zeroed(); values.len().next_multiple_of(V::GROUP)];
    V::store(values, &mut stored);
    stored
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
