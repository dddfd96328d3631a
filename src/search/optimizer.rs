//! A network with its optimizer.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, AdamState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Gradients, Tensor};

use super::networks::{Mlp, PARAMS};

/// What a step of Adam needs to know.
#[derive(Clone, Copy)]
pub(super) struct AdamStep {
    pub learning_rate: f64,
    pub weight_decay: f32,
    /// Norm over all parameters together that the gradient is cut to.
    pub max_norm: Option<f32>,
}

/// A network and the moments of its gradients, once there are any.
#[derive(Clone)]
pub(super) struct Trained {
    pub net: Mlp,
    pub moments: Option<[AdamState<2>; PARAMS]>,
}

impl Trained {
    pub fn new(net: Mlp) -> Self {
        Self { net, moments: None }
    }

    /// One step down the gradients that `tracked` got of a loss: Adam with betas 0.9 and 0.999, epsilon 1e-8 and the weight
    /// decay added to the gradient, after clipping.
    ///
    /// burn would clip each parameter by its own norm; the norm of all together is what bounds a step of the network.
    pub fn step(&mut self, tracked: &Mlp, gradients: &mut Gradients, step: AdamStep) {
        let mut gradients: [Tensor<2>; PARAMS] = std::array::from_fn(|i| {
            tracked.params[i].grad_remove(gradients).expect("every parameter is part of its network's output")
        });
        if let Some(max_norm) = step.max_norm {
            let squares = gradients.iter().map(|g| g.clone().square().sum().into_scalar::<f32>());
            let norm = squares.sum::<f32>().sqrt();
            if norm > max_norm {
                gradients = gradients.map(|g| g.mul_scalar(max_norm / (norm + 1e-6)));
            }
        }
        let decay = Some(WeightDecayConfig::new(step.weight_decay));
        let adam = AdamConfig::new().with_epsilon(1e-8).with_weight_decay(decay).build();
        let mut moments = self.moments.take().map(|moments| moments.map(Some)).unwrap_or([const { None }; PARAMS]);
        let mut gradients = gradients.map(Some);
        self.moments = Some(std::array::from_fn(|i| {
            let gradient = gradients[i].take().expect("each is used once");
            let param = self.net.params[i].clone();
            let (param, state) = adam.step(step.learning_rate, param, gradient, moments[i].take());
            self.net.params[i] = param;
            state.expect("Adam has a state")
        }));
    }

    /// First and second moment of each parameter.
    pub fn moments(&self) -> Option<[[Tensor<2>; 2]; PARAMS]> {
        self.moments.clone().map(|states| states.map(|s| [s.momentum.moment_1, s.momentum.moment_2]))
    }

    /// As it was after so many steps.
    pub fn restore(net: Mlp, moments: [[Tensor<2>; 2]; PARAMS], steps: usize) -> Self {
        let moments = moments.map(|[first, second]| AdamState::new(AdaptiveMomentumState::new(steps, first, second)));
        Self { net, moments: Some(moments) }
    }
}
