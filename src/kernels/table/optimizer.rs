//! The optimizers of a table: how a row moves along its gradient.
//!
//! [`Optimizer`] has them all, each with its formula and its source. In the formulas g is a row's gradient in a dim, w
//! its weight there, and t the number of the step, from 1 on. An [`UpdateRule`] is an optimizer together with what
//! happens to the gradient before it, in this order:
//!
//! * Clipping: `g *= min(1, max_norm / |g|)`. The norm is that of all dims of the row that have a gradient. The row's
//!   whole gradient is clipped: in a sparse update, the sum over the row's occurrences.
//! * Weight decay (of the L2 kind): `g += weight_decay * w`.
//!
//! [`Update`](super::update::Update) steps the rows of a batch, [`UpdateAll`](super::update_all::UpdateAll) every row.
//! Both step by `shaders/common/formulas.wgsl` on a GPU and by `optimizer/formulas.rs` on the CPU. The latter has the
//! formulas in f64 too, which tests compare with and which are the readable form. A dim without a gradient keeps its
//! value and state, with or without decay; so does a row that a sparse update does not step.
//!
//! # What is not finite
//! No step puts NaN or an infinity into a table. Where a dim's new value or state would not be finite, the dim keeps
//! both, bit for bit, and its step is left out. Where a step depends on the whole row (because the row is clipped, or
//! has state of its own) and the row's norm or new state is not finite, all its dims are left out, and so is the row's
//! state. That holds for a gradient of NaN or infinity, for squares or sums that pass the range of f32 (a gradient or a
//! norm of 1.9e19), and for a step that would take a value past that range. What is left out is counted on the device,
//! where an operator is given a counter. [`NonFinite`] says what follows from it.
//!
//! # Numerics
//! The corrections of averages that began at zero, `1 - b^t`, are computed once a step, in f64, on the host. The
//! squares of a row are summed by the lanes that share it on a GPU, then by a tree. The CPU sums in the same order, so
//! the two differ by fused products only. A gradient of norm 0 is left as it is. A rule without decay or clipping runs
//! code without either.

use crate::Result;
use crate::check;
use crate::device::{Change, Changes};
use crate::rng;
use crate::rows::Rows;

mod constants;
mod deferred;
mod formulas;
mod list;
mod non_finite;
mod properties;
mod recipe;
mod step;

use constants::Decay;
pub(in crate::kernels) use constants::{Constants, StepParams, step_overrides};
pub use list::Optimizer;
pub use non_finite::NonFinite;
use recipe::Slot;
pub(super) use step::{Counter, RowsMut, Run};

/// An optimizer, and what happens to a row's gradient before it steps. See the [module](self).
///
/// ```
/// use scall_gpu::kernels::table::optimizer::{Optimizer, UpdateRule};
/// let plain: UpdateRule = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 }.into();
/// let clipped = UpdateRule { max_norm: 1.0, weight_decay: 1e-4, ..plain };
/// # assert_eq!(UpdateRule::new(plain.optimizer), plain);
/// # assert_ne!(clipped, plain);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateRule {
    /// The optimizer (default: SGD at 0.01, which needs no state).
    pub optimizer: Optimizer,
    /// L2 decay: `weight_decay * w` is added to the gradient (default 0: smaller weights are to be asked for).
    /// [`Optimizer::AdamW`] has its own instead, and this must be 0 with it.
    pub weight_decay: f32,
    /// A longer gradient of a row is shortened to this norm (default infinite: none is).
    pub max_norm: f32,
    /// What happens to gradients and steps that are not finite (default: they are left out, and training ends with an
    /// error).
    pub non_finite: NonFinite,
}

impl UpdateRule {
    /// An optimizer without decay or clipping.
    pub const fn new(optimizer: Optimizer) -> Self {
        Self { optimizer, weight_decay: 0.0, max_norm: f32::INFINITY, non_finite: NonFinite::Error }
    }

    /// The same with another step size.
    pub fn with_learning_rate(self, rate: f32) -> Self {
        Self { optimizer: self.optimizer.with_learning_rate(rate), ..self }
    }

    /// How often a lane with several values of a row goes through their gradients on a GPU.
    pub(in crate::kernels) fn passes(&self) -> u32 {
        1 + u32::from(self.max_norm.is_finite()) + self.optimizer.state_size().per_row
    }

