//! What the formats allow.

use std::io::{Read, Result as IoResult};
use std::path::Path;

use scall_gpu::stream::{Column, Columns, Format, Interactions, ReadOptions, read, read_from};

use crate::{csv, dat, positions, read_bytes, rows, tsv, with_columns};

const EXPECTED: [(&str, &str, i64); 3] = [("bob", "tea", 10), ("ann", "tea", 20), ("ann", "jam", 20)];

fn assert_reads(bytes: &str, format: &ReadOptions) {
    match read_bytes(bytes, format) {
        Ok(data) => assert_eq!(rows(&data), EXPECTED, "{bytes:?}"),
        Err(error) => panic!("{error} in {bytes:?}"),
    }
}

#[test]
fn double_colon() {
    assert_reads("ann::tea::5::20\nann::jam::3.5::20\nbob::tea::-1::10\n", &dat());
    assert_reads("\u{feff}\r\nann::tea::5::20\r\n\r\n ann :: jam::3::20\r\nbob::tea::1::10", &dat());
}

#[test]
fn csv_and_tsv() {
    assert_reads("user,item,timestamp\nann,tea,20\nann,jam,20\nbob,tea,10\n", &csv());
    assert_reads("\u{feff}timestamp,movieId,userId\r\n20,tea,ann\r\n\r\n20,jam,ann\r\n10,tea,bob", &csv());
    assert_reads(
        "\n\"user\",note,\"item\",time\n\"ann\",\"a, \"\"b\"\"\n\nc\",tea,20\nann,,jam,20\nbob,x,tea,10",
        &csv(),
    );
    assert_reads("Customer ID\tproduct_id\tunix_seconds\nann\ttea\t20\nann\tjam\t20\nbob\t\"tea\"\t10\n", &tsv());
    // Line breaks of a text that is not read, in the first column, in the middle, in the last; no line of them is a
    // row.
    assert_reads("n,user,item,time\n\"a\n\nb\",ann,tea,20\n\"\",ann,jam,20\n\"1, 2\n3, 4\",bob,tea,10", &csv());
    assert_reads("user,n,item,time\nann,\"a\nb\n\",tea,20\r\nann,\"\n\",jam,20\nbob,,tea,10", &csv());
    assert_reads("user,item,time,n\nann,tea,20,\"a\n\"\nann,jam,20,\"1\r\n2, 3\"\nbob,tea,10,", &csv());
    // White space around quotes, and a quote in a text that is not read.
    assert_reads("user, item, n, time\nann, \"tea\" , 5\" x 7\",20\nann,jam,x\",20\n \"bob\",tea,,10\t", &csv());
    // Bytes that are not UTF-8 do no harm in a column that is not read.
    let latin = b"user,title,item,time\nann,caf\xe9,tea,20\nann,,jam,20\nbob,,tea,10";
    assert_eq!(rows(&read_bytes(latin, csv()).unwrap()), EXPECTED);
}

#[test]
fn quotes_of_a_tsv_are_text_but_around_a_field() {
    let head = "user\titem\ttime\tnote\n";
    for (field, expected) in [
        ("\"Heroes", "\"Heroes"),
        ("Low\"", "Low\""),
        ("7\" single", "7\" single"),
        ("\"a\" b \"c\"", "\"a\" b \"c\""),
        ("\"Low\"", "Low"),
        ("\"a \"\"b\"\"\"", "a \"b\""),
        ("\"a b\" ", "a b"),
        ("\"", "\""),
    ] {
        let file = format!("{head}ann\t{field}\t1\t\"\nbob\t{field}\t2\t\"x\ty\"\n");
        let data = read_bytes(file, tsv()).unwrap();
        assert_eq!(rows(&data), [("ann", expected, 1), ("bob", expected, 2)]);
    }
}

#[test]
fn tabs_within_quotes_are_text_where_there_are_too_many() {
    let file = "user\tnote\titem\ttime\nann\t\"a\tb\"\ttea\t20\nann\t\"a\tjam\t20\nbob\t\"\t\t\"\t\"tea\"\t10\n";
    assert_reads(file, &tsv());
    // Here every tab parts two fields, and the quotes, one in a name and one in another, are text.
    let data = read_bytes("user\tnote\titem\ttime\nann\t\"Heroes\tLow\"\t20\n", tsv()).unwrap();
    assert_eq!(rows(&data), [("ann", "Low\"", 20)]);
}

