//! The choice of a policy.

use clap::ValueEnum;
use scall_gpu::Result;
use scall_gpu::sizing::{CommonOption, FrequencyRanked, PolicyOptions, SizePolicy};

use super::setup::Setup;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Policy {
    /// Every row the same size
    Uniform,
    /// A profile of sizes in random order
    Random,
    /// A profile of sizes, the most frequent entity gets the largest
    Ranked,
    /// Sizes by a power of frequency (mixed dimensions)
    Mde,
    /// Sizes by how many large values training left in a row
    Magnitude,
    /// Sizes that grow with all that was seen, and never shrink while there is room
    Grow,
    /// The best of random profiles, found by probes on the last segment
    Bet,
    /// Sizes of frequency groups, learned from probes by a bandit that forgets
    Linucb,
    /// Profiles found by an actor-critic that probes the last segment (feature `search`)
    Scall,
}

impl Setup {
    /// The options of a policy, as far as a flag sets them.
    ///
    /// # Errors
    /// For a policy that this build leaves out.
    pub fn policy_options(&self, policy: Policy) -> Result<PolicyOptions> {
        let mut options = match self.paper {
            true => PolicyOptions::published(&policy.name())?,
            false => PolicyOptions::from_name(&policy.name())?,
        };
        let given = [
            self.distribution.map(CommonOption::Distribution),
            self.alpha.map(CommonOption::Alpha),
            self.user_share.map(CommonOption::UserShare),
            self.probes.map(CommonOption::Probes),
        ];
        given.into_iter().flatten().for_each(|option| _ = options.set(option));
        Ok(options)
    }

    /// The policy.
    ///
    /// # Errors
    /// For a policy that this build leaves out, and for options outside their domain.
    pub fn policy(&self, policy: Policy) -> Result<Box<dyn SizePolicy>> {
        self.policy_options(policy)?.build()
    }

    /// Most probes a segment of a policy that searches.
    pub fn most_probes(&self, policy: Policy) -> u32 {
        self.policy_options(policy).ok().and_then(|options| options.most_probes()).unwrap_or(0)
    }

    pub(super) fn profile_text(&self) -> String {
        let distribution = self.distribution.unwrap_or_default();
        let [usual, _] = FrequencyRanked { distribution, ..FrequencyRanked::default() }.alphas();
        let alpha = self.alpha.unwrap_or(usual);
        let share = self.user_share.map_or("by entities".to_owned(), |share| share.to_string());
        format!("{distribution} with alpha {alpha}, user share {share}")
    }
}

impl Policy {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no policy is hidden").get_name().to_owned()
    }
}
