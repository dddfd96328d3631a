//! `--html` and `--against`: the page, and what a run is compared with.

use std::path::Path;

use serde_json::Value;

use super::{assert_refused, purchases, stream, write};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What a page shows.
fn shown(path: &Path) -> Value {
    let page = std::fs::read_to_string(path).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("const written = ")).unwrap();
    assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("@import"), "it asks no network");
    serde_json::from_str(line.strip_suffix(';').unwrap()).unwrap()
}

/// Segments without what differs between two runs that find the same.
fn timeless(report: &Value) -> Vec<Value> {
    let mut segments = report["segments"].as_array().unwrap().clone();
    segments.iter_mut().for_each(|segment| drop(segment["seconds"].take()));
    segments
}

#[test]
fn a_run_is_compared_with_others_on_the_same_stream_and_does_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let data = write(dir.path(), "shop.csv", purchases().as_bytes());
    let run = |more: &[&str]| {
        let output = stream(&[&["--data", &data, "--segments", "equal=3", "--steps", "20"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["--report", path("alone.json").to_str().unwrap()]);
    run(&["--policy", "uniform", "--report", path("uniform.json").to_str().unwrap()]);
    let said = run(&["--html", path("page.html").to_str().unwrap(), "--report", path("report.json").to_str().unwrap()]);
    let (report, page) = (json(&path("report.json")), shown(&path("page.html")));
    assert_eq!(timeless(&report), timeless(&json(&path("alone.json"))));
    assert!(json(&path("alone.json"))["against"].is_null());

    // By default with uniform sizes and with what sells now.
    let rivals: Vec<_> = report["against"].as_array().unwrap().iter().map(|rival| rival["name"].clone()).collect();
    assert_eq!(rivals, ["uniform", "decayed popularity"]);
    assert_eq!(page["against"], report["against"]);
    let (found, alone) = (&report["against"][0], json(&path("uniform.json")));
    assert_eq!(found["mean"], alone["mean"]);
    for (found, alone) in found["segments"].as_array().unwrap().iter().zip(alone["segments"].as_array().unwrap()) {
        let of = |segment: &Value| ["t", "ndcg", "recall", "ndcg_all", "recall_all"].map(|key| segment[key].clone());
        assert_eq!(of(found), of(alone));
    }
    assert_ne!(report["against"][1]["segments"], report["against"][0]["segments"]);
    for name in ["against uniform: ", "against decayed popularity: "] {
        assert!(said.contains(name), "{said}");
    }

    // What the page needs for its plots.
    assert_eq!((page["profiles"].as_array().unwrap().len(), page["segments"].as_array().unwrap().len()), (3, 3));
    for key in ["grown_rows", "shrunk_rows", "counted_bytes", "budget_bytes", "optimizer_bytes"] {
        assert!(page["segments"][1][key].is_number(), "{key}");
    }
    let settings = page["settings"].as_array().unwrap();
    assert!(settings.iter().any(|pair| pair == &serde_json::json!(["steps", "20"])), "{settings:?}");
    assert!(page["device"].as_str().unwrap().starts_with("CPU"));

    let without = run(&["--html", path("page.html").to_str().unwrap(), "--against", "none"]);
    assert!(!without.contains("against") && shown(&path("page.html"))["against"] == serde_json::json!([]), "{without}");
}

#[test]
fn rivals_that_say_nothing_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "shop.csv", purchases().as_bytes());
    let with = |more: &[&str], said: &[&str]| assert_refused("stream", &[&["--data", &data], more].concat(), said);
    with(&["--against", "ranked"], &["--against", "another policy", "ranked"]);
    with(&["--against", "none,uniform"], &["--against", "none alone"]);
    with(&["--against", "best"], &["--against", "best", "item-knn"]);
}
