//! Clicks and non-clicks, told by ratings.

use proptest::collection::vec;
use proptest::prelude::*;
use scall_gpu::stream::{Column, Columns, Dedup, Format, Interactions, ReadOptions, decayed_counts, item_counts};
use scall_gpu::stream::{read_all, read_from};

use crate::{csv, dat, read_bytes, rows, with_columns};

fn from(least: f64, options: ReadOptions) -> ReadOptions {
    ReadOptions { clicks: Some(least), ..options }
}

/// The users of the clicks, and those of the others.
fn users(data: &Interactions) -> [String; 2] {
    [true, false].map(|clicked| {
        let of = (0..data.len()).filter(|&row| data.clicked(row) == clicked);
        data.pairs(of).filter_map(|(user, _)| data.user_names().get(user)).collect()
    })
}

#[test]
fn every_reader_of_ratings_tells_them() {
    let rated = |name: &str| Columns { rating: Column::Name(name.into()), ..Columns::default() };
    for (options, file) in [
        (csv(), "user,item,time,rating\na,x,3,7\nb,x,1,6.9\nc,x,2,10\nd,x,0,0\n"),
        (csv(), "User ID,item,Stars,time\na,x,7.0,3\nb,x,6,1\nc,x,\" 8 \",2\nd,x,-1,0\n"),
        (with_columns(Format::Csv, rated("grade")), "user,item,grade,time\na,x,7,3\nb,x,6,1\nc,x,8,2\nd,x,1,0\n"),
        (Format::Tsv.into(), "user\titem\tscore\ttime\na\tx\t7\t3\nb\tx\t6\t1\nc\tx\t8\t2\nd\tx\t1\t0\n"),
        (Format::Semicolon.into(), "user;item;overall;time\na;x;7;3\nb;x;6;1\nc;x;8;2\nd;x;1;0\n"),
        (
            Format::Inter.into(),
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\na\tx\t7\t3\nb\tx\t6\t1\nc\tx\t8\t2\n\
             d\tx\t1\t0\n",
        ),
        (Format::UData.into(), "a\tx\t7\t3\nb\tx\t6\t1\nc\tx\t8\t2\nd\tx\t1\t0\n"),
        (dat(), "a::x::7::3\nb::x::6::1\nc::x::8::2\nd::x::1::0\n"),
        (
            Format::Json.into(),
            "{\"user\":\"a\",\"item\":\"x\",\"rating\":7,\"ts\":3}\n\
             {\"user\":\"b\",\"item\":\"x\",\"rating\":6.5,\"ts\":1}\n\
             {\"user\":\"c\",\"item\":\"x\",\"rating\":\"8\",\"ts\":2}\n\
             {\"user\":\"d\",\"item\":\"x\",\"rating\":1,\"ts\":0}\n",
        ),
    ] {
        let data = read_bytes(file, from(7.0, options.clone())).unwrap();
        assert_eq!(users(&data), ["ca", "db"], "{options:?}");
        assert_eq!((data.non_click_count(), data.has_non_clicks()), (2, true));
        // Without a threshold all are clicks, and the rest is the same.
        let plain = read_bytes(file, options.clone()).unwrap();
        assert_eq!((users(&plain), rows(&plain)), (["dbca".into(), String::new()], rows(&data)), "{options:?}");
        assert!(plain != data && !plain.has_non_clicks());
        // The other filters go first, and what is kept keeps its bit.
        let kept = read_bytes(file, ReadOptions { min_rating: Some(5.0), ..from(7.0, options) }).unwrap();
        assert_eq!(users(&kept), ["ca", "b"]);
    }
}

#[test]
fn the_report_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.dat");
    std::fs::write(&path, "a::x::7::3\nb::x::6::1\nb::y::9::2\n").unwrap();
    let (_, report) = read_all(&[&path], from(7.0, dat())).unwrap();
    assert_eq!(report.non_clicks, 1);
    assert!(report.to_string().ends_with("\n1 rows are non-clicks by their rating"), "{report}");
    let (_, report) = read_all(&[&path], dat()).unwrap();
    assert!(report.non_clicks == 0 && !report.to_string().contains("click"), "{report}");
}

