//! A soft actor-critic that learns which action pays in a state: what searches for sizes.
//!
//! ```text
//! frequencies, means, last reward --StateLayout::pool--> state --Agent::act--> action --environment--> reward
//!                                                          ^                                             |
//!                                                          +--------- Agent::observe: replay, learn <----+
//! ```
//! An action is the users' share of the budget and the shapes of both profiles, each in 0..=1
//! ([`ScallPolicy`](crate::sizing::ScallPolicy) makes sizes of it). The agent knows of no tables, streams or devices:
//! slices in, numbers out; its networks run on the CPU.
//!
//! Everything is drawn from the seed through [`crate::rng`], no process-wide generator is touched, and a saved agent
//! goes on bit for bit.
//!
//! Source: `docs/method.md` section 7. Haarnoja et al., "Soft actor-critic", ICML 2018; two critics as in Fujimoto et
//! al., "Addressing function approximation error in actor-critic methods", ICML 2018.

mod actor_critic;
mod adam;
mod file;
mod memory;
mod networks;
mod options;
mod state;

pub use actor_critic::{Agent, Losses, Proposal};
pub use memory::{ReplayBuffer, Transition};
pub(crate) use networks::standard_normal_action;
pub use options::AgentOptions;
pub use state::{StateInput, StateLayout, StateVariant};

/// Entries of an action: the users' share, the shape of the users' profile, the shape of the items'.
pub const ACTIONS: usize = 3;
