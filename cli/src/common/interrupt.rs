//! Ctrl-C, and what a system sends to end a program.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a run that was interrupted: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Whether somebody wants the program to end.
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
                eprintln!("\n{what_happens}. Once more ends at once.");
            });
            if let Err(error) = set {
                tracing::warn!("Ctrl-C ends the program at once: {error}");
            }
        });
        Self
    }

    pub fn asked(&self) -> bool {
        ASKED.load(Ordering::SeqCst)
    }
}
