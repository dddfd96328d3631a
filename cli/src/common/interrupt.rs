//! Ctrl-C, and what a system sends to end a program.

use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use scall_gpu::{Error, Result};

use super::progress::suspended;

/// The exit code of a run that was interrupted: 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Whether somebody wants the program to end.
#[derive(Clone, Copy)]
pub struct Interrupt;

static ASKED: AtomicBool = AtomicBool::new(false);

impl Interrupt {
    /// From now on the first Ctrl-C is only heard, so that work can end where it can go on later. The second one ends
    /// the program.
    pub fn listen(what_happens: &'static str) -> Self {
        static LISTENING: OnceLock<()> = OnceLock::new();
        LISTENING.get_or_init(|| {
            let set = ctrlc::set_handler(move || {
                if ASKED.swap(true, Ordering::SeqCst) {
                    std::process::exit(INTERRUPTED.into());
                }
                // Said with --quiet too: the program does not end at once, and the one who asked should know why.
                suspended(|| eprintln!("\n{what_happens}. Once more ends at once."));
            });
            if let Err(error) = set {
                tracing::warn!("Ctrl-C ends the program at once: {error}");
            }
        });
        Self
    }

    pub fn asked(self) -> bool {
        ASKED.load(Ordering::SeqCst)
    }

    /// An error where the program should end, for work that leaves nothing unless it is whole.
    ///
    /// # Errors
    /// [`Error::Other`] once Ctrl-C has come.
    pub fn check(self) -> Result<()> {
        if self.asked() { Err(Error::other("interrupted")) } else { Ok(()) }
    }

    /// How a command ends that gives up by [`check`](Self::check): it says what is kept, and has the exit code of an
    /// interrupted program.
    ///
    /// # Errors
    /// What went wrong by itself.
    pub fn end(self, result: Result<()>, kept: &str) -> Result<ExitCode> {
        match result {
            Err(_) if self.asked() => Ok(ended(kept)),
            result => result.map(|()| ExitCode::SUCCESS),
        }
    }
}

/// Says what is kept of work that was interrupted, and gives its exit code.
pub fn ended(kept: &str) -> ExitCode {
    eprintln!("interrupted: {kept}");
    ExitCode::from(INTERRUPTED)
}
