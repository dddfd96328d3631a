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
pub(super) const SHORT: usize = 7;

/// What a text is looked up by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup {
    hash: u64,
    key: u64,
}

impl Lookup {
    /// The text, where it is its own key: its bytes from the lowest on, and its length.
    pub fn short(self) -> Option<([u8; SHORT], usize)> {
        let [bytes @ .., length] = self.key.to_le_bytes();
        (usize::from(length) <= SHORT).then_some((bytes, length.into()))
    }

    fn slot(self, id: u32) -> Slot {
        Slot { key: self.halves(), id }
    }

    fn halves(self) -> [u32; 2] {
        [(self.key >> 32) as u32, self.key as u32]
    }
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
        self.id_of(self.lookup(name), name, arg)
    }

    /// The same where it is known what the text is looked up by.
    ///
    /// # Errors
    /// Those of [`id`](Self::id).
    pub fn id_of(&mut self, lookup: Lookup, name: &str, arg: &'static str) -> Result<u32> {
        if self.slots.len() <= 2 * self.names.len() {
            self.grow();
        }
        let slot = self.find(lookup, name);
        if self.slots[slot].id == VACANT {
            self.slots[slot] = lookup.slot(next_u32(self.names.len(), arg)?);
            self.names.push(name);
        }
        Ok(self.slots[slot].id)
    }

    /// The id of a text that was seen before.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.get_of(self.lookup(name), name)
    }

    /// The same where it is known what the text is looked up by; one that is its own key may be left out.
    pub fn get_of(&self, lookup: Lookup, name: &str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        Some(self.slots[self.find(lookup, name)].id).filter(|&id| id != VACANT)
    }

    /// Bytes of the texts and of what finds them.
    pub fn bytes(&self) -> u64 {
        let Self { names: Names { text, ends }, slots, .. } = self;
        (text.len() + size_of_val(ends.as_slice()) + size_of_val(slots.as_slice())) as u64
    }

    pub fn into_names(self) -> Names {
        self.names
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What a text is looked up by.
    pub fn lookup(&self, name: &str) -> Lookup {
        let bytes = name.as_bytes();
        if bytes.len() <= SHORT {
            let text = bytes.iter().rfold(0, |key, &byte| key << 8 | u64::from(byte));
            return self.lookup_short(text | (bytes.len() as u64) << 56);
        }
        let hash = self.hasher.hash_one(bytes);
        // The lengths of others are below 2^7, so the highest bit is that of longer texts.
        Lookup { hash, key: hash | 1 << 63 }
    }

    /// The same of a text that is its own key.
    pub fn lookup_short(&self, key: u64) -> Lookup {
        Lookup { hash: self.hasher.hash_one(key), key }
    }

    /// Asks memory ahead for the entry of a text whose id will be wanted.
    pub fn expect(&self, lookup: Lookup) {
        if !self.slots.is_empty() {
            let slot = lookup.hash as usize & (self.slots.len() - 1);
            prefetch_index::prefetch_index(self.slots.as_slice(), slot);
        }
    }

    /// The same for the text that is compared with a longer one, once its entry is there: first where it stands.
    pub fn expect_place(&self, lookup: Lookup) -> Option<u32> {
        if lookup.short().is_some() || self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut slot = lookup.hash as usize & mask;
        while self.slots[slot].id != VACANT && self.slots[slot].key != lookup.halves() {
            slot = (slot + 1) & mask;
        }
        let id = Some(self.slots[slot].id).filter(|&id| id != VACANT)?;
        prefetch_index::prefetch_index(self.names.ends.as_slice(), id as usize);
        Some(id)
    }

    /// Then the text itself.
    pub fn expect_text(&self, id: u32) {
        let start = (id as usize).checked_sub(1).map_or(0, |before| self.names.ends[before]);
        prefetch_index::prefetch_index(self.names.text.as_bytes(), start);
    }

    /// The slot that holds a text, or the vacant one where it belongs.
    fn find(&self, lookup: Lookup, name: &str) -> usize {
        let mask = self.slots.len() - 1;
        let (mut slot, key) = (lookup.hash as usize & mask, lookup.halves());
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
            let lookup = self.lookup(name);
            let mut slot = lookup.hash as usize & mask;
            while self.slots[slot].id != VACANT {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = lookup.slot(id as u32);
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
