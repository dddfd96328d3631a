//! The fields of a row, and what is said about a bad one.

use std::path::Path;

use crate::text::{first_hidden, quoted, trim};
use crate::{Error, Result};

/// The last second of the year 9999.
pub(super) const LAST_SECOND: i64 = 253_402_300_799;

/// A line of a file, for the errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub file: &'a Path,
    /// Counted from 1.
    pub line: u64,
    /// What the file's text should be, by name.
    pub encoding: &'static str,
}

impl Place<'_> {
    pub fn bad_row(self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::BadRow { file: self.file.into(), line: self.line, expected: expected.into(), found: found.into() }
    }

    /// UTF-8 without what is trimmed at its ends.
    pub fn text(self, field: &[u8]) -> Result<&str> {
        let text = std::str::from_utf8(field).map_err(|error| {
            let at = error.valid_up_to();
            if self.encoding != "UTF-8" {
                let found = format!("bytes that mean nothing in it, at offset {at} of {}", quoted(field));
                return self.bad_row(format!("{} text", self.encoding), found);
            }
            let (expected, byte) = ("UTF-8 text, or a declared encoding (--encoding latin1)", field[at]);
            self.bad_row(expected, format!("byte 0x{byte:02X} at offset {at} of {}", quoted(field)))
        })?;
        Ok(trim(text))
    }

    /// A text that is not empty and of which every character can be seen; `kind` is `user` or `item`.
    pub fn id<'t>(self, kind: &str, field: &'t [u8]) -> Result<&'t str> {
        let id = self.text(field)?;
        match bad_id(kind, id) {
            Some((expected, found)) => Err(self.bad_row(expected, found)),
            None => Ok(id),
        }
    }

    /// A rating, which is a finite number.
    pub fn rating(self, field: &[u8]) -> Result<f64> {
        match self.text(field)?.parse::<f64>() {
            Ok(rating) if rating.is_finite() => Ok(rating),
            _ => Err(self.bad_row("a number as rating", quoted(field))),
        }
    }
}

/// What is wrong with a trimmed text as an id: what is expected, and what is found.
fn bad_id(kind: &str, id: &str) -> Option<(String, String)> {
    if id.is_empty() {
        return Some((format!("a text as {kind} id"), "an empty field".into()));
    }
    let (at, c) = first_hidden(id)?;
    let found = format!("U+{:04X} at offset {at} of {}", u32::from(c), quoted(id.as_bytes()));
    Some((format!("a {kind} id without characters that cannot be seen"), found))
}

fn expected_seconds() -> String {
    format!("unix seconds, a whole number from 0 to {LAST_SECOND} (year 9999)")
}

/// Checks a row that comes from a caller as one of a file is checked, but that nothing is trimmed: a caller knows its
/// ids.
///
/// # Errors
/// [`Error::Argument`] that names the argument.
pub(in crate::stream) fn check_row(op: &'static str, user: &str, item: &str, timestamp: i64) -> Result<()> {
    for (arg, id) in [("user", user), ("item", item)] {
        let wrong = match trim(id) {
            trimmed if trimmed == id => bad_id(arg, id),
            _ => Some((format!("a {arg} id without space at its ends"), quoted(id.as_bytes()))),
        };
        if let Some((expected, got)) = wrong {
            return Err(Error::Argument { op, arg, expected, got });
        }
    }
    if !(0..=LAST_SECOND).contains(&timestamp) {
        let got = format!("{timestamp}{}", finer_unit(timestamp));
        return Err(Error::Argument { op, arg: "timestamp", expected: expected_seconds(), got });
    }
    Ok(())
}

/// A guess at the unit of a number too large for seconds, each unit up to the year 5138.
pub(super) fn finer_unit(number: i64) -> &'static str {
    if number <= LAST_SECOND {
        ""
    } else if number < 100_000_000_000_000 {
        ", which looks like milliseconds"
    } else if number < 100_000_000_000_000_000 {
        ", which looks like microseconds"
    } else {
        ", which looks like nanoseconds"
    }
}
