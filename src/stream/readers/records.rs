//! Records of fields between commas, semicolons or tabs, and what their quotes mean.
//!
//! **CSV** as RFC 4180 has it, also between semicolons. A field in quotes may hold commas, doubled quotes and, where
//! its column is not read, line breaks. After its closing quote only a comma or the end of the line may follow.
//!
//! **TSV**, where quotes are text as a rule. A record is a line. A field that is wholly in quotes, with those inside
//! doubled, as writers of CSV leave it when told to use tabs, is read without them and may hold tabs; any other quote
//! is a character like others.
//!
//! A lost quote makes one CSV record of several rows, and nothing in the syntax says so where the next quote happens to
//! stand before a comma. So the lines of such a record are looked at one by one ([`Records::check_breaks`]): where the
//! text of a field looks like a row, the record is an error. No rows are merged in silence; the price is that a text
//! with a line break and a line like a row is refused.

use std::borrow::Cow;
use std::io::BufRead;
use std::ops::Range;
use std::path::Path;

use super::feed::Feed;
use super::fields::Place;
use super::lines::Lines;
use super::rows::Take;
use super::time::Time;
use crate::text::{blank_prefix, quoted, trim_bytes};
use crate::{Error, Result};

/// Where a field's text stands in its record.
#[derive(Clone, Debug)]
struct Field {
    /// Without the quotes around it.
    bytes: Range<usize>,
    in_quotes: bool,
}

/// A field, and where the next one starts.
type Split = (Field, Option<usize>);

/// The records of a file with delimiters, one at a time.
pub(super) struct Records<'a, B = Feed<'a>> {
    lines: Lines<'a, B>,
    delimiter: u8,
    fields: Vec<Field>,
    /// Fields of the first record; 0 before it.
    width: usize,
    /// Whether the first line of the record has any; only then they are looked for in its fields.
    has_quotes: bool,
}

impl<'a> Records<'a> {
    pub fn new(lines: Lines<'a>, delimiter: u8) -> Self {
        Self::of_width(lines, delimiter, 0)
    }

    /// The lines that the records are of.
    pub fn lines(&mut self) -> &mut Lines<'a> {
        &mut self.lines
    }
}

impl<'a, B: BufRead> Records<'a, B> {
    /// Those after a first record of `width` fields.
    pub fn of_width(lines: Lines<'a, B>, delimiter: u8, width: usize) -> Self {
        Self { lines, delimiter, fields: Vec::new(), width, has_quotes: false }
    }

    /// The line that was read last, and what is left of the input.
    pub fn left(&self) -> (u64, &B) {
        self.lines.left()
    }

