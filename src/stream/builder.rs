//! Rows that come in any order, and how they become a stream in time order.
//!
//! Memory is what counts here: a row takes 16 bytes as it is collected and as it is kept, and 4 more while rows are
//! sorted. Rows that come in time order, as of most logs, are not sorted, and their ids are those of their first
//! appearance already.

use std::collections::HashSet;

use rayon::prelude::*;

use super::interactions::{Interactions, Side};
use super::names::{Lookup, next_u32};
use super::non_clicks::NonClicks;
use super::parsed::{Known, Parsed};
use super::readers::{Dedup, MICROS};
use crate::Result;

/// Rows that are looked up together: enough for memory to come meanwhile.
pub(super) const AHEAD: usize = 32;

/// Collects rows in any order.
#[derive(Default)]
pub(super) struct Builder {
    /// The names of rows that are not yet looked up, end to end.
    names: String,
    ahead: Vec<Ahead>,
    users: Side,
    items: Side,
    /// Micros since 1970.
    times: Vec<i64>,
    non_clicks: NonClicks,
    unsorted: bool,
}

/// A row that is not yet looked up. Its names begin where those of the row before end.
struct Ahead {
    user_end: usize,
    item_end: usize,
    lookups: [Lookup; 2],
    micros: i64,
    clicked: bool,
}

/// The rows that are kept, and how many are not.
pub(super) struct Kept {
    pub data: Interactions,
    /// Rows whose user and item had one before.
    pub repeated: u64,
    /// Rows of users and items with too few of them.
    pub outside_core: u64,
}

impl Builder {
    pub fn push(&mut self, user: &str, item: &str, micros: i64, clicked: bool) -> Result<()> {
        let lookups = [self.users.dictionary.lookup(user), self.items.dictionary.lookup(item)];
        self.users.dictionary.expect(lookups[0]);
        self.items.dictionary.expect(lookups[1]);
        self.names.push_str(user);
        let user_end = self.names.len();
        self.names.push_str(item);
        self.ahead.push(Ahead { user_end, item_end: self.names.len(), lookups, micros, clicked });
        if self.ahead.len() < AHEAD { Ok(()) } else { self.look_up() }
    }

    /// Adds the rows that came last to the columns.
    fn look_up(&mut self) -> Result<()> {
        let mut start = 0;
        for &Ahead { user_end, item_end, lookups: [user, item], micros, clicked } in &self.ahead {
            let row = next_u32(self.times.len(), "rows")?;
            self.users.push_of(user, row, &self.names[start..user_end], "users")?;
            self.items.push_of(item, row, &self.names[user_end..item_end], "items")?;
            self.unsorted |= self.times.last().is_some_and(|&last| micros < last);
            push_slowly(&mut self.times, micros);
            if !clicked {
                self.non_clicks.insert(row as usize);
            }
            start = item_end;
        }
        self.ahead.clear();
        self.names.clear();
        Ok(())
    }

    /// What looks rows up among the names so far.
    pub fn known<'r>(&'r self, rows: &'r mut Parsed) -> Known<'r> {
        Known::new(&self.users.dictionary, &self.items.dictionary, rows)
    }

    /// Adds rows that were looked up, after all others, and gives numbers to names that are new.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) past 2^32 - 1 rows, users or items.
    pub fn append(&mut self, rows: &mut Parsed) -> Result<()> {
        self.look_up()?;
        let first = self.times.len();
        let last = (first + rows.micros.len()).min(u32::MAX as usize + 1).saturating_sub(1);
        next_u32(last, "rows")?;
        for (row, lookup, name) in rows.new_users.iter() {
            rows.users[row] = self.users.id_of(lookup, (first + row) as u32, name, "users")?;
        }
        for (row, lookup, name) in rows.new_items.iter() {
            rows.items[row] = self.items.id_of(lookup, (first + row) as u32, name, "items")?;
        }
        let is_before = |&next: &i64| self.times.last().is_some_and(|&last| next < last);
        self.unsorted |= rows.micros.first().is_some_and(is_before) || !rows.micros.is_sorted();
        extend_slowly(&mut self.users.ids, &rows.users);
        extend_slowly(&mut self.items.ids, &rows.items);
        extend_slowly(&mut self.times, &rows.micros);
        rows.non_clicks.iter().for_each(|row| self.non_clicks.insert(first + row));
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.times.len() + self.ahead.len()
    }

