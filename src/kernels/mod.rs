//! The kernels. Formula, arguments, GPU dispatch and CPU twin of each stand in one file, its WGSL in `shaders/` under
//! the same family and name.
//!
//! | family | kernels |
//! |---|---|
//! | [`prim`] | scan, reduce, sort, segments |
//! | [`table`] | lookup, bags, store, reset, update, update_all, migrate |
//! | [`sizing`] | sample, apportion, rank |
//! | [`graph`] | spmm |
//! | [`rank`] | bpr, triples, log_triples, top_k |
//!
//! Every operator is a struct with named fields that implements [`Kernel`](crate::device::Kernel). Programs in other
//! languages take the shaders themselves, by the description that [`manifest`] gives of them.

mod count;
pub mod graph;
pub mod manifest;
pub mod prim;
pub mod rank;
pub mod sizing;
pub mod table;

pub use count::{Count, Countable, Counted};

#[cfg(test)]
mod contract;
pub(crate) mod elementary;
#[cfg(test)]
mod portability;
pub(crate) mod row_sums;
pub(crate) mod variants;

/// Loop trips that one invocation may make in all. Mesa's lavapipe silently ends every loop at 65,535 trips in total
/// (`LP_MAX_TGSI_LOOP_ITERATIONS`); a quarter of that leaves room for the code around the counted loop.
pub(crate) const MAX_TRIPS: u32 = 16_384;

/// Output elements that a task of a CPU twin writes: about an L1 cache.
pub(crate) const TASK_ELEMENTS: usize = 8 * 1024;

/// Every shader of the crate.
#[rustfmt::skip]
pub(crate) const SHADERS: &[&crate::device::Shader] = &[
    &prim::reduce::SHADER,
    &prim::scan::SHADER,
    &prim::segments::SHADER,
    &prim::sort::SHADER,
    &table::bags::SHADER,
    &table::lookup::SHADER,
    &table::migrate::SHADER,
    &table::reset::SHADER,
    &table::store::SHADER,
    &table::update::SHADER,
    &table::update_all::SHADER,
    &sizing::apportion::SHADER,
    &sizing::rank::SHADER,
    &sizing::sample::SHADER,
    &graph::spmm::SHADER,
    &rank::bpr::SHADER,
    &rank::log_triples::SHADER,
    &rank::top_k::SHADER,
    &rank::triples::SHADER,
];
