//! Readers of files: each is one file here, and a line in the list below.
//!
//! | file | what it does |
//! |---|---|
//! | `double_colon`, `delimited`, `json`, `parquet` | the readers |
//! | `format`, `options`, `columns`, `encoding`, `time` | what a caller may say, and how the rest is found out |
//! | `paths`, `input`, `lines`, `records`, `fields` | from a path to files, bytes, lines, records, fields that are checked |
//! | `rows`, `report` | what takes the rows: filters, counts, what is said of them |
//! | `feed`, `ahead`, `plain` | some megabytes of lines at a time, parsed by all threads and taken in their order |
//!
//! Every error has its file and line.

mod ahead;
mod columns;
mod delimited;
mod double_colon;
mod encoding;
mod feed;
mod fields;
mod format;
mod input;
mod json;
mod lines;
mod options;
mod parquet;
mod paths;
mod plain;
mod records;
mod report;
mod rows;
#[cfg(test)]
mod tests;
mod time;

use std::io::Read;
use std::path::Path;

use super::Interactions;
use crate::spans::span;
use crate::text::printable;
use crate::{Error, Result};

pub use columns::{Column, Columns};
pub use encoding::Encoding;
pub use input::READ_PROGRESS;
pub use options::{Dedup, Filter, ReadOptions};
pub use paths::files;
pub use report::ReadReport;
pub use time::TimeUnit;

pub(super) use fields::check_row;
pub(super) use time::MICROS;

use input::Input;
use rows::Rows;

/// How files of one kind are read.
trait Reader: Sync {
    /// Its name on command lines and in files of configurations.
    fn name(&self) -> &'static str;

    /// How names of its files end, in lower case: `.csv`.
    fn endings(&self) -> &'static [&'static str];

    /// A few words about it.
    fn summary(&self) -> &'static str;

    /// Whether a caller may say where columns are.
    fn has_columns(&self) -> bool {
        true
    }

    /// Gives all rows of a file to `rows`. A file without rows is none of its errors.
    ///
    /// # Errors
    /// As [`read`] says. What [`Rows::leave_out`] takes is none.
    fn read(&self, input: Input<'_>, rows: &mut Rows<'_>) -> Result<()>;
}

/// The formats that there are, each with what reads it.
macro_rules! readers {
    ($($(#[$docs:meta])+ $format:ident => $reader:expr;)+) => {
        /// How a file of interactions is written.
        ///
        /// In all formats but Parquet blank lines are skipped, lines end in LF or CRLF and have at most 1 MiB, and
        /// white space and characters that cannot be seen, such as byte order marks, are trimmed around every field
        /// ([`read`] says more).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Format {
            $($(#[$docs])+ $format,)+
        }

        impl Format {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$format),+];

            fn reader(self) -> &'static dyn Reader {
                match self {
                    $(Self::$format => &$reader,)+
                }
            }
        }
    };
}

readers! {
    /// `user::item::rating::time`, no header, as MovieLens 1M and MovieTweetings have it (`.dat`). The rating must be a
    /// number.
    DoubleColon => double_colon::DoubleColon;
    /// Fields between commas, in quotes where needed, quotes within them doubled (RFC 4180; `.csv`). After a closing
    /// quote only a comma or the end of the line may stand. Line breaks in quotes are read over in columns that are not
    /// read, and an error in those that are, or where one of the lines would be a row by itself: then a closing quote
    /// is missing. A quote in a field without quotes around it is text in a column that is not read, and an error in
    /// those that are.
    Csv => delimited::CSV;
    /// Fields between tabs, a line a row (`.tsv`). Quotes are text, but around a whole field: `"a ""b"""` is `a "b"`,
    /// and `"a` is `"a`. In such a field tabs are text too.
    Tsv => delimited::TSV;
    /// As CSV, but between semicolons.
    Semicolon => delimited::SEMICOLON;
    /// RecBole's atomic files (`.inter`): as TSV, with types in the header, such as `user_id:token`. A column is found
    /// by its name with or without its type.
    Inter => delimited::INTER;
    /// User, item, rating and time between tabs, no header, as MovieLens 100K has it (`u.data`).
    UData => delimited::U_DATA;
    /// An object a line (`.json`, `.jsonl`, `.ndjson`). Columns are keys, `user.id` a way into nested objects; those
    /// with [usual names](Column::Usual) are found in the first line.
    Json => json::JsonLines;
    /// Parquet (`.parquet`), with the feature `parquet`. Errors have the number of the row where others have a line.
    Parquet => parquet::Parquet;
}

