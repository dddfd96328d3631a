//! What happens, as lines of JSON that are written when it happens.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use scall_gpu::{Error, Phase, Result, SegmentReport};
use serde_json::{Value, json};

use super::report::Segment;

/// Training steps between two lines.
const STEPS: u32 = 50;

/// A file of lines. It grows while the run does, so it is no file that is whole or absent.
pub struct Log {
    path: PathBuf,
    file: File,
    begin: Instant,
    /// The segment and the step of the last line.
    last: Cell<(usize, u32)>,
}

impl Log {
    /// Begins a file, or goes on with the one of a run that was kept.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path, resumed: bool) -> Result<Self> {
        let mut options = File::options();
        let options = options.create(true).append(resumed).write(true).truncate(!resumed);
        let file = options.open(path).map_err(|source| Error::Io { file: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, begin: Instant::now(), last: Cell::default() })
    }

    /// Hears where segment `t` is. A line that cannot be written is reported when the segment ends.
    pub fn hear(&self, t: usize, phase: Phase) {
        let Phase::Train { done, steps } = phase else { return };
        let (last_t, last) = self.last.get();
        let last = if last_t == t { last } else { 0 };
        if done / STEPS > last / STEPS || (done == steps && done > last) {
            self.last.set((t, done));
            let _ = self.write(json!({"kind": "steps", "t": t, "done": done, "steps": steps}));
        }
    }

    /// A segment is done.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn segment(&self, report: &SegmentReport) -> Result<()> {
        let mut line = serde_json::to_value(Segment::from(report)).expect("numbers and strings only");
        line["kind"] = "segment".into();
        self.write(line)
    }

    fn write(&self, mut line: Value) -> Result<()> {
        line["elapsed_seconds"] = self.begin.elapsed().as_secs_f64().into();
        let text = format!("{line}\n");
        (&self.file).write_all(text.as_bytes()).map_err(|source| Error::Io { file: self.path.clone(), source })
    }
}