#[test]
fn invisible_characters_at_the_ends_are_trimmed() {
    // Two files, each with a byte order mark, joined.
    let file = "\u{feff}1::10::5::1\n2::11::4::2\n1::12::4::3\n";
    let data = read_bytes(file.repeat(2), dat()).unwrap();
    assert_eq!((data.len(), data.user_count(), data.item_count()), (6, 2, 3));
    for blank in ["\u{feff}", "\u{200b}", "\u{a0}", "\u{3000}", "\u{2009}", "\u{2060}", "\t", " "] {
        let pad = |text: &str| format!("{blank}{text}{blank}");
        let row = |delimiter: &str| {
            let fields = [["ann", "tea", "5", "20"], ["ann", "jam", "5", "20"], ["bob", "tea", "5", "10"]];
            fields.map(|row| row.map(pad).join(delimiter)).join("\n")
        };
        assert_reads(&row("::"), &dat());
        assert_reads(&format!("{}\n{blank}\n{}", ["user", "item", "x", "time"].map(pad).join(","), row(",")), &csv());
        if blank != "\t" {
            assert_reads(&format!("{}\n{}", ["user", "item", "x", "time"].map(pad).join("\t"), row("\t")), &tsv());
            let quoted = |text| pad(&format!("\"{}\"", pad(text)));
            let file = [["user", "item", "time"], ["ann", "tea", "20"], ["ann", "jam", "20"], ["bob", "tea", "10"]];
            assert_reads(&file.map(|row| row.map(quoted).join(",")).join("\n"), &csv());
        }
    }
}

#[test]
fn what_shapes_its_neighbours_is_text() {
    // A word of Persian with a non-joiner, a family, a heart in colour, and spaces of other widths.
    let ids = ["می\u{200c}خواهم", "👨\u{200d}👩\u{200d}👧", "❤\u{fe0f}", "山田\u{3000}太郎", "100\u{a0}%"];
    let file: String = ids.iter().map(|id| format!("{id}::x::1::1\n")).collect();
    let data = read_bytes(file, dat()).unwrap();
    assert_eq!(data.user_names().iter().collect::<Vec<_>>(), ids);
}

#[test]
fn chosen_columns() {
    let file = "20|x,ann,tea,20\n20|x,ann,jam,20\n10|x,bob,tea,10\n";
    assert_reads(file, &with_columns(Format::Csv, positions(1, 2, 3)));
    let by_name = Columns { user: Column::Name("who".into()), item: Column::Position(0), ..Columns::default() };
    assert_reads("a,user,who,time\ntea,x,ann,20\njam,x,ann,20\ntea,x,bob,10", &with_columns(Format::Csv, by_name));
    let skips_header = Columns { header: true, ..positions(0, 1, 2) };
    assert_reads("a,b,c\nann,tea,20\nann,jam,20\nbob,tea,10", &with_columns(Format::Csv, skips_header));
}

#[test]
fn equal_times_keep_the_order_of_the_file() {
    let file: String = (0..500).map(|i| format!("u{i}::i{}::1::{}\n", 499 - i, i / 100 % 2)).collect();
    let data = read_bytes(&file, dat()).unwrap();
    let users: Vec<&str> = data.user_names().iter().collect();
    let (even, odd): (Vec<u32>, Vec<u32>) = (0..500).partition(|i| i / 100 % 2 == 0);
    assert_eq!(users, even.into_iter().chain(odd).map(|i| format!("u{i}")).collect::<Vec<_>>());
    assert_eq!(data.users(), (0..500).collect::<Vec<u32>>());
}

/// An input that comes byte by byte, as from a slow pipe.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let room = buffer.len().min(1);
        self.0.read(&mut buffer[..room])
    }
}

#[test]
fn the_size_of_reads_does_not_matter() {
    let file = "\u{feff}user,note,item,timestamp\r\nann,\"a\n\nb\",tea,20\r\n\r\nbob,,tea,10";
    let whole = read_bytes(file, csv()).unwrap();
    let trickled = read_from(Trickle(file.as_bytes()), Path::new("f"), csv()).unwrap();
    assert_eq!(whole, trickled);
    assert_eq!(rows(&whole), [("bob", "tea", 10), ("ann", "tea", 20)]);
}

#[test]
fn a_file_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tsv");
    std::fs::write(&path, "user\titem\ttime\nann\ttea\t20\nann\tjam\t20\nbob\ttea\t10\n").unwrap();
    let data = read(&path, ReadOptions::default()).unwrap();
    assert_eq!(rows(&data), EXPECTED);
    assert_eq!(data, Interactions::from_rows([EXPECTED[1], EXPECTED[2], EXPECTED[0]]).unwrap());
}