/// Reads a file, several or standard input; a `path` is what [`files`] takes.
///
/// A row needs a user id, an item id (any text that can be seen) and a time from 1970 to the year 9999, in a number or
/// as a date ([`TimeUnit`]). Every line that is not blank is one row, but for the header and the lines that a quoted
/// CSV field goes on over in a column that is not read: nothing is skipped that is not asked for, and where quotes
/// leave open what is a row, that is an error. Rows are sorted by time, parts of seconds included; the times that are
/// kept are whole seconds.
///
/// Files that are packed by gzip, zstd or bzip2 are unpacked, whatever their names.
///
/// # What is trimmed
/// Around every field: white space, byte order marks (files that were joined have them in the middle), and other
/// characters that cannot be seen. Within an id these are an error, so that two ids that look alike are one;
/// [`text`](crate::text) has the table. Nothing else is normalised.
///
/// # Cost
/// At most 20 bytes a row while it is read, 24 where a least number of rows or one row of each pair is asked for,
/// what the names take, and some megabytes of lines. All threads of rayon's pool parse lines, but for Parquet; rows,
/// ids and errors are the same for any number of them.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::BadRow`] with the line for a bad row or one longer than 1
/// MiB; [`Error::BadFile`] for files without rows or without the columns; [`Error::Argument`] for an unknown end of a
/// name, for options that the format has no use for, and for columns by name where there is no header;
/// [`Error::Argument`] for a least rating of clicks that all rows reach, or none does; [`Error::Limit`] past 2^32 - 1
/// rows.
///
/// ```no_run
/// use scall_gpu::stream::{ReadOptions, read};
/// let data = read("ratings.csv.gz", ReadOptions::default())?;
/// println!("{} rows of {} users", data.len(), data.user_count());
/// # Ok::<(), scall_gpu::Error>(())
/// ```
pub fn read(path: impl AsRef<Path>, options: impl Into<ReadOptions>) -> Result<Interactions> {
    Ok(read_all(&[path], options)?.0)
}

/// Reads several files as one stream, and says what was found. Each path is what [`files`] takes.
///
/// # Errors
/// Those of [`read`]; [`Error::BadFile`] for a path that leads to no file.
///
/// ```no_run
/// use scall_gpu::stream::{Dedup, ReadOptions, read_all};
/// let options = ReadOptions { min_rating: Some(4.0), dedup: Dedup::First, ..ReadOptions::default() };
/// let (data, report) = read_all(&["2023/", "2024-01.csv.gz"], &options)?;
/// println!("{} rows\n{report}", data.len());
/// # Ok::<(), scall_gpu::Error>(())
/// ```
pub fn read_all(paths: &[impl AsRef<Path>], options: impl Into<ReadOptions>) -> Result<(Interactions, ReadReport)> {
    let options = options.into();
    options.check()?;
    let _span = span!("read");
    let files = files(paths)?;
    let mut stream = Stream::new(&options);
    for path in &files {
        if paths::is_standard_input(path) {
            let name = Path::new(paths::STANDARD_INPUT);
            stream.add(Input::new(std::io::stdin().lock(), name)?)?;
        } else {
            stream.add(Input::open(path)?)?;
        }
    }
    stream.finish(files)
}

/// Reads an input, such as a pipe, that errors call `name`. Errors and rows as in [`read`].
pub fn read_from(input: impl Read, name: &Path, options: impl Into<ReadOptions>) -> Result<Interactions> {
    let options = options.into();
    options.check()?;
    let _span = span!("read");
    let mut stream = Stream::new(&options);
    stream.add(Input::new(input, name)?)?;
    Ok(stream.finish(vec![name.to_owned()])?.0)
}

/// Rows of all files so far.
struct Stream<'o> {
    rows: Rows<'o>,
    formats: Vec<Format>,
    packed: Vec<&'static str>,
}

impl<'o> Stream<'o> {
    fn new(options: &'o ReadOptions) -> Self {
        Self { rows: Rows::new(options), formats: Vec::new(), packed: Vec::new() }
    }

    fn add(&mut self, input: Input<'_>) -> Result<()> {
        let options = self.rows.options;
        let format = options.format.map_or_else(|| Format::guess(input.name), Ok)?;
        ReadOptions { format: Some(format), ..options.clone() }.check()?;
        let name = input.name;
        self.formats.push(format);
        self.packed.extend(input.packed);
        format.reader().read(input, &mut self.rows)?;
        tracing::debug!(file = printable(name), format = format.name(), "read a file of interactions");
        Ok(())
    }

    fn finish(self, files: Vec<std::path::PathBuf>) -> Result<(Interactions, ReadReport)> {
        let Self { rows, formats, packed } = self;
        let (options, seen, has_header) = (rows.options, rows.count(), rows.has_header);
        let (kept, counted) = rows.finish()?;
        let report = ReadReport::new(files, formats, packed, options, &kept, counted);
        if kept.data.is_empty() {
            let found = match (seen, has_header) {
                (0, false) => "none".to_owned(),
                (0, true) => "only a header".to_owned(),
                _ => format!("none that is kept: {}", report.left_out()),
            };
            let file = report.files.first().cloned().unwrap_or_default();
            return Err(Error::BadFile { file, expected: "rows of interactions".into(), found });
        }
        if let Some(least) = options.clicks {
            let (rows, below) = (kept.data.len(), kept.data.non_click_count());
            if below == 0 || below == rows {
                return Err(Error::Argument {
                    op: "stream/read",
                    arg: "clicks",
                    expected: "a rating that some rows reach and others do not".into(),
                    got: format!("{least}, which makes {} clicks and {below} non-clicks", rows - below),
                });
            }
        }
        tracing::debug!(
            rows = kept.data.len(),
            users = kept.data.user_count(),
            items = kept.data.item_count(),
            "read interactions"
        );
        Ok((kept.data, report))
    }
}
