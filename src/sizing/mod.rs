//! How large each row is: a budget, a profile of sizes scaled to it exactly, and a policy that says who gets which.
//!
//! A [`Budget`] resolves to a number of dims for the entities there are. A [`SizePolicy`] divides them: the number of
//! dims handed out is exactly the number there is, whatever the policy ([`crate::kernels::sizing::apportion`]).
//!
//! Source: `docs/method.md` section 3.

mod amount;
mod bet;
mod budget;
mod discounted;
mod grow_only;
mod linucb;
mod magnitude;
mod mde;
mod mean_row;
mod policy;
mod profile;
mod random;
mod ranked;
mod uniform;
mod weighted;

pub use crate::kernels::sizing::sample::{Distribution, Profile};
pub use amount::Amount;
pub use bet::{Bet, BetOptions};
pub use budget::{Budget, Population, Resolved, Shape};
pub use grow_only::{GrowOnly, GrowOnlyOptions};
pub use linucb::{LinUcb, LinUcbOptions};
pub use magnitude::MagnitudeCut;
pub use mde::MixedDimensions;
pub use mean_row::mean_row;
pub use policy::{Action, Outcome, Probe, Rows, SizePolicy, Sizes, SizingContext};
pub use random::Random;
pub use ranked::FrequencyRanked;
pub use uniform::Uniform;
