//! The optimizers of a table: how a row moves along its gradient.
//!
//! With `g_j` the gradient of a row's dim j and n the dims of the row that have one, in step t:
//!
//! * SGD: `w_j -= lr * g_j`
//! * Momentum: `v_j = mu * v_j + g_j`, `w_j -= lr * v_j`, or with Nesterov's look ahead `w_j -= lr * (g_j + mu * v_j)`
//! * Adagrad: `s_j += g_j^2`, `w_j -= lr * g_j / (sqrt(s_j) + eps)`
//! * Adam: `m_j = b1 * m_j + (1 - b1) * g_j`, `v_j = b2 * v_j + (1 - b2) * g_j^2`,
//!   `w_j -= lr * m_j / (1 - b1^t) / (sqrt(v_j / (1 - b2^t)) + eps)`
//! * AdamW: `w_j -= lr * wd * w_j`, then Adam
//! * Row-wise Adagrad: `s += mean of g_j^2`, `w_j -= lr * g_j / (sqrt(s) + eps)`
//! * Row-wise Adam: `m_j` as Adam, `v = b2 * v + (1 - b2) * mean of g_j^2`,
//!   `w_j -= lr * m_j / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)`
//!
//! An [`UpdateRule`] is one of them and what becomes of the gradient before, in this order:
//!
//! * Clipping: `g_j *= min(1, max_norm / |g|)`, the norm that of the n dims. It is the row's whole gradient that is
//!   clipped: in a sparse update, the sum over the row's occurrences.
//! * Weight decay (of the L2 kind): `g_j += weight_decay * w_j`.
//!
//! [`Update`](super::update::Update) steps the rows of a batch, [`UpdateAll`](super::update_all::UpdateAll) every row. Both
//! step by `shaders/common/optimizer.wgsl` on a GPU and by `optimizer/step.rs` on the CPU. A dim without a gradient keeps its
//! value and state, decay or not; so does a row that a sparse update does not step.
//!
//! # What is not finite
//! No step puts NaN or an infinity into a table. Where a dim's new value or state would not be finite, the dim keeps both, bit for bit, and its
//! step is left out. Where the whole row has a say (it is clipped, or has state of its own) and its norm or its new state is not finite, all
//! its dims are left out, and so is the row's state. That is so for a gradient of NaN or infinity, for squares or sums that pass the range of
//! f32 (a square of 1.9e19, a row's norm of that size), and for a step that would take a value past it. What is left out is counted, on the
//! device, where an operator is given a counter; [`NonFinite`] says what else becomes of it.
//!
//! # Numerics
//! The corrections `1 - b^t` are computed once a step, in f64, on the host. Squares of a row are summed by as many lanes as
//! share it on a GPU, then by a tree; the CPU sums in the same order, so the two differ by fused products only. A gradient
//! of norm 0 is left as it is. A rule without decay or clipping runs the code that knows of neither.
//!
//! # Source
//! Momentum: Polyak 1964; with the look ahead Nesterov 1983, in the form of Sutskever, Martens, Dahl, Hinton, ICML 2013, with
//! the rate outside of the velocity, so that a new rate takes hold at once. Adagrad: Duchi, Hazan, Singer, JMLR 2011. Adam:
//! Kingma, Ba, ICLR 2015. AdamW: Loshchilov, Hutter, ICLR 2019. The row-wise forms are FBGEMM's exact row-wise Adagrad and
//! partial row-wise Adam, which hold one second moment a row.

use crate::check;
use crate::device::{Change, Changes};
use crate::rows::{Rows, StateSize};
use crate::{Result, rng};

mod non_finite;
mod step;

pub use non_finite::NonFinite;
pub(super) use step::{Counter, RowsMut, Run};

