//! The commands of README and of the guide to the program, run on tiny files of the names that they have.

#[path = "../../src/tests/shell.rs"]
mod shell;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Ratings of users and items that the guide names, and of others.
fn ratings() -> String {
    let mut text = String::new();
    for i in 0..400u32 {
        let (user, item) = (40 + i * 7919 % 17, 1_375_650 + (i * i / 7 + i * 13) % 31);
        writeln!(text, "{user}::{item}::{}::{}", 1 + i % 5, 1_700_000_000 + i).unwrap();
    }
    text
}

/// A command's arguments, with those that make it short, which win over its own.
fn shortened(words: &[String]) -> Vec<&str> {
    let has = |word: &str| words.iter().any(|other| other == word);
    let mut args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    match args[0] {
        "stream" => args.extend(["--steps", "1", "--segments", "equal=2", "--device", "cpu"]),
        "compare" => args.extend(["--steps", "1", "--device", "cpu", "--seeds", "1", "--policies", "uniform"]),
        _ => {}
    }
    let reads = ["--data", "--config", "--resume", "--help"].into_iter().any(has);
    if args[0] == "stream" && !reads {
        args.extend(["--data", "ratings.dat"]);
    }
    // A policy that searches.
    if args[0] == "stream" && words[2..].iter().any(|word| word == "scall") {
        args.extend(["--probes", "3"]);
    }
    args
}

#[cfg(all(feature = "search", feature = "serve"))]
#[test]
fn the_commands_of_the_guide_do_what_they_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ratings.dat"), ratings()).unwrap();
    let events = ratings()
        .lines()
        .fold("customer,sku,rating,time\n".to_owned(), |text, line| text + &line.replace("::", ",") + "\n");
    std::fs::write(dir.path().join("events.csv"), events).unwrap();
    let mut ran = 0;
    for document in ["README.md", "docs/run.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for (line, words) in shell::commands(&text) {
            // Those that measure or serve take minutes, or for ever.
            if ["report", "scaling", "serve"].contains(&&*words[1]) {
                continue;
            }
            // Each section begins again.
            let has = |flag: &str| words.iter().any(|word| word == flag);
            if words[1] == "stream" && has("--checkpoint") && !has("--resume") {
                let _ = std::fs::remove_dir_all(dir.path().join("kept"));
            }
            let mut program = Command::new(env!("CARGO_BIN_EXE_scall"));
            let output = program.current_dir(dir.path()).args(shortened(&words)).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}:{line}: {words:?}: {said}");
            ran += 1;
            if words[1] == "stream" && has("--resume") {
                assert!(String::from_utf8_lossy(&output.stdout).contains("resumed"), "{document}:{line}");
            }
        }
    }
    assert!(ran >= 15, "{ran}");
    for name in ["out.json", "out.toml", "out.svg", "runs.csv", "items.jsonl"] {
        assert!(dir.path().join(name).is_file(), "{name}");
    }
}
