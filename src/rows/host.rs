//! Rows as the CPU twins read them.

use prefetch_index::prefetch_index;

use super::codec::Codec;
use super::host_directory::HostDirectory;
use super::{Page, Place, Rows};
use crate::Result;

/// How many rows ahead of a loop their places, and their values, are requested from memory.
const PLACES_AHEAD: usize = 16;
pub(crate) const VALUES_AHEAD: usize = 8;

/// Bytes from which on requesting memory ahead pays: several times what a core's own caches hold.
pub(crate) const BEYOND_CACHES: u64 = 8 << 20;

/// Bytes that a core has for itself: what fits needs no requests.
const CORES_CACHES: u64 = 1 << 20;

/// Requests all cache lines of a slice from memory.
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
    /// By itself, since most tables have no other page.
    first: HostPage<'a, V>,
    others: Vec<HostPage<'a, V>>,
    bytes: u64,
}

impl<'a, V: Codec> HostRows<'a, V> {
    /// The values of all rows of a table.
    pub fn new(op: &'static str, arg: &'static str, rows: &'a Rows) -> Result<Self> {
        let host = |page: &'a Page| {
            let values = V::of(&page.values).expect("rows in the format that the twin was made for").host(op, arg)?;
            Ok(HostPage { directory: HostDirectory::new(page.place, page.words()), values })
        };
        let pages = &rows.pages;
        let none = Place { first: 0, rows: 0, blocks: 0, shift: 0, alignment: 1, one_size: None };
        let bytes = pages.iter().map(|page| page.values.size_bytes()).sum();
        let mut pages = pages.iter().map(host);
        let nowhere = HostPage { directory: HostDirectory::new(none, &[]), values: &[] };
        let first = pages.next().transpose()?.unwrap_or(nowhere);
        Ok(Self { first, others: pages.collect::<Result<_>>()?, bytes })
    }

    /// Whether they are more than a core has caches for by itself.
    pub fn are_beyond_a_core(&self) -> bool {
        self.bytes > CORES_CACHES
    }

    /// The values of the page from the row on, and how many of them are the row's. An id in no page is an empty row.
    #[inline(always)]
    pub fn row(&self, id: u32) -> (&'a [V], usize) {
        let page = self.page(id);
        match id.wrapping_sub(page.directory.first) {
            row if row < page.directory.rows => {
                let (start, end) = page.directory.span(row);
                (&page.values[start..], end - start)
            }
            _ => (&[], 0),
        }
    }

    /// Requests from memory what a loop over `ids` will read soon, when it is at position `k`: first the places of
    /// rows, later their values, of which `dims` are needed. A processor by itself looks only few rows ahead, and each
    /// of them may miss all caches.
    #[inline(always)]
    pub fn prefetch(&self, ids: &[u32], k: usize, dims: usize) {
        if self.bytes >= BEYOND_CACHES {
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
            let (values, len) = self.row(id);
            prefetch_slice(&values[..len.min(dims)]);
        }
    }

    /// The page of a row; any page for an id that is in none.
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
