//! The streaming loop: segment after segment, sizes, resize, train, evaluate, report.
//!
//! Source: `docs/method.md` sections 2 to 6. The test rows of a segment are used once, for its report.

use std::time::Instant;

use crate::device::Device;
use crate::eval::{CUTOFFS, Metrics};
use crate::kernels::rank::top_k::MAX_DIMS;
use crate::models::{BprMf, BprMfOptions, RankRequest, Rankings, Resized, TrainingData, TrainingSet};
use crate::rng::{Philox, Purpose};
use crate::sizing::{Action, Budget, Population, SizePolicy, SizingContext, Uniform};
use crate::stream::{Interactions, Segment, UserItems, replay};
use crate::table::{Account, MemoryReport};
use crate::{Error, Result};

/// How the loop runs.
#[derive(Clone, Debug)]
pub struct ScallOptions {
    /// What the two tables may hold. Whether items have a bias and what state the optimizer keeps, it learns from `model`.
    pub budget: Budget,
    /// How the recommender learns.
    pub model: BprMfOptions,
    /// Training steps a segment (default 300).
    pub steps: u32,
    /// Part of a segment's rows that is trained on; the rest is test (default 0.8, `docs/method.md` section 2).
    pub train_share: f64,
    /// Earlier rows that are trained on again, as a part of the segment's rows (default 0.2, `docs/method.md` section 2).
    pub replay_share: f64,
    /// What is left of the item biases when a segment begins (default 0: what sold last month is learned anew).
    pub keep_bias: f32,
    /// Seed of everything that is drawn (default 0).
    pub seed: u64,
}

impl ScallOptions {
    /// The defaults, for a budget.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            model: BprMfOptions::default(),
            steps: 300,
            train_share: 0.8,
            replay_share: 0.2,
            keep_bias: 0.0,
            seed: 0,
        }
    }
}

/// Where the loop is within a segment, for whoever shows progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The policy chooses sizes.
    Size,
    /// Rows move to their new sizes.
    Resize,
    /// So many training steps of so many are done.
    Train {
        /// Steps done.
        done: u32,
        /// Steps in all.
        steps: u32,
    },
    /// Test users are ranked for.
    Evaluate,
}

/// Seconds by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// Choosing sizes.
    pub size: f64,
    /// Moving rows.
    pub resize: f64,
    /// Laying out the segment's rows and training.
    pub train: f64,
    /// Ranking by both protocols.
    pub evaluate: f64,
}

impl Seconds {
    /// All phases together.
    pub fn total(&self) -> f64 {
        self.size + self.resize + self.train + self.evaluate
    }
}

/// What happened in one segment.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// Number of the segment, from 0.
    pub t: usize,
    /// Users with a row: those seen in training data so far.
    pub users: u32,
    /// Items with a row.
    pub items: u32,
    /// Rows of the stream in this segment, test rows included.
    pub interactions: usize,
    /// The policy's action; none for uniform sizes.
    pub action: Option<Action>,
    /// Values held by both tables, biases included.
    pub params: u64,
    /// Values that the budget allows.
    pub budget_params: u64,
    /// Bytes that the budget allows, for what it counts.
    pub budget_bytes: u64,
    /// Bytes held of what the budget counts.
    pub counted_bytes: u64,
    /// Bytes held, by what for.
    pub memory: MemoryReport,
    /// Rows that grew, shrank and appeared.
    pub resized: Resized,
    /// Mean loss of the last training batch.
    pub loss: f32,
    /// Ranking among the items of the test part (`docs/method.md` section 6).
    pub test_candidates: Metrics,
    /// Ranking among all items with a row.
    pub all_candidates: Metrics,
    /// Where the time went.
    pub seconds: Seconds,
}

/// A recommender that follows a stream inside a budget. [`step`](Self::step) takes it through one segment.
pub struct Scall<'a> {
    device: Device,
    options: ScallOptions,
    data: &'a Interactions,
    segments: Vec<Segment>,
    policy: Box<dyn SizePolicy>,
    model: BprMf,
    account: Account,
    history: UserItems,
    t: usize,
}

impl<'a> Scall<'a> {
    /// A loop at the beginning of the stream.
    ///
    /// # Errors
    /// [`Error::Argument`] for options outside their domain.
    pub fn new(
        device: &Device,
        data: &'a Interactions,
        segments: Vec<Segment>,
        policy: Box<dyn SizePolicy>,
        mut options: ScallOptions,
    ) -> Result<Self> {
        let share = |arg, value: f64| {
            if (0.0..=1.0).contains(&value) {
                return Ok(());
            }
            Err(Error::Argument { op: "Scall::new", arg, expected: "from 0 to 1".into(), got: value.to_string() })
        };
        share("train_share", options.train_share)?;
        share("replay_share", options.replay_share)?;
        share("keep_bias", options.keep_bias.into())?;
        if options.budget.d_max > MAX_DIMS {
            return Err(Error::Limit {
                op: "Scall::new",
                arg: "budget.d_max",
                limit: "widest row that is ranked",
                allowed: MAX_DIMS.into(),
                requested: options.budget.d_max.into(),
            });
        }
        options.budget.item_bias = options.model.item_bias;
        options.budget.state = options.model.optimizer.state_size();
        let counts = options.budget.counts;
        // Without rows the tables hold their directories' ends; the first segment sets the real capacity.
        let account = Account::new(u64::MAX, counts);
        let model_options = BprMfOptions { seed: options.seed, ..options.model };
        Ok(Self {
            device: device.clone(),
            model: BprMf::new(device, model_options, &account)?,
            options,
            data,
            segments,
            policy,
            account,
            history: UserItems::new(0, [])?,
            t: 0,
        })
    }

    /// The recommender.
    pub fn model(&self) -> &BprMf {
        &self.model
    }

