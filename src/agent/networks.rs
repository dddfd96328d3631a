//! The multilayer perceptrons of actor and critics, and the actor's distribution over actions.

use std::f32::consts::TAU;

use burn::tensor::activation::relu;
use burn::tensor::{DType, Device, Tensor, TensorData};
use pulp::{Arch, NullaryFnOnce};
use rand::Rng;
use rayon::prelude::*;

use super::ACTIONS;
use crate::rng::{NORMAL_FRACTION_BITS, NORMAL_TABLE, Philox, normal_fixed};

/// Bounds of the logarithm of the actor's standard deviation.
const LOG_STD: (f32, f32) = (-20.0, 2.0);
/// Keeps the logarithm of the change of variables finite where tanh is 1 in f32.
const SQUASH_EPSILON: f32 = 1e-6;

/// Parameters of a perceptron: weights [inputs, outputs] and bias [1, outputs] of each of three layers.
pub(super) const PARAMS: usize = 6;
/// Their names in checkpoints.
pub(super) const PARAM_NAMES: [&str; PARAMS] = ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"];

/// A [rows, columns] tensor on burn's CPU backend, f32 whatever the process has set as its default.
pub(super) fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F32))
}

/// The values of a tensor, row by row; without a copy where nothing else holds them.
pub(super) fn into_values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("tensors of this module are f32")
}

/// The values of a tensor, row by row.
pub(super) fn values(tensor: &Tensor<2>) -> Vec<f32> {
    into_values(tensor.clone())
}

/// Edits the values of a tensor, in place where nothing else holds them.
pub(super) fn edit(param: &mut Tensor<2>, edit: impl FnOnce(&mut [f32])) {
    let shape = param.dims();
    let mut values = into_values(std::mem::replace(param, tensor(vec![0.0], [1, 1])));
    edit(&mut values);
    *param = tensor(values, shape);
}

/// Parameters that one task moves: each by arithmetic of its own, so their number decides no bit.
pub(super) const AT_ONCE: usize = 1 << 14;

/// inputs -> hidden -> hidden -> outputs, with ReLU between.
#[derive(Clone)]
pub(super) struct Mlp {
    pub params: [Tensor<2>; PARAMS],
}

/// The widths of a perceptron.
#[derive(Clone, Copy)]
pub(super) struct Widths {
    pub inputs: usize,
    pub hidden: usize,
    pub outputs: usize,
    /// The last layer is so many heads side by side, each initialised as a layer of its own.
    pub heads: usize,
}

impl Widths {
    /// A state in, mean and log-std of each entry of an action out.
    pub fn actor(state_len: usize, hidden: usize) -> Self {
        Self { inputs: state_len, hidden, outputs: 2 * ACTIONS, heads: 2 }
    }

    /// A state and an action in, their value out.
    pub fn critic(state_len: usize, hidden: usize) -> Self {
        Self { inputs: state_len + ACTIONS, hidden, outputs: 1, heads: 1 }
    }

    /// The shape of each parameter.
    pub fn shapes(&self) -> [[usize; 2]; PARAMS] {
        let Self { inputs, hidden, outputs, .. } = *self;
        [[inputs, hidden], [1, hidden], [hidden, hidden], [1, hidden], [hidden, outputs], [1, outputs]]
    }
}

impl Mlp {
    /// Xavier's uniform weights, in +-sqrt(6 / (inputs + outputs)) of each layer, and no bias.
    pub fn new(widths: Widths, rng: &mut Philox) -> Self {
        let shapes = widths.shapes();
        Self {
            params: std::array::from_fn(|i| {
                let [rows, columns] = shapes[i];
                let fan_out = if i == 4 { columns / widths.heads } else { columns };
                let bound = if i % 2 == 0 { (6.0 / (rows + fan_out) as f32).sqrt() } else { 0.0 };
                // 24 bits, the centres of as many equal parts of (-1, 1).
                let mut uniform = || ((rng.next_u32() >> 8) as f32 + 0.5) * (2.0 / (1 << 24) as f32) - 1.0;
                let values = if bound > 0.0 {
                    (0..rows * columns).map(|_| bound * uniform()).collect()
                } else {
                    vec![0.0; rows * columns]
                };
                tensor(values, shapes[i])
            }),
        }
    }