/// How a row moves along its gradient.
///
/// Those with state are lazy: in a sparse update only the rows of the batch move, and the state of the others stays as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// `w -= lr * g`; no state.
    Sgd {
        /// Step size.
        learning_rate: f32,
    },
    /// SGD along a velocity: `v = mu * v + g; w -= lr * v`; one number of state a value.
    Momentum {
        /// Step size. A gradient moves a weight by `1 / (1 - momentum)` times as much in the long run.
        learning_rate: f32,
        /// Share of the old velocity, in `[0, 1)`; 0.9 where nothing speaks for another.
        momentum: f32,
        /// Looks one step ahead: `w -= lr * (g + mu * v)`, v being the new velocity.
        nesterov: bool,
    },
    /// `s += g^2; w -= lr * g / (sqrt(s) + eps)`; one number of state a value.
    Adagrad {
        /// Step size.
        learning_rate: f32,
        /// Keeps the first steps finite; 1e-8 where nothing speaks for another.
        epsilon: f32,
    },
    /// Moving averages of the gradient and its square, corrected for their start at zero; two numbers of state a value.
    ///
    /// The step that corrects is the table's, not the row's: a row that first occurs late takes first steps as large as
    /// `(1 - beta1) / sqrt(1 - beta2)` times the learning rate.
    Adam {
        /// Step size; 1e-3 in the paper.
        learning_rate: f32,
        /// Share of the old average of gradients, in `[0, 1)`; 0.9 in the paper.
        beta1: f32,
        /// Share of the old average of squares, in `[0, 1)`; 0.999 in the paper.
        beta2: f32,
        /// Keeps steps along vanishing gradients finite; 1e-8 in the paper.
        epsilon: f32,
    },
    /// Adam with weight decay apart from the gradient: `w -= lr * wd * w`, and the averages know nothing of it.
    AdamW {
        /// Step size; 1e-3 in the paper.
        learning_rate: f32,
        /// Share of the old average of gradients, in `[0, 1)`; 0.9 in the paper.
        beta1: f32,
        /// Share of the old average of squares, in `[0, 1)`; 0.999 in the paper.
        beta2: f32,
        /// Keeps steps along vanishing gradients finite; 1e-8 in the paper.
        epsilon: f32,
        /// Share of a weight that it loses a step, times the learning rate; 1e-2 where nothing speaks for another.
        weight_decay: f32,
    },
    /// Adagrad with one number of state a row: `s += mean of g^2` over the dims of the row that have a gradient.
    RowWiseAdagrad {
        /// Step size.
        learning_rate: f32,
        /// Keeps the first steps finite; 1e-8 where nothing speaks for another.
        epsilon: f32,
    },
    /// Adam with one average of squares a row, of `mean of g^2` over the dims of the row that have a gradient; a number of
    /// state a value and one a row.
    RowWiseAdam {
        /// Step size; 1e-3 in Adam's paper.
        learning_rate: f32,
        /// Share of the old average of gradients, in `[0, 1)`; 0.9 in Adam's paper.
        beta1: f32,
        /// Share of the old average of mean squares, in `[0, 1)`; 0.999 in Adam's paper.
        beta2: f32,
        /// Keeps steps along vanishing gradients finite; 1e-8 in Adam's paper.
        epsilon: f32,
    },
}

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
    /// What becomes of gradients and steps that are not finite (default: they are left out, and training ends with an error).
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

/// The step's formula, by the shader's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Formula {
    Sgd,
    Momentum,
    Nesterov,
    Adagrad,
    Adam,
    RowWiseAdagrad,
    RowWiseAdam,
}

/// What weight decay adds to, by the shader's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decay {
    None,
    OfGradients,
    OfWeights,
}

/// What a step takes from the rule: the shader's overrides, and its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    pub formula: Formula,
    pub decay: Decay,
    pub clips: bool,
    /// Whether gradients that are not finite are replaced.
    pub clamps: bool,
    pub learning_rate: f32,
    pub epsilon: f32,
    /// Or the momentum.
    pub beta1: f32,
    pub beta2: f32,
    pub correction: f32,
    /// Of weights: times the learning rate.
    pub weight_decay: f32,
    pub max_norm: f32,
    /// Counter and key of the noise that rounds values of f16.
    pub step: u32,
    pub key: [u32; 2],
}

