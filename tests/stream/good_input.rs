//! What the formats allow.

use std::io::{Read, Result as IoResult};
use std::path::Path;

use scall_gpu::stream::{Column, Columns, Format, Interactions, read, read_from};

use crate::{csv, positions, read_bytes, rows, tsv};

const EXPECTED: [(&str, &str, i64); 3] = [("bob", "tea", 10), ("ann", "tea", 20), ("ann", "jam", 20)];

fn assert_reads(bytes: &str, format: &Format) {
    match read_bytes(bytes, format) {
        Ok(data) => assert_eq!(rows(&data), EXPECTED, "{bytes:?}"),
        Err(error) => panic!("{error} in {bytes:?}"),
    }
}

#[test]
fn double_colon() {
    assert_reads("ann::tea::5::20\nann::jam::3.5::20\nbob::tea::-1::10\n", &Format::DoubleColon);
    assert_reads("\u{feff}\r\nann::tea::5::20\r\n\r\n ann :: jam::3::20\r\nbob::tea::1::10", &Format::DoubleColon);
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
    // Bytes that are not UTF-8 do no harm in a column that is not read.
    let latin = b"user,title,item,time\nann,caf\xe9,tea,20\nann,,jam,20\nbob,,tea,10";
    assert_eq!(rows(&read_bytes(latin, &csv()).unwrap()), EXPECTED);
}

#[test]
fn chosen_columns() {
    let file = "20|x,ann,tea,20\n20|x,ann,jam,20\n10|x,bob,tea,10\n";
    assert_reads(file, &Format::Csv(positions(1, 2, 3)));
    let by_name = Columns { user: Column::Name("who".into()), item: Column::Position(0), ..Columns::default() };
    assert_reads("a,user,who,time\ntea,x,ann,20\njam,x,ann,20\ntea,x,bob,10", &Format::Csv(by_name));
    let skips_header = Columns { header: true, ..positions(0, 1, 2) };
    assert_reads("a,b,c\nann,tea,20\nann,jam,20\nbob,tea,10", &Format::Csv(skips_header));
}

#[test]
fn equal_times_keep_the_order_of_the_file() {
    let file: String = (0..500).map(|i| format!("u{i}::i{}::1::{}\n", 499 - i, i / 100 % 2)).collect();
    let data = read_bytes(&file, &Format::DoubleColon).unwrap();
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
    let file = "\u{feff}user,item,timestamp\r\nann,\"tea\n\n\",20\r\n\r\nbob,tea,10";
    let whole = read_bytes(file, &csv()).unwrap();
    let trickled = read_from(Trickle(file.as_bytes()), Path::new("f"), &csv()).unwrap();
    assert_eq!(whole, trickled);
    assert_eq!(rows(&whole), [("bob", "tea", 10), ("ann", "tea", 20)]);
}

#[test]
fn a_file_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tsv");
    std::fs::write(&path, "user\titem\ttime\nann\ttea\t20\nann\tjam\t20\nbob\ttea\t10\n").unwrap();
    let data = read(&path, &Format::guess(&path).unwrap()).unwrap();
    assert_eq!(rows(&data), EXPECTED);
    assert_eq!(data, Interactions::from_rows([EXPECTED[1], EXPECTED[2], EXPECTED[0]]).unwrap());
}
