//! A network with its optimizer, Adam.
//!
//! burn has an Adam of tensor operations: some fifteen passes over parameters that do not fit a cache, and each
//! parameter clipped by a norm of its own. This one is a single pass, clipped by one norm.

use burn::tensor::Tensor;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::networks::{AT_ONCE, Mlp, PARAMS, edit, into_values};

/// Decay of the first moment, of the second, and what keeps the step finite: Adam's defaults, and the paper's.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// What a step of Adam needs to know.
#[derive(Clone, Copy)]
pub(super) struct AdamStep {
    pub learning_rate: f64,
    /// Added to the gradient, times the parameter, after clipping.
    pub weight_decay: f32,
    /// What the norm of the gradient, over all parameters together, is cut to.
    pub max_norm: Option<f32>,
    /// Steps before this one.
    pub steps: u32,
}

/// First and second moment of each parameter's gradient.
pub(super) type Moments = [[Vec<f32>; 2]; PARAMS];

/// A network and the moments of its gradients.
#[derive(Clone)]
pub(super) struct Trained {
    pub net: Mlp,
    pub moments: Moments,
}

impl Trained {
    pub fn new(net: Mlp) -> Self {
        let moments = net.params.each_ref().map(|param| [0, 1].map(|_| vec![0.0; param.dims().iter().product()]));
        Self { net, moments }
    }

    /// One step down the gradient of a loss over `tracked`, this network with gradients:
    /// m = 0.9 m + 0.1 g, v = 0.999 v + 0.001 g^2, w = w - rate * (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + 1e-8).
    pub fn step(&mut self, tracked: Mlp, loss: Tensor<1>, step: AdamStep) {
        let mut gradients = loss.backward();
        let gradients = tracked.params.each_ref().map(|param| {
            into_values(param.grad_remove(&mut gradients).expect("every parameter is part of its network's output"))
        });
        // Nothing else may hold the parameters when they are edited in place.
        drop((tracked, loss));

        let clip = step.max_norm.map_or(1.0, |max_norm| {
            let norm = gradients.iter().map(|of| sum_of_squares(of)).sum::<f64>().sqrt() as f32;
            if norm > max_norm { max_norm / (norm + 1e-6) } else { 1.0 }
        });
        let factors = Factors::of(step, clip);
        for ((param, moments), gradient) in self.net.params.iter_mut().zip(&mut self.moments).zip(&gradients) {
            let [first, second] = moments.each_mut().map(|moment| moment.par_chunks_mut(AT_ONCE));
            edit(param, |param| {
                let parts = param.par_chunks_mut(AT_ONCE).zip(first).zip(second).zip(gradient.par_chunks(AT_ONCE));
                parts.for_each(|(((param, first), second), gradient)| {
                    Arch::new().dispatch(Move { param, moments: [first, second], gradient, factors });
                });
            });
        }
    }
}

/// In eight sums side by side, which the compiler turns into vectors.
fn sum_of_squares(values: &[f32]) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    let mut add = |chunk: &[f32]| sums.iter_mut().zip(chunk).for_each(|(sum, &v)| *sum += f64::from(v) * f64::from(v));
    chunks.iter().for_each(|chunk| add(chunk));
    add(rest);
    sums.iter().sum()
}

/// The numbers of a step that are the same for all parameters.
#[derive(Clone, Copy)]
struct Factors {
    clip: f32,
    keep: [f32; 2],
    take: [f32; 2],
    correct_second: f32,
    rate: f32,
    decay: f32,
}

impl Factors {
    fn of(step: AdamStep, clip: f32) -> Self {
        let t = step.steps as i32 + 1;
        let [correct_first, correct_second] = BETAS.map(|beta| (1.0 / (1.0 - beta.powi(t))) as f32);
        Self {
            clip,
            keep: BETAS.map(|beta| beta as f32),
            take: BETAS.map(|beta| (1.0 - beta) as f32),
            correct_second,
            rate: step.learning_rate as f32 * correct_first,
            decay: step.weight_decay,
        }
    }
}

/// Some parameters on their way, in a loop compiled for the widest vectors.
struct Move<'a> {
    param: &'a mut [f32],
    moments: [&'a mut [f32]; 2],
    gradient: &'a [f32],
    factors: Factors,
}

impl NullaryFnOnce for Move<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { param, moments: [first, second], gradient, factors } = self;
        let Factors { clip, keep, take, correct_second, rate, decay } = factors;
        for (((w, m), v), g) in param.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = clip * g + decay * *w;
            *m = keep[0] * *m + take[0] * g;
            *v = keep[1] * *v + take[1] * (g * g);
            *w -= rate * *m / ((*v * correct_second).sqrt() + EPSILON);
        }
    }
}