impl Constants {
    /// The shader's overrides, behind the given ones.
    pub fn overrides<const N: usize>(&self, own: [(&'static str, f64); N], counts: bool) -> Vec<(&'static str, f64)> {
        let numbers = [
            ("optimizer", self.formula as u32),
            ("decay", self.decay as u32),
            ("clip", self.clips.into()),
            ("clamps", self.clamps.into()),
            ("counts", counts.into()),
        ];
        own.into_iter().chain(numbers.map(|(name, number)| (name, number.into()))).collect()
    }

    /// Whether the whole row has a say in a value's step.
    pub fn by_row(&self) -> bool {
        self.clips || matches!(self.formula, Formula::RowWiseAdagrad | Formula::RowWiseAdam)
    }
}

impl Optimizer {
    /// Numbers of state that it keeps. Adam's first buffer is that of the gradients' averages.
    pub fn state_size(&self) -> StateSize {
        let (per_value, per_row) = match self {
            Self::Sgd { .. } => (0, 0),
            Self::Momentum { .. } | Self::Adagrad { .. } => (1, 0),
            Self::Adam { .. } | Self::AdamW { .. } => (2, 0),
            Self::RowWiseAdagrad { .. } => (0, 1),
            Self::RowWiseAdam { .. } => (1, 1),
        };
        StateSize { per_value, per_row }
    }

    /// The step size.
    pub fn learning_rate(&self) -> f32 {
        match *self {
            Self::Sgd { learning_rate }
            | Self::Momentum { learning_rate, .. }
            | Self::Adagrad { learning_rate, .. }
            | Self::Adam { learning_rate, .. }
            | Self::AdamW { learning_rate, .. }
            | Self::RowWiseAdagrad { learning_rate, .. }
            | Self::RowWiseAdam { learning_rate, .. } => learning_rate,
        }
    }

    /// The same with another step size.
    pub fn with_learning_rate(mut self, rate: f32) -> Self {
        *self.learning_rate_mut() = rate;
        self
    }

    /// Its step size.
    pub fn learning_rate(mut self) -> f32 {
        *self.learning_rate_mut()
    }

    fn learning_rate_mut(&mut self) -> &mut f32 {
        match self {
            Self::Sgd { learning_rate }
            | Self::Momentum { learning_rate, .. }
            | Self::Adagrad { learning_rate, .. }
            | Self::Adam { learning_rate, .. }
            | Self::AdamW { learning_rate, .. }
            | Self::RowWiseAdagrad { learning_rate, .. }
            | Self::RowWiseAdam { learning_rate, .. } => learning_rate,
        }
    }

    /// Domain of the constants.
    fn check(&self, op: &'static str) -> Result<()> {
        let share =
            |arg, share: f32| check::domain(op, arg, share, (0.0..1.0).contains(&share), "at least 0 and below 1");
        let rate = |rate: f32| check::domain(op, "learning_rate", rate, rate.is_finite(), "finite");
        // At 0 a first gradient of 0, which a short row's partner gives, would be 0 / 0.
        let epsilon = |epsilon: f32| {
            check::domain(op, "epsilon", epsilon, epsilon.is_finite() && epsilon > 0.0, "finite and above 0")
        };
        match *self {
            Self::Sgd { learning_rate } => rate(learning_rate),
            Self::Momentum { learning_rate, momentum, .. } => {
                rate(learning_rate)?;
                share("momentum", momentum)
            }
            Self::Adagrad { learning_rate, epsilon: eps } | Self::RowWiseAdagrad { learning_rate, epsilon: eps } => {
                rate(learning_rate)?;
                epsilon(eps)
            }
            Self::Adam { learning_rate, beta1, beta2, epsilon: eps }
            | Self::AdamW { learning_rate, beta1, beta2, epsilon: eps, .. }
            | Self::RowWiseAdam { learning_rate, beta1, beta2, epsilon: eps } => {
                rate(learning_rate)?;
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                epsilon(eps)
            }
        }
    }
}

impl UpdateRule {
    /// How often a lane with several values of a row goes through their gradients on a GPU.
    pub(super) fn passes(&self) -> u32 {
        1 + u32::from(self.max_norm.is_finite()) + self.optimizer.state_size().per_row
    }

    /// The seed is that of the noise that rounds.
    pub(super) fn constants(&self, step: u32, seed: u64) -> Constants {
        let decay = if self.weight_decay == 0.0 { Decay::None } else { Decay::OfGradients };
        let plain = |formula, learning_rate, epsilon| Constants {
            formula,
            decay,
            clips: self.max_norm.is_finite(),
            clamps: self.non_finite == NonFinite::Clip,
            learning_rate,
            epsilon,
            beta1: 0.0,
            beta2: 0.0,
            correction: 1.0,
            weight_decay: self.weight_decay,
            max_norm: self.max_norm,
            step,
            key: rng::key(seed),
        };
        let adam = |formula, rate: f32, [beta1, beta2]: [f32; 2], epsilon| {
            let missing = |beta: f32| 1.0 - f64::from(beta).powf(step.into());
            let rate = (f64::from(rate) / missing(beta1)) as f32;
            Constants { beta1, beta2, correction: (1.0 / missing(beta2)) as f32, ..plain(formula, rate, epsilon) }
        };
        match self.optimizer {
            Optimizer::Sgd { learning_rate } => plain(Formula::Sgd, learning_rate, 0.0),
            Optimizer::Momentum { learning_rate, momentum, nesterov } => {
                let formula = if nesterov { Formula::Nesterov } else { Formula::Momentum };
                Constants { beta1: momentum, ..plain(formula, learning_rate, 0.0) }
            }
            Optimizer::Adagrad { learning_rate, epsilon } => plain(Formula::Adagrad, learning_rate, epsilon),
            Optimizer::RowWiseAdagrad { learning_rate, epsilon } => {
                plain(Formula::RowWiseAdagrad, learning_rate, epsilon)
            }
            Optimizer::Adam { learning_rate, beta1, beta2, epsilon } => {
                adam(Formula::Adam, learning_rate, [beta1, beta2], epsilon)
            }
            Optimizer::RowWiseAdam { learning_rate, beta1, beta2, epsilon } => {
                adam(Formula::RowWiseAdam, learning_rate, [beta1, beta2], epsilon)
            }
            Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } => {
                let decay = if weight_decay == 0.0 { Decay::None } else { Decay::OfWeights };
                let weight_decay = (f64::from(learning_rate) * f64::from(weight_decay)) as f32;
                Constants { decay, weight_decay, ..adam(Formula::Adam, learning_rate, [beta1, beta2], epsilon) }
            }
        }
    }

    /// Domain of the constants.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        self.optimizer.check(op)?;
        let arg = "weight_decay";
        let decay = |decay: f32| decay.is_finite() && decay >= 0.0;
        let words = "finite and not negative";
        if let Optimizer::AdamW { weight_decay, .. } = self.optimizer {
            check::domain(op, arg, weight_decay, decay(weight_decay), words)?;
            let none = self.weight_decay == 0.0;
            check::domain(op, arg, self.weight_decay, none, "0 for AdamW, which has its own")?;
        }
        check::domain(op, arg, self.weight_decay, decay(self.weight_decay), words)?;
        check::domain(op, "max_norm", self.max_norm, self.max_norm > 0.0, "above 0")
    }

