//! Checkpoints that are written while other work goes on.

use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::{Checkpoints, State};
use crate::spans::Here;
use crate::{Error, Result};

/// Saves states to [`Checkpoints`] on a thread of its own, so that the caller waits neither for the file system nor for
/// checksums.
///
/// A state that is saved is a copy of what it was taken from, so training may go on at once: the files hold what was
/// there when the state was taken, to the bit. At most one write is under way, and the next save waits for it. So
/// checkpoints come in the order of their saves, and each is whole or absent as with [`Checkpoints::save`].
///
/// # Errors
/// What the write reports comes from the next call of [`save`](Self::save) or [`wait`](Self::wait). Dropping a saver
/// waits for its write, and can only log what that reports: call [`wait`](Self::wait) at the end.
///
/// # Cost
/// The state stays in memory until it is written: a copy of all that it was taken from. Call [`wait`](Self::wait)
/// before the next state is taken, and there is never a second one.
///
/// # Example
/// ```
/// use scall_gpu::file::{Checkpoints, Saver, State};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let folder = dir.path().join("run");
/// let mut saver = Saver::new(Checkpoints::open(&folder)?);
/// let mut weights = vec![0.0f32; 4];
/// for step in 1..=3u32 {
///     weights.iter_mut().for_each(|weight| *weight += step as f32); // training, next to the write before
///     saver.wait()?;
///     let mut state = State::default();
///     state.put("weights", &weights[..]);
///     saver.save(state, format!("step {step}"))?;
/// }
/// saver.wait()?;
/// drop(saver);
///
/// let latest = Checkpoints::open(&folder)?.latest()?.expect("three were saved");
/// assert_eq!(latest.notes, "step 3");
/// assert_eq!(latest.state.numbers::<f32>("weights")?, [6.0; 4]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Saver {
    folder: PathBuf,
    checkpoints: Arc<Mutex<Checkpoints>>,
    under_way: Option<JoinHandle<Result<PathBuf>>>,
}

impl Saver {
    /// A saver to this folder, which stays locked for as long as it lives.
    pub fn new(checkpoints: Checkpoints) -> Self {
        let folder = checkpoints.folder().to_owned();
        Self { folder, checkpoints: Arc::new(Mutex::new(checkpoints)), under_way: None }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits for the write that is under way, then begins to write this state and any text with it.
    ///
    /// # Errors
    /// What the write before reported: this state is not saved then, and the next one can be. [`Error::Io`] where the
    /// system gives no thread.
    pub fn save(&mut self, state: State, notes: String) -> Result<()> {
        self.save_then(state, notes, |_| Ok(()))
    }

    /// [`save`](Self::save), and something to do once the checkpoint is on the disk, such as to let go of what it makes
    /// needless. It gets the checkpoint's folder, runs on the thread that wrote it, and does not run where the write
    /// failed. What it reports is reported as the write's own error.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    ///
    /// # Example
    /// ```
    /// use scall_gpu::file::{Checkpoints, Saver, State};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let folder = dir.path().to_owned();
    /// let log = folder.join("events.log");
    /// std::fs::write(&log, "ann bought tea")?;
    /// let mut saver = Saver::new(Checkpoints::open(&folder)?);
    /// let remove = log.clone();
    /// saver.save_then(State::default(), String::new(), move |_| {
    ///     std::fs::remove_file(&remove).map_err(|source| scall_gpu::Error::Io { file: remove, source })
    /// })?;
    /// let checkpoint = saver.wait()?.expect("it was written");
    /// assert!(checkpoint.join("manifest.json").exists() && !log.exists());
    /// # Ok(()) }
    /// ```
    pub fn save_then(
        &mut self,
        state: State,
        notes: String,
        then: impl FnOnce(&Path) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.wait()?;
        let (checkpoints, here) = (self.checkpoints.clone(), Here::now());
        let write = move || {
            here.run(|| {
                // One that panicked has left a folder that the next one passes over, as a kill does.
                let mut checkpoints = checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
                let written = checkpoints.save(&state, &notes)?;
                then(&written)?;
                Ok(written)
            })
        };
        let started = Builder::new().name("checkpoint".to_owned()).spawn(write);
        self.under_way = Some(started.map_err(|source| Error::Io { file: self.folder.clone(), source })?);
        Ok(())
    }

    /// Whether a write is under way. When it is not, [`wait`](Self::wait) has its result at once.
    pub fn is_writing(&self) -> bool {
        self.under_way.as_ref().is_some_and(|write| !write.is_finished())
    }

    /// Waits for the write that is under way. Returns the checkpoint's folder, or `None` where nothing was saved since
    /// the last call.
    ///
    /// # Errors
    /// Those of [`Checkpoints::save`], and of what was to be done then.
    ///
    /// # Panics
    /// Where the write did.
    pub fn wait(&mut self) -> Result<Option<PathBuf>> {
        let Some(write) = self.under_way.take() else { return Ok(None) };
        write.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)).map(Some)
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // No panic here: this may be one already.
        match self.under_way.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => tracing::error!("the last checkpoint was not written: {error}"),
            Some(Err(_)) => tracing::error!("the last checkpoint was not written: its thread panicked"),
            Some(Ok(Ok(_))) | None => {}
        }
    }
}