    pub fn file(&self) -> &'a Path {
        self.lines.file()
    }

    /// Goes on to the next record that is not blank, and says where it begins; `None` at the end of the input.
    ///
    /// # Errors
    /// those of the input; [`Error::BadRow`](crate::Error::BadRow) for a quote that is not closed, and for text after a
    /// closing quote.
    pub fn advance(&mut self) -> Result<Option<Place<'a>>> {
        let place = self.lines.next_record()?;
        self.fields.clear();
        let record = self.lines.record();
        self.has_quotes = record.contains(&b'"');
        if !self.has_quotes && place.is_some() {
            let mut start = 0;
            for (at, _) in record.iter().enumerate().filter(|&(_, &byte)| byte == self.delimiter) {
                self.fields.push(Field { bytes: start..at, in_quotes: false });
                start = at + 1;
            }
            self.fields.push(Field { bytes: start..record.len(), in_quotes: false });
            self.width = if self.width == 0 { self.fields.len() } else { self.width };
            return Ok(place);
        }
        let mut start = place.map(|_| 0);
        // Where every tab parts two fields as in the first record, none stands within one.
        let tabs = self.lines.record().iter().filter(|&&byte| byte == b'\t').count();
        let all_part = self.is_tsv() && tabs + 1 == self.width;
        while let Some(at) = start {
            let (field, next) = match (self.is_tsv(), self.lines.record()) {
                (true, line) if all_part => {
                    let (Field { bytes, .. }, next) = bare_field(line, at, b'\t');
                    (field_of_line(&line[..bytes.end], at, b'\t').0, next)
                }
                (true, line) => field_of_line(line, at, b'\t'),
                (false, _) => self.csv_field(at)?,
            };
            self.fields.push(field);
            start = next;
        }
        if self.width == 0 {
            self.width = self.fields.len();
        }
        Ok(place)
    }

    /// How many fields the record has.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The text of a field, without the quotes around it and with those inside single.
    pub fn field(&self, position: usize) -> Cow<'_, [u8]> {
        let Field { bytes, in_quotes } = &self.fields[position];
        let text = &self.lines.record()[bytes.clone()];
        if !in_quotes || !text.contains(&b'"') {
            return text.into();
        }
        let mut single = Vec::with_capacity(text.len());
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            single.push(byte);
            if byte == b'"' {
                // The other of a pair.
                bytes.next();
            }
        }
        single.into()
    }

    /// The text of a field that is read.
    ///
    /// # Errors
    /// [`Error::BadRow`](crate::Error::BadRow) for a quote in a CSV field without quotes around it: one of them may be
    /// lost.
    fn read(&self, position: usize) -> Result<Cow<'_, [u8]>> {
        let text = self.field(position);
        if self.has_quotes && !self.is_tsv() && !self.fields[position].in_quotes && text.contains(&b'"') {
            let expected = format!("field {} wholly in quotes or without any", position + 1);
            return Err(self.lines.place().bad_row(expected, quoted(&text)));
        }
        Ok(text)
    }

    /// The error for another number of fields than is expected.
    pub fn bad_width(&self, expected: &str) -> Error {
        let found = format!("{} in {}", self.len(), quoted(trim_bytes(self.lines.record())));
        self.lines.place().bad_row(expected, found)
    }

    /// Gives the record to `rows`.
    pub fn row(&self, place: Place<'_>, at: &[usize], rows: &mut impl Take) -> Result<()> {
        if self.len() != self.width {
            return Err(self.bad_width(&format!("{} fields, as in the first line", self.width)));
        }
        self.check_breaks(at)?;
        rows.take(place, |k| self.read(at[k]))
    }

    /// Whether the record is one line.
    pub fn is_one_line(&self) -> bool {
        self.lines.is_one_line()
    }

    /// Looks at the lines of a record of several lines, with the fields of the first one.
    ///
    /// Say that it was made of several rows by quotes that were lost. Let k be the field that goes past the end of the
    /// first line. If the time stands after k, then the first line, which is a row, has its time within the text of k.
    /// Else it stands before k and before all later fields with line breaks, and the last line has its time within the
    /// text of one of them. A true text has commas, but hardly ever a time in the place of one: so these lines, and
    /// those between, are looked at for one.
    ///
    /// # Errors
    /// [`Error::BadRow`](crate::Error::BadRow) for a line break in a field that is read, or for a line that would be a
    /// row.
    pub fn check_breaks(&self, at: &[usize]) -> Result<()> {
        if self.lines.is_one_line() {
            return Ok(());
        }
        let (place, record) = (self.lines.place(), self.lines.record());
        let has_break = |field: &Field| record[field.bytes.clone()].contains(&b'\n');
        for (kind, &position) in ["user", "item", "timestamp"].iter().zip(at) {
            if has_break(&self.fields[position]) {
                let expected = format!("the {kind} in one line, or a closing quote before its end");
                return Err(place.bad_row(expected, quoted(&self.field(position))));
            }
        }
        let lines: Vec<&[u8]> = record.split(|&byte| byte == b'\n').collect();
        let timestamp = at[2];
        let first_is_own = self.fields.iter().position(has_break) > Some(timestamp);
        let last_is_own = self.fields.iter().rposition(has_break) < Some(timestamp);
        let mut others = usize::from(first_is_own)..lines.len() - usize::from(last_is_own);
        others.find(|&k| self.is_like_row(place, lines[k], timestamp)).map_or(Ok(()), |k| {
            let expected = format!("a closing quote before the end of line {}, a row by itself", place.line + k as u64);
            Err(place.bad_row(expected, quoted(record)))
        })
    }

    /// Whether a line has commas enough for a row, and a time, written as that of the record is, where a row could have
    /// it: commas within quotes, which may be damaged, only move it to the right.
    fn is_like_row(&self, place: Place<'_>, line: &[u8], timestamp: usize) -> bool {
        let indented = |text: &[u8]| blank_prefix(text, None) > 0;
        let time = |text: &[u8]| place.text(text).ok().and_then(Time::parse);
        let own_text = self.field(timestamp);
        let (own, own_time) = (indented(&own_text), time(&own_text));
        let fields: Vec<&[u8]> = line.split(|&byte| byte == self.delimiter).collect();
        let Some(more) = fields.len().checked_sub(self.width) else { return false };
        fields[timestamp..=timestamp + more].iter().any(|field| {
            let bare = field.trim_ascii_end();
            let bare = bare.strip_prefix(b"\"").unwrap_or(bare);
            let bare = bare.strip_suffix(b"\"").unwrap_or(bare);
            let is_time = time(bare).is_some_and(|time| own_time.is_none_or(|own| own.is_like(time)));
            indented(bare) == own && is_time
        })
    }

    fn is_tsv(&self) -> bool {
        self.delimiter == b'\t'
    }

    /// The field of a CSV that starts at a byte of the record. Lines join the record as long as its quote is open.
    fn csv_field(&mut self, start: usize) -> Result<Split> {
        let record = self.lines.record();
        let Some(text) = after_quote(record, start, self.delimiter) else {
            return Ok(bare_field(record, start, self.delimiter));
        };
        let mut from = text;
        let close = loop {
            match closing_quote(self.lines.record(), from) {
                Ok(close) => break close,
                Err(end) => from = end,
            }
            self.lines.extend()?;
        };
        let record = self.lines.record();
        end_after_quote(record, close, self.delimiter)
            .map(|next| (Field { bytes: text..close, in_quotes: true }, next))
            .ok_or_else(|| {
                let expected = format!(
                    "a comma or the end of the line after the closing quote of field {}",
                    self.fields.len() + 1
                );
                self.lines.place().bad_row(expected, quoted(&record[close..]))
            })
    }
}

