//! The constants of an agent.

use crate::{Error, Result};

/// The constants of an agent. The defaults are those of SCALL's published code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AgentOptions {
    /// Width of both hidden layers (default 512).
    pub hidden: usize,
    /// The actor's learning rate (default 2e-4).
    pub actor_rate: f64,
    /// The critics' learning rate (default 3e-4).
    pub critic_rate: f64,
    /// Weight decay of all networks, added to the gradient (default 1e-4).
    pub weight_decay: f32,
    /// Norm that the actor's gradient is cut to (default 1).
    pub actor_max_norm: f32,
    /// What a reward one step later is worth (gamma, default 0.99).
    pub discount: f32,
    /// What the entropy of the actions is worth, in units of the reward; fixed (default 0.2).
    pub entropy_weight: f32,
    /// How far the target critics move towards the critics in a learning step (tau, default 0.005).
    pub target_rate: f32,
    /// Transitions that are remembered (default 10,000).
    pub capacity: usize,
    /// Transitions a learning step (default 8), once more than [`warm_up`](Self::warm_up) are held; 1 before.
    pub batch: usize,
    /// Default 12.
    pub warm_up: usize,
    /// Learning steps after each step of the environment (default 3).
    pub learning_steps: u32,
    /// Seed of weights, exploration and batches (default 0).
    pub seed: u64,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            hidden: 512,
            actor_rate: 2e-4,
            critic_rate: 3e-4,
            weight_decay: 1e-4,
            actor_max_norm: 1.0,
            discount: 0.99,
            entropy_weight: 0.2,
            target_rate: 0.005,
            capacity: 10_000,
            batch: 8,
            warm_up: 12,
            learning_steps: 3,
            seed: 0,
        }
    }
}

/// Most parameters of a network's first two layers: 1 GiB each, some twenty of them an agent. Sizes beyond are
/// mistakes, and would end the process instead of giving an error.
const MOST_PARAMETERS: u64 = 1 << 28;

impl AgentOptions {
    /// That all numbers are within their domain, for states of `state_len` values. Errors name `op`, and `of_length`
    /// where states are too long.
    pub(crate) fn check(&self, op: &'static str, of_length: &'static str, state_len: usize) -> Result<()> {
        for (arg, value) in [
            (of_length, state_len),
            ("hidden", self.hidden),
            ("capacity", self.capacity),
            ("batch", self.batch),
            ("learning_steps", self.learning_steps as usize),
        ] {
            if value == 0 {
                return Err(wrong(op, arg, "at least 1", value));
            }
        }
        let (inputs, hidden) = (state_len as u64, self.hidden as u64);
        for (arg, inputs) in [(of_length, inputs), ("hidden", hidden)] {
            let requested = inputs.saturating_mul(hidden);
            if requested > MOST_PARAMETERS {
                let (limit, allowed) = ("parameters of a layer", MOST_PARAMETERS);
                return Err(Error::Limit { op, arg, limit, allowed, requested });
            }
        }
        for (arg, value, most) in [
            ("actor_rate", self.actor_rate, f64::MAX),
            ("critic_rate", self.critic_rate, f64::MAX),
            ("weight_decay", self.weight_decay.into(), f64::MAX),
            ("actor_max_norm", self.actor_max_norm.into(), f64::MAX),
            ("discount", self.discount.into(), 1.0),
            ("entropy_weight", self.entropy_weight.into(), f64::MAX),
            ("target_rate", self.target_rate.into(), 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                let domain = if most == 1.0 { "from 0 to 1" } else { "finite and not negative" };
                return Err(wrong(op, arg, domain, value));
            }
        }
        Ok(())
    }
}

/// The error of a value outside its domain.
pub(super) fn wrong(op: &'static str, arg: &'static str, expected: &str, got: impl ToString) -> Error {
    Error::Argument { op, arg, expected: expected.to_owned(), got: got.to_string() }
}