    /// Sorts rows by time, stably, and leaves out what is not wanted.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) past 2^32 - 1 rows, users or items.
    pub fn finish(mut self, dedup: Dedup, k_core: Option<u32>) -> Result<Kept> {
        self.look_up()?;
        self.times.shrink_to_fit();
        self.users.ids.shrink_to_fit();
        self.items.ids.shrink_to_fit();
        if self.unsorted {
            self.sort();
        }
        let rows = self.len();
        if dedup == Dedup::First {
            let mut known = HashSet::new();
            self.retain(|user, item| known.insert(u64::from(user) << 32 | u64::from(item)));
        }
        let distinct = self.len();
        if let Some(least) = k_core {
            self.keep_core(least);
        }
        let kept = self.len();
        if self.unsorted || kept < rows {
            let (users, items) = rayon::join(|| self.users.renumber(), || self.items.renumber());
            users.and(items)?;
        }
        self.times.par_iter_mut().for_each(|time| *time = time.div_euclid(MICROS));
        let data = Interactions::of(self.users, self.items, self.times, self.non_clicks);
        Ok(Kept { data, repeated: (rows - distinct) as u64, outside_core: (distinct - kept) as u64 })
    }

    /// A number that holds time and row is sorted in place. Where both do not fit 64 bits, row numbers are sorted by
    /// the times that they lead to.
    fn sort(&mut self) {
        let (Some(&least), Some(&most)) = (self.times.iter().min(), self.times.iter().max()) else { return };
        let unit = [MICROS, MICROS / 1000].into_iter().find(|unit| self.times.iter().all(|time| time % unit == 0));
        let unit = unit.unwrap_or(1);
        let (first, span) = (least / unit, (most / unit - least / unit) as u64);
        let row_bits = usize::BITS - (self.len() - 1).leading_zeros();
        if u64::BITS - span.leading_zeros() + row_bits > u64::BITS - 1 {
            return self.sort_by_rows();
        }
        for (row, time) in self.times.iter_mut().enumerate() {
            *time = (*time / unit - first) << row_bits | row as i64;
        }
        self.times.par_sort_unstable();
        let mask = (1 << row_bits) - 1;
        for ids in [&mut self.users.ids, &mut self.items.ids] {
            *ids = self.times.par_iter().map(|key| ids[(key & mask) as usize]).collect();
        }
        self.non_clicks = self.non_clicks.moved(self.times.iter().map(|key| (key & mask) as usize));
        self.times.iter_mut().for_each(|key| *key = ((*key >> row_bits) + first) * unit);
    }

    fn sort_by_rows(&mut self) {
        let times = &self.times;
        let mut order: Vec<u32> = (0..times.len() as u32).collect();
        order.par_sort_unstable_by_key(|&row| (times[row as usize], row));
        self.non_clicks = self.non_clicks.moved(order.iter().map(|&row| row as usize));
        // Along each cycle, so that no second copy is needed.
        for start in 0..order.len() {
            let mut at = start;
            loop {
                let from = order[at] as usize;
                order[at] = at as u32;
                if from == start || from == at {
                    break;
                }
                self.times.swap(at, from);
                self.users.ids.swap(at, from);
                self.items.ids.swap(at, from);
                at = from;
            }
        }
    }

    /// Leaves out rows of users and items with fewer than `least` of them, until there are none such.
    fn keep_core(&mut self, least: u32) {
        loop {
            let before = self.len();
            let (users, items) = (self.users.counts(), self.items.counts());
            self.retain(|user, item| users[user as usize] >= least && items[item as usize] >= least);
            if self.len() == before {
                return;
            }
        }
    }

    fn retain(&mut self, mut is_kept: impl FnMut(u32, u32) -> bool) {
        let non_clicks = std::mem::take(&mut self.non_clicks);
        let mut kept = 0;
        for row in 0..self.times.len() {
            let (user, item) = (self.users.ids[row], self.items.ids[row]);
            if is_kept(user, item) {
                (self.users.ids[kept], self.items.ids[kept]) = (user, item);
                self.times[kept] = self.times[row];
                if non_clicks.contains(row) {
                    self.non_clicks.insert(kept);
                }
                kept += 1;
            }
        }
        self.users.ids.truncate(kept);
        self.items.ids.truncate(kept);
        self.times.truncate(kept);
    }
}

/// Adds values as [`push_slowly`] does one.
fn extend_slowly<T: Copy>(values: &mut Vec<T>, more: &[T]) {
    if values.capacity() - values.len() < more.len() {
        values.reserve_exact((values.len() / 8).max(more.len()));
    }
    values.extend_from_slice(more);
}

/// Adds a value. Where there is no room, there is an eighth more afterwards: what is never used should be little of
/// many million rows.
pub(super) fn push_slowly<T>(values: &mut Vec<T>, value: T) {
    if values.len() == values.capacity() {
        values.reserve_exact((values.len() / 8).max(16));
    }
    values.push(value);
}
