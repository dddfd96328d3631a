//! Rows as the CPU twins read them, and the conversion of values.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use prefetch_index::prefetch_index;

use super::{Page, Place, Rows, Values, directory};
use crate::Result;
use crate::device::{Buffer, Element};
use crate::rng::{self, Purpose};

/// What a value may be stored as, on the CPU.
pub trait Value: Element {
    /// Values of a word.
    const PER_WORD: usize;

    fn of(values: &Values) -> Option<&Buffer<Self>>;
    fn of_mut(values: &mut Values) -> Option<&mut Buffer<Self>>;

    /// The row itself, when it is f32.
    fn as_f32(row: &[Self]) -> Option<&[f32]>;

    /// The row as f32: itself, or in `scratch`.
    fn widen<'a>(row: &'a [Self], scratch: &'a mut Vec<f32>) -> &'a [f32];

    /// To f32, both of the same length.
    fn to_f32(from: &[Self], to: &mut [f32]);

    /// To f16, both of the same length.
    fn to_f16(from: &[Self], to: &mut [f16]);

    /// From f32, rounded to the nearest.
    fn nearest(value: f32) -> Self;

    /// Changes a row in f32, `scratch` where it is something else; then it is rounded by the noise.
    fn in_f32(row: &mut [Self], scratch: &mut Vec<f32>, noise: Noise, change: impl FnOnce(&mut [f32]));
}

impl Value for f32 {
    const PER_WORD: usize = 1;

    fn of(values: &Values) -> Option<&Buffer<Self>> {
        match values {
            Values::F32(values) => Some(values),
            Values::F16(_) => None,
        }
    }

    fn of_mut(values: &mut Values) -> Option<&mut Buffer<Self>> {
        match values {
            Values::F32(values) => Some(values),
            Values::F16(_) => None,
        }
    }

    #[inline(always)]
    fn as_f32(row: &[Self]) -> Option<&[f32]> {
        Some(row)
    }

    #[inline(always)]
    fn widen<'a>(row: &'a [Self], _: &'a mut Vec<f32>) -> &'a [f32] {
        row
    }

    #[inline(always)]
    fn to_f32(from: &[Self], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    #[inline(always)]
    fn to_f16(from: &[Self], to: &mut [f16]) {
        to.iter_mut().zip(from).for_each(|(half, &value)| *half = nearest(value));
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn in_f32(row: &mut [Self], _: &mut Vec<f32>, _: Noise, change: impl FnOnce(&mut [f32])) {
        change(row);
    }
}

impl Value for f16 {
    const PER_WORD: usize = 2;

    fn of(values: &Values) -> Option<&Buffer<Self>> {
        match values {
            Values::F16(values) => Some(values),
            Values::F32(_) => None,
        }
    }

    fn of_mut(values: &mut Values) -> Option<&mut Buffer<Self>> {
        match values {
            Values::F16(values) => Some(values),
            Values::F32(_) => None,
        }
    }

    #[inline(always)]
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }

    #[inline(always)]
    fn widen<'a>(row: &'a [Self], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        scratch.resize(row.len(), 0.0);
        row.convert_to_f32_slice(scratch);
        scratch
    }

    #[inline(always)]
    fn to_f32(from: &[Self], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }

    #[inline(always)]
    fn to_f16(from: &[Self], to: &mut [f16]) {
        to.copy_from_slice(from);
    }

    #[inline(always)]
    fn nearest(value: f32) -> Self {
        nearest(value)
    }

    #[inline(always)]
    fn in_f32(row: &mut [Self], scratch: &mut Vec<f32>, noise: Noise, change: impl FnOnce(&mut [f32])) {
        Self::widen(row, scratch);
        change(scratch);
        noise.round(scratch, row);
    }
}

/// The nearest f16, ties to even; beyond its range its largest.
pub(in crate::kernels) fn nearest(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// One of the two f16 next to a value, the nearer one as much more often as it is nearer: right on average. `noise` is 16 random bits;
/// beyond the range of f16 it is its largest. In whole numbers, so that every device rounds alike: `shaders/common/half.wgsl` has the same.
pub(in crate::kernels::table) fn dithered(value: f32, noise: u32) -> f16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let size = bits & 0x7FFF_FFFF;
    if size > 0x7F80_0000 {
        return f16::from_bits(sign | 0x7E00);
    }
    // 65,504, the largest.
    let size = size.min(0x477F_E000);
    // 2^-14: below it f16 are 2^-24 apart.
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

/// What rounds a step's values: noise by (row, dim, step).
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    pub key: [u32; 2],
    pub row: u32,
    pub step: u32,
}

