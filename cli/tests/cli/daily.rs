//! What is printed where: for a person, for a program, in a narrow terminal, and for a reader that leaves.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{assert_refused, on_cpu, purchases, scall, stream, write};

const SMALL: [&str; 6] = ["--data", "shop.csv", "--segments", "equal=3", "--steps", "3"];

/// A folder with a small stream.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "shop.csv", purchases().as_bytes());
    dir
}

/// Runs a command in a folder, on the CPU.
fn within(folder: &Path, command: &str, args: &[&str]) -> Command {
    let mut program = scall(command);
    program.current_dir(folder).args(["--device", "cpu"]).args(args);
    program
}

#[track_caller]
fn succeed(program: &mut Command) -> (String, String) {
    let Output { status, stdout, stderr } = program.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{said}");
    (String::from_utf8(stdout).unwrap(), said)
}

#[test]
fn quiet_json_and_verbose() {
    let dir = folder();
    let run = |more: &[&str]| succeed(&mut within(dir.path(), "stream", &[&SMALL[..], more].concat()));
    let nothing = (String::new(), String::new());
    assert_eq!(run(&["--quiet", "--report", "out.json", "--checkpoint", "kept"]), nothing);
    let written: Value = serde_json::from_slice(&std::fs::read(dir.path().join("out.json")).unwrap()).unwrap();
    let (shown, said) = run(&["--json", "-q"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["segments"][2]["ndcg"], &*said), (&written["segments"][2]["ndcg"], ""));

    // With the times of kernels, which are heard on the same way.
    let (shown, said) = run(&["-v", "--profile", "--checkpoint", "again"]);
    for part in ["device: CPU", "segment 2 is done", "ndcg_20=0.", "checkpoint again"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(shown.lines().any(|line| line.starts_with("rank/bpr")), "{shown}");
    assert!(!said.contains("read a file") && said.lines().all(|line| line.starts_with('[')), "{said}");
    let (_, said) = run(&["-vv"]);
    assert!(said.contains("read a file of interactions file=shop.csv format=csv") && said.contains("Resize"), "{said}");
    let both = [&SMALL[..], &["-q", "-v"]].concat();
    let output = within(dir.path(), "stream", &both).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--quiet") && output.status.code() == Some(2));

    let ask = |command: &str, args: &[&str]| {
        succeed(&mut within(dir.path(), command, &[&["--checkpoint", "kept"], args].concat()))
    };
    let (lists, _) = ask("recommend", &["u1", "u2", "--json", "-q"]);
    let lists: Vec<Value> = lists.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lists.len(), &lists[1]["user"]), (2, &"u2".into()));
    assert!(!ask("recommend", &["u1", "-q"]).0.is_empty() && ask("similar", &["i13", "--json"]).0.starts_with('{'));
    let (rows, _) = ask("export", &["items", "--out", "items.npy", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&rows).unwrap()["rows"], 38, "{rows}");

    let small = [&SMALL[..], &["--policies", "uniform", "--seeds", "2", "--json"]].concat();
    let (compared, said) = succeed(&mut within(dir.path(), "compare", &small));
    let compared: Value = serde_json::from_str(&compared).unwrap();
    super::kernel_report::assert_record(&compared, "scall-gpu/compare/1");
    assert_eq!((compared["runs"].as_array().unwrap().len(), said.lines().count()), (6, 6), "{said}");
    assert!(compared["runs"][1]["ndcg_20"].is_number() && compared["runs"][1]["seed"] == 1);
    let output = on_cpu("report", &["--only", "table/lookup", "--sizes", "1000", "--seconds", "0", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["rows"].as_array().unwrap().len() > 5);
}

