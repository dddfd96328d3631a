//! The examples, run as programs.

use std::path::PathBuf;
use std::process::Command;

/// An example's binary, which cargo builds next to the tests.
fn binary(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let binary: PathBuf = tests.ancestors().nth(2).unwrap().join("examples").join(file);
    assert!(binary.exists(), "{} is not built: run all targets with `cargo test`", binary.display());
    Command::new(binary)
}

#[test]
fn without_an_adapter_the_error_is_a_sentence() {
    // No driver is found under these names.
    let none = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, "/no/such/driver.json"));
    let output = binary("borrowed_device").envs(none).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.lines().any(|line| line.starts_with("error: no GPU: ")), "{said}");
    }
    assert!(!said.contains("NoGpu") && !said.contains("panicked"), "{said}");
    for name in ["lookup", "resize", "bags", "hashed"] {
        let output = binary(name).envs(none).output().unwrap();
        assert!(output.status.success() && output.stdout.starts_with(b"device"), "{name}");
    }
}
