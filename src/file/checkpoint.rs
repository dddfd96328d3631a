//! States in a folder, of which the last ones are kept.
//!
//! ```text
//! run/                         the folder
//!   lock                       held while a program uses the folder
//!   checkpoint-000004-9d1c0b52/
//!   checkpoint-000005-0c6f3a7e/
//!     manifest.json            version, notes, and length and CRC-32 of every file
//!     data.safetensors         the entries `data/...` of the state
//!     loop.safetensors         those without a slash
//!     ...
//! ```
//!
//! The last part of a folder's name is the CRC-32 of its manifest.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::atomic::{self, sync_folder};
use super::state::{Numbers, State};
use super::tensors;
use crate::spans::span;
use crate::{Error, Result};

const FORMAT: &str = "scall-gpu checkpoint";
const VERSION: u64 = 1;
const MANIFEST: &str = "manifest.json";
const PREFIX: &str = "checkpoint-";
/// Of what is being written, or removed.
const PART: (&str, &str) = (".scall-", ".part");
/// Checkpoints that are kept.
const KEPT: usize = 2;

/// A folder that keeps the last two [states](State) that were saved to it.
///
/// A checkpoint is whole or absent: its files are written to a folder with a name of its own and are on the disk before
/// this takes its place. A program that is killed, or a disk that is full, leaves those from before as they were. Files
/// that have not changed since the last checkpoint are linked, not written again.
///
/// One program at a time uses the folder; it is locked for as long as this lives.
///
/// # Example
/// ```
/// use scall_gpu::file::{Checkpoints, State};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let folder = dir.path().join("run");
/// let mut checkpoints = Checkpoints::open(&folder)?;
/// assert!(checkpoints.latest()?.is_none());
/// let mut state = State::default();
/// state.put("steps", [7u32]);
/// checkpoints.save(&state, "what the caller wants to know again")?;
/// drop(checkpoints);
///
/// let latest = Checkpoints::open(&folder)?.latest()?.expect("one was saved");
/// assert_eq!(latest.state, state);
/// assert_eq!(latest.notes, "what the caller wants to know again");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    /// Held, never read.
    _lock: File,
}

/// A state that was saved.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Which one it is, from 0.
    pub number: u64,
    /// What was saved.
    pub state: State,
    /// What the caller saved with it.
    pub notes: String,
}

/// A checkpoint's folder.
#[derive(Clone, Debug)]
struct Place {
    number: u64,
    /// Of the manifest.
    crc: u32,
    path: PathBuf,
}

/// Length and CRC-32 of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Digest {
    bytes: u64,
    crc: u32,
}

impl Checkpoints {
    /// Opens a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] that names the folder; [`Error::BadFile`] when another program has it open.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|source| Error::Io { file: folder.clone(), source })?;
        let path = folder.join("lock");
        let unusable = |source| Error::Io { file: path.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let expected = "checkpoints of one program".to_owned();
                return Err(Error::BadFile { file: folder, expected, found: "another one that uses them".to_owned() });
            }
            // A file system without locks: the user has to know.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let opened = Self { folder, _lock: lock };
        opened.remove_parts()?;
        Ok(opened)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Saves a state, and any text with it. Returns its folder. Of those from before, the last is kept.
    ///
    /// # Errors
    /// [`Error::Io`] that names the file. What was saved before is as it was then.
    pub fn save(&mut self, state: &State, notes: &str) -> Result<PathBuf> {
        let places = self.places()?;
        let before = places.last();
        let number = before.map_or(0, |place| place.number + 1);
        let _span = span!("checkpoint", number = number);
        let old = before.and_then(|place| Manifest::read(place).ok().map(|manifest| (place, manifest)));

        let io = |source| Error::Io { file: self.folder.clone(), source };
        let (prefix, suffix) = PART;
        let part = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempdir_in(&self.folder).map_err(io)?;
        let mut files = BTreeMap::new();
        for (name, entries) in by_file(state) {
            let pieces = tensors::pieces(&entries);
            let mut hasher = crc32fast::Hasher::new();
            pieces.iter().for_each(|piece| hasher.update(piece));
            let digest = Digest { bytes: pieces.iter().map(|piece| piece.len() as u64).sum(), crc: hasher.finalize() };
            let path = part.path().join(&name);
            let same = old.as_ref().filter(|(_, manifest)| manifest.files.get(&name) == Some(&digest));
            // A file system without links: it is written again.
            let linked = same.is_some_and(|(place, _)| fs::hard_link(place.path.join(&name), &path).is_ok());
            if !linked {
                atomic::write(&path, |file| pieces.iter().try_for_each(|piece| file.put(piece)))?;
            }
            files.insert(name, digest);
        }
        let manifest = Manifest { files, notes: notes.to_owned() }.json();
        atomic::write(&part.path().join(MANIFEST), |file| file.put(manifest.as_bytes()))?;
        sync_folder(part.path()).map_err(io)?;

        let crc = crc32fast::hash(manifest.as_bytes());
        let path = self.folder.join(format!("{PREFIX}{number:06}-{crc:08x}"));
        // Kept from here on: it is removed by itself no more.
        let part = part.keep();
        let taken = fs::rename(&part, &path).and_then(|()| sync_folder(&self.folder));
        taken.map_err(|source| Error::Io { file: path.clone(), source })?;
        for old in places.iter().rev().skip(KEPT - 1) {
            self.remove(old)?;
        }
        Ok(path)
    }

