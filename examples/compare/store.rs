//! The CSV file that finished runs are kept in.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use scall_gpu::{Error, Result};

use crate::run::Run;

/// A file that grows by a line a run, each written out at once.
pub struct Store {
    path: PathBuf,
    file: File,
}

impl Store {
    /// Opens or begins a file, and gives the runs it holds. A last line without its end is that of an interrupted run: it is
    /// dropped.
    ///
    /// # Errors
    /// For a file that cannot be written, is no such file, or holds runs of other settings: it is left as it was.
    pub fn open(path: &Path, settings: &str) -> Result<(Self, Vec<Run>)> {
        let io = |source| Error::Io { file: path.to_owned(), source };
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path).map_err(io)?;
        let bytes = std::fs::read(path).map_err(io)?;
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
        Ok((Self { path: path.to_owned(), file }, runs))
    }

    /// Adds a run.
    pub fn append(&mut self, run: &Run) -> Result<()> {
        let io = |source| Error::Io { file: self.path.clone(), source };
        // In one write, so that an interruption leaves at most one line without its end.
        self.file.write_all(&line(run, false)).and_then(|()| self.file.sync_data()).map_err(io)
    }
}

/// A run as CSV, behind its header if asked for.
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
