//! The rows of a stream in time order, as columns.

use super::builder::{Builder, push_slowly};
use super::forget::Forgotten;
use super::names::{Dictionary, Lookup, Names, next_u32};
use super::non_clicks::NonClicks;
use super::readers::{Dedup, MICROS, check_row};
use crate::{Error, Result, check};

/// User-item interactions in time order, with dense ids by first appearance.
///
/// Rows with equal timestamps keep the order in which they came. Because a new user (or item) always takes the next id,
/// the users of rows `0..r` are the ids `0..users_seen(r)`: what is known at a moment is a prefix of every table.
///
/// A row is a *click*: the user took the item. A stream may also have *non-clicks*, rows of what a user was shown or
/// has rated and did not like: those with a rating below [`ReadOptions::clicks`](super::ReadOptions::clicks), or those
/// that a caller [says](Self::mark_non_clicks).
///
/// # Cost
/// 16 bytes a row, 20 while rows are sorted, and a bit where there are non-clicks; for each user and item its text and
/// 32 to 56 bytes. Old rows can be [forgotten](Self::forget).
///
/// Source: `docs/method.md` section 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interactions {
    pub(super) users: Side,
    pub(super) items: Side,
    pub(super) timestamps: Vec<i64>,
    pub(super) forgotten: Forgotten,
    pub(super) non_clicks: NonClicks,
}

/// The users or the items.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// One for each row that is kept.
    pub ids: Vec<u32>,
    /// One an id: the row in which it first appears, strictly ascending.
    first_rows: Vec<u32>,
    pub dictionary: Dictionary,
}

impl PartialEq for Side {
    fn eq(&self, other: &Self) -> bool {
        // First rows follow from the ids, slots from the names.
        self.ids == other.ids && self.dictionary.names() == other.dictionary.names()
    }
}

impl Eq for Side {}

impl Interactions {
    /// Sorts rows of (user, item, unix seconds) by time, stably, and numbers users and items.
    ///
    /// # Errors
    /// [`Error::Argument`] for what would be an error in a file too: an empty id, one with characters that cannot be
    /// seen ([`text`](crate::text)), a time before 1970 or past the year 9999; and for an id with space at its ends,
    /// which a file's reader would trim. [`Error::Limit`] for more than 2^32 - 1 rows, users or items.
    ///
    /// ```
    /// let data = scall_gpu::stream::Interactions::from_rows([("ann", "tea", 20), ("bob", "tea", 10)])?;
    /// assert_eq!(data.users(), [0, 1]);
    /// assert_eq!(data.user_names().get(0), Some("bob"));
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn from_rows<U: AsRef<str>, I: AsRef<str>>(rows: impl IntoIterator<Item = (U, I, i64)>) -> Result<Self> {
        let mut builder = Builder::default();
        for (user, item, timestamp) in rows {
            let (user, item) = (user.as_ref(), item.as_ref());
            check_row("stream/from_rows", user, item, timestamp)?;
            builder.push(user, item, timestamp * MICROS, true)?;
        }
        Ok(builder.finish(Dedup::All, None)?.data)
    }

    /// The parts, in time order.
    pub(super) fn of(users: Side, items: Side, timestamps: Vec<i64>, non_clicks: NonClicks) -> Self {
        Self { users, items, timestamps, forgotten: Forgotten::default(), non_clicks }
    }

