//! A file line by line: counted, bounded in length, without a byte order mark.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;

use super::fields::{Place, shown};

/// The longest line in bytes. Without a bound, a binary file or an open quote would be read into memory whole.
const LONGEST_LINE: usize = 1 << 20;

/// Marks UTF-8 on some systems; not part of the text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The lines of a file, one at a time in one buffer.
///
/// As [`Read`] it serves at most one line a call, so that a parser above has never taken more than it has parsed and
/// [`Lines::record_line`] is exact. Records with quoted line breaks span several lines, and the bound holds for all together.
pub(super) struct Lines<'a, R> {
    input: BufReader<Chain<Cursor<Vec<u8>>, R>>,
    file: &'a Path,
    /// The line at hand with its line feed.
    line: Vec<u8>,
    /// How much of it has been served.
    served: usize,
    /// Its number, from 1.
    number: u64,
    /// The first line of the record at hand that is not blank; 0 before it.
    record_line: u64,
    /// Bytes from there on.
    record_bytes: usize,
}

impl<'a, R: Read> Lines<'a, R> {
    pub fn new(mut input: R, file: &'a Path) -> io::Result<Self> {
        let mut head = Vec::new();
        input.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head)?;
        if head == BYTE_ORDER_MARK {
            head.clear();
        }
        Ok(Self {
            input: BufReader::with_capacity(1 << 16, Cursor::new(head).chain(input)),
            file,
            line: Vec::new(),
            served: 0,
            number: 0,
            record_line: 0,
            record_bytes: 0,
        })
    }

    pub fn file(&self) -> &'a Path {
        self.file
    }

    /// Where the record at hand begins.
    pub fn place(&self) -> Place<'a> {
        Place { file: self.file, line: self.record_line }
    }

    /// Ends the record at hand.
    pub fn next_record(&mut self) {
        (self.record_line, self.record_bytes) = (0, 0);
    }

    /// The next line that is not blank.
    ///
    /// # Errors
    /// those of the input, or an [`Error`](crate::Error) within for a line that is too long.
    pub fn next_line(&mut self) -> io::Result<Option<(Place<'a>, &[u8])>> {
        self.next_record();
        while self.record_line == 0 {
            if !self.advance()? {
                return Ok(None);
            }
        }
        Ok(Some((self.place(), &self.line)))
    }

    /// Reads one line; `false` at the end of the input.
    fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.served = 0;
        let room = LONGEST_LINE - self.record_bytes;
        self.input.by_ref().take(room as u64 + 1).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(false);
        }
        self.number += 1;
        let in_record = self.record_line != 0;
        if !in_record && (self.line.len() > room || !self.line.trim_ascii().is_empty()) {
            self.record_line = self.number;
        }
        if self.line.len() > room {
            let (expected, found) = if in_record {
                ("a closing quote within 1 MiB", "none".into())
            } else {
                ("a line of at most 1 MiB", shown(&self.line))
            };
            return Err(io::Error::other(self.place().bad_row(expected, found)));
        }
        if self.record_line != 0 {
            self.record_bytes += self.line.len();
        }
        Ok(true)
    }
}

impl<R: Read> Read for Lines<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.served == self.line.len() && !self.advance()? {
            return Ok(0);
        }
        let count = (&self.line[self.served..]).read(buffer)?;
        self.served += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(input: &[u8]) -> io::Result<Vec<(u64, String)>> {
        let mut lines = Lines::new(input, Path::new("f"))?;
        let mut all = Vec::new();
        while let Some((place, line)) = lines.next_line()? {
            all.push((place.line, String::from_utf8_lossy(line).into_owned()));
        }
        Ok(all)
    }

    #[test]
    fn counts_blank_lines_and_drops_the_mark() {
        let input = b"\xEF\xBB\xBFa\r\n\n \t\r\nb\n\nc";
        let expected = [(1, "a\r\n"), (4, "b\n"), (6, "c")].map(|(line, text)| (line, text.to_string()));
        assert_eq!(numbered(input).unwrap(), expected);
        assert_eq!(numbered(b"").unwrap(), []);
        assert_eq!(numbered(b"\xEF\xBB\xBF").unwrap(), []);
        assert_eq!(numbered(b"\xEF\xBB").unwrap().len(), 1);
    }

    #[test]
    fn bounds_a_line() {
        let mut input = vec![b'x'; LONGEST_LINE - 1];
        input.extend_from_slice(b"\ny\n");
        assert_eq!(numbered(&input).unwrap().len(), 2);
        input.insert(0, b'\n');
        input.insert(1, b'x');
        let error = numbered(&input).unwrap_err().to_string();
        assert_eq!(error, format!("f:2: expected a line of at most 1 MiB, found \"{}\"…", "x".repeat(80)));
    }

    #[test]
    fn serves_a_line_a_call() {
        let mut lines = Lines::new(&b"\nab\ncd"[..], Path::new("f")).unwrap();
        let mut buffer = [0; 8];
        for (expected, number) in [("\n", 0), ("ab\n", 2), ("cd", 2), ("", 2)] {
            let count = lines.read(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], expected.as_bytes());
            assert_eq!(lines.place().line, number);
        }
    }
}
