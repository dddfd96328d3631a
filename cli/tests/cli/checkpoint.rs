//! Runs that are kept and go on.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{assert_refused, on_cpu, purchases, scall, write};

/// A short run that searches where this build can, with all that a loop keeps.
fn flags(data: &str) -> Vec<String> {
    let flags = ["--data", data, "--policy", "bet", "--probes", "3", "--steps", "20", "--segments", "equal=5"];
    flags.map(str::to_owned).to_vec()
}

fn run(flags: &[String], more: &[&str]) -> (String, String) {
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let output = on_cpu("stream", &flags);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = text(output.stderr);
    assert!(output.status.success(), "{said}");
    (text(output.stdout), said)
}

/// A report without what differs between two runs that find the same.
fn timeless(path: &Path) -> Value {
    let mut report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    report["date"].take();
    for segment in report["segments"].as_array_mut().unwrap() {
        segment["seconds"].take();
    }
    report
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Copies what a program that is killed leaves.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn a_run_goes_on_from_every_segment_to_the_same_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let flags = flags(&write(dir.path(), "shop.csv", purchases().as_bytes()));
    let (whole, folder) = (path("whole.json"), path("kept"));
    run(&flags, &["--report", text(&whole)]);
    let whole = timeless(&whole);

    // One checkpoint in three segments, and the last one.
    run(&flags, &["--checkpoint", text(&folder), "--every", "3"]);
    let mut numbers: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    numbers.retain(|name| name.starts_with("checkpoint-"));
    assert_eq!(numbers.len(), 2, "{numbers:?}");

    // From the first of the two, after three segments, and from the last, after all: the same report.
    for (at, keep) in [(3, "checkpoint-000000"), (5, "checkpoint-00000")] {
        let again = path(&format!("from-{at}"));
        copied(&folder, &again);
        for entry in std::fs::read_dir(&again).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("checkpoint-") && !name.starts_with(keep) {
                std::fs::remove_dir_all(entry.path()).unwrap();
            }
        }
        let report = path("again.json");
        // Without any other flag: the run's own are kept.
        let plain = ["--checkpoint".to_owned(), text(&again).to_owned(), "--resume".to_owned()];
        let (shown, _) = run(&plain, &["--report", text(&report), "--plot", text(&path("plot.svg"))]);
        assert!(shown.contains(&format!("resumed  {at} of 5 segments are done")), "{shown}");
        assert_eq!(timeless(&report)["segments"], whole["segments"]);
        assert_eq!(timeless(&report)["mean"], whole["mean"]);
        let plot = std::fs::read_to_string(path("plot.svg")).unwrap();
        assert!(
            plot.contains("users, segment 0") && plot.contains("users, segment 4"),
            "profiles from before are kept"
        );
    }
}

#[test]
fn another_run_is_refused_and_what_differs_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "shop.csv", purchases().as_bytes());
    let folder = dir.path().join("kept");
    let kept = text(&folder);
    run(&flags(&data), &["--checkpoint", kept]);
    let resume = ["--checkpoint", kept, "--resume"];
    let with = |more: &[&str], said: &[&str]| assert_refused("stream", &[&resume, more].concat(), said);
    with(&["--seed", "4"], &["seed", "expected 0", "found 4"]);
    with(&["--steps", "30"], &["model.steps", "expected 20", "found 30"]);
    with(&["--policy", "ranked"], &["policy.name", "expected bet", "found ranked"]);
    with(&["--budget", "mean=4"], &["budget.amount", "mean=8", "mean=4"]);
    with(&["--segments", "equal=4"], &["data.segments", "equal=5", "equal=4"]);
    // The same in other words is the same run.
    run(&flags(&data), &resume);
    // A run that would begin does not write over one that was kept.
    assert_refused("stream", &["--checkpoint", kept, "--data", &data], &["kept", "--resume"]);
    assert_refused("stream", &["--resume"], &["--checkpoint"]);
    // Without a checkpoint a run begins, so that one command can be repeated whenever it was killed.
    let new = dir.path().join("new");
    run(&flags(&data), &["--checkpoint", text(&new), "--resume"]);

    let damaged = |file: &str| {
        let folder: PathBuf = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("manifest.json").exists())
            .max()
            .unwrap();
        let path = folder.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(path, bytes).unwrap();
        assert_refused("stream", &resume, &[file, "CRC-32"]);
    };
    damaged("model.safetensors");
    damaged("manifest.json");
}

