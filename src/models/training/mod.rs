//! What the training of all models shares: its options, what it learns from and how far it is, and the loop of steps.

mod batch;
mod rate;
mod steps;

use super::sampling::Drawn;
use super::{Embeddings, EmbeddingsOptions, ItemBias, Sampling, TablesMut, TrainingData, TrainingSet};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Commands, Device};
use crate::file::State;
use crate::kernels::table::update::UpdateRule;
use crate::rows::Layout;
use crate::table::Account;

pub(super) use batch::{Batch, MAX_BATCH, Scatter, joint, plan};
pub use rate::RateSchedule;
pub(super) use steps::{Steps, run_steps};

/// How a model learns, as far as all models have it in common.
///
/// There is no default for all: each model's options have one that suits it.
///
/// ```
/// use scall_gpu::models::{FismOptions, ModelOptions};
/// let mut options = FismOptions::default();
/// options.training.batch = 512;
/// let model = ModelOptions::from(options);
/// assert_eq!(model.training().batch, 512);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingOptions {
    /// How rows move.
    pub rule: UpdateRule,
    /// How the rule's learning rate moves over the steps of a segment.
    pub rate: RateSchedule,
    /// Triples a step.
    pub batch: u32,
    /// Weight of the squared embeddings of the batch's rows, a triple. Biases are left out: a bias is one number and
    /// hard to overfit.
    pub l2: f32,
    /// Whether an item row begins with a bias, one more parameter an item, and where it comes from.
    pub item_bias: ItemBias,
    /// How triples are drawn.
    pub sampling: Sampling,
    /// Standard deviation of new values in user rows.
    pub user_init_std: f32,
    /// Standard deviation of new values in item rows.
    pub item_init_std: f32,
    /// Seed of the triples and of new values.
    pub seed: u64,
    /// How the rows of both tables lie in memory.
    pub layout: Layout,
}

impl TrainingOptions {
    /// The defaults that most models have: a bias that is counted, triples from the log with negatives from at most
    /// 5,000 rows before or after, new values at 0.01 (`docs/method.md` section 4), f32 rows, packed, a constant rate.
    pub(super) fn usual(rule: UpdateRule, batch: u32, l2: f32) -> Self {
        Self {
            rule,
            rate: RateSchedule::Constant,
            batch,
            l2,
            item_bias: ItemBias::default(),
            sampling: Sampling::Log { window: 5000 },
            user_init_std: 0.01,
            item_init_std: 0.01,
            seed: 0,
            layout: Layout::default(),
        }
    }

    /// Tables without rows for these options, once they are checked; errors name `op`.
    pub(super) fn embeddings(&self, op: &'static str, device: &Device, account: &Account) -> Result<Embeddings> {
        self.check(op)?;
        let Self { rule, user_init_std, item_init_std, item_bias, seed, layout, .. } = *self;
        let init_std = [user_init_std, item_init_std];
        let options = EmbeddingsOptions { rule, init_std, item_bias: item_bias.exists(), seed, layout };
        Embeddings::new(device, options, account)
    }

    /// That all numbers are within their domain.
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        let Self { rule, rate, batch, l2, item_bias, sampling, user_init_std, item_init_std, .. } = *self;
        check::domain(op, "batch", batch, (1..=MAX_BATCH).contains(&batch), &format!("from 1 to {MAX_BATCH}"))?;
        for (arg, value) in [("l2", l2), ("user_init_std", user_init_std), ("item_init_std", item_init_std)] {
            check::domain(op, arg, value, value.is_finite() && value >= 0.0, "finite and not negative")?;
        }
        sampling.check(op)?;
        item_bias.check(op)?;
        rule.check(op)?;
        // An optimizer alone may go uphill; a model's loss is to fall.
        let learning_rate = rule.optimizer.learning_rate();
        check::domain(op, "learning_rate", learning_rate, learning_rate >= 0.0, "not negative")?;
        rate.check(op, learning_rate)
    }
}

