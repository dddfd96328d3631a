//! What was acknowledged, on the disk before it was.
//!
//! Events lie in files `events-<row>.jsonl` beside the checkpoints, a line each: `["user", "item", time]`. A file's
//! name says which row of the stream its first line is. A new file begins with each checkpoint, and files go when the
//! oldest checkpoint that is kept has all of their rows.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use scall_gpu::{Error, Result};

/// An event: user, item, unix seconds.
pub type Event = (String, String, i64);

/// The file that grows.
#[derive(Debug)]
pub struct Wal {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// Bytes of whole lines that are on the disk.
    bytes: u64,
    /// Row of the stream that the next line will be.
    next: u64,
}

const PREFIX: &str = "events-";
const SUFFIX: &str = ".jsonl";

impl Wal {
    /// The events that were acknowledged from row `rows` on, and the file to go on with.
    ///
    /// A last line without an end was never acknowledged, and is cut off.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadRow`] for a line that is no event; [`Error::BadFile`] where events are missing
    /// between the checkpoint and the first file.
    pub fn open(folder: &Path, rows: u64) -> Result<(Self, Vec<Event>)> {
        let mut events = Vec::new();
        let mut next = rows;
        for (first, path) in files(folder)? {
            if first > next {
                let (expected, found) = (format!("events from row {next} on"), format!("events from row {first} on"));
                return Err(Error::BadFile { file: path, expected, found });
            }
            let lines = read(&path)?;
            let end = first + lines.len() as u64;
            if end > next {
                events.extend(lines.into_iter().skip((next - first) as usize));
                next = end;
            }
        }
        let (path, file, bytes) = begin(folder, next)?;
        Ok((Self { folder: folder.to_owned(), path, file, bytes, next }, events))
    }

    /// Appends events. They are on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::Io`]. No part of them is in the file then.
    pub fn append(&mut self, events: &[Event]) -> Result<()> {
        let mut text = Vec::new();
        for event in events {
            serde_json::to_writer(&mut text, event).map_err(Error::other)?;
            text.push(b'\n');
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // A part of a line would spoil the next one.
            let _ = self.file.set_len(self.bytes).and_then(|()| self.file.seek(SeekFrom::End(0)));
            return Err(Error::Io { file: self.path.clone(), source });
        }
        self.bytes += text.len() as u64;
        self.next += events.len() as u64;
        Ok(())
    }

    /// Begins another file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn rotate(&mut self) -> Result<()> {
        if self.bytes > 0 {
            (self.path, self.file, self.bytes) = begin(&self.folder, self.next)?;
        }
        Ok(())
    }

    /// Removes files all of whose rows lie before `row`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget(folder: &Path, row: u64) -> Result<()> {
        let files = files(folder)?;
        for pair in files.windows(2) {
            if pair[1].0 <= row {
                fs::remove_file(&pair[0].1).map_err(|source| Error::Io { file: pair[0].1.clone(), source })?;
            }
        }
        Ok(())
    }
}

/// A file for the rows from `next` on. One that is there has none of them.
fn begin(folder: &Path, next: u64) -> Result<(PathBuf, File, u64)> {
    let path = folder.join(format!("{PREFIX}{next:012}{SUFFIX}"));
    let opened = || {
        let file = File::options().create(true).write(true).truncate(true).open(&path)?;
        file.sync_all()?;
        // Its name is on the disk too, before anything in it is acknowledged.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(file)
    };
    let file = opened().map_err(|source| Error::Io { file: path.clone(), source })?;
    Ok((path, file, 0))
}

/// All files, by their first row.
fn files(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let io = |source| Error::Io { file: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let row = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok());
        files.extend(row.map(|row| (row, entry.path())));
    }
    files.sort();
    Ok(files)
}

/// The whole lines of a file; what follows the last of them is cut off.
fn read(path: &Path) -> Result<Vec<Event>> {
    let io = |source| Error::Io { file: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let (mut events, mut line, mut whole) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(io)?;
        if line.last() != Some(&b'\n') {
            if read > 0 {
                let file = File::options().write(true).open(path).map_err(io)?;
                file.set_len(whole).and_then(|()| file.sync_all()).map_err(io)?;
            }
            return Ok(events);
        }
        whole += read as u64;
        events.push(serde_json::from_slice(&line).map_err(|error| Error::BadRow {
            file: path.to_owned(),
            line: events.len() as u64 + 1,
            expected: "an event, [user, item, time]".to_owned(),
            found: error.to_string(),
        })?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64) -> Event {
        (format!("u{number}"), "tea, \"green\"\n".to_owned(), number as i64)
    }

    fn range(rows: std::ops::Range<u64>) -> Vec<Event> {
        rows.map(event).collect()
    }

    #[test]
    fn what_was_acknowledged_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, events) = Wal::open(dir.path(), 5).unwrap();
        assert!(events.is_empty());
        wal.append(&range(5..7)).unwrap();
        wal.append(&range(7..8)).unwrap();
        wal.rotate().unwrap();
        wal.append(&range(8..10)).unwrap();
        drop(wal);
        for rows in [5, 6, 8, 9, 10] {
            let (_, events) = Wal::open(dir.path(), rows).unwrap();
            assert_eq!(events, range(rows..10), "{rows}");
        }
        // A checkpoint that is older than all events that are there.
        let error = Wal::open(dir.path(), 4).unwrap_err().to_string();
        assert!(error.contains("from row 4"), "{error}");
        Wal::forget(dir.path(), 8).unwrap();
        let (_, events) = Wal::open(dir.path(), 8).unwrap();
        assert_eq!(events, range(8..10));
        assert!(Wal::open(dir.path(), 5).is_err());
    }

    #[test]
    fn half_a_line_was_not_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, _) = Wal::open(dir.path(), 0).unwrap();
        wal.append(&range(0..3)).unwrap();
        let path = wal.path.clone();
        drop(wal);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"[\"u3\", \"te"].concat()).unwrap();
        let (mut wal, events) = Wal::open(dir.path(), 0).unwrap();
        assert_eq!(events, range(0..3));
        assert_eq!(fs::read(&path).unwrap(), whole);
        wal.append(&range(3..4)).unwrap();
        assert_eq!(Wal::open(dir.path(), 0).unwrap().1, range(0..4));
        // A line in the middle that is no event is damage, not an interruption.
        fs::write(&path, [b"nonsense\n", &whole[..]].concat()).unwrap();
        let error = Wal::open(dir.path(), 0).unwrap_err().to_string();
        assert!(error.contains(":1:"), "{error}");
    }
}
