//! `scall stream`: reports, plots, and bad input.

use serde_json::Value;

use super::{assert_refused, assert_svg, stream, write};

#[test]
fn bad_input_is_refused_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| write(dir.path(), name, bytes);
    let cases: [(&str, &[u8], &[&str]); 8] = [
        ("short.dat", b"1::2::3::4\n1::2::3\n", &["short.dat:2", "expected", "found"]),
        ("rating.dat", b"1::2::good::4\n", &["rating.dat:1", "good"]),
        ("column.csv", b"user,thing,timestamp\na,b,1\n", &["column.csv", "item", "thing"]),
        ("time.csv", b"user,item,timestamp\na,b,1\na,c,soon\n", &["time.csv:3", "soon"]),
        ("late.csv", b"user,item,timestamp\na,b,-99999999999999\n", &["late.csv:2", "-99999999999999"]),
        ("utf8.csv", b"user,item,timestamp\na,\xff\xfe,1\n", &["utf8.csv:2", "UTF-8"]),
        ("empty.csv", b"", &["empty.csv", "expected", "found"]),
        ("header.tsv", b"user\titem\ttimestamp\n", &["header.tsv", "expected", "found"]),
    ];
    for (name, bytes, parts) in cases {
        let path = file(name, bytes);
        assert_refused("stream", &["--data", &path], parts);
    }
    let missing = dir.path().join("absent.csv");
    assert_refused("stream", &["--data", missing.to_str().unwrap()], &["absent.csv"]);
    let folder = dir.path().join("folder.csv");
    std::fs::create_dir(&folder).unwrap();
    assert_refused("stream", &["--data", folder.to_str().unwrap()], &["folder.csv"]);
    let good = file("good.csv", b"user,item,timestamp\na,b,1\nb,c,2\n");
    assert_refused(
        "stream",
        &["--data", &good, "--report", "/no/such/folder/out.json", "--segments", "equal=1"],
        &["out.json"],
    );
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let good = write(dir.path(), "good.csv", b"user,item,timestamp\na,b,1\nb,c,2\na,c,3\n");
    let with = |args: &[&'static str], parts: &[&str]| {
        let mut all = vec!["--data", good.as_str()];
        all.extend(args);
        assert_refused("stream", &all, parts);
    };
    with(&["--budget", "bytes=20B", "--segments", "equal=1"], &["infeasible budget", "20"]);
    with(&["--budget", "half"], &["--budget", "mean=", "half"]);
    with(&["--segments", "equal=9"], &["segments", "3 rows", "9"]);
    with(&["--segments", "often"], &["--segments", "often"]);
    with(&["--policy", "best"], &["--policy", "best"]);
    with(&["--probes", "1"], &["--probes", "1"]);
    with(&["--plot", "/no/such/folder/out.svg"], &["out.svg"]);
    with(&["--max-size", "0"], &["--max-size"]);
    with(&["--alpha", "-1", "--segments", "equal=3"], &["alpha"]);
    with(&["--epsilon", "0", "--segments", "equal=1"], &["epsilon", "above 0"]);
    with(&["--learning-rate", "1e38", "--segments", "equal=1"], &["diverged"]);
    with(&["--l2", "-1", "--segments", "equal=1"], &["l2", "-1"]);
    with(&["--batch", "4294967295"], &["--batch"]);
    with(&["--max-size", "65535"], &["--max-size"]);
    with(&["--columns", "user,item"], &["--columns", "2 columns"]);
    with(&["--keep-bias", "2", "--segments", "equal=1"], &["--keep-bias", "2"]);
    with(&["--format", "xml"], &["xml", "csv"]);
    with(&["--format", "dat"], &["good.csv:1"]);
}

