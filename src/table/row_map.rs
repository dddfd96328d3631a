//! A map from the keys of an unbounded stream to the rows of a table that is not.

mod assignment;
mod capacity;
mod holding;
mod holds;
mod parts;
mod queue;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashTable;

pub use self::holds::HeldRows;
use self::holds::Holds;
pub(super) use self::parts::Parts;
use self::queue::Queue;
use crate::Result;
use crate::check;
use crate::rng::mix as hash;

/// How a map weighs the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowMapOptions {
    /// The number of keys after which an earlier occurrence counts half, measured in capacities (default 10, the age at
    /// which TinyLFU halves its counts as its authors and Caffeine run it). Towards 0 the least recently seen key
    /// leaves first, towards infinity the least often seen.
    pub half_life: f64,
}

impl Default for RowMapOptions {
    fn default() -> Self {
        Self { half_life: 10.0 }
    }
}

/// A key that had to leave, and the row that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Evicted {
    /// The key.
    pub key: u64,
    /// The row, another key's or free by now.
    pub row: u32,
}

/// What an assignment of rows did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// The row of each key, in the order of the keys: ids for lookups and updates.
    pub rows: Vec<u32>,
    /// Rows that have a key which they did not have before, each once. They hold what another key left, or nothing yet:
    /// reset them ([`RaggedTable::reset_rows`](super::RaggedTable::reset_rows)), those past the table's end after it
    /// has grown.
    pub fresh: Vec<u32>,
    /// Keys that had to leave, in the order in which they left.
    pub evicted: Vec<Evicted>,
}

/// Gives every key a row of its own: at most `capacity` keys have one at a time, whatever number of keys comes by.
///
/// Two keys never share a row, so nothing is lost to collisions as with hashed ids. A new key takes the lowest free
/// row, or else the next after the last. When `capacity` rows are taken, it gets the row of the key with the lowest
/// score, and that key leaves. Keys of the batch that is being assigned never leave, nor do those whose rows are
/// [held](Self::hold). When the table grows or shrinks, [`set_capacity`](Self::set_capacity) makes the map follow.
///
/// The score is the combined recency and frequency of LRFU. A key seen at times `t_1 .. t_k` has at time t
/// ```text
/// frequency(t) = sum over i of 2^(-(t - t_i) / h)        h = half_life * capacity
/// ```
/// with one tick of time for each key assigned. All frequencies fall by the same factor, so their order stays while no
/// key is seen. The map keeps `log2 frequency(t) + t / h`, which changes only when the key is seen. Of equal scores the
/// lower row goes first. A key that keeps coming more than once a half-life settles at a frequency above 1, and
/// outlives any number of keys that come once.
///
/// # Numerics
/// Scores are f64 and computed by `libm`, so the same calls give the same rows on every platform. After 2^64 - 1 keys
/// time stands still. There is no seed: the hash is a fixed bijection of 64 bits, in which clustered keys (multiples,
/// ranges, text hashes) spread, but keys picked by an adversary against it may not.
///
/// # Cost
/// One probe of a hash table a known key, two a new one; O(log n) for the queue. Memory is on the host, counts in an
/// [`Account`](super::Account) where one [holds](super::Account::hold) it, and is bounded: 24 bytes a row, up to 8 for
/// each free row, 8 more a row once rows were held, and 5 a slot of the hash table, of which there are at most 4.6 a
/// row. [`bytes`](Self::bytes) gives their sum.
///
/// # Example
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::table::{Account, Evicted, RaggedTable, RowMap, RowMapOptions, TableOptions};
/// # fn main() -> scall_gpu::Result<()> {
/// let mut table = RaggedTable::new(&Device::cpu(), &[4; 3], TableOptions::default(), &Account::unlimited())?;
/// let mut ids = RowMap::new(table.rows(), RowMapOptions::default())?;
/// ids.assign(&[700, 800, 700])?;
///
/// let batch = ids.assign(&[900, 700, 1000])?; // three rows, four keys
/// assert_eq!(batch.rows, [2, 0, 1]);
/// assert_eq!(batch.evicted, [Evicted { key: 800, row: 1 }]);
/// table.reset_rows(&batch.fresh)?;
/// let values = table.lookup(&batch.rows, 4)?;
/// assert_eq!(ids.get(800), None);
/// # Ok(()) }
/// ```
///
/// Source: Lee et al., "LRFU: a spectrum of policies that subsumes the least recently used and least frequently used
/// policies", IEEE Transactions on Computers 50(12), 2001.
#[derive(Debug)]
pub struct RowMap {
    capacity: u32,
    options: RowMapOptions,
    /// Rows that have a key, by its hash.
    slots: HashTable<u32>,
    /// By row, 0 of a free row.
    keys: Vec<u64>,
    /// By row; [`FREE`] of a free row.
    scores: Vec<f64>,
    /// Rows that have a key and are not held, the lowest score first.
    queue: Queue,
    /// Rows that have no key and are not held.
    free: BinaryHeap<Reverse<u32>>,
    holds: Holds,
    clock: u64,
}

