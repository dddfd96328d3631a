//! Recommenders whose embeddings live in ragged tables.

mod bipartite;
mod bpr_mf;
mod training_set;

pub use bipartite::Bipartite;
pub use bpr_mf::{BprMf, BprMfOptions, Resized};
pub use training_set::TrainingSet;
