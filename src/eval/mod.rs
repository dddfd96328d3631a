//! How well a model ranks: what share of the relevant items its lists hold, how far up, what part of the catalogue is
//! listed at all, for whom, and whether what users took scores above what they were shown and did not take.

mod at_cutoff;
mod catalogue;
mod coherence;
mod cutoffs;
mod exposures;
mod metrics;

pub use catalogue::{CatalogueAtCutoff, CatalogueMetrics};
pub use coherence::{Coherence, CoherenceReport, RankedUser, UserGroup, coherence};
pub use cutoffs::Cutoffs;
pub use exposures::Exposures;
pub use metrics::{AtCutoff, Metrics, StandardErrors};
