//! What long work says of itself while it goes on, as spans of [`tracing`].
//!
//! | span | fields | what |
//! |---|---|---|
//! | `read` | | files of interactions are read, and cut to columns in time order |
//! | `restore` | | a loop is made of a state that was kept |
//! | `segment` | `t` | one segment; what follows lies in it |
//! | `search` | | the policy probes sizes on the segment before |
//! | `round` | `probes` | this many sizes are tried, which may be side by side |
//! | `probe` | `number` | one of them, counted within the search; with `resize`, `train` and `evaluate` of its own |
//! | `learn` | | the agent takes what it has observed and updates its networks |
//! | `size` | | the policy decides on sizes |
//! | `resize` | | rows move to them |
//! | `regularize` | `number` | a copy learns with another weight of squared rows, which may be side by side |
//! | `train` | | the recommender learns |
//! | `lay_out` | | in a segment's `train`: its rows are brought to the device |
//! | `steps` | `count` | in a segment's `train`: steps without anything between them |
//! | `evaluate` | | test users are ranked for, or held-out ones where training ends early |
//! | `checkpoint` | `number` | a state is written to a folder, by a [`Saver`](crate::file::Saver) next to other spans |
//!
//! Their target is [`SPANS`], their level DEBUG. Kernels are events within them, of another target
//! ([`KERNEL_TIMES`](crate::device::KERNEL_TIMES)). Where work goes to other threads, listener and span go with it. A
//! span that no one listens to costs the look at one number in memory.

use tracing::{Dispatch, Span, dispatcher};

/// Target of the spans of [this table](self).
pub const SPANS: &str = "scall_gpu::span";

/// A span that begins now, entered until it is dropped.
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)*) => {
        tracing::debug_span!(target: $crate::spans::SPANS, $name $(, $field = $value)*).entered()
    };
}
pub(crate) use span;

/// Listener and span of a thread, for work of it that another thread does.
#[derive(Clone)]
pub(crate) struct Here {
    listener: Dispatch,
    span: Span,
}

impl Here {
    /// Those of this thread.
    pub fn now() -> Self {
        Self { listener: dispatcher::get_default(Clone::clone), span: Span::current() }
    }

    /// Runs as if it ran there.
    pub fn run<R>(&self, run: impl FnOnce() -> R) -> R {
        dispatcher::with_default(&self.listener, || self.span.in_scope(run))
    }
}
