//! Arbitrary and damaged files: no panic, and every error says where.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use scall_gpu::Error;
use scall_gpu::stream::{Column, Columns, Format};

use crate::{csv, positions, read_bytes, tsv};

fn formats() -> [Format; 6] {
    let named = Columns { user: Column::Name("a".into()), item: Column::Position(0), ..Columns::default() };
    [
        Format::DoubleColon,
        csv(),
        tsv(),
        Format::Csv(named),
        Format::Csv(positions(0, 1, 2)),
        Format::Tsv(positions(2, 0, 1)),
    ]
}

/// Reads bytes in every format and checks what comes back.
fn check(bytes: &[u8]) {
    let lines = bytes.split(|&byte| byte == b'\n').count() as u64;
    for format in formats() {
        let error = match read_bytes(bytes, &format) {
            Ok(data) => {
                assert!(!data.is_empty() && data.len() as u64 <= lines);
                assert!(data.timestamps().is_sorted());
                assert!(data.users().iter().all(|&user| user < data.user_count()));
                assert!(data.items().iter().all(|&item| item < data.item_count()));
                continue;
            }
            Err(error) => error,
        };
        let message = error.to_string();
        assert!(message.starts_with("f:") && message.len() < 1000, "{message}");
        assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
        match error {
            Error::BadRow { line, .. } => assert!(1 <= line && line <= lines, "{message}"),
            Error::BadFile { .. } => {}
            _ => panic!("{message}"),
        }
    }
}

/// Pieces that files are made of, so that random ones get past the first line.
const PIECES: &[&[u8]] = &[
    b"::",
    b":",
    b",",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\"",
    b"\"\"",
    b" ",
    b"a",
    b"7",
    b"-1",
    b"1362062307",
    b"1362062307000",
    b"user",
    b"item",
    b"timestamp",
    b"user,item,timestamp\n",
    b"user\titem\ttimestamp\n",
    b"a::b::1::2\n",
    b"a,b,3\n",
    b"a\t3\t4\n",
    b"\xEF\xBB\xBF",
    b"\xff",
    b"\xc3",
    b"\0",
    b"\x1b[31m",
];

fn valid_file() -> impl Strategy<Value = Vec<u8>> {
    let row = ("[a-z0-9]{1,4}", "[A-Z]{1,3}", 0..2_000_000_000i64);
    (select(&["::", ",", "\t"][..]), vec(row, 1..20)).prop_map(|(delimiter, rows)| {
        let mut file = match delimiter {
            "::" => String::new(),
            _ => ["user", "item", "timestamp\n"].join(delimiter),
        };
        for (user, item, timestamp) in rows {
            let rating = if delimiter == "::" { "5::" } else { "" };
            file += &format!("{user}{delimiter}{item}{delimiter}{rating}{timestamp}\n");
        }
        file.into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn likely_pieces(pieces in vec(select(PIECES), 0..60)) {
        check(&pieces.concat());
    }

    #[test]
    fn damaged_files(
        mut bytes in valid_file(),
        edits in vec((any::<Index>(), select(PIECES), 0..3usize), 1..4),
    ) {
        for (at, piece, cut) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.iter().copied());
        }
        check(&bytes);
    }
}

/// A line, or lines, of a CSV file with three columns, how many rows that is, and whether it is bad.
fn line() -> impl Strategy<Value = (&'static str, usize)> {
    select(
        &[
            ("a,b,1", 1),
            ("\"a\",\"b\nb\",2", 1),
            ("a,\"b\n\n \n\"\"b\",\"3\"", 1),
            ("\"\n\na\",b,4", 1),
            ("", 0),
            (" ", 0),
            ("\r\n\n", 0),
        ][..],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn line_numbers_are_exact(
        before in vec((line(), any::<bool>()), 0..20),
        after in vec((line(), any::<bool>()), 0..5),
        bad in select(&["a,b", "a,b,x", ",b,1", "\"\n\",b,1", "a,b,\"\n7\n7\""][..]),
    ) {
        let ended = |lines: &[((&str, usize), bool)]| -> String {
            lines.iter().map(|((text, _), carriage)| format!("{text}{}\n", if *carriage { "\r" } else { "" })).collect()
        };
        let start = format!("user,item,time\n{}", ended(&before));
        let rows: usize = before.iter().map(|((_, rows), _)| rows).sum();
        if rows > 0 {
            prop_assert_eq!(read_bytes(&start, &csv()).unwrap().len(), rows);
        }
        let expected = start.matches('\n').count() as u64 + 1;
        match read_bytes(format!("{start}{bad}\n{}", ended(&after)), &csv()) {
            Err(Error::BadRow { line, .. }) => prop_assert_eq!(line, expected),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
