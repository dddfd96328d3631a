//! The budget as an account that tables draw their bytes from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// What the budget counts besides the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The optimizer's state (default: no, it is gone once training ends).
    pub optimizer: bool,
    /// The row directory, 2 bytes a row and a word a block of rows (default: yes, no row is found without it).
    pub metadata: bool,
}

impl Default for Counts {
    fn default() -> Self {
        Self { optimizer: false, metadata: true }
    }
}

/// A number of bytes that all tables holding a clone of it share. What they hold together never passes the capacity.
///
/// With one exception: where a device fails amid a [resize](super::RaggedTable::resize), old and new pages stay beside each other. They are
/// counted, and what adds values is refused unless it ends within the capacity.
///
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};
/// # fn main() -> scall_gpu::Result<()> {
/// // 10 values, and a directory of a word for the block and one for each two rows.
/// let account = Account::new(4 * 10 + 4 * 3, Counts::default());
/// let mut table = RaggedTable::new(&Device::cpu(), &[4, 4, 2], TableOptions::default(), &account)?;
/// let larger = table.plan(&[4, 4, 3])?;
/// assert!(table.resize(&larger).is_err());
/// assert_eq!(table.size(2), 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Account {
    ledger: Arc<Mutex<Ledger>>,
    counts: Counts,
}

/// Bytes of an [`Account`] that are held for something beside its tables, until this goes.
#[derive(Debug)]
#[must_use = "the bytes are given back when this goes"]
pub struct Held {
    account: Account,
    bytes: u64,
}

impl Held {
    /// How many.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds so many instead, such as after what they are for has grown.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when there is no room; as many as before are held then.
    pub fn set_bytes(&mut self, bytes: u64) -> Result<()> {
        self.account.exchange(self.bytes, bytes)?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Giving back cannot overdraw.
        let _ = self.account.exchange(self.bytes, 0);
    }
}

#[derive(Debug)]
struct Ledger {
    capacity: u64,
    used: u64,
}

impl Account {
    /// An account of `capacity` bytes.
    pub fn new(capacity: u64, counts: Counts) -> Self {
        Self { ledger: Arc::new(Mutex::new(Ledger { capacity, used: 0 })), counts }
    }

    /// An account that never refuses.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX, Counts::default())
    }

    /// What it counts.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes it may hold.
    pub fn capacity_bytes(&self) -> u64 {
        self.lock().capacity
    }

    /// Bytes it holds.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used
    }

    /// Changes the capacity, such as when a budget of so many parameters an entity grows with the entities.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when the tables hold more; the capacity stays.
    pub fn set_capacity(&self, capacity: u64) -> Result<()> {
        let mut ledger = self.lock();
        if ledger.used > capacity {
            return Err(Error::OverBudget { needed: ledger.used, budget: capacity, unit: "bytes" });
        }
        ledger.capacity = capacity;
        Ok(())
    }

    /// Takes bytes for something beside the tables that shall fit the same budget, such as a [`RowMap`](super::RowMap): they are given
    /// back when the [`Held`] goes.
    ///
    /// ```
    /// use scall_gpu::table::{Account, Counts, RowMap, RowMapOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let account = Account::new(100_000, Counts::default());
    /// let map = RowMap::new(1000, RowMapOptions::default())?;
    /// let held = account.hold(map.bytes())?;
    /// assert_eq!(account.used_bytes(), map.bytes());
    /// drop(held);
    /// assert_eq!(account.used_bytes(), 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::OverBudget`] when there is no room; nothing is taken then.
    pub fn hold(&self, bytes: u64) -> Result<Held> {
        self.exchange(0, bytes)?;
        Ok(Held { account: self.clone(), bytes })
    }

    /// Those of a table's bytes (of values, of state, of the directory) that it counts.
    pub(super) fn counted_bytes(&self, [values, state, directory]: [u64; 3]) -> u64 {
        let count = |counts: bool, bytes: u64| if counts { bytes } else { 0 };
        values + count(self.counts.optimizer, state) + count(self.counts.metadata, directory)
    }

    /// Gives back `old` bytes and takes `new`, or neither; taking no more than is given back is never refused.
    pub(super) fn exchange(&self, old: u64, new: u64) -> Result<()> {
        let mut ledger = self.lock();
        let needed = ledger.used - old + new;
        if new > old && needed > ledger.capacity {
            return Err(Error::OverBudget { needed, budget: ledger.capacity, unit: "bytes" });
        }
        ledger.used = needed;
        Ok(())
    }

    /// Whether `new` bytes in the place of `old` are within the capacity.
    pub(super) fn check(&self, old: u64, new: u64) -> Result<()> {
        let ledger = self.lock();
        let needed = ledger.used - old + new;
        if needed > ledger.capacity {
            return Err(Error::OverBudget { needed, budget: ledger.capacity, unit: "bytes" });
        }
        Ok(())
    }

    /// Exchanges what a table was given for what it holds, even past the capacity: its bytes are there already.
    pub(super) fn settle(&self, given: u64, held: u64) {
        let mut ledger = self.lock();
        ledger.used = ledger.used - given + held;
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