#[test]
fn a_run_leaves_the_file_that_repeats_it() {
    let dir = folder();
    let run = |more: &[&str]| within(dir.path(), "stream", more);
    let first = [&SMALL[..], &["--policy", "random", "--alpha", "2", "--report", "out.json"]].concat();
    succeed(&mut run(&first));
    let toml = std::fs::read_to_string(dir.path().join("out.toml")).unwrap();
    assert!(toml.starts_with("# ") && toml.contains("alpha = 2.0"), "{toml}");
    succeed(&mut run(&["--config", "out.toml", "--report", "again.json"]));
    let segments = |name: &str| {
        let mut report: Value = serde_json::from_slice(&std::fs::read(dir.path().join(name)).unwrap()).unwrap();
        report["segments"].as_array_mut().unwrap().iter_mut().for_each(|of| drop(of["seconds"].take()));
        (report["segments"].take(), report["config"].take())
    };
    assert_eq!(segments("again.json"), segments("out.json"));
    assert_eq!(std::fs::read_to_string(dir.path().join("again.toml")).unwrap(), toml);

    // The file that is read is not written over, nor is one that somebody else wrote. One of ours is.
    let output = run(&["--config", "out.toml", "--report", "out.json"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("--config") && said.contains("--report"), "{said}");
    let own = write(dir.path(), "mine.toml", b"seed = 3\n");
    let report = dir.path().join("mine.json");
    let data = dir.path().join("shop.csv");
    let args = ["--data", data.to_str().unwrap(), "--report", report.to_str().unwrap()];
    assert_refused("stream", &args, &["mine.toml", "expected no such file"]);
    assert_eq!(std::fs::read(own).unwrap(), b"seed = 3\n");
    assert!(!report.exists());
    succeed(&mut run(&[&SMALL[..], &["--report", "out.json"]].concat()));
}

#[test]
fn tables_fit_a_narrow_terminal() {
    let dir = folder();
    let compare = [&SMALL[..], &["--policies", "uniform,random", "--seeds", "2"]].concat();
    let report = ["--only", "table/lookup", "--sizes", "1000", "--seconds", "0"];
    for (command, args, head, row) in [
        ("stream", &SMALL[..], "N@20", "  1 "),
        ("compare", &compare, "NDCG@20", "uniform"),
        ("report", &report, "ms", "table/lookup"),
    ] {
        for columns in [40, 80] {
            let (shown, _) = succeed(within(dir.path(), command, args).env("COLUMNS", columns.to_string()));
            let widest = shown.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(widest.chars().count() <= columns, "{command} in {columns}: {widest:?}\n{shown}");
            let whole = command == "report" && columns == 80;
            assert_eq!(shown.contains("not shown, for want of columns: "), !whole, "{shown}");
            assert!(shown.contains(head) && shown.lines().any(|line| line.starts_with(row)), "{shown}");
        }
        let (whole, _) = succeed(&mut within(dir.path(), command, args));
        assert!(whole.lines().any(|line| line.chars().count() > 110) && !whole.contains("not shown"), "{whole}");
    }
    let help = |name: &str, value: &str| {
        let output = scall("stream").arg("--help").env(name, value).output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains('\u{1b}')
    };
    assert!(!help("NO_COLOR", "1") && !help("TERM", "xterm-256color") && help("CLICOLOR_FORCE", "1"));
}

#[test]
fn completions_know_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (script, said) = succeed(scall("completions").arg(shell));
        let known = ["proposals-at-once", "scaling", "recommend"].iter().all(|word| script.contains(word));
        assert!(known && said.is_empty(), "{shell}: {script}");
    }
    let output = scall("completions").arg("csh").output().unwrap();
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("elvish"));
}

/// A reader that leaves ends the program quietly.
#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_quietly() {
    let dir = folder();
    let long = [&SMALL[..4], &["--steps", "200"]].concat();
    let recommend = ["--checkpoint", "kept", "--all"];
    succeed(&mut within(dir.path(), "stream", &[&SMALL[..], &["--checkpoint", "kept"]].concat()));
    for (command, args, code) in [
        ("stream", &long[..], 141),
        ("report", &["--only", "table/lookup", "--sizes", "1000", "--seconds", "0.05"], 141),
        ("recommend", &recommend, 141),
        // Help is done when it is written, or no one wants it.
        ("stream", &["--help"], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut program = within(dir.path(), command, args);
        let program = program.stdout(writer).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        // The end that this process still holds.
        program.stdout(Stdio::null());
        if command == "recommend" || code == 0 {
            // All of it comes at once.
            drop(reader);
        } else {
            let mut line = String::new();
            BufReader::new(reader).read_line(&mut line).unwrap();
            assert!(line.starts_with("device"), "{line}");
        }
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), &*said), (Some(code), ""), "{command} {args:?}");
    }
}

/// Ctrl-C ends a long command where it can, with what is kept and the exit code of shells.
#[cfg(unix)]
#[test]
fn interrupted_commands_say_what_is_kept() {
    let dir = folder();
    let csv = ["--policies", "uniform", "--seeds", "400", "--csv", "runs.csv", "-v"];
    let compare = [&SMALL[..4], &["--steps", "60"], &csv].concat();
    let report = ["--only", "table/lookup", "--sizes", "1000,2000,3000", "--seconds", "0.2"];
    for (command, args, from_errors, first, kept) in [
        ("compare", &compare[..], true, "run is done", "runs.csv, and the same command goes on"),
        ("report", &report, false, "table/lookup", "what was measured is above"),
    ] {
        let mut program = within(dir.path(), command, args);
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (watched, other): (Box<dyn Read + Send>, Box<dyn Read + Send>) =
            if from_errors { (Box::new(errors), Box::new(out)) } else { (Box::new(out), Box::new(errors)) };
        let other = std::thread::spawn(move || std::io::read_to_string(other).unwrap());
        let mut lines = BufReader::new(watched).lines().map(Result::unwrap);
        let before: Vec<String> = lines.by_ref().take_while(|line| !line.contains(first)).collect();
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{before:?}");
        let rest: Vec<String> = lines.collect();
        let said = rest.join("\n") + &other.join().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{command}: {said}");
        assert!(said.contains("Once more ends at once") && said.contains(kept), "{command}: {said}");
    }
    let kept = std::fs::read_to_string(dir.path().join("runs.csv")).unwrap();
    assert!(kept.ends_with('\n') && (2..401).contains(&kept.lines().count()), "{kept}");
}

#[test]
fn an_infeasible_budget_says_what_helps() {
    let dir = folder();
    let data = dir.path().join("shop.csv").to_str().unwrap().to_owned();
    assert_refused("stream", &["--data", &data, "--budget", "mean=1"], &["infeasible", "--min-size 0", "--bias none"]);
    let output = stream(&["--data", &data, "--budget", "mean=1", "--min-size", "0", "--steps", "1", "--replay", "all"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
