//! Rows in flight: which of them may not pass to another key yet.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that stay with their keys until [`RowMap::release`](super::RowMap::release) gets this back.
///
/// It cannot be copied, so what was held once is released once. Where it is dropped instead, its rows are held as long
/// as their map lives.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the rows are held until `RowMap::release` gets this back"]
pub struct HeldRows {
    pub(super) map: u64,
    pub(super) rows: Vec<u32>,
}

impl HeldRows {
    /// The rows, as they were given.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }
}

/// How often each row of a map is held. Takes no memory where none ever was.
#[derive(Debug)]
pub(super) struct Holds {
    /// Distinguishes one map from another.
    pub map: u64,
    /// By row; rows past the end are not held.
    pub counts: Vec<u64>,
    /// Rows that are held at least once.
    pub rows: usize,
}

impl Default for Holds {
    fn default() -> Self {
        static MAPS: AtomicU64 = AtomicU64::new(0);
        Self { map: MAPS.fetch_add(1, Ordering::Relaxed), counts: Vec::new(), rows: 0 }
    }
}

impl Holds {
    /// Whether a row is held.
    pub fn has(&self, row: u32) -> bool {
        self.rows > 0 && self.counts.get(row as usize).is_some_and(|&count| count > 0)
    }

    pub fn bytes(&self) -> usize {
        8 * self.counts.capacity()
    }
}