impl Noise {
    fn round(self, from: &[f32], to: &mut [f16]) {
        for (four, (from, to)) in (0..).zip(from.chunks(4).zip(to.chunks_mut(4))) {
            let words = rng::philox([self.row, four, self.step, Purpose::Rounding as u32], self.key);
            to.iter_mut().zip(from).zip(words).for_each(|((to, &from), word)| *to = dithered(from, word >> 16));
        }
    }
}

/// Where the rows of a page lie.
#[derive(Clone, Copy)]
pub(in crate::kernels::table) struct HostDirectory<'a> {
    pub first: u32,
    pub rows: u32,
    shift: u32,
    alignment: u32,
    bases: &'a [u32],
    ends: &'a [u16],
}

impl<'a> HostDirectory<'a> {
    pub fn new(place: Place, words: &'a [u32]) -> Self {
        let Place { first, rows, blocks, shift, alignment } = place;
        let (bases, ends) = words.split_at(blocks as usize);
        Self { first, rows, shift, alignment, bases, ends: bytemuck::cast_slice(ends) }
    }

    /// Whether rows follow each other without anything between.
    pub fn is_packed(&self) -> bool {
        self.alignment == 1
    }

    /// Asks memory for what [`span`](Self::span) reads.
    #[inline(always)]
    fn prefetch(&self, row: u32) {
        prefetch_index(self.ends, row as usize);
        prefetch_index(self.bases, row as usize >> self.shift);
    }

    /// The [`span`](Self::span)s of neighbouring rows, for less than each alone.
    #[inline(always)]
    pub fn spans(&self, rows: Range<u32>) -> impl Iterator<Item = Range<usize>> {
        let start = if rows.is_empty() { 0 } else { self.span(rows.start).0 };
        let ends = &self.ends[rows.start as usize..rows.end as usize];
        directory::spans(self.bases, ends, (self.shift, self.alignment), (rows.start as usize, start))
    }

    /// Begin and end of a row of the page, counted from its first.
    #[inline(always)]
    pub fn span(&self, row: u32) -> (usize, usize) {
        let at = row as usize;
        let base = self.bases[at >> self.shift];
        let first = row & ((1 << self.shift) - 1) == 0;
        let start = if first { 0 } else { directory::aligned(self.ends[at - 1].into(), self.alignment) };
        ((base + start) as usize, base as usize + usize::from(self.ends[at]))
    }
}

/// How many rows ahead of a loop their places and their values are asked for.
const PLACES_AHEAD: usize = 16;
pub(in crate::kernels) const VALUES_AHEAD: usize = 8;

/// Bytes from which on it pays to ask memory ahead: a multiple of what a core's own caches hold.
pub(in crate::kernels) const BEYOND_CACHES: u64 = 8 << 20;

/// Asks memory for all lines of a slice.
#[inline(always)]
pub(in crate::kernels) fn prefetch_slice<T>(slice: &[T]) {
    let Some(last) = slice.len().checked_sub(1) else { return };
    (0..last).step_by(64 / size_of::<T>()).for_each(|at| prefetch_index(slice, at));
    prefetch_index(slice, last);
}

/// Rows of one page.
struct HostPage<'a, V> {
    directory: HostDirectory<'a>,
    values: &'a [V],
}

/// Rows of some pages, on the CPU.
pub(crate) struct HostRows<'a, V> {
    /// Apart, since most tables have no other.
    first: HostPage<'a, V>,
    others: Vec<HostPage<'a, V>>,
    beyond_caches: bool,
}

