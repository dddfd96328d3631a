//! The program as a person meets it.

mod ask;
mod checkpoint;
mod clicks;
mod compare;
mod config;
mod daily;
mod data;
mod delta;
mod documents;
mod files;
mod flags;
mod kernel_report;
#[cfg(unix)]
mod names;
mod page;
#[path = "../../src/common/record.rs"]
#[allow(dead_code, reason = "the program makes records")]
mod record;
mod stream;
mod trace;

use std::path::Path;
use std::process::{Command, Output};

/// The program, with a command.
fn scall(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_scall"));
    // Whatever terminal the tests are started from.
    program.arg(command).env_remove("COLUMNS");
    program
}

/// Runs a command on the CPU.
fn on_cpu(command: &str, args: &[&str]) -> Output {
    scall(command).args(["--device", "cpu"]).args(args).output().unwrap()
}

fn stream(args: &[&str]) -> Output {
    on_cpu("stream", args)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A small stream in which everybody buys something new at all times.
fn purchases() -> String {
    let rows = (0..600u32).map(|i| format!("u{},i{},{i}\n", i * 7919 % 23, (i * i / 7 + i * 13) % 41));
    std::iter::once("user,item,time\n".to_owned()).chain(rows).collect()
}

/// Fails with exit code 1 or 2, says all of `parts` on standard error, and does not panic.
#[track_caller]
fn assert_refused(command: &str, args: &[&str], parts: &[&str]) {
    let output = on_cpu(command, args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{args:?}: {:?} {said}", output.status);
    assert!(!said.contains("panicked"), "{args:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "{args:?} should say {part:?}: {said}");
    }
}

/// The text of an SVG file whose tags match and whose text is escaped.
#[track_caller]
fn assert_svg(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    // XML has no control characters but these, and none of the two that are no characters at all.
    let is_control = |c: char| c.is_control() && !"\t\r\n".contains(c) || "\u{fffe}\u{ffff}".contains(c);
    assert!(!text.contains(is_control), "{path}");
    assert!(text.starts_with("<svg ") && text.contains("xmlns=\"http://www.w3.org/2000/svg\""), "{path}");
    let mut open = Vec::new();
    for piece in text.split('<').skip(1) {
        let (tag, words) = piece.split_once('>').unwrap_or_else(|| panic!("{path}: no end: <{piece}"));
        assert_eq!(tag.matches('"').count() % 2, 0, "{path}: <{tag}>");
        assert!(!words.contains('>') && !tag.contains("NaN"), "{path}: {piece}");
        let known = ["amp;", "lt;", "gt;", "quot;", "apos;", "#"];
        let mut entities = piece.split('&').skip(1);
        assert!(entities.all(|rest| known.iter().any(|entity| rest.starts_with(entity))), "{path}: {piece}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{path}: </{name}>"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{path}: {open:?} stay open");
    text
}
