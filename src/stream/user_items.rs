//! The distinct items of each user, in compressed rows.

use super::names::next_u32;
use crate::{Error, Result};

/// For each user its distinct items, ascending: histories, positives, exclusion lists.
///
/// # Shapes
/// `offsets` has one entry a user plus one; the items of user u are `items[offsets[u]..offsets[u + 1]]`.
///
/// ```
/// let seen = scall_gpu::stream::UserItems::new(3, [(2, 9), (0, 5), (2, 4), (2, 9)])?;
/// assert_eq!(seen.offsets(), [0, 1, 1, 3]);
/// assert_eq!(seen.row(2), [4, 9]);
/// # Ok::<(), scall_gpu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserItems {
    offsets: Vec<u32>,
    items: Vec<u32>,
}

impl UserItems {
    /// Sorts (user, item) pairs by counting, then each user's items, and drops repeats. `pairs` is run through twice.
    ///
    /// # Cost
    /// Linear in users and pairs, apart from the sorts within users; 4 bytes a pair and 8 a user.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for a user of `users` or above; [`Error::Limit`] for more than 2^32 - 1 pairs.
    pub fn new<P>(users: u32, pairs: P) -> Result<Self>
    where
        P: IntoIterator<Item = (u32, u32), IntoIter: Clone>,
    {
        let pairs = pairs.into_iter();
        let mut offsets = vec![0u32; users as usize + 1];
        for (position, (user, _)) in pairs.clone().enumerate() {
            next_u32(position, "pairs")?;
            if user >= users {
                return Err(Error::IdOutOfRange {
                    op: "stream/user_items",
                    arg: "pairs",
                    position,
                    id: user,
                    rows: u64::from(users),
                });
            }
            offsets[user as usize + 1] += 1;
        }
        for user in 0..users as usize {
            offsets[user + 1] += offsets[user];
        }
        let mut items = vec![0u32; offsets[users as usize] as usize];
        let mut next = offsets.clone();
        for (user, item) in pairs {
            let slot = &mut next[user as usize];
            items[*slot as usize] = item;
            *slot += 1;
        }
        let mut rows = Self { offsets, items };
        rows.sort_and_drop_repeats();
        Ok(rows)
    }

    /// Adds pairs, and users up to `users`. As cheap as building from the start: linear in what is held and what is
    /// added.
    ///
    /// # Errors
    /// as [`UserItems::new`], and [`Error::Argument`] for fewer users than there are. On an error nothing is added.
    pub fn extend<P>(&mut self, users: u32, pairs: P) -> Result<()>
    where
        P: IntoIterator<Item = (u32, u32), IntoIter: Clone>,
    {
        if users < self.users() {
            return Err(Error::Argument {
                op: "stream/user_items",
                arg: "users",
                expected: format!("at least {}, the users held", self.users()),
                got: users.to_string(),
            });
        }
        let added = Self::new(users, pairs)?;
        *self = Self::new(users, self.pairs().chain(added.pairs()))?;
        Ok(())
    }

    /// The items of a user, ascending. A user past the last has none.
    pub fn row(&self, user: u32) -> &[u32] {
        let user = user as usize;
        match self.offsets.get(user..=user.saturating_add(1)) {
            Some(&[start, end]) => &self.items[start as usize..end as usize],
            _ => &[],
        }
    }

    /// Whether a user has an item. Cost: a binary search in the user's row.
    pub fn contains(&self, user: u32, item: u32) -> bool {
        self.row(user).binary_search(&item).is_ok()
    }

    /// All pairs, by user and item.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + Clone {
        (0..self.users()).flat_map(|user| self.row(user).iter().map(move |&item| (user, item)))
    }

    /// Number of users, those without items included.
    pub fn users(&self) -> u32 {
        (self.offsets.len() - 1) as u32
    }

    /// Number of distinct pairs.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        (size_of_val(self.offsets.as_slice()) + size_of_val(self.items.as_slice())) as u64
    }

    /// These rows as they were taken apart by [`offsets`](Self::offsets) and [`items`](Self::items); none where they
    /// are no such.
    pub(crate) fn from_parts(offsets: Vec<u32>, items: Vec<u32>) -> Option<Self> {
        let ends = offsets.first() == Some(&0) && offsets.last().map(|&end| end as usize) == Some(items.len());
        let rows = Self { offsets, items };
        let ascending =
            || rows.offsets.is_sorted() && (0..rows.users()).all(|user| rows.row(user).is_sorted_by(|a, b| a < b));
        (ends && ascending()).then_some(rows)
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Where each user's items start, and where the last ones end.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The items of all users, one user after the other.
    pub fn items(&self) -> &[u32] {
        &self.items
    }

    fn sort_and_drop_repeats(&mut self) {
        let (mut start, mut kept) = (0, 0);
        for user in 0..self.offsets.len() - 1 {
            let end = self.offsets[user + 1] as usize;
            self.items[start..end].sort_unstable();
            let row = kept;
            for i in start..end {
                if kept == row || self.items[kept - 1] != self.items[i] {
                    self.items[kept] = self.items[i];
                    kept += 1;
                }
            }
            // The next start is read before it is overwritten, one round later.
            self.offsets[user] = row as u32;
            start = end;
        }
        if let Some(last) = self.offsets.last_mut() {
            *last = kept as u32;
        }
        self.items.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_distinct() {
        let mut rows = UserItems::new(4, [(3, 1), (1, 7), (3, 0), (1, 7), (3, 1), (1, 2)]).unwrap();
        assert_eq!(rows.offsets(), [0, 0, 2, 2, 4]);
        assert_eq!(rows.items(), [2, 7, 0, 1]);
        assert!(rows.contains(3, 0) && !rows.contains(0, 0) && !rows.contains(1, 3));

        rows.extend(6, [(0, 9), (5, 3), (1, 2), (1, 4)]).unwrap();
        assert_eq!((rows.users(), rows.len()), (6, 7));
        assert_eq!(rows.pairs().collect::<Vec<_>>(), [(0, 9), (1, 2), (1, 4), (1, 7), (3, 0), (3, 1), (5, 3)]);
    }

    #[test]
    fn empty_and_past_the_end() {
        let none = UserItems::new(0, []).unwrap();
        assert!(none.is_empty() && none.offsets() == [0]);
        assert!(none.row(0).is_empty());
        assert!(!none.contains(u32::MAX, 0));
    }

    #[test]
    fn bad_arguments_change_nothing() {
        let mut rows = UserItems::new(2, [(0, 1), (1, 1)]).unwrap();
        let before = rows.clone();
        assert_eq!(
            rows.extend(3, [(0, 5), (3, 0)]).unwrap_err().to_string(),
            "stream/user_items: `pairs[1]` is row 3, but the table has 3 rows"
        );
        assert_eq!(
            rows.extend(1, []).unwrap_err().to_string(),
            "stream/user_items: `users` must be at least 2, the users held, got 1"
        );
        assert_eq!(rows, before);
    }
}
