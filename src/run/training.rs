//! Training on a segment: for a number of steps, or until what is held out is ranked no better.

use rayon::iter::Either;

use super::evaluation::Evaluation;
use super::options::EarlyStop;
use super::replay::{Exclude, Replay};
use super::report::Phase;
use super::scall::Scall;
use crate::Result;
use crate::models::TrainingData;
use crate::sizing::Population;
use crate::spans::span;
use crate::stream::{BlockOptions, Blocks, Segment, UserItems};

/// What was learned, and how.
pub(super) struct Trained {
    /// The (user, item) rows.
    pub rows: Vec<(u32, u32)>,
    /// The feedback blocks, where the stream has non-clicks.
    pub blocks: Option<Blocks>,
    /// The biases, where they are counted.
    pub biases: Option<Vec<f32>>,
    pub loss: f32,
    /// Steps taken, those after the best values included.
    pub steps: u32,
    /// What the best values took.
    pub snapshot_bytes: u64,
}

impl Scall {
    /// Learns a segment's training part, of which `sampled` are the rows with replay.
    pub(super) fn train(
        &mut self,
        train: &Segment,
        sampled: &[usize],
        population: Population,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Trained> {
        let stopped = match self.options.early_stop {
            Some(stop) => self.train_until_best(stop, train, sampled, population, progress)?,
            None => None,
        };
        let laid_out = self.lay_out(train.rows.end, sampled, population)?;
        let Some((loss, steps)) = stopped else {
            let steps = self.options.steps;
            return Ok(Trained { loss: self.take_steps(0, steps, progress)?, steps, ..laid_out });
        };
        let snapshot_bytes = self.model.embeddings().memory().values_bytes;
        Ok(Trained { loss, steps, snapshot_bytes, ..laid_out })
    }

    /// Loss at the end and steps taken; none, and nothing learned, where there is no user to rank for.
    fn train_until_best(
        &mut self,
        stop: EarlyStop,
        train: &Segment,
        sampled: &[usize],
        population: Population,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Option<(f32, u32)>> {
        let (_, evaluation) = self.hold_out(stop.share, train, sampled, population)?;
        if evaluation.is_empty() || self.options.steps == 0 {
            return Ok(None);
        }
        let (mut best, mut best_values) = (f64::NEG_INFINITY, None);
        let (mut loss, mut steps, mut worse) = (f32::INFINITY, 0, 0);
        while steps < self.options.steps {
            let now = stop.every.min(self.options.steps - steps);
            let before = std::mem::replace(&mut loss, self.take_steps(steps, now, progress)?);
            steps += now;
            let ranking = span!("evaluate");
            let quality = evaluation.among_test_items(&mut *self.model, &self.history)?;
            drop(ranking);
            if quality > best {
                // The values before go first: one set is held.
                drop(best_values.take());
                (best, best_values, worse) = (quality, Some(self.model.embeddings().snapshot()?), 0);
                continue;
            }
            worse += 1;
            if worse >= stop.patience && before - loss < stop.loss_fall * before {
                break;
            }
        }
        if let Some(values) = best_values {
            self.model.embeddings_mut().restore(&values)?;
        }
        Ok(Some((loss, steps)))
    }

    /// Lays out for training all but the last `share` of a segment's training rows, and these to be ranked.
    pub(super) fn hold_out(
        &mut self,
        share: f64,
        train: &Segment,
        sampled: &[usize],
        population: Population,
    ) -> Result<(Trained, Evaluation)> {
        let (fit, held_out) = train.split(1.0 - share)?;
        let end = fit.rows.end;
        let laid_out = self.lay_out(end, sampled, population)?;
        let evaluation = Evaluation::new(&self.data, &held_out, end, &self.history)?;
        Ok((laid_out, evaluation.sampled(&self.options, self.reports.len())))
    }

    /// Forgets all rows before this one. What users touched there is learned first, where it is never forgotten.
    pub(super) fn forget(&mut self, before: usize) -> Result<()> {
        if before > self.data.kept().start {
            let known = self.learned.max(before);
            self.know(self.data.users_seen(known), before, known)?;
            self.data.forget(before);
        }
        Ok(())
    }

    /// The history becomes that of the rows before `known`, of which those before `first` are forgotten.
    fn know(&mut self, users: u32, first: usize, known: usize) -> Result<()> {
        let users = users.max(self.history.users());
        match self.options.exclude {
            Exclude::Ever => self.history.extend(users, self.data.pairs(self.learned..known))?,
            Exclude::Kept => self.history = UserItems::new(users, self.data.pairs(first..known))?,
        }
        self.learned = known;
        Ok(())
    }

    /// Lays out for training what there is before row `end`: history, biases and rows.
    fn lay_out(&mut self, end: usize, sampled: &[usize], population: Population) -> Result<Trained> {
        let _span = span!("lay_out");
        let known = self.learned.max(end);
        self.know(population.users, self.data.kept().start, known)?;
        let biases = self.bias.as_ref().map(|bias| bias.biases(&self.data, end, population.items));
        if let Some(biases) = &biases {
            self.model.embeddings_mut().set_biases(biases)?;
            self.counted = end;
        }
        let (rows, blocks) = (self.training_rows(end, sampled), self.training_blocks(end, sampled)?);
        self.model.prepare(TrainingData { rows: &rows, history: &self.history, blocks: blocks.as_ref() })?;
        Ok(Trained { rows, blocks, biases, loss: 0.0, steps: 0, snapshot_bytes: 0 })
    }

    /// The (user, item) rows that are trained on, of what there is before row `end`: the clicks.
    pub(super) fn training_rows(&self, end: usize, sampled: &[usize]) -> Vec<(u32, u32)> {
        self.data.pairs(self.learned_rows(end, sampled).filter(|&row| self.data.clicked(row))).collect()
    }

    /// The feedback blocks of the same rows and the non-clicks between them; none where the stream has no non-clicks.
    pub(super) fn training_blocks(&self, end: usize, sampled: &[usize]) -> Result<Option<Blocks>> {
        let blocks = || Blocks::new(&self.data, self.learned_rows(end, sampled), &BlockOptions::default());
        self.data.has_non_clicks().then(blocks).transpose()
    }

    /// The rows before row `end` that a segment is learned with, clicks and others.
    fn learned_rows(&self, end: usize, sampled: &[usize]) -> impl Iterator<Item = usize> + Clone {
        match self.options.replay {
            Replay::All => Either::Left(0..end),
            Replay::Sample { .. } | Replay::Recent { .. } => {
                Either::Right(sampled.iter().copied().filter(move |&row| row < end))
            }
        }
    }

    /// Takes steps after those that are done. Returns the last loss.
    fn take_steps(&mut self, done: u32, count: u32, progress: &mut dyn FnMut(Phase)) -> Result<f32> {
        let _span = span!("steps", count = count);
        let (mut done, steps) = (done, self.options.steps);
        self.model.train(count, &mut |now| {
            done += now;
            progress(Phase::Train { done, steps });
        })
    }
}
