use serde_json::Value;

use super::{assert_refused, example};

/// The rows of a report, and what was printed.
fn report(args: &[&str]) -> (Vec<Value>, String) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let rest = ["--seconds", "0", "--json", json.to_str().unwrap()];
    let output = example("kernel_report", &[args, &rest].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap().clone();
    for row in &rows {
        let number = |name: &str| row[name].as_f64().unwrap();
        assert!(number("seconds") > 0.0 && number("bytes") > 0.0, "{row}");
        assert!(number("copy_bandwidth") > 1e8, "{row}");
        let limit = number("bytes") / number("copy_bandwidth");
        assert!((number("of_limit") * number("seconds") / limit - 1.0).abs() < 1e-9, "{row}");
        assert!(row["kernel_seconds"].is_null(), "no timestamps of a CPU: {row}");
    }
    (rows, String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_kernel_is_measured_at_three_sizes() {
    let (rows, text) = report(&["--only", "sizing/rank"]);
    assert!(text.contains("copy GB/s") && text.contains("1000000 entities, skewed"), "{text}");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["naive_seconds"].as_f64().unwrap() > 0.0));
}

#[test]
fn or_at_the_sizes_named() {
    let (rows, text) = report(&["--only", "apportion", "--sizes", "2000,5000"]);
    assert!(text.contains("2000 entities") && text.contains("5000 entities"), "{text}");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["naive_seconds"].is_null()));
}

#[test]
fn a_kernel_that_is_none_is_refused() {
    assert_refused("kernel_report", &["--only", "lookdown"], &["--only", "table/lookup", "lookdown"]);
    assert_refused("kernel_report", &["--json", "no/such/folder/f"], &["no/such/folder/f"]);
}