impl<'a, V: Value> HostRows<'a, V> {
    /// The values of all rows of a table.
    pub fn new(op: &'static str, arg: &'static str, rows: &'a Rows) -> Result<Self> {
        let host = |page: &'a Page| {
            let values = V::of(&page.values).expect("rows in the format that the twin was made for").host(op, arg)?;
            Ok(HostPage { directory: HostDirectory::new(page.place, page.words()), values })
        };
        let pages = &rows.pages;
        let none = Place { first: 0, rows: 0, blocks: 0, shift: 0, alignment: 1 };
        let beyond_caches = pages.iter().map(|page| page.values.size_bytes()).sum::<u64>() >= BEYOND_CACHES;
        let mut pages = pages.iter().map(host);
        let nowhere = HostPage { directory: HostDirectory::new(none, &[]), values: &[] };
        let first = pages.next().transpose()?.unwrap_or(nowhere);
        Ok(Self { first, others: pages.collect::<Result<_>>()?, beyond_caches })
    }

    /// The row's values. An id in no page is an empty row.
    #[inline(always)]
    pub fn row(&self, id: u32) -> &'a [V] {
        let page = self.page(id);
        match id.wrapping_sub(page.directory.first) {
            row if row < page.directory.rows => {
                let (start, end) = page.directory.span(row);
                &page.values[start..end]
            }
            _ => &[],
        }
    }

    /// Asks memory for what a loop over `ids` that has come to the one at `k` is about to read: places of rows first, later their
    /// values, of which `dims` are wanted. A processor by itself looks ahead by few rows, and each may miss all caches.
    #[inline(always)]
    pub fn prefetch(&self, ids: &[u32], k: usize, dims: usize) {
        if self.beyond_caches {
            self.prefetch_from(ids, k, dims);
        }
    }

    #[inline(never)]
    fn prefetch_from(&self, ids: &[u32], k: usize, dims: usize) {
        if let Some(&id) = ids.get(k + PLACES_AHEAD) {
            let directory = &self.page(id).directory;
            directory.prefetch(id.wrapping_sub(directory.first));
        }
        if let Some(&id) = ids.get(k + VALUES_AHEAD) {
            let row = self.row(id);
            prefetch_slice(&row[..row.len().min(dims)]);
        }
    }

    /// The page of a row; for an id in none, some page.
    #[inline(always)]
    fn page(&self, id: u32) -> &HostPage<'a, V> {
        let first = &self.first;
        if id.wrapping_sub(first.directory.first) < first.directory.rows { first } else { self.other_page(id) }
    }

    #[inline(never)]
    fn other_page(&self, id: u32) -> &HostPage<'a, V> {
        match self.others.partition_point(|page| page.directory.first <= id) {
            0 => &self.first,
            behind => &self.others[behind - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dithered_values_are_neighbours_and_right_on_average() {
        for value in [0.0, -0.0, 1.0, -1.0, 0.1, 3.3e-5, -7.7e-8, 1e-9, 65_503.0, 1e30, f32::INFINITY, 2.0f32.powi(-14)]
        {
            let all: Vec<f32> = (0..1u32 << 16).map(|noise| dithered(value, noise).to_f32()).collect();
            let (low, high) = all.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            let most = value.clamp(-65_504.0, 65_504.0);
            assert!(low <= most && most <= high, "{value}: {low}..{high}");
            let gap = (f64::from(most).abs() / 1024.0).max(2.0f64.powi(-24));
            assert!(f64::from(high - low) <= gap, "{value}: {low}..{high}");
            let mean = all.iter().map(|&v| f64::from(v)).sum::<f64>() / all.len() as f64;
            assert!((mean - f64::from(most)).abs() <= gap / 60_000.0, "{value}: {mean} on average");
            // Without noise downwards, with as much as there is never twice.
            assert_eq!(dithered(value, 0).to_f32().abs(), low.abs().min(high.abs()));
        }
        assert!(dithered(f32::NAN, 9).is_nan());
    }

    #[test]
    fn values_of_f16_stay() {
        for bits in (0..=u16::MAX).filter(|&bits| f16::from_bits(bits).is_finite()) {
            let value = f16::from_bits(bits);
            for noise in [0, 1, 0x7FFF, 0xFFFF] {
                assert_eq!(dithered(value.to_f32(), noise).to_bits(), bits);
            }
            assert_eq!(nearest(value.to_f32()).to_bits(), bits);
        }
    }
}
