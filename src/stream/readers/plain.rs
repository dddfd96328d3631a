//! Records with delimiters, parsed ahead: eight bytes at a time as long as nothing is in quotes.
//!
//! Ids of at most seven characters, which most are, are never looked at byte by byte: a word of memory holds one, and
//! is what the dictionary knows it by. Whatever else there is goes the way that is common to all readers.

use std::borrow::Cow;

use super::ahead::{Ahead, Parse};
use super::fields::Place;
use super::lines::{LONGEST_RECORD, Lines};
use super::records::Records;
use super::rows::Take;
use crate::stream::names::SHORT;
use crate::text::blank_prefix;

/// The most columns that are read without a list on the heap.
const COLUMNS: usize = 8;

/// Marks a column that is not read.
const SKIPPED: u8 = u8::MAX;

/// How records of one file are split.
pub(super) struct Plain {
    delimiter: u8,
    /// Where the columns that are wanted stand.
    at: Vec<usize>,
    /// For each column of the file which one it is of those that are read.
    columns: Vec<u8>,
    /// For each that is wanted the same.
    wanted: Vec<u8>,
    /// Whether a row is a user, an item and a time, with nothing else to look at.
    is_row: bool,
}

impl Plain {
    /// Of a file of `width` columns, those that are wanted being at these; `None` for too many.
    pub fn new(delimiter: u8, width: usize, at: &[usize]) -> Option<Self> {
        let mut read = at.to_vec();
        read.sort_unstable();
        read.dedup();
        let number = |column: &usize| read.binary_search(column).map_or(SKIPPED, |number| number as u8);
        let columns = (0..width).map(|column| number(&column)).collect();
        let wanted = at.iter().map(number).collect();
        (read.len() <= COLUMNS).then(|| Self { delimiter, at: at.to_vec(), columns, wanted, is_row: at.len() == 3 })
    }

    /// A record that goes the way of those in quotes.
    fn in_quotes(&self, place: Place<'_>, text: &[u8], rows: &mut Ahead<'_, '_>) -> Option<(usize, u64)> {
        let mut records = Records::of_width(Lines::at(place, text), self.delimiter, self.columns.len());
        if let Some(found) = records.advance().ok()? {
            records.row(found, &self.at, rows).ok()?;
        }
        let (line, rest) = records.left();
        Some((text.len() - rest.len(), line - place.line))
    }

    /// Takes a row of short ids and a whole number as time; `None` for any other.
    fn short_row(&self, text: &[u8], fields: &[(usize, usize); COLUMNS], rows: &mut Ahead<'_, '_>) -> Option<()> {
        let field = |k: usize| fields[usize::from(self.wanted[k])];
        let clock = &rows.checks.clock;
        let (start, end) = field(2);
        let end = if end > start && text[end - 1] == b'\r' { end - 1 } else { end };
        let micros = clock.whole(number(&text[start..end])?)?;
        let (user, item) = (short(text, field(0))?, short(text, field(1))?);
        rows.rows.push(rows.rows.short_user(user), rows.rows.short_item(item), micros);
        Some(())
    }
}

impl Parse for Plain {
    fn record(&self, place: Place<'_>, text: &[u8], rows: &mut Ahead<'_, '_>) -> Option<(usize, u64)> {
        if !matches!(text[0], b'!'..=b'~') {
            let blank = blank_prefix(text, Some(b'\n'));
            if text.get(blank) == Some(&b'\n') {
                return Some((blank + 1, 1));
            }
        }
        let mut fields = [(0, 0); COLUMNS];
        let (mut start, mut column) = (0, 0);
        let end = loop {
            let end = start + self.field_end(&text[start..])?;
            let number = *self.columns.get(column)?;
            if number != SKIPPED {
                fields[usize::from(number)] = (start, end);
            }
            match text[end] {
                b'\n' => break end,
                b'"' => return self.in_quotes(place, text, rows),
                _ => (start, column) = (end + 1, column + 1),
            }
        };
        if column + 1 != self.columns.len() || end >= LONGEST_RECORD {
            return None;
        }
        if !self.is_row || self.short_row(text, &fields, rows).is_none() {
            let field = |k: usize| {
                let (start, end) = fields[usize::from(self.wanted[k])];
                Ok(Cow::Borrowed(&text[start..end]))
            };
            rows.take(place, field).ok()?;
        }
        Some((end + 1, 1))
    }
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// Eight bytes of a text, zeros where it ends.
fn word(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(&bytes) => u64::from_le_bytes(bytes),
        None => text.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// The highest bit of each byte of `word` that is `byte`; others may be set too, but none below the first.
fn matches(word: u64, byte: u8) -> u64 {
    let same = word ^ (ONES * u64::from(byte));
    same.wrapping_sub(ONES) & !same & HIGH
}

impl Plain {
    /// Where the first delimiter, line feed or quote is.
    fn field_end(&self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < text.len() {
            let word = word(&text[at..]);
            let found = matches(word, self.delimiter) | matches(word, b'\n') | matches(word, b'"');
            if found != 0 {
                return Some(at + found.trailing_zeros() as usize / 8);
            }
            at += 8;
        }
        None
    }
}

/// A field of one to seven visible ASCII characters as a number.
fn short(text: &[u8], (start, end): (usize, usize)) -> Option<u64> {
    let count = end - start;
    if count == 0 || count > SHORT {
        return None;
    }
    let used = u64::MAX >> (64 - 8 * count);
    let name = word(&text[start..]) & used;
    // Bytes after the name as some that can be seen.
    let filled = name | ((ONES * u64::from(b'a')) & !used);
    let below = filled.wrapping_sub(ONES * u64::from(b'!')) & !filled;
    let above = filled.wrapping_add(ONES) | filled;
    ((below | above) & HIGH == 0).then_some(name | ((count as u64) << 56))
}

/// A whole number of at most 18 digits.
fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let (eights, rest) = digits.as_chunks::<8>();
    let eights = eights.iter().try_fold(0, |sum, &digits| Some(sum * 100_000_000 + eight_digits(digits)?))?;
    let rest = rest.iter().try_fold(eights, |sum, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| sum * 10 + u64::from(digit))
    })?;
    Some(rest as i64)
}

/// The number that eight digits are: pairs of neighbours are joined, then pairs of those.
fn eight_digits(digits: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(digits) ^ (ONES * u64::from(b'0'));
    // Up to 9 in each byte: nothing in the upper half, also with 6 more.
    if (word | word.wrapping_add(ONES * 6)) & (ONES * 0xF0) != 0 {
        return None;
    }
    let pairs = (word * 10 + (word >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    Some((fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF)
}
