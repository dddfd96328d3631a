//! The agent as a size policy: it probes actions on the segment that has ended, and the next one gets what it learned.

mod convergence;
mod evidence;
mod options;

use super::Uniform;
use crate::Result;
use crate::agent::{ACTIONS, Agent, AgentOptions, StateInput, StateLayout, Transition, standard_normal_action};
use crate::check::domain;
use crate::file::State;
use crate::kernels::rank::top_k::MAX_DIMS;
use crate::rng::{Philox, Purpose};
use crate::sizing::{Action, Outcome, Probe, SizePolicy, Sizes, SizingContext, mean_row};
pub use convergence::Convergence;
use evidence::Evidence;
pub use options::{Deploy, ScallPolicyOptions};

/// Most that a probe counts for, relative to the reference: beyond it there was hardly anybody to rank for.
const MOST_GAIN: f64 = 2.0;

/// SCALL's policy: a soft actor-critic chooses the users' share and the shapes of both profiles.
///
/// The reward of an action is `10 * (Q / Q_ref - low) / (high - low)`: Q the quality of its probe, Q_ref that of a
/// probe with the sizes that the segment had. *Ours:* both are probes of one length on the same triples, where the
/// paper takes Q_ref from the recommender in use.
///
/// Source: `docs/method.md` sections 4 and 7.
pub struct ScallPolicy {
    options: ScallPolicyOptions,
    /// Made when the first context tells d_max and the seed.
    agent: Option<Agent>,
    last_reward: f32,
    /// The action in use; none for uniform sizes.
    chosen: Option<[f32; ACTIONS]>,
    /// What the state says of the sizes in use: their range on both sides.
    ranges: [f32; 2],
    evidence: Evidence,
}

impl ScallPolicy {
    /// A policy that knows nothing yet. Until it has searched, sizes are uniform, or with [`Deploy::Mean`] its first
    /// mean action.
    pub fn new(options: ScallPolicyOptions) -> Self {
        Self { options, agent: None, last_reward: 0.5, chosen: None, ranges: [0.0; 2], evidence: Evidence::default() }
    }

    /// The agent, once there is one.
    pub fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    fn layout(&self, context: &SizingContext<'_>) -> StateLayout {
        StateLayout { groups: self.options.groups, d_max: context.d_max as usize, variant: self.options.variant }
    }

    /// What an action in 0..=1 means.
    fn action(&self, [share, users, items]: [f32; ACTIONS]) -> Action {
        let distribution = self.options.distribution;
        let (least, largest) = distribution.alpha_range();
        let alpha = |entry: f32| match self.options.logarithmic && least > 0.0 {
            true => (least * (largest / least).powf(entry)).clamp(least, largest),
            false => distribution.alpha(entry),
        };
        Action { distribution, user_share: share.into(), alpha_users: alpha(users), alpha_items: alpha(items) }
    }

    /// An action's sizes, and their ranges as the state has them.
    fn sizes(&self, context: &SizingContext<'_>, action: [f32; ACTIONS]) -> Result<(Sizes, [f32; 2])> {
        let (sizes, ranges) = self.action(action).sizes_and_ranges(context, self.options.draws)?;
        let most = (context.d_max - context.d_min).max(1) as f32;
        Ok((sizes, ranges.map(|range| range / most)))
    }

    /// The state after sizes of these ranges and, if there was one, their probe.
    fn state(&self, context: &SizingContext<'_>, ranges: [f32; 2], outcome: Option<&Outcome>) -> Result<Vec<f32>> {
        let d_max = context.d_max;
        let [user_mean, item_mean] = match (outcome, context.rows) {
            (Some(outcome), _) => [outcome.user_mean.clone(), outcome.item_mean.clone()],
            (None, Some(rows)) => {
                [mean_row(rows.users, 0, d_max)?, mean_row(rows.items, u32::from(rows.item_bias), d_max)?]
            }
            (None, None) => [vec![0.0; d_max as usize], vec![0.0; d_max as usize]],
        };
        self.layout(context).pool(&StateInput {
            user_frequencies: context.users,
            item_frequencies: context.items,
            last_reward: self.last_reward,
            user_mean: &user_mean,
            item_mean: &item_mean,
            user_size_range: ranges[0],
            item_size_range: ranges[1],
        })
    }

