//! Every bad input has its message, with file and line.

use std::io::{Error as IoError, Read, Result as IoResult};
use std::path::Path;

use scall_gpu::Error;
use scall_gpu::stream::{Column, Columns, Format, read, read_from};

use crate::{csv, positions, read_bytes, tsv};

fn assert_message(bytes: impl AsRef<[u8]>, format: &Format, expected: &str) {
    match read_bytes(bytes, format) {
        Ok(data) => panic!("read {} rows, expected the error {expected}", data.len()),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[test]
fn double_colon_rows() {
    let check = |bytes: &str, expected| assert_message(bytes, &Format::DoubleColon, expected);
    check(
        "a::b::1::1\n\na::b::2\n",
        r#"f:3: expected 4 fields, user::item::rating::unix_seconds, found 3 in "a::b::2""#,
    );
    check(
        "a::b::1::1::x\r\n",
        r#"f:1: expected 4 fields, user::item::rating::unix_seconds, found 5 in "a::b::1::1::x""#,
    );
    check("a::b::1::1\n::b::1::1\n", "f:2: expected a text as user id, found an empty field");
    check("a:: ::1::1\n", "f:1: expected a text as item id, found an empty field");
    check("a::b::good::1\n", r#"f:1: expected a number as rating, found "good""#);
    check("a::b::NaN::1\n", r#"f:1: expected a number as rating, found "NaN""#);
    check(
        "a::b::1::1.5\n",
        r#"f:1: expected unix seconds, a whole number from 0 to 253402300799 (year 9999), found "1.5""#,
    );
}

#[test]
fn csv_rows() {
    let check = |bytes: &str, expected: &str| assert_message(bytes, &csv(), expected);
    let seconds = "expected unix seconds, a whole number from 0 to 253402300799 (year 9999), found";
    check("user,item,time\na,b,1\n\n\na,b\n", r#"f:5: expected 3 fields, as in the first line, found 2 in "a,b""#);
    check(
        "user,item,time,x\r\na,\"b\r\n\r\nc\",1,\r\n\r\na,b,1,2,3\r\n",
        r#"f:6: expected 4 fields, as in the first line, found 5 in "a,b,1,2,3""#,
    );
    check("user,item,time\n,b,1\n", "f:2: expected a text as user id, found an empty field");
    check("user,item,time\na,\" \",1\n", "f:2: expected a text as item id, found an empty field");
    check("user,item,time\na,b,soon\n", &format!(r#"f:2: {seconds} "soon""#));
    check("user,item,time\na,b,\n", &format!(r#"f:2: {seconds} """#));
    check("user,item,time\na,b,-5\n", &format!(r#"f:2: {seconds} "-5""#));
    check(
        "user,item,time\na,b,1362062307000\n",
        &format!(r#"f:2: {seconds} "1362062307000", which looks like milliseconds"#),
    );
    // A quote left open takes the rest of the file; the error names the line where it was opened.
    check(
        "user,item,time\na,b,1\na,\"b,1\na,b,1\n",
        r#"f:3: expected 3 fields, as in the first line, found 2 in "a,b,1\na,b,1""#,
    );
    assert_message(
        "user\titem\ttime\na\tb\n",
        &tsv(),
        r#"f:2: expected 3 fields, as in the first line, found 2 in "a\tb""#,
    );
}

#[test]
fn bytes_that_are_not_utf8() {
    assert_message(
        b"a::b::1::1\na::caf\xe9::1::1\n",
        &Format::DoubleColon,
        r#"f:2: expected UTF-8 text, found byte 0xE9 at offset 6 of "a::caf\xe9::1::1""#,
    );
    assert_message(
        b"user,item,time\na,caf\xe9,1\n",
        &csv(),
        r#"f:2: expected UTF-8 text, found byte 0xE9 at offset 3 of "caf\xe9""#,
    );
}

#[test]
fn headers() {
    let check = |bytes: &str, expected| assert_message(bytes, &csv(), expected);
    check(
        "user,thing,time\na,b,1\n",
        r#"f: expected a column with the item, named item, item_id, movie_id, product_id, found the columns "user, thing, time""#,
    );
    check(
        "user;item;time\na;b;1\n",
        r#"f: expected a column with the user, named user, user_id, customer_id, household_id, found the columns "user;item;time""#,
    );
    check(
        "\x1b[31m\0,item,time\na,b,1\n",
        r#"f: expected a column with the user, named user, user_id, customer_id, household_id, found the columns "\u{1b}[31m\0, item, time""#,
    );
    check(
        "a,b,1\n",
        r#"f: expected a column with the user, named user, user_id, customer_id, household_id, found the columns "a, b, 1""#,
    );
    let named = Columns { timestamp: Column::Name("when".into()), ..Columns::default() };
    assert_message(
        "user,item,When\na,b,1\n",
        &Format::Csv(named),
        r#"f: expected a column "when" with the timestamp, found the columns "user, item, When""#,
    );
    assert_message(
        "a,b,1\n",
        &Format::Csv(positions(0, 3, 2)),
        r#"f: expected the item in column 3, counted from 0, found the columns "a, b, 1""#,
    );
    // A first row taken for a header would be lost without a word.
    assert_message(
        "a,b,1\nc,d,2\n",
        &Format::Csv(Columns { header: true, ..positions(0, 1, 2) }),
        r#"f:1: expected a header that names the timestamp, found "1""#,
    );
}

#[test]
fn columns_that_contradict_each_other() {
    assert_message(
        "a,b,1\n",
        &Format::Csv(positions(0, 2, 2)),
        "f: expected user, item and timestamp in three columns, found them in columns 0, 2 and 2, counted from 0",
    );
    assert_message(
        "a,b,1\n",
        &Format::Csv(Columns { header: false, ..Columns::default() }),
        "stream/read: `columns` must be positions, as the file has no header, got the user by name",
    );
}

#[test]
fn files_without_rows() {
    for format in [Format::DoubleColon, csv(), tsv()] {
        for bytes in ["", "\n\r\n", "\u{feff}", " \n"] {
            assert_message(bytes, &format, "f: expected rows of interactions, found none");
        }
    }
    for header in ["user,item,time", "user,item,time\n", "\r\nuser,item,time\r\n\r\n"] {
        assert_message(header, &csv(), "f: expected rows of interactions, found only a header");
    }
}

#[test]
fn lines_too_long() {
    let start = "x".repeat(80);
    let long = "x".repeat(5 << 20);
    for format in [Format::DoubleColon, csv(), tsv()] {
        let expected = format!("f:2: expected a line of at most 1 MiB, found \"{start}\"…");
        assert_message(format!("\n{long}\n"), &format, &expected);
    }
    let open = format!("user,item,time\na,b,1\na,\"b,1\n{}", "c,d,2\n".repeat(400_000));
    assert_message(open, &csv(), "f:3: expected a closing quote within 1 MiB, found none");
}

#[test]
fn binary_files() {
    let elf = b"\x7fELF\x02\x01\x01\0\0\0\x03\0>\0\x01\0";
    assert_message(
        elf,
        &Format::DoubleColon,
        r#"f:1: expected 4 fields, user::item::rating::unix_seconds, found 1 in "\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0\u{3}\0>\0\u{1}\0""#,
    );
    let utf16: Vec<u8> = "\u{feff}a::b::1::1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = read_bytes(utf16, &Format::DoubleColon).unwrap_err().to_string();
    assert!(error.starts_with("f:1: expected UTF-8 text, found byte 0xFF at offset 0 of"), "{error}");
    // Zeros without end stop at the bound.
    let error = read_from(std::io::repeat(0), Path::new("f"), &csv()).unwrap_err();
    assert!(matches!(error, Error::BadRow { line: 1, .. }), "{error}");
}

/// An input that breaks after some bytes.
struct Breaks<'a>(&'a [u8]);

impl Read for Breaks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        match self.0.read(buffer)? {
            0 => Err(IoError::other("the cable is out")),
            count => Ok(count),
        }
    }
}

#[test]
fn unreadable_inputs() {
    for (bytes, format) in [("", csv()), ("user,item,time\na,b,1\n", csv()), ("a::b::1::1\n", Format::DoubleColon)] {
        let error = read_from(Breaks(bytes.as_bytes()), Path::new("f"), &format).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(error.to_string(), "f: the cable is out");
    }
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_path_buf(), folder.path().join("none.csv")] {
        match read(&path, &csv()).unwrap_err() {
            Error::Io { file, .. } => assert_eq!(file, path),
            error => panic!("{error}"),
        }
    }
}
