//! A segment: search, sizes, resize, train, evaluate, report.

use std::sync::OnceLock;
use std::time::Instant;

use super::evaluation::{Evaluation, Quality};
use super::probe::{Setup, Trial};
use super::regularize::L2Chooser;
use super::replay::Replay;
use super::report::{Phase, Seconds, SegmentReport};
use super::scall::Scall;
use super::segment::{Begun, LastSegment, frame, rows};
use crate::Result;
use crate::models::{ItemBias, Resized};
use crate::rng::{Philox, Purpose};
use crate::sizing::{Population, SizePolicy, Sizes, SizingContext, Uniform};
use crate::spans::span;
use crate::stream::{Segment, replay};
use crate::table::Account;

/// SCALL's part of earlier rows, which frequencies are counted over even when training takes all.
const REPLAY_SHARE: f64 = 0.2;

impl Scall {
    /// Takes the next segment through search, sizes, resize, training and evaluation: the next of those given, else the
    /// rows observed since the last. Gives `None` when there are no rows.
    ///
    /// # Errors
    /// [`Error::Infeasible`](crate::Error::Infeasible) when the budget has no room for the entities;
    /// [`Error::BadSizes`](crate::Error::BadSizes) when the policy decides on sizes that are none for them;
    /// [`Error::Diverged`](crate::Error::Diverged) when training leaves the finite numbers; what the device reports.
    ///
    /// The segment is not done then, and the next call repeats it. The policy is as it was, but that a search which has
    /// come to its end is not repeated. Until rows move, everything else is as it was too. Rows that have moved stay
    /// where they are and keep what they have learned, and a repeated step trains on from there; values that are not
    /// finite any more come back only with a state that was [kept](Self::state).
    pub fn step(&mut self, mut progress: impl FnMut(Phase)) -> Result<Option<SegmentReport>> {
        let Some(segment) = self.next_segment() else {
            return Ok(None);
        };
        self.served = OnceLock::new();
        let _span = span!("segment", t = self.reports.len());
        let mut timer = Timer::start();
        self.search(&mut progress)?;
        timer.seconds.search = timer.lap();

        let (bias, l2) = (self.bias.clone(), self.l2.clone());
        let (policy, capacity) = (self.policy.save()?, self.account.capacity_bytes());
        match self.learn(segment, timer, &mut progress) {
            Ok(report) => Ok(Some(report)),
            Err(error) => {
                (self.bias, self.l2) = (bias, l2);
                self.set_l2();
                // Refused where rows have moved to what the new capacity allows: then it stays.
                let _ = self.account.set_capacity(capacity);
                self.policy.restore(&policy).and(Err(error))
            }
        }
    }

    /// The next of those given, else the rows since the last.
    fn next_segment(&self) -> Option<Segment> {
        match self.segments.get(self.reports.len()) {
            Some(given) => Some(given.clone()),
            None => {
                let rows = self.segments.last().map_or(0, |last| last.rows.end)..self.data.len();
                (!rows.is_empty()).then_some(Segment { rows })
            }
        }
    }

    /// Sizes, moves, trains and evaluates.
    fn learn(&mut self, segment: Segment, mut timer: Timer, progress: &mut dyn FnMut(Phase)) -> Result<SegmentReport> {
        let t = self.reports.len();
        self.forget(self.options.replay.first_row(segment.rows.start))?;
        let (train, test) = segment.split(self.options.train_share)?;
        let sampled = self.sampled_rows(t, &segment, &train);
        let tables = self.model.embeddings();
        let population = Population {
            users: self.data.users_seen(train.rows.end).max(tables.users().rows()),
            items: self.data.items_seen(train.rows.end).max(tables.items().rows()),
        };

        progress(Phase::Size);
        let span = span!("size");
        let shape = tables.shape();
        let budget = self.options.budget.resolve_in_groups(population, &shape)?;
        let frequencies = self.count(&sampled, population);
        let context = SizingContext {
            segment: t,
            users: &frequencies[0],
            items: &frequencies[1],
            dims: budget.dims,
            rows: Some(rows(&*self.model)),
            ..frame(&self.device, &self.options)
        };
        // Nothing is known before the first segment: uniform sizes (`docs/method.md` section 3).
        let policy: &mut dyn SizePolicy = if t == 0 { &mut Uniform } else { &mut *self.policy };
        let sizes = policy.decide(&context)?;
        sizes.check_decision(policy, &context)?;
        timer.seconds.size = timer.lap();
        drop(span);

        progress(Phase::Resize);
        let span = span!("resize");
        if self.policy.searches() && self.begun.before.is_none() {
            self.begun.before = Some(self.model.duplicate(&Account::unlimited())?);
        }
        let before_bytes = self.begun.before.as_ref().map_or(0, |before| before.embeddings().memory().total_bytes());
        let resized = self.resize(&*self.options.budget.in_groups(&sizes, &shape)?, budget.bytes)?;
        if let ItemBias::Learned { keep } = self.model.item_bias()
            && !std::mem::replace(&mut self.begun.faded, true)
        {
            self.model.embeddings_mut().fade_biases(keep)?;
        }
        if let Some(bias) = &mut self.bias {
            bias.validate(&self.data, &train, &self.history, self.learned)?;
        }
        timer.seconds.resize = timer.lap();
        drop(span);

        progress(Phase::Regularize { probes: 0 });
        self.choose_l2(&train, &sampled, population, progress)?;
        timer.seconds.regularize = timer.lap();

        progress(Phase::Train { done: 0, steps: self.options.steps });
        let span = span!("train");
        let trained = self.train(&train, &sampled, population, progress)?;
        timer.seconds.train = timer.lap();
        drop(span);

        progress(Phase::Evaluate);
        let span = span!("evaluate");
        let evaluation = Evaluation::new(&self.data, &test, train.rows.end, &self.history)?.sampled(&self.options, t);
        let cutoffs = &self.options.cutoffs;
        let Quality { test_candidates, all_candidates, test_catalogue, all_catalogue, sampled, test_lists } =
            evaluation.among_both(&mut *self.model, &self.history, &self.data, cutoffs)?;
        let by_coherence = || evaluation.by_coherence(&test_lists, cutoffs, &self.history, self.model.embeddings());
        let coherence = self.options.coherence.then(by_coherence).transpose()?;
        let exposures = evaluation.exposures(&*self.model)?;
        timer.seconds.evaluate = timer.lap();
        drop(span);

        let working_bytes = self.model.working_bytes() + trained.snapshot_bytes + before_bytes;
        let Begun { probes, before, .. } = std::mem::take(&mut self.begun);
        self.frequencies = frequencies;
        let tables = self.model.embeddings();
        let report = SegmentReport {
            t,
            users: population.users,
            items: population.items,
            interactions: segment.rows.len(),
            action: sizes.action,
            probes: probes.unwrap_or(0),
            params: tables.users().len() + tables.items().len(),
            budget_params: budget.params,
            budget_bytes: budget.bytes,
            counted_bytes: self.account.used_bytes(),
            memory: tables.memory(),
            working_bytes,
            layer_bytes: self.model.layer_bytes(),
            held: self.held(segment.rows.end, working_bytes),
            resized,
            steps: trained.steps,
            loss: trained.loss,
            l2: self.model.l2(),
            test_candidates,
            all_candidates,
            test_catalogue,
            all_catalogue,
            sampled,
            exposures,
            coherence,
            seconds: timer.seconds,
        };
        self.last = before.map(|before| LastSegment {
            segment: t,
            frequencies: self.frequencies.clone(),
            dims: budget.dims,
            sizes,
            rows: trained.rows,
            blocks: trained.blocks,
            biases: trained.biases,
            evaluation,
            before,
        });
        if t >= self.segments.len() {
            self.segments.push(segment);
        }
        self.reports.push(report.clone());
        Ok(report)
    }

