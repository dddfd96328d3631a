//! Spans and kernels as a file of trace events, for a viewer such as Perfetto.
//!
//! The library's spans become events on *tracks*. One that begins within the innermost span of a track goes to that
//! track; else another span of the same parent is still open, as with probes side by side, and it goes to the first
//! track without an open one. So what lies on one track is nested, whatever threads did the work. Checkpoints, which
//! are written while the next segment is at work, have a track of their own. Kernels of the CPU lie on the track of the
//! span that launched them. Those of a GPU have tracks of their own.

mod file;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use file::{Event, Events, Track};
use scall_gpu::Result;
use scall_gpu::device::{KERNEL_TIMES, clock_start};
use scall_gpu::spans::SPANS;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_core::span::Current;

/// Hears spans and kernels, and writes them when they end.
pub struct Trace {
    state: Mutex<State>,
}

struct State {
    events: Events,
    /// Spans that are open.
    open: HashMap<u64, Open>,
    last_id: u64,
    /// The open spans of each track, the innermost one last.
    tracks: Vec<Vec<u64>>,
    /// The track of checkpoints.
    checkpoints: Option<usize>,
    /// When the last kernel of each of the GPU's tracks ends.
    gpu_ends: Vec<u64>,
}

struct Open {
    metadata: &'static Metadata<'static>,
    handles: usize,
    track: usize,
    begin: u64,
    fields: Map<String, Value>,
}

