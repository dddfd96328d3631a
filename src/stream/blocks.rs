//! What users turned down, and what they took next: the feedback that ranking among exposures is learned from.

use std::ops::RangeInclusive;

use super::Interactions;
use crate::check::domain;
use crate::{Error, Result};

/// Feedback blocks: runs of non-clicks, each with the clicks that follow it.
///
/// A user's rows in time are cut where a non-click follows a click. A piece with both is a block: its non-clicks `N`,
/// which come first, and its clicks `P`. Clicks before a user's first non-click are in no block, nor are non-clicks
/// after the last click. So a user with clicks alone, or with non-clicks alone, has none.
/// ```text
/// time        ->   c  n n c c  n c  n n
/// blocks              N N P P  N P
/// ```
/// Rows that repeat stay repeated. An item may stand on both sides of a block, where a user took in the end what was
/// turned down first.
///
/// # Shapes
/// Block k is of `users[k]`; its clicks are `positives[positive_offsets[k]..positive_offsets[k + 1]]`, and its
/// non-clicks the same of `negatives`, in time order. Blocks come by user, those of a user in time order.
///
/// ```
/// use scall_gpu::stream::{BlockOptions, Blocks, Interactions};
/// let rows = [("ann", "tea", 1), ("ann", "jam", 2), ("ann", "rye", 3), ("ann", "oats", 4), ("ann", "figs", 5)];
/// let mut data = Interactions::from_rows(rows)?;
/// data.mark_non_clicks([0, 3])?; // tea and oats
/// let blocks = Blocks::new(&data, 0..5, &BlockOptions::default())?;
/// assert_eq!((blocks.len(), blocks.users()), (2, &[0, 0][..]));
/// assert_eq!((blocks.negative_offsets(), blocks.negatives()), (&[0, 1, 2][..], &[0, 3][..]));
/// assert_eq!((blocks.positive_offsets(), blocks.positives()), (&[0, 2, 3][..], &[1, 2, 4][..]));
/// # Ok::<(), scall_gpu::Error>(())
/// ```
///
/// Source: Burashnikova et al., "Learning over no-preferred and preferred sequence of items for robust recommendation"
/// (SAROS), JAIR 71, 2021. *Ours:* clicks before a user's first non-click are in no block; their code draws one of the
/// user's non-clicks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    users: Vec<u32>,
    positive_offsets: Vec<u32>,
    positives: Vec<u32>,
    negative_offsets: Vec<u32>,
    negatives: Vec<u32>,
}

/// Whose blocks count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOptions {
    /// How many blocks a user may have (default: any number). Those of users with fewer or more are left out, as SAROS
    /// does with users who hardly say anything and with those who are no persons.
    pub per_user: RangeInclusive<u32>,
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self { per_user: 1..=u32::MAX }
    }
}

impl Blocks {
    /// The blocks of rows of a stream, given in time order.
    ///
    /// # Cost
    /// Linear in users and rows; 4 bytes a row, while they are sorted 8, and 12 bytes a block.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for a row past the last; [`Error::Argument`] for one that does not come after the one
    /// before.
    pub fn new(data: &Interactions, rows: impl IntoIterator<Item = usize>, options: &BlockOptions) -> Result<Self> {
        let rows = checked(data, rows)?;
        let mut blocks = Self {
            users: vec![],
            positive_offsets: vec![0],
            positives: vec![],
            negative_offsets: vec![0],
            negatives: vec![],
        };
        let (sorted, ends) = by_user(data, &rows);
        let mut start = 0;
        for (user, end) in (0..).zip(ends) {
            let before = blocks.len();
            blocks.add(data, user, &sorted[start..end]);
            start = end;
            let found = (blocks.len() - before) as u32;
            if !options.per_user.contains(&found) {
                blocks.truncate(before);
            }
        }
        Ok(blocks)
    }

    /// Adds the blocks of a user's rows.
    fn add(&mut self, data: &Interactions, user: u32, rows: &[u32]) {
        for &row in rows {
            let (item, clicked) = (data.pair(row as usize).1, data.clicked(row as usize));
            if !clicked && self.positives.len() > self.end(&self.positive_offsets) {
                self.close(user);
            }
            match clicked {
                false => self.negatives.push(item),
                true if self.negatives.len() > self.end(&self.negative_offsets) => self.positives.push(item),
                true => {}
            }
        }
        if self.positives.len() > self.end(&self.positive_offsets) {
            self.close(user);
        }
        // Non-clicks that no click followed.
        self.negatives.truncate(self.end(&self.negative_offsets));
    }

