//! A file record by record: lines are counted, and bounded in length.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::fields::Place;
use crate::text::{blank_prefix, quoted};
use crate::{Error, Result};

/// The longest record in bytes. Without a bound, a binary file or an open quote would be read into memory whole.
const LONGEST_RECORD: usize = 1 << 20;

/// The records of a file, one at a time in one buffer: a line each, or several where a quoted field has line breaks.
pub(super) struct Lines<'a, R> {
    input: BufReader<R>,
    file: &'a Path,
    /// The record at hand, with its last line feed.
    record: Vec<u8>,
    /// The line where it begins, from 1.
    first: u64,
    /// The line that was read last.
    last: u64,
}

impl<'a, R: Read> Lines<'a, R> {
    pub fn new(input: R, file: &'a Path) -> Self {
        Self { input: BufReader::with_capacity(1 << 16, input), file, record: Vec::new(), first: 0, last: 0 }
    }

    pub fn file(&self) -> &'a Path {
        self.file
    }

    /// Goes on to the next line that is not blank, and says where it is; `None` at the end of the input.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::BadRow`] for a line that is too long.
    pub fn next_record(&mut self) -> Result<Option<Place<'a>>> {
        loop {
            self.record.clear();
            if !self.read_line()? {
                return Ok(None);
            }
            self.first = self.last;
            if self.record.len() > LONGEST_RECORD {
                return Err(self.place().bad_row("a line of at most 1 MiB", quoted(&self.record)));
            }
            if blank_prefix(&self.record, None) < self.record.len() {
                return Ok(Some(self.place()));
            }
        }
    }

    /// Adds the next line to the record at hand, for a quote that is still open.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::BadRow`] where there is no next line or the record becomes too long.
    pub fn extend(&mut self) -> Result<()> {
        if !self.read_line()? {
            return Err(self.place().bad_row("a closing quote", "the end of the file"));
        }
        if self.record.len() > LONGEST_RECORD {
            return Err(self.place().bad_row("a closing quote within 1 MiB", "none"));
        }
        Ok(())
    }

    /// The record at hand without its last line feed.
    pub fn record(&self) -> &[u8] {
        self.record.strip_suffix(b"\n").unwrap_or(&self.record)
    }

    /// Whether the record at hand has no line break.
    pub fn is_one_line(&self) -> bool {
        self.first == self.last
    }

    /// Where the record at hand begins.
    pub fn place(&self) -> Place<'a> {
        Place { file: self.file, line: self.first }
    }

    /// Reads a line, or the part of one that passes the bound; `false` at the end of the input.
    fn read_line(&mut self) -> Result<bool> {
        let room = (LONGEST_RECORD + 1).saturating_sub(self.record.len());
        let read = self.input.by_ref().take(room as u64).read_until(b'\n', &mut self.record);
        let count = read.map_err(|source| Error::Io { file: self.file.into(), source })?;
        self.last += 1;
        Ok(count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(input: &[u8]) -> Result<Vec<(u64, String)>> {
        let mut lines = Lines::new(input, Path::new("f"));
        let mut all = Vec::new();
        while let Some(place) = lines.next_record()? {
            all.push((place.line, String::from_utf8_lossy(lines.record()).into_owned()));
        }
        Ok(all)
    }

    #[test]
    fn counts_blank_lines() {
        let input = "\u{feff}a\r\n\n \t\r\nb\n\u{feff}\n\u{a0}\u{200b}\nc";
        let expected = [(1, "\u{feff}a\r"), (4, "b"), (7, "c")].map(|(line, text)| (line, text.to_string()));
        assert_eq!(numbered(input.as_bytes()).unwrap(), expected);
        assert_eq!(numbered(b"").unwrap(), []);
        assert_eq!(numbered("\u{feff}".as_bytes()).unwrap(), []);
        // Half a mark is no text, and zeros are damage: neither is blank.
        assert_eq!(numbered(b"\xEF\xBB").unwrap().len(), 1);
        assert_eq!(numbered(b"\0\0\n").unwrap().len(), 1);
    }

    #[test]
    fn bounds_a_line() {
        let mut input = vec![b'x'; LONGEST_RECORD - 1];
        input.extend_from_slice(b"\ny\n");
        assert_eq!(numbered(&input).unwrap().len(), 2);
        input.insert(0, b'\n');
        input.insert(1, b'x');
        let error = numbered(&input).unwrap_err().to_string();
        assert_eq!(error, format!("f:2: expected a line of at most 1 MiB, found \"{}\"…", "x".repeat(80)));
    }

    #[test]
    fn bounds_a_record_of_several_lines() {
        let mut lines = Lines::new(&b"\nab\ncd"[..], Path::new("f"));
        assert_eq!(lines.next_record().unwrap().unwrap().line, 2);
        lines.extend().unwrap();
        assert_eq!((lines.record(), lines.place().line), (&b"ab\ncd"[..], 2));
        assert_eq!(lines.extend().unwrap_err().to_string(), "f:2: expected a closing quote, found the end of the file");
        let long = vec![b'\n'; LONGEST_RECORD];
        let input = [b"ab\n", &long[..]].concat();
        let mut lines = Lines::new(&input[..], Path::new("f"));
        lines.next_record().unwrap();
        let error = (0..=LONGEST_RECORD).find_map(|_| lines.extend().err()).unwrap();
        assert_eq!(error.to_string(), "f:1: expected a closing quote within 1 MiB, found none");
    }
}
