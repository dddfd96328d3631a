//! Parquet, with the feature `parquet`: `cargo test --features parquet --test stream parquet`.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use scall_gpu::stream::{Dedup, Format, Interactions, ReadOptions, read, read_from};

use crate::{packed::packed, read_bytes, rows};

/// A column's values, and which rows have one.
enum Values {
    Texts(Vec<&'static str>),
    Ints(Vec<i32>),
    Longs(Vec<i64>),
    Doubles(Vec<f64>),
    Truths(Vec<bool>),
}

/// A file of one or two groups of rows.
fn file(schema: &str, columns: &[(Values, Option<Vec<i16>>)], groups: usize, compression: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {schema} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for _ in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        for (values, levels) in columns {
            let mut column = group.next_column().unwrap().unwrap();
            let levels = levels.as_deref();
            match values {
                Values::Texts(texts) => {
                    let texts: Vec<ByteArray> = texts.iter().map(|&text| text.into()).collect();
                    column.typed::<ByteArrayType>().write_batch(&texts, levels, None)
                }
                Values::Ints(ints) => column.typed::<Int32Type>().write_batch(ints, levels, None),
                Values::Longs(longs) => column.typed::<Int64Type>().write_batch(longs, levels, None),
                Values::Doubles(doubles) => column.typed::<DoubleType>().write_batch(doubles, levels, None),
                Values::Truths(truths) => column.typed::<BoolType>().write_batch(truths, levels, None),
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

/// Yambda's columns.
fn listens(compression: Compression) -> Vec<u8> {
    file(
        "required int32 uid (INTEGER(32, false)); required int32 timestamp (INTEGER(32, false)); \
         required int32 item_id (INTEGER(32, false)); required boolean is_organic; required double ratio;",
        &[
            (Values::Ints(vec![100, -1]), None),
            (Values::Ints(vec![39_420, 39_415]), None),
            (Values::Ints(vec![8_326_270, 7]), None),
            (Values::Truths(vec![true, false]), None),
            (Values::Doubles(vec![0.5, 1.0]), None),
        ],
        1,
        compression,
    )
}

#[test]
fn yambda() {
    let expected = [("4294967295", "7", 39_415), ("100", "8326270", 39_420)];
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
        let bytes = listens(compression);
        // From the disk, packed on top, and from a pipe.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("listens.parquet");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(rows(&read(&path, ReadOptions::default()).unwrap()), expected);
        std::fs::write(&path, packed(&bytes, "gzip")).unwrap();
        assert_eq!(rows(&read(&path, ReadOptions::default()).unwrap()), expected);
        assert_eq!(rows(&read_bytes(&bytes, Format::Parquet).unwrap()), expected);
    }
    let organic = ReadOptions { filters: vec!["is_organic=true".parse().unwrap()], ..Format::Parquet.into() };
    assert_eq!(rows(&read_bytes(listens(Compression::SNAPPY), organic).unwrap()), expected[1..]);
}

#[test]
fn types_of_time() {
    let second = 1_700_000_000;
    for (schema, values) in [
        ("int64 ts (TIMESTAMP(MILLIS,true))", Values::Longs(vec![second * 1000 + 999])),
        ("int64 ts (TIMESTAMP(MICROS,false))", Values::Longs(vec![second * 1_000_000])),
        ("int64 ts (TIMESTAMP(NANOS,true))", Values::Longs(vec![second * 1_000_000_000])),
        ("int64 ts", Values::Longs(vec![second * 1000])),
        ("double ts", Values::Doubles(vec![second as f64 + 0.5])),
        ("binary ts (STRING)", Values::Texts(vec!["2023-11-14T22:13:20Z"])),
    ] {
        let schema = format!("required binary user (STRING); required binary item (STRING); required {schema};");
        let columns = [(Values::Texts(vec!["a"]), None), (Values::Texts(vec!["x"]), None), (values, None)];
        let data = read_bytes(file(&schema, &columns, 1, Compression::SNAPPY), Format::Parquet).unwrap();
        assert_eq!(rows(&data), [("a", "x", second)], "{schema}");
    }
    let schema = "required binary user (STRING); required binary item (STRING); required int32 t_dat (DATE);";
    let columns =
        [(Values::Texts(vec!["a"]), None), (Values::Texts(vec!["x"]), None), (Values::Ints(vec![17_794]), None)];
    let data = read_bytes(file(schema, &columns, 1, Compression::SNAPPY), Format::Parquet).unwrap();
    assert_eq!(data.timestamps(), [1_537_401_600]);
}

#[test]
fn rows_without_values_are_bad_lines() {
    let schema = "optional binary user (STRING); required binary item (STRING); required int64 time;";
    let columns = [
        (Values::Texts(vec!["a", "c"]), Some(vec![1, 0, 1])),
        (Values::Texts(vec!["x", "y", "z"]), None),
        (Values::Longs(vec![1, 2, 3]), None),
    ];
    let bytes = file(schema, &columns, 2, Compression::SNAPPY);
    let error = read_bytes(&bytes, Format::Parquet).unwrap_err().to_string();
    assert_eq!(error, "f:2: expected a value for the user, found none");
    let options = ReadOptions { skip_bad: 2, dedup: Dedup::First, ..Format::Parquet.into() };
    assert_eq!(rows(&read_bytes(&bytes, &options).unwrap()), [("a", "x", 1), ("c", "z", 3)]);
    let error = read_bytes(&bytes, ReadOptions { skip_bad: 1, ..options }).unwrap_err().to_string();
    assert!(error.starts_with("f:5: ") && error.ends_with("after 1 bad lines, which is all that may be left out"));
}

#[test]
fn nested_columns_and_lists() {
    let schema = "required group user { required int64 id; } required binary item (STRING); required int64 ts; \
                  optional group tags (LIST) { repeated group list { optional int64 element; } }";
    let names = ["user.id", "item", "ts"].map(|name| scall_gpu::stream::Column::Name(name.into()));
    let [user, item, timestamp] = names;
    let columns = scall_gpu::stream::Columns { user, item, timestamp, ..Default::default() };
    let bytes = {
        let columns =
            [(Values::Longs(vec![7]), None), (Values::Texts(vec!["x"]), None), (Values::Longs(vec![1]), None)];
        // Without the list, whose levels nobody needs here.
        let schema = &schema[..schema.find("optional group").unwrap()];
        file(schema, &columns, 1, Compression::SNAPPY)
    };
    let options = ReadOptions { columns, ..Format::Parquet.into() };
    assert_eq!(rows(&read_bytes(&bytes, &options).unwrap()), [("7", "x", 1)]);
    let error = read_bytes(&bytes, Format::Parquet).unwrap_err().to_string();
    assert!(error.contains("found the columns \"user.id, item, ts\"; others can be named (--columns)"), "{error}");
}

#[test]
fn damage_is_an_error() {
    let bytes = listens(Compression::UNCOMPRESSED);
    for end in 0..bytes.len() {
        let error = read_from(&bytes[..end], Path::new("f"), Format::Parquet).unwrap_err().to_string();
        assert!(error.starts_with("f: expected a Parquet file that can be read"), "{end}: {error}");
    }
    let error = read_bytes("user,item,time\na,b,1\n", Format::Parquet).unwrap_err().to_string();
    assert!(error.starts_with("f: expected a Parquet file that can be read"), "{error}");
}

/// Many batches.
#[test]
fn many_rows_are_the_same_as_in_other_formats() {
    let count = 30_000;
    let users: Vec<i64> = (0..count).map(|k| k * 7919 % 1009).collect();
    let items: Vec<i32> = (0..count).map(|k| (k * k % 997) as i32).collect();
    let times: Vec<i64> = (0..count).map(|k| (count - k) / 10).collect();
    let expected = users.iter().zip(&items).zip(&times);
    let expected = expected.map(|((user, item), &time)| (user.to_string(), item.to_string(), time));
    let expected = Interactions::from_rows(expected).unwrap();
    let columns = [(Values::Longs(users), None), (Values::Ints(items), None), (Values::Longs(times), None)];
    let schema = "required int64 user; required int32 item; required int64 time;";
    let bytes = file(schema, &columns, 1, Compression::SNAPPY);
    assert_eq!(read_bytes(bytes, Format::Parquet).unwrap(), expected);
}

#[test]
fn ratings_tell_clicks_from_non_clicks() {
    let schema = "required binary user (STRING); required binary item (STRING); optional double rating; \
                  required int64 time;";
    let columns = [
        (Values::Texts(vec!["a", "b", "c"]), None),
        (Values::Texts(vec!["x", "y", "z"]), None),
        (Values::Doubles(vec![7.5, 3.0]), Some(vec![1, 1, 0])),
        (Values::Longs(vec![1, 2, 3]), None),
    ];
    let bytes = file(schema, &columns, 1, Compression::SNAPPY);
    let options = ReadOptions { clicks: Some(7.0), ..Format::Parquet.into() };
    let error = read_bytes(&bytes, &options).unwrap_err().to_string();
    assert_eq!(error, "f:3: expected a number as rating, found \"\"");
    let data = read_bytes(&bytes, ReadOptions { skip_bad: 1, ..options }).unwrap();
    assert_eq!(rows(&data), [("a", "x", 1), ("b", "y", 2)]);
    assert!(data.clicked(0) && !data.clicked(1));
}
