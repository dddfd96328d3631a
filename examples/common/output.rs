//! What a person sees.

use std::io::Write;
use std::path::PathBuf;

use scall_gpu::{Error, Result};

/// Prints a line. A reader that has gone, such as `head`, ends the program quietly; any other failure ends it loudly.
pub fn print(line: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            eprintln!("error: standard output: {error}");
        }
        std::process::exit(i32::from(error.kind() != std::io::ErrorKind::BrokenPipe));
    }
}

/// Bytes for a person, by 1000.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Files that cannot be written are known before the run, not after it, and so are two flags with one file. What they hold stays until
/// then.
pub fn check_outputs(op: &'static str, files: &[(&'static str, &Option<PathBuf>)]) -> Result<()> {
    let mut known: Vec<(&str, PathBuf)> = Vec::new();
    for &(arg, path) in files {
        let Some(path) = path else { continue };
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let place = opened.and_then(|_| path.canonicalize());
        let place = place.map_err(|source| Error::Io { file: path.clone(), source })?;
        if let Some((other, _)) = known.iter().find(|(_, known)| *known == place) {
            let (expected, got) = (format!("another file than that of {other}"), path.display().to_string());
            return Err(Error::Argument { op, arg, expected, got });
        }
        known.push((arg, place));
    }
    Ok(())
}
