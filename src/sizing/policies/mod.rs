//! The policies that there are, one file each: their names, options and builders in one list.

mod bandit;
mod bet;
mod grow_only;
mod lints;
mod linucb;
mod magnitude;
mod mde;
mod random;
mod ranked;
mod recipe;
#[cfg(feature = "search")]
mod scall;
mod uniform;

use super::SizePolicy;
use crate::{Error, Result, check};

pub use bet::{Bet, BetOptions};
pub use grow_only::{GrowOnly, GrowOnlyOptions};
pub use lints::{LinTs, LinTsOptions};
pub use linucb::{LinUcb, LinUcbOptions};
pub use magnitude::MagnitudeCut;
pub use mde::MixedDimensions;
pub use random::Random;
pub use ranked::FrequencyRanked;
pub use recipe::CommonOption;
use recipe::{Recipe, own_recipes, probing_recipes};
#[cfg(feature = "search")]
pub use scall::{Convergence, Deploy, ScallPolicy, ScallPolicyOptions};
pub use uniform::Uniform;

own_recipes!(Uniform, MixedDimensions, MagnitudeCut);
probing_recipes!(BetOptions => Bet, LinUcbOptions => LinUcb, LinTsOptions => LinTs);

/// Makes [`PolicyOptions`] of the list below.
macro_rules! policies {
    ($($(#[cfg($only:meta)])? $(#[doc = $summary:literal])+ $variant:ident($options:ident): $name:literal;)+) => {
        /// Which policy, and how it decides.
        ///
        /// ```
        /// use scall_gpu::sizing::{Bet, CommonOption, PolicyOptions};
        /// let mut options = PolicyOptions::from_name("bet")?;
        /// assert!(options.set(CommonOption::Probes(4)) && !options.set(CommonOption::Alpha(0.5)));
        /// assert_eq!(options.most_probes(), Some(4));
        /// assert!(options.build()?.searches());
        /// # Ok::<(), scall_gpu::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum PolicyOptions {
            $($(#[cfg($only)])? $(#[doc = $summary])+ $variant($options),)+
        }

        impl PolicyOptions {
            /// The names of all policies of this build.
            pub const NAMES: &'static [&'static str] = &[$($(#[cfg($only)])? $name),+];

            /// The policy of a name with its defaults.
            ///
            /// # Errors
            /// [`Error::Argument`] for a name that no policy of this build has.
            pub fn from_name(name: &str) -> Result<Self> {
                match name {
                    $($(#[cfg($only)])? $name => Ok(Self::$variant($options::default())),)+
                    _ => Err(Self::unknown("PolicyOptions::from_name", name)),
                }
            }

            /// The policy of a name with the constants of its paper, where the defaults are others.
            ///
            /// # Errors
            /// Those of [`from_name`](Self::from_name).
            pub fn published(name: &str) -> Result<Self> {
                match name {
                    $($(#[cfg($only)])? $name => Ok(Self::$variant($options::published())),)+
                    _ => Err(Self::unknown("PolicyOptions::published", name)),
                }
            }

            /// Its name, for reports.
            pub fn name(&self) -> &'static str {
                match self {
                    $($(#[cfg($only)])? Self::$variant(_) => $name,)+
                }
            }

            /// What it does, in a few words.
            pub fn summary(&self) -> &'static str {
                match self {
                    $($(#[cfg($only)])? Self::$variant(_) => concat!($($summary),+).trim_ascii(),)+
                }
            }

            /// The policy, which knows nothing yet.
            ///
            /// # Errors
            /// [`Error::Argument`] for options outside their domain.
            pub fn build(&self) -> Result<Box<dyn SizePolicy>> {
                let policy: Box<dyn SizePolicy> = match self {
                    $($(#[cfg($only)])? Self::$variant(options) => options.clone().build(),)+
                };
                policy.check()?;
                Ok(policy)
            }

            /// Sets an option that several policies have. Says whether this one has it; otherwise nothing has changed.
            pub fn set(&mut self, option: CommonOption) -> bool {
                match self {
                    $($(#[cfg($only)])? Self::$variant(options) => options.set(option),)+
                }
            }

            /// Most probes that it makes a segment; none for a policy that does not search.
            pub fn most_probes(&self) -> Option<u32> {
                match self {
                    $($(#[cfg($only)])? Self::$variant(options) => options.most_probes(),)+
                }
            }
        }

        $(
            $(#[cfg($only)])?
            impl From<$options> for PolicyOptions {
                fn from(options: $options) -> Self {
                    Self::$variant(options)
                }
            }
        )+
    };
}

// Another policy is a line here, and its module with its options and tests.
policies! {
    /// Every row the same size.
    Uniform(Uniform): "uniform";
    /// A profile of sizes in random order.
    Random(Random): "random";
    /// A profile of sizes, the most frequent entity gets the largest.
    Ranked(FrequencyRanked): "ranked";
    /// Sizes by a power of frequency (mixed dimensions).
    Mde(MixedDimensions): "mde";
    /// Sizes by how many large values training left in a row.
    Magnitude(MagnitudeCut): "magnitude";
    /// Sizes that grow with all that was seen, and never shrink while there is room.
    Grow(GrowOnlyOptions): "grow";
    /// The best of random profiles, found by probes on the last segment.
    Bet(BetOptions): "bet";
    /// Sizes of frequency groups, learned from probes by a bandit that forgets.
    LinUcb(LinUcbOptions): "linucb";
    /// The same bandit, exploring by random draws (Thompson sampling).
    LinTs(LinTsOptions): "lints";
    #[cfg(feature = "search")]
    /// Profiles found by an actor-critic that probes the last segment.
    Scall(ScallPolicyOptions): "scall";
}

impl Default for PolicyOptions {
    /// Ranked.
    fn default() -> Self {
        Self::Ranked(FrequencyRanked::default())
    }
}

impl PolicyOptions {
    /// The names of the policies of this build that have an option.
    ///
    /// ```
    /// use scall_gpu::sizing::{CommonOption, PolicyOptions};
    /// assert_eq!(PolicyOptions::with(CommonOption::Alpha(1.0)), ["random", "ranked"]);
    /// ```
    pub fn with(option: CommonOption) -> Vec<&'static str> {
        let has = |name: &&str| Self::from_name(name).is_ok_and(|mut options| options.set(option));
        Self::NAMES.iter().copied().filter(has).collect()
    }

    fn unknown(op: &'static str, name: &str) -> Error {
        let without = match name {
            "scall" => " (this build leaves the feature `search` out)",
            _ => "",
        };
        let expected = format!("one of {}{without}", Self::NAMES.join(", "));
        check::unreadable(op, "name", expected, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::sizing::{Distribution, SizingContext};

    fn all() -> Vec<PolicyOptions> {
        PolicyOptions::NAMES.iter().map(|name| PolicyOptions::from_name(name).unwrap()).collect()
    }

    #[test]
    fn policies_are_found_by_their_names() {
        for (options, &name) in all().iter().zip(PolicyOptions::NAMES) {
            let policy = options.build().unwrap();
            assert_eq!((options.name(), policy.name()), (name, name));
            assert_eq!(options.most_probes().is_some(), policy.searches(), "{name}");
            assert!(!options.summary().is_empty(), "{name}");
            assert_eq!(PolicyOptions::published(name).unwrap().name(), name);
        }
        let error = PolicyOptions::from_name("best").unwrap_err().to_string();
        assert!(error.contains("uniform, random, ranked") && error.ends_with(r#"got "best""#), "{error}");
    }

    #[test]
    fn common_options_reach_the_policies_that_have_them() {
        let takers = |option: CommonOption| -> Vec<&'static str> {
            let takes = |mut options: PolicyOptions| {
                let before = options.clone();
                let takes = options.set(option);
                assert_eq!(takes, options != before, "{before:?}, {option:?}");
                takes.then(|| options.name())
            };
            all().into_iter().filter_map(takes).collect()
        };
        let searching = all().into_iter().filter(|options| options.most_probes().is_some());
        let searching: Vec<_> = searching.map(|options| options.name()).collect();
        assert_eq!(takers(CommonOption::Distribution(Distribution::Pareto))[..2], ["random", "ranked"]);
        assert_eq!(takers(CommonOption::Alpha(3.0)), ["random", "ranked"]);
        assert_eq!(takers(CommonOption::UserShare(0.25)), ["random", "ranked"]);
        let probing = takers(CommonOption::Probes(7));
        assert_eq!(probing, searching);
        for name in probing {
            let mut options = PolicyOptions::from_name(name).unwrap();
            options.set(CommonOption::Probes(7));
            assert_eq!(options.most_probes(), Some(7), "{name}");
        }
    }

    /// Every policy gives out all dims there are, whatever family it was given without a shape.
    #[test]
    fn every_policy_decides() {
        let device = Device::cpu();
        let (users, items) = ([9, 0, 3, 3], [1, 8, 2]);
        let context = SizingContext {
            device: &device,
            segment: 1,
            seed: 0,
            users: &users,
            items: &items,
            dims: 40,
            d_min: 1,
            d_max: 16,
            rows: None,
        };
        for mut options in all() {
            for family in Distribution::ALL {
                options.set(CommonOption::Distribution(family));
                let mut policy = options.build().unwrap();
                let sizes = policy.decide(&context).unwrap();
                sizes.check_decision(&*policy, &context).unwrap();
            }
        }
    }

    #[test]
    fn options_outside_their_domain_are_refused_before_anything_runs() {
        let mut ranked = PolicyOptions::default();
        ranked.set(CommonOption::UserShare(1.5));
        assert!(ranked.build().err().unwrap().to_string().contains("`user_share` must be from 0 to 1"));
        let cut = PolicyOptions::from(MagnitudeCut { keep: f64::NAN });
        assert!(cut.build().err().unwrap().to_string().contains("`keep`"));
        #[cfg(feature = "search")]
        {
            let good = ScallPolicyOptions::default();
            for (wrong, said) in [
                (ScallPolicyOptions { draws: 0, ..good }, "ScallPolicy: `draws` must be at least 1"),
                (ScallPolicyOptions { groups: 0, ..good }, "ScallPolicy: `groups` must be from 1 to"),
                (ScallPolicyOptions { groups: (1 << 24) + 1, ..good }, "ScallPolicy: `groups` must be from 1 to"),
                (ScallPolicyOptions { groups: 1 << 24, ..good }, "ScallPolicy: `groups` needs"),
                (ScallPolicyOptions { near_best_std: f32::NAN, ..good }, "ScallPolicy: `near_best_std` must be finite"),
                (
                    ScallPolicyOptions { reward_range: (1.1, 1.1), ..good },
                    "`reward_range` must be finite, the first below",
                ),
            ] {
                let error = PolicyOptions::from(wrong).build().err().unwrap().to_string();
                assert!(error.contains(said), "{error}");
            }
            let mut agent = good;
            agent.agent.hidden = 0;
            assert!(PolicyOptions::from(agent).build().err().unwrap().to_string().starts_with("ScallPolicy: `hidden`"));
        }
    }
}