    /// Adds a row after the last.
    ///
    /// # Errors
    /// [`Error::Argument`] for a time before that of the last row, and as in [`from_rows`](Self::from_rows);
    /// [`Error::Limit`] at 2^32 - 1 rows, users or items. Nothing is added then.
    ///
    /// ```
    /// let mut data = scall_gpu::stream::Interactions::default();
    /// data.push("ann", "tea", 20)?;
    /// assert!(data.push("bob", "tea", 10).is_err());
    /// assert_eq!((data.len(), data.user_id("ann"), data.user_id("bob")), (1, Some(0), None));
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn push(&mut self, user: &str, item: &str, timestamp: i64) -> Result<()> {
        check_row("stream/push", user, item, timestamp)?;
        if let Some(last) = self.latest().filter(|&last| timestamp < last) {
            let (expected, got) = (format!("{last}, the time of the last row, or later"), timestamp.to_string());
            return Err(Error::Argument { op: "stream/push", arg: "timestamp", expected, got });
        }
        let row = next_u32(self.len(), "rows")?;
        next_u32(self.users.first_rows.len(), "users")?;
        next_u32(self.items.first_rows.len(), "items")?;
        self.users.push(row, user, "users")?;
        self.items.push(row, item, "items")?;
        push_slowly(&mut self.timestamps, timestamp);
        Ok(())
    }

    /// Adds rows of (user, item, unix seconds) after the last, in the order in which they come: all of them or none.
    ///
    /// Rows of several producers come a little out of order. A row may lie up to `late_seconds` before the latest row
    /// so far; it then gets the time of that one, so that times never fall. Its place is that of its arrival.
    ///
    /// # Cost
    /// The rows are collected before the first is added.
    ///
    /// # Errors
    /// [`Error::Argument`] with the first row that is wrong: a time further back than that, and as in
    /// [`from_rows`](Self::from_rows). [`Error::Limit`] past 2^32 - 1 rows. No row is added then.
    ///
    /// ```
    /// let mut data = scall_gpu::stream::Interactions::default();
    /// data.append([("ann", "tea", 20), ("bob", "tea", 19)], 5)?;
    /// assert_eq!(data.timestamps(), [20, 20]);
    /// assert!(data.append([("cy", "jam", 21), ("bob", "jam", 14)], 5).is_err());
    /// assert_eq!((data.len(), data.user_id("cy")), (2, None));
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn append<U: AsRef<str>, I: AsRef<str>>(
        &mut self,
        rows: impl IntoIterator<Item = (U, I, i64)>,
        late_seconds: u32,
    ) -> Result<()> {
        let op = "stream/append";
        let rows: Vec<(U, I, i64)> = rows.into_iter().collect();
        let mut latest = self.latest().unwrap_or(0);
        for (number, (user, item, timestamp)) in rows.iter().enumerate() {
            let earliest = latest - i64::from(late_seconds);
            let checked = check_row(op, user.as_ref(), item.as_ref(), *timestamp).and_then(|()| {
                let expected = format!("{earliest} or later, {late_seconds} seconds before the latest row");
                check::domain(op, "timestamp", timestamp, *timestamp >= earliest, &expected)
            });
            checked.map_err(|error| of_row(error, number, rows.len()))?;
            latest = latest.max(*timestamp);
        }
        // Each user and item comes with a row, so that there is a number for them where there is one for the rows.
        next_u32((self.len() + rows.len()).saturating_sub(1), "rows")?;
        for (user, item, timestamp) in rows {
            let latest = self.latest().unwrap_or(0);
            self.push(user.as_ref(), item.as_ref(), timestamp.max(latest))?;
        }
        Ok(())
    }