/// The field of a line that starts at a byte of it: wholly in quotes, or else bare.
fn field_of_line(line: &[u8], start: usize, delimiter: u8) -> Split {
    let in_quotes = || {
        let text = after_quote(line, start, delimiter)?;
        let close = closing_quote(line, text).ok()?;
        let next = end_after_quote(line, close, delimiter)?;
        Some((Field { bytes: text..close, in_quotes: true }, next))
    };
    in_quotes().unwrap_or_else(|| bare_field(line, start, delimiter))
}

/// All up to the next delimiter.
fn bare_field(record: &[u8], start: usize, delimiter: u8) -> Split {
    let length = record[start..].iter().position(|&byte| byte == delimiter);
    let end = length.map_or(record.len(), |length| start + length);
    (Field { bytes: start..end, in_quotes: false }, length.map(|_| end + 1))
}

/// Where the text of a field begins that has an opening quote.
fn after_quote(record: &[u8], start: usize, delimiter: u8) -> Option<usize> {
    let first = start + blank_prefix(&record[start..], Some(delimiter));
    (record.get(first) == Some(&b'"')).then_some(first + 1)
}

/// The first quote from a byte on that is not doubled, or else where to go on when there is more.
fn closing_quote(record: &[u8], mut from: usize) -> Result<usize, usize> {
    while let Some(length) = record[from..].iter().position(|&byte| byte == b'"') {
        from += length;
        if record.get(from + 1) != Some(&b'"') {
            return Ok(from);
        }
        from += 2;
    }
    Err(record.len())
}

/// Where the next field starts, `Some(None)` for none, where nothing but white space follows a closing quote.
fn end_after_quote(record: &[u8], close: usize, delimiter: u8) -> Option<Option<usize>> {
    let after = close + 1 + blank_prefix(&record[close + 1..], Some(delimiter));
    match record.get(after) {
        None => Some(None),
        Some(&byte) => (byte == delimiter).then_some(Some(after + 1)),
    }
}
