//! Where rows of given sizes lie: pure arithmetic.

use super::place::{PageLimits, Place, WIDEST, aligned, shift};
use super::{Format, Layout, StateSize};
use crate::device::Device;
use crate::{Error, Result};

/// Where rows of given sizes lie, page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pages: Vec<Words>,
    values: u64,
    widest: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Words {
    place: Place,
    /// Values, including those between rows and after the last.
    len: u32,
    words: Vec<u32>,
}

impl Directory {
    /// The directory of rows of these sizes on a device.
    ///
    /// # Errors
    /// [`Error::Limit`] for a row past 65,535 values or past a page.
    pub fn new(device: &Device, sizes: &[u32], layout: Layout, state: StateSize) -> Result<Self> {
        Self::in_pages(sizes, layout.alignment(), layout.page_limits(device, state), &[])
    }

    /// The same, but a page ends before each of the rows in `cuts`, which ascend.
    pub(crate) fn cut(
        device: &Device,
        sizes: &[u32],
        (layout, state): (Layout, StateSize),
        cuts: &[u32],
    ) -> Result<Self> {
        Self::in_pages(sizes, layout.alignment(), layout.page_limits(device, state), cuts)
    }

    pub(super) fn in_pages(sizes: &[u32], alignment: u32, page: PageLimits, cuts: &[u32]) -> Result<Self> {
        let too_much = |arg, limit, allowed: u64, requested: u64| {
            Err(Error::Limit { op: "Directory::new", arg, limit, allowed, requested })
        };
        if sizes.len() as u64 > u64::from(u32::MAX) {
            return too_much("sizes", "32-bit row id", u32::MAX.into(), sizes.len() as u64);
        }
        let widest = sizes.iter().copied().max().unwrap_or(0);
        if widest > WIDEST {
            return too_much("sizes", "widest row", WIDEST.into(), widest.into());
        }
        if widest.next_multiple_of(alignment) > page.values {
            return too_much("sizes", "values of a page", page.values.into(), widest.into());
        }
        let shift = shift(widest, alignment);
        let (mut pages, mut first, mut cuts) = (Vec::new(), 0, cuts.iter().map(|&row| row as usize).peekable());
        loop {
            while cuts.next_if(|&row| row <= first).is_some() {}
            let end = cuts.peek().map_or(sizes.len(), |&row| row.min(sizes.len()));
            let page = Words::fill(&sizes[first..end], (alignment, shift, page), first as u32);
            first += page.place.rows as usize;
            pages.push(page);
            if first == sizes.len() {
                break;
            }
        }
        Ok(Self { pages, values: sizes.iter().map(|&size| u64::from(size)).sum(), widest })
    }

    /// Number of rows.
    pub fn rows(&self) -> u32 {
        let last = self.pages[self.pages.len() - 1].place;
        last.first + last.rows
    }

    /// Number of values of all rows, without those between rows.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// The same as a format stores them: rows of [`I8`](super::Format::I8) in whole words of four.
    pub(crate) fn stored_values(&self, format: Format) -> u64 {
        stored_values(self.values, || self.sizes(), format)
    }

    /// Size of the widest row.
    pub fn widest(&self) -> u32 {
        self.widest
    }

    /// Number of pages; at least one.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The sizes of all rows.
    pub fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        self.pages.iter().flat_map(|page| page.place.spans(&page.words).map(|span| span.len() as u32))
    }

    /// Bytes of values in this layout, of the state, and of the directory itself.
    pub fn bytes(&self, layout: Layout, state: StateSize) -> [u64; 3] {
        let sum = |of: fn(&Words) -> u64| self.pages.iter().map(of).sum::<u64>();
        let len = sum(|page| page.len.into());
        [len * layout.format.bytes(), state.bytes(self.rows().into(), len), sum(|page| 4 * page.words.len() as u64)]
    }

    /// The first row of each page.
    pub(crate) fn first_rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.pages.iter().map(|page| page.place.first)
    }

    /// Bytes of a page in this layout, with its state and directory.
    pub(crate) fn page_bytes(&self, page: usize, layout: Layout, state: StateSize) -> u64 {
        let Words { place, len, words } = &self.pages[page];
        u64::from(*len) * layout.format.bytes() + state.bytes(place.rows.into(), (*len).into()) + 4 * words.len() as u64
    }

    pub(crate) fn place(&self, page: usize) -> (Place, usize) {
        (self.pages[page].place, self.pages[page].len as usize)
    }

    pub(crate) fn words(&self, page: usize) -> &[u32] {
        &self.pages[page].words
    }
}

/// How many values rows of these sizes, which add up to `values`, are stored as: in whole groups.
pub(crate) fn stored_values<I: Iterator<Item = u32>>(values: u64, sizes: impl Fn() -> I, format: Format) -> u64 {
    if format.group() == 1 { values } else { sizes().map(|size| format.stored_len(size as usize) as u64).sum() }
}

