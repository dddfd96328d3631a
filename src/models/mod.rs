//! Recommenders whose embeddings live in ragged tables.

mod bpr_mf;
mod training_set;

pub use bpr_mf::{BprMf, BprMfOptions, Resized};
pub use training_set::TrainingSet;
