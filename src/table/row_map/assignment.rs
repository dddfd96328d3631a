//! Keys come and go: which rows they get, and whose.

use std::cmp::Reverse;

use super::{Assigned, Evicted, FREE, RowMap, hash};
use crate::{Error, Result};

/// A score after one more sighting at `now`, in half-lives: `log2(2^score + 2^now)`.
pub(super) fn sighted(score: f64, now: f64) -> f64 {
    let (low, high) = if score < now { (score, now) } else { (now, score) };
    high + libm::log1p(libm::exp2(low - high)) * std::f64::consts::LOG2_E
}

impl RowMap {
    /// Gives every key of a batch a row, known or new, and counts each occurrence.
    ///
    /// # Rows in flight
    /// The rows of a batch are sure to belong to its keys until the next call. A later batch may take any of them for
    /// other keys. Where batches overlap, so that gradients of an earlier batch come after the rows of a later one were
    /// assigned, such gradients would train
    /// the wrong keys. [`hold`](Self::hold) keeps the rows of a batch until its gradients have been applied.
    ///
    /// # Errors
    /// [`Error::Limit`] when the batch has more distinct keys than there may be rows, those that are held for other
    /// keys not counted; nothing has changed then.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::table::{RowMap, RowMapOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut ids = RowMap::new(2, RowMapOptions::default())?;
    /// assert_eq!(ids.assign(&[50, 60, 50])?.rows, [0, 1, 0]);
    /// let batch = ids.assign(&[70, 50])?;
    /// assert_eq!((batch.rows, batch.fresh), (vec![1, 0], vec![1])); // 60 has left
    /// assert!(ids.assign(&[1, 2, 3]).is_err());
    /// # Ok(()) }
    /// ```
    pub fn assign(&mut self, keys: &[u64]) -> Result<Assigned> {
        self.check_batch(keys)?;
        let mut assigned = Assigned { rows: Vec::with_capacity(keys.len()), ..Assigned::default() };
        // Out of the queue, so that no new key takes a row which a later key of the batch has.
        for &key in keys {
            let known = self.get(key).unwrap_or(u32::MAX);
            self.queue.remove(known, &self.scores);
            assigned.rows.push(known);
        }
        for (&key, row) in keys.iter().zip(&mut assigned.rows) {
            let now = self.now();
            self.clock = self.clock.saturating_add(1);
            if *row == u32::MAX {
                match self.get(key) {
                    Some(earlier) => *row = earlier,
                    None => {
                        *row = self.take_row(&mut assigned.evicted);
                        assigned.fresh.push(*row);
                        self.insert(key, *row, now);
                        continue;
                    }
                }
            }
            let score = &mut self.scores[*row as usize];
            *score = sighted(*score, now);
        }
        for &row in assigned.rows.iter().filter(|&&row| !self.holds.has(row)) {
            self.queue.insert(row, &self.scores);
        }
        Ok(assigned)
    }

    /// Takes a key's row away: the row it had, which is free now, or once it is held no more.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::table::{RowMap, RowMapOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut ids = RowMap::new(9, RowMapOptions::default())?;
    /// ids.assign(&[50, 60])?;
    /// assert_eq!((ids.remove(50), ids.remove(50)), (Some(0), None));
    /// assert_eq!(ids.assign(&[70])?.rows, [0]); // the free row first
    /// # Ok(()) }
    /// ```
    pub fn remove(&mut self, key: u64) -> Option<u32> {
        let row = self.get(key)?;
        self.queue.remove(row, &self.scores);
        self.take_key(row);
        if !self.holds.has(row) {
            self.free.push(Reverse(row));
        }
        Some(row)
    }

    /// Takes the rows of `count` keys away, or of all where there are fewer: the lowest scores first. The rows are free
    /// now. Rows that are held stay.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::table::{RowMap, RowMapOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut ids = RowMap::new(9, RowMapOptions::default())?;
    /// ids.assign(&[50, 60, 60, 70, 50])?;
    /// let keys: Vec<u64> = ids.evict(2).iter().map(|gone| gone.key).collect();
    /// assert_eq!(keys, [70, 60]);
    /// # Ok(()) }
    /// ```
    pub fn evict(&mut self, count: usize) -> Vec<Evicted> {
        let mut evicted = Vec::with_capacity(count.min(self.len()));
        while evicted.len() < count
            && let Some(row) = self.queue.pop(&self.scores)
        {
            evicted.push(Evicted { key: self.take_key(row), row });
            self.free.push(Reverse(row));
        }
        evicted
    }

    fn check_batch(&self, keys: &[u64]) -> Result<()> {
        let (capacity, held) = (self.capacity as usize, self.holds.rows);
        if keys.len().saturating_add(held) <= capacity {
            return Ok(());
        }
        let mut distinct = keys.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        // Rows that are held for keys of the batch serve it.
        let own = distinct.iter().filter(|&&key| self.get(key).is_some_and(|row| self.holds.has(row))).count();
        let allowed = capacity - (held - own);
        if distinct.len() <= allowed {
            return Ok(());
        }
        Err(Error::Limit {
            op: "RowMap::assign",
            arg: "keys",
            limit: if held > own { "rows that are not held for other keys" } else { "distinct keys of a batch" },
            allowed: allowed as u64,
            requested: distinct.len() as u64,
        })
    }

    /// A row without a key: free, next or evicted.
    fn take_row(&mut self, evicted: &mut Vec<Evicted>) -> u32 {
        if self.taken() < self.capacity as usize {
            if let Some(Reverse(row)) = self.free.pop() {
                return row;
            }
            let rows = self.keys.len();
            if rows == self.keys.capacity() {
                // By doubling, but never past the capacity.
                let more = rows.max(16).min(self.capacity as usize - rows);
                self.keys.reserve_exact(more);
                self.scores.reserve_exact(more);
                self.queue.reserve_exact(more);
            }
            self.keys.push(0);
            self.scores.push(FREE);
            return rows as u32;
        }
        let row = self.queue.pop(&self.scores).expect("fewer distinct keys in the batch than rows");
        evicted.push(Evicted { key: self.take_key(row), row });
        row
    }

    /// A key seen for the first time, in a row that it has for itself.
    fn insert(&mut self, key: u64, row: u32, now: f64) {
        self.keys[row as usize] = key;
        self.scores[row as usize] = now;
        let keys = &self.keys;
        self.slots.insert_unique(hash(key), row, |&row| hash(keys[row as usize]));
    }
}
