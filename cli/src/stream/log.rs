//! What happens, as lines of JSON that are written when it happens.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use scall_gpu::file::atomic;
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
    /// Seconds of the runs before, that this one goes on from.
    before: f64,
    /// The segment and the step of the last line.
    last: Cell<(usize, u32)>,
}

impl Log {
    /// Begins a file, or goes on with the one of a run of which these segments are done. Lines of later segments were
    /// written after the last checkpoint, and leave it: those segments are done again. A segment that has no line
    /// gets one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadFile`] for a file to go on with that is no log.
    pub fn open(path: &Path, done: &[SegmentReport]) -> Result<Self> {
        let io = |source| Error::Io { file: path.to_owned(), source };
        let goes_on = !done.is_empty();
        // What is no file, such as a pipe, has nothing to go on with.
        let before = if goes_on && (path.is_file() || !path.exists()) { continued(path, done)? } else { 0.0 };
        let file = File::options().create(true).append(goes_on).write(true).truncate(!goes_on).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: file.map_err(io)?,
            begin: Instant::now(),
            before,
            last: Cell::default(),
        })
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
        self.write(segment(report))
    }

    fn write(&self, mut line: Value) -> Result<()> {
        line["elapsed_seconds"] = (self.before + self.begin.elapsed().as_secs_f64()).into();
        let text = format!("{line}\n");
        (&self.file).write_all(text.as_bytes()).map_err(|source| Error::Io { file: self.path.clone(), source })
    }
}

fn segment(report: &SegmentReport) -> Value {
    let mut line = serde_json::to_value(Segment::from(report)).expect("numbers and strings only");
    line["kind"] = "segment".into();
    line
}

/// Makes the log what it would be had the run ended with these segments. Returns the seconds of its last line.
fn continued(path: &Path, done: &[SegmentReport]) -> Result<f64> {
    let io = |source| Error::Io { file: path.to_owned(), source };
    let lines = match path.exists() {
        true => Some(BufReader::new(File::open(path).map_err(io)?)),
        false => None,
    };
    atomic::write(path, |file| {
        // The first segment whose own line, the last of its lines, is not there.
        let (mut next, mut elapsed) = (0, 0.0);
        let mut lines = lines.into_iter().flat_map(|lines| lines.split(b'\n')).enumerate().peekable();
        while let Some((number, text)) = lines.next() {
            let text = text.map_err(io)?;
            let line: Value = serde_json::from_slice(&text).unwrap_or_default();
            let Some(t) = line["t"].as_u64().map(|t| t as usize).filter(|_| line["kind"].is_string()) else {
                // What a killed program left of its last line.
                if lines.peek().is_none() && number > 0 {
                    break;
                }
                return Err(Error::BadFile {
                    file: path.to_owned(),
                    expected: "a log to go on with, or no file".to_owned(),
                    found: format!("line {}, which is none of a log's", number + 1),
                });
            };
            if t < next || t >= done.len() {
                continue;
            }
            for missing in &done[next..t] {
                file.put(format!("{}\n", segment(missing)).as_bytes())?;
            }
            file.put(&[&text[..], b"\n"].concat())?;
            next = if line["kind"] == "segment" { t + 1 } else { t };
            elapsed = line["elapsed_seconds"].as_f64().unwrap_or(elapsed);
        }
        for missing in &done[next..] {
            file.put(format!("{}\n", segment(missing)).as_bytes())?;
        }
        Ok(elapsed)
    })
}
