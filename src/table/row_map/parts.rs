//! A map in plain parts, for files.

use std::cmp::Reverse;

use super::{FREE, RowMap, RowMapOptions, hash};
use crate::{Error, Result};

/// log2 of the highest frequency that a map may hold; a sum of 2^64 sightings ends there.
pub(super) const HIGHEST: f64 = 64.0;

/// All that a map is, in plain parts. Which rows are held is not among them: what is in flight does not outlive the
/// process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::table) struct Parts<T> {
    pub capacity: u32,
    pub options: RowMapOptions,
    pub clock: u64,
    /// Keys and scores by row, [`FREE`] the score and 0 the key of a free row.
    pub rows: T,
}

impl RowMap {
    pub(in crate::table) fn parts(&self) -> Parts<(&[u64], &[f64])> {
        let Self { capacity, options, clock, .. } = *self;
        Parts { capacity, options, clock, rows: (&self.keys, &self.scores) }
    }

    /// The map that has these [`parts`](Self::parts), or what is wrong with them: the part, expected, found.
    pub(in crate::table) fn from_parts(parts: Parts<(Vec<u64>, Vec<f64>)>) -> Result<Self, [String; 3]> {
        let wrong = |part: &str, expected: &str, found: String| [part.to_owned(), expected.to_owned(), found];
        let Parts { capacity, options, clock, rows: (keys, scores) } = parts;
        let mut map = Self::new(capacity, options).map_err(|error| match error {
            Error::Argument { arg, expected, got, .. } => [arg.to_owned(), expected, got],
            other => wrong("capacity", "in its domain", other.to_string()),
        })?;
        let taken = scores.iter().filter(|&&score| score != FREE).count();
        if taken > capacity as usize {
            return Err(wrong("keys", &format!("in at most {capacity} rows, its capacity"), taken.to_string()));
        }
        map.clock = clock;
        let highest = map.now() + HIGHEST;
        if let Some(score) = scores.iter().find(|&&score| score != FREE && !(score.is_finite() && score <= highest)) {
            return Err(wrong("scores", &format!("-inf or finite and at most {highest}"), score.to_string()));
        }
        (map.keys, map.scores) = (keys, scores);
        map.slots.reserve(map.keys.len(), |_| 0);
        for row in 0..map.rows() {
            let key = map.keys[row as usize];
            if map.scores[row as usize] == FREE {
                map.free.push(Reverse(row));
                continue;
            }
            if let Some(first) = map.get(key) {
                return Err(wrong("keys", "of one row each", format!("{key} of the rows {first} and {row}")));
            }
            let keys = &map.keys;
            map.slots.insert_unique(hash(key), row, |&row| hash(keys[row as usize]));
            map.queue.insert(row, &map.scores);
        }
        Ok(map)
    }
}
