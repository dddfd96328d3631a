//! How much is said: `--quiet`, `--verbose`, and the events of the library that both are about.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use clap::ArgAction;
use scall_gpu::device::KERNEL_TIMES;
use scall_gpu::spans::SPANS;
use scall_gpu::stream::READ_PROGRESS;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

use super::exit::shown;
use super::output::hush;
use super::progress::{advance, suspended};
use crate::kernel_times::KernelTimes;

/// The flags of all commands.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Voice {
    /// Print errors alone: no table, no progress, no notes
    ///
    /// Files are written all the same. What is asked for by itself is printed too: lists, completions, and `--json`.
    #[arg(short, long, global = true)]
    quiet: bool,

    /// Say on standard error what is done; -vv says more
    ///
    /// Once: the device, segments, checkpoints. Twice: files read, and the phases of a segment. Each line has the
    /// seconds since the program began.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether errors alone are wanted.
pub fn quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Says something on standard error that is no error.
pub fn note(words: &str) {
    if !quiet() {
        suspended(|| eprintln!("{}", shown(words)));
    }
}

impl Voice {
    /// Whether much and nothing are wanted at once. (clap does not see it where one flag stands before the command and
    /// the other one after it.)
    pub fn is_torn(self) -> bool {
        self.quiet && self.verbose > 0
    }

    /// Speaks so from now on, and listens to the library.
    pub fn begin(self) {
        if self.quiet {
            QUIET.store(true, Ordering::Relaxed);
            hush();
        }
        let most = match (self.quiet, self.verbose) {
            (true, _) => Level::ERROR,
            (_, 0) => Level::WARN,
            (_, 1) => Level::INFO,
            (_, 2) => Level::DEBUG,
            _ => Level::TRACE,
        };
        let listener = Listener { most, begin: Instant::now() };
        tracing::subscriber::set_global_default(listener).expect("the program has no other listener");
    }
}

static KERNELS: OnceLock<Arc<KernelTimes>> = OnceLock::new();

/// Listens to the times of kernels from now on, which slows a GPU down a little.
pub fn kernel_times() -> Arc<KernelTimes> {
    KERNELS.get_or_init(Arc::default).clone()
}

/// Who hears of spans and kernels next to the program's own listener.
static OTHER: OnceLock<Arc<dyn Subscriber + Send + Sync>> = OnceLock::new();

/// Lets another listener hear of the library's spans and kernels from now on. There is one at most.
pub fn also_to(other: Arc<dyn Subscriber + Send + Sync>) {
    assert!(OTHER.set(other).is_ok(), "the program has one other listener at most");
}

/// Listens to the library and the program.
struct Listener {
    /// What is said: events of this level and of graver ones.
    most: Level,
    begin: Instant,
}

impl Subscriber for Listener {
    // Not once for ever: spans and the times of kernels become wanted while the program runs.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match (metadata.target(), self.enabled(metadata)) {
            (KERNEL_TIMES | SPANS, _) => Interest::sometimes(),
            (_, true) => Interest::always(),
            (_, false) => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.target() {
            KERNEL_TIMES => KERNELS.get().is_some() || OTHER.get().is_some(),
            SPANS => OTHER.get().is_some(),
            READ_PROGRESS => true,
            target => {
                // Both crates, and none of those that they are built on.
                let own = target.split("::").next().is_some_and(|of| of == "scall" || of == "scall_gpu");
                own && metadata.is_event() && *metadata.level() <= self.most
            }
        }
    }

    fn event(&self, event: &Event<'_>) {
        match event.metadata().target() {
            KERNEL_TIMES => {
                KERNELS.get().iter().for_each(|kernels| kernels.event(event));
                OTHER.get().iter().for_each(|other| other.event(event));
            }
            READ_PROGRESS => {
                let mut bytes = Bytes(0);
                event.record(&mut bytes);
                advance(bytes.0);
            }
            _ => {
                let mut line = Line::default();
                event.record(&mut line);
                let (seconds, level) = (self.begin.elapsed().as_secs_f64(), event.metadata().level());
                let level = level.as_str().to_lowercase();
                let text = format!("[{seconds:9.3} s] {level}: {}{}", line.message, line.fields);
                suspended(|| eprintln!("{}", shown(&text)));
            }
        }
    }

    // Spans are there for the other listener alone.

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        OTHER.get().map_or_else(|| Id::from_u64(1), |other| other.new_span(span))
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        OTHER.get().iter().for_each(|other| other.record(span, values));
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        OTHER.get().iter().for_each(|other| other.record_follows_from(span, follows));
    }

    fn enter(&self, span: &Id) {
        OTHER.get().iter().for_each(|other| other.enter(span));
    }

    fn exit(&self, span: &Id) {
        OTHER.get().iter().for_each(|other| other.exit(span));
    }

    fn clone_span(&self, span: &Id) -> Id {
        OTHER.get().map_or_else(|| span.clone(), |other| other.clone_span(span))
    }

    fn try_close(&self, span: Id) -> bool {
        OTHER.get().is_some_and(|other| other.try_close(span))
    }

    fn current_span(&self) -> Current {
        OTHER.get().map_or_else(Current::none, |other| other.current_span())
    }
}

/// An event as a line: what it says, then ` name=value` for each field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record_debug(field, &format_args!("{value:.4}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields += &format!(" {name}={value:?}"),
        }
    }
}

/// The bytes of [`READ_PROGRESS`].
struct Bytes(u64);

impl Visit for Bytes {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "bytes" {
            self.0 = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
