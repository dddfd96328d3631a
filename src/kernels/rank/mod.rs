//! Training and ranking: sample triples, their loss and gradients, the best items of each user.

pub mod block_triples;
pub mod bpr;
mod draw;
pub mod log_triples;
pub mod plan;
pub mod sides;
pub mod top_k;
pub mod triples;
