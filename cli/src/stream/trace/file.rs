//! The file: JSON of the [trace event format][format], a line an event.
//!
//! Every event is a complete one (`"ph": "X"`) with begin and duration in microseconds. It is written when it ends, and
//! nothing but 64 KiB of text is held back. The format allows the last bracket to be absent, so what a killed run
//! leaves can be shown too.
//!
//! [format]: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use scall_gpu::{Error, Result};
use serde_json::{Map, Value, json};

/// Bytes that are collected before the system is asked to write them.
const HELD: usize = 64 * 1024;

/// Bytes of the end of a file that its last events are looked for in.
const TAIL: u64 = 64 * 1024;

/// What a trace begins with.
const FIRST: &[u8; 2] = b"[\n";

/// Nanoseconds between the last event of a run and the first one of what goes on from it.
const GAP: u64 = 1_000_000;

/// A line of the picture.
#[derive(Clone, Copy, Debug)]
pub enum Track {
    Host(usize),
    Gpu(usize),
}

impl Track {
    /// Its process and its thread, as the format calls them.
    fn ids(self) -> (usize, usize) {
        match self {
            Self::Host(track) => (1, track + 1),
            Self::Gpu(track) => (2, track + 1),
        }
    }
}

/// What happened from a moment on, in nanoseconds, for so long.
pub struct Event<'a> {
    pub name: &'a str,
    pub kind: &'static str,
    pub track: Track,
    pub begin: u64,
    pub duration: u64,
    pub fields: Map<String, Value>,
}

/// A file of events that grows.
pub struct Events {
    path: PathBuf,
    /// Opened by the first write, so that a run which is refused leaves what was there.
    file: Option<File>,
    /// Bytes of the file that stay.
    kept: u64,
    /// Whole lines that are not written.
    text: Vec<u8>,
    /// Whether there is an event that a comma has to follow.
    any: bool,
    /// What is added to each begin.
    shift: u64,
    /// The first error. Nothing is written after it.
    failed: Option<io::Error>,
    finished: bool,
}

impl Events {
    /// Begins a file. That of a run which goes on stays, and what comes is placed after its last event.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadFile`] for a file to go on with that is no trace.
    pub fn open(path: &Path, resumed: bool) -> Result<Self> {
        let (mut kept, mut shift) = (0, 0);
        // What is no file, such as a pipe, cannot be read again.
        if resumed && path.is_file() {
            let found = File::open(path).and_then(|mut file| last_event(&mut file));
            let found = found.map_err(|source| Error::Io { file: path.to_owned(), source })?;
            let (len, end) = found.ok_or_else(|| Error::BadFile {
                file: path.to_owned(),
                expected: "a trace to go on with, or no file".to_owned(),
                found: "something else".to_owned(),
            })?;
            (kept, shift) = (len, if len > 0 { end + GAP } else { 0 });
        }
        let (path, text) = (path.to_owned(), Vec::with_capacity(2 * HELD));
        let mut events = Self { path, file: None, kept, text, any: kept > 0, shift, failed: None, finished: false };
        events.name_process(Track::Host(0), "scall stream");
        Ok(events)
    }

    /// Says what is shown over the tracks of a process.
    pub fn name_process(&mut self, track: Track, name: &str) {
        self.line(
            &json!({"ph": "M", "pid": track.ids().0, "name": "process_name", "args": {"name": name}}).to_string(),
        );
    }

    /// Says what is shown next to a track.
    pub fn name_track(&mut self, track: Track, name: &str) {
        let (pid, tid) = track.ids();
        let names = json!({"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}});
        self.line(&names.to_string());
    }

    /// Takes an event that has ended.
    pub fn put(&mut self, event: &Event<'_>) {
        let (pid, tid) = event.track.ids();
        let (begin, duration) = (microseconds(event.begin + self.shift), microseconds(event.duration));
        let (name, kind) = (Value::from(event.name), event.kind);
        let args = match event.fields.is_empty() {
            true => String::new(),
            false => format!(",\"args\":{}", Value::Object(event.fields.clone())),
        };
        let when = format!("\"ts\":{begin},\"dur\":{duration}");
        self.line(&format!(
            "{{\"ph\":\"X\",\"pid\":{pid},\"tid\":{tid},\"cat\":\"{kind}\",\"name\":{name},{when}{args}}}"
        ));
    }

    fn line(&mut self, line: &str) {
        if self.finished || self.failed.is_some() {
            return;
        }
        self.text.extend_from_slice(if std::mem::replace(&mut self.any, true) { b",\n" } else { FIRST });
        self.text.extend_from_slice(line.as_bytes());
        if self.text.len() >= HELD {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.failed.is_none() {
            self.failed = self.try_write().err();
        }
        self.text.clear();
    }

    fn try_write(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let kept = self.kept;
            let mut file = File::options().create(true).write(true).truncate(kept == 0).open(&self.path)?;
            if kept > 0 {
                file.set_len(kept)?;
                file.seek(SeekFrom::End(0))?;
            }
            self.file = Some(file);
        }
        let mut file = self.file.as_ref().expect("it is open");
        file.write_all(&self.text)
    }

    /// Writes what is held back.
    ///
    /// # Errors
    /// [`Error::Io`] with the first that writing reported.
    pub fn flush(&mut self) -> Result<()> {
        self.write();
        match self.failed.take() {
            Some(source) => {
                self.finished = true;
                Err(Error::Io { file: self.path.clone(), source })
            }
            None => Ok(()),
        }
    }

    /// Whether something was written.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Writes the last bracket.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    pub fn finish(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.finished, true) {
            self.text.extend_from_slice(b"\n]\n");
        }
        self.flush()
    }
}

/// With three places, which are the nanoseconds.
fn microseconds(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000)
}

/// Where the last whole event of a trace ends in the file, and when the last of its last events ended; none for what is
/// no trace. What a killed program left of a line comes after it.
fn last_event(file: &mut File) -> io::Result<Option<(u64, u64)>> {
    let len = file.metadata()?.len();
    let mut first = vec![0; len.min(FIRST.len() as u64) as usize];
    file.read_exact(&mut first)?;
    if !FIRST.starts_with(&first) {
        return Ok(None);
    }
    let from = len.saturating_sub(TAIL).max(first.len() as u64);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut tail)?;
    let (mut at, mut found, mut end) = (from, 0, 0);
    for line in tail.split_inclusive(|&byte| byte == b'\n') {
        let text = line.trim_ascii_end();
        let text = text.strip_suffix(b",").unwrap_or(text);
        if let Ok(event @ Value::Object(_)) = serde_json::from_slice(text) {
            let of = |key: &str| event[key].as_f64().unwrap_or(0.0);
            end = end.max(((of("ts") + of("dur")) * 1e3) as u64);
            found = at + text.len() as u64;
        }
        at += line.len() as u64;
    }
    Ok(Some((found, end)))
}
