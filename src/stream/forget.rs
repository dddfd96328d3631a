//! Rows that a stream forgets: their columns go, what is known of users and items stays.

use std::ops::Range;

use super::interactions::{Interactions, Side};
use super::names::Dictionary;
use super::non_clicks::NonClicks;
use crate::Result;
use crate::check::domain;

/// What is left of rows that were forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// How many they were.
    pub rows: usize,
    /// The time of the last of them.
    pub latest: i64,
    /// How often each item was taken in them, non-clicks not counted: one number for each item seen there.
    pub item_counts: Vec<u32>,
}

impl Interactions {
    /// Drops the columns of all rows before row `before`, which must be at most the number of rows. Rows keep their
    /// numbers, users and items their ids and names; [`len`](Self::len), [`users_seen`](Self::users_seen) and the
    /// [counts](super::item_counts) of items from row 0 on still include what was forgotten. So a stream that goes on
    /// for ever needs memory for its users, its items and its latest rows.
    ///
    /// # Cost
    /// Linear in the rows that are left: they move to memory of their own size.
    ///
    /// # Panics
    /// When `before` is past the last row.
    ///
    /// ```
    /// use scall_gpu::stream::{Interactions, item_counts};
    /// let mut data = Interactions::from_rows([("ann", "tea", 1), ("bob", "jam", 2), ("bob", "tea", 3)])?;
    /// data.forget(2);
    /// assert_eq!((data.len(), data.kept()), (3, 2..3));
    /// assert_eq!((data.users(), data.user_id("ann")), (&[1][..], Some(0)));
    /// assert_eq!((item_counts(&data, 0..3), item_counts(&data, 2..3)), (vec![2, 1], vec![1, 0]));
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn forget(&mut self, before: usize) {
        assert!(before <= self.len(), "row {before} is past the last of {}", self.len());
        let Some(count) = before.checked_sub(self.forgotten.rows).filter(|&count| count > 0) else {
            return;
        };
        self.forgotten.latest = self.timestamps[count - 1];
        self.forgotten.item_counts.resize(self.items_seen(before) as usize, 0);
        for (row, &item) in (self.forgotten.rows..).zip(&self.items.ids[..count]) {
            self.forgotten.item_counts[item as usize] += u32::from(self.clicked(row));
        }
        self.forgotten.rows = before;
        self.non_clicks.forget(before);
        for ids in [&mut self.users.ids, &mut self.items.ids] {
            *ids = ids[count..].to_vec();
        }
        self.timestamps = self.timestamps[count..].to_vec();
    }

    /// The numbers of the rows that are kept: all but those that were [forgotten](Self::forget).
    pub fn kept(&self) -> Range<usize> {
        self.forgotten.rows..self.len()
    }

    /// That nothing was forgotten.
    pub(crate) fn check_whole(&self, op: &'static str) -> Result<()> {
        let got = format!("one without its first {}", self.forgotten.rows);
        domain(op, "data", got, self.forgotten.rows == 0, "a stream with all of its rows")
    }

    /// The time of the last row.
    pub(super) fn latest(&self) -> Option<i64> {
        let forgotten = (self.forgotten.rows > 0).then_some(self.forgotten.latest);
        self.timestamps.last().copied().or(forgotten)
    }

    /// What is left of the rows that were forgotten.
    pub(crate) fn forgotten(&self) -> &Forgotten {
        &self.forgotten
    }

    /// The rows in which users, and items, first appeared, of those that were forgotten.
    pub(crate) fn forgotten_first_rows(&self) -> [&[u32]; 2] {
        [&self.users, &self.items].map(|side| side.first_rows_before(self.forgotten.rows))
    }

    /// A stream all of whose rows so far were forgotten. For the users and for the items: where each first appeared,
    /// ascending and below their number, and its name, a different one for each.
    pub(crate) fn of_forgotten(
        forgotten: Forgotten,
        users: (Vec<u32>, &[&str]),
        items: (Vec<u32>, &[&str]),
    ) -> Result<Self> {
        let side = |(first_rows, names): (Vec<u32>, &[&str]), arg| {
            let mut dictionary = Dictionary::default();
            names.iter().try_for_each(|name| dictionary.id(name, arg).map(drop))?;
            Ok(Side::known(first_rows, dictionary))
        };
        let mut data = Self::of(side(users, "users")?, side(items, "items")?, Vec::new(), NonClicks::default());
        data.non_clicks.forget(forgotten.rows);
        data.forgotten = forgotten;
        Ok(data)
    }

