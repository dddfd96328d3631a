//! How well a model ranks: the best items of each user among candidates, and what share of the relevant they hold.
//!
//! [`RankCandidates`] works on any model whose score is an inner product of ragged rows; [`Metrics`] on any ranking.

mod metrics;
mod ranking;

pub use metrics::{CUTOFFS, Metrics};
pub use ranking::{DEFAULT_WORKING_BYTES, RankCandidates, Rankings};
