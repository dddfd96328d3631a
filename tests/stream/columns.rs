//! Formats by name, and where columns are found.

use scall_gpu::Result;
use scall_gpu::stream::{Column, Columns, Filter, Format, ReadOptions};

use crate::{csv, read_bytes, rows, with_columns};

#[test]
fn formats_by_name_and_by_the_names_of_files() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()).unwrap(), *format);
        assert_eq!(Format::from_name(&format.name().to_uppercase()).unwrap(), *format);
        assert!(format.summary().len() > 10);
    }
    for (path, format) in [
        ("a/ratings.dat", Format::DoubleColon),
        ("a.b.CSV", Format::Csv),
        ("a.tsv.gz", Format::Tsv),
        ("A.JSON.ZST", Format::Json),
        ("a.jsonl.bz2", Format::Json),
        ("a.ndjson", Format::Json),
        ("ml-100k/u.data", Format::UData),
        ("ml-100k.inter", Format::Inter),
        ("a.parquet", Format::Parquet),
    ] {
        assert_eq!(Format::guess(path).unwrap(), format, "{path}");
    }
    for path in ["a.txt", "csv", "", "a.gz", "a.csv.rar"] {
        assert_eq!(
            Format::guess(path).unwrap_err().to_string(),
            format!(
                "stream/format: `path` must be a file named .dat, .csv, .tsv, .inter, u.data, .json, .jsonl, .ndjson \
                 or .parquet, or come with a format (--format dat, csv, tsv, semicolon, inter, u.data, json or \
                 parquet), got {path:?}"
            )
        );
    }
    assert_eq!(
        Format::from_name("xml").unwrap_err().to_string(),
        "stream/format: `name` must be dat, csv, tsv, semicolon, inter, u.data, json or parquet, got \"xml\""
    );
}

/// The row of a file whose fields are their positions, as it is found by a header.
fn found(columns: &Columns, header: &[&str]) -> Result<[String; 2]> {
    let fields: Vec<String> = (0..header.len()).map(|position| (1000 + position).to_string()).collect();
    let file = format!("{}\n{}\n", header.join(","), fields.join(","));
    let data = read_bytes(file, with_columns(Format::Csv, columns.clone()))?;
    let (user, item, _) = rows(&data)[0];
    Ok([user.to_owned(), format!("{item} {}", data.timestamps()[0])])
}

#[track_caller]
fn check(columns: &Columns, header: &[&str], [user, item, time]: [usize; 3]) {
    let expected = [(1000 + user).to_string(), format!("{} {}", 1000 + item, 1000 + time)];
    assert_eq!(found(columns, header).unwrap(), expected, "{header:?}");
}

#[test]
fn usual_names() {
    let usual = Columns::default();
    check(&usual, &["userId", "movieId", "rating", "timestamp"], [0, 1, 3]);
    check(&usual, &["Unix Time", "PRODUCT_ID", "household-id"], [2, 1, 0]);
    check(&usual, &["user", "\u{feff}item\u{200b}", "\u{a0}time"], [0, 1, 2]);
    check(&usual, &["visitorid", "ts", "itemid"], [0, 2, 1]);
    let mixed = Columns { user: Column::Name("who".into()), item: Column::Position(0), ..usual.clone() };
    check(&mixed, &["user", "time", " who "], [2, 0, 1]);
    // Names that only count where there is no better one.
    check(&usual, &["user", "item", "date", "time_ms"], [0, 1, 3]);
    check(&usual, &["user", "asin", "parent_asin", "ts"], [0, 2, 3]);
    check(&usual, &["user", "asin", "date"], [0, 1, 2]);
    let kinds = Column::usual_names();
    assert_eq!(kinds.each_ref().map(|(kind, _)| *kind), ["user", "item", "timestamp", "rating"]);
    for names in [&kinds[0].1, &kinds[1].1, &kinds[2].1] {
        assert!(names.split(", ").count() > 5, "{names}");
    }
}

#[test]
fn a_name_that_is_there_twice() {
    let usual = Columns::default();
    let one = |kind| {
        format!("f: expected one column with the {kind}, or the choice of one by name or position (--columns), found")
    };
    for (header, expected) in [
        (
            &["user", "item", "time", "time"][..],
            format!(r#"{} "time" in column 2 and "time" in column 3, counted from 0"#, one("timestamp")),
        ),
        (
            &["userId", "item", "time", "x", "USER_ID ", "user"],
            format!(
                r#"{} "userId" in column 0 and "USER_ID" in column 4 and "user" in column 5, counted from 0"#,
                one("user")
            ),
        ),
        (
            &["user", "item", "movie_id", "time"],
            format!(r#"{} "item" in column 1 and "movie_id" in column 2, counted from 0"#, one("item")),
        ),
    ] {
        assert_eq!(found(&usual, header).unwrap_err().to_string(), expected);
    }
    let named = |name: &str| Columns { timestamp: Column::Name(name.into()), ..Columns::default() };
    assert_eq!(
        found(&named("t"), &["user", "t", "item", " t\u{feff}"]).unwrap_err().to_string(),
        format!(r#"{} "t" in column 1 and "t" in column 3, counted from 0"#, one("timestamp"))
    );
    // By name or position one of them is chosen, and what is not read may have any names.
    check(&named("time"), &["user", "item", "time", "timestamp", "x", "x"], [0, 1, 2]);
    let third = Columns { timestamp: Column::Position(3), ..Columns::default() };
    check(&third, &["user", "item", "time", "time"], [0, 1, 3]);
}

#[test]
fn columns_of_filters() {
    let filtered =
        |filter: &str, options: ReadOptions| ReadOptions { filters: vec![filter.parse().unwrap()], ..options };
    let file = "user,item,time,event\na,x,1,buy\nb,y,2,view\n";
    for filter in ["event=buy", "3=buy", "user=a", " event = buy ", "time=1"] {
        assert_eq!(rows(&read_bytes(file, filtered(filter, csv())).unwrap()), [("a", "x", 1)], "{filter}");
    }
    let error = read_bytes(file, filtered("kind=buy", csv())).unwrap_err().to_string();
    assert_eq!(
        error,
        "f: expected a column \"kind\" with what \"kind=buy\" asks for, found the columns \"user, item, time, event\"; \
         others can be named (--columns)"
    );
    let file = "1::x::5::1\n2::x::3::2\n";
    assert_eq!(read_bytes(file, filtered("rating=5", Format::DoubleColon.into())).unwrap().len(), 1);
    for text in ["event", "=buy", " =buy", ""] {
        let error = text.parse::<Filter>().unwrap_err().to_string();
        assert!(error.contains("column=value, such as event=buy"), "{error}");
    }
    assert_eq!("a=b=c".parse::<Filter>().unwrap().to_string(), "a=b=c");
}

#[test]
fn a_header_is_listed_whole() {
    let header: Vec<String> = (0..20).map(|k| format!("column_{k}")).collect();
    let error = read_bytes(format!("{}\n1\n", header.join(",")), csv()).unwrap_err().to_string();
    assert!(error.contains(&header.join(", ")) && error.contains("--columns"), "{error}");
    let error = read_bytes("user;item;time\n1;2;3\n", csv()).unwrap_err().to_string();
    assert!(error.contains("--format semicolon"), "{error}");
}
