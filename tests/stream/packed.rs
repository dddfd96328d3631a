//! Packed files, and that what is written in any format is read as the same.

use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use scall_gpu::stream::{Format, Interactions, ReadOptions, read, read_all};

use crate::{csv, dat, read_bytes};

/// Ways to pack.
const PACKERS: [&str; 4] = ["", "gzip", "zstd", "bzip2"];

pub fn packed(bytes: &[u8], packer: &str) -> Vec<u8> {
    match packer {
        "gzip" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        "zstd" => zstd::encode_all(bytes, 1).unwrap(),
        "bzip2" => {
            let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        _ => bytes.to_owned(),
    }
}

type Row = (String, String, i64);

/// Rows as a file of a format, if the format can hold them.
fn written(format: Format, rows: &[Row]) -> Option<String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let line = |(user, item, time): &Row| match format {
        Format::DoubleColon => format!("{user}::{item}::3::{time}\n"),
        Format::Csv => format!("{},{},{time}\n", quoted(user), quoted(item)),
        Format::Semicolon => format!("{time};{};{}\n", quoted(user), quoted(item)),
        Format::Tsv => format!("{}\t{time}\t{}\n", quoted(user), quoted(item)),
        Format::Inter => format!("{}\t{}\t{time}\n", quoted(user), quoted(item)),
        Format::UData => format!("{}\t{}\t3\t{time}\n", quoted(user), quoted(item)),
        Format::Json => serde_json::json!({"user_id": user, "parent_asin": item, "ts": time}).to_string() + "\n",
        _ => String::new(),
    };
    let head = match format {
        Format::Csv => "user,item,timestamp\n",
        Format::Semicolon => "ts;user_id;item_id\n",
        Format::Tsv => "user\tt_dat\tarticle_id\n",
        Format::Inter => "user_id:token\titem_id:token\ttimestamp:float\n",
        Format::DoubleColon | Format::UData | Format::Json => "",
        _ => return None,
    };
    let fits = format != Format::DoubleColon || rows.iter().all(|row| !(row.0.clone() + &row.1).contains(':'));
    fits.then(|| head.to_owned() + &rows.iter().map(line).collect::<String>())
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9]{1,6}", "[!-~é日]([ -~é日]{0,9}[!-~é日])?"]
}

proptest! {
    #[test]
    fn what_is_written_in_any_format_is_read_as_the_same(
        rows in vec((id(), id(), 0..2_000_000_000i64), 1..30),
        packer in select(&PACKERS[..]),
    ) {
        let expected = Interactions::from_rows(rows.iter().cloned()).unwrap();
        let mut formats = 0;
        for format in Format::ALL {
            let Some(file) = written(*format, &rows) else { continue };
            let data = read_bytes(packed(file.as_bytes(), packer), format).unwrap();
            prop_assert_eq!(&data, &expected, "{:?}: {}", format, file);
            formats += 1;
        }
        prop_assert!(formats >= 6);
    }

    /// What is cut off is an error, or all rows before the cut in a file that is not packed.
    #[test]
    fn a_packed_file_that_ends_too_soon(count in 1..400usize, packer in select(&PACKERS[1..]), part in 0.0..1.0f64) {
        let file: String = (0..count).map(|k| format!("u{k}::i{}::1::{k}\n", k * k % 97)).collect();
        let bytes = packed(file.as_bytes(), packer);
        let end = (bytes.len() as f64 * part) as usize;
        let error = read_bytes(&bytes[..end], dat());
        prop_assert!(error.is_err());
        let error = error.unwrap_err().to_string();
        prop_assert!(error.starts_with("f:") && error.len() < 1000, "{}", error);
        prop_assert!(!error.contains(|c: char| c.is_control()), "{:?}", error);
    }
}

#[test]
fn damage_is_said_with_the_last_line_that_was_read() {
    let file: String = (0..50_000u64).map(|k| format!("u{k}::i{}::1::{k}\n", k * k % 97)).collect();
    for packer in &PACKERS[1..] {
        let bytes = packed(file.as_bytes(), packer);
        let error = read_bytes(&bytes[..bytes.len() / 2], dat()).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("f: {packer} data that are damaged or end too soon, after line ")),
            "{error}"
        );
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 40].fill(0x55);
        assert!(read_bytes(&damaged, dat()).is_err(), "{packer}");
    }
}

#[test]
fn the_first_bytes_tell_and_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = b"user,item,time\na,x,1\n";
    let expected = read_bytes(file, csv()).unwrap();
    for packer in PACKERS {
        for name in ["a.csv", "a.csv.gz", "a.csv.zst", "a.csv.bz2"] {
            let path = folder.path().join(name);
            std::fs::write(&path, packed(file, packer)).unwrap();
            let (data, report) = read_all(&[&path], ReadOptions::default()).unwrap();
            assert_eq!(data, expected, "{packer} as {name}");
            assert_eq!(report.packed, if packer.is_empty() { vec![] } else { vec![packer] });
        }
    }
    // Parts that were packed apart and joined.
    for packer in &PACKERS[1..] {
        let joined = [packed(b"a::x::1::1\n", packer), packed(b"b::x::1::2\n", packer)].concat();
        assert_eq!(read_bytes(joined, dat()).unwrap().len(), 2, "{packer}");
    }
}

#[test]
fn little_that_unpacks_to_much_stops_at_the_bound() {
    // 300 MB of zeros, and of one line that never ends.
    for packer in ["gzip", "zstd"] {
        for byte in [0, b'x'] {
            let piece = vec![byte; 1 << 20];
            let bytes = match packer {
                "gzip" => {
                    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    (0..300).for_each(|_| writer.write_all(&piece).unwrap());
                    writer.finish().unwrap()
                }
                _ => {
                    let mut writer = zstd::Encoder::new(Vec::new(), 1).unwrap();
                    (0..300).for_each(|_| writer.write_all(&piece).unwrap());
                    writer.finish().unwrap()
                }
            };
            assert!(bytes.len() < 3 << 20);
            for format in [Format::DoubleColon, Format::Csv, Format::Json] {
                let error = read_bytes(&bytes, format).unwrap_err().to_string();
                assert!(error.starts_with("f:1: expected a line of at most 1 MiB"), "{error}");
            }
        }
    }
}

#[test]
fn what_cannot_be_unpacked_is_named() {
    for (start, said) in [
        (&b"PK\x03\x04rest of it"[..], "expected text, found a zip archive: unpack it first"),
        (b"\xfd7zXZ\0rest of it", "expected text, found xz data: unpack them first"),
        (b"PAR1rest of it and more", "--format parquet"),
        (b"\x89HDF\r\n\x1a\nrest", "an HDF5 file"),
    ] {
        for bytes in [start.to_vec(), packed(start, "gzip")] {
            let error = read_bytes(bytes, csv()).unwrap_err().to_string();
            assert!(error.starts_with("f: ") && error.contains(said), "{error}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.csv.gz");
    std::fs::write(&path, packed(b"", "gzip")).unwrap();
    let error = read(&path, ReadOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("expected rows of interactions, found none"), "{error}");
}
