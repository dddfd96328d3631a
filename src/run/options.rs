//! How the loop runs.

use std::sync::Arc;

use super::evaluation::check_cutoffs;
use super::replay::{Exclude, Replay};
use crate::eval::Cutoffs;
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
    /// Which of a user's items are left out of lists, and never drawn as negatives, once their rows are forgotten
    /// (default: all that the user ever touched).
    pub exclude: Exclude,
    /// How many seconds a row that is observed may lie before the latest one (default 3,600: what queues and clocks of
    /// several producers differ by, and less than a log of yesterday that is fed in by mistake).
    pub late_seconds: u32,
    /// How many test users of a segment are ranked for, at least 2 (default: all). More than there are is all. They are
    /// drawn by seed and segment, so all policies and all probes of a segment are judged by the same users. For large
    /// data: with 20,000 of them a metric's standard error is about 0.002, and evaluation costs no more as users grow
    /// in number.
    pub evaluate_users: Option<u32>,
    /// Whether the stream chooses the weight of squared rows, beginning with the model's
    /// [own](crate::models::Recommender::l2), where it has one above 0 (default: no, the model's own stands). Each
    /// segment tries the weight in use, half and twice of it, by three [probes](Self::probe) that are judged by the
    /// last fifth of its training rows, and goes a step up or down (`docs/method.md` section 5).
    /// [`Config`](super::Config) asks for it where no `l2` is given.
    pub choose_l2: bool,
    /// The list lengths that a segment's metrics are reported at (default: 5, 10 and 20; 20 is always among those that
    /// a report has, since training and search compare quality there). Lists are ranked as long as the longest, at most
    /// [`MAX_K`](crate::kernels::rank::top_k::MAX_K).
    pub cutoffs: Cutoffs,
    /// Whether a segment's report says how well was ranked for users of like [coherence](fn@crate::eval::coherence),
    /// and how large their rows are (default: no). It changes nothing else.
    pub coherence: bool,
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
            exclude: Exclude::Ever,
            late_seconds: 3600,
            evaluate_users: None,
            choose_l2: false,
            cutoffs: Cutoffs::default(),
            coherence: false,
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

    /// Those of the loop itself that what it finds depends on, in words.
    pub(super) fn words(&self) -> String {
        // Without the model and the seed, which are named by themselves, and without what no result depends on.
        let probe = ProbeOptions { at_once: 0, ..self.probe };
        let Self {
            budget, steps, early_stop, train_share, replay, exclude, evaluate_users, choose_l2, cutoffs, ..
        } = self;
        format!(
            "steps: {steps}, {budget:?}, early_stop: {early_stop:?}, {probe:?}, train_share: {train_share}, \
             replay: {replay:?}, exclude: {exclude:?}, evaluate_users: {evaluate_users:?}, choose_l2: {choose_l2}, \
             cutoffs: {cutoffs}"
        )
    }

    /// The same, whatever its model.
    pub(super) fn any(self) -> AnyOptions
    where
        M: ModelBuilder + 'static,
    {
        self.map(|model| Arc::new(model) as Arc<dyn ModelBuilder>)
    }

    fn map<N>(self, map: impl FnOnce(M) -> N) -> ScallOptions<N> {
        ScallOptions {
            budget: self.budget,
            model: map(self.model),
            steps: self.steps,
            early_stop: self.early_stop,
            probe: self.probe,
            train_share: self.train_share,
            replay: self.replay,
            exclude: self.exclude,
            late_seconds: self.late_seconds,
            evaluate_users: self.evaluate_users,
            choose_l2: self.choose_l2,
            cutoffs: self.cutoffs,
            coherence: self.coherence,
            seed: self.seed,
        }
    }

    /// That all numbers of the loop itself are within their domain.
    pub(super) fn check(&self) -> Result<()> {
        let op = "Scall::new";
        let share = |arg, value: f64| check::domain(op, arg, value, (0.0..=1.0).contains(&value), "from 0 to 1");
        share("train_share", self.train_share)?;
        if let Replay::Sample { share: part } = self.replay {
            share("replay", part)?;
        }
        if self.exclude == Exclude::Kept && !matches!(self.replay, Replay::Recent { .. }) {
            let expected = "ever: without `replay` recent=COUNT no row is forgotten";
            check::domain(op, "exclude", self.exclude, false, expected)?;
        }
        if let Some(users) = self.evaluate_users {
            check::domain(op, "evaluate_users", users, users >= 2, "at least 2")?;
        }
        check_cutoffs(op, &self.cutoffs)?;
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

/// How sizes are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct ProbeOptions {
    /// Training steps (default 200: about what a segment gets, since what is good after fewer need not be good after
    /// all).
    pub steps: u32,
    /// Whether a probe starts from the rows as they were when the segment began, like the recommender that it stands
    /// for, or from those that a model begins with, as the paper has it (default: true).
    pub warm: bool,
    /// Probes that run side by side where a policy asks for several that do not depend on each other (default 2): one
    /// keeps the device busy while another lays out its rows or waits for its lists. Each holds a copy of both tables.
    /// What they find does not depend on it. 0 counts as 1; there are never more than rayon has threads.
    pub at_once: usize,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self { steps: 200, warm: true, at_once: 2 }
    }
}

/// Ends training early and keeps the best values (`docs/method.md` section 5).
///
/// Source: SCALL, its training. *Ours:* quality is that on the last training rows; the published code stops by, and
/// reports, the test rows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct EarlyStop {
    /// Part of a segment's training rows, the last of them, that is ranked for and not learned meanwhile (default 0.2).
    pub share: f64,
    /// Steps between evaluations (default 200).
    pub every: u32,
    /// This many evaluations in a row without a better quality end training (default 3),
    pub patience: u32,
    /// unless the loss fell by at least this part since the evaluation before (default 0.05).
    pub loss_fall: f32,
}

impl Default for EarlyStop {
    fn default() -> Self {
        Self { share: 0.2, every: 200, patience: 3, loss_fall: 0.05 }
    }
}

impl EarlyStop {
    /// That all numbers are within their domain.
    fn check(&self) -> Result<()> {
        let wrong = |arg, expected: &str, got: String| {
            Err(Error::Argument { op: "Scall::new", arg, expected: expected.into(), got })
        };
        let Self { share, every, patience, loss_fall } = *self;
        match () {
            () if !(0.0..1.0).contains(&share) => wrong("early_stop.share", "from 0 to below 1", share.to_string()),
            () if every == 0 => wrong("early_stop.every", "at least 1", every.to_string()),
            () if patience == 0 => wrong("early_stop.patience", "at least 1", patience.to_string()),
            () if !loss_fall.is_finite() => wrong("early_stop.loss_fall", "finite", loss_fall.to_string()),
            () => Ok(()),
        }
    }
}
