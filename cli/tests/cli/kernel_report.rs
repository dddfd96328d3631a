use serde_json::Value;

use super::{assert_refused, on_cpu, record};

/// What every record says of itself.
pub fn assert_record(report: &Value, schema: &str) {
    assert_eq!((&report["schema"], &report["version"]), (&schema.into(), &env!("CARGO_PKG_VERSION").into()));
    let text = |name: &str| report[name].as_str().unwrap_or_else(|| panic!("no text {name}: {report}")).to_owned();
    let date = text("date");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(record::utc(now - 600) <= date && date <= record::utc(now), "{date}");
    assert!(["dev", "release"].contains(&&*text("profile")), "{report}");
    assert!(!text("cpu").is_empty() && text("system").contains(std::env::consts::OS), "{report}");
    let (cores, threads) = (report["cores"].as_u64().unwrap(), report["threads"].as_u64().unwrap());
    assert!(cores > 0);
    assert_eq!(text("device"), format!("CPU ({}), {threads} threads", text("cpu")));
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, date) in [
        (0, "1970-01-01T00:00:00Z"),
        (68_169_599, "1972-02-28T23:59:59Z"),
        (68_169_600, "1972-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_000_000_000, "2001-09-09T01:46:40Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(record::utc(seconds), date);
    }
}

#[test]
fn a_record_says_what_it_is_and_columns_stay_in_line() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let args = ["--only", "table/lookup", "--sizes", "1000,30000", "--seconds", "0", "--threads", "2"];
    let output = on_cpu("report", &[&args[..], &["--json", json.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_record(&report, "scall-gpu/kernel_report/1");
    assert_eq!(report["threads"], 2);
    let options = serde_json::json!({ "only": "table/lookup", "seconds": "0", "sizes": "1000,30000", "threads": "2" });
    assert_eq!(report["options"], options);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(report["device"].as_str().unwrap()), "{text}");
    let head = text.lines().find(|line| line.starts_with("kernel ")).unwrap();
    // Numbers end where their titles do: the last one is that of torch, which was not asked for.
    let rows: Vec<&str> = text.lines().filter(|line| line.ends_with(" -")).collect();
    assert!(rows.len() > 10, "{text}");
    for row in rows {
        assert_eq!(row.chars().count(), head.chars().count(), "{head}\n{row}");
    }
}

/// The rows of a report, and what was printed.
fn report(args: &[&str]) -> (Vec<Value>, String) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let rest = ["--seconds", "0", "--json", json.to_str().unwrap()];
    let output = on_cpu("report", &[args, &rest].concat());
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
    assert_refused("report", &["--only", "lookdown"], &["--only", "table/lookup", "lookdown"]);
    assert_refused("report", &["--json", "no/such/folder/f"], &["no/such/folder/f"]);
}

#[test]
fn a_report_is_held_against_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let args = ["--only", "prim/scan", "--sizes", "2000", "--seconds", "0", "--threads", "1"];
    let output = on_cpu("report", &[&args[..], &["--json", &path("record.json")]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record: Value = serde_json::from_slice(&std::fs::read(path("record.json")).unwrap()).unwrap();
    // A machine that was a million times slower, and one that was as much faster.
    let record_of = |name: &str, factor: f64, case: &str| {
        let mut record = record.clone();
        for row in record["rows"].as_array_mut().unwrap() {
            row["seconds"] = (row["seconds"].as_f64().unwrap() * factor).into();
            row["case"] = format!("{}{case}", row["case"].as_str().unwrap()).into();
        }
        std::fs::write(path(name), record.to_string()).unwrap();
        path(name)
    };
    let [slower, faster, others] = [("slower", 1e6, ""), ("faster", 1e-6, ""), ("others", 1e6, " of another kind")]
        .map(|(name, factor, case)| record_of(name, factor, case));
    let against = |record: &str| [&args[..], &["--against", record, "--tolerance", "0.5"]].concat().join("\n");
    let run = |record: &str| on_cpu("report", &against(record).split('\n').collect::<Vec<_>>());
    let output = run(&slower);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("none takes more than 1.50 times as long"), "{text}");
    assert_refused("report", &against(&faster).split('\n').collect::<Vec<_>>(), &["prim/scan", "1.50 times"]);
    assert_refused("report", &against(&others).split('\n').collect::<Vec<_>>(), &["no case of the record"]);

    let is_none = super::write(dir.path(), "none.json", br#"{"schema":"scall-gpu/stream/1"}"#);
    let expected = ["none.json", "written by --json", "missing field"];
    assert_refused("report", &["--against", &is_none], &expected);
    assert_refused("report", &["--against", &path("absent")], &["absent"]);
    assert_refused("report", &["--tolerance", "0.2"], &["--against"]);
}
