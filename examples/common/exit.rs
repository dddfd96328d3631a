//! How a program ends.

use std::fmt::Display;
use std::process::{ExitCode, Termination};

use scall_gpu::text::printable;

/// Ends a program. An error becomes a sentence on standard error, whatever it is made of, and the exit code 1.
pub fn exit<T: Termination, E: Display>(result: Result<T, E>) -> ExitCode {
    match result {
        Ok(code) => code.report(),
        Err(error) => {
            eprintln!("error: {}", shown(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Lines that a terminal shows and does not obey, whatever they hold.
pub fn shown(lines: &str) -> String {
    lines.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}
