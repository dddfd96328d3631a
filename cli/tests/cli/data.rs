//! Data as people have them, by the flags of `scall`.

use std::io::Write;
use std::process::Stdio;

use super::{assert_refused, on_cpu, purchases, scall, stream, write};

const SMALL: [&str; 4] = ["--segments", "equal=2", "--steps", "2"];

#[track_caller]
fn said(args: &[&str]) -> String {
    let output = stream(&[&SMALL[..], args].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same purchases with the time in milliseconds, and a column of events.
fn events() -> String {
    let rows = purchases();
    let mut lines = rows.lines();
    let head = lines.next().unwrap();
    let line = |(k, line): (usize, &str)| format!("{line}000,{}\n", if k % 3 == 0 { "view" } else { "buy" });
    std::iter::once(format!("{head},event\n")).chain(lines.enumerate().map(line)).collect()
}

#[test]
fn what_was_found_is_said_under_the_name_of_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let zipped = zstd::encode_all(purchases().as_bytes(), 1).unwrap();
    let path = write(dir.path(), "x.csv.zst", &zipped);
    let text = said(&["--data", &path]);
    assert!(text.contains(&format!("data     {path}: 600 interactions, 23 users, ")), "{text}");
    assert!(text.contains("\n         format csv in zstd, times in seconds (told by their size)\n"), "{text}");

    let path = write(dir.path(), "mixed.csv", format!("{}u,i,1700000000000,buy\n", events()).as_bytes());
    assert_refused("stream", &["--data", &path], &["mixed.csv:602: ", "which looks like milliseconds", "--time-unit"]);
    let path = write(dir.path(), "events.csv", events().as_bytes());
    let text = said(&["--data", &path, "--time-unit", "ms", "--where", "event=buy"]);
    assert!(text.contains(": 400 interactions") && text.contains("times in milliseconds\n"), "{text}");
    assert!(text.contains("\n         left out 200 rows by rating or value\n"), "{text}");
}

#[test]
fn a_pipe_several_files_and_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let purchases = purchases();
    let (head, rows) = purchases.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let part = |rows: &[&str]| format!("{head}\n{}\n", rows.join("\n"));
    let (one, two) = (part(&rows[..300]), part(&rows[300..]));
    let paths = [write(dir.path(), "b.csv", two.as_bytes()), write(dir.path(), "a.csv", one.as_bytes())];
    let several = said(&["--data", &paths[0], &paths[1]]);
    assert!(several.contains("b.csv, ") && several.contains("a.csv: 600 interactions"), "{several}");
    for path in [dir.path().to_str().unwrap().to_owned(), dir.path().join("?.csv").to_str().unwrap().to_owned()] {
        let text = said(&["--data", &path]);
        assert!(text.contains(": 600 interactions"), "{text}");
        let names = format!("\n         2 files: {}, {}\n", paths[1], paths[0]);
        assert!(text.contains(&names), "{text}");
    }
    // An output is none of the files of a folder.
    let folder = dir.path().to_str().unwrap();
    assert_refused("stream", &["--data", folder, "--report", &paths[0]], &["--report", "another file", "--data"]);

    let piped = |args: &[&str]| {
        let mut command = scall("stream");
        command.args(["--device", "cpu"]).args(SMALL).args(["--data", "-"]).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may end before it has read all.
        let _ = child.stdin.take().unwrap().write_all(purchases.as_bytes());
        child.wait_with_output().unwrap()
    };
    let output = piped(&["--format", "csv"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("data     standard input: 600 interactions"), "{text}");
    let error = String::from_utf8(piped(&[]).stderr).unwrap();
    assert!(error.contains("--format"), "{error}");
}

#[test]
fn flags_of_data_are_keys_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "log.txt", b"caf\xe9;x;1;5\ncaf\xe9;x;2;5\nb;x;3;4\nb;y;4;1\nbad\nc;y;5;4\n");
    let report = dir.path().join("report.json").to_str().unwrap().to_owned();
    let flags = [
        "--data",
        &data,
        "--format",
        "semicolon",
        "--columns",
        "0,1,2,3",
        "--no-header",
        "--encoding",
        "latin1",
        "--min-rating",
        "4",
        "--where",
        "1=x",
        "--where",
        "1=y",
        "--dedup",
        "first",
        "--skip-bad",
        "1",
        "--k-core",
        "1",
        "--time-unit",
        "s",
        "--report",
        &report,
        "--budget",
        "mean=1",
        "--min-size",
        "0",
    ];
    let text = said(&flags);
    assert!(text.contains("log.txt: 3 interactions, 3 users, 2 items"), "{text}");
    for part in ["1 bad lines", "1 rows by rating or value", "1 rows of a user and an item", "bad line ", "log.txt:5:"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The report gives the same data again.
    let again = said(&["--config", &report]);
    assert!(again.contains("log.txt: 3 interactions, 3 users, 2 items"), "{again}");
    // Other data are read as is usual for them.
    let other = write(dir.path(), "x.csv", purchases().as_bytes());
    assert!(said(&["--config", &report, "--data", &other]).contains("x.csv: 600 interactions"));
}

#[test]
fn what_is_wrong_names_the_flag() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| write(dir.path(), name, text.as_bytes());
    let good = write("x.csv", &purchases());
    for (args, parts) in [
        (&["--data", &write("x.txt", "1::2::3::4\n")][..], &["x.txt", "--format", ".csv", "semicolon"][..]),
        (&["--data", &write("who.csv", "who,what,when\na,b,1\n")], &["who.csv", "who, what, when", "--columns"]),
        (&["--data", &write("s.csv", "user;item;time\na;b;1\n")], &["s.csv", "--format semicolon"]),
        (&["--data", &good, "--format", "xml"], &["data.format", "csv, tsv, semicolon", "xml"]),
        (&["--data", &good, "--columns", "a,b"], &["--columns", "user,item,timestamp", "2 columns"]),
        (&["--data", &good, "--encoding", "klingon"], &["--encoding", "klingon", "latin1"]),
        (&["--data", &good, "--time-unit", "min"], &["--time-unit", "min", "s, ms, us, ns or auto"]),
        (&["--data", &good, "--where", "buy"], &["--where", "column=value"]),
        (&["--data", &good, "--where", "event=buy"], &["x.csv", "\"event\"", "user, item, time"]),
        (&["--data", &good, "--dedup", "last"], &["--dedup", "first or all"]),
        (&["--data", &good, "--k-core", "0"], &["--k-core"]),
        (&["--data", &good, "--k-core", "601"], &["x.csv", "none that is kept"]),
        (&["--data", &good, "--min-rating", "nan"], &["--min-rating"]),
        (&["--data", &good, "--min-rating", "3"], &["x.csv", "a column with the rating"]),
        (&["--data", &write("r.dat", "a::b::1::1\n"), "--columns", "0,1,2"], &["data.columns", "dat", "fixed"]),
        (&["--data", dir.path().join("*.parquet").to_str().unwrap()], &["a pattern that fits files"]),
    ] {
        assert_refused("stream", args, parts);
    }
    assert_refused("compare", &["--data", &good, "--min-rating", "3"], &["x.csv", "a column with the rating"]);
}

#[test]
fn help_lists_the_usual_names_and_the_formats() {
    let text = String::from_utf8(on_cpu("stream", &["--help"]).stdout).unwrap();
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "parent_asin",
        "visitor_id",
        "t_dat",
        "unix_review_time",
        "stars",
        "- semicolon: ",
        "- u.data: ",
        "- json: ",
        "standard input",
        "[default: by their names",
    ] {
        assert!(words.contains(part), "{part}: {text}");
    }
}
