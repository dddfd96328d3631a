//! A file record by record: lines are counted, and bounded in length.

use std::io::{self, BufRead, Read};
use std::path::Path;

use super::feed::{Feed, Sizes};
use super::fields::Place;
use super::input::Input;
use crate::text::{blank_prefix, quoted};
use crate::{Error, Result};

/// The longest record in bytes. Without a bound, a binary file or an open quote would be read into memory whole.
pub(super) const LONGEST_RECORD: usize = 1 << 20;

/// The records of a file, one at a time in one buffer: a line each, or several where a quoted field has line breaks.
pub(super) struct Lines<'a, B = Feed<'a>> {
    input: B,
    file: &'a Path,
    packed: Option<&'static str>,
    encoding: &'static str,
    /// The record at hand, with its last line feed.
    record: Vec<u8>,
    /// The line where it begins, from 1.
    first: u64,
    /// The line that was read last.
    last: u64,
    /// Whether the rest of that line is still to come, because it is too long.
    cut: bool,
}

impl<'a> Lines<'a> {
    pub fn new(input: Input<'a>, sizes: Sizes) -> Self {
        let place = Place { file: input.name, line: 0, encoding: input.encoding.name() };
        Self { packed: input.packed, ..Lines::at(place, Feed::new(input.bytes, input.is_live, sizes)) }
    }

    /// What the lines come from.
    pub fn feed(&mut self) -> &mut Feed<'a> {
        &mut self.input
    }

    /// Brings the input to the beginning of a line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn end_line(&mut self) -> Result<()> {
        if self.cut { self.skip_rest() } else { Ok(()) }
    }

    /// Passes lines that were parsed ahead.
    pub fn pass(&mut self, bytes: usize, lines: u64) {
        self.input.consume(bytes);
        self.last += lines;
        self.first = self.last;
    }
}

impl<'a, B: BufRead> Lines<'a, B> {
    /// Lines of which `place` is the one before the first.
    pub fn at(place: Place<'a>, input: B) -> Self {
        let Place { file, line, encoding } = place;
        Self { input, file, packed: None, encoding, record: Vec::new(), first: line, last: line, cut: false }
    }

    pub fn file(&self) -> &'a Path {
        self.file
    }

    /// Goes on to the next line that is not blank, and says where it is; `None` at the end of the input.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::BadRow`] for a line that is too long.
    pub fn next_record(&mut self) -> Result<Option<Place<'a>>> {
        if self.cut {
            self.skip_rest()?;
        }
        loop {
            self.record.clear();
            if !self.read_line()? {
                return Ok(None);
            }
            self.first = self.last;
            if self.record.len() > LONGEST_RECORD {
                self.cut = self.record.last() != Some(&b'\n');
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

    /// Whether the record at hand has no line break. Of a line that is too long only the start is at hand.
    pub fn is_one_line(&self) -> bool {
        self.first == self.last
    }

    /// The line that was read last, and what is left of the input.
    pub fn left(&self) -> (u64, &B) {
        (self.last, &self.input)
    }

    /// Where the record at hand begins.
    pub fn place(&self) -> Place<'a> {
        Place { file: self.file, line: self.first, encoding: self.encoding }
    }

    /// Reads a line, or the part of one that passes the bound; `false` at the end of the input.
    fn read_line(&mut self) -> Result<bool> {
        let room = (LONGEST_RECORD + 1).saturating_sub(self.record.len());
        let read = self.input.by_ref().take(room as u64).read_until(b'\n', &mut self.record);
        let count = read.map_err(|source| self.unreadable(source))?;
        self.last += 1;
        Ok(count > 0)
    }

    /// Reads the rest of a line that is too long, without keeping it.
    fn skip_rest(&mut self) -> Result<()> {
        self.cut = false;
        loop {
            let part = match self.input.fill_buf() {
                Ok(part) => part,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(self.unreadable(source)),
            };
            let end = part.iter().position(|&byte| byte == b'\n');
            let (count, ended) = (end.map_or(part.len(), |end| end + 1), end.is_some() || part.is_empty());
            self.input.consume(count);
            if ended {
                return Ok(());
            }
        }
    }

    /// What the system says, or what unpacks.
    fn unreadable(&self, source: io::Error) -> Error {
        let source = match self.packed {
            None => source,
            Some(kind) => {
                let said = format!("{kind} data that are damaged or end too soon, after line {}: {source}", self.last);
                io::Error::new(source.kind(), said)
            }
        };
        Error::Io { file: self.file.into(), source }
    }
}
