//! A page's directory as the CPU twins read it.

use std::ops::Range;

use prefetch_index::prefetch_index;

use super::place::{self, Place};

/// Where the rows of a page lie.
#[derive(Clone, Copy)]
pub(crate) struct HostDirectory<'a> {
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

    /// Whether rows follow each other with nothing between.
    pub fn is_packed(&self) -> bool {
        self.alignment == 1
    }

    /// Requests from memory what [`span`](Self::span) reads.
    #[inline(always)]
    pub fn prefetch(&self, row: u32) {
        prefetch_index(self.ends, row as usize);
        prefetch_index(self.bases, row as usize >> self.shift);
    }

    /// The [`span`](Self::span)s of neighbouring rows, at a lower cost than one by one.
    #[inline(always)]
    pub fn spans(&self, rows: Range<u32>) -> impl Iterator<Item = Range<usize>> {
        let start = if rows.is_empty() { 0 } else { self.span(rows.start).0 };
        let ends = &self.ends[rows.start as usize..rows.end as usize];
        place::spans(self.bases, ends, (self.shift, self.alignment), (rows.start as usize, start))
    }

    /// Start and end of a row, whose number is counted from the page's first row.
    #[inline(always)]
    pub fn span(&self, row: u32) -> (usize, usize) {
        let at = row as usize;
        let base = self.bases[at >> self.shift];
        let first = row & ((1 << self.shift) - 1) == 0;
        let start = if first { 0 } else { place::aligned(self.ends[at - 1].into(), self.alignment) };
        ((base + start) as usize, base as usize + usize::from(self.ends[at]))
    }
}
