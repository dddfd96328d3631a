//! The files that the program writes: none of them is an input or another's, and none is left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use super::{assert_refused, on_cpu, purchases, scall, write};

/// Names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Other ways to name a file.
fn aliases(folder: &Path, name: &str) -> Vec<String> {
    let path = folder.join(name);
    let mut aliases = vec![path.clone(), folder.join(".").join(name), folder.join("sub").join("..").join(name)];
    #[cfg(unix)]
    {
        let (soft, hard) = (folder.join("soft"), folder.join("hard"));
        std::os::unix::fs::symlink(name, &soft).unwrap();
        std::os::unix::fs::symlink("soft", folder.join("softer")).unwrap();
        fs::hard_link(&path, &hard).unwrap();
        aliases.extend([soft, hard, folder.join("softer"), folder.join("sub").join("..").join("hard")]);
    }
    aliases.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect()
}

#[test]
fn an_output_that_is_an_input_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let data = write(dir.path(), "x.csv", purchases().as_bytes());
    let aliases = aliases(dir.path(), "x.csv");
    let before = names(dir.path());
    for (program, input, output) in [
        ("stream", "--data", "--report"),
        ("stream", "--data", "--plot"),
        ("compare", "--data", "--csv"),
        ("compare", "--data", "--plot"),
        ("report", "--torch", "--json"),
    ] {
        for alias in &aliases {
            for (input_path, output_path) in [(&data, alias), (alias, &data)] {
                let args = [input, input_path.as_str(), output, output_path.as_str()];
                assert_refused(program, &args, &[output, "another file", input]);
            }
        }
    }
    assert_eq!(fs::read_to_string(&data).unwrap(), purchases());
    assert_eq!(names(dir.path()), before);
}

#[test]
fn two_outputs_of_one_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let data = write(dir.path(), "x.csv", purchases().as_bytes());
    let old = write(dir.path(), "old", b"kept");
    let mut pairs: Vec<(String, String)> =
        aliases(dir.path(), "old").into_iter().map(|alias| (old.clone(), alias)).collect();
    // One that is not there yet, and a link that leads to it.
    let new = dir.path().join("new").to_str().unwrap().to_owned();
    pairs.push((new.clone(), dir.path().join("./sub/../new").to_str().unwrap().to_owned()));
    #[cfg(unix)]
    {
        let link = dir.path().join("dangling");
        std::os::unix::fs::symlink("new", &link).unwrap();
        pairs.push((new.clone(), link.to_str().unwrap().to_owned()));
    }
    let before = names(dir.path());
    for (one, other) in &pairs {
        for (program, flags) in [("stream", ["--report", "--plot"]), ("compare", ["--csv", "--plot"])] {
            assert_refused(
                program,
                &["--data", &data, flags[0], one, flags[1], other],
                &[flags[0], flags[1], "another file"],
            );
        }
    }
    assert_eq!(fs::read(&old).unwrap(), b"kept");
    assert_eq!(names(dir.path()), before);
}

#[test]
fn an_output_that_cannot_be_written_is_known_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let absent = dir.path().join("absent").join("out").to_str().unwrap().to_owned();
    for (program, flag) in [
        ("stream", "--report"),
        ("stream", "--plot"),
        ("compare", "--csv"),
        ("compare", "--plot"),
        ("report", "--json"),
        ("scaling", "--plot"),
    ] {
        for path in [folder, &absent] {
            let output = on_cpu(program, &[flag, path]);
            assert!(output.stdout.is_empty(), "{program}: {}", String::from_utf8_lossy(&output.stdout));
            assert_refused(program, &[flag, path], &[path]);
        }
    }
    assert!(names(dir.path()).is_empty());
}

#[test]
fn an_error_leaves_no_file_and_an_old_one_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "x.csv", purchases().as_bytes());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (new, old) = (path("new"), write(dir.path(), "old", b"kept"));
    for out in [&new, &old] {
        for flag in ["--report", "--plot"] {
            let args = ["--data", &data, flag, out, "--learning-rate", "1e38", "--segments", "equal=2"];
            assert_refused("stream", &args, &["diverged"]);
        }
    }
    let args = ["--data", &data, "--csv", &new, "--learning-rate", "1e38", "--segments", "equal=2", "--seeds", "1"];
    assert_refused("compare", &args, &["diverged"]);
    assert_eq!(fs::read(&old).unwrap(), b"kept");
    assert_eq!(names(dir.path()), ["old", "x.csv"]);
}

/// A run that lasts until it is killed, once it has printed a line that begins so.
fn started(program: &str, args: &[&str], line: &str) -> Child {
    let long = ["--device", "cpu", "--steps", "1000000000"];
    let mut child = scall(program).args(long).args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|found| found.unwrap().starts_with(line)), "{program} ended");
    // The pipe must stay open.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[test]
fn a_run_that_is_killed_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "x.csv", purchases().as_bytes());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (report, plot, old) = (path("report"), path("plot"), write(dir.path(), "old", b"kept"));
    for (report, plot) in [(&report, &plot), (&old, &plot), (&report, &old)] {
        let args = ["--data", &data, "--segments", "equal=2", "--report", report, "--plot", plot];
        let mut child = started("stream", &args, "policy");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(names(dir.path()), ["old", "x.csv"]);
    }
    assert_eq!(fs::read(&old).unwrap(), b"kept");
}

#[test]
fn two_comparisons_do_not_write_to_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "x.csv", purchases().as_bytes());
    let csv = dir.path().join("runs.csv").to_str().unwrap().to_owned();
    let link = dir.path().join(if cfg!(unix) { "link.csv" } else { "runs.csv" });
    #[cfg(unix)]
    std::os::unix::fs::symlink("runs.csv", &link).unwrap();
    let args = |csv| ["--data", &data, "--segments", "equal=2", "--seeds", "1", "--policies", "uniform", "--csv", csv];
    let mut first = started("compare", &args(&csv), "runs");
    let header = fs::read_to_string(&csv).unwrap();
    assert!(header.starts_with("policy,budget,seed,") && header.lines().count() == 1, "{header}");
    for path in [&csv, link.to_str().unwrap()] {
        assert_refused(
            "compare",
            &[&args(path)[..], &["--steps", "3"]].concat(),
            &["--csv", "no other comparison", path],
        );
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // It goes with its process, and what was started is finished.
    let output = on_cpu("compare", &[&args(&csv)[..], &["--steps", "3"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&csv).unwrap();
    assert!(text.starts_with(&header) && text.lines().count() == 6, "{text}");
}

/// Many at once: each ends well or is refused, and every line of the file is whole.
#[test]
fn comparisons_that_race_leave_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "x.csv", purchases().as_bytes());
    let csv = dir.path().join("runs.csv").to_str().unwrap().to_owned();
    let args = [
        "--device",
        "cpu",
        "--data",
        &data,
        "--segments",
        "equal=2",
        "--steps",
        "3",
        "--policies",
        "uniform",
        "--csv",
        &csv,
    ];
    let spawn = |_| scall("compare").args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let runs: Vec<Child> = (0..6).map(spawn).collect();
    let mut done = 0;
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() || said.contains("no other comparison"), "{said}");
        done += u32::from(output.status.success());
    }
    assert!(done > 0);
    let text = fs::read_to_string(&csv).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    // Three seeds and four baselines, each once.
    assert_eq!(reader.records().map(Result::unwrap).count(), 7, "{text}");
}
