//! Which rows are kept.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use scall_gpu::stream::{Dedup, Format, Interactions, ReadOptions, ReadReport, read_all};

use crate::{csv, dat, read_bytes, rows};

/// Reads a CSV from a file, with the report.
fn read(file: &str, options: &ReadOptions) -> scall_gpu::Result<(Interactions, ReadReport)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.csv");
    std::fs::write(&path, file).unwrap();
    read_all(&[path], options)
}

#[test]
fn a_least_rating() {
    let at_least = |rating| ReadOptions { min_rating: Some(rating), ..csv() };
    let file = "user,item,stars,time\na,x,4,1\nb,x,3.9,2\nc,y,5,3\n";
    let (data, report) = read(file, &at_least(4.0)).unwrap();
    assert_eq!(rows(&data), [("a", "x", 1), ("c", "y", 3)]);
    assert_eq!((report.filtered, report.left_out().as_str()), (1, "1 rows by rating or value"));
    let error = |file: &str| read_bytes(file, at_least(4.0)).unwrap_err().to_string();
    assert!(error("user,item,time\na,x,1\n").contains("a column with the rating, named rating, stars, overall, score"));
    assert_eq!(error("user,item,rating,time\na,x,good,1\n"), "f:2: expected a number as rating, found \"good\"");
    assert_eq!(
        error("user,item,rating,time\na,x,3,1\n"),
        "f: expected rows of interactions, found none that is kept: 1 rows by rating or value"
    );
    assert_eq!(
        read_bytes("a::x::5::1\nb::x::3::2\n", ReadOptions { min_rating: Some(4.0), ..dat() }).unwrap().len(),
        1
    );
    assert_eq!(
        read_bytes("a::x::5::1\n", ReadOptions { min_rating: Some(f64::NAN), ..dat() }).unwrap_err().to_string(),
        "stream/read: `min_rating` must be finite, got NaN"
    );
}

#[test]
fn values_are_alternatives_within_a_column_and_all_needed_across() {
    let with = |filters: &[&str]| {
        let filters = filters.iter().map(|filter| filter.parse().unwrap()).collect();
        ReadOptions { filters, ..csv() }
    };
    let file = "user,item,time,event,shop\na,x,1,buy,1\nb,x,2,cart, 1 \nc,x,3,view,1\nd,x,4,buy,2\n";
    let users = |filters: &[&str]| {
        let data = read_bytes(file, with(filters)).unwrap();
        data.user_names().iter().collect::<String>()
    };
    assert_eq!(users(&["event=buy"]), "ad");
    assert_eq!(users(&["event=buy", "event=cart"]), "abd");
    assert_eq!(users(&["event=cart", "shop=1", "event=buy"]), "ab");
    // What is not kept is not looked at.
    assert_eq!(read_bytes("user,item,time,e\n,x,1,no\na,x,soon,no\na,x,1,yes\n", with(&["e=yes"])).unwrap().len(), 1);
}

#[test]
fn bad_lines_are_left_out_up_to_a_number() {
    let file = "user,item,time\na,x,1\na,x\n,x,2\nb,y,soon\nb,y,5\n";
    let skip = |skip_bad| ReadOptions { skip_bad, ..csv() };
    let (data, report) = read(file, &skip(3)).unwrap();
    assert_eq!(rows(&data), [("a", "x", 1), ("b", "y", 5)]);
    assert_eq!((report.bad, report.first_bad.len()), (3, 3));
    assert!(report.first_bad[0].ends_with("f.csv:3: expected 3 fields, as in the first line, found 2 in \"a,x\""));
    let said = report.to_string();
    assert!(said.contains("left out 3 bad lines") && said.contains("f.csv:5: expected"), "{said}");
    let error = read(file, &skip(2)).unwrap_err().to_string();
    assert!(error.contains("f.csv:5:") && error.ends_with("after 2 bad lines, which is all that may be left out"));
    assert!(!read(file, &skip(0)).unwrap_err().to_string().contains("may be left out"));
    // A line that is too long is one bad line, and the next one is read.
    let long = format!("user,item,time\na,x,1\n{}\nb,y,2\n", "z".repeat(3 << 20));
    assert_eq!(rows(&read(&long, &skip(1)).unwrap().0), [("a", "x", 1), ("b", "y", 2)]);
    let exact = format!("user,item,time\na,x,1\n{}\nb,y,2\n", "z".repeat(1 << 20));
    assert_eq!(read(&exact, &skip(1)).unwrap().0.len(), 2);
    for (format, file) in [
        (Format::DoubleColon, "a::x::1::1\nbad\nb::x::1::2\n"),
        (Format::Tsv, "user\titem\ttime\na\tx\t1\nbad\nb\tx\t2\n"),
        (Format::UData, "a\tx\t1\t1\nbad\nb\tx\t1\t2\n"),
        (Format::Json, "{\"user\":\"a\",\"item\":1,\"ts\":1}\nbad\n{\"user\":\"b\",\"item\":1,\"ts\":1}\n"),
    ] {
        let options = ReadOptions { skip_bad: 1, ..format.into() };
        assert_eq!(read_bytes(file, options).unwrap().len(), 2, "{format:?}");
    }
}

