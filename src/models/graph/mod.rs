//! Models whose users' scores are those of rows that were propagated over the graph of users and items.

mod bipartite;
mod fism;
mod layers;
mod light_gcn;
mod model;
mod propagation;
mod step;
#[cfg(test)]
mod testing;

pub use bipartite::{Bipartite, Normalisation};
pub use fism::{Fism, FismOptions, History};
pub use light_gcn::{LightGcn, LightGcnOptions, MeanOfLayers};
pub use model::GraphModel;
pub use propagation::Propagation;