    fn agent_for(&mut self, context: &SizingContext<'_>) -> Result<&mut Agent> {
        if self.agent.is_none() {
            let options = AgentOptions { seed: context.seed, ..self.options.agent };
            self.agent = Some(Agent::new(self.layout(context).len(), options)?);
        }
        Ok(self.agent.as_mut().expect("made above"))
    }
}

impl SizePolicy for ScallPolicy {
    fn name(&self) -> &'static str {
        "scall"
    }

    fn options(&self) -> String {
        format!("{:?}", self.options)
    }

    fn check(&self) -> Result<()> {
        let ScallPolicyOptions { agent, variant, groups, draws, proposals_at_once, near_best_std, .. } = self.options;
        let (low, high) = self.options.reward_range;
        // The widest rows that a loop takes: the agent is made when it is known how wide they really are.
        let layout = StateLayout { groups, d_max: MAX_DIMS as usize, variant };
        layout.check("ScallPolicy")?;
        agent.check("ScallPolicy", "groups", layout.len())?;
        domain("ScallPolicy", "draws", draws, draws > 0, "at least 1")?;
        let some = proposals_at_once > 0;
        domain("ScallPolicy", "proposals_at_once", proposals_at_once, some, "at least 1")?;
        let spreads = near_best_std.is_finite() && near_best_std >= 0.0;
        domain("ScallPolicy", "near_best_std", near_best_std, spreads, "finite and not negative")?;
        let rises = low.is_finite() && high.is_finite() && low < high;
        domain("ScallPolicy", "reward_range", format!("{low} to {high}"), rises, "finite, the first below the second")
    }

    fn searches(&self) -> bool {
        true
    }

    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        let options = self.options;
        let chosen = self.chosen.filter(|_| options.uses_evidence());
        let mut yardsticks = vec![probe.deployed().clone()];
        if chosen.is_some() {
            yardsticks.push(Uniform.decide(last)?);
        }
        let outcomes = probe.run_all(&yardsticks)?;
        let (reference, uniform) = (&outcomes[0], &outcomes[yardsticks.len() - 1]);
        let without_rows = last.rows.is_some_and(|rows| rows.users.rows() == 0 && rows.items.rows() == 0);
        self.evidence.fade();
        if let Some(action) = chosen.filter(|_| uniform.quality > 0.0) {
            self.evidence.add(action, reference.relative_to(uniform)?, without_rows);
        }
        if reference.quality <= 0.0 || uniform.quality <= 0.0 {
            // Nobody to rank for, or nothing right: there is nothing to compare with.
            self.chosen = self.chosen.and_then(|action| self.evidence.choose(Some(action)));
            return Ok(());
        }
        let mut state = self.state(last, self.ranges, None)?;
        let mut rests = Convergence::default();
        let (mut proposed, mut at_rest) = (0, false);
        while proposed < options.probes && !at_rest {
            let round = proposed + 1..=options.probes.min(proposed.saturating_add(options.proposals_at_once));
            proposed = *round.end();
            let actions = round.map(|step| self.propose(last, &state, step)).collect::<Result<Vec<_>>>()?;
            let begin = state.clone();
            for (action, (ranges, outcome)) in actions.iter().zip(self.try_actions(last, probe, &actions)?) {
                state = self.hear(last, (ranges, &outcome), reference.quality)?;
                self.evidence.add(*action, outcome.relative_to(uniform)?, without_rows);
                let (low, high) = options.reward_range;
                let reward = 10.0 * (self.last_reward - low) / (high - low);
                let (begin, next_state) = (begin.clone(), state.clone());
                let agent = self.agent_for(last)?;
                agent.observe(Transition { state: begin, action: *action, reward, next_state })?;
                at_rest |= rests.push(agent.mean_action(&state)?);
            }
        }
        if options.deploy == Deploy::Best {
            let mean = self.agent_for(last)?.mean_action(&state)?;
            for (ranges, outcome) in self.try_actions(last, probe, &[mean])? {
                self.hear(last, (ranges, &outcome), reference.quality)?;
                self.evidence.add(mean, outcome.relative_to(uniform)?, without_rows);
            }
            self.chosen = self.evidence.choose(self.chosen);
        }
        Ok(())
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        if self.options.deploy == Deploy::Mean {
            let state = self.state(context, self.ranges, None)?;
            self.chosen = Some(self.agent_for(context)?.mean_action(&state)?);
        }
        self.admit(context)
    }

    fn admit(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        let Some(action) = self.chosen else {
            self.ranges = [0.0; 2];
            return Uniform.decide(context);
        };
        let (sizes, ranges) = self.sizes(context, action)?;
        self.ranges = ranges;
        Ok(sizes)
    }

    fn save(&self) -> Result<State> {
        let mut state = State::default();
        if let Some(agent) = &self.agent {
            let mut kept = State::default();
            kept.put("state_len", [agent.state_len() as u64]);
            kept.put("bytes", agent.to_bytes());
            state.put_state("agent", kept);
        }
        state.put("last_reward", [self.last_reward]);
        state.put("ranges", self.ranges);
        if let Some(action) = self.chosen {
            state.put("chosen", action);
        }
        state.put_state("evidence", self.evidence.save());
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let mut state = state.clone();
        let (agent, evidence) = (state.take_state("agent"), state.take_state("evidence"));
        state.only(&["last_reward", "ranges", "chosen"])?;
        let agent = match agent.is_empty() {
            true => None,
            false => {
                agent.only(&["state_len", "bytes"])?;
                let (bytes, len) = (agent.numbers::<u8>("bytes")?, agent.one::<u64>("state_len")?);
                let restored = Agent::from_bytes(bytes, usize::try_from(len).unwrap_or(usize::MAX));
                Some(restored.map_err(|error| agent.wrong("bytes", "an agent", &error.to_string()))?)
            }
        };
        let (last_reward, ranges) = (state.one::<f32>("last_reward")?, state.array::<f32, 2>("ranges")?);
        state.check("last_reward", &[last_reward], f32::is_finite, "finite")?;
        state.check("ranges", &ranges, f32::is_finite, "finite")?;
        let chosen = match state.has("chosen") {
            true => Some(state.array::<f32, ACTIONS>("chosen")?),
            false => None,
        };
        if let Some(action) = &chosen {
            state.check("chosen", action, |entry| (0.0..=1.0).contains(&entry), "from 0 to 1")?;
        }
        let evidence = Evidence::restored(&evidence)?;
        (self.agent, self.last_reward, self.ranges) = (agent, last_reward, ranges);
        (self.chosen, self.evidence) = (chosen, evidence);
        Ok(())
    }
}

