//! From an action to integer sizes: sample a profile, apportion a budget by it, rank the entities.

pub mod apportion;
mod distribution;
pub mod rank;
pub mod sample;
