//! The fields of a row, and what is said about a bad one.

use std::path::Path;

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

    /// UTF-8 without the white space around it.
    pub fn text(self, field: &[u8]) -> Result<&str> {
        let field = field.trim_ascii();
        std::str::from_utf8(field).map_err(|error| {
            let at = error.valid_up_to();
            let byte = field[at];
            self.bad_row("UTF-8 text", format!("byte 0x{byte:02X} at offset {at} of {}", shown(field)))
        })
    }

    /// A text that is not empty; `kind` is `user` or `item`.
    pub fn id<'t>(self, kind: &str, field: &'t [u8]) -> Result<&'t str> {
        match self.text(field)? {
            "" => Err(self.bad_row(format!("a text as {kind} id"), "an empty field")),
            id => Ok(id),
        }
    }

    /// Unix seconds from 1970 to the year 9999.
    pub fn timestamp(self, field: &[u8]) -> Result<i64> {
        let text = self.text(field)?;
        let number = text.parse();
        match number {
            Ok(seconds @ 0..=LAST_SECOND) => Ok(seconds),
            _ => Err(self.bad_row(
                format!("unix seconds, a whole number from 0 to {LAST_SECOND} (year 9999)"),
                shown(field) + finer_unit(number.unwrap_or(0)),
            )),
        }
    }

    /// Checks that a rating is a finite number; its value is not used.
    pub fn rating(self, field: &[u8]) -> Result<()> {
        match self.text(field)?.parse::<f64>() {
            Ok(rating) if rating.is_finite() => Ok(()),
            _ => Err(self.bad_row("a number as rating", shown(field))),
        }
    }
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

/// The start of a text in quotes, escaped so that no file can send control characters to a terminal.
pub(super) fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 80;
    let mut characters = bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(|c| c.escape_debug().to_string());
        valid.chain(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")))
    });
    let start: String = characters.by_ref().take(LONGEST).collect();
    let rest = if characters.next().is_some() { "…" } else { "" };
    format!("\"{start}\"{rest}")
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

    #[test]
    fn shown_is_short_and_printable() {
        assert_eq!(shown(b"a\x1b[2J\xff\r\n\"\0"), r#""a\u{1b}[2J\xff\r\n\"\0""#);
        assert_eq!(shown("né 日本 \u{202e}".as_bytes()), r#""né 日本 \u{202e}""#);
        assert_eq!(shown(&[b'x'; 80]), format!("\"{}\"", "x".repeat(80)));
        assert_eq!(shown(&[b'x'; 81]), format!("\"{}\"…", "x".repeat(80)));
    }
}
