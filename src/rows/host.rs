//! Rows as the CPU twins read them.

use std::ops::Range;

use prefetch_index::prefetch_index;

use super::codec::Codec;
use super::{Page, Place, Rows, directory};
use crate::Result;

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
pub(crate) const VALUES_AHEAD: usize = 8;

/// Bytes from which on it pays to ask memory ahead: a multiple of what a core's own caches hold.
pub(crate) const BEYOND_CACHES: u64 = 8 << 20;

/// Asks memory for all lines of a slice.
#[inline(always)]
pub(crate) fn prefetch_slice<T>(slice: &[T]) {
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

impl<'a, V: Codec> HostRows<'a, V> {
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