#[test]
fn what_is_wrong_is_named() {
    let error = |file: &str, options: ReadOptions| read_bytes(file, options).unwrap_err().to_string();
    let threshold = "stream/read: `clicks` must be a rating that some rows reach and others do not, got";
    let file = "user,item,time,rating\na,x,3,7\nb,x,1,6\n";
    assert_eq!(error(file, from(8.0, csv())), format!("{threshold} 8, which makes 0 clicks and 2 non-clicks"));
    assert_eq!(error(file, from(6.0, csv())), format!("{threshold} 6, which makes 2 clicks and 0 non-clicks"));
    assert_eq!(
        error("user,item,time\na,x,1\n", from(7.0, csv())),
        "f: expected a column with the rating, named rating, stars, overall, score, found the columns \"user, item, \
         time\"; others can be named (--columns)"
    );
    let json = "{\"user\":\"a\",\"item\":\"x\",\"rating\":7,\"ts\":3}\n{\"user\":\"b\",\"item\":\"x\",\"ts\":1}\n";
    for (file, options, said) in [
        ("user,item,time,rating\na,x,3,7\nb,x,1,\n", csv(), "f:3: expected a number as rating, found \"\""),
        ("user,item,time,rating\na,x,3,good\n", csv(), "f:2: expected a number as rating, found \"good\""),
        ("user,item,time,rating\na,x,3,NaN\n", csv(), "f:2: expected a number as rating, found \"NaN\""),
        ("a::x::7::3\nb::x::::1\n", dat(), "f:2: expected a number as rating, found \"\""),
        (json, Format::Json.into(), "f:2: expected a number as rating, found \"\""),
    ] {
        assert_eq!(error(file, from(7.0, options)), said);
    }
    assert_eq!(error(file, from(f64::INFINITY, csv())), "stream/read: `clicks` must be finite, got inf");
    let mut data = Interactions::from_rows([("a", "x", 1)]).unwrap();
    let error = data.mark_non_clicks([0, 1]).unwrap_err().to_string();
    assert_eq!(error, "stream/mark_non_clicks: `rows[1]` is row 1, but the table has 1 rows");
    assert!(!data.has_non_clicks());
}

#[test]
fn what_is_popular_is_what_was_clicked() {
    let mut data = Interactions::from_rows([("a", "x", 1), ("a", "y", 2), ("b", "x", 3), ("b", "y", 4)]).unwrap();
    data.mark_non_clicks([1, 2]).unwrap();
    assert_eq!(item_counts(&data, 0..4), [1, 1]);
    assert_eq!(item_counts(&data, 1..4), [0, 1]);
    // A non-click weighs nothing, but is a row of the time that goes by.
    assert_eq!(decayed_counts(&data, 4, 1.0), [0.125, 1.0]);
}

proptest! {
    /// Whatever is sorted, left out and parsed ahead, each row keeps its own rating's bit: the user names it.
    #[test]
    fn bits_follow_their_rows(
        drawn in vec((0..9u8, 0..9u32, prop_oneof![0..9u64, 0..253_402_300_799u64]), 2..200),
        times in 1..40usize,
        first in any::<bool>(),
        k_core in 1..3u32,
    ) {
        let line = |(rating, item, time): &(u8, u32, u64)| format!("{rating}-{item},i{item},{rating},{time}\n");
        let lines: String = drawn.iter().map(line).collect();
        let file = format!("user,item,rating,time\n{}", lines.repeat(times));
        let dedup = if first { Dedup::First } else { Dedup::All };
        let options = ReadOptions { dedup, k_core: Some(k_core), ..from(4.0, csv()) };
        // What has no click or no non-click is refused, which another test looks at.
        if let Ok(data) = read_from(file.as_bytes(), std::path::Path::new("f"), options) {
            let clicked = |row: usize| data.user_names().get(data.users()[row]).unwrap().as_bytes()[0] >= b'4';
            prop_assert!((0..data.len()).all(|row| data.clicked(row) == clicked(row)));
            let mut plain = Interactions::from_rows(rows(&data)).unwrap();
            plain.mark_non_clicks((0..data.len()).rev().filter(|&row| !clicked(row))).unwrap();
            prop_assert_eq!(plain, data);
        }
    }
}
