//! Waiting for a GPU without spinning.
//!
//! A mapping is reported from inside a poll of its device, so somebody has to poll for a future that is awaited. That
//! is a thread of the device's, there while something is awaited and a second longer: it sleeps in the driver until
//! what is submitted is done, and where nothing is (a readback may be recorded long before it is submitted) it looks
//! again every 10 ms. It ends every wait when the device is lost.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::faults::{Faults, lock};
use crate::{Error, Result};

/// How long the thread stays in the driver at most: a lost device, and a wait that was given up, are noticed by then.
const IN_DRIVER: Duration = Duration::from_millis(10);

/// How long it sleeps where nothing is submitted, at first and at last.
const ASLEEP: [Duration; 2] = [Duration::from_micros(100), Duration::from_millis(10)];

/// How long it stays without anything to wait for, so that a loop that reads does not start a thread each time.
const IDLE: Duration = Duration::from_secs(1);

/// How a wait ends: what was waited for is there, or it will never be.
pub(super) type Outcome = std::result::Result<(), String>;

/// Something that is waited for once.
#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    /// Nobody will ask any more.
    forgotten: bool,
}

impl Signal {
    /// Ends the wait; later outcomes are ignored.
    fn give(&self, outcome: Outcome) {
        let mut state = lock(&self.state);
        state.outcome.get_or_insert(outcome);
        let waker = state.waker.take();
        drop(state);
        self.given.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The outcome, or whom to wake up when it is there.
    pub fn poll(&self, waker: &Waker) -> Poll<Outcome> {
        let mut state = lock(&self.state);
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }

    /// The outcome, if it is there within a time.
    pub fn within(&self, time: Duration) -> Option<Outcome> {
        let state = lock(&self.state);
        let waiting = |state: &mut State| state.outcome.is_none();
        let (state, _) = self.given.wait_timeout_while(state, time, waiting).unwrap_or_else(PoisonError::into_inner);
        state.outcome.clone()
    }

    /// No outcome is wanted any more.
    pub fn forget(&self) {
        lock(&self.state).forgotten = true;
    }

    fn is_awaited(&self) -> bool {
        let state = lock(&self.state);
        state.outcome.is_none() && !state.forgotten
    }
}

/// Gives a signal its outcome: at the latest when it is dropped, as it is with an encoder that is never submitted.
pub(super) struct Sender(Arc<Signal>);

impl Sender {
    pub fn new() -> (Self, Arc<Signal>) {
        let signal = Arc::new(Signal::default());
        (Self(signal.clone()), signal)
    }

    pub fn give(self, outcome: Outcome) {
        self.0.give(outcome);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.give(Err("the commands that it waits for were dropped without being submitted".to_owned()));
    }
}

/// The thread that waits for a device, if there is something to wait for. Dropping it joins the thread.
#[derive(Default)]
pub(super) struct Waiter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Default)]
struct Watched {
    signals: Vec<Arc<Signal>>,
    has_thread: bool,
    is_over: bool,
}

impl Waiter {
    /// Polls the device until a signal has its outcome.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the system gives no thread.
    pub fn watch(&self, faults: &Arc<Faults>, signal: Arc<Signal>) -> Result<()> {
        let mut watched = lock(&self.shared.watched);
        watched.signals.push(signal);
        self.shared.changed.notify_all();
        if watched.has_thread {
            return Ok(());
        }
        let thread = Thread { shared: self.shared.clone(), faults: faults.clone() };
        match thread::Builder::new().name("scall-gpu wait".to_owned()).spawn(move || thread.run()) {
            Ok(handle) => {
                watched.has_thread = true;
                *lock(&self.thread) = Some(handle);
                Ok(())
            }
            Err(error) => {
                watched.signals.pop();
                Err(Error::Gpu { message: format!("no thread to wait with: {error}") })
            }
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        lock(&self.shared.watched).is_over = true;
        self.shared.changed.notify_all();
        // No thread is left in the driver when the program ends. (The last handle of a device may go in a callback, on
        // the thread itself.)
        if let Some(thread) = lock(&self.thread).take().filter(|thread| thread.thread().id() != thread::current().id())
        {
            let _ = thread.join();
        }
    }
}

struct Thread {
    shared: Arc<Shared>,
    faults: Arc<Faults>,
}

impl Thread {
    fn run(&self) {
        let mut asleep = ASLEEP[0];
        while let Some(before) = self.awaited() {
            let done = self.faults.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(IN_DRIVER) });
            match &done {
                Err(error) => self.end_all(&error.to_string()),
                Ok(_) if self.faults.is_lost() => self.end_all("the device is lost"),
                Ok(_) => {}
            }
            let watched = self.watched();
            // Nothing is under way and still something is awaited: it is not submitted yet.
            if matches!(done, Ok(true)) && watched.signals.len() == before {
                drop(self.shared.changed.wait_timeout(watched, asleep));
                asleep = (2 * asleep).min(ASLEEP[1]);
            } else {
                asleep = ASLEEP[0];
            }
        }
    }

    /// The number of signals that are awaited, as soon as there are some; none when there is nothing to do any more.
    fn awaited(&self) -> Option<usize> {
        let idle = |watched: &mut Watched| watched.signals.is_empty() && !watched.is_over;
        let waited = self.shared.changed.wait_timeout_while(self.watched(), IDLE, idle);
        let (mut watched, _) = waited.unwrap_or_else(PoisonError::into_inner);
        watched.has_thread = !watched.is_over && !watched.signals.is_empty();
        watched.has_thread.then_some(watched.signals.len())
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        let mut watched = lock(&self.shared.watched);
        watched.signals.retain(|signal| signal.is_awaited());
        watched
    }

    fn end_all(&self, failure: &str) {
        let signals = std::mem::take(&mut lock(&self.shared.watched).signals);
        signals.iter().for_each(|signal| signal.give(Err(failure.to_owned())));
    }
}

/// A callback of the owner's that panics ends the thread; what was awaited must not wait for ever.
impl Drop for Thread {
    fn drop(&mut self) {
        if thread::panicking() {
            self.end_all("a callback of the device panicked");
            lock(&self.shared.watched).has_thread = false;
        }
    }
}
