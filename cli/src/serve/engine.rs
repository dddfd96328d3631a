//! A recommender that learns while it is asked.
//!
//! There are two of it. One is asked; events reach it at once, and nothing else holds it up. The other learns, on a
//! thread of its own, and is copied over the first when a segment is done. Events are on the disk before they are
//! acknowledged: the [write-ahead log](super::wal) has those that no checkpoint has.

mod learner;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::{Duration, Instant};

use scall_gpu::file::Checkpoints;
use scall_gpu::run::Config;
use scall_gpu::{Error, Result, Scall};
use tokio::sync::oneshot;

pub use self::learner::Learner;
use super::metrics::Counts;
use super::wal::{Event, Wal};
use crate::common::Kept;
use crate::stream::Profile;

/// Batches of events that may wait to be written.
const QUEUE: usize = 1024;

/// When a segment is closed.
#[derive(Clone, Copy, Debug)]
pub struct Closing {
    /// After so many events.
    pub events: usize,
    /// Or after so long, where there are any.
    pub seconds: Option<u64>,
}

/// Why events were not taken.
#[derive(Debug)]
pub enum Refusal {
    /// One of them is wrong.
    Wrong(String),
    /// Too many wait.
    Busy,
    /// They could not be written.
    Failed(String),
}

type Answer = std::result::Result<u64, Refusal>;

/// Events on their way, and who waits for them.
struct Batch {
    events: Vec<Event>,
    answer: oneshot::Sender<Answer>,
}

/// What requests and threads share.
pub struct Engine {
    served: RwLock<Scall>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    inbox: SyncSender<Batch>,
    closing: Closing,
    pub counts: Counts,
    pub config: Config,
    pub begun: Instant,
    /// Sizes by frequency rank, after each segment.
    profiles: Mutex<Vec<Profile>>,
    stopping: AtomicBool,
    /// What does not work any more, for `/health`.
    trouble: Mutex<Option<String>>,
}

/// Events that the one which learns has not seen.
#[derive(Default)]
struct Waiting {
    events: Vec<Event>,
    /// Events that it has seen, and has not learned.
    seen: usize,
    /// Since when the segment is open.
    since: Option<Instant>,
    /// A segment is wanted now.
    asked: bool,
}

/// What takes events in.
pub struct Taker {
    inbox: Receiver<Batch>,
    wal: Arc<Mutex<Wal>>,
}

impl Waiting {
    /// Events of the segment that is open.
    fn len(&self) -> usize {
        self.seen + self.events.len()
    }
}

