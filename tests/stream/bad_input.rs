//! Every bad input has its message, with file and line.

use std::io::{Error as IoError, Read, Result as IoResult};
use std::path::Path;

use scall_gpu::Error;
use scall_gpu::stream::{Column, Columns, Format, ReadOptions, read, read_from};

use crate::{csv, dat, positions, read_bytes, tsv, with_columns};

/// What is said of a first time that is none.
const A_TIME: &str = "expected a time: a number of seconds, milliseconds, microseconds or nanoseconds since 1970, or a \
                      date such as 2024-02-29 or 2024-02-29T13:00:00Z, from 1970 to the year 9999, found";

fn assert_message(bytes: impl AsRef<[u8]>, format: &ReadOptions, expected: &str) {
    match read_bytes(bytes, format) {
        Ok(data) => panic!("read {} rows, expected the error {expected}", data.len()),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[test]
fn double_colon_rows() {
    let check = |bytes: &str, expected: &str| assert_message(bytes, &dat(), expected);
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
    check("a::b::1::1:5\n", &format!(r#"f:1: {A_TIME} "1:5""#));
}

#[test]
fn csv_rows() {
    let check = |bytes: &str, expected: &str| assert_message(bytes, &csv(), expected);
    let seconds = A_TIME;
    check("user,item,time\na,b,1\n\n\na,b\n", r#"f:5: expected 3 fields, as in the first line, found 2 in "a,b""#);
    check(
        "user,item,time,x\r\na,b,1,\"b\r\n\r\nc\"\r\n\r\na,b,1,2,3\r\n",
        r#"f:6: expected 4 fields, as in the first line, found 5 in "a,b,1,2,3""#,
    );
    check("user,item,time\n,b,1\n", "f:2: expected a text as user id, found an empty field");
    check("user,item,time\na,\" \",1\n", "f:2: expected a text as item id, found an empty field");
    check("user,item,time\na,b,soon\n", &format!(r#"f:2: {seconds} "soon""#));
    check("user,item,time\na,b,\n", &format!(r#"f:2: {seconds} """#));
    check("user,item,time\na,b,-5\n", &format!(r#"f:2: {seconds} "-5""#));
    assert_message(
        "user\titem\ttime\na\tb\n",
        &tsv(),
        r#"f:2: expected 3 fields, as in the first line, found 2 in "a\tb""#,
    );
}

#[test]
fn quotes_of_a_csv() {
    let check = |bytes: &str, expected: &str| assert_message(bytes, &csv(), expected);
    // A quote left open would take the rest of the file; the error names the line where its record begins.
    check("user,item,time\na,b,1\na,\"b,1\na,b,1\n", "f:3: expected a closing quote, found the end of the file");
    check("user,item,time,x\na,b,1,\"\na,b,2,x\n", "f:2: expected a closing quote, found the end of the file");
    check("user,item,time,\"x\na,b,1,\n", "f:1: expected a closing quote, found the end of the file");
    // Opened in one row and closed in another, before a comma or not, in a column that is read or not.
    let after = "expected a comma or the end of the line after the closing quote of field";
    check("user,item,time\na,\"b\",1\na,\"b,1\na,\"b\",1\n", &format!(r#"f:3: {after} 2, found "\"b\",1""#));
    check("user,x,item,time\na,\"x,b,1\na,\"x\",b,1\n", &format!(r#"f:2: {after} 2, found "\"x\",b,1""#));
    check("user,item,time\na,\"b\"c,1\n", &format!(r#"f:2: {after} 2, found "\"c,1""#));
    check("user,x,item,time\na,\"b\"c,i,1\n", &format!(r#"f:2: {after} 2, found "\"c,i,1""#));
    check(
        "user,item,time\na,\"b,1\nc,d\",2\n",
        r#"f:2: expected the item in one line, or a closing quote before its end, found "b,1\nc,d""#,
    );
    for (bytes, line, row, record) in [
        ("user,x,item,time\na,\"x,b,1\nc,x\",d,2\n", 2, 2, r#""a,\"x,b,1\nc,x\",d,2""#),
        ("user,item,time,x\na,b,1,x\n\na,b,2,\"x\nc,d,3,x\"\n", 4, 5, r#""a,b,2,\"x\nc,d,3,x\"""#),
        ("x,user,item,time\n\"x,a,b,1\nx\",c,d,2\n", 2, 2, r#""\"x,a,b,1\nx\",c,d,2""#),
        ("user,item,time,\"x\na,b,1,x\nc,d,2,x\"\n", 1, 2, r#""user,item,time,\"x\na,b,1,x\nc,d,2,x\"""#),
        ("user,x,item,time\na,\"x\nc,x,d,2\n\",b,1\n", 2, 3, r#""a,\"x\nc,x,d,2\n\",b,1""#),
        ("user,item,time,x\na,b,1,\"x\nc,d,2,\"\"\nc,d,3,x\"\n", 2, 3, r#""a,b,1,\"x\nc,d,2,\"\"\nc,d,3,x\"""#),
        // A comma of the text makes the line longer than a row.
        ("user,item,time,x\na,b,1,\"x\nc,d,2,y, z\"\n", 2, 3, r#""a,b,1,\"x\nc,d,2,y, z\"""#),
    ] {
        let expected = format!("a closing quote before the end of line {row}, a row by itself");
        check(bytes, &format!("f:{line}: expected {expected}, found {record}"));
    }
    // A line break within what is read.
    for (row, kind, found) in
        [("\"a\nb\",c,1", "user", "a\\nb"), ("a,\"b\n\",1", "item", "b\\n"), ("a,b,\"\n1\"", "timestamp", "\\n1")]
    {
        check(
            &format!("user,item,time\na,b,1\n{row}\n"),
            &format!(r#"f:3: expected the {kind} in one line, or a closing quote before its end, found "{found}""#),
        );
    }
    // The opening quote is what is missing.
    check("user,item,time\na,b\",1\n", r#"f:2: expected field 2 wholly in quotes or without any, found "b\"""#);
}

#[test]
fn quotes_of_a_tsv() {
    let check = |bytes: &str, expected: &str| assert_message(bytes, &tsv(), expected);
    check("user\titem\ttime\na\t\"b\n\"\t1\n", r#"f:2: expected 3 fields, as in the first line, found 2 in "a\t\"b""#);
    check(
        "user\titem\ttime\tx\na\tb\t1\t\"x\ny\"\n",
        r#"f:3: expected 4 fields, as in the first line, found 1 in "y\"""#,
    );
    check(
        "user\tx\titem\ttime\na\t\"b\tc\"\n",
        r#"f:2: expected 4 fields, as in the first line, found 2 in "a\t\"b\tc\"""#,
    );
}

#[test]
fn characters_that_cannot_be_seen() {
    let kinds = [
        ("an\0n", "U+0000 at offset 2 of \"an\\0n\""),
        ("\u{1b}ann", "U+001B at offset 0 of \"\\u{1b}ann\""),
        ("ann\u{7f}", "U+007F at offset 3 of \"ann\\u{7f}\""),
        ("a\u{b}nn", "U+000B at offset 1 of \"a\\u{b}nn\""),
        ("ann\u{feff}b", "U+FEFF at offset 3 of \"ann\\u{feff}b\""),
        ("é\u{200b}b", "U+200B at offset 2 of \"é\\u{200b}b\""),
        ("a\u{200d}b", "U+200D at offset 1 of \"a\\u{200d}b\""),
        ("a\rb", "U+000D at offset 1 of \"a\\rb\""),
    ];
    for (id, found) in kinds {
        for (kind, user, item) in [("user", id, "b"), ("item", "a", id)] {
            let expected = format!("f:2: expected a {kind} id without characters that cannot be seen, found {found}");
            assert_message(format!("a::b::1::1\n{user}::{item}::1::1\n"), &dat(), &expected);
            assert_message(format!("user,item,time\n{user},{item},1\n"), &csv(), &expected);
            assert_message(format!("user,item,time\n\"{user}\",\"{item}\",1\n"), &csv(), &expected);
            assert_message(format!("user\titem\ttime\n{user}\t{item}\t1\n"), &tsv(), &expected);
        }
    }
    for id in [" ", "\u{feff}", "\u{200b} \u{a0}"] {
        assert_message(format!("{id}::b::1::1\n"), &dat(), "f:1: expected a text as user id, found an empty field");
    }
    let expected = format!(r#"f:2: {A_TIME} "1\u{{200b}}7""#);
    assert_message("user,item,time\na,b,1\u{200b}7\n", &csv(), &expected);
}

#[test]
fn bytes_that_are_not_utf8() {
    assert_message(
        b"a::b::1::1\na::caf\xe9::1::1\n",
        &dat(),
        "f:2: expected UTF-8 text, or a declared encoding (--encoding latin1), found byte 0xE9 at offset 6 of \
         \"a::caf\\xe9::1::1\"",
    );
    assert_message(
        b"user,item,time\na,caf\xe9,1\n",
        &csv(),
        "f:2: expected UTF-8 text, or a declared encoding (--encoding latin1), found byte 0xE9 at offset 3 of \
         \"caf\\xe9\"",
    );
}

#[test]
fn headers() {
    let [(_, users), (_, items), ..] = Column::usual_names();
    for (kind, names, header) in [
        ("item", &items, "user,thing,time"),
        ("user", &users, "user|item|time"),
        ("user", &users, "\x1b[31m\0,item,time"),
        ("user", &users, "a,b,1"),
    ] {
        let found = header.replace(',', ", ").replace('\0', "\\0").replace('\x1b', "\\u{1b}");
        let expected = format!(
            "a column with the {kind}, named {names}, found the columns \"{found}\"; others can be named (--columns)"
        );
        assert_message(format!("{header}\na,b,1\n"), &csv(), &format!("f: expected {expected}"));
    }
    let named = Columns { timestamp: Column::Name("when".into()), ..Columns::default() };
    assert_message(
        "user,item,When\na,b,1\n",
        &with_columns(Format::Csv, named),
        "f: expected a column \"when\" with the timestamp, found the columns \"user, item, When\"; others can be \
         named (--columns)",
    );
    assert_message(
        "a,b,1\n",
        &with_columns(Format::Csv, positions(0, 3, 2)),
        "f: expected the item in column 3, counted from 0, found the columns \"a, b, 1\"; others can be named \
         (--columns)",
    );
    // A first row taken for a header would be lost without a word.
    assert_message(
        "a,b,1\nc,d,2\n",
        &with_columns(Format::Csv, Columns { header: true, ..positions(0, 1, 2) }),
        r#"f:1: expected a header that names the timestamp (or --no-header), found "1""#,
    );
}

#[test]
fn a_column_that_is_there_twice() {
    assert_message(
        "user,item,time,time\na,b,1,2\n",
        &csv(),
        "f: expected one column with the timestamp, or the choice of one by name or position (--columns), \
         found \"time\" in column 2 and \"time\" in column 3, counted from 0",
    );
}

#[test]
fn columns_that_contradict_each_other() {
    assert_message(
        "a,b,1\n",
        &with_columns(Format::Csv, positions(0, 2, 2)),
        "f: expected user, item and timestamp in three columns, found them in columns 0, 2 and 2, counted from 0",
    );
    assert_message(
        "a,b,1\n",
        &with_columns(Format::Csv, Columns { header: false, ..Columns::default() }),
        "stream/read: `columns` must be positions (--columns 0,1,2), as the file has no header, got the user by name",
    );
}

#[test]
fn files_without_rows() {
    for format in [dat(), csv(), tsv()] {
        for bytes in ["", "\n\r\n", "\u{feff}", " \n", "\u{feff}\n\u{a0}\u{feff}\n"] {
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
    for format in [dat(), csv(), tsv()] {
        let expected = format!("f:2: expected a line of at most 1 MiB, found \"{start}\"…");
        assert_message(format!("\n{long}\n"), &format, &expected);
    }
    let open = format!("user,item,time\na,b,1\na,\"b,1\n{}", "c,d,2\n".repeat(400_000));
    assert_message(open, &csv(), "f:3: expected a closing quote within 1 MiB, found none");
}

#[test]
fn binary_files() {
    let shown = r#""\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0\u{3}\0>\0\u{1}\0""#;
    let elf = b"\x7fELF\x02\x01\x01\0\0\0\x03\0>\0\x01\0";
    assert_message(
        elf,
        &dat(),
        &format!("f:1: expected 4 fields, user::item::rating::unix_seconds, found 1 in {shown}"),
    );
    let utf16: Vec<u8> = "\u{feff}a::b::1::1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = read_bytes(utf16, dat()).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "f:1: expected UTF-8 text, or a declared encoding (--encoding latin1), found byte 0xFF at offset 0 of"
        ),
        "{error}"
    );
    // Zeros without end stop at the bound.
    let error = read_from(std::io::repeat(0), Path::new("f"), csv()).unwrap_err();
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

/// A name from outside cannot rewrite the screen.
#[test]
fn names_of_files_are_escaped() {
    for name in ["\u{1b}[2J\n.csv", "a\u{202e}b.csv"] {
        for bytes in ["", "user,item,time\na,b\n"] {
            let error = read_from(bytes.as_bytes(), Path::new(name), csv()).unwrap_err().to_string();
            assert!(!error.contains(['\u{1b}', '\n', '\u{202e}']), "{error:?}");
            assert!(error.contains("\\u{1b}[2J\\n.csv:") || error.contains("a\\u{202e}b.csv:"), "{error:?}");
        }
    }
    let error = read("\u{1b}[2J", csv()).unwrap_err().to_string();
    assert!(error.starts_with("\\u{1b}[2J: "), "{error:?}");
}

#[test]
fn unreadable_inputs() {
    for (bytes, format) in [("", csv()), ("user,item,time\na,b,1\n", csv()), ("a::b::1::1\n", dat())] {
        let error = read_from(Breaks(bytes.as_bytes()), Path::new("f"), &format).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(error.to_string(), "f: the cable is out");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.csv");
    match read(&path, csv()).unwrap_err() {
        Error::Io { file, .. } => assert_eq!(file, path),
        error => panic!("{error}"),
    }
}
