//! What an export held, so that the next one writes only what has changed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::atomic;
use super::state::State;
use super::tensors;
use crate::rng::mix;
use crate::{Error, Result};

const FORMAT: &str = "scall-gpu mark";
const VERSION: u32 = 1;
const ENTRIES: [&str; 8] = ["format", "version", "of", "notes", "ids.text", "ids.ends", "hashes", "crc32"];

/// What an export held: each id with a hash of its values.
///
/// Each export makes a mark of all that there is now, and takes the [difference](Self::since) to the mark that the
/// export before left: the ids whose values changed or are new, and those that went away. With these the reader of the
/// exports has what a full export would have. Nothing need be known of how the values came to change, so a mark works
/// for any two moments: two checkpoints, two files of a table, before and after a batch.
///
/// Two values are the same where their hashes are: a chain of 64-bit mixes over the bits of each number and over how
/// many there are. Zeros of both signs are two numbers, and a row that became longer has changed. A change is missed
/// with a probability of 2^-64.
///
/// # Cost
/// The id's text and some 50 bytes in memory, and in a file the text and 16 bytes.
///
/// # Example
/// Rows of a table whose keys come and go:
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::file::Mark;
/// use scall_gpu::table::{Account, RaggedTable, RowMap, RowMapOptions, TableOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let file = dir.path().join("items.mark");
/// let mut table = RaggedTable::new(&Device::cpu(), &[2, 3, 4], TableOptions::default(), &Account::unlimited())?;
/// let mut ids = RowMap::new(3, RowMapOptions::default())?;
/// ids.assign(&[700, 800, 900, 900, 700])?;
///
/// let mark = |table: &RaggedTable, ids: &RowMap| -> scall_gpu::Result<Mark> {
///     let (values, ends) = (table.read()?, table.sizes().scan(0, |end, size| { *end += size as usize; Some(*end) }));
///     let ends: Vec<usize> = ends.collect();
///     let mut mark = Mark::new("items", "what the caller wants to know again");
///     for (key, row) in ids.iter() {
///         let (row, size) = (row as usize, table.size(row) as usize);
///         mark.add(&key.to_string(), values[ends[row] - size..ends[row]].iter().copied())?;
///     }
///     Ok(mark)
/// };
/// mark(&table, &ids)?.save(&file)?;
///
/// let batch = ids.assign(&[1000])?; // takes the row of 800
/// table.reset_rows(&batch.fresh)?;
/// let now = mark(&table, &ids)?;
/// let delta = now.since(&Mark::load(&file)?)?;
/// assert_eq!(delta.changed.iter().map(|&at| now.ids()[at]).collect::<Vec<_>>(), ["1000"]);
/// assert_eq!(delta.removed, ["800"]);
/// now.save(&file)?; // once the delta is where it is wanted
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    of: String,
    notes: String,
    /// Where each id stands in the order in which they were added.
    places: HashMap<String, usize>,
    hashes: Vec<u64>,
}

/// What changed between two marks.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The ids whose values changed, and those that are new: where they stand in the later mark, ascending.
    pub changed: Vec<usize>,
    /// The ids that went away, in the order of the earlier mark.
    pub removed: Vec<String>,
}

impl Mark {
    /// A mark without ids. `of` says what is exported and in which form, such as `items, padded`: marks of other things
    /// are refused. `notes` are any text that the caller wants to have again.
    pub fn new(of: impl Into<String>, notes: impl Into<String>) -> Self {
        Self { of: of.into(), notes: notes.into(), places: HashMap::new(), hashes: Vec::new() }
    }

    /// What is exported.
    pub fn of(&self) -> &str {
        &self.of
    }

