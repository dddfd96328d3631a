//! The budget as an account that tables draw their bytes from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// What the budget counts in addition to the values.
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
/// With one exception: where a device fails in the middle of a [resize](super::RaggedTable::resize), old and new pages
/// stay next to each other. They are counted, and what adds values is refused unless it ends within the capacity.
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

/// Bytes of an [`Account`] that are held for something else than its tables, until this goes.
#[derive(Debug)]
#[must_use = "the bytes are given back when this goes"]
pub struct Held {
    account: Account,
    bytes: u64,
}

impl Held {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds this many bytes instead, such as after what they are for has grown.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when there is no room; then the number of bytes held stays.
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

impl Ledger {
    /// What is used with `new` bytes in the place of `old`, where this is within the capacity. A sum past 64 bits is
    /// not, whatever the capacity.
    fn with(&self, old: u64, new: u64) -> Result<u64> {
        let sum = self.used.saturating_sub(old).checked_add(new);
        sum.filter(|&needed| needed <= self.capacity).ok_or(Error::OverBudget {
            needed: sum.unwrap_or(u64::MAX),
            budget: self.capacity,
            unit: "bytes",
        })
    }
}

impl Account {
    /// An account of `capacity` bytes.
    pub fn new(capacity: u64, counts: Counts) -> Self {
        Self { ledger: Arc::new(Mutex::new(Ledger { capacity, used: 0 })), counts }
    }

    /// An account without a limit: of what memory can hold, it refuses nothing. (Its capacity is 2^64 - 1 bytes.)
    pub fn unlimited() -> Self {
        Self::new(u64::MAX, Counts::default())
    }

    /// What it counts.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether `other` is a clone of this account: what draws from one draws from the other.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ledger, &other.ledger)
    }

    /// Bytes it may hold.
    pub fn capacity_bytes(&self) -> u64 {
        self.lock().capacity
    }

    /// Bytes it holds.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used
    }

    /// Changes the capacity, such as when a budget in parameters an entity grows with the entities.
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

    /// Takes bytes for something else that has to fit the same budget as the tables, such as a
    /// [`RowMap`](super::RowMap): they are given back when the [`Held`] goes.
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
        let state = count(self.counts.optimizer, state);
        values.saturating_add(state).saturating_add(count(self.counts.metadata, directory))
    }

    /// Gives back `old` bytes and takes `new`, or neither; taking no more than is given back is never refused.
    pub(super) fn exchange(&self, old: u64, new: u64) -> Result<()> {
        let mut ledger = self.lock();
        ledger.used = if new > old { ledger.with(old, new)? } else { ledger.used.saturating_sub(old - new) };
        Ok(())
    }

    /// Whether `new` bytes in the place of `old` are within the capacity.
    pub(crate) fn check(&self, old: u64, new: u64) -> Result<()> {
        self.lock().with(old, new).map(drop)
    }

    /// Exchanges what a table was given for what it holds, even past the capacity: its bytes are there already.
    pub(super) fn settle(&self, given: u64, held: u64) {
        let mut ledger = self.lock();
        ledger.used = ledger.used.saturating_sub(given).saturating_add(held);
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sums_past_64_bits_are_over_budget() {
        let account = Account::new(1000, Counts::default());
        let mut held = account.hold(88).unwrap();
        let text = account.hold(u64::MAX - 50).unwrap_err().to_string();
        assert_eq!(text, "over budget: the change needs 18446744073709551615 bytes, the budget is 1000");
        assert!(matches!(held.set_bytes(u64::MAX), Err(Error::OverBudget { needed: u64::MAX, budget: 1000, .. })));
        assert!(account.check(0, u64::MAX).is_err());
        assert_eq!((account.used_bytes(), held.bytes()), (88, 88));
        assert!(account.hold(913).is_err());
        assert_eq!(account.hold(912).unwrap().bytes(), 912);

        let account = Account::unlimited();
        let most = account.hold(u64::MAX - 1).unwrap();
        assert!(matches!(account.hold(2), Err(Error::OverBudget { needed: u64::MAX, budget: u64::MAX, .. })));
        let rest = account.hold(1).unwrap();
        assert_eq!(account.used_bytes(), u64::MAX);
        drop((most, rest));
        assert_eq!(account.used_bytes(), 0);
        assert_eq!(account.counted_bytes([u64::MAX, 5, 3]), u64::MAX);
    }

    #[derive(Clone, Debug)]
    enum Call {
        Hold(u64),
        Drop(usize),
        SetBytes(usize, u64),
        SetCapacity(u64),
    }

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        // Small, around the capacities, and where 64 bits end.
        let bytes = prop_oneof![0u64..40, 900u64..1100, (0u64..40).prop_map(|less| u64::MAX - less), any::<u64>()];
        let call = prop_oneof![
            4 => bytes.clone().prop_map(Call::Hold),
            1 => (0usize..8).prop_map(Call::Drop),
            3 => (0usize..8, bytes.clone()).prop_map(|(which, bytes)| Call::SetBytes(which, bytes)),
            1 => bytes.prop_map(Call::SetCapacity),
        ];
        vec(call, 0..60)
    }

    proptest! {
        /// Against sums that cannot pass their width.
        #[test]
        fn what_is_held_is_what_was_given(calls in calls(), capacity in prop_oneof![0u64..2000, Just(u64::MAX)]) {
            let account = Account::new(capacity, Counts::default());
            let mut capacity = capacity;
            let mut held: Vec<Held> = Vec::new();
            for call in calls {
                let sum: u128 = held.iter().map(|held| u128::from(held.bytes())).sum();
                let fits = |others: u128, bytes: u64| others + u128::from(bytes) <= u128::from(capacity);
                match call {
                    Call::Hold(bytes) => match account.hold(bytes) {
                        Ok(new) => {
                            prop_assert!(fits(sum, bytes));
                            held.push(new);
                        }
                        Err(Error::OverBudget { needed, budget, .. }) => {
                            prop_assert!(!fits(sum, bytes));
                            let needs = (sum + u128::from(bytes)).min(u128::from(u64::MAX));
                            prop_assert_eq!((u128::from(needed), budget), (needs, capacity));
                        }
                        Err(other) => panic!("{other}"),
                    },
                    Call::Drop(which) if which < held.len() => drop(held.swap_remove(which)),
                    Call::SetBytes(which, bytes) if which < held.len() => {
                        let before = held[which].bytes();
                        let may = bytes <= before || fits(sum - u128::from(before), bytes);
                        prop_assert_eq!(held[which].set_bytes(bytes).is_ok(), may);
                        prop_assert_eq!(held[which].bytes(), if may { bytes } else { before });
                    }
                    Call::SetCapacity(wanted) => {
                        let may = sum <= u128::from(wanted);
                        prop_assert_eq!(account.set_capacity(wanted).is_ok(), may);
                        capacity = if may { wanted } else { capacity };
                    }
                    Call::Drop(_) | Call::SetBytes(..) => {}
                }
                let sum: u128 = held.iter().map(|held| u128::from(held.bytes())).sum();
                prop_assert_eq!(u128::from(account.used_bytes()), sum);
                prop_assert_eq!(account.capacity_bytes(), capacity);
                prop_assert!(account.used_bytes() <= capacity);
            }
            held.clear();
            prop_assert_eq!(account.used_bytes(), 0);
        }
    }
}