    /// What a step takes from it. The seed is that of the noise that rounds.
    pub(in crate::kernels) fn constants(&self, step: u32, seed: u64) -> Constants {
        let recipe = self.optimizer.recipe();
        let [mut rate, mut beta1, mut beta2, mut epsilon, mut own_decay] = [0.0; 5];
        // What an average that began at zero is divided by.
        let [mut of_mean, mut of_squares] = [1.0; 2];
        for (constant, value) in recipe.constants.iter().zip(self.optimizer.values()) {
            let missing = || if constant.kind.corrects { 1.0 - f64::from(value).powf(step.into()) } else { 1.0 };
            match constant.kind.slot {
                Slot::LearningRate => rate = value,
                Slot::Beta1 => (beta1, of_mean) = (value, missing()),
                Slot::Beta2 => (beta2, of_squares) = (value, missing()),
                Slot::Epsilon => epsilon = value,
                Slot::Decay => own_decay = value,
            }
        }
        let (decay, weight_decay) = match (self.weight_decay, own_decay) {
            (0.0, 0.0) => (Decay::None, 0.0),
            (0.0, own) => (Decay::OfWeights, (f64::from(rate) * f64::from(own)) as f32),
            (of_rule, _) => (Decay::OfGradients, of_rule),
        };
        Constants {
            formula: recipe.formula,
            state: recipe.state_size(),
            decay,
            clips: self.max_norm.is_finite(),
            clamps: self.non_finite == NonFinite::Clip,
            learning_rate: (f64::from(rate) / of_mean) as f32,
            beta1,
            beta2,
            epsilon,
            correction: (1.0 / of_squares) as f32,
            weight_decay,
            max_norm: self.max_norm,
            step,
            key: rng::key(seed),
        }
    }

    /// Domain of the constants.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        self.optimizer.check(op)?;
        let Self { weight_decay, max_norm, .. } = *self;
        let recipe = self.optimizer.recipe();
        if recipe.decays() {
            let words = format!("0 for {}, which has its own", recipe.variant);
            check::domain(op, "weight_decay", weight_decay, weight_decay == 0.0, &words)?;
        }
        let decays = weight_decay.is_finite() && weight_decay >= 0.0;
        check::domain(op, "weight_decay", weight_decay, decays, "finite and not negative")?;
        check::domain(op, "max_norm", max_norm, max_norm > 0.0, "above 0")
    }

    /// How the parameters of a prepared operator on rows follow its step, seed and learning rate.
    pub(super) fn changes(&self, op: &'static str, mut step: u32, mut seed: u64) -> Changes {
        let (mut rule, mut words) = (*self, Vec::new());
        Box::new(move |change, params| {
            match change {
                Change::Step(to) => {
                    check_step(op, to)?;
                    step = to;
                }
                Change::Seed(to) => seed = to,
                Change::LearningRate(rate) => {
                    let changed = rule.with_learning_rate(rate);
                    changed.check(op)?;
                    rule = changed;
                }
                _ => return Ok(false),
            }
            params.set_group(rule.constants(step, seed).params(), &mut words);
            Ok(true)
        })
    }

    /// Constants, step and state of an operator on rows.
    pub(in crate::kernels) fn check_rows(&self, op: &'static str, step: u32, rows: &Rows) -> Result<()> {
        self.check(op)?;
        check_step(op, step)?;
        let (needed, own) = (self.optimizer.state_size(), rows.state_size());
        let words = format!("rows with the state of the rule, {needed:?}");
        check::domain(op, "rows", format!("{own:?}"), own == needed, &words)
    }
}

/// Steps are counted from 1.
fn check_step(op: &'static str, step: u32) -> Result<()> {
    check::domain(op, "step", step, step > 0, "at least 1")
}

impl Default for UpdateRule {
    fn default() -> Self {
        Self::new(Optimizer::Sgd { learning_rate: 0.01 })
    }
}

impl From<Optimizer> for UpdateRule {
    fn from(optimizer: Optimizer) -> Self {
        Self::new(optimizer)
    }
}

#[cfg(test)]
pub(in crate::kernels) mod oracle;
#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
