//! Recommenders whose embeddings live in ragged tables, and baselines without embeddings.

pub mod baselines;
mod bipartite;
mod bpr_mf;
mod embeddings;
mod fism;
mod light_gcn;
mod propagation;
mod ranking;
mod recommender;
#[cfg(test)]
mod testing;
mod training;
mod training_set;

pub use bipartite::{Bipartite, Normalisation};
pub use bpr_mf::{BprMf, BprMfOptions};
pub use embeddings::{Embeddings, EmbeddingsOptions, ItemBias, Resized, Snapshot};
pub use fism::{Fism, FismOptions};
pub use light_gcn::{LightGcn, LightGcnOptions, RateSchedule};
pub use ranking::{DEFAULT_WORKING_BYTES, RankCandidates, RankRequest, Rankings};
pub use recommender::{ModelOptions, Recommender};
pub use training_set::{Sampling, TrainingData, TrainingSet};