/// A lock whatever happened to another thread: what is behind it is consistent after each change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds events. An error that leaves the events in is none here: the budget has no room for the newcomers' rows yet.
fn observe(scall: &mut Scall, events: &[Event]) -> Result<()> {
    let rows = scall.data().len();
    let observed = scall.observe(events.iter().map(|(user, item, time)| (user, item, *time)));
    match observed {
        Err(error) if scall.data().len() == rows => Err(error),
        Err(error) => {
            tracing::warn!("newcomers have no rows yet: {error}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

impl Engine {
    /// The recommender of a folder, where it was, or a new one; with what has to run beside the requests.
    ///
    /// # Errors
    /// Those of the checkpoint and the log, and for a recorded stream that has not come to its end.
    pub fn open(
        folder: &PathBuf,
        asked: impl FnOnce(Option<&Config>) -> Result<Config>,
        closing: Closing,
        threads: usize,
    ) -> Result<(Arc<Self>, Learner, Taker)> {
        let checkpoints = Checkpoints::open(folder)?;
        let kept = Kept::latest(&checkpoints)?;
        let config = asked(kept.as_ref().map(|kept| &kept.config))?;
        config.check()?;
        let device = crate::common::open(config.device)?;
        let (mut served, data, profiles) = match kept {
            Some(kept) => {
                kept.check_same(&config)?;
                let profiles: Option<Vec<_>> = kept.notes.profiles.iter().map(Profile::of_json).collect();
                let data = kept.notes.data.clone();
                (kept.restore(&device)?, data, profiles.unwrap_or_default())
            }
            None => {
                let scall = Scall::new(&device, config.policy()?, config.scall_options()?)?;
                (scall, "events".to_owned(), Vec::new())
            }
        };
        let (done, all) = served.progress();
        if done < all {
            return Err(Error::BadFile {
                file: folder.clone(),
                expected: "a stream that has come to its end (scall stream --resume takes it there)".to_owned(),
                found: format!("{done} of {all} segments"),
            });
        }
        let rows = served.data().len() as u64;
        let copy = |of: &Scall| Scall::restore(&device, config.policy()?, config.scall_options()?, of.state()?);
        let scall = copy(&served)?;
        let (wal, events) = Wal::open(folder, rows)?;
        // As they came: in one batch what is wrong in one would refuse the others.
        if !events.is_empty() {
            observe(&mut served, &events)?;
        }
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("learn-{number}"))
            .build()
            .map_err(Error::other)?;
        let (inbox, outbox) = mpsc::sync_channel(QUEUE);
        let waiting = Waiting { seen: learner::not_learned(&scall), events, since: None, asked: false };
        let since = (waiting.len() > 0).then(Instant::now);
        let counts = Counts::default();
        counts.waiting_events.store(waiting.len() as u64, Ordering::Relaxed);
        let engine = Self {
            served: RwLock::new(served),
            waiting: Mutex::new(Waiting { since, ..waiting }),
            changed: Condvar::new(),
            inbox,
            closing,
            counts,
            config,
            begun: Instant::now(),
            profiles: Mutex::new(profiles),
            stopping: AtomicBool::new(false),
            trouble: Mutex::new(None),
        };
        let learner = Learner::new(scall, checkpoints, threads, device, data);
        Ok((Arc::new(engine), learner, Taker { inbox: outbox, wal: Arc::new(Mutex::new(wal)) }))
    }

    /// The recommender that is asked.
    pub fn served(&self) -> RwLockReadGuard<'_, Scall> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sizes by frequency rank, after each segment.
    pub fn profiles(&self) -> Vec<Profile> {
        lock(&self.profiles).clone()
    }

    /// What does not work any more.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Hands events over. The answer comes when they are on the disk: the number of rows of the stream then.
    pub fn take(&self, events: Vec<Event>) -> std::result::Result<oneshot::Receiver<Answer>, Refusal> {
        let (answer, receiver) = oneshot::channel();
        match self.inbox.try_send(Batch { events, answer }) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_)) => Err(Refusal::Busy),
            Err(TrySendError::Disconnected(_)) => Err(Refusal::Failed("the service is stopping".to_owned())),
        }
    }

    /// Closes the segment now, if there are events.
    pub fn close_segment(&self) {
        lock(&self.waiting).asked = true;
        self.changed.notify_all();
    }

    /// Ends the threads, once they have done what they are at.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Changes the recommender that is asked, and counts how long nobody could ask it.
    fn change<T>(&self, change: impl FnOnce(&mut Scall) -> T) -> T {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let begin = Instant::now();
        let changed = change(&mut served);
        drop(served);
        self.counts.blocked.add(begin.elapsed());
        changed
    }
}

impl Taker {
    /// Takes events in until the service stops: all that wait are written at once.
    pub fn run(self, engine: &Engine) {
        while !engine.is_stopping() {
            let Ok(first) = self.inbox.recv_timeout(Duration::from_millis(100)) else { continue };
            let mut batches = vec![first];
            batches.extend(self.inbox.try_iter().take(QUEUE));
            self.take(engine, batches);
        }
    }

    /// The log, for who begins another file.
    pub fn wal(&self) -> Arc<Mutex<Wal>> {
        self.wal.clone()
    }

    fn take(&self, engine: &Engine, batches: Vec<Batch>) {
        let mut answers = Vec::new();
        // The one that learns takes events out under the same lock, so that each event is in one of both places.
        let mut waiting = lock(&engine.waiting);
        let mut taken = Vec::new();
        for Batch { events, answer } in batches {
            match engine.change(|served| observe(served, &events).map(|()| served.data().len() as u64)) {
                Ok(rows) => {
                    answers.push((answer, rows));
                    taken.extend(events);
                }
                Err(error) => drop(answer.send(Err(Refusal::Wrong(error.to_string())))),
            }
        }
        let written = lock(&self.wal).append(&taken);
        let count = taken.len() as u64;
        if count > 0 {
            waiting.events.append(&mut taken);
            waiting.since.get_or_insert_with(Instant::now);
            engine.counts.waiting_events.store(waiting.len() as u64, Ordering::Relaxed);
            engine.changed.notify_all();
        }
        drop(waiting);
        match written {
            Ok(()) => {
                engine.counts.accepted_events.fetch_add(count, Ordering::Relaxed);
                answers.into_iter().for_each(|(answer, rows)| drop(answer.send(Ok(rows))));
            }
            Err(error) => {
                // They count until a restart, but nobody was promised that they do.
                let text = error.to_string();
                tracing::error!("events could not be written: {text}");
                *lock(&engine.trouble) = Some(text.clone());
                // Rows of the stream and lines of the log would go apart from here on.
                engine.stop();
                answers.into_iter().for_each(|(answer, _)| drop(answer.send(Err(Refusal::Failed(text.clone())))));
            }
        }
    }
}
