//! Runs that a file describes.

use serde_json::Value;

use super::{assert_refused, on_cpu, purchases, stream, write};

const SMALL: &str = r#"
    policy = { name = "random", alpha = 2 }
    budget.amount = "mean=4"
    model = { name = "fism", steps = 3, batch = 64, window = 9 }
    data.segments = "equal=3"
"#;

fn json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What a report says apart from when it was made and what time it took.
fn found(path: &str) -> Value {
    let mut report = json(path);
    report.as_object_mut().unwrap().remove("date");
    for segment in report["segments"].as_array_mut().unwrap() {
        segment.as_object_mut().unwrap().remove("seconds");
    }
    report
}

#[test]
fn a_file_describes_a_run_and_flags_win_over_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let data = write(dir.path(), "purchases.csv", purchases().as_bytes());
    let file = write(dir.path(), "run.toml", SMALL.as_bytes());
    let (all, report) = (["--data", &data, "--config", &file, "--report", &path("first.json")], path("first.json"));
    let output = stream(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    for part in ["fism: 3 steps a segment of 64 triples", "log with window 9", "policy   random, budget mean=4"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let flags = ["--policy", "uniform", "--model", "mf", "--budget", "mean=3", "--sampling", "users", "--seed", "5"];
    let output = stream(&[&all[..4], &["--report", &path("other.json")], &flags].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (first, other) = (&json(&report)["config"], &json(&path("other.json"))["config"]);
    assert_eq!((&first["policy"]["name"], &first["policy"]["alpha"]), (&"random".into(), &2.0.into()));
    assert_eq!((&other["policy"]["name"], other["policy"].get("alpha")), (&"uniform".into(), None));
    assert_eq!((&other["model"]["name"], &other["model"]["steps"]), (&"mf".into(), &3.into()));
    assert_eq!((&other["model"]["sampling"], other["model"].get("window")), (&"users".into(), None));
    assert_eq!((&other["budget"]["amount"], &other["seed"]), (&"mean=3".into(), &5.into()));

    // A report gives its run again.
    let again = path("again.json");
    let output = stream(&["--config", &report, "--report", &again]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(found(&again), found(&report));
    // As does the part of it by itself.
    let own = write(dir.path(), "own.json", first.to_string().as_bytes());
    let output = stream(&["--config", &own, "--report", &again]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(found(&again), found(&report));
}

#[test]
fn what_is_wrong_in_a_file_is_refused_by_file_line_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "purchases.csv", purchases().as_bytes());
    for (name, text, parts) in [
        ("a.toml", "[model]\nstpes = 3\n", &["a.toml:2: `model.stpes`: expected one of `name`"][..]),
        ("b.json", "{\"seed\":\n\"3\"}", &["b.json:2: `seed`: expected a whole number"]),
        ("c.toml", "model.l2 = -1\n", &["`model.l2`: expected finite and not negative, found -1"]),
        ("d.toml", "policy = { name = \"grow\", alpha = 1.0 }\n", &["`policy.alpha`", "random, ranked"]),
    ] {
        let file = write(dir.path(), name, text.as_bytes());
        assert_refused("stream", &["--data", &data, "--config", &file], parts);
    }
    let file = write(dir.path(), "c.toml", b"model.l2 = -1\n");
    assert_refused("compare", &["--data", &data, "--config", &file], &["`model.l2`"]);
    assert_refused("stream", &["--config", &file, "--paper"], &["--config", "--paper"]);
    assert_refused("stream", &["--data", &data, "--config", &file, "--report", &file], &["--report", "--config"]);
    assert_refused("stream", &["--config", dir.path().join("none.toml").to_str().unwrap()], &["none.toml"]);
}

#[test]
fn a_comparison_takes_a_file_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "purchases.csv", purchases().as_bytes());
    let file = write(dir.path(), "run.toml", SMALL.as_bytes());
    let other = write(dir.path(), "other.toml", format!("{SMALL}train_share = 0.7\n").as_bytes());
    let csv = dir.path().join("runs.csv").to_str().unwrap().to_owned();
    let all = |file: &str, csv: &str| {
        let args = ["--data", &data, "--csv", csv, "--config", file, "--policies", "uniform,random", "--seeds", "1"];
        on_cpu("compare", &args)
    };
    for _ in 0..2 {
        let output = all(&file, &csv);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8(output.stdout).unwrap().contains("fism: 3 steps a segment of 64 triples"));
    }
    // What only the file says sets runs apart too.
    let said = String::from_utf8(all(&other, &csv).stderr).unwrap();
    assert!(said.contains("config=") && said.contains("0.7"), "{said}");
}
