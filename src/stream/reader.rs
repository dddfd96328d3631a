//! Reads files of interactions as a stream: one line in memory at a time, and every error with its file and line.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::fields::{Place, shown};
use super::interactions::Builder;
use super::lines::Lines;
use super::{Columns, Format, Interactions};
use crate::{Error, Result};

/// Reads a file.
///
/// A row needs a user id, an item id (any non-empty UTF-8 text) and a timestamp in whole unix seconds from 0 to the year 9999.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::BadRow`] with the line for a bad row or one longer than
/// 1 MiB; [`Error::BadFile`] for a file without rows or without the columns; [`Error::Argument`] for columns by name where
/// there is no header; [`Error::Limit`] past 2^32 - 1 rows.
///
/// ```no_run
/// use scall_gpu::stream::{Format, read};
/// let data = read("ratings.csv", &Format::guess("ratings.csv")?)?;
/// println!("{} rows of {} users", data.len(), data.user_count());
/// # Ok::<(), scall_gpu::Error>(())
/// ```
pub fn read(path: impl AsRef<Path>, format: &Format) -> Result<Interactions> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| Error::Io { file: path.into(), source })?;
    read_from(file, path, format)
}

/// Reads an input, such as a decompressor, that errors call `name`. Errors and rows as in [`read`].
pub fn read_from(input: impl Read, name: &Path, format: &Format) -> Result<Interactions> {
    let lines = Lines::new(input, name).map_err(|error| unwrap(error, name))?;
    let rows = match format {
        Format::DoubleColon => double_colon(lines),
        Format::Csv(columns) => delimited(lines, columns, b','),
        Format::Tsv(columns) => delimited(lines, columns, b'\t'),
    }?;
    let data = rows.finish()?;
    tracing::debug!(
        file = %name.display(),
        rows = data.len(),
        users = data.user_count(),
        items = data.item_count(),
        "read interactions"
    );
    Ok(data)
}

fn double_colon(mut lines: Lines<impl Read>) -> Result<Builder> {
    let file = lines.file();
    let mut rows = Builder::default();
    while let Some((place, line)) = lines.next_line().map_err(|error| unwrap(error, file))? {
        let text = place.text(line)?;
        let mut fields = text.split("::").map(str::as_bytes);
        let mut next = || fields.next();
        let (Some(user), Some(item), Some(rating), Some(timestamp), None) = (next(), next(), next(), next(), next())
        else {
            let count = text.split("::").count();
            return Err(place.bad_row(
                "4 fields, user::item::rating::unix_seconds",
                format!("{count} in {}", shown(text.as_bytes())),
            ));
        };
        place.rating(rating)?;
        push(&mut rows, place, [user, item, timestamp])?;
    }
    if rows.is_empty() {
        return Err(no_rows(file, "none"));
    }
    Ok(rows)
}

fn delimited(lines: Lines<impl Read>, columns: &Columns, delimiter: u8) -> Result<Builder> {
    let file = lines.file();
    let mut csv = ReaderBuilder::new()
        .delimiter(delimiter)
        // LF alone ends a record, so that ours is the csv crate's idea of a line; the CR before it is white space.
        .terminator(Terminator::Any(b'\n'))
        .has_headers(false)
        .flexible(true)
        .from_reader(lines);
    let mut record = ByteRecord::new();
    let mut rows = Builder::default();

    let Some(first) = next_record(&mut csv, &mut record)? else {
        return Err(no_rows(file, "none"));
    };
    let width = record.len();
    let positions = columns.find(&record, file)?;
    let mut next = Some(first);
    if columns.header {
        let timestamp = &record[positions[2]];
        if first.timestamp(timestamp).is_ok() {
            let expected = "a header that names the timestamp";
            return Err(first.bad_row(expected, shown(timestamp)));
        }
        next = next_record(&mut csv, &mut record)?;
    }
    while let Some(place) = next {
        if record.len() != width {
            let row: Vec<&[u8]> = record.iter().map(<[u8]>::trim_ascii).collect();
            return Err(place.bad_row(
                format!("{width} fields, as in the first line"),
                format!("{} in {}", record.len(), shown(&row.join(&delimiter))),
            ));
        }
        push(&mut rows, place, positions.map(|position| &record[position]))?;
        next = next_record(&mut csv, &mut record)?;
    }
    if rows.is_empty() {
        return Err(no_rows(file, "only a header"));
    }
    Ok(rows)
}

/// The next record that is not blank, and where it begins.
fn next_record<'a, R: Read>(csv: &mut Reader<Lines<'a, R>>, record: &mut ByteRecord) -> Result<Option<Place<'a>>> {
    loop {
        csv.get_mut().next_record();
        let more = csv.read_byte_record(record).map_err(|error| {
            let error = match error.into_kind() {
                csv::ErrorKind::Io(error) => error,
                other => io::Error::other(format!("{other:?}")),
            };
            unwrap(error, csv.get_ref().file())
        })?;
        let place = csv.get_ref().place();
        match place.line {
            _ if !more => return Ok(None),
            0 => continue,
            _ => return Ok(Some(place)),
        }
    }
}

fn push(rows: &mut Builder, place: Place, [user, item, timestamp]: [&[u8]; 3]) -> Result<()> {
    let user = place.id("user", user)?;
    let item = place.id("item", item)?;
    rows.push(user, item, place.timestamp(timestamp)?)
}

fn no_rows(file: &Path, found: &str) -> Error {
    Error::BadFile { file: file.into(), expected: "rows of interactions".into(), found: found.into() }
}

/// Takes out the error that [`Lines`] put into an I/O error, or names the file in one of the system.
fn unwrap(error: io::Error, file: &Path) -> Error {
    error.downcast().unwrap_or_else(|source| Error::Io { file: file.into(), source })
}
