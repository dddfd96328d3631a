//! Operators on graphs: propagate embeddings over the edges.

pub mod spmm;