impl ScallPolicy {
    /// An action near another.
    fn near(&self, context: &SizingContext<'_>, action: [f32; ACTIONS], step: u32) -> Result<[f32; ACTIONS]> {
        let stream = (context.segment as u32).wrapping_mul(self.options.probes).wrapping_add(step);
        let mut rng = Philox::substream(context.seed, Purpose::NearBest, stream);
        let noise = standard_normal_action(&mut rng);
        Ok(std::array::from_fn(|k| (action[k] + self.options.near_best_std * noise[k]).clamp(0.0, 1.0)))
    }

    /// What probe number `step` of a segment tries.
    fn propose(&mut self, last: &SizingContext<'_>, state: &[f32], step: u32) -> Result<[f32; ACTIONS]> {
        let every = self.options.near_best_every;
        match self.evidence.leader().filter(|_| every > 0 && step.is_multiple_of(every)) {
            Some(action) => self.near(last, action, step),
            None => Ok(self.agent_for(last)?.act(state)?.action),
        }
    }

    /// Ranges of the sizes of some actions, and what their probes gave.
    fn try_actions(
        &self,
        last: &SizingContext<'_>,
        probe: &mut dyn Probe,
        actions: &[[f32; ACTIONS]],
    ) -> Result<Vec<([f32; 2], Outcome)>> {
        let sized = actions.iter().map(|action| self.sizes(last, *action)).collect::<Result<Vec<_>>>()?;
        let (sizes, ranges): (Vec<_>, Vec<_>) = sized.into_iter().unzip();
        Ok(ranges.into_iter().zip(probe.run_all(&sizes)?).collect())
    }

    /// Takes in how good a probe was, and gives the state that it leads to.
    fn hear(
        &mut self,
        last: &SizingContext<'_>,
        (ranges, outcome): ([f32; 2], &Outcome),
        reference: f64,
    ) -> Result<Vec<f32>> {
        self.last_reward = (outcome.quality / reference).min(MOST_GAIN) as f32;
        self.state(last, ranges, Some(outcome))
    }
}

#[cfg(test)]
mod tests;
