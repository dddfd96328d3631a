//! The CSV file that finished runs are kept in.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use scall_gpu::text::printable;
use scall_gpu::{Error, Result};

use super::job::Run;

/// A file that grows by a line a run, each written out at once. No other process writes to it in the meantime.
pub struct Store {
    path: PathBuf,
    file: File,
    /// Whether it was made here and has no run yet: then it goes again when nothing comes.
    unused: bool,
}

impl Store {
    /// Opens or begins a file, and gives the runs it holds. A last line without its end is that of an interrupted run:
    /// it is dropped.
    ///
    /// # Errors
    /// For a file that cannot be written, that another process writes to, is no such file, or holds runs of other
    /// settings: it is left as it was.
    pub fn open(path: &Path, settings: &str) -> Result<(Self, Vec<Run>)> {
        let io = |source| Error::Io { file: path.to_owned(), source };
        let (mut file, unused) = open_locked(path)?;
        let mut bytes = Vec::new();
        // By the handle that holds the lock: some systems let no other one read.
        file.read_to_end(&mut bytes).map_err(io)?;
        let header = header();
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let begins_well = match whole {
            0 => header.as_bytes().starts_with(&bytes),
            _ => bytes.starts_with(header.as_bytes()),
        };
        if !begins_well {
            let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let line: String = String::from_utf8_lossy(line).chars().take(60).collect();
            return Err(Error::BadFile {
                file: path.to_owned(),
                expected: "no file, or one written by this example, whose first line is policy,budget,seed,...".into(),
                found: format!("{line:?}"),
            });
        }
        let runs = read(path, &bytes[..whole], settings)?;
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        if whole == 0 {
            file.write_all(header.as_bytes()).map_err(io)?;
        }
        Ok((Self { path: path.to_owned(), file, unused }, runs))
    }

    /// Adds a run.
    pub fn append(&mut self, run: &Run) -> Result<()> {
        let io = |source| Error::Io { file: self.path.clone(), source };
        // In one write, so that an interruption leaves at most one line without its end.
        self.unused = false;
        self.file.write_all(&line(run, false)).and_then(|()| self.file.sync_data()).map_err(io)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // On Unix, where the one who opened it meanwhile sees that it has gone.
        if self.unused && cfg!(unix) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens a file, or makes one, that no other process writes to until it is closed, and says whether it was made.
fn open_locked(path: &Path) -> Result<(File, bool)> {
    let io = |source| Error::Io { file: path.to_owned(), source };
    let open = |create| OpenOptions::new().create(create).truncate(false).write(true).read(true).open(path);
    loop {
        let (file, made) = match open(false) {
            Err(error) if error.kind() == ErrorKind::NotFound => (open(true).map_err(io)?, true),
            opened => (opened.map_err(io)?, false),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let expected = "a file that no other comparison writes to at the same time".to_owned();
                return Err(Error::Argument { op: "compare", arg: "--csv", expected, got: printable(path) });
            }
            // A file system without locks: there each has to see to it.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // One that had no run, and went when its process ended, may have been opened before that.
        if is_at(&file, path) {
            return Ok((file, made));
        }
    }
}

/// Whether a path still leads to an open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |file: std::fs::Metadata| (file.dev(), file.ino());
    let (own, there) = (file.metadata().map(number), std::fs::metadata(path).map(number));
    own.is_ok_and(|own| there.is_ok_and(|there| own == there))
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// A run as CSV, after its header if asked for.
fn line(run: &Run, header: bool) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().has_headers(header).from_writer(Vec::new());
    writer.serialize(run).expect("flat fields");
    writer.into_inner().expect("written into memory")
}

fn header() -> String {
    let text = String::from_utf8(line(&Run::default(), true)).expect("field names");
    text.split_inclusive('\n').next().unwrap_or_default().to_owned()
}

fn read(path: &Path, bytes: &[u8], settings: &str) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut reader = csv::Reader::from_reader(bytes);
    for (k, run) in reader.deserialize().enumerate() {
        let line = k as u64 + 2;
        let run: Run = run.map_err(|error| Error::BadRow {
            file: path.to_owned(),
            line,
            expected: "a run".into(),
            found: error.to_string(),
        })?;
        if let Some((expected, found)) = difference(settings, &run.settings) {
            let expected = format!("runs with {expected}, as asked for (another --csv keeps both)");
            return Err(Error::BadRow { file: path.to_owned(), line, expected, found });
        }
        runs.push(run);
    }
    Ok(runs)
}

/// The first setting that differs.
fn difference(asked: &str, found: &str) -> Option<(String, String)> {
    if asked == found {
        return None;
    }
    let pairs = |text: &str| text.split("; ").map(str::to_owned).collect::<Vec<_>>();
    let (asked, found) = (pairs(asked), pairs(found));
    let other = asked.iter().find(|pair| !found.contains(pair)).or(found.iter().find(|pair| !asked.contains(pair)))?;
    let name = other.split('=').next().unwrap_or_default().to_owned();
    let of = |pairs: &[String]| {
        let own = pairs.iter().find(|pair| pair.split('=').next() == Some(&name));
        own.cloned().unwrap_or_else(|| format!("no {name}"))
    };
    Some((of(&asked), of(&found)))
}
