//! Ratings, clicks and non-clicks.

use super::{assert_refused, purchases, stream, write};

const SMALL: [&str; 6] = ["--segments", "equal=3", "--steps", "3", "--batch", "64"];

/// The purchases with ratings from 0 to 9.
fn rated() -> String {
    let rows = purchases();
    let mut lines = rows.lines();
    let head = lines.next().unwrap();
    let line = |(k, line): (usize, &str)| format!("{line},{}\n", k * k / 3 % 10);
    std::iter::once(format!("{head},stars\n")).chain(lines.enumerate().map(line)).collect()
}

#[track_caller]
fn said(args: &[&str]) -> String {
    let output = stream(&[&SMALL[..], args].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_threshold_makes_non_clicks() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "rated.csv", rated().as_bytes());
    let text = said(&["--data", &data, "--clicks", "5"]);
    assert!(text.contains(": 600 interactions") && text.contains(" rows are non-clicks by their rating\n"), "{text}");
    let plain = said(&["--data", &data]);
    assert!(!plain.contains("non-clicks"), "{plain}");

    let unrated = write(dir.path(), "unrated.csv", purchases().as_bytes());
    assert_refused("stream", &["--data", &unrated, "--clicks", "5"], &["rating, stars, overall, score", "--columns"]);
    assert_refused("stream", &["--data", &data, "--clicks", "10"], &["0 clicks and 600 non-clicks"]);
    assert_refused("stream", &["--data", &data, "--clicks", "high"], &["--clicks", "expected a number"]);
}
