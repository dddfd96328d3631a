//! Examples, run as programs.

use std::path::PathBuf;
use std::process::{Command, Output};

/// An example's binary, which cargo builds next to the tests.
pub fn binary(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let binary: PathBuf = tests.ancestors().nth(2).unwrap().join("examples").join(file);
    assert!(binary.exists(), "{} is not built: run all targets with `cargo test`", binary.display());
    Command::new(binary)
}

/// Runs an example's binary.
pub fn example(name: &str, args: &[&str]) -> Output {
    binary(name).args(args).output().unwrap()
}