thread_local! {
    /// The spans that this thread is in.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Trace {
    /// Begins a trace, or goes on with that of a run that was kept.
    ///
    /// # Errors
    /// For a file that cannot be written, and for one of a run that goes on that is no trace.
    pub fn open(path: &Path, resumed: bool) -> Result<Arc<Self>> {
        let events = Events::open(path, resumed)?;
        let (open, tracks) = (HashMap::new(), Vec::new());
        let state = State { events, open, last_id: 0, tracks, checkpoints: None, gpu_ends: Vec::new() };
        Ok(Arc::new(Self { state: Mutex::new(state) }))
    }

    /// Names the GPU's tracks.
    pub fn gpu_is(&self, name: &str) {
        self.state().events.name_process(Track::Gpu(0), name);
    }

    /// Hands all that ended to the system.
    ///
    /// # Errors
    /// The first that writing reported.
    pub fn flush(&self) -> Result<()> {
        self.state().events.flush()
    }

    /// Ends the file. What is heard later is not written.
    ///
    /// # Errors
    /// The first that writing reported.
    pub fn finish(&self) -> Result<()> {
        self.state().events.finish()
    }

    /// The same for a run that fails: what it did is the most interesting. Nothing where none was opened.
    pub fn close(&self) -> Result<()> {
        let mut state = self.state();
        if state.events.is_open() { state.events.finish() } else { Ok(()) }
    }

    /// What is in here is consistent after each change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nanoseconds on the clock of the kernels.
fn now() -> u64 {
    let start = clock_start();
    Instant::now().saturating_duration_since(start).as_nanos() as u64
}

impl State {
    /// The track for what begins in a span.
    fn track_in(&mut self, parent: Option<u64>) -> usize {
        if let Some((parent, open)) = parent.and_then(|id| Some((id, self.open.get(&id)?)))
            && self.tracks[open.track].last() == Some(&parent)
        {
            return open.track;
        }
        let free = |(track, open): (usize, &Vec<u64>)| open.is_empty() && self.checkpoints != Some(track);
        self.tracks.iter().enumerate().position(free).unwrap_or_else(|| {
            let track = self.tracks.len();
            let name = if track == 0 { "run".to_owned() } else { format!("side by side {track}") };
            self.new_track(&name)
        })
    }

    fn new_track(&mut self, name: &str) -> usize {
        let track = self.tracks.len();
        self.tracks.push(Vec::new());
        self.events.name_track(Track::Host(track), name);
        track
    }

    /// The track of checkpoints, of which one is written at a time.
    fn checkpoint_track(&mut self) -> usize {
        let track = self.checkpoints.unwrap_or_else(|| self.new_track("checkpoints"));
        self.checkpoints = Some(track);
        track
    }

    fn kernel(&mut self, kernel: Kernel) {
        let Kernel { kernel: name, begin, nanoseconds: duration, gpu_begin } = kernel;
        let mut fields = Map::new();
        let track = match gpu_begin {
            Some(of_gpu) => {
                fields.insert("gpu_begin_ns".to_owned(), of_gpu.into());
                let ends = &mut self.gpu_ends;
                let track = ends.iter().position(|&end| end <= begin).unwrap_or(ends.len());
                if track == ends.len() {
                    ends.push(0);
                    self.events.name_track(Track::Gpu(track), "kernels");
                }
                self.gpu_ends[track] = begin + duration;
                Track::Gpu(track)
            }
            None => {
                let entered = ENTERED.with_borrow(|entered| entered.last().copied());
                let open = entered.and_then(|id| self.open.get(&id)).map(|open| open.track);
                Track::Host(open.unwrap_or_else(|| self.track_in(None)))
            }
        };
        self.events.put(&Event { name: &name, kind: "kernel", track, begin, duration, fields });
    }
}

impl Subscriber for Trace {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.is_span() {
            true => metadata.target() == SPANS,
            false => metadata.target() == KERNEL_TIMES,
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let parent = match span.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if span.is_contextual() => ENTERED.with_borrow(|entered| entered.last().copied()),
            None => None,
        };
        let mut fields = Map::new();
        span.record(&mut Fields(&mut fields));
        let mut state = self.state();
        // Under the lock, as the end of the span before on this track.
        let begin = now();
        let track = match span.metadata().name() {
            "checkpoint" => state.checkpoint_track(),
            _ => state.track_in(parent),
        };
        state.last_id += 1;
        let id = state.last_id;
        state.tracks[track].push(id);
        state.open.insert(id, Open { metadata: span.metadata(), handles: 1, track, begin, fields });
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(open) = self.state().open.get_mut(&span.into_u64()) {
            values.record(&mut Fields(&mut open.fields));
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut kernel = Kernel::default();
        event.record(&mut kernel);
        self.state().kernel(kernel);
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            let last = entered.iter().rposition(|&id| id == span.into_u64());
            last.map(|at| entered.remove(at));
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some(open) = self.state().open.get_mut(&span.into_u64()) {
            open.handles += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let id = span.into_u64();
        let mut state = self.state();
        let end = now();
        match state.open.get_mut(&id) {
            Some(open) if open.handles > 1 => {
                open.handles -= 1;
                return false;
            }
            Some(_) => {}
            None => return false,
        }
        if let Some(Open { metadata, track, begin, fields, .. }) = state.open.remove(&id) {
            state.tracks[track].retain(|&of| of != id);
            let (name, track, duration) = (metadata.name(), Track::Host(track), end - begin);
            state.events.put(&Event { name, kind: "span", track, begin, duration, fields });
        }
        true
    }

    fn current_span(&self) -> Current {
        let Some(id) = ENTERED.with_borrow(|entered| entered.last().copied()) else { return Current::none() };
        match self.state().open.get(&id) {
            Some(open) => Current::new(Id::from_u64(id), open.metadata),
            None => Current::none(),
        }
    }
}

/// Fields of a span, as they go into the file.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

/// What the event of a kernel says.
#[derive(Default)]
struct Kernel {
    kernel: String,
    begin: u64,
    nanoseconds: u64,
    gpu_begin: Option<u64>,
}

impl Visit for Kernel {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "begin" => self.begin = value,
            "nanoseconds" => self.nanoseconds = value,
            "gpu_begin" => self.gpu_begin = Some(value),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "kernel" {
            self.kernel = value.to_owned();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
