use serde_json::Value;

use super::{assert_refused, example};

#[test]
fn a_kernel_is_measured_at_three_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let output = example("kernel_report", &["--only", "rank", "--seconds", "0", "--json", json.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("copy GB/s") && text.contains("1000000 entities, skewed"), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "sizing/rank and rank/top_k");
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap();
        assert!(number("seconds") > 0.0 && number("bytes") > 0.0, "{row}");
        assert!(number("copy_bandwidth") > 1e8, "{row}");
        let limit = number("bytes") / number("copy_bandwidth");
        assert!((number("of_limit") * number("seconds") / limit - 1.0).abs() < 1e-9, "{row}");
        assert_eq!(row["naive_seconds"].is_null(), row["kernel"] == "rank/top_k");
    }
}

#[test]
fn a_kernel_that_is_none_is_refused() {
    assert_refused("kernel_report", &["--only", "lookdown"], &["--only", "table/lookup", "lookdown"]);
    assert_refused("kernel_report", &["--json", "no/such/folder/f"], &["no/such/folder/f"]);
}
