//! What a person sees.

use std::io::Write;

use super::exit::shown;

/// Prints lines. A reader that has gone, such as `head`, ends the program quietly; any other failure ends it loudly.
pub fn print(lines: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{}", shown(lines)) {
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
