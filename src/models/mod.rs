//! Recommenders whose embeddings live in ragged tables, and baselines without embeddings.

pub mod baselines;
mod builder;
mod embeddings;
mod graph;
mod list;
mod mf;
mod ranking;
mod recommender;
mod sampling;
mod similar;
mod tables;
#[cfg(test)]
mod testing;
mod training;

pub use builder::ModelBuilder;
pub use embeddings::{Embeddings, EmbeddingsOptions, ItemBias, Resized, Snapshot};
pub use graph::{
    Bipartite, Fism, FismOptions, GraphModel, History, LightGcn, LightGcnOptions, MeanOfLayers, Normalisation,
    Propagation,
};
pub use list::ModelOptions;
pub use mf::{BprMf, BprMfOptions};
pub use ranking::{DEFAULT_WORKING_BYTES, RankCandidates, RankRequest, Rankings};
pub use recommender::Recommender;
pub(crate) use recommender::{rank, rank_both};
pub use sampling::{Sampling, TrainingData, TrainingSet};
pub(crate) use similar::similar;
pub use tables::{TableMut, TablesMut};
pub use training::{RateSchedule, TrainingOptions};
