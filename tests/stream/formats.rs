//! JSON lines, RecBole's files, semicolons, encodings, and several files.

use scall_gpu::Error;
use scall_gpu::stream::{Column, Columns, Encoding, Format, ReadOptions, files, read, read_all};

use crate::{read_bytes, rows, with_columns};

#[test]
fn json_lines() {
    let file = "{\"user\": \"ann\", \"item\": 7, \"ts\": 20, \"more\": {\"x\": [1]}}\n\n \
                {\"ts\": \"10\", \"item\": \"tea\", \"user\": -3}\r\n";
    assert_eq!(rows(&read_bytes(file, Format::Json).unwrap()), [("-3", "tea", 10), ("ann", "7", 20)]);
    let name = |name: &str| Column::Name(name.into());
    let nested = Columns { user: name("user.id"), item: name("item.id"), timestamp: name("ts"), ..Columns::default() };
    let file = "{\"user\":{\"id\":\"a\"},\"item\":{\"id\":\"x\"},\"ts\":1}\n\
                {\"user.id\":\"b\",\"item\":{\"id\":2},\"ts\":2.5}\n";
    let data = read_bytes(file, with_columns(Format::Json, nested.clone())).unwrap();
    assert_eq!(rows(&data), [("a", "x", 1), ("b", "2", 2)]);
    let error = |file: &str, options: ReadOptions| read_bytes(file, options).unwrap_err().to_string();
    assert_eq!(
        error("{\"user\":{\"id\":\"a\"},\"item\":{},\"ts\":1}\n", with_columns(Format::Json, nested)),
        "f:1: expected the item as the value of \"item.id\", found the keys \"item, ts, user\""
    );
    let json = || ReadOptions::from(Format::Json);
    for (line, expected) in [
        ("[1]", "f:2: expected a JSON object in each line, found \"[1]\""),
        (
            "{\"user\":",
            "f:2: expected a JSON object in each line, found \"{\\\"user\\\":\" \
             (EOF while parsing a value at column 8)",
        ),
        (
            "{\"user\":1.5,\"item\":1,\"ts\":1}",
            "f:2: expected a text or a whole number of at most 64 bits as the user, found 1.5",
        ),
        (
            "{\"user\":1,\"item\":99999999999999999999,\"ts\":1}",
            "f:2: expected a text or a whole number of at most 64 bits as the item, found 100000000000000000000.0",
        ),
        ("{\"user\":null,\"item\":1,\"ts\":1}", "f:2: expected the user as the value of \"user\", found \"null\""),
        ("{\"user\":\"\",\"item\":1,\"ts\":1}", "f:2: expected a text as user id, found an empty field"),
        (
            "{\"user\":\"a\\u0000\",\"item\":1,\"ts\":1}",
            "f:2: expected a user id without characters that cannot be seen, found U+0000 at offset 1 of \"a\\0\"",
        ),
    ] {
        let first = "{\"user\":1,\"item\":1,\"ts\":1}\n";
        let found = error(&format!("{first}{line}\n"), json());
        assert_eq!(found.replace("1e+20", "100000000000000000000.0"), expected);
    }
    assert!(error("{\"who\":1,\"item\":2,\"ts\":3}\n", json()).contains("found the columns \"item, ts, who\""));
    let at = Columns { user: Column::Position(0), ..Columns::default() };
    assert!(error("{\"user\":1}\n", with_columns(Format::Json, at)).contains("keys, as JSON has no positions"));
    // Too deep for a stack is an error and no crash.
    let deep = format!("{{\"user\":{}1{}}}\n", "[".repeat(300_000), "]".repeat(300_000));
    assert!(error(&deep, json()).contains("recursion limit exceeded"));
    // A filter finds texts, numbers and truths; what is not there is none of them.
    let file = "{\"user\":1,\"item\":1,\"ts\":1,\"ok\":true}\n{\"user\":2,\"item\":1,\"ts\":1,\"ok\":\"true\"}\n\
                {\"user\":3,\"item\":1,\"ts\":1}\n";
    let options = ReadOptions { filters: vec!["ok=true".parse().unwrap()], ..json() };
    assert_eq!(read_bytes(file, options).unwrap().len(), 2);
}

#[test]
fn recbole() {
    let file = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n\
                196\t242\t3\t881250949.0\n186\t302\t5\t891717742\n";
    let expected = [("196", "242", 881_250_949), ("186", "302", 891_717_742)];
    assert_eq!(rows(&read_bytes(file, Format::Inter).unwrap()), expected);
    for name in ["user_id", "user_id:token"] {
        let columns = Columns { user: Column::Name(name.into()), ..Columns::default() };
        assert_eq!(rows(&read_bytes(file, with_columns(Format::Inter, columns)).unwrap()), expected);
    }
    let options = ReadOptions {
        min_rating: Some(4.0),
        filters: vec!["item_id:token=302".parse().unwrap()],
        ..Format::Inter.into()
    };
    assert_eq!(rows(&read_bytes(file, options).unwrap()), expected[1..]);
    let error = read_bytes("who:token\titem_id:token\ttimestamp:float\n", Format::Inter).unwrap_err().to_string();
    assert!(error.contains("found the columns \"who, item_id, timestamp\""), "{error}");
}

#[test]
fn movielens_100k() {
    let file = "196\t242\t3\t881250949\n186\t302\t5\t891717742\n";
    assert_eq!(
        rows(&read_bytes(file, Format::UData).unwrap()),
        [("196", "242", 881_250_949), ("186", "302", 891_717_742)]
    );
    assert_eq!(
        read_bytes("196\t242\t881250949\n", Format::UData).unwrap_err().to_string(),
        "f:1: expected 4 fields: user, item, rating, timestamp, found 3 in \"196\\t242\\t881250949\""
    );
    let error = read_bytes(file, with_columns(Format::UData, crate::positions(0, 1, 3))).unwrap_err().to_string();
    assert!(error.contains("`columns` must be nothing for a file of the format u.data, whose columns are fixed"));
}

