//! What an export is compared with, and what it leaves for the next one.

use std::io::ErrorKind;
use std::path::Path;

use scall_gpu::file::{Delta, Mark};
use scall_gpu::run::Config;
use scall_gpu::{Error, Result};

use super::rows::Rows;
use super::{Args, Format, Side};
use crate::common::Kept;

/// The marks of an export.
pub struct Marks<'a> {
    /// The one that it is compared with, and its file.
    since: Option<(&'a Path, Mark)>,
    /// One without ids, where one is wanted.
    now: Option<Mark>,
}

/// What is to be written.
pub struct Compared {
    /// Numbers of rows.
    pub chosen: Vec<usize>,
    /// Ids that are gone, where there is something to compare with.
    pub removed: Option<Vec<String>>,
    /// What the export holds, where that is wanted.
    pub mark: Option<Mark>,
}

impl<'a> Marks<'a> {
    /// Reads the mark of `--since`.
    ///
    /// # Errors
    /// For one that is missing, damaged, or of another run, side or form; and where `--mark` would take the place of a
    /// file that is no mark of this.
    pub fn open(args: &'a Args, format: Format, kept: &Kept) -> Result<Self> {
        if args.mark.is_none() && args.since.is_none() {
            return Ok(Self { since: None, now: None });
        }
        let side = match args.side {
            Side::Items => "items",
            Side::Users => "users",
        };
        let of = match format {
            Format::Safetensors => format!("{side} as safetensors"),
            Format::Npy | Format::Jsonl => {
                let name = if format == Format::Npy { "npy" } else { "jsonl" };
                format!("{side} as {name}, {}", if args.ragged { "ragged" } else { "padded" })
            }
        };
        let now = Mark::new(of, kept.notes.config.to_string());
        let read = |file: &Path| {
            let mark = load(file)?;
            check_same(file, &mark, &now, kept).map(|()| mark)
        };
        if let Some(file) = args.mark.as_deref().filter(|file| file.is_file()) {
            read(file).map_err(|error| match error {
                Error::BadFile { file, expected, found } => {
                    Error::BadFile { file, expected: format!("no file for --mark to replace, or {expected}"), found }
                }
                other => other,
            })?;
        }
        let since = args.since.as_deref().map(|file| read(file).map(|mark| (file, mark))).transpose()?;
        Ok(Self { since, now: Some(now) })
    }

    /// The rows to write: all, or those that differ.
    ///
    /// # Errors
    /// For a mark of another stream.
    pub fn compare(self, rows: &Rows<'_>) -> Result<Compared> {
        let Some(mut now) = self.now else {
            return Ok(Compared { chosen: rows.all(), removed: None, mark: None });
        };
        rows.mark(&mut now)?;
        let Some((file, before)) = self.since else {
            return Ok(Compared { chosen: rows.all(), removed: None, mark: Some(now) });
        };
        // Ids are numbered by first appearance in the stream, so all that both have stand in the same order.
        let mut pairs = rows.ids().iter().zip(before.ids());
        if let Some(at) = pairs.position(|(&expected, found)| expected != found) {
            let expected = format!("a mark of a stream in which id number {at} is {}", rows.ids()[at]);
            let found = before.ids()[at].to_owned();
            return Err(Error::BadFile { file: file.to_owned(), expected, found });
        }
        let Delta { changed, removed, .. } = now.since(&before)?;
        Ok(Compared { chosen: changed, removed: Some(removed), mark: Some(now) })
    }
}

fn load(file: &Path) -> Result<Mark> {
    Mark::load(file).map_err(|error| match error {
        Error::Io { file, source } if source.kind() == ErrorKind::NotFound => Error::BadFile {
            file,
            expected: "a mark, as an export with --mark leaves it; without --since all rows are written".to_owned(),
            found: "no file".to_owned(),
        },
        other => other,
    })
}

/// That a mark is of this run, side and form.
fn check_same(file: &Path, mark: &Mark, now: &Mark, kept: &Kept) -> Result<()> {
    if mark.of() != now.of() {
        let (expected, found) = (format!("a mark of {}", now.of()), format!("one of {}", mark.of()));
        return Err(Error::BadFile { file: file.to_owned(), expected, found });
    }
    // Its notes are the configuration of its run.
    let same = Config::from_json(mark.notes()).and_then(|config| kept.check_same(&config));
    same.map_err(|error| match error {
        Error::BadConfig { line, key, expected, found, .. } => {
            Error::BadConfig { file: Some(file.to_owned()), line, key, expected, found }
        }
        other => other,
    })
}