#[test]
fn a_lost_quote_is_no_bad_line() {
    // What it took is more than a line, and nobody knows which rows.
    let file = "user,item,time\na,x,1\na,\"x,1\na,x,1\n";
    let error = read_bytes(file, ReadOptions { skip_bad: 99, ..csv() }).unwrap_err().to_string();
    assert_eq!(error, "f:3: expected a closing quote, found the end of the file");
}

#[test]
fn the_first_row_of_each_pair() {
    let file = "user,item,time\na,x,9\nb,x,5\na,x,1\na,y,2\nb,x,5\n";
    let (data, report) = read(file, &ReadOptions { dedup: Dedup::First, ..csv() }).unwrap();
    assert_eq!(rows(&data), [("a", "x", 1), ("a", "y", 2), ("b", "x", 5)]);
    assert_eq!(report.repeated, 2);
    assert_eq!(read(file, &csv()).unwrap().0.len(), 5);
    for name in Dedup::NAMES {
        assert_eq!(&name.parse::<Dedup>().unwrap().to_string(), name);
    }
    assert!("last".parse::<Dedup>().unwrap_err().to_string().contains("first or all"));
}

#[test]
fn a_core_that_is_empty() {
    let error = read_bytes("user,item,time\na,x,1\nb,y,1\n", ReadOptions { k_core: Some(2), ..csv() }).unwrap_err();
    assert!(error.to_string().ends_with("found none that is kept: 2 rows of users and items with too few"), "{error}");
    let error = read_bytes("user,item,time\na,x,1\n", ReadOptions { k_core: Some(0), ..csv() }).unwrap_err();
    assert_eq!(error.to_string(), "stream/read: `k_core` must be at least 1, got 0");
}

proptest! {
    /// Against the definitions: one row at a time goes, until all have enough.
    #[test]
    fn cores_and_pairs(drawn in vec((0..7u8, 0..7u8, 0..9u8), 1..60), least in 1..4u32, first in any::<bool>()) {
        let file: String = drawn.iter().map(|(user, item, time)| format!("u{user}::i{item}::1::{time}\n")).collect();
        let dedup = if first { Dedup::First } else { Dedup::All };
        let found = read_bytes(file, ReadOptions { k_core: Some(least), dedup, ..dat() });

        let mut kept = drawn.clone();
        kept.sort_by_key(|row| row.2);
        let mut known = BTreeSet::new();
        kept.retain(|row| known.insert((row.0, row.1)) || !first);
        loop {
            let (mut users, mut items) = (BTreeMap::new(), BTreeMap::new());
            for row in &kept {
                *users.entry(row.0).or_insert(0) += 1;
                *items.entry(row.1).or_insert(0) += 1;
            }
            let Some(at) = kept.iter().position(|row| users[&row.0] < least || items[&row.1] < least) else { break };
            kept.remove(at);
        }
        match found {
            Ok(data) => {
                let rows = kept.iter().map(|row| (format!("u{}", row.0), format!("i{}", row.1), i64::from(row.2)));
                prop_assert_eq!(data, Interactions::from_rows(rows).unwrap());
            }
            Err(error) => prop_assert!(kept.is_empty(), "{}", error),
        }
    }

    /// However far apart times lie, rows are in their order, and equal ones in that of the file.
    #[test]
    fn order(times in vec(prop_oneof![0..3u64, 0..253_402_300_799u64], 1..50), parts in vec(0..1_000_000u64, 50)) {
        for scale in [0, 1000, 1_000_000u64] {
            let rows: Vec<(u64, usize)> =
                times.iter().zip(&parts).map(|(time, part)| time * 1_000_000 + part * scale % 1_000_000).zip(0..)
                .collect();
            let file: String =
                rows.iter().map(|(time, k)| format!("u{k},i,{}.{:06}\n", time / 1_000_000, time % 1_000_000)).collect();
            let data = read_bytes(format!("user,item,ts\n{file}"), csv()).unwrap();
            let mut sorted = rows;
            // As exact as a float of seconds is.
            sorted.sort_by_key(|&(time, _)| ((time as f64 / 1e6) * 1e6).round() as u64);
            let names: Vec<String> = sorted.iter().map(|(_, k)| format!("u{k}")).collect();
            prop_assert_eq!(data.user_names().iter().collect::<Vec<_>>(), names);
        }
    }
}