#[test]
fn semicolons() {
    let file = "\"user\";\"item\";\"time\"\n\"a;b\";x,y;1\nc;\"d \"\"e\"\"\";2\n";
    assert_eq!(rows(&read_bytes(file, Format::Semicolon).unwrap()), [("a;b", "x,y", 1), ("c", "d \"e\"", 2)]);
}

#[cfg(feature = "files")]
#[test]
fn encodings() {
    let with = |name: &str| ReadOptions { encoding: name.parse().unwrap(), ..Format::Csv.into() };
    let expected = [("café", "x", 1)];
    let latin = b"user,item,time\ncaf\xe9,x,1\n";
    for name in ["latin1", "iso-8859-1", "windows-1252", "LATIN1"] {
        assert_eq!(rows(&read_bytes(latin, with(name)).unwrap()), expected);
    }
    let wide: Vec<u8> = "\u{feff}user,item,time\ncafé,x,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(rows(&read_bytes(wide, with("utf-16le")).unwrap()), expected);
    assert_eq!(
        rows(&read_bytes(b"user,item,time\n\x93\xfa\x96{,x,1\n", with("shift_jis")).unwrap()),
        [("日本", "x", 1)]
    );
    // Long enough for many buffers, with characters on all their borders.
    let rows_of = |count: usize| (0..count).map(|k| format!("ü{k},é,1\n")).collect::<String>();
    let text = format!("user,item,time\n{}", rows_of(40_000));
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    assert_eq!(read_bytes(latin, with("latin1")).unwrap(), read_bytes(&text, Format::Csv).unwrap());
    let error = |bytes: &[u8], options: ReadOptions| read_bytes(bytes, options).unwrap_err().to_string();
    assert_eq!(
        error(b"user,item,time\na,x,1\n\x93\xff,x,1\n", with("shift_jis")),
        "f:3: expected Shift_JIS text, found bytes that mean nothing in it, at offset 0 of \"\\xff\""
    );
    assert_eq!(
        error(b"user,item,time\na,x,1\ncaf\xe9,x,1\n", Format::Csv.into()),
        "f:3: expected UTF-8 text, or a declared encoding (--encoding latin1), found byte 0xE9 at offset 3 of \
         \"caf\\xe9\""
    );
    let unknown = "klingon".parse::<Encoding>().unwrap_err().to_string();
    assert!(unknown.contains("an encoding that the web knows") && unknown.contains("\"klingon\""), "{unknown}");
    assert_eq!((Encoding::default().name(), "latin1".parse::<Encoding>().unwrap().name()), ("UTF-8", "windows-1252"));
}

#[test]
fn several_files_are_one_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("b.csv"), "user,item,time\nb,x,5\na,x,1\n").unwrap();
    std::fs::write(path("a.tsv"), "time\titem\tuser\n5\ty\tc\n").unwrap();
    std::fs::write(path("notes.txt"), "nothing to read").unwrap();
    std::fs::write(path(".hidden.csv"), "nothing to read").unwrap();
    std::fs::create_dir(path("more.csv")).unwrap();
    let expected = [("a", "x", 1), ("c", "y", 5), ("b", "x", 5)];
    let (data, report) = read_all(&[folder.path()], ReadOptions::default()).unwrap();
    assert_eq!(rows(&data), expected);
    assert_eq!(report.files, [path("a.tsv"), path("b.csv")]);
    assert_eq!(report.formats, [Format::Tsv, Format::Csv]);
    let said = report.to_string();
    assert!(said.starts_with("format tsv, csv, times in seconds") && said.contains("\n2 files: "), "{said}");
    let (data, _) = read_all(&[path("a.tsv"), path("b.csv")], ReadOptions::default()).unwrap();
    assert_eq!(rows(&data), expected);
    // In the order that is given.
    let (data, _) = read_all(&[path("b.csv"), path("a.tsv")], ReadOptions::default()).unwrap();
    assert_eq!(rows(&data), [expected[0], expected[2], expected[1]]);
    #[cfg(feature = "files")]
    {
        assert_eq!(files(&[path("*.[ct]sv")]).unwrap(), [path("a.tsv"), path("b.csv")]);
        let error = files(&[path("*.dat")]).unwrap_err().to_string();
        assert!(error.ends_with("*.dat: expected a pattern that fits files, found none"), "{error}");
        // What is no pattern is the name of a file, which is not there.
        assert!(matches!(read(path("a***.csv"), ReadOptions::default()).unwrap_err(), Error::Io { .. }));
        // A file that is named like a pattern is meant itself.
        std::fs::write(path("[ab].csv"), "user,item,time\nz,x,5\n").unwrap();
        assert_eq!(read(path("[ab].csv"), ReadOptions::default()).unwrap().len(), 1);
    }
    // Times of all files have one unit, and errors have the right file.
    std::fs::write(path("c.csv"), "user,item,time\nb,x,1362062307000\n").unwrap();
    let error = read_all(&[path("b.csv"), path("c.csv")], ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("c.csv:2: expected unix seconds") && error.contains("--time-unit"), "{error}");
    // One of them may be empty.
    std::fs::write(path("d.csv"), "user,item,time\n").unwrap();
    assert_eq!(read_all(&[path("d.csv"), path("b.csv")], ReadOptions::default()).unwrap().0.len(), 2);
    let error = read(path("more.csv"), ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("expected a folder with files of interactions"), "{error}");
    let error = read(path("notes.txt"), ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("--format") && error.contains("notes.txt"), "{error}");
}
