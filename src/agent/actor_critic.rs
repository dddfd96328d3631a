//! The soft actor-critic.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::adam::{AdamStep, Trained};
use super::networks::{self, Mlp, Widths, tensor, values};
use super::options::wrong;
use super::{ACTIONS, AgentOptions, ReplayBuffer, Transition};
use crate::rng::{Philox, Purpose};
use crate::spans::span;
use crate::{Error, Result};

/// A sampled action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// Users' share, shape of the users' profile, shape of the items': each in 0..=1.
    pub action: [f32; ACTIONS],
    /// Logarithm of the density that it was drawn with.
    pub log_prob: f32,
}

/// What a learning step found, means over its batch, before it moved anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// Squared distance of each critic from its target.
    pub critics: [f32; 2],
    /// `entropy_weight * log_prob - min(Q1, Q2)` of fresh actions, by the critics as they are after their step.
    pub actor: f32,
    /// Logarithm of the density of those actions; its negative is the entropy.
    pub log_prob: f32,
}

/// An agent that learns which action pays in a state: soft actor-critic with two critics.
///
/// The actor gives a normal distribution; with x drawn from it, y = tanh(x), the action is (y + 1) / 2. One learning
/// step, on a batch from [`ReplayBuffer`], in this order:
/// 1. each critic goes down mean (Q(s, a) - t)^2 for t = r + discount * (min(Q1', Q2')(s', a') - entropy_weight * log
///    p(a' | s')), a' fresh from the actor; no state is terminal;
/// 2. the actor goes down mean (entropy_weight * log p(a | s) - min(Q1, Q2)(s, a)), a fresh and carrying the gradient;
/// 3. the target critics Q' move by `target_rate` towards the critics. They start as copies of them (the published code
///    starts them from weights of their own).
///
/// # Numerics
/// f32 on the CPU, the two critics side by side on rayon's current thread pool. The seed decides every bit on one
/// machine, whatever the number of threads; between kinds of CPUs the sums of products may differ in rounding.
///
/// # Cost
/// A learning step reads and writes the parameters of five networks, of which three have two moments: with the paper's
/// widths 4 million parameters in all.
///
/// # Example
/// ```
/// use scall_gpu::agent::{Agent, AgentOptions, Transition};
/// let mut agent = Agent::new(2, AgentOptions { hidden: 16, ..AgentOptions::default() })?;
/// let (state, next_state) = (vec![0.0, 0.5], vec![0.1, 0.5]);
/// let action = agent.act(&state)?.action;
/// let losses = agent.observe(Transition { state, action, reward: 1.0 - action[0], next_state })?;
/// assert!(losses.critics[0] > 0.0);
/// assert!(agent.mean_action(&[0.1, 0.5])?.iter().all(|a| (0.0..=1.0).contains(a)));
/// # Ok::<(), scall_gpu::Error>(())
/// ```
///
/// Source: `docs/method.md` section 7.
#[derive(Clone)]
pub struct Agent {
    pub(super) state_len: usize,
    pub(super) options: AgentOptions,
    pub(super) actor: Trained,
    pub(super) critics: [Trained; 2],
    pub(super) targets: [Mlp; 2],
    pub(super) replay: ReplayBuffer,
    /// Actions sampled and learning steps taken: with the seed, all that the random streams depend on.
    pub(super) acted: u32,
    pub(super) learned: u32,
}

impl Agent {
    /// An agent for states of `state_len` values that has learned nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] for an option outside its domain or an empty state.
    pub fn new(state_len: usize, options: AgentOptions) -> Result<Self> {
        options.check("Agent::new", "state_len", state_len)?;
        let network = |widths, index| Mlp::new(widths, &mut Philox::substream(options.seed, Purpose::Weights, index));
        let actor = network(Widths::actor(state_len, options.hidden), 0);
        let critics = [1, 2].map(|index| network(Widths::critic(state_len, options.hidden), index));
        Ok(Self {
            state_len,
            options,
            actor: Trained::new(actor),
            targets: critics.clone(),
            critics: critics.map(Trained::new),
            replay: ReplayBuffer::new(options.capacity),
            acted: 0,
            learned: 0,
        })
    }

