//! Ratings, clicks and non-clicks.

use serde_json::Value;

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

#[test]
fn the_auc_among_exposures_is_shown_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "rated.csv", rated().as_bytes());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let report = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap() };
    let text = said(&["--data", &data, "--clicks", "5", "--report", &path("with.json")]);
    let found = report("with.json");
    let head = text.lines().find(|line| line.trim_start().starts_with("t ")).unwrap();
    assert!(head.trim_end().ends_with("AUC"), "{head}");
    let (mut aucs, mut users) = (0.0, 0);
    for segment in found["segments"].as_array().unwrap() {
        let (auc, of) =
            (segment["exposures"]["auc"].as_f64().unwrap(), segment["exposures"]["users"].as_u64().unwrap());
        assert!((0.0..=1.0).contains(&auc) && of > 0 && of <= segment["test_users"].as_u64().unwrap());
        let row = text.lines().find(|line| line.trim_start().starts_with(&format!("{} ", segment["t"]))).unwrap();
        assert!(row.trim_end().ends_with(&format!(" {auc:.4}")), "{row}");
        if segment["t"] != 0 {
            (aucs, users) = (aucs + auc, users + of);
        }
    }
    let mean = aucs / 2.0;
    assert!((found["exposures"]["auc"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert_eq!(found["exposures"]["users"], users);
    let line = format!("AUC of clicks over non-clicks {mean:.4}, over {users} users with both in a test part");
    assert!(text.contains(&line), "{text}");

    let plain = said(&["--data", &data, "--report", &path("without.json")]);
    assert!(!plain.contains("AUC"), "{plain}");
    let found = report("without.json");
    assert!(found.get("exposures").is_none() && found["segments"][0].get("exposures").is_none());
}

#[test]
fn triples_come_from_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "rated.csv", rated().as_bytes());
    let loss = |args: &[&str]| {
        let path = dir.path().join("report.json").to_str().unwrap().to_owned();
        let text = said(&[&["--data", &data, "--clicks", "5", "--report", &path], args].concat());
        let report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        (text, report["segments"][2]["loss"].as_f64().unwrap())
    };
    let blocks = |share: &str| loss(&["--sampling", "blocks", "--block-share", share, "--window", "40"]);
    let (_, log) = loss(&["--window", "40"]);
    assert_eq!(blocks("0").1, log);
    let (text, half) = blocks("0.5");
    assert!(text.contains("sampling 0.5 from blocks, else log with window 40"), "{text}");
    assert!(half != log && half != blocks("1").1);
    assert_eq!(loss(&["--sampling", "blocks"]).1, blocks("1").1);

    let refused = ["--sampling", "blocks", "--data", &data];
    assert_refused("stream", &refused, &["model.sampling", "without non-clicks", "--clicks"]);
    assert_refused("stream", &["--block-share", "2"], &["--block-share", "from 0 to 1"]);
}