    /// The last state that was saved, if there is any.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadFile`] that names the file for one that has been damaged, is missing, or was written
    /// by another version. Whoever wants to go on from the checkpoint before removes the folder of the last one.
    pub fn latest(&self) -> Result<Option<Checkpoint>> {
        let Some(place) = self.places()?.pop() else { return Ok(None) };
        let manifest = Manifest::read(&place)?;
        let mut state = State::default();
        for (name, digest) in &manifest.files {
            let file = place.path.join(name);
            let bytes = fs::read(&file).map_err(|source| Error::Io { file: file.clone(), source })?;
            let found = Digest { bytes: bytes.len() as u64, crc: crc32fast::hash(&bytes) };
            if found != *digest {
                let describe = |Digest { bytes, crc }: Digest| format!("{bytes} bytes with the CRC-32 {crc:08x}");
                let expected = format!("{}, as {MANIFEST} says", describe(*digest));
                return Err(Error::BadFile { file, expected, found: describe(found) });
            }
            let read = tensors::read(&bytes, &mut state);
            read.map_err(|(expected, found)| Error::BadFile { file, expected, found })?;
        }
        Ok(Some(Checkpoint { path: place.path, number: place.number, state, notes: manifest.notes }))
    }

    /// All checkpoints, the oldest first.
    fn places(&self) -> Result<Vec<Place>> {
        let io = |source| Error::Io { file: self.folder.clone(), source };
        let mut places = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
            let Some((number, crc)) = parts else { continue };
            if let (Ok(number), Ok(crc)) = (number.parse(), u32::from_str_radix(crc, 16)) {
                places.push(Place { number, crc, path: entry.path() });
            }
        }
        places.sort_by_key(|place| place.number);
        Ok(places)
    }

    /// Removes what programs left that were killed.
    fn remove_parts(&self) -> Result<()> {
        let io = |source| Error::Io { file: self.folder.clone(), source };
        for entry in fs::read_dir(&self.folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let is_part = name.to_str().is_some_and(|name| name.starts_with(PART.0) && name.ends_with(PART.1));
            if is_part && entry.file_type().map_err(io)?.is_dir() {
                fs::remove_dir_all(entry.path()).map_err(|source| Error::Io { file: entry.path(), source })?;
            }
        }
        Ok(())
    }

    /// Removes a checkpoint: first its name, so that no part of one is ever found.
    fn remove(&self, place: &Place) -> Result<()> {
        let (prefix, suffix) = PART;
        let part = self.folder.join(format!("{prefix}{:06}{suffix}", place.number));
        let removed = fs::rename(&place.path, &part).and_then(|()| fs::remove_dir_all(&part));
        removed.map_err(|source| Error::Io { file: place.path.clone(), source })
    }
}

/// The entries of each file: those whose names begin alike. Names may be a caller's, so not all of them can name a
/// file.
fn by_file(state: &State) -> BTreeMap<String, Vec<(&str, &Numbers)>> {
    let mut files: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, numbers) in state.iter() {
        let plain = |first: &&str| {
            !first.starts_with('.') && first.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let first = name.split_once('/').map(|(first, _)| first).filter(plain);
        let file = first.unwrap_or("loop");
        files.entry(format!("{file}.safetensors")).or_default().push((name, numbers));
    }
    files
}

/// What a checkpoint says of itself.
struct Manifest {
    files: BTreeMap<String, Digest>,
    notes: String,
}

impl Manifest {
    fn json(&self) -> String {
        let digest = |Digest { bytes, crc }: &Digest| json!({"bytes": bytes, "crc32": format!("{crc:08x}")});
        let files: BTreeMap<_, _> = self.files.iter().map(|(name, of)| (name, digest(of))).collect();
        let written_by = concat!("scall-gpu ", env!("CARGO_PKG_VERSION"));
        let all = json!({
            "format": FORMAT,
            "version": VERSION,
            "written_by": written_by,
            "files": files,
            "notes": self.notes,
        });
        format!("{all:#}\n")
    }

    fn read(place: &Place) -> Result<Self> {
        let file = place.path.join(MANIFEST);
        let bytes = fs::read(&file).map_err(|source| Error::Io { file: file.clone(), source })?;
        let bad =
            |expected: &str, found: String| Error::BadFile { file: file.clone(), expected: expected.to_owned(), found };
        let crc = crc32fast::hash(&bytes);
        if crc != place.crc {
            let expected = format!("the CRC-32 {:08x}, as its folder's name says", place.crc);
            return Err(bad(&expected, format!("{crc:08x}")));
        }
        let json: Value = serde_json::from_slice(&bytes).map_err(|error| bad("JSON", error.to_string()))?;
        if json["format"] != FORMAT || json["version"] != VERSION {
            let found = format!("{} {}, written by {}", json["format"], json["version"], json["written_by"]);
            return Err(bad(&format!("{FORMAT:?} of version {VERSION}"), found));
        }
        let digest = |of: &Value| {
            let crc = u32::from_str_radix(of["crc32"].as_str()?, 16).ok()?;
            Some(Digest { bytes: of["bytes"].as_u64()?, crc })
        };
        let mut files = BTreeMap::new();
        for (name, of) in json["files"].as_object().into_iter().flatten() {
            // Names come from a file: none of them may lead elsewhere.
            let plain = !name.contains(['/', '\\']) && name.ends_with(".safetensors");
            let digest = digest(of).filter(|_| plain);
            let digest = digest.ok_or_else(|| bad("a file's name, bytes and CRC-32", format!("{name}: {of}")))?;
            files.insert(name.clone(), digest);
        }
        let notes = json["notes"].as_str().ok_or_else(|| bad("notes", json["notes"].to_string()))?.to_owned();
        Ok(Self { files, notes })
    }
}

#[cfg(test)]
mod tests;
