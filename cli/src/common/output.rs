//! What a person sees, and what another program reads.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use scall_gpu::text::printable;
use serde::Serialize;

use super::exit::shown;
use super::progress::suspended;

/// The exit code of a program whose reader has gone: 128 and the number of SIGPIPE, as shells have it.
const CLOSED_PIPE: i32 = 141;

static HUSHED: AtomicBool = AtomicBool::new(false);

/// What a command prints on standard output.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Json {
    /// Print the result as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

impl Json {
    /// Whether the result is JSON. From now on [`print()`] keeps standard output to it, then.
    pub fn asked(self) -> bool {
        if self.json {
            hush();
        }
        self.json
    }
}

/// From now on nothing is printed for a person.
pub fn hush() {
    HUSHED.store(true, Ordering::Relaxed);
}

/// Prints lines for a person, unless none is there to read them.
pub fn print(lines: &str) {
    if !HUSHED.load(Ordering::Relaxed) {
        put(lines);
    }
}

/// Prints a result as JSON, with what a terminal would obey in escapes of JSON's own.
pub fn print_json(result: &impl Serialize) {
    let text = serde_json::to_string_pretty(result).expect("numbers and strings only");
    let is_plain = |c: char| c == '\n' || c.is_ascii_graphic() || c == ' ' || printable(c.to_string()).chars().eq([c]);
    let escaped = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    put_raw(&text.chars().map(|c| if is_plain(c) { c.to_string() } else { escaped(c) }).collect::<String>());
}

/// Prints lines in any case.
pub fn put(lines: &str) {
    put_raw(&shown(lines));
}

/// A reader that has gone, such as `head`, ends the program quietly; any other failure ends it loudly.
fn put_raw(lines: &str) {
    let written = suspended(|| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{lines}").and_then(|()| out.flush())
    });
    if let Err(error) = written {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(CLOSED_PIPE);
        }
        eprintln!("error: standard output: {error}");
        std::process::exit(1);
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
