//! The optimizers of a table: how a row moves along its gradient.
//!
//! [`Optimizer`] has them all, each with its formula and its source. In the formulas g is a row's gradient in a dim, w
//! its weight there, and t the number of the step, from 1 on. An [`UpdateRule`] is an optimizer and what becomes of the
//! gradient before it, in this order:
//!
//! * Clipping: `g *= min(1, max_norm / |g|)`, the norm that of all dims of the row that have a gradient. It is the
//!   row's whole gradient that is clipped: in a sparse update, the sum over the row's occurrences.
//! * Weight decay (of the L2 kind): `g += weight_decay * w`.
//!
//! [`Update`](super::update::Update) steps the rows of a batch, [`UpdateAll`](super::update_all::UpdateAll) every row.
//! Both step by `shaders/common/optimizer.wgsl` on a GPU and by `optimizer/formulas.rs` on the CPU, where the same in
//! f64, which tests compare with, is the readable form. A dim without a gradient keeps its value and state, decay or
//! not; so does a row that a sparse update does not step.
//!
//! # What is not finite
//! No step puts NaN or an infinity into a table. Where a dim's new value or state would not be finite, the dim keeps
//! both, bit for bit, and its step is left out. Where the whole row has a say (it is clipped, or has state of its own)
//! and its norm or its new state is not finite, all its dims are left out, and so is the row's state. That is so for a
//! gradient of NaN or infinity, for squares or sums that pass the range of f32 (a square of 1.9e19, a row's norm of
//! that size), and for a step that would take a value past it. What is left out is counted, on the device, where an
//! operator is given a counter; [`NonFinite`] says what else becomes of it.
//!
//! # Numerics
//! Corrections of averages that began at zero, `1 - b^t`, are computed once a step, in f64, on the host. Squares of a
//! row are summed by as many lanes as share it on a GPU, then by a tree; the CPU sums in the same order, so the two
//! differ by fused products only. A gradient of norm 0 is left as it is. A rule without decay or clipping runs the code
//! that knows of neither.

use crate::Result;
use crate::check;
use crate::device::{Change, Changes};
use crate::rows::Rows;

mod constants;
mod formulas;
mod list;
mod non_finite;
mod recipe;
mod step;

pub(super) use constants::{Constants, StepParams};
pub use list::Optimizer;
pub use non_finite::NonFinite;
pub(super) use step::{Counter, RowsMut, Run};

/// An optimizer, and what becomes of a row's gradient before it steps. See the [module](self).
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
    /// L2 decay: `weight_decay * w` is added to the gradient (default 0: whoever wants less of the weights has to say
    /// so). [`Optimizer::AdamW`] has its own instead, and this must be 0 with it.
    pub weight_decay: f32,
    /// A longer gradient of a row is shortened to this norm (default infinite: none is).
    pub max_norm: f32,
    /// What becomes of gradients and steps that are not finite (default: they are left out, and training ends with an
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
    pub(super) fn passes(&self) -> u32 {
        1 + u32::from(self.max_norm.is_finite()) + self.optimizer.state_size().per_row
    }

    /// What a step takes from it. The seed is that of the noise that rounds.
    pub(super) fn constants(&self, step: u32, seed: u64) -> Constants {
        Constants::new(self, step, seed)
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
    pub(super) fn check_rows(&self, op: &'static str, step: u32, rows: &Rows) -> Result<()> {
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
pub(super) mod oracle;
#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
