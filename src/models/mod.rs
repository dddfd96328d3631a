//! Recommenders whose embeddings live in ragged tables.

mod bipartite;
mod bpr_mf;
mod ranking;
mod training_set;

pub use bipartite::Bipartite;
pub use bpr_mf::{BprMf, BprMfOptions, RankRequest, Resized};
pub use ranking::{DEFAULT_WORKING_BYTES, RankCandidates, Rankings};
pub use training_set::{TrainingData, TrainingSet};