    /// What the caller wants to know again.
    pub fn notes(&self) -> &str {
        &self.notes
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The ids, in the order in which they were added.
    pub fn ids(&self) -> Vec<&str> {
        let mut ids = vec![""; self.len()];
        self.places.iter().for_each(|(id, &place)| ids[place] = id);
        ids
    }

    /// Adds an id with all of its values as they are exported.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that is there already.
    pub fn add(&mut self, id: &str, values: impl IntoIterator<Item = f32>) -> Result<()> {
        self.put(id, hash(values)).map_err(|place| Error::Argument {
            op: "Mark::add",
            arg: "id",
            expected: "an id that is not there yet".to_owned(),
            got: format!("{id}, which is number {place}"),
        })
    }

    fn put(&mut self, id: &str, hash: u64) -> Result<(), usize> {
        if let Some(&place) = self.places.get(id) {
            return Err(place);
        }
        self.places.insert(id.to_owned(), self.hashes.len());
        self.hashes.push(hash);
        Ok(())
    }

    /// What has changed since an earlier mark. Since a [new](Self::new) one it is everything.
    ///
    /// # Errors
    /// [`Error::Argument`] for a mark of something else.
    pub fn since(&self, earlier: &Self) -> Result<Delta> {
        if self.of != earlier.of {
            let (expected, got) = (format!("a mark of {}", self.of), format!("one of {}", earlier.of));
            return Err(Error::Argument { op: "Mark::since", arg: "earlier", expected, got });
        }
        let hash = |mark: &Self, id: &str| mark.places.get(id).map(|&place| mark.hashes[place]);
        let mut changed: Vec<usize> = self
            .places
            .iter()
            .filter(|&(id, &place)| hash(earlier, id) != Some(self.hashes[place]))
            .map(|(_, &place)| place)
            .collect();
        changed.sort_unstable();
        let gone = earlier.ids().into_iter().filter(|&id| !self.places.contains_key(id));
        Ok(Delta { changed, removed: gone.map(str::to_owned).collect() })
    }

    /// Writes the mark to a file, which is whole or as it was before ([`atomic::write()`]). Do it once the export is
    /// on the disk: until then the mark before is the one to go by.
    ///
    /// The file is in the safetensors format, with a CRC-32 of all that is in it.
    ///
    /// # Errors
    /// [`Error::Io`] that names the file.
    pub fn save(&self, file: &Path) -> Result<()> {
        let mut state = State::default();
        state.put_text("format", FORMAT);
        state.put("version", [VERSION]);
        state.put_text("of", &self.of);
        state.put_text("notes", &self.notes);
        state.put_texts("ids", self.ids().into_iter());
        state.put("hashes", &self.hashes[..]);
        state.put("crc32", [crc(&state)]);
        let entries: Vec<_> = state.iter().collect();
        atomic::write(file, |file| tensors::pieces(&entries).iter().try_for_each(|piece| file.put(piece)))
    }

    /// Reads a mark that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadFile`] for one that is damaged, of another version, or no mark.
    pub fn load(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).map_err(|source| Error::Io { file: file.to_owned(), source })?;
        let bad = |expected: String, found: String| Error::BadFile { file: file.to_owned(), expected, found };
        let mut state = State::default();
        tensors::read(&bytes, &mut state).map_err(|(expected, found)| bad(format!("a mark, {expected}"), found))?;
        Self::of_state(state).map_err(|error| match error {
            Error::BadState { name, expected, found } => bad(format!("a mark with {expected} as `{name}`"), found),
            other => other,
        })
    }

    fn of_state(mut state: State) -> Result<Self> {
        state.only(&ENTRIES)?;
        let format = state.text("format")?;
        if format != FORMAT {
            return Err(state.wrong("format", FORMAT, format));
        }
        let version: u32 = state.one("version")?;
        state.check("version", &[version], |version| version == VERSION, &format!("version {VERSION}"))?;
        let kept: u32 = state.one("crc32")?;
        state.remove("crc32");
        let found = crc(&state);
        if found != kept {
            return Err(state.wrong("crc32", &format!("{found:08x}, that of the rest,"), &format!("{kept:08x}")));
        }
        let mut mark = Self::new(state.text("of")?, state.text("notes")?);
        let ids = state.texts("ids")?;
        let hashes = state.exactly::<u64>("hashes", ids.len())?;
        for (id, &hash) in ids.into_iter().zip(hashes) {
            mark.put(id, hash)
                .map_err(|place| state.wrong("ids.text", "each id once", &format!("{id} after {place}")))?;
        }
        Ok(mark)
    }
}

/// Of the bits of all numbers, and of how many there are.
fn hash(values: impl IntoIterator<Item = f32>) -> u64 {
    /// The golden ratio, as SplitMix64 steps by it: without it zeros would leave no trace.
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let (mut hash, mut count) = (0, 0);
    for value in values {
        hash = mix((hash ^ u64::from(value.to_bits())).wrapping_add(STEP));
        count += 1;
    }
    mix((hash ^ count).wrapping_add(STEP))
}

/// Of all entries: names, types and numbers.
fn crc(state: &State) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (name, numbers) in state.iter() {
        hasher.update(format!("{name} {} {}\n", numbers.kind(), numbers.len()).as_bytes());
        hasher.update(&numbers.to_le_bytes());
    }
    hasher.finalize()
}