    /// Gives rows their sizes under a capacity that they have to fit then. What the tables hold before may be more,
    /// such as the rows of a model that was built with some.
    pub(super) fn resize(&mut self, sizes: &Sizes, capacity: u64) -> Result<Resized> {
        self.account.set_capacity(capacity.max(self.account.used_bytes()))?;
        let resized = self.model.embeddings_mut().resize(sizes)?;
        self.account.set_capacity(capacity)?;
        Ok(resized)
    }

    /// Lets the policy probe on the last segment, unless it has done so.
    fn search(&mut self, progress: &mut dyn FnMut(Phase)) -> Result<()> {
        let Some(last) = self.last.take() else {
            return Ok(());
        };
        let _span = span!("search");
        let searched = self.policy.save().and_then(|policy| {
            let l2 = self.l2.as_ref().map(L2Chooser::l2);
            let (device, options, history) = (&self.device, &self.options, &self.history);
            let setup = Setup { device, options, last: &last, history, l2 };
            let context = last.context(frame(&self.device, &self.options));
            let mut trial = Trial { setup, policy: self.policy.name(), context, probes: 0, progress };
            match self.policy.search(&context, &mut trial) {
                Ok(()) => Ok(trial.probes),
                // As if it had not begun.
                Err(error) => self.policy.restore(&policy).and(Err(error)),
            }
        });
        match searched {
            Ok(probes) => self.begun.probes = Some(probes),
            // It is needed again.
            Err(_) => self.last = Some(last),
        }
        searched.map(drop)
    }

    /// Puts the weight of squared rows that was chosen into the model.
    pub(super) fn set_l2(&mut self) {
        if let Some(l2) = &self.l2 {
            self.model.set_l2(l2.l2());
        }
    }

    /// A sample of the earlier rows, or the latest of them, and the segment's training part.
    pub(super) fn sampled_rows(&self, t: usize, segment: &Segment, train: &Segment) -> Vec<usize> {
        let first = self.options.replay.first_row(segment.rows.start);
        let share = match self.options.replay {
            Replay::Sample { share } => share,
            Replay::All => REPLAY_SHARE,
            Replay::Recent { .. } => return (first..train.rows.end).collect(),
        };
        let capacity = (share * segment.rows.len() as f64).round() as usize;
        let mut rng = Philox::substream(self.options.seed, Purpose::Replay, t as u32);
        let mut rows = replay(..segment.rows.start, capacity, &mut rng);
        rows.extend(train.rows.clone());
        rows
    }

    /// How often each user and each item occurs in the training rows; 0 for those known but absent.
    fn count(&self, rows: &[usize], population: Population) -> [Vec<u32>; 2] {
        let mut users = vec![0; population.users as usize];
        let mut items = vec![0; population.items as usize];
        for (user, item) in self.data.pairs(rows.iter().copied()) {
            users[user as usize] += 1;
            items[item as usize] += 1;
        }
        [users, items]
    }
}

/// Times one phase after another.
struct Timer {
    since: Instant,
    seconds: Seconds,
}

impl Timer {
    fn start() -> Self {
        Self { since: Instant::now(), seconds: Seconds::default() }
    }

    /// Seconds since the phase before.
    fn lap(&mut self) -> f64 {
        let before = std::mem::replace(&mut self.since, Instant::now());
        (self.since - before).as_secs_f64()
    }
}

#[cfg(test)]
pub(super) mod tests;