impl Words {
    /// A page with the first of these rows, up to its limits.
    fn fill(sizes: &[u32], (alignment, shift, page): (u32, u32, PageLimits), first: u32) -> Self {
        let (mut bases, mut ends) = (Vec::new(), Vec::<u16>::new());
        let (mut base, mut end) = (0u32, 0u32);
        for (row, &size) in sizes.iter().enumerate().take(page.rows as usize) {
            let start = aligned(end, alignment);
            // The limit is a multiple of the alignment, so rounding up never passes it.
            if u64::from(base) + u64::from(start) + u64::from(size) > u64::from(page.values) {
                break;
            }
            if row & ((1 << shift) - 1) == 0 {
                base += start;
                bases.push(base);
                end = size;
            } else {
                end = start + size;
            }
            ends.push(end as u16);
        }
        let sizes = &sizes[..ends.len()];
        let one_size = sizes.first().copied().filter(|&size| sizes.iter().all(|&other| other == size));
        let place = Place { first, rows: ends.len() as u32, blocks: bases.len() as u32, shift, alignment, one_size };
        ends.resize(ends.len().next_multiple_of(2), 0);
        bases.extend(bytemuck::pod_collect_to_vec::<u16, u32>(&ends));
        Self { place, len: base + aligned(end, alignment), words: bases }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_lie_one_behind_the_other_within_pages(
            sizes in prop::collection::vec(prop_oneof![0..9u32, Just(0), Just(2000), 0..300u32], 0..600),
            alignment in prop_oneof![Just(1u32), Just(2), Just(4), Just(8)],
            values in 2000..9000u32,
            rows in prop_oneof![Just(u32::MAX), 1..200u32],
            mut cuts in prop::collection::vec(0..700u32, 0..4),
        ) {
            cuts.sort();
            let page = PageLimits { values: values.next_multiple_of(8), rows };
            let directory = Directory::in_pages(&sizes, alignment, page, &cuts).unwrap();
            prop_assert_eq!(directory.sizes().collect::<Vec<_>>(), sizes.clone());
            let mut row = 0;
            for (number, words) in directory.pages.iter().enumerate() {
                let Place { first, rows, blocks, .. } = words.place;
                prop_assert_eq!(first, row);
                prop_assert_eq!(words.words.len() as u32, blocks + rows.div_ceil(2));
                let mut end = 0;
                for local in 0..rows {
                    let span = words.place.span(&words.words, local);
                    prop_assert_eq!(span.start, end);
                    end = span.end.next_multiple_of(alignment as usize);
                }
                prop_assert_eq!(words.len as usize, end);
                prop_assert!(words.len <= page.values && rows <= page.rows);
                row += rows;
                // The next row had no room, or there was a cut before it.
                if number + 1 < directory.pages.len() {
                    let full = words.len + sizes[row as usize] > page.values || rows == page.rows;
                    prop_assert!(full || cuts.contains(&row));
                }
                prop_assert!(!cuts.iter().any(|&cut| first < cut && cut < row));
            }
        }
    }

    #[test]
    fn a_directory_takes_two_bytes_a_row_and_a_word_a_block() {
        let sizes: Vec<u32> = (0..100_000).map(|row| row % 65).collect();
        let directory = Directory::in_pages(&sizes, 1, PageLimits::NONE, &[]).unwrap();
        let [_, _, metadata] = directory.bytes(Layout::default(), StateSize::default());
        assert_eq!(directory.pages[0].place.shift, 9);
        assert_eq!(metadata, 2 * 100_000 + 4 * 100_000u64.div_ceil(512));
        for (widest, rows) in
            [(0, 4096), (1, 4096), (15, 4096), (64, 512), (255, 256), (256, 128), (32_768, 1), (65_535, 1)]
        {
            assert_eq!(1 << shift(widest, 1), rows, "rows of {widest}");
        }
    }

    #[test]
    fn metadata_is_at_most_what_is_promised() {
        for (rows, widest, page) in
            [(0u32, 1u32, 1u64 << 20), (1, 64, 4096), (999, 64, 4096), (70_000, 9, 4096), (5000, 200, 1 << 20)]
        {
            let layout = Layout { page_bytes: Some(page), ..Layout::default() };
            let sizes: Vec<u32> = (0..rows).map(|row| row % (widest + 1)).collect();
            let limits = layout.page_limits(&Device::cpu(), StateSize::default());
            let directory = Directory::in_pages(&sizes, 1, limits, &[]).unwrap();
            let most = layout.metadata_bytes_at_most(1, rows.into(), directory.values(), widest);
            let [_, _, metadata] = directory.bytes(layout, StateSize::default());
            assert!(metadata <= most, "{rows} rows of up to {widest}: {metadata} bytes, promised {most}");
        }
    }

    #[test]
    fn rows_too_wide_are_errors() {
        let page = PageLimits { values: 100, rows: 100 };
        let error = Directory::in_pages(&[3, 65_536], 1, page, &[]).unwrap_err().to_string();
        assert_eq!(error, "Directory::new: `sizes` needs 65536, the limit `widest row` is 65535");
        let error = Directory::in_pages(&[3, 101], 1, page, &[]).unwrap_err().to_string();
        assert_eq!(error, "Directory::new: `sizes` needs 101, the limit `values of a page` is 100");
    }
}