    /// Segments done, and in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.t, self.segments.len())
    }

    /// Takes the next segment through sizes, resize, training and evaluation; none is left when it gives `None`.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when the budget has no room for the entities, [`Error::Diverged`] when training leaves the
    /// finite numbers; what the device reports. The segment is then half done: begin anew rather than step again.
    pub fn step(&mut self, mut progress: impl FnMut(Phase)) -> Result<Option<SegmentReport>> {
        let Some(segment) = self.segments.get(self.t).cloned() else {
            return Ok(None);
        };
        let (train, test) = segment.split(self.options.train_share)?;
        let rows = self.training_rows(&segment, &train);
        let population =
            Population { users: self.data.users_seen(train.rows.end), items: self.data.items_seen(train.rows.end) };
        let mut clock = Clock::start();
        let mut seconds = Seconds::default();

        progress(Phase::Size);
        let budget = self.options.budget.resolve(population)?;
        let [user_frequencies, item_frequencies] = self.frequencies(&rows, population);
        let context = SizingContext {
            device: &self.device,
            segment: self.t,
            seed: self.options.seed,
            users: &user_frequencies,
            items: &item_frequencies,
            dims: budget.dims,
            d_min: self.options.budget.d_min,
            d_max: self.options.budget.d_max,
        };
        // Nothing is known before the first segment: uniform sizes (`docs/method.md` section 3).
        let sizes = if self.t == 0 { Uniform.decide(&context)? } else { self.policy.decide(&context)? };
        seconds.size = clock.lap();

        progress(Phase::Resize);
        self.account.set_capacity(budget.bytes)?;
        let resized = self.model.resize(&sizes)?;
        self.model.fade_bias(self.options.keep_bias)?;
        seconds.resize = clock.lap();

        progress(Phase::Train { done: 0, steps: self.options.steps });
        let learned = self.history_end();
        self.history.extend(population.users, self.data.pairs(learned..train.rows.end))?;
        let positives = UserItems::new(population.users, self.data.pairs(rows.iter().copied()))?;
        let mut loss = 0.0;
        if !positives.is_empty() {
            let set = TrainingSet::new(&self.device, TrainingData { segment: &positives, history: &self.history })?;
            let (mut done, steps) = (0, self.options.steps);
            loss = self.model.train(&set, steps, |now| {
                done += now;
                progress(Phase::Train { done, steps });
            })?;
        }
        seconds.train = clock.lap();

        progress(Phase::Evaluate);
        let [test_candidates, all_candidates] = self.evaluate(&test, population)?;
        seconds.evaluate = clock.lap();

        let report = SegmentReport {
            t: self.t,
            users: population.users,
            items: population.items,
            interactions: segment.rows.len(),
            action: sizes.action,
            params: self.model.users().len() + self.model.items().len(),
            budget_params: budget.params,
            budget_bytes: budget.bytes,
            counted_bytes: self.account.used_bytes(),
            memory: self.model.memory(),
            resized,
            loss,
            test_candidates,
            all_candidates,
            seconds,
        };
        self.t += 1;
        Ok(Some(report))
    }

    /// Rows that the history already holds: all up to the last segment's training part.
    fn history_end(&self) -> usize {
        match self.t.checked_sub(1) {
            Some(last) => {
                let (train, _) = self.segments[last].split(self.options.train_share).expect("a share checked before");
                train.rows.end
            }
            None => 0,
        }
    }

    /// The replayed rows and the segment's training part.
    fn training_rows(&self, segment: &Segment, train: &Segment) -> Vec<usize> {
        let capacity = (self.options.replay_share * segment.rows.len() as f64).round() as usize;
        let mut rng = Philox::substream(self.options.seed, Purpose::Replay, self.t as u32);
        let mut rows = replay(..segment.rows.start, capacity, &mut rng);
        rows.extend(train.rows.clone());
        rows
    }

    /// How often each user and each item occurs in the training rows; 0 for those known but absent.
    fn frequencies(&self, rows: &[usize], population: Population) -> [Vec<u32>; 2] {
        let mut users = vec![0; population.users as usize];
        let mut items = vec![0; population.items as usize];
        for &row in rows {
            users[self.data.users()[row] as usize] += 1;
            items[self.data.items()[row] as usize] += 1;
        }
        [users, items]
    }

    /// Ranks for the test users by both protocols of `docs/method.md` section 6.
    fn evaluate(&self, test: &Segment, population: Population) -> Result<[Metrics; 2]> {
        // Only users and items that have a row; an item that the user has in training is not relevant.
        let pairs = self.data.pairs(test.rows.clone()).filter(|&(_, item)| item < population.items);
        let mut candidates: Vec<u32> = pairs.clone().map(|(_, item)| item).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let known = pairs.filter(|&(user, _)| user < population.users);
        let new = known.filter(|&(user, item)| !self.history.contains(user, item));
        let relevant = UserItems::new(population.users, new)?;
        let users: Vec<u32> = (0..population.users).filter(|&user| !relevant.row(user).is_empty()).collect();
        let everything: Vec<u32> = (0..population.items).collect();
        let excluded = |user: u32| self.history.row(user);
        let longest = CUTOFFS[CUTOFFS.len() - 1] as u32;
        let metrics = |rankings: Rankings| {
            Metrics::mean(rankings.iter().zip(&users).map(|(ranked, &user)| (ranked, relevant.row(user))))
        };
        let request = |candidates| RankRequest { users: &users, candidates, excluded: &excluded, k: longest };
        let rank = |candidates| self.model.rank(request(candidates)).map(metrics);
        Ok([rank(&candidates)?, rank(&everything)?])
    }
}

/// Times one phase after another.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        self.0 = Instant::now();
        seconds
    }
}