/// The score of a row without a key: below all others.
pub(super) const FREE: f64 = f64::NEG_INFINITY;

impl RowMap {
    /// A map without keys.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a capacity of 0 or 2^32 - 1, or for a half-life that is not from
    /// 1e-9 to 1e12.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::table::{RowMap, RowMapOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let ids = RowMap::new(1_000, RowMapOptions { half_life: 2.0 })?;
    /// assert_eq!((ids.capacity(), ids.rows(), ids.len()), (1_000, 0, 0));
    /// # Ok(()) }
    /// ```
    pub fn new(capacity: u32, options: RowMapOptions) -> Result<Self> {
        let op = "RowMap::new";
        let known = (1..u32::MAX).contains(&capacity);
        check::domain(op, "capacity", capacity, known, "from 1 to 2^32 - 2")?;
        // So far that a clock divided by it stays a number.
        let known = (1e-9..=1e12).contains(&options.half_life);
        check::domain(op, "half_life", options.half_life, known, "from 1e-9 to 1e12")?;
        Ok(Self {
            capacity,
            options,
            slots: HashTable::new(),
            keys: Vec::new(),
            scores: Vec::new(),
            queue: Queue::default(),
            free: BinaryHeap::new(),
            holds: Holds::default(),
            clock: 0,
        })
    }

    /// Keys that may have a row at a time.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How it weighs the past.
    pub fn options(&self) -> &RowMapOptions {
        &self.options
    }

    /// Keys that have a row.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when no key has a row.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Rows given so far, free ones included: what the table needs to have.
    pub fn rows(&self) -> u32 {
        self.keys.len() as u32
    }

    /// The row of a key.
    pub fn get(&self, key: u64) -> Option<u32> {
        self.slots.find(hash(key), |&row| self.keys[row as usize] == key).copied()
    }

    /// The key of a row, `None` for a row that is free or was never given.
    pub fn key(&self, row: u32) -> Option<u64> {
        let row = row as usize;
        (*self.scores.get(row)? > FREE).then(|| self.keys[row])
    }

    /// Keys and their rows, by ascending row.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        let rows = self.keys.iter().zip(&self.scores).zip(0..);
        rows.filter(|((_, score), _)| **score > FREE).map(|((&key, _), row)| (key, row))
    }

    /// How often a key was seen since it got its row, each time halved for every half-life since: frequency and age in
    /// one number.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::table::{RowMap, RowMapOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut ids = RowMap::new(2, RowMapOptions { half_life: 2.0 })?; // four keys, then half is left
    /// ids.assign(&[5, 6, 6, 6])?;
    /// assert!((ids.frequency(5).unwrap_or(0.0) - 0.5).abs() < 1e-12);
    /// assert!(ids.frequency(6) > ids.frequency(5));
    /// # Ok(()) }
    /// ```
    pub fn frequency(&self, key: u64) -> Option<f64> {
        self.get(key).map(|row| libm::exp2(self.scores[row as usize] - self.now()))
    }

    /// Bytes that it holds on the host.
    pub fn bytes(&self) -> u64 {
        let rows = 8 * (self.keys.capacity() + self.scores.capacity()) + 4 * self.free.capacity();
        (self.slots.allocation_size() + rows + self.queue.bytes() + self.holds.bytes()) as u64
    }

    /// Time in half-lives.
    fn now(&self) -> f64 {
        self.clock as f64 / (self.options.half_life * f64::from(self.capacity))
    }

    /// Rows that are not to be had without a key leaving: those with one, and those that are held without.
    fn taken(&self) -> usize {
        self.keys.len() - self.free.len()
    }

    /// Lets a row's key go; which key it was.
    fn take_key(&mut self, row: u32) -> u64 {
        let key = std::mem::take(&mut self.keys[row as usize]);
        let slot = self.slots.find_entry(hash(key), |&other| other == row);
        slot.expect("a slot for each key").remove();
        self.scores[row as usize] = FREE;
        key
    }
}

#[cfg(test)]
mod tests;
