//! What learns, and keeps what it has learned.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use scall_gpu::device::Device;
use scall_gpu::file::{Checkpoints, Saver, State};
use scall_gpu::{Error, Result, Scall, SegmentReport};

use super::super::wal::{Event, Wal};
use super::{Engine, lock, observe};
use crate::common::Notes;
use crate::stream::{Profile, repeatable};

/// Time between a segment that failed and the next try.
const PAUSE: Duration = Duration::from_secs(10);

/// The one that learns, and what it writes.
pub struct Learner {
    scall: Scall,
    saver: Saver,
    /// Its own threads, so that readers need not wait for its work.
    threads: rayon::ThreadPool,
    device: Device,
    data: String,
    /// Rows of the last two checkpoints that are on the disk, the older one first.
    kept: Arc<Mutex<[u64; 2]>>,
    /// Why the last segment could not be learned.
    not_learned: Option<String>,
    /// Why the last checkpoint could not be written.
    not_written: Option<String>,
}

/// Rows of the stream that no segment has learned.
pub(super) fn not_learned(scall: &Scall) -> usize {
    scall.data().len() - scall.report().iter().map(|report| report.interactions).sum::<usize>()
}

impl Learner {
    /// One that goes on from the folder's last checkpoint, if it has one.
    pub(super) fn new(
        scall: Scall,
        checkpoints: Checkpoints,
        threads: rayon::ThreadPool,
        device: Device,
        data: String,
    ) -> Self {
        let kept = Arc::new(Mutex::new([0, scall.data().len() as u64]));
        Self {
            scall,
            saver: Saver::new(checkpoints),
            threads,
            device,
            data,
            kept,
            not_learned: None,
            not_written: None,
        }
    }

    /// Learns until the service stops, then keeps everything.
    pub fn run(mut self, engine: &Engine, wal: &Arc<Mutex<Wal>>) -> Result<()> {
        while let Some(events) = self.next(engine) {
            let begin = Instant::now();
            let learned = self.segment(engine, &events).and_then(|report| {
                let Some(report) = report else { return Ok(()) };
                engine.counts.segments.add(begin.elapsed());
                tracing::info!("segment {}: {} rows learned", report.t, report.interactions);
                // One copy in memory at a time, for both.
                self.written(engine);
                let state = self.threads.install(|| self.scall.state())?;
                self.hand_over(engine, state.clone())?;
                self.keep(engine, wal, state)
            });
            if let Err(error) = &learned {
                // What was not learned is learned with the next events; what was not kept is in the log.
                lock(&engine.waiting).seen += not_learned(&self.scall);
                engine.counts.failed_segments.fetch_add(1, Ordering::Relaxed);
                tracing::error!("a segment could not be learned or kept: {error}");
            }
            let failed = learned.is_err();
            self.not_learned = learned.err().map(|error| error.to_string());
            self.say_trouble(engine);
            // Not again at once.
            let begin = Instant::now();
            while failed && begin.elapsed() < PAUSE && !engine.is_stopping() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        self.written(engine);
        let events = std::mem::take(&mut lock(&engine.waiting).events);
        observe(&mut self.scall, &events)?;
        self.keep(engine, wal, self.scall.state()?)?;
        self.saver.wait().map(drop)
    }

    /// Waits for a segment's events; none when the service stops.
    fn next(&mut self, engine: &Engine) -> Option<Vec<Event>> {
        let mut waiting = lock(&engine.waiting);
        loop {
            if !self.saver.is_writing() {
                self.written(engine);
            }
            if engine.is_stopping() {
                return None;
            }
            let open = waiting.since.map(|since| since.elapsed().as_secs());
            let late = engine.closing.seconds.zip(open).is_some_and(|(most, open)| open >= most);
            let enough = waiting.len() >= engine.closing.events || waiting.asked || late;
            if enough && waiting.len() > 0 {
                (waiting.since, waiting.asked, waiting.seen) = (None, false, 0);
                engine.counts.waiting_events.store(0, Ordering::Relaxed);
                return Some(std::mem::take(&mut waiting.events));
            }
            let tick = Duration::from_millis(200);
            waiting = engine.changed.wait_timeout(waiting, tick).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn segment(&mut self, engine: &Engine, events: &[Event]) -> Result<Option<SegmentReport>> {
        observe(&mut self.scall, events)?;
        let Self { scall, threads, .. } = self;
        let report = threads.install(|| scall.step(|_| {}))?;
        if report.is_some() {
            let item_bias = scall.model().embeddings().item_bias();
            lock(&engine.profiles).push(Profile::of(scall, item_bias));
        }
        Ok(report)
    }

    /// Begins to write a checkpoint of a state. Once it is on the disk, events go that both kept checkpoints have.
    fn keep(&mut self, engine: &Engine, wal: &Arc<Mutex<Wal>>, state: State) -> Result<()> {
        let config = serde_json::from_str(&repeatable(&engine.config).to_json()?).map_err(Error::other)?;
        let profiles = lock(&engine.profiles).iter().map(Profile::json).collect();
        let notes = Notes { config, data: self.data.clone(), profiles };
        let notes = serde_json::to_string(&notes).map_err(Error::other)?;
        let (rows, folder) = (self.scall.data().len() as u64, self.saver.folder().to_owned());
        let (wal, kept) = (wal.clone(), self.kept.clone());
        self.saver.save_then(state, notes, move |_| {
            lock(&wal).rotate()?;
            let mut kept = lock(&kept);
            *kept = [kept[1], rows];
            Wal::forget(&folder, kept[0])
        })
    }

    /// Waits for the checkpoint that is being written, if there is one. What goes wrong there is said, and the next
    /// checkpoint is written in any case: until then its events are in the log.
    fn written(&mut self, engine: &Engine) {
        match self.saver.wait() {
            Ok(None) => return,
            Ok(Some(_)) => self.not_written = None,
            Err(error) => {
                engine.counts.failed_segments.fetch_add(1, Ordering::Relaxed);
                tracing::error!("a segment could not be kept: {error}");
                self.not_written = Some(error.to_string());
            }
        }
        self.say_trouble(engine);
    }

    /// Says what does not work, or that all does again.
    fn say_trouble(&self, engine: &Engine) {
        // What makes the service stop stays.
        if !engine.is_stopping() {
            *lock(&engine.trouble) = self.not_learned.clone().or_else(|| self.not_written.clone());
        }
    }

    /// Puts a copy in the place of the one that is asked, with all events that came meanwhile.
    fn hand_over(&self, engine: &Engine, state: State) -> Result<()> {
        let config = &engine.config;
        let copy = || Scall::restore(&self.device, config.policy()?, config.scall_options()?, state);
        let mut copy = self.threads.install(copy)?;
        // Most of them before anything waits.
        let mut seen = 0;
        loop {
            let waiting = lock(&engine.waiting);
            let events = waiting.events[seen..].to_vec();
            if events.len() > 64 {
                drop(waiting);
                seen += events.len();
                observe(&mut copy, &events)?;
                continue;
            }
            observe(&mut copy, &events)?;
            engine.change(|served| std::mem::swap(served, &mut copy));
            drop(waiting);
            break;
        }
        Ok(())
    }
}
