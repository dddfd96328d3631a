//! The kernels against a naive loop, a group a kernel. See `benches/README.md`.

mod common;
mod data;
mod graph;
mod ids;
mod sizing;
mod table;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = graph::spmm, ids::row_map, table::lookup, table::update, sizing::sample, sizing::apportion, sizing::rank
}
criterion_main!(benches);
