//! Arbitrary and damaged files: no panic, and every error says where.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use scall_gpu::Error;
use scall_gpu::stream::{Column, Columns, Format, ReadOptions};

use crate::{csv, dat, positions, read_bytes, tsv, with_columns};

fn formats() -> [ReadOptions; 10] {
    let named = Columns { user: Column::Name("a".into()), item: Column::Position(0), ..Columns::default() };
    [
        dat(),
        csv(),
        tsv(),
        with_columns(Format::Csv, named),
        with_columns(Format::Csv, positions(0, 1, 2)),
        with_columns(Format::Tsv, positions(2, 0, 1)),
        Format::Semicolon.into(),
        Format::Inter.into(),
        Format::UData.into(),
        Format::Json.into(),
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
        assert!(message.starts_with("f:") && message.len() < 3000, "{message}");
        assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
        match error {
            Error::BadRow { line, .. } => assert!(1 <= line && line <= lines, "{message}"),
            Error::BadFile { .. } => {}
            Error::Io { .. } => assert!(message.contains("data that are damaged or end too soon"), "{message}"),
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
    b";",
    b"user_id:token\titem_id:token\ttimestamp:float\n",
    b"a\tb\t3\t4\n",
    b"{\"user\":1,\"item\":\"b\",\"ts\":2}\n",
    b"{",
    b"}",
    b"2018-07-07",
    b"1.5",
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
    b"BZh91AY&SY",
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

/// Lines of a CSV file with a note that is not read, and how many rows they are.
fn line() -> impl Strategy<Value = (&'static str, usize)> {
    select(
        &[
            ("a,,b,1", 1),
            ("\"a\",\"x\nx\",\"b\",2", 1),
            ("a,\"x\n\n \n\"\"x\",b,\"3\"", 1),
            ("\"a\",\"\n\nx, y, z\",b,4", 1),
            ("", 0),
            (" ", 0),
            ("\u{feff}", 0),
            ("\r\n\n", 0),
        ][..],
    )
}

/// Lines that are no row of that file.
const BAD: &[&str] =
    &["a,,b", "a,,b,x", ",,b,1", "\"\n\",,b,1", "a,,b,\"\n7\n7\"", "a,\"\n\"x,b,1", "a,\"x\nb,x,c,1\n\",b,1"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn line_numbers_are_exact(
        before in vec((line(), any::<bool>()), 0..20),
        after in vec((line(), any::<bool>()), 0..5),
        bad in select(BAD),
    ) {
        let ended = |lines: &[((&str, usize), bool)]| -> String {
            lines.iter().map(|((text, _), carriage)| format!("{text}{}\n", if *carriage { "\r" } else { "" })).collect()
        };
        let start = format!("user,note,item,time\n{}", ended(&before));
        let rows: usize = before.iter().map(|((_, rows), _)| rows).sum();
        if rows > 0 {
            prop_assert_eq!(read_bytes(&start, csv()).unwrap().len(), rows);
        }
        let expected = start.matches('\n').count() as u64 + 1;
        match read_bytes(format!("{start}{bad}\n{}", ended(&after)), csv()) {
            Err(Error::BadRow { line, .. }) => prop_assert_eq!(line, expected),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// How a writer of CSV leaves a text, where it has to be in quotes or where it pleases.
fn written(text: &str, delimiter: char, anyway: bool) -> String {
    match anyway || text.contains([delimiter, '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Rows of a user, a note that is not read, an item, a time and another note, a line each; `true` puts a field in
/// quotes.
fn noted_rows() -> impl Strategy<Value = Vec<[(String, bool); 5]>> {
    let seldom = || proptest::bool::weighted(0.2);
    let note = || (prop_oneof!["[ab]{0,2}", "[ab\", ]{0,5}"], seldom());
    let id = || ("[a-c]{1,2}", seldom());
    let time = (0..30u32, seldom()).prop_map(|(time, quoted)| (time.to_string(), quoted));
    vec((id(), note(), id(), time, note()).prop_map(|(a, b, c, d, e)| [a, b, c, d, e]), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// Quotes that come or go make an error or leave every row where it was: none is lost, and none becomes part of
    /// another.
    #[test]
    fn a_line_is_a_row_whatever_happens_to_quotes(
        rows in noted_rows(),
        edits in vec((any::<Index>(), any::<bool>()), 0..4),
        delimiter in select(&[',', '\t'][..]),
        order in Just([0, 1, 2, 3, 4]).prop_shuffle(),
    ) {
        let format = if delimiter == ',' { csv() } else { tsv() };
        let names = ["user", "note", "item", "time", "other"].map(|name| (name.to_owned(), false));
        let mut file: String = std::iter::once(&names)
            .chain(&rows)
            .map(|row| {
                let fields = order.map(|k| written(&row[k].0, delimiter, row[k].1));
                fields.join(&delimiter.to_string()) + "\n"
            })
            .collect();
        let whole = read_bytes(&file, &format);
        prop_assert_eq!(whole.unwrap().len(), rows.len());
        for (at, insert) in &edits {
            let all = |wanted: &[char]| file.match_indices(wanted).map(|(at, _)| at).collect::<Vec<_>>();
            let (quotes, ends) = (all(&['"']), all(&[delimiter, '\n']));
            if *insert || quotes.is_empty() {
                // Before or after what ends a field, where a quote does most, but not after the last line.
                let at = at.index(2 * ends.len() - 1);
                file.insert(ends[at / 2] + at % 2, '"');
            } else {
                file.remove(quotes[at.index(quotes.len())]);
            }
        }
        let lines = file.lines().filter(|line| !line.trim().is_empty()).count() - 1;
        if let Ok(data) = read_bytes(&file, &format) {
            prop_assert_eq!(data.len(), lines, "{}", file);
        }
    }
}
