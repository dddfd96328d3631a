//! A map that grows and shrinks with its table.

use super::parts::HIGHEST;
use super::{Evicted, FREE, RowMap};
use crate::check;
use crate::{Error, Result};

impl RowMap {
    /// Changes how many keys may have a row at a time, such as after the table has got more rows, or before its rows
    /// get smaller.
    ///
    /// Keys keep their rows and frequencies. Where fewer keys may have a row than have one, the lowest scores leave:
    /// their rows are free, and a [resize](crate::table::RaggedTable::resize) to size 0 gives back the bytes.
    /// [`rows`](Self::rows) never falls, since a table's rows keep their ids. The half-life is measured in capacities,
    /// so from here on it has the length that belongs to the new one.
    ///
    /// # Cost
    /// Linear in the rows, and O(log n) for each key that leaves.
    ///
    /// # Errors
    /// [`Error::Argument`] for a capacity of 0 or 2^32 - 1; [`Error::Limit`] for less than the rows that are
    /// [held](Self::hold). Nothing has changed then.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, Evicted, RaggedTable, RowMap, RowMapOptions, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut table = RaggedTable::new(&Device::cpu(), &[4; 2], TableOptions::default(), &Account::unlimited())?;
    /// let mut ids = RowMap::new(table.rows(), RowMapOptions::default())?;
    /// ids.assign(&[50, 60, 60])?;
    ///
    /// table.append_rows(&[4])?;
    /// ids.set_capacity(table.rows())?;
    /// assert_eq!(ids.assign(&[70, 70])?.rows, [2, 2]); // 50 and 60 stay
    ///
    /// let gone = ids.set_capacity(2)?;
    /// assert_eq!(gone, [Evicted { key: 50, row: 0 }]);
    /// let mut sizes: Vec<u32> = table.sizes().collect();
    /// gone.iter().for_each(|gone| sizes[gone.row as usize] = 0);
    /// table.resize(&table.plan(&sizes)?)?;
    /// assert_eq!((table.len(), ids.get(60), ids.get(70)), (8, Some(1), Some(2)));
    /// # Ok(()) }
    /// ```
    pub fn set_capacity(&mut self, capacity: u32) -> Result<Vec<Evicted>> {
        let op = "RowMap::set_capacity";
        check::domain(op, "capacity", capacity, (1..u32::MAX).contains(&capacity), "from 1 to 2^32 - 2")?;
        let held = self.holds.rows as u64;
        if u64::from(capacity) < held {
            let (limit, allowed) = ("capacity with the rows that are held", capacity.into());
            return Err(Error::Limit { op, arg: "capacity", limit, allowed, requested: held });
        }
        let evicted = self.evict(self.taken().saturating_sub(capacity as usize));
        let before = self.now();
        self.capacity = capacity;
        let now = self.now();
        if before != now {
            // Frequencies stay what they are at this moment. Scores that come to be equal by rounding change the order
            // among them.
            for score in self.scores.iter_mut().filter(|score| **score > FREE) {
                *score = now + (*score - before).min(HIGHEST);
            }
            self.queue_again();
        }
        Ok(evicted)
    }

    /// Queues all rows that may leave.
    pub(super) fn queue_again(&mut self) {
        self.queue.clear();
        for row in 0..self.rows() {
            if self.scores[row as usize] > FREE && !self.holds.has(row) {
                self.queue.insert(row, &self.scores);
            }
        }
    }
}
