//! How the loop runs.

use std::sync::Arc;

use super::{EarlyStop, ProbeOptions};
use crate::kernels::rank::top_k::MAX_DIMS;
use crate::models::{ModelBuilder, ModelOptions};
use crate::sizing::Budget;
use crate::{Error, Result, check};

/// How the loop runs, with one of the models that there are or with [one of your own](Self::with_model).
#[derive(Clone, Debug)]
pub struct ScallOptions<M = ModelOptions> {
    /// What the two tables may hold.
    pub budget: Budget,
    /// Which recommender, and how it learns.
    pub model: M,
    /// Training steps a segment (default 300), the most of them where training can end early.
    pub steps: u32,
    /// When training ends before that (default: never).
    pub early_stop: Option<EarlyStop>,
    /// How a searching policy tries sizes.
    pub probe: ProbeOptions,
    /// Part of a segment's rows that is trained on; the rest is test (default 0.8, `docs/method.md` section 2).
    pub train_share: f64,
    /// Earlier rows that are trained on again (default: all of them; drawing is free and taste lasts).
    pub replay: Replay,
    /// How many seconds a row that is observed may lie before the latest one (default 3,600: what queues and clocks of
    /// several producers
    /// are behind each other, and less than a log of yesterday that is fed in by mistake).
    pub late_seconds: u32,
    /// Seed of everything that is drawn (default 0).
    pub seed: u64,
}

/// Options whose model may be any.
pub(super) type AnyOptions = ScallOptions<Arc<dyn ModelBuilder>>;

impl ScallOptions {
    /// The defaults, for a budget.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            model: ModelOptions::default(),
            steps: 300,
            early_stop: None,
            probe: ProbeOptions::default(),
            train_share: 0.8,
            replay: Replay::All,
            late_seconds: 3600,
            seed: 0,
        }
    }
}

impl<M> ScallOptions<M> {
    /// The same with another model, such as one of your own: anything that [builds](ModelBuilder) recommenders.
    /// [`Recommender`](crate::models::Recommender) has an example.
    pub fn with_model<N>(self, model: N) -> ScallOptions<N> {
        self.map(|_| model)
    }

    /// The same, whatever its model.
    pub(super) fn any(self) -> AnyOptions
    where
        M: ModelBuilder + 'static,
    {
        self.map(|model| Arc::new(model) as Arc<dyn ModelBuilder>)
    }

    fn map<N>(self, map: impl FnOnce(M) -> N) -> ScallOptions<N> {
        let Self { budget, model, steps, early_stop, probe, train_share, replay, late_seconds, seed } = self;
        ScallOptions { budget, model: map(model), steps, early_stop, probe, train_share, replay, late_seconds, seed }
    }

    /// That all numbers of the loop itself are within their domain.
    pub(super) fn check(&self) -> Result<()> {
        let op = "Scall::new";
        let share = |arg, value: f64| check::domain(op, arg, value, (0.0..=1.0).contains(&value), "from 0 to 1");
        share("train_share", self.train_share)?;
        if let Replay::Sample { share: part } = self.replay {
            share("replay", part)?;
        }
        if let Some(stop) = self.early_stop {
            stop.check()?;
        }
        if self.budget.d_max > MAX_DIMS {
            return Err(Error::Limit {
                op,
                arg: "budget.d_max",
                limit: "widest row that is ranked",
                allowed: MAX_DIMS.into(),
                requested: self.budget.d_max.into(),
            });
        }
        Ok(())
    }
}

/// Earlier rows that are trained on again with a segment's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Replay {
    /// A uniform sample of them, as large as this part of the segment's rows, from 0 to 1 (SCALL: 0.2).
    Sample {
        /// The part.
        share: f64,
    },
    /// All.
    All,
}
