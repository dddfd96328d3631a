//! Reads files of interactions as a stream: one line in memory at a time, and every error with its file and line.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::delimited::Records;
use super::fields::Place;
use super::interactions::Builder;
use super::lines::Lines;
use super::{Columns, Format, Interactions};
use crate::text::{printable, quoted};
use crate::{Error, Result};

/// Reads a file.
///
/// A row needs a user id, an item id (any UTF-8 text that can be seen) and a timestamp in whole unix seconds from 0 to
/// the year 9999. Every line that is not blank is one row, but for the header and the lines that a quoted CSV field
/// goes on over in a column that is not read: nothing is skipped, and where quotes leave open what is a row, that is an
/// error.
///
/// # What is trimmed
/// Around every field: white space, byte order marks (files that were joined have them in the middle), and other
/// characters that cannot be seen. Within an id these are an error, so that two ids that look alike are one;
/// [`text`](crate::text) has the table. Nothing else is normalised.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::BadRow`] with the line for a bad row or one longer than 1
/// MiB; [`Error::BadFile`] for a file without rows or without the columns; [`Error::Argument`] for columns by name
/// where there is no header; [`Error::Limit`] past 2^32 - 1 rows.
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
    let lines = Lines::new(input, name);
    let rows = match format {
        Format::DoubleColon => double_colon(lines),
        Format::Csv(columns) => delimited(lines, columns, b','),
        Format::Tsv(columns) => delimited(lines, columns, b'\t'),
    }?;
    let data = rows.finish()?;
    tracing::debug!(
        file = printable(name),
        rows = data.len(),
        users = data.user_count(),
        items = data.item_count(),
        "read interactions"
    );
    Ok(data)
}

fn double_colon(mut lines: Lines<impl Read>) -> Result<Builder> {
    let mut rows = Builder::default();
    while let Some(place) = lines.next_record()? {
        let text = place.text(lines.record())?;
        let mut fields = text.split("::").map(str::as_bytes);
        let mut next = || fields.next();
        let (Some(user), Some(item), Some(rating), Some(timestamp), None) = (next(), next(), next(), next(), next())
        else {
            let count = text.split("::").count();
            return Err(place.bad_row(
                "4 fields, user::item::rating::unix_seconds",
                format!("{count} in {}", quoted(text.as_bytes())),
            ));
        };
        place.rating(rating)?;
        push(&mut rows, place, [user, item, timestamp])?;
    }
    if rows.is_empty() {
        return Err(no_rows(lines.file(), "none"));
    }
    Ok(rows)
}

fn delimited(lines: Lines<impl Read>, columns: &Columns, delimiter: u8) -> Result<Builder> {
    let mut records = Records::new(lines, delimiter);
    let file = records.file();
    let mut rows = Builder::default();

    let Some(first) = records.advance()? else {
        return Err(no_rows(file, "none"));
    };
    let names: Vec<_> = (0..records.len()).map(|position| records.field(position)).collect();
    let at = columns.find(&names, file)?;
    records.check_breaks(at)?;
    let mut next = Some(first);
    if columns.header {
        let timestamp = &names[at.timestamp];
        if first.timestamp(timestamp).is_ok() {
            let expected = "a header that names the timestamp";
            return Err(first.bad_row(expected, quoted(timestamp)));
        }
        next = records.advance()?;
    }
    while let Some(place) = next {
        if records.len() != records.width() {
            return Err(place.bad_row(
                format!("{} fields, as in the first line", records.width()),
                format!("{} in {}", records.len(), records.shown()),
            ));
        }
        records.check_breaks(at)?;
        let [user, item, timestamp] = [at.user, at.item, at.timestamp].map(|position| records.read(position));
        push(&mut rows, place, [&user?, &item?, &timestamp?])?;
        next = records.advance()?;
    }
    if rows.is_empty() {
        return Err(no_rows(file, "only a header"));
    }
    Ok(rows)
}

fn push(rows: &mut Builder, place: Place, [user, item, timestamp]: [&[u8]; 3]) -> Result<()> {
    let user = place.id("user", user)?;
    let item = place.id("item", item)?;
    rows.push(user, item, place.timestamp(timestamp)?)
}

fn no_rows(file: &Path, found: &str) -> Error {
    Error::BadFile { file: file.into(), expected: "rows of interactions".into(), found: found.into() }
}