    /// The length of a state.
    pub fn state_len(&self) -> usize {
        self.state_len
    }

    /// The constants.
    pub fn options(&self) -> &AgentOptions {
        &self.options
    }

    /// What it remembers.
    pub fn replay(&self) -> &ReplayBuffer {
        &self.replay
    }

    /// Learning steps taken.
    pub fn learned(&self) -> u32 {
        self.learned
    }

    /// Draws an action, to explore.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Argument`] for a state of another length, or one that is not finite.
    pub fn act(&mut self, state: &[f32]) -> Result<Proposal> {
        self.check_state("Agent::act", "state", state)?;
        let mut rng = Philox::substream(self.options.seed, Purpose::Explore, self.acted);
        let noise = networks::noise(1, &mut rng);
        let (action, log_prob) = networks::sample(&self.actor.net, self.batch([state]), noise);
        self.acted += 1;
        Ok(Proposal { action: entries(&action), log_prob: values(&log_prob)[0] })
    }

    /// The mean action, (tanh(mean) + 1) / 2: what the agent holds to be best.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub fn mean_action(&self, state: &[f32]) -> Result<[f32; ACTIONS]> {
        self.check_state("Agent::mean_action", "state", state)?;
        let (mean, _) = networks::distribution(&self.actor.net, self.batch([state]));
        Ok(entries(&networks::squash(mean.tanh())))
    }

    /// Remembers a transition.
    ///
    /// # Errors
    /// [`Error::Shape`] for a state of another length; [`Error::Argument`] for a number that is not finite, or an
    /// action outside 0..=1. The transition is not remembered then.
    pub fn remember(&mut self, transition: Transition) -> Result<()> {
        const OP: &str = "Agent::remember";
        self.check_state(OP, "state", &transition.state)?;
        self.check_state(OP, "next_state", &transition.next_state)?;
        if let Some(entry) = transition.action.iter().find(|entry| !(0.0..=1.0).contains(*entry)) {
            return Err(wrong(OP, "action", "from 0 to 1", entry));
        }
        if !transition.reward.is_finite() {
            return Err(wrong(OP, "reward", "finite", transition.reward));
        }
        self.replay.push(transition);
        Ok(())
    }

    /// One learning step.
    ///
    /// # Errors
    /// [`Error::Argument`] where nothing is remembered; [`Error::Diverged`] where a loss is not finite: the agent is
    /// then lost.
    pub fn learn(&mut self) -> Result<Losses> {
        if self.replay.is_empty() {
            return Err(wrong("Agent::learn", "replay", "at least one transition", 0));
        }
        let options = self.options;
        let mut rng = Philox::substream(options.seed, Purpose::Learn, self.learned);
        let count = if self.replay.len() > options.warm_up { options.batch } else { 1 };
        let batch = self.replay.draw(count, &mut rng);
        let states = self.batch(batch.iter().map(|t| &t.state[..]));
        let actions = tensor(batch.iter().flat_map(|t| t.action).collect(), [batch.len(), ACTIONS]);

        let critic_step = AdamStep {
            learning_rate: options.critic_rate,
            weight_decay: options.weight_decay,
            max_norm: None,
            steps: self.learned,
        };
        let target = self.target(&batch, &mut rng);
        let step = |critic: &mut Trained| {
            let tracked = critic.net.tracked();
            let distance = tracked.value(states.clone(), actions.clone()) - target.clone();
            let mean = distance.square().mean();
            let loss = finite(mean.clone().into_scalar(), critic_step.steps)?;
            critic.step(tracked, mean, critic_step);
            Ok(loss)
        };
        let [first, second] = &mut self.critics;
        let (first, second) = rayon::join(|| step(first), || step(second));
        let critics = [first?, second?];

        let tracked = self.actor.net.tracked();
        let noise = networks::noise(count.min(self.replay.len()), &mut rng);
        let (actions, log_prob) = networks::sample(&tracked, states.clone(), noise);
        let value = lower(&self.critics.each_ref().map(|critic| &critic.net), states, actions);
        let mean = (log_prob.clone().mul_scalar(options.entropy_weight) - value).mean();
        let actor = finite(mean.clone().into_scalar(), self.learned)?;
        let log_prob = log_prob.mean().into_scalar();
        let actor_step =
            AdamStep { learning_rate: options.actor_rate, max_norm: Some(options.actor_max_norm), ..critic_step };
        self.actor.step(tracked, mean, actor_step);

        let pairs = self.targets.par_iter_mut().zip(&self.critics);
        pairs.for_each(|(target, critic)| target.blend(&critic.net, options.target_rate));
        self.learned += 1;
        Ok(Losses { critics, actor, log_prob })
    }

    /// Remembers a transition and takes the learning steps that follow a step of the environment; the losses of the
    /// last.
    ///
    /// # Errors
    /// As [`remember`](Self::remember) and [`learn`](Self::learn); [`Error::Argument`] for no learning steps.
    pub fn observe(&mut self, transition: Transition) -> Result<Losses> {
        let _span = span!("learn");
        self.remember(transition)?;
        for _ in 1..self.options.learning_steps {
            self.learn()?;
        }
        self.learn()
    }

    /// What the critics should say of a batch: [batch, 1].
    pub(super) fn target(&self, batch: &[&Transition], rng: &mut Philox) -> Tensor<2> {
        let options = &self.options;
        let rewards = tensor(batch.iter().map(|t| t.reward).collect(), [batch.len(), 1]);
        let next_states = self.batch(batch.iter().map(|t| &t.next_state[..]));
        let noise = networks::noise(batch.len(), rng);
        let (actions, log_prob) = networks::sample(&self.actor.net, next_states.clone(), noise);
        let value = lower(&self.targets.each_ref(), next_states, actions);
        rewards + (value - log_prob.mul_scalar(options.entropy_weight)).mul_scalar(options.discount)
    }

    fn batch<'a>(&self, states: impl IntoIterator<Item = &'a [f32]>) -> Tensor<2> {
        let values: Vec<f32> = states.into_iter().flatten().copied().collect();
        let rows = values.len() / self.state_len;
        tensor(values, [rows, self.state_len])
    }

    fn check_state(&self, op: &'static str, arg: &'static str, state: &[f32]) -> Result<()> {
        if state.len() != self.state_len {
            let (expected, got) = (self.state_len as u64, state.len() as u64);
            return Err(Error::Shape { op, arg, expected, got });
        }
        match state.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(wrong(op, arg, "finite", value)),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("state_len", &self.state_len)
            .field("options", &self.options)
            .field("remembered", &self.replay.len())
            .field("acted", &self.acted)
            .field("learned", &self.learned)
            .finish_non_exhaustive()
    }
}

/// The lower of two critics' values: [batch, 1].
fn lower(critics: &[&Mlp; 2], states: Tensor<2>, actions: Tensor<2>) -> Tensor<2> {
    let value = |critic: &Mlp| critic.value(states.clone(), actions.clone());
    let (a, b) = rayon::join(|| value(critics[0]), || value(critics[1]));
    a.min_pair(b)
}

fn entries(action: &Tensor<2>) -> [f32; ACTIONS] {
    values(action).try_into().expect("one action")
}

fn finite(loss: f32, steps: u32) -> Result<f32> {
    if loss.is_finite() { Ok(loss) } else { Err(Error::Diverged { steps, loss }) }
}

#[cfg(test)]
mod tests;
