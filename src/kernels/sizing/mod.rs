//! From an action to integer sizes: sample a profile, apportion a budget by it, rank the entities.

mod distribution;
pub mod sample;
