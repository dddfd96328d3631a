//! What a step takes from a rule: a formula by its number, and the constants that it reads.

use crate::device::param_group;
use crate::rng::Purpose;
use crate::rows::StateSize;

/// A formula, by the shader's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernels::table) enum Formula {
    Sgd,
    Momentum,
    Nesterov,
    Adagrad,
    Adam,
    RowWiseAdagrad,
    RowWiseAdam,
    RmsProp,
    RowWiseRmsProp,
    Ftrl,
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
pub(in crate::kernels) struct Constants {
    pub(super) formula: Formula,
    pub(super) state: StateSize,
    pub(super) decay: Decay,
    pub(super) clips: bool,
    /// Whether gradients that are not finite are replaced.
    pub(super) clamps: bool,
    pub(super) learning_rate: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) epsilon: f32,
    /// Of an average of squares, for its start at zero. The correction of the gradients' average is in the learning
    /// rate.
    pub(super) correction: f32,
    /// Of weights: times the learning rate.
    pub(super) weight_decay: f32,
    pub(super) max_norm: f32,
    /// Counter and key of the noise that rounds.
    pub(super) step: u32,
    pub(super) key: [u32; 2],
}

param_group! {
    /// What a kernel that steps has to know: `shaders/common/step_params.wgsl`.
    "step", struct StepParams {
        step: u32,
        purpose: u32,
        key_low: u32,
        key_high: u32,
        learning_rate: f32,
        beta1: f32,
        beta2: f32,
        epsilon: f32,
        correction: f32,
        weight_decay: f32,
        max_norm: f32,
    }
}

/// The `override` constants that an entry point reads that steps values one by one, or by what the whole row is, with
/// those of its own.
macro_rules! step_overrides {
    (element_wise $(, $own:literal)*) => {
        &["clamps", "counts", "decay", "lanes", "optimizer", "state_per_value" $(, $own)*]
    };
    (by_row $(, $own:literal)*) => {
        &["clamps", "clip", "counts", "decay", "lanes", "optimizer", "state_per_row", "state_per_value" $(, $own)*]
    };
}
pub(in crate::kernels) use step_overrides;

impl Constants {
    /// The shader's parameters.
    pub fn params(&self) -> StepParams {
        let &Self { step, key, learning_rate, beta1, beta2, epsilon, correction, weight_decay, max_norm, .. } = self;
        let ([key_low, key_high], purpose) = (key, Purpose::Rounding as u32);
        StepParams {
            step,
            purpose,
            key_low,
            key_high,
            learning_rate,
            beta1,
            beta2,
            epsilon,
            correction,
            weight_decay,
            max_norm,
        }
    }

    /// The shader's overrides, after the given ones.
    pub fn overrides<const N: usize>(&self, own: [(&'static str, f64); N], counts: bool) -> Vec<(&'static str, f64)> {
        let numbers = [
            ("optimizer", self.formula as u32),
            ("state_per_value", self.state.per_value),
            ("state_per_row", self.state.per_row),
            ("decay", self.decay as u32),
            ("clip", self.clips.into()),
            ("clamps", self.clamps.into()),
            ("counts", counts.into()),
        ];
        own.into_iter().chain(numbers.map(|(name, number)| (name, number.into()))).collect()
    }

    /// Whether a value's step depends on the whole row.
    pub fn by_row(&self) -> bool {
        self.clips || self.state.per_row > 0
    }
}
