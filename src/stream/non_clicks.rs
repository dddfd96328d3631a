//! Which rows are no clicks: a bit a row up to the last of them, and nothing where there are none.

/// The rows that are no clicks. All others are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NonClicks {
    /// The last word has a bit, so that equal sets have equal words.
    words: Vec<u64>,
}

impl NonClicks {
    pub fn insert(&mut self, row: usize) {
        if self.words.len() <= row / 64 {
            self.words.resize(row / 64 + 1, 0);
        }
        self.words[row / 64] |= 1 << (row % 64);
    }

    pub fn contains(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
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
