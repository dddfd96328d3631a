//! How a graph model learns.

use crate::Result;
use crate::check;
use crate::kernels::table::update::Optimizer;
use crate::models::{ItemBias, Sampling};
use crate::rows::Layout;

/// How [`LightGcn`](super::LightGcn) learns.
#[derive(Clone, Copy, Debug)]
pub struct LightGcnOptions {
    /// Propagation steps K (default 3, `docs/method.md` section 5); 0 is matrix factorisation.
    pub layers: u32,
    /// Triples a step (default 4,096: propagation costs the same for any batch).
    pub batch: u32,
    /// Weight of the squared embeddings of the batch's rows, a triple (default 1e-3, between the 5e-4 and 2e-3 that rank best
    /// on the UCI Online Retail purchases; SCALL has 1e-4). Biases are left out: a bias is one number and hard to overfit.
    pub l2: f32,
    /// Adam's rate over the steps of a segment.
    pub rate: RateSchedule,
    /// Whether an item row begins with a bias, one more parameter an item, and where it comes from (default: counted).
    pub item_bias: ItemBias,
    /// How triples are drawn (default: rows of the log, negatives from at most 5,000 rows before or after).
    pub sampling: Sampling,
    /// Standard deviation of new values (default 0.01, `docs/method.md` section 4).
    pub init_std: f32,
    /// Seed of the triples and of new values (default 0).
    pub seed: u64,
    /// How the rows of both tables lie in memory (default: f32, packed).
    pub layout: Layout,
}

impl Default for LightGcnOptions {
    fn default() -> Self {
        Self {
            layers: 3,
            batch: 4096,
            l2: 1e-3,
            rate: RateSchedule::default(),
            item_bias: ItemBias::default(),
            sampling: Sampling::Log { window: 5000 },
            init_std: 0.01,
            seed: 0,
            layout: Layout::default(),
        }
    }
}

/// A learning rate that falls by steps: `max(start * factor^(step / every), least)`, the quotient rounded down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateSchedule {
    /// Rate of the first steps (default 0.03).
    pub start: f32,
    /// What it is multiplied by (default 0.95).
    pub factor: f32,
    /// Steps between (default 200).
    pub every: u32,
    /// Where it stays (default 0.001).
    pub least: f32,
}

impl Default for RateSchedule {
    /// SCALL's.
    fn default() -> Self {
        Self { start: 0.03, factor: 0.95, every: 200, least: 0.001 }
    }
}

impl RateSchedule {
    /// The rate of a step, counted from 0.
    pub fn rate(&self, step: u32) -> f32 {
        let falls = step / self.every.max(1);
        (f64::from(self.start) * f64::from(self.factor).powf(falls.into())).max(self.least.into()) as f32
    }

    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        let Self { start, factor, every, least } = *self;
        for (arg, rate) in [("rate.start", start), ("rate.least", least)] {
            check::domain(op, arg, rate, rate.is_finite() && rate >= 0.0, "finite and not negative")?;
        }
        let falls = format!("at most the rate.start of {start}");
        check::domain(op, "rate.least", least, least <= start, &falls)?;
        check::domain(op, "rate.factor", factor, factor > 0.0 && factor <= 1.0, "above 0 and at most 1")?;
        check::domain(op, "rate.every", every, every > 0, "at least 1")
    }
}

impl LightGcnOptions {
    /// Adam, as its paper has it, at the first rate.
    pub(in crate::models) fn optimizer(&self) -> Optimizer {
        Optimizer::Adam { learning_rate: self.rate.start, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}