/// Killed at any moment, also while it saves: the same command goes on, and the report is that of a whole run.
#[cfg(unix)]
#[test]
fn killed_runs_go_on_to_the_same_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut flags = flags(&write(dir.path(), "shop.csv", purchases().as_bytes()));
    run(&flags, &["--report", text(&path("whole.json"))]);
    let begin = Instant::now();
    flags.extend(["--resume".to_owned(), "--checkpoint".to_owned(), text(&path("timed")).to_owned()]);
    run(&flags, &[]);
    let whole = begin.elapsed();
    for kill in 0..3u32 {
        *flags.last_mut().unwrap() = text(&path(&format!("killed-{kill}"))).to_owned();
        // Twice each, at moments spread over the run.
        for part in [0.13, 0.29] {
            let mut child = scall("stream")
                .args(["--device", "cpu"])
                .args(&flags)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(whole.mul_f64(part + f64::from(kill) * 0.2).max(Duration::from_millis(5)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let report = path("again.json");
        run(&flags, &["--report", text(&report)]);
        assert_eq!(timeless(&report), timeless(&path("whole.json")), "killed {kill}");
    }
}

/// Ctrl-C ends a run after the segment that it is in.
#[cfg(unix)]
#[test]
fn an_interrupted_run_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let mut flags = flags(&write(dir.path(), "shop.csv", purchases().as_bytes()));
    let folder = dir.path().join("kept");
    flags.extend(["--policy", "uniform", "--steps", "600", "--every", "100"].map(str::to_owned));
    flags.retain(|flag| flag != "--probes" && flag != "3");
    flags.extend(["--checkpoint".to_owned(), text(&folder).to_owned()]);
    let log = dir.path().join("log.jsonl");
    flags.extend(["--log".to_owned(), text(&log).to_owned()]);
    let child = scall("stream")
        .args(["--device", "cpu"])
        .args(&flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Once it trains.
    let begin = Instant::now();
    while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"steps\"")) {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let (shown, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(130), "{shown}{said}");
    assert!(said.contains("ends after this segment"), "{said}");
    assert!(said.contains("interrupted: ") && said.contains("--resume --checkpoint"), "{said}");
    let (shown, _) = run(&["--checkpoint".to_owned(), text(&folder).to_owned(), "--resume".to_owned()], &[]);
    assert!(shown.contains("resumed"), "{shown}");
}

#[test]
fn a_log_has_a_line_for_each_segment_and_step_interval() {
    let dir = tempfile::tempdir().unwrap();
    let mut flags = flags(&write(dir.path(), "shop.csv", purchases().as_bytes()));
    flags.extend(["--steps".to_owned(), "120".to_owned()]);
    let log = dir.path().join("log.jsonl");
    let page = dir.path().join("page.html");
    let more = ["--segments", "equal=3", "--steps", "120", "--log", text(&log), "--html", text(&page)];
    run(&flags[..6], &more);
    // One file, without a network: what it shows is in it.
    let page = std::fs::read_to_string(page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("const written = ")).unwrap();
    let shown: Value = serde_json::from_str(line.strip_suffix(';').unwrap()).unwrap();
    assert_eq!((shown["segments"].as_array().unwrap().len(), shown["profiles"].as_array().unwrap().len()), (3, 3));
    assert!(!page.contains("src=") && !page.contains("href="));
    let lines: Vec<Value> =
        std::fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of("segment").len(), 3);
    assert_eq!(of("segment")[2]["t"], 2);
    assert!(of("steps").len() >= 3 * 2, "{lines:?}");
    assert!(of("steps").iter().all(|line| line["steps"] == 120 && line["elapsed_seconds"].is_number()));
}

/// What a log says, without times: they differ between two runs that find the same.
fn timeless_log(path: &Path) -> Vec<Value> {
    let lines = std::fs::read_to_string(path).unwrap();
    let timeless = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["elapsed_seconds"].take();
        line["seconds"].take();
        line
    };
    lines.lines().map(timeless).collect()
}

#[test]
fn a_log_goes_on_without_double_or_missing_lines() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "shop.csv", purchases().as_bytes());
    let (log, folder) = (dir.path().join("log.jsonl"), dir.path().join("kept"));
    let mut flags = flags(&data);
    flags.extend(["--policy", "uniform", "--steps", "60"].map(str::to_owned));
    flags.retain(|flag| flag != "--probes" && flag != "3");
    let kept = ["--log", text(&log), "--checkpoint", text(&folder), "--every", "3"];
    run(&flags, &kept);
    let whole = timeless_log(&log);
    assert_eq!(whole.iter().filter(|line| line["kind"] == "segment").count(), 5);
    assert_eq!(whole.iter().filter(|line| line["kind"] == "steps").count(), 5);

    // Killed in the last segment, as far as its checkpoint and its log can say.
    let last = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.join("manifest.json").exists()).max().unwrap()
    };
    std::fs::remove_dir_all(last(&folder)).unwrap();
    let mut lines = std::fs::read_to_string(&log).unwrap();
    lines.push_str("{\"kind\": \"ste");
    std::fs::write(&log, lines).unwrap();
    let resume = [&["--resume"], &kept[..]].concat();
    run(&flags, &resume);
    assert_eq!(timeless_log(&log), whole);

    // Lines of segments that are done are made again from what was kept: without those of their steps.
    let without: Vec<String> =
        std::fs::read_to_string(&log).unwrap().lines().skip(6).map(|line| format!("{line}\n")).collect();
    std::fs::write(&log, without.concat()).unwrap();
    run(&flags, &resume);
    let segments = |lines: &[Value]| lines.iter().filter(|line| line["kind"] == "segment").cloned().collect::<Vec<_>>();
    assert_eq!(segments(&timeless_log(&log)), segments(&whole));
    std::fs::remove_file(&log).unwrap();
    run(&flags, &resume);
    assert_eq!(timeless_log(&log), segments(&whole));

    let other = write(dir.path(), "other.txt", b"{\"t\": 1}\n");
    let refused = ["--log", &other, "--checkpoint", text(&folder), "--resume"];
    assert_refused("stream", &refused, &["other.txt", "a log to go on with", "line 1"]);
    assert_eq!(std::fs::read(&other).unwrap(), b"{\"t\": 1}\n");
}
