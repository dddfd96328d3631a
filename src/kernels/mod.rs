//! The kernels. Formula, arguments, GPU dispatch and CPU twin of each stand in one file, its WGSL in `shaders/` under
//! the same family and name.
//!
//! | family | kernels |
//! |---|---|
//! | [`prim`] | scan, reduce, sort, segments |
//! | [`table`] | lookup, bags, addresses, store, reset, update, update_all, migrate |
//! | [`sizing`] | sample, apportion, rank |
//! | [`graph`] | spmm |
//! | [`rank`] | bpr, triples, log_triples, block_triples, plan, sides, top_k |
//!
//! Every operator is a struct with named fields that implements [`Kernel`](crate::device::Kernel). Programs in other
//! languages take the shaders themselves, by the description that [`manifest`] gives of them.

mod count;
pub mod graph;
pub mod manifest;
pub mod prim;
pub mod rank;
mod requirements;
pub mod sizing;
pub mod table;

use crate::device::Operator;
pub use count::{Count, Countable, Counted};
pub use requirements::{Requirements, requirements};

#[cfg(test)]
mod contract;
pub(crate) mod elementary;
#[cfg(test)]
mod portability;
pub(crate) mod row_sums;
pub(crate) mod variants;
pub(crate) mod vectors;

/// Loop trips that one invocation may make in all. Mesa's lavapipe silently ends every loop at 65,535 trips in total
/// (`LP_MAX_TGSI_LOOP_ITERATIONS`); a quarter of that leaves room for the code around the counted loop.
pub(crate) const MAX_TRIPS: u32 = 16_384;

/// Output elements that a task of a CPU twin writes: about an L1 cache.
pub(crate) const TASK_ELEMENTS: usize = 8 * 1024;

/// Output elements up to which the caller's thread writes all of them. To wake other threads, and to wait for them,
/// takes some 15 microseconds; a thread writes this many elements in about twice that time.
pub(crate) const HAND_OVER: usize = 128 * 1024;

/// What implements [`Kernel`](crate::device::Kernel): nothing else can.
macro_rules! operators {
    ($($operator:ty),* $(,)?) => { $(impl Operator for $operator {})* };
}

operators! {
    graph::spmm::Spmm<'_>,
    prim::scan::Scan<'_>,
    prim::segments::Runs<'_>,
    prim::segments::SegmentedSum<'_>,
    prim::sort::Sort<'_>,
    rank::block_triples::SampleBlockTriples<'_>,
    rank::bpr::Bpr<'_>,
    rank::log_triples::SampleLogTriples<'_>,
    rank::plan::PlanSteps<'_>,
    rank::sides::UpdateSides<'_>,
    rank::top_k::TopK<'_>,
    rank::triples::SampleTriples<'_>,
    sizing::apportion::Apportion<'_>,
    sizing::rank::Rank<'_>,
    sizing::sample::Sample<'_>,
    table::addresses::Addresses<'_>,
    table::lookup::LookupSizes<'_>,
    table::migrate::Migrate<'_>,
    table::reset::Reset<'_>,
    table::store::Store<'_>,
    table::update::Update<'_>,
    table::update_all::UpdateAll<'_>,
}

impl<T: prim::reduce::Reducible> Operator for prim::reduce::Reduce<'_, T> {}
impl<T: table::lookup::Output> Operator for table::bags::LookupBags<'_, T> {}
impl<T: table::lookup::Output> Operator for table::lookup::Lookup<'_, T> {}
impl<T: table::lookup::Output> Operator for table::lookup::LookupPacked<'_, T> {}
impl<K: Countable> Operator for Counted<'_, K> {}

/// Every shader of the crate.
#[rustfmt::skip]
pub(crate) const SHADERS: &[&crate::device::Shader] = &[
    &prim::reduce::SHADER,
    &prim::scan::SHADER,
    &prim::segments::SHADER,
    &prim::sort::SHADER,
    &table::addresses::SHADER,
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
    &rank::block_triples::SHADER,
    &rank::bpr::SHADER,
    &rank::log_triples::SHADER,
    &rank::plan::SHADER,
    &rank::sides::SHADER,
    &rank::top_k::SHADER,
    &rank::triples::SHADER,
];