    /// Bytes of the columns up to row `end`, of what was counted of forgotten rows, and of where users and items first
    /// appeared.
    pub(crate) fn column_bytes(&self, end: usize) -> u64 {
        let words = |len: usize| (len * size_of::<u32>()) as u64;
        let rows = end.saturating_sub(self.forgotten.rows);
        let sides = [&self.users, &self.items].map(|side| words(rows) + words(side.first_rows_before(end).len()));
        let times = (rows * size_of::<i64>()) as u64;
        times + self.non_clicks.bytes() + words(self.forgotten.item_counts.len()) + sides.into_iter().sum::<u64>()
    }

    /// Bytes of the names of users and items, and of what finds them.
    pub(crate) fn name_bytes(&self) -> u64 {
        self.users.dictionary.bytes() + self.items.dictionary.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Cut, cut, decayed_counts, item_counts};

    fn rows(range: Range<i64>) -> impl Iterator<Item = (String, String, i64)> {
        range.map(|n| (format!("u{}", n * 7 % (10 + n / 9)), format!("i{}", n * n % (8 + n / 7)), n))
    }

    /// Whatever is asked of rows that are left, and of users and items, is answered as if all rows were there.
    #[test]
    fn what_is_left_is_as_it_was() {
        let whole = Interactions::from_rows(rows(0..300)).unwrap();
        for steps in [&[120][..], &[0, 50, 50, 300], &[299], &[30, 20, 200]] {
            let mut data = Interactions::default();
            for (n, row) in rows(0..300).enumerate() {
                data.append([row], 0).unwrap();
                if steps.contains(&n) {
                    data.forget(n / 2);
                }
            }
            for &before in steps {
                data.forget(before);
            }
            let first = data.kept().start;
            assert_eq!(data.kept(), *steps.iter().max().unwrap()..300);
            assert_eq!(
                (data.len(), data.users(), data.items()),
                (300, &whole.users()[first..], &whole.items()[first..])
            );
            assert_eq!(data.timestamps(), &whole.timestamps()[first..]);
            assert!(data.pairs(first..300).eq(whole.pairs(first..300)));
            for row in 0..=300 {
                assert_eq!(data.users_seen(row), whole.users_seen(row));
                assert_eq!(data.items_seen(row), whole.items_seen(row));
            }
            for end in first..=300 {
                assert_eq!(item_counts(&data, 0..end), item_counts(&whole, 0..end));
                assert_eq!(item_counts(&data, first..end), item_counts(&whole, first..end));
            }
            assert_eq!(data.user_names(), whole.user_names());
            assert_eq!((data.user_id("u3"), data.item_id("none")), (whole.user_id("u3"), None));
            // What is added goes on where it was.
            let mut longer = whole.clone();
            for data in [&mut data, &mut longer] {
                assert!(data.push("u1", "i1", 298).is_err());
                data.push("new", "i1", 299).unwrap();
            }
            assert_eq!((data.user_id("new"), data.len()), (longer.user_id("new"), 301));
            assert_eq!(item_counts(&data, 0..301), item_counts(&longer, 0..301));
        }
    }

    #[test]
    fn counts_that_fade_go_by_what_is_left() {
        let whole = Interactions::from_rows(rows(0..300)).unwrap();
        let mut data = whole.clone();
        data.forget(100);
        // Of rows of age 150 and more a weight of 2^-30 and less was lost.
        for (left, all) in decayed_counts(&data, 250, 5.0).into_iter().zip(decayed_counts(&whole, 250, 5.0)) {
            assert!((left - all).abs() < 1e-8);
        }
        let left = decayed_counts(&data, 250, f64::INFINITY);
        assert_eq!(left, item_counts(&whole, 100..250).into_iter().map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn a_stream_with_forgotten_rows_is_not_cut() {
        let mut data = Interactions::from_rows(rows(0..30)).unwrap();
        data.forget(4);
        for how in [Cut::Equal { segments: 2 }, Cut::NewEntities { entities: 5 }] {
            assert_eq!(
                cut(&data, how).unwrap_err().to_string(),
                "stream/cut: `data` must be a stream with all of its rows, got one without its first 4"
            );
        }
    }

    #[test]
    #[should_panic = "row 31 is past the last of 30"]
    fn what_is_not_there_is_not_forgotten() {
        Interactions::from_rows(rows(0..30)).unwrap().forget(31);
    }

    /// Memory is given back, not only marked as free.
    #[test]
    fn columns_shrink() {
        let mut data = Interactions::from_rows(rows(0..300)).unwrap();
        let (before, names) = (data.column_bytes(300), data.name_bytes());
        data.forget(200);
        let counted = 4 * u64::from(data.items_seen(200));
        assert_eq!((data.column_bytes(300), data.name_bytes()), (before - 16 * 200 + counted, names));
        assert!(data.column_bytes(250) < data.column_bytes(300) - 16 * 50 + 1);
        assert!(data.timestamps.capacity() == 100 && data.users.ids.capacity() == 100);
    }
}