    /// [batch, inputs] to [batch, outputs].
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [w0, b0, w1, b1, w2, b2] = self.params.clone();
        let x = relu(x.matmul(w0) + b0);
        let x = relu(x.matmul(w1) + b1);
        x.matmul(w2) + b2
    }

    /// The value of actions in states: [batch, 1].
    pub fn value(&self, states: Tensor<2>, actions: Tensor<2>) -> Tensor<2> {
        self.forward(Tensor::cat(vec![states, actions], 1))
    }

    /// The same parameters, with a gradient after `backward`.
    pub fn tracked(&self) -> Self {
        Self { params: self.params.clone().map(|param| param.autodiff().require_grad()) }
    }

    /// Moves towards another: `self + tau * (other - self)`.
    pub fn blend(&mut self, other: &Self, tau: f32) {
        for (param, other) in self.params.iter_mut().zip(&other.params) {
            let other = values(other);
            edit(param, |param| {
                param.par_chunks_mut(AT_ONCE).zip(other.par_chunks(AT_ONCE)).for_each(|(to, from)| {
                    Arch::new().dispatch(Blend { to, from, tau });
                });
            });
        }
    }
}

/// Some parameters on their way to others, in a loop compiled for the widest vectors.
struct Blend<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    tau: f32,
}

impl NullaryFnOnce for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { to, from, tau } = self;
        to.iter_mut().zip(from).for_each(|(to, from)| *to += tau * (from - *to));
    }
}

/// Mean and log-std of the actor's normal distribution, before squashing: [batch, 3] each.
pub(super) fn distribution(actor: &Mlp, states: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let heads = actor.forward(states);
    let log_std = heads.clone().narrow(1, ACTIONS, ACTIONS).clamp(LOG_STD.0, LOG_STD.1);
    (heads.narrow(1, 0, ACTIONS), log_std)
}

/// From the real line to an action in 0..=1.
pub(super) fn squash(y: Tensor<2>) -> Tensor<2> {
    y.add_scalar(1.0).mul_scalar(0.5)
}

/// Actions [batch, 3] for standard normal noise [batch, 3], and the logarithm of their density [batch, 1]:
/// with x = mean + std * noise, y = tanh(x) and action = (y + 1) / 2, the sum over the entries of
/// `-noise^2 / 2 - log std - log(2 pi) / 2 - log((1 - y^2) / 2 + 1e-6)`. Both carry the actor's gradient.
pub(super) fn sample(actor: &Mlp, states: Tensor<2>, noise: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let (mean, log_std) = distribution(actor, states);
    let x = mean + log_std.clone().exp() * noise.clone();
    // (1 - y^2) / 2 = 2 e / (1 + e)^2 with e = exp(-2 |x|), without the cancellation near y = 1.
    let e = x.clone().abs().mul_scalar(-2.0).exp();
    let stretch = (e.clone().mul_scalar(2.0) / e.add_scalar(1.0).square()).add_scalar(SQUASH_EPSILON).log();
    let normal = noise.square().mul_scalar(-0.5).sub_scalar(0.5 * TAU.ln()) - log_std;
    (squash(x.tanh()), (normal - stretch).sum_dim(1))
}

/// Standard normal noise for so many actions, [batch, 3]: the fixed-point normal of fresh rows, the same on every
/// platform.
pub(super) fn noise(batch: usize, rng: &mut Philox) -> Tensor<2> {
    tensor((0..batch).flat_map(|_| standard_normal_action(rng)).collect(), [batch, ACTIONS])
}

/// Standard normal noise for one action.
pub(crate) fn standard_normal_action(rng: &mut Philox) -> [f32; ACTIONS] {
    let unit = 1.0 / (1 << NORMAL_FRACTION_BITS) as f32;
    std::array::from_fn(|_| normal_fixed(&NORMAL_TABLE, rng.next_u32()) as f32 * unit)
}
