//! How well a model ranks: what share of the relevant items its lists hold, how far up, and what part of the catalogue
//! is listed at all, and for whom.

mod at_cutoff;
mod catalogue;
mod coherence;
mod cutoffs;
mod metrics;

pub use catalogue::{CatalogueAtCutoff, CatalogueMetrics};
pub use coherence::{Coherence, CoherenceReport, RankedUser, UserGroup, coherence};
pub use cutoffs::Cutoffs;
pub use metrics::{AtCutoff, Metrics, StandardErrors};
