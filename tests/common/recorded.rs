//! Recorded streams, which are not part of the repository.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A recorded stream by its name under `SCALL_DATA` (default: `../shared/data` beside the repository); where it is not
/// there, that is said loudly.
pub fn recorded(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = std::env::var_os("SCALL_DATA").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    // Not by a macro, whose output the test harness keeps to itself.
    let note = format!("**** NOT RUN: {} is not there; SCALL_DATA names its folder ****\n", path.display());
    std::io::stderr().write_all(note.as_bytes()).unwrap();
    None
}
