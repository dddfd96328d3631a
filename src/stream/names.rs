//! The text ids of users or items, and the dictionary that numbers them.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use crate::{Error, Result};

/// Texts numbered from 0, laid end to end in one string: their bytes plus eight each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    text: String,
    ends: Vec<usize>,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of an id, if the id exists.
    pub fn get(&self, id: u32) -> Option<&str> {
        let id = id as usize;
        let end = *self.ends.get(id)?;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        Some(&self.text[start..end])
    }

    /// All texts by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.text[start..end])
    }

    pub(super) fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }
}

/// Marks a slot without an entry; so the ids end one below it.
const VACANT: u32 = u32::MAX;

/// An entry of the table: what tells texts apart without looking at them, and the id. A short text is its own key, so
/// that one place in memory is looked at instead of three; of a longer one it is the hash.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    key: [u32; 2],
    id: u32,
}

/// The longest text that is its own key: with its length it fills one.
const SHORT: usize = 7;

/// The key of a text, given its hash.
fn key(hash: u64, name: &str) -> [u32; 2] {
    let bytes = name.as_bytes();
    let key = if bytes.len() <= SHORT {
        // The length is below 2^7, so the highest bit is that of longer texts.
        bytes.iter().fold(0, |key, &byte| key << 8 | u64::from(byte)) | (bytes.len() as u64) << 56
    } else {
        hash | 1 << 63
    };
    [(key >> 32) as u32, key as u32]
}

/// Gives each new text the next id: an open-addressing table of ids over [`Names`], which keeps each text once.
///
/// The hash is seeded anew for each table, so a file cannot be made to put its texts into few slots.
#[derive(Clone, Debug, Default)]
pub(super) struct Dictionary {
    names: Names,
    /// A power of two in length and at most half full, so that probing ends soon.
    slots: Vec<Slot>,
    hasher: RandomState,
}

impl Dictionary {
    /// The id of a text, a new one if it was not seen before.
    ///
    /// # Errors
    /// [`Error::Limit`] at 2^32 texts; `arg` names what they are.
    pub fn id(&mut self, name: &str, arg: &'static str) -> Result<u32> {
        self.id_of(self.hash(name), name, arg)
    }

    /// The same where the hash is known.
    ///
    /// # Errors
    /// Those of [`id`](Self::id).
    pub fn id_of(&mut self, hash: u64, name: &str, arg: &'static str) -> Result<u32> {
        if self.slots.len() <= 2 * self.names.len() {
            self.grow();
        }
        let slot = self.find(hash, name);
        if self.slots[slot].id == VACANT {
            self.slots[slot] = Slot { key: key(hash, name), id: next_u32(self.names.len(), arg)? };
            self.names.push(name);
        }
        Ok(self.slots[slot].id)
    }

    /// The id of a text that was seen before.
    pub fn get(&self, name: &str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        Some(self.slots[self.find(self.hash(name), name)].id).filter(|&id| id != VACANT)
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The hash of a text.
    pub fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name.as_bytes())
    }

    /// Asks memory ahead for the entry of a text whose id will be wanted.
    pub fn expect(&self, hash: u64) {
        if !self.slots.is_empty() {
            prefetch_index::prefetch_index(self.slots.as_slice(), hash as usize & (self.slots.len() - 1));
        }
    }

    /// The slot that holds a text, or the vacant one where it belongs.
    fn find(&self, hash: u64, name: &str) -> usize {
        let mask = self.slots.len() - 1;
        let (mut slot, key) = (hash as usize & mask, key(hash, name));
        loop {
            let found = self.slots[slot];
            let is_same = || name.len() <= SHORT || self.names.get(found.id) == Some(name);
            if found.id == VACANT || (found.key == key && is_same()) {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        self.slots = vec![Slot { key: [0; 2], id: VACANT }; (2 * self.slots.len()).max(16)];
        let mask = self.slots.len() - 1;
        for (id, name) in self.names.iter().enumerate() {
            // No two names are the same, so none has to be looked at.
            let hash = self.hash(name);
            let mut slot = hash as usize & mask;
            while self.slots[slot].id != VACANT {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = Slot { key: key(hash, name), id: id as u32 };
        }
    }
}

/// The number of the next row or entity after `count`, kept below 2^32 - 1 so that counts fit a u32 too.
pub(super) fn next_u32(count: usize, arg: &'static str) -> Result<u32> {
    match u32::try_from(count) {
        Ok(id) if id < u32::MAX => Ok(id),
        _ => Err(Error::Limit {
            op: "stream",
            arg,
            limit: "numbers in u32",
            allowed: u64::from(u32::MAX),
            requested: count as u64 + 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_stable() {
        let mut dictionary = Dictionary::default();
        for round in 0..2 {
            for i in 0..5_000u32 {
                assert_eq!(dictionary.id(&format!("n{i}"), "users").unwrap(), i, "round {round}");
            }
        }
        assert_eq!(dictionary.id("", "users").unwrap(), 5_000);
        assert_eq!(dictionary.get("n17"), Some(17));
        assert_eq!((dictionary.get("unknown"), Dictionary::default().get("unknown")), (None, None));
        let names = dictionary.names();
        assert_eq!(names.len(), 5_001);
        assert_eq!(names.get(0), Some("n0"));
        assert_eq!(names.get(4_999), Some("n4999"));
        assert_eq!(names.get(5_000), Some(""));
        assert_eq!(names.get(5_001), None);
        assert!(names.iter().take(5_000).enumerate().all(|(i, name)| name == format!("n{i}")));
    }

    #[test]
    fn numbers_end_below_the_largest_u32() {
        assert_eq!(next_u32(0xFFFF_FFFE, "rows").unwrap(), 0xFFFF_FFFE);
        assert_eq!(
            next_u32(0xFFFF_FFFF, "rows").unwrap_err().to_string(),
            "stream: `rows` needs 4294967296, the limit `numbers in u32` is 4294967295"
        );
    }
}
