//! Completions of commands and flags, for shells.
//!
//! ```text
//! source <(scall completions bash)
//! ```

use clap_complete::Shell;

use crate::common::put;

/// Prints a script that completes commands and flags in a shell.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell that is to load it
    #[arg(value_enum)]
    shell: Shell,
}

impl Args {
    /// Prints the script of a command line.
    pub fn run(&self, command: &mut clap::Command) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "scall", &mut script);
        put(String::from_utf8_lossy(&script).trim_end());
    }
}