/// What a model learns from, and how far it is.
#[derive(Debug)]
pub(super) struct Trainer {
    pub options: TrainingOptions,
    /// The rows of the prepared segment; none where there is nothing to learn.
    pub set: Option<TrainingSet>,
    pub clock: Clock,
    /// Bytes of device memory that the last training had for scratch.
    pub scratch_bytes: u64,
}

/// Steps of a model, and those of them since its last segment was prepared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    step: u32,
    segment_step: u32,
}

impl Trainer {
    /// With options that are checked, for tables that are what they ask for; errors name `op`.
    pub fn new(op: &'static str, options: TrainingOptions, tables: &mut Embeddings) -> Result<Self> {
        options.check(op)?;
        tables.adopt(op, options.rule, options.item_bias.exists(), options.layout)?;
        Ok(Self { options, set: None, clock: Clock::default(), scratch_bytes: 0 })
    }

    /// For a copy of the model, which has to be prepared anew.
    pub fn duplicate(&self) -> Self {
        Self { options: self.options, set: None, clock: self.clock, scratch_bytes: 0 }
    }

    /// The state of a model of these tables.
    pub fn save(&self, tables: &Embeddings) -> Result<State> {
        let mut state = tables.state()?;
        state.put("steps", [self.clock.step]);
        Ok(state)
    }

    /// Takes it in, tables and steps; what was prepared goes.
    pub fn restore(&mut self, tables: &mut Embeddings, state: &State) -> Result<()> {
        let [step] = state.array("steps")?;
        let mut rows = state.clone();
        rows.remove("steps");
        tables.restore_state(&rows)?;
        // The steps of a segment are counted from where it is prepared.
        (self.set, self.clock) = (None, Clock { step, segment_step: 0 });
        Ok(())
    }

    /// Lays a segment's rows out.
    pub fn prepare(&mut self, device: &Device, data: TrainingData<'_>) -> Result<()> {
        // The old rows go before the new ones come.
        self.set = None;
        self.clock.segment_step = 0;
        if !data.rows.is_empty() {
            self.set = Some(TrainingSet::new(device, data, self.options.sampling)?);
        }
        Ok(())
    }

    /// Bytes of device memory of the segment's rows and of what the last training had for scratch.
    pub fn bytes(&self) -> u64 {
        self.sample_bytes() + self.scratch_bytes
    }

    /// Bytes of the prepared rows.
    pub fn sample_bytes(&self) -> u64 {
        self.set.as_ref().map_or(0, TrainingSet::bytes)
    }
}

impl Clock {
    /// Draws the triples of the step that comes.
    pub fn record_triples(
        &self,
        commands: &mut Commands,
        (set, options): (&TrainingSet, &TrainingOptions),
        triples: &mut Buffer<u32>,
    ) -> Result<()> {
        set.record_triples(commands, self.step, options.seed, triples)
    }

    /// Draws the triples of the steps that come.
    pub fn record_steps(
        &self,
        commands: &mut Commands,
        (set, options): (&TrainingSet, &TrainingOptions),
        steps: u32,
        triples: &mut Buffer<u32>,
    ) -> Result<()> {
        set.record_steps(commands, Drawn { step: self.step, steps, seed: options.seed }, triples)
    }

    /// Sets the rate of the step that comes, where rates move.
    pub fn set_rate(&self, options: &TrainingOptions, tables: &mut Embeddings) -> Result<()> {
        let Some(rate) = options.rate.rate(options.rule.optimizer.learning_rate(), self.segment_step) else {
            return Ok(());
        };
        let TablesMut { mut users, mut items } = tables.tables_mut();
        users.set_learning_rate(rate)?;
        items.set_learning_rate(rate)
    }

    /// A step is recorded.
    pub fn tick(&mut self) {
        self.step = self.step.wrapping_add(1);
        self.segment_step = self.segment_step.saturating_add(1);
    }
}
