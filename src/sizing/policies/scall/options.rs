//! How the search runs.

use super::super::recipe::{CommonOption, Recipe};
use super::ScallPolicy;
use crate::agent::{AgentOptions, StateVariant};
use crate::sizing::{Distribution, SizePolicy};

/// Which action a segment gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deploy {
    /// The policy's mean action in the current state, as in the paper.
    Mean,
    /// A probed action, or uniform sizes (*ours*): what is in use, until the probes of all segments say with odds of
    /// three to one that another one is better. A handful of probes a segment is too few for the networks to beat that,
    /// and the best of a handful is mostly the luckiest.
    Best,
}

/// How the search runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScallPolicyOptions {
    /// The actor-critic. Its seed is the context's.
    pub agent: AgentOptions,
    /// What the state holds (default: the paper's).
    pub variant: StateVariant,
    /// Groups of frequencies in the state (default 256).
    pub groups: usize,
    /// Family of both profiles (default: power law).
    pub distribution: Distribution,
    /// Whether an action's shape is taken on a logarithmic scale of the family's range, or on a linear one as in the
    /// paper. (Default: logarithmic. Of the power law's range, 0.1 to 30, a linear scale spends nine tenths on shapes
    /// above 3, whose sizes hardly differ.)
    pub logarithmic: bool,
    /// Draws that a profile is averaged over (default 100, as in the paper).
    pub draws: u32,
    /// Most proposals probed on a segment (default 12); the search ends before when the mean action rests
    /// ([`Convergence`](super::Convergence)). The sizes in use are probed too, uniform ones, and the mean action.
    pub probes: u32,
    /// Proposals of a round (default 1). They are drawn from one state, before any of them is learned from, and probed
    /// side by side as far as [`ProbeOptions::at_once`](crate::ProbeOptions::at_once) allows. With one a round each
    /// knows all before it, as in the paper. A round is over before the search may end.
    pub proposals_at_once: u32,
    /// Every so many probes one is drawn near the best action so far instead of from the actor (default 2; 0 for never,
    /// as in the paper). The critics learn from those too: soft actor-critic is off-policy.
    pub near_best_every: u32,
    /// Standard deviation of those (default 0.15).
    pub near_best_std: f32,
    /// Quality relative to the reference that gives reward 0, and that which gives 10 (default 0.9 and 1.1, as in the
    /// paper for all data but Yelp).
    pub reward_range: (f32, f32),
    /// Which action a segment gets (default: the best).
    pub deploy: Deploy,
}

impl Default for ScallPolicyOptions {
    fn default() -> Self {
        Self {
            agent: AgentOptions::default(),
            variant: StateVariant::default(),
            groups: 256,
            distribution: Distribution::PowerLaw,
            logarithmic: true,
            draws: 100,
            probes: 12,
            proposals_at_once: 1,
            near_best_every: 2,
            near_best_std: 0.15,
            reward_range: (0.9, 1.1),
            deploy: Deploy::Best,
        }
    }
}

impl ScallPolicyOptions {
    /// The paper's constants: a linear scale of shapes, proposals by the actor alone, its mean action deployed.
    /// `probes` bounds a search that does not come to rest.
    pub fn paper(probes: u32) -> Self {
        Self { logarithmic: false, near_best_every: 0, deploy: Deploy::Mean, probes, ..Self::default() }
    }

    /// Probes next to the agent's own: of the sizes in use and, where the best is deployed, of uniform sizes and of the
    /// mean action.
    fn yardsticks(&self) -> u32 {
        if self.deploy == Deploy::Best { 3 } else { 1 }
    }

    /// Whether the best action so far is ever asked for, which takes a probe of uniform sizes.
    pub(super) fn uses_evidence(&self) -> bool {
        self.near_best_every > 0 || self.deploy == Deploy::Best
    }
}

/// Bounds a paper's search that does not come to rest, which takes more than ten probes in any case.
const PAPER_PROBES: u32 = 30;

impl Recipe for ScallPolicyOptions {
    fn build(self) -> Box<dyn SizePolicy> {
        Box::new(ScallPolicy::new(self))
    }

    fn set(&mut self, option: CommonOption) -> bool {
        match option {
            CommonOption::Distribution(distribution) => self.distribution = distribution,
            CommonOption::Probes(probes) => self.probes = probes.saturating_sub(self.yardsticks()),
            CommonOption::ProposalsAtOnce(proposals) => self.proposals_at_once = proposals,
            CommonOption::Alpha(_) | CommonOption::UserShare(_) => return false,
        }
        true
    }

    fn most_probes(&self) -> Option<u32> {
        Some(self.probes.saturating_add(self.yardsticks()))
    }

    fn published() -> Self {
        Self::paper(PAPER_PROBES)
    }
}
