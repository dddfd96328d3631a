//! How large each row is: a budget, a profile of sizes scaled to it exactly, and a policy that says who gets which.
//!
//! A [`Budget`] resolves to a number of dims for the entities there are. A [`SizePolicy`] divides them: the number of
//! dims handed out is exactly the number there is, whatever the policy ([`crate::kernels::sizing::apportion`]).
//!
//! Source: `docs/method.md` section 3.

mod action;
mod amount;
mod budget;
mod context;
mod decision;
mod groups;
mod mean_row;
mod outcome;
mod policies;
mod policy;
mod profile;
mod weighted;

pub use crate::kernels::sizing::sample::{Distribution, Profile};
pub use action::{Action, Sizes};
pub use amount::Amount;
pub use budget::{Budget, Population, Resolved, Shape};
pub use context::{CurrentRows, SizingContext};
pub use mean_row::mean_row;
pub use outcome::{Outcome, Relative};
pub use policies::{
    Bet, BetOptions, CommonOption, FrequencyRanked, GrowOnly, GrowOnlyOptions, LinTs, LinTsOptions, LinUcb,
    LinUcbOptions, MagnitudeCut, MixedDimensions, PolicyOptions, Random, Uniform,
};
#[cfg(feature = "search")]
pub use policies::{Convergence, Deploy, ScallPolicy, ScallPolicyOptions};
pub use policy::{Probe, SizePolicy};
