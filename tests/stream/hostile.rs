//! Inputs that nobody would write: each is an error with a line, or rows, and never a panic.

use std::path::Path;

use scall_gpu::stream::{Format, ReadOptions, read_from};

use crate::{csv, read_bytes, rows};

/// A start, a piece that is repeated, and how often.
struct Repeated<'a> {
    start: &'a [u8],
    piece: &'a [u8],
    times: u64,
}

impl Repeated<'_> {
    fn read_as(&self, options: &ReadOptions) -> scall_gpu::Result<usize> {
        use std::io::Read;
        let pieces = Pieces { piece: self.piece, at: 0, left: self.times };
        read_from(self.start.chain(pieces), Path::new("f"), options).map(|data| data.len())
    }
}

struct Pieces<'a> {
    piece: &'a [u8],
    at: usize,
    left: u64,
}

impl std::io::Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut written = 0;
        while written < buffer.len() && self.left > 0 {
            let rest = &self.piece[self.at..];
            let count = rest.len().min(buffer.len() - written);
            buffer[written..written + count].copy_from_slice(&rest[..count]);
            written += count;
            self.at += count;
            if self.at == self.piece.len() {
                (self.at, self.left) = (0, self.left - 1);
            }
        }
        Ok(written)
    }
}

/// What is read without end or nearly, and where it stops. `tests/read_memory.rs` watches what it takes.
#[test]
fn a_gigabyte_in_one_line_or_quote() {
    let gigabyte = 1 << 30;
    let head = b"user,item,time\na,b,1\n";
    for (start, piece) in
        [(&head[..], &b"x"[..]), (head, b"\0"), (head, b"a,"), (b"", b"\x1b"), (b"", b" "), (b"", b"[")]
    {
        let endless = Repeated { start, piece, times: gigabyte / piece.len() as u64 };
        for format in [Format::DoubleColon, Format::Csv, Format::Tsv, Format::Semicolon, Format::UData, Format::Json] {
            let error = endless.read_as(&format.into()).unwrap_err().to_string();
            assert!(error.starts_with("f:") && error.len() < 1500, "{format:?}: {error}");
        }
    }
    let open = Repeated { start: b"user,item,time\na,b,1\na,\"", piece: b"c,d\n", times: gigabyte / 4 };
    assert_eq!(open.read_as(&csv()).unwrap_err().to_string(), "f:3: expected a closing quote within 1 MiB, found none");
    // Blank lines are nothing, however many.
    let blank = Repeated { start: head, piece: b"\r\n", times: 1 << 20 };
    assert_eq!(blank.read_as(&csv()).unwrap(), 1);
    // A gigabyte in one bad line that may be left out.
    let long = Repeated { start: head, piece: b"xxxxxxxx", times: 1 << 27 };
    assert_eq!(long.read_as(&ReadOptions { skip_bad: 1, ..csv() }).unwrap(), 1);
}

#[test]
fn odd_but_good() {
    for file in [
        "\u{feff}user,item,time\r\na,b,1\r\n",
        "user,item,time\na,b,1",
        "user,item,time\n\n\n  \na,b,1\n\u{feff}\n",
        "\"user\",\"item\",\"time\"\n\"a\",\"b\",\"1\"\n",
        "time,x,user,y,item\n1,\"\n\n\",a,\"\"\"\",b\n",
    ] {
        assert_eq!(rows(&read_bytes(file, csv()).unwrap()), [("a", "b", 1)], "{file:?}");
    }
}

#[test]
fn odd_and_bad() {
    for (file, line) in [
        (&b"user,item,time\na,b,1\nc\0,d,2\n"[..], 3),
        (b"user,item,time\na,b,1\n\xc3(,d,2\n", 3),
        (b"user,item,time\na,b,1\r\ncaf\xc3\xa9,x,1\r\ncaf\xe9,x,1\r\n", 4),
        (b"user,item,time\na,b,1\n\xed\xa0\x80,d,2\n", 3),
        (b"user,item,time\ra,b,1\r", 1),
        (b"user,item,time\na,b,1\n\x7fELF\x02\x01\x01\0\0\0\0\n", 3),
        (b"user,item,time\na,b,1\na,b,1,\n", 3),
        (b"user,item,time\na,b,0x1F\n", 2),
        (b"user,item,time\na,b,\xd9\xa1\xd9\xa2\n", 2),
        (b"user,item,time\na,b,1_000\n", 2),
    ] {
        let error = read_bytes(file, csv()).unwrap_err();
        match &error {
            scall_gpu::Error::BadRow { line: found, .. } => assert_eq!(*found, line, "{error}"),
            // The header is one line with the row.
            scall_gpu::Error::BadFile { .. } => assert_eq!(line, 1, "{error}"),
            other => panic!("{other}"),
        }
        assert!(!error.to_string().contains(|c: char| c.is_control()), "{error:?}");
    }
}