    /// Where the last whole block ends.
    fn end(&self, offsets: &[u32]) -> usize {
        offsets[self.len()] as usize
    }

    fn close(&mut self, user: u32) {
        self.users.push(user);
        // A stream has fewer than 2^32 rows.
        self.positive_offsets.push(self.positives.len() as u32);
        self.negative_offsets.push(self.negatives.len() as u32);
    }

    fn truncate(&mut self, blocks: usize) {
        self.users.truncate(blocks);
        self.positive_offsets.truncate(blocks + 1);
        self.negative_offsets.truncate(blocks + 1);
        self.positives.truncate(self.end(&self.positive_offsets));
        self.negatives.truncate(self.end(&self.negative_offsets));
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The user of each block.
    pub fn users(&self) -> &[u32] {
        &self.users
    }

    /// Where the clicks of each block start, and where the last ones end.
    pub fn positive_offsets(&self) -> &[u32] {
        &self.positive_offsets
    }

    /// The items of the clicks, block after block.
    pub fn positives(&self) -> &[u32] {
        &self.positives
    }

    /// Where the non-clicks of each block start, and where the last ones end.
    pub fn negative_offsets(&self) -> &[u32] {
        &self.negative_offsets
    }

    /// The items of the non-clicks, block after block.
    pub fn negatives(&self) -> &[u32] {
        &self.negatives
    }
}

fn checked(data: &Interactions, rows: impl IntoIterator<Item = usize>) -> Result<Vec<u32>> {
    let (op, arg) = ("stream/blocks", "rows");
    let mut checked: Vec<u32> = Vec::new();
    for (position, row) in rows.into_iter().enumerate() {
        if row >= data.len() {
            let (id, rows) = (u32::try_from(row).unwrap_or(u32::MAX), data.len() as u64);
            return Err(Error::IdOutOfRange { op, arg, position, id, rows });
        }
        let first = data.kept().start;
        domain(op, arg, row, row >= first, &format!("from {first} on, the rows that are kept"))?;
        if let Some(&last) = checked.last().filter(|&&last| last as usize >= row) {
            let (expected, got) = ("rows in time order, each once".to_owned(), format!("{row} after {last}"));
            return Err(Error::Argument { op, arg, expected, got });
        }
        checked.push(row as u32);
    }
    Ok(checked)
}

/// Rows sorted by user, those of a user in their order, and where each user's end.
fn by_user(data: &Interactions, rows: &[u32]) -> (Vec<u32>, Vec<usize>) {
    let mut ends = vec![0; data.user_count() as usize];
    let user = |row: u32| data.pair(row as usize).0 as usize;
    rows.iter().for_each(|&row| ends[user(row)] += 1);
    let mut sum = 0;
    for end in &mut ends {
        // For now where they start.
        sum += std::mem::replace(end, sum);
    }
    let mut sorted = vec![0; rows.len()];
    for &row in rows {
        let next = &mut ends[user(row)];
        sorted[*next] = row;
        *next += 1;
    }
    (sorted, ends)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A stream of (user, clicked), whose item is the row.
    fn stream(rows: &[(u32, bool)]) -> Interactions {
        let named = rows.iter().enumerate().map(|(row, (user, _))| (format!("u{user}"), format!("i{row}"), row as i64));
        let mut data = Interactions::from_rows(named).unwrap();
        data.mark_non_clicks((0..rows.len()).filter(|&row| !rows[row].1)).unwrap();
        data
    }

    /// Each block as its user, its non-clicks and its clicks.
    fn listed(blocks: &Blocks) -> Vec<(u32, Vec<u32>, Vec<u32>)> {
        let of =
            |k: usize, offsets: &[u32], items: &[u32]| items[offsets[k] as usize..offsets[k + 1] as usize].to_vec();
        let block = |k| {
            let negatives = of(k, blocks.negative_offsets(), blocks.negatives());
            (blocks.users()[k], negatives, of(k, blocks.positive_offsets(), blocks.positives()))
        };
        (0..blocks.len()).map(block).collect()
    }

    /// Of one user, whose feedback is written as `n` and `c`.
    fn of(feedback: &str) -> Vec<(Vec<u32>, Vec<u32>)> {
        let rows: Vec<(u32, bool)> = feedback.bytes().map(|letter| (0, letter == b'c')).collect();
        let blocks = Blocks::new(&stream(&rows), 0..rows.len(), &BlockOptions::default()).unwrap();
        listed(&blocks).into_iter().map(|(_, negatives, positives)| (negatives, positives)).collect()
    }

    #[test]
    fn sequences_by_hand() {
        assert_eq!(of("nncc"), [(vec![0, 1], vec![2, 3])]);
        assert_eq!(of("ncncc"), [(vec![0], vec![1]), (vec![2], vec![3, 4])]);
        assert_eq!(of("ccnc"), [(vec![2], vec![3])]);
        assert_eq!(of("cnnccncnn"), [(vec![1, 2], vec![3, 4]), (vec![5], vec![6])]);
        for none in ["", "c", "n", "cccc", "nnnn", "ccnn"] {
            assert_eq!(of(none), [], "{none}");
        }
    }

    #[test]
    fn users_go_by_themselves_and_rows_may_be_some() {
        let rows = [(0, false), (1, false), (1, true), (0, true), (2, true), (1, false), (0, true), (1, true)];
        let data = stream(&rows);
        let all = Blocks::new(&data, 0..8, &BlockOptions::default()).unwrap();
        let wanted = [(0, vec![0], vec![3, 6]), (1, vec![1], vec![2]), (1, vec![5], vec![7])];
        assert_eq!(listed(&all), wanted);
        let some = Blocks::new(&data, (0..8).filter(|&row| row != 2 && row != 3), &BlockOptions::default()).unwrap();
        assert_eq!(listed(&some), [(0, vec![0], vec![6]), (1, vec![1, 5], vec![7])]);
        for (per_user, wanted) in [(1..=1, &wanted[..1]), (2..=9, &wanted[1..]), (3..=9, &[]), (0..=2, &wanted)] {
            let kept = Blocks::new(&data, 0..8, &BlockOptions { per_user }).unwrap();
            assert_eq!(listed(&kept), wanted);
        }
    }

    #[test]
    fn rows_that_are_none_are_errors() {
        let data = stream(&[(0, false), (0, true)]);
        let error = |rows: &[usize]| Blocks::new(&data, rows.iter().copied(), &BlockOptions::default()).unwrap_err();
        assert!(matches!(error(&[0, 2]), Error::IdOutOfRange { arg: "rows", position: 1, id: 2, rows: 2, .. }));
        let said = "stream/blocks: `rows` must be rows in time order, each once, got";
        assert_eq!(error(&[1, 0]).to_string(), format!("{said} 0 after 1"));
        assert_eq!(error(&[0, 0]).to_string(), format!("{said} 0 after 0"));
    }

    proptest! {
        /// Against a definition by pairs: a click belongs to the non-clicks before it that have no click of another
        /// run between.
        #[test]
        fn every_pair_is_in_its_block(rows in vec((0..4u32, any::<bool>()), 0..60)) {
            let data = stream(&rows);
            let blocks = Blocks::new(&data, 0..rows.len(), &BlockOptions::default()).unwrap();
            let mut found: Vec<(u32, u32)> = Vec::new();
            for (_, negatives, positives) in listed(&blocks) {
                found.extend(positives.iter().flat_map(|&p| negatives.iter().map(move |&n| (n, p))));
            }
            let mut wanted = Vec::new();
            for (n, non_click) in rows.iter().enumerate().filter(|(_, row)| !row.1) {
                for (p, _) in rows.iter().enumerate().skip(n).filter(|(_, row)| row.0 == non_click.0 && row.1) {
                    // Non-clicks, then clicks, and nothing else.
                    let between = rows[n..p].iter().filter(|row| row.0 == non_click.0).map(|row| row.1);
                    if between.is_sorted() {
                        let id = |row: usize| data.items()[row];
                        wanted.push((id(n), id(p)));
                    }
                }
            }
            found.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(found, wanted);
        }
    }
}