    /// How the parameters of a prepared operator on rows follow its step, seed and learning rate.
    pub(super) fn changes(&self, op: &'static str, mut step: u32, mut seed: u64) -> Changes {
        let mut rule = *self;
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
            // A rate decides about the decay of weights too, a step about rate and correction.
            let Constants { learning_rate, correction, weight_decay, step, key: [low, high], .. } =
                rule.constants(step, seed);
            params.set("step", step);
            params.set("key_low", low);
            params.set("key_high", high);
            for (name, value) in
                [("learning_rate", learning_rate), ("correction", correction), ("weight_decay", weight_decay)]
            {
                params.set(name, value.to_bits());
            }
            Ok(true)
        })
    }

    /// Constants, step and state of an operator on rows.
    pub(super) fn check_rows(&self, op: &'static str, step: u32, rows: &Rows) -> Result<()> {
        self.check(op)?;
        check_step(op, step)?;
        let (needed, own) = (self.optimizer.state_size(), rows.state_size());
        check::domain(
            op,
            "rows",
            format!("{own:?}"),
            own == needed,
            &format!("rows with the state of the rule, {needed:?}"),
        )
    }
}

fn check_step(op: &'static str, step: u32) -> Result<()> {
    check::domain(op, "step", step, step > 0, "at least 1")
}

#[cfg(test)]
pub(super) mod oracle;
