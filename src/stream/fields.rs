//! The fields of a row, and what is said about a bad one.

use std::path::Path;

use crate::text::{first_hidden, quoted, trim};
use crate::{Error, Result};

/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// A line of a file, for the errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub file: &'a Path,
    /// Counted from 1.
    pub line: u64,
}

impl Place<'_> {
    pub fn bad_row(self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::BadRow { file: self.file.into(), line: self.line, expected: expected.into(), found: found.into() }
    }

    /// UTF-8 without what is trimmed at its ends.
    pub fn text(self, field: &[u8]) -> Result<&str> {
        let text = std::str::from_utf8(field).map_err(|error| {
            let at = error.valid_up_to();
            let byte = field[at];
            self.bad_row("UTF-8 text", format!("byte 0x{byte:02X} at offset {at} of {}", quoted(field)))
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

    /// Unix seconds from 1970 to the year 9999.
    pub fn timestamp(self, field: &[u8]) -> Result<i64> {
        let text = self.text(field)?;
        let number = text.parse();
        match number {
            Ok(seconds @ 0..=LAST_SECOND) => Ok(seconds),
            _ => Err(self.bad_row(expected_seconds(), quoted(field) + finer_unit(number.unwrap_or(0)))),
        }
    }

    /// Checks that a rating is a finite number; its value is not used.
    pub fn rating(self, field: &[u8]) -> Result<()> {
        match self.text(field)?.parse::<f64>() {
            Ok(rating) if rating.is_finite() => Ok(()),
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
pub(super) fn check_row(op: &'static str, user: &str, item: &str, timestamp: i64) -> Result<()> {
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
fn finer_unit(number: i64) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(field: &str) -> String {
        let place = Place { file: Path::new("f"), line: 3 };
        match place.timestamp(field.as_bytes()) {
            Ok(seconds) => seconds.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn timestamps() {
        assert_eq!(seconds("0"), "0");
        assert_eq!(seconds(" 253402300799 "), "253402300799");
        let bad = "f:3: expected unix seconds, a whole number from 0 to 253402300799 (year 9999), found";
        for (field, found) in [
            ("", r#""""#),
            ("12.5", r#""12.5""#),
            ("-1", r#""-1""#),
            ("2013-02-28", r#""2013-02-28""#),
            ("253402300800", r#""253402300800", which looks like milliseconds"#),
            ("1362062307000", r#""1362062307000", which looks like milliseconds"#),
            ("1362062307000000", r#""1362062307000000", which looks like microseconds"#),
            ("1362062307000000000", r#""1362062307000000000", which looks like nanoseconds"#),
            ("99999999999999999999", r#""99999999999999999999""#),
        ] {
            assert_eq!(seconds(field), format!("{bad} {found}"));
        }
    }
}
