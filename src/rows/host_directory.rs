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
    /// Size of all rows and the distance of one from the next, where they have one size.
    one_size: Option<[usize; 2]>,
    bases: &'a [u32],
    ends: &'a [u16],
}

impl<'a> HostDirectory<'a> {
    pub fn new(place: Place, words: &'a [u32]) -> Self {
        let Place { first, rows, blocks, shift, alignment, one_size } = place;
        let one_size = one_size.map(|size| [size, place::aligned(size, alignment)].map(|number| number as usize));
        let (bases, ends) = words.split_at(blocks as usize);
        Self { first, rows, shift, alignment, one_size, bases, ends: bytemuck::cast_slice(ends) }
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
        if let Some([size, distance]) = self.one_size {
            return (at * distance, at * distance + size);
        }
        let base = self.bases[at >> self.shift];
        let first = row & ((1 << self.shift) - 1) == 0;
        let start = if first { 0 } else { place::aligned(self.ends[at - 1].into(), self.alignment) };
        ((base + start) as usize, base as usize + usize::from(self.ends[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Directory;
    use crate::rows::place::PageLimits;

    #[test]
    fn rows_of_one_size_lie_where_the_directory_has_them() {
        for size in [0, 1, 15, 16, 17, 1000, 65_535] {
            for alignment in [1, 2, 4, 8] {
                for (count, other) in [(1usize, None), (70, None), (70, Some(0)), (70, Some(69))] {
                    let mut sizes = vec![size; count];
                    if let Some(other) = other {
                        sizes[other] = size / 2 + 3;
                    }
                    let limits = PageLimits { values: 30 * 65_536, rows: 50 };
                    let directory = Directory::in_pages(&sizes, alignment, limits, &[]).unwrap();
                    for page in 0..directory.pages() {
                        let (place, _) = directory.place(page);
                        let own = &sizes[place.first as usize..][..place.rows as usize];
                        assert_eq!(place.one_size.is_some(), own.iter().all(|size| *size == own[0]));
                        let host = HostDirectory::new(place, directory.words(page));
                        for row in 0..place.rows {
                            let span = place.span(directory.words(page), row);
                            assert_eq!(host.span(row), (span.start, span.end), "{size} aligned to {alignment}");
                        }
                    }
                }
            }
        }
    }
}
