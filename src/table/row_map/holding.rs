//! Rows of a map that are held while they are in flight.

use std::cmp::Reverse;

use super::holds::{HeldRows, Holds};
use super::{FREE, RowMap};
use crate::{Error, Result};

impl RowMap {
    /// Keeps rows with their keys until [`release`](Self::release): meanwhile they pass to no other key, whatever is
    /// assigned, evicted or removed. Rows may be given more than once, and be held by several batches; a row is free to
    /// leave after all of them have released it.
    ///
    /// A key can still be [removed](Self::remove); its row then waits without one.
    ///
    /// # Cost
    /// O(1) a row, O(log n) for one that was not held yet. 8 bytes for each row of the map from the first call on.
    ///
    /// # Errors
    /// [`Error::Argument`] for a row without a key; nothing is held then.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::table::{RowMap, RowMapOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut ids = RowMap::new(2, RowMapOptions::default())?;
    /// let first = ids.assign(&[50])?;
    /// let held = ids.hold(&first.rows)?;
    /// // The next batches are looked up while the first one's gradients are still on their way.
    /// ids.assign(&[60])?;
    /// assert_eq!(ids.assign(&[70])?.rows, [1]); // 60 has left, not 50
    /// assert!(ids.assign(&[80, 90]).is_err()); // one row is not enough
    ///
    /// assert_eq!(ids.key(held.rows()[0]), Some(50)); // the gradients are applied here
    /// ids.release(held)?;
    /// assert_eq!(ids.assign(&[80, 90])?.evicted.len(), 2);
    /// # Ok(()) }
    /// ```
    pub fn hold(&mut self, rows: &[u32]) -> Result<HeldRows> {
        if let Some(position) = rows.iter().position(|&row| self.key(row).is_none()) {
            let (expected, got) = ("rows that have a key".to_owned(), format!("row {} at {position}", rows[position]));
            return Err(Error::Argument { op: "RowMap::hold", arg: "rows", expected, got });
        }
        if !rows.is_empty() && self.holds.counts.len() < self.keys.len() {
            self.holds.counts.resize(self.keys.len(), 0);
        }
        for &row in rows {
            let count = &mut self.holds.counts[row as usize];
            if *count == 0 {
                self.holds.rows += 1;
                self.queue.remove(row, &self.scores);
            }
            *count += 1;
        }
        Ok(HeldRows { map: self.holds.map, rows: rows.to_vec() })
    }

    /// Ends a [`hold`](Self::hold).
    ///
    /// # Errors
    /// [`Error::Argument`] for rows that another map holds.
    pub fn release(&mut self, held: HeldRows) -> Result<()> {
        if held.map != self.holds.map {
            let (expected, got) = ("rows that this map holds".to_owned(), "those of another map".to_owned());
            return Err(Error::Argument { op: "RowMap::release", arg: "held", expected, got });
        }
        for row in held.rows {
            let count = &mut self.holds.counts[row as usize];
            *count -= 1;
            if *count > 0 {
                continue;
            }
            self.holds.rows -= 1;
            if self.scores[row as usize] > FREE {
                self.queue.insert(row, &self.scores);
            } else {
                self.free.push(Reverse(row));
            }
        }
        Ok(())
    }
}

impl Clone for RowMap {
    /// A map with the same keys, rows and scores that holds no rows.
    fn clone(&self) -> Self {
        let Self { capacity, options, slots, keys, scores, queue, free, holds, clock } = self;
        let mut copy = Self {
            capacity: *capacity,
            options: *options,
            slots: slots.clone(),
            keys: keys.clone(),
            scores: scores.clone(),
            queue: queue.clone(),
            free: free.clone(),
            holds: Holds::default(),
            clock: *clock,
        };
        if holds.rows > 0 {
            let waiting = (0..self.rows()).filter(|&row| holds.has(row) && scores[row as usize] == FREE);
            copy.free.extend(waiting.map(Reverse));
            copy.queue_again();
        }
        copy
    }
}
