//! Which rows are no clicks: a bit a row up to the last of them, and nothing where there are none.

use super::Interactions;
use crate::check::domain;
use crate::{Error, Result};

/// The rows that are no clicks. All others are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NonClicks {
    /// Words of rows that are forgotten.
    forgotten: usize,
    /// Those after them. The last has a bit, so that equal sets have equal words.
    words: Vec<u64>,
}

impl Interactions {
    /// Says of rows, counted from 0 in time order, that they are non-clicks.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for the first row that there is not, [`Error::Argument`] for one that was
    /// [forgotten](Self::forget). No row has changed then.
    ///
    /// ```
    /// let mut data = scall_gpu::stream::Interactions::from_rows([("ann", "tea", 10), ("ann", "jam", 20)])?;
    /// data.mark_non_clicks([1])?;
    /// assert_eq!((data.clicked(0), data.clicked(1), data.non_click_count()), (true, false, 1));
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn mark_non_clicks(&mut self, rows: impl IntoIterator<Item = usize>) -> Result<()> {
        let mut marked = self.non_clicks.clone();
        for (position, row) in rows.into_iter().enumerate() {
            if row >= self.len() {
                let (id, rows) = (u32::try_from(row).unwrap_or(u32::MAX), self.len() as u64);
                return Err(Error::IdOutOfRange { op: "stream/mark_non_clicks", arg: "rows", position, id, rows });
            }
            let (first, arg) = (self.kept().start, "rows");
            domain(
                "stream/mark_non_clicks",
                arg,
                row,
                row >= first,
                &format!("from {first} on, the rows that are kept"),
            )?;
            marked.insert(row);
        }
        self.non_clicks = marked;
        Ok(())
    }

    /// Whether a row is a click, as all are of which nothing else was said.
    pub fn clicked(&self, row: usize) -> bool {
        !self.non_clicks.contains(row)
    }

    /// How many rows are no clicks. Cost: a look at the bits of 64 rows at a time.
    pub fn non_click_count(&self) -> usize {
        self.non_clicks.count()
    }

    /// Whether there is a non-click. Cost: none.
    pub fn has_non_clicks(&self) -> bool {
        !self.non_clicks.is_empty()
    }
}

impl NonClicks {
    /// The row must not be forgotten.
    pub fn insert(&mut self, row: usize) {
        let word = row / 64 - self.forgotten;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (row % 64);
    }

    pub fn contains(&self, row: usize) -> bool {
        let word = (row / 64).checked_sub(self.forgotten).and_then(|word| self.words.get(word));
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Drops what is known of the rows before this one.
    pub fn forget(&mut self, before: usize) {
        let words = (before / 64).saturating_sub(self.forgotten);
        self.forgotten += words;
        self.words = self.words.get(words..).unwrap_or_default().to_vec();
        if let Some(first) = self.words.first_mut() {
            *first &= u64::MAX << (before % 64);
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    pub fn bytes(&self) -> u64 {
        size_of_val(self.words.as_slice()) as u64
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The set after rows have moved: `from` says for each row, in their new order, where it was.
    pub fn moved(&self, from: impl Iterator<Item = usize>) -> Self {
        let mut moved = Self::default();
        if !self.is_empty() {
            from.enumerate().filter(|&(_, row)| self.contains(row)).for_each(|(to, _)| moved.insert(to));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_forgotten() {
        for before in [0, 1, 63, 64, 65, 128, 200, 300, 1000] {
            let mut set = NonClicks::default();
            let rows: Vec<usize> = (0..300).filter(|row| row * row % 7 == 2).collect();
            rows.iter().for_each(|&row| set.insert(row));
            set.forget(before / 2);
            set.forget(before);
            let kept = |row: usize| row >= before && rows.contains(&row);
            assert!((0..1000).all(|row| set.contains(row) == kept(row)), "{before}");
            assert_eq!(set.is_empty(), !(0..300).any(kept), "{before}");
            set.insert(1000);
            assert!(set.contains(1000) && set.count() == (0..300).filter(|&row| kept(row)).count() + 1);
            assert!(set.bytes() <= 8 * (1001 / 64 + 1 - before as u64 / 64));
        }
    }

    #[test]
    fn rows_are_kept_counted_and_moved() {
        let mut set = NonClicks::default();
        assert!(set.is_empty() && !set.contains(0) && set.moved(0..9).is_empty());
        let rows = [130, 0, 63, 64, 130];
        rows.iter().for_each(|&row| set.insert(row));
        assert_eq!((set.count(), set.is_empty()), (4, false));
        assert!((0..1000).all(|row| set.contains(row) == rows.contains(&row)));
        // Backwards, the rows 67 to 130 alone.
        let moved = set.moved((67..131).rev());
        assert_eq!(moved, {
            let mut first = NonClicks::default();
            first.insert(0);
            first
        });
    }
}
