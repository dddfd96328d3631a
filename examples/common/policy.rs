//! The choice of a policy.

use clap::ValueEnum;
use scall_gpu::Result;
#[cfg(feature = "search")]
use scall_gpu::search::{Deploy, ScallPolicy, ScallPolicyOptions};
use scall_gpu::sizing::{
    Bet, BetOptions, Distribution, FrequencyRanked, GrowOnly, LinUcb, LinUcbOptions, MagnitudeCut, MixedDimensions,
    Random, SizePolicy, Uniform,
};

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

/// Bounds a paper's search that does not come to rest, which takes more than ten probes in any case.
#[cfg(feature = "search")]
const PAPER_PROBES: u32 = 30;

impl Setup {
    /// The policy with its profile.
    ///
    /// # Errors
    /// For a policy that this build leaves out, and for options outside their domain.
    pub fn policy(&self, policy: Policy) -> Result<Box<dyn SizePolicy>> {
        let ranked = self.profile();
        let policy: Box<dyn SizePolicy> = match policy {
            Policy::Uniform => Box::new(Uniform),
            Policy::Random => Box::new(Random { profile: ranked }),
            Policy::Ranked => Box::new(ranked),
            Policy::Mde => Box::new(MixedDimensions::default()),
            Policy::Magnitude => Box::new(MagnitudeCut::default()),
            Policy::Grow => Box::new(GrowOnly::default()),
            Policy::Bet => {
                let default = BetOptions::default();
                Box::new(Bet::new(BetOptions { probes: self.probes.unwrap_or(default.probes), ..default }))
            }
            Policy::Linucb => {
                let default = LinUcbOptions::default();
                Box::new(LinUcb::new(LinUcbOptions { probes: self.probes.unwrap_or(default.probes), ..default }))
            }
            #[cfg(feature = "search")]
            Policy::Scall => Box::new(ScallPolicy::new(self.scall())),
            #[cfg(not(feature = "search"))]
            Policy::Scall => {
                return Err(scall_gpu::Error::Argument {
                    op: "examples",
                    arg: "policy",
                    expected: "a policy of this build, which leaves the feature `search` out".into(),
                    got: "scall".into(),
                });
            }
        };
        policy.check()?;
        Ok(policy)
    }

    fn profile(&self) -> FrequencyRanked {
        let distribution = self.distribution.unwrap_or_default();
        let alpha = self.alpha.unwrap_or(match distribution {
            Distribution::PowerLaw => FrequencyRanked::default().alpha_users,
            other => other.alpha(0.5),
        });
        FrequencyRanked {
            distribution,
            alpha_users: alpha,
            alpha_items: alpha,
            user_share: self.user_share,
            ..FrequencyRanked::default()
        }
    }

    pub(super) fn profile_text(&self) -> String {
        let profile = self.profile();
        let share = profile.user_share.map_or("by entities".to_owned(), |share| share.to_string());
        format!("{} with alpha {}, user share {share}", profile.distribution, profile.alpha_users)
    }

    #[cfg(feature = "search")]
    fn scall(&self) -> ScallPolicyOptions {
        let options = match self.paper {
            true => ScallPolicyOptions::paper(PAPER_PROBES),
            false => ScallPolicyOptions::default(),
        };
        let options = ScallPolicyOptions { distribution: self.distribution.unwrap_or_default(), ..options };
        ScallPolicyOptions {
            probes: self.probes.map_or(options.probes, |all| all - reference_probes(&options)),
            ..options
        }
    }

    /// Most probes a segment of a policy that searches.
    pub fn most_probes(&self, policy: Policy) -> u32 {
        #[cfg(feature = "search")]
        if policy == Policy::Scall {
            let options = self.scall();
            return options.probes + reference_probes(&options);
        }
        self.probes.unwrap_or(match policy {
            Policy::Linucb => LinUcbOptions::default().probes,
            _ => BetOptions::default().probes,
        })
    }
}

/// Probes apart from the agent's: of the sizes in use and, where the best is deployed, of uniform sizes and of the
/// mean action.
#[cfg(feature = "search")]
fn reference_probes(options: &ScallPolicyOptions) -> u32 {
    if options.deploy == Deploy::Best { 3 } else { 1 }
}

impl Policy {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no policy is hidden").get_name().to_owned()
    }
}
