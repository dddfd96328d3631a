//! How a page is divided: what it holds at most, and where its directory has its rows.

use std::ops::Range;

/// The widest row: ends of rows are 16-bit numbers.
pub(crate) const WIDEST: u32 = u16::MAX as u32;

/// Log2 of the largest number of rows in a block.
const MOST_SHIFT: u32 = 12;

/// Log2 of the rows of a block: the most that are sure to fit 65,535 values when none is wider than `widest`.
pub(super) fn shift(widest: u32, alignment: u32) -> u32 {
    let stride = widest.next_multiple_of(alignment).max(1);
    (WIDEST / stride).max(1).ilog2().min(MOST_SHIFT)
}

/// The next multiple of an alignment, which is a power of two, so that no division is needed.
#[inline(always)]
pub(super) fn aligned(end: u32, alignment: u32) -> u32 {
    (end + (alignment - 1)) & !(alignment - 1)
}

/// The most that a page holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    /// Values, including those between rows; a multiple of the alignment.
    pub values: u32,
    pub rows: u32,
}

impl PageLimits {
    /// No limits, for rows in one page.
    pub const NONE: Self = Self { values: u32::MAX - WIDEST, rows: u32::MAX };
}

/// Which rows a page has, and how its directory is read: the first parameters of every kernel on rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Id of the first row.
    pub first: u32,
    pub rows: u32,
    /// Words of bases; the ends come after them.
    pub blocks: u32,
    pub shift: u32,
    pub alignment: u32,
    /// The size of all rows, where they have one: the CPU then finds a row by a product.
    pub one_size: Option<u32>,
}

impl Place {
    /// Where a row of the page, counted from its first, lies among the values.
    pub fn span(self, words: &[u32], row: u32) -> Range<usize> {
        let ends: &[u16] = bytemuck::cast_slice(&words[self.blocks as usize..]);
        let at = row as usize;
        let base = words[at >> self.shift] as usize;
        let first = row & ((1 << self.shift) - 1) == 0;
        let start = if first { 0 } else { aligned(ends[at - 1].into(), self.alignment) };
        base + start as usize..base + usize::from(ends[at])
    }

    /// The same for all rows in order, at a lower cost than one by one.
    pub fn spans(self, words: &[u32]) -> impl ExactSizeIterator<Item = Range<usize>> {
        let (bases, ends) = words.split_at(self.blocks as usize);
        let ends: &[u16] = bytemuck::cast_slice(ends);
        spans(bases, &ends[..self.rows as usize], (self.shift, self.alignment), (0, 0))
    }
}

/// Where neighbouring rows begin and end, given all bases of their page, the ends of these rows, and number and start
/// of the first.
#[inline(always)]
pub(super) fn spans(
    bases: &[u32],
    ends: &[u16],
    (shift, alignment): (u32, u32),
    (first, mut start): (usize, usize),
) -> impl ExactSizeIterator<Item = Range<usize>> {
    let within = (1usize << shift) - 1;
    let mut base = bases.get(first >> shift).map_or(0, |&base| base as usize);
    ends.iter().enumerate().map(move |(i, &end)| {
        let row = first + i;
        if row & within == 0 {
            base = bases[row >> shift] as usize;
            start = base;
        }
        let span = start..base + usize::from(end);
        start = base + aligned(end.into(), alignment) as usize;
        span
    })
}
