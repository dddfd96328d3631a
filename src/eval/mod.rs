//! How well a model ranks: what share of the relevant items its lists hold, and how far up.

mod metrics;

pub use metrics::{CUTOFFS, Metrics, StandardErrors};