#[test]
fn columns_are_found_by_name_and_by_position() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|i| format!("{i},c{},s{}\n", i % 7, i % 11)).collect();
    let named = write(dir.path(), "named.csv", format!("time,customer,sku\n{rows}").as_bytes());
    let bare = write(dir.path(), "bare.csv", rows.as_bytes());
    for args in [
        &["--data", &named, "--columns", "customer,sku,time"][..],
        &["--data", &bare, "--columns", "1,2,0", "--no-header"],
    ] {
        let output = stream(&[args, &["--segments", "equal=2", "--steps", "2"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("40 interactions, 7 users, 11 items"), "{args:?}: {text}");
    }
}

#[test]
fn budgets_beyond_all_need_are_saturated() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|i| format!("u{},i{},{i}\n", i % 7, i % 11)).collect();
    let file = write(dir.path(), "small.csv", format!("user,item,time\n{rows}").as_bytes());
    for budget in ["params=4611686018427387904", "mean=1e30", "bytes=9000GB"] {
        let output = stream(&["--data", &file, "--budget", budget, "--segments", "equal=2", "--steps", "2"]);
        assert!(output.status.success(), "{budget}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The names that a report has, for the items of the test part and with `_all` for all items.
const METRICS: [&str; 9] =
    ["recall", "ndcg", "hit_rate", "mrr", "precision", "map", "coverage", "mean_popularity", "gini"];

fn at(quality: &Value, metric: &str, cutoff: &str) -> f64 {
    quality[metric][cutoff].as_f64().unwrap_or_else(|| panic!("no {metric}@{cutoff}: {quality}"))
}

#[test]
fn cutoffs_that_no_list_has_are_refused() {
    for (cutoffs, said) in [
        ("5,101", "config: `cutoffs`: expected list lengths from 1 to 100, found 5,101"),
        ("5,0", "list lengths of at least 1, such as 1,5,50, got \"5,0\""),
        ("", "list lengths of at least 1, such as 1,5,50, got \"\""),
    ] {
        let output = stream(&["--cutoffs", cutoffs]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{cutoffs}: {error}");
    }
}

#[test]
fn the_report_holds_what_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("out.json");
    let budget = 400_000;
    let output = stream(&[
        "--segments",
        "equal=4",
        "--steps",
        "10",
        "--budget",
        "bytes=400kB",
        "--min-size",
        "0",
        "--cutoffs",
        "50,1",
        "--report",
        report.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("CPU") && text.contains("completejourney"), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    super::kernel_report::assert_record(&report, "scall-gpu/stream/1");
    let segments = report["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 4);
    for (t, segment) in segments.iter().enumerate() {
        let number = |key: &str| segment[key].as_u64().unwrap_or_else(|| panic!("no number {key}: {segment}"));
        assert_eq!(number("t"), t as u64);
        assert_eq!(number("budget_bytes"), budget);
        assert!(number("counted_bytes") <= budget && number("params") <= number("budget_params"));
        assert_eq!(number("counted_bytes"), number("table_bytes") + number("metadata_bytes"));
        assert_eq!(number("optimizer_bytes"), number("table_bytes"));
        assert!(number("peak_bytes") >= number("table_bytes") + number("optimizer_bytes") + number("metadata_bytes"));
        assert!(number("users") > 0 && number("items") > 0 && number("interactions") > 0);
        assert_eq!(segment["action"].is_null(), t == 0, "uniform sizes in segment 0 only");
        for metric in METRICS {
            for name in [metric.to_owned(), format!("{metric}_all")] {
                let keys: Vec<_> = segment[&name].as_object().unwrap().keys().map(String::as_str).collect();
                assert_eq!(keys, ["1", "20", "50"], "{name}");
                for (cutoff, value) in segment[&name].as_object().unwrap() {
                    let (value, most) = (value.as_f64().unwrap(), if metric == "mean_popularity" { 1e6 } else { 1.0 });
                    assert!((0.0..=most).contains(&value), "{name}@{cutoff} {value}");
                }
            }
        }
        // A longer list holds no fewer of the items; one item that is right is all that a list of one can have.
        assert!(at(segment, "coverage_all", "50") >= at(segment, "coverage_all", "20"));
        assert_eq!(at(segment, "hit_rate", "1"), at(segment, "precision", "1"));
        assert!(at(segment, "mean_popularity_all", "20") > 1.0, "{segment}");
        assert!(segment["seconds"]["train"].as_f64().unwrap() > 0.0);
    }
    for metric in METRICS {
        let mean = (1..4).map(|t| at(&segments[t], metric, "20")).sum::<f64>() / 3.0;
        assert!((at(&report["mean"], metric, "20") - mean).abs() < 1e-12 * mean.max(1.0), "{metric}");
    }
    assert_eq!(report["config"]["cutoffs"], serde_json::json!([1, 50]));
    // The last lines say the same.
    let row = text.lines().find(|line| line.starts_with("all items (*)")).unwrap();
    assert!(row.contains(" @1 ") && row.contains(&format!(" {:.4} ", at(&report["mean"], "gini_all", "1"))), "{row}");
}

#[test]
fn quality_by_coherence_is_reported_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let data = write(dir.path(), "purchases.csv", super::purchases().as_bytes());
    let run = |name: &str, more: &[&str]| -> (String, Value) {
        let report = path(name);
        let args = ["--data", &data, "--segments", "equal=3", "--steps", "3", "--report", &report];
        let output = stream(&[&args, more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        (String::from_utf8(output.stdout).unwrap(), report)
    };
    let (plain_text, plain) = run("plain.json", &[]);
    let (text, report) = run("coherent.json", &["--coherence", "--against", "uniform,item-knn"]);
    assert!(!plain_text.contains("by CS") && plain["config"].get("coherence").is_none());
    assert_eq!(report["config"]["coherence"], true);
    let segments = report["segments"].as_array().unwrap();
    for (segment, plain) in segments.iter().zip(plain["segments"].as_array().unwrap()) {
        assert_eq!((&segment["ndcg"], &segment["loss"]), (&plain["ndcg"], &plain["loss"]));
        assert!(plain.get("coherence").is_none());
        let (coherence, users) = (&segment["coherence"], segment["test_users"].as_u64().unwrap());
        let few = coherence["too_few_items"]["users"].as_u64().unwrap();
        for measure in ["by_surprise", "by_conditional_surprise"] {
            let quartiles = coherence[measure].as_array().unwrap();
            let counts: Vec<u64> = quartiles.iter().map(|of| of["users"].as_u64().unwrap()).collect();
            assert_eq!((counts.len(), counts.iter().sum::<u64>() + few), (4, users));
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
            for of in quartiles {
                let number = |key: &str| of[key].as_f64().unwrap();
                assert!(of["bounds"][0].as_f64() <= of["bounds"][1].as_f64() && at(of, "recall", "5") <= 1.0);
                assert!(number("mean_user_dims") > 1.0 && number("mean_item_dims") > 1.0, "{of}");
            }
        }
    }
    // Another policy has the same users in each quartile; a ranking that counts has no rows.
    let others = report["against"].as_array().unwrap();
    let bounds = |of: &Value| of["coherence"]["by_surprise"][2]["bounds"].clone();
    assert_eq!(bounds(&others[0]["segments"][2]), bounds(&segments[2]));
    assert!(others[1]["segments"][2].get("coherence").is_none());
    // The last segment's are printed.
    let lowest = &segments[2]["coherence"]["by_conditional_surprise"][0];
    let line = text.lines().find(|line| line.starts_with("by CS, lowest quarter")).unwrap();
    assert!(text.contains("users of segment 2") && text.contains("of fewer than two items"), "{text}");
    assert!(line.contains(&format!(" {:.4} ", at(lowest, "ndcg", "20"))), "{line}");
}

#[test]
fn a_searching_policy_probes_as_often_as_it_may_and_is_plotted() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let data = write(dir.path(), "purchases.csv", super::purchases().as_bytes());
    let (plot, report) = (path("out.svg"), path("out.json"));
    let args = ["--data", &data, "--segments", "equal=3", "--steps", "3", "--probes", "5"];
    let all = [&args[..], &["--policy", "scall", "--plot", &plot, "--report", &report]].concat();
    let output = stream(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("mf: 3 steps a segment of 4096 triples") && text.contains("bias counted"), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!((&report["model"], &report["policy"]), (&"mf".into(), &"scall".into()));
    assert_eq!(report["settings"]["steps"], "3");
    let probes: Vec<_> = report["segments"].as_array().unwrap().iter().map(|s| s["probes"].as_u64()).collect();
    // The first search need not compare with uniform sizes: those are in use.
    assert!(probes[..2] == [Some(0), Some(4)] && [Some(4), Some(5)].contains(&probes[2]), "{probes:?}");
    let svg = assert_svg(&plot);
    for words in ["Memory", "Quality", "Sizes", "users, segment 0", "items, segment 2", "NDCG@20, all items"] {
        assert!(svg.contains(words), "{words}");
    }
}

#[test]
fn flags_win_over_the_papers_constants() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "purchases.csv", super::purchases().as_bytes());
    let args =
        ["--data", &data, "--paper", "--segments", "equal=2", "--steps", "2", "--batch", "64", "--bias", "learned"];
    let output = stream(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let said = ["64 triples", "bias learned", "sampling users", "replay 0.2", "sizes 1 to 256", "segments equal=2"];
    assert!(said.iter().all(|part| text.contains(part)), "{text}");
}