    /// Number of rows, those included that were [forgotten](Self::forget).
    pub fn len(&self) -> usize {
        self.forgotten.rows + self.timestamps.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The user of each row that is [kept](Self::kept).
    pub fn users(&self) -> &[u32] {
        &self.users.ids
    }

    /// The item of each row that is [kept](Self::kept).
    pub fn items(&self) -> &[u32] {
        &self.items.ids
    }

    /// The unix seconds of each row that is [kept](Self::kept), ascending.
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    /// The users' text ids.
    pub fn user_names(&self) -> &Names {
        self.users.dictionary.names()
    }

    /// The items' text ids.
    pub fn item_names(&self) -> &Names {
        self.items.dictionary.names()
    }

    /// The id of a user, if it has a row.
    pub fn user_id(&self, name: &str) -> Option<u32> {
        self.users.dictionary.get(name)
    }

    /// The id of an item, if it has a row.
    pub fn item_id(&self, name: &str) -> Option<u32> {
        self.items.dictionary.get(name)
    }

    /// Number of users.
    pub fn user_count(&self) -> u32 {
        self.users.seen(self.len())
    }

    /// Number of items.
    pub fn item_count(&self) -> u32 {
        self.items.seen(self.len())
    }

    /// Users in rows `0..row_end`: exactly the ids below the result. Cost: a binary search over the users.
    pub fn users_seen(&self, row_end: usize) -> u32 {
        self.users.seen(row_end)
    }

    /// Items in rows `0..row_end`: exactly the ids below the result. Cost: a binary search over the items.
    pub fn items_seen(&self, row_end: usize) -> u32 {
        self.items.seen(row_end)
    }

    /// The (user, item) of the given rows, in their order.
    ///
    /// # Panics
    /// The iterator panics at a row that was [forgotten](Self::forget) or is past the last, as indexing does.
    pub fn pairs<R>(&self, rows: R) -> impl Iterator<Item = (u32, u32)> + Clone
    where
        R: IntoIterator<Item = usize, IntoIter: Clone>,
    {
        rows.into_iter().map(|row| self.pair(row))
    }

    /// The (user, item) of one row, which must be kept.
    pub(crate) fn pair(&self, row: usize) -> (u32, u32) {
        let place = row - self.forgotten.rows;
        (self.users.ids[place], self.items.ids[place])
    }
}

/// The error of one row among several.
fn of_row(error: Error, number: usize, rows: usize) -> Error {
    match error {
        Error::Argument { op, arg, expected, got } => {
            let got = format!("{got} in row {number} of {rows}; none of them was added");
            Error::Argument { op, arg, expected, got }
        }
        other => other,
    }
}

impl Side {
    /// Numbers ids by first appearance. Names without a row are forgotten.
    pub fn renumber(&mut self) -> Result<()> {
        const UNSEEN: u32 = u32::MAX;
        let old = std::mem::take(&mut self.dictionary).into_names();
        let mut new_ids = vec![UNSEEN; old.len()];
        self.first_rows.clear();
        for (row, id) in self.ids.iter_mut().enumerate() {
            let new = &mut new_ids[*id as usize];
            if *new == UNSEEN {
                *new = self.dictionary.id(old.get(*id).unwrap_or_default(), "names")?;
                self.first_rows.push(row as u32);
            }
            *id = *new;
        }
        Ok(())
    }

    /// What appeared in these rows, by this name each, once the rows themselves are forgotten.
    pub fn known(first_rows: Vec<u32>, dictionary: Dictionary) -> Self {
        Self { ids: Vec::new(), first_rows, dictionary }
    }

    /// Where what appeared before row `row` did so.
    pub fn first_rows_before(&self, row: usize) -> &[u32] {
        &self.first_rows[..self.seen(row) as usize]
    }

    /// Adds the id of row `row`.
    pub fn push(&mut self, row: u32, name: &str, arg: &'static str) -> Result<u32> {
        self.push_of(self.dictionary.lookup(name), row, name, arg)
    }

    /// The same where it is known what the name is looked up by.
    pub fn push_of(&mut self, lookup: Lookup, row: u32, name: &str, arg: &'static str) -> Result<u32> {
        let id = self.id_of(lookup, row, name, arg)?;
        push_slowly(&mut self.ids, id);
        Ok(id)
    }

    /// The id of a row that is to be added.
    pub fn id_of(&mut self, lookup: Lookup, row: u32, name: &str, arg: &'static str) -> Result<u32> {
        let id = self.dictionary.id_of(lookup, name, arg)?;
        if id as usize == self.first_rows.len() {
            self.first_rows.push(row);
        }
        Ok(id)
    }

    /// How many rows each id has.
    pub fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.dictionary.names().len()];
        self.ids.iter().for_each(|&id| counts[id as usize] += 1);
        counts
    }

    fn seen(&self, row_end: usize) -> u32 {
        self.first_rows.partition_point(|&row| (row as usize) < row_end) as u32
    }
}

#[cfg(test)]
mod tests;
