//! What the list of policies asks of each.

use crate::sizing::{Distribution, SizePolicy};

/// What the list asks of a policy's options. Those of a policy without state are the policy itself.
pub(super) trait Recipe: Clone + Default {
    /// The policy that they describe.
    fn build(self) -> Box<dyn SizePolicy>;

    /// Sets an option that several policies have; whether this one has it.
    fn set(&mut self, option: CommonOption) -> bool {
        let _ = option;
        false
    }

    /// Most probes a segment, of a policy that searches.
    fn most_probes(&self) -> Option<u32> {
        None
    }

    /// The constants of its paper, where the defaults are others.
    fn published() -> Self {
        Self::default()
    }
}

/// An option that several policies have, for a command line that sets it by one flag
/// ([`PolicyOptions::set`](super::PolicyOptions::set)).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum CommonOption {
    /// Family of the profiles of users and of items.
    Distribution(Distribution),
    /// Shape of both profiles.
    Alpha(f32),
    /// Part of the dims that goes to the users.
    UserShare(f64),
    /// Most probes a segment, with those of the sizes in use and of what a policy compares with.
    Probes(u32),
    /// Proposals that are drawn from one state and probed side by side.
    ProposalsAtOnce(u32),
}

/// Recipes of policies that are their own options and share none of these with others.
macro_rules! own_recipes {
    ($($policy:ident),*) => { $(
        impl Recipe for $policy {
            fn build(self) -> Box<dyn SizePolicy> {
                Box::new(self)
            }
        }
    )* };
}
pub(super) use own_recipes;

/// Recipes of policies that search, and share the number of their probes with others.
macro_rules! probing_recipes {
    ($($options:ident => $policy:ident),*) => { $(
        impl Recipe for $options {
            fn build(self) -> Box<dyn SizePolicy> {
                Box::new($policy::new(self))
            }

            fn set(&mut self, option: CommonOption) -> bool {
                let CommonOption::Probes(probes) = option else { return false };
                self.probes = probes;
                true
            }

            fn most_probes(&self) -> Option<u32> {
                Some(self.probes)
            }
        }
    )* };
}
pub(super) use probing_recipes;

/// What a policy that remembers nothing from one segment to the next saves, and takes back.
macro_rules! stateless {
    () => {
        fn save(&self) -> $crate::Result<$crate::file::State> {
            Ok($crate::file::State::default())
        }

        fn restore(&mut self, state: &$crate::file::State) -> $crate::Result<()> {
            state.only(&[])
        }
    };
}
pub(super) use stateless;
