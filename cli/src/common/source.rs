//! A recommender that was kept, to be asked.

use std::path::PathBuf;

use scall_gpu::run::DeviceChoice;
use scall_gpu::{Result, Scall};

use super::device::{Threads, choices, open};
use super::kept::Kept;

/// The flags of every command that asks a recommender.
#[derive(clap::Args, Debug)]
pub struct Source {
    /// Folder of checkpoints, of `scall stream` or `scall serve`
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,

    /// Where to rank
    ///
    /// A hardware GPU or else the CPU (auto), the best GPU there is, software included (gpu), or the CPU.
    #[arg(long, value_parser = choices(), default_value = "cpu")]
    pub device: DeviceChoice,

    #[command(flatten)]
    pub threads: Threads,
}

impl Source {
    /// The run as it was kept last.
    ///
    /// # Errors
    /// Those of [`Kept::open`].
    pub fn open(&self) -> Result<Kept> {
        Kept::open(&self.checkpoint).map(|(_checkpoints, kept)| kept)
    }

    /// The recommender of a run that was kept.
    ///
    /// # Errors
    /// Those of [`Kept::restore`].
    pub fn restore(&self, kept: Kept) -> Result<Scall> {
        self.threads.start();
        kept.restore(&open(self.device)?)
    }

    /// The recommender as it was kept last.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and of [`restore`](Self::restore).
    pub fn load(&self) -> Result<Scall> {
        self.restore(self.open()?)
    }
}
