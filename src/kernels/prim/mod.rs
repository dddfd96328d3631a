//! Building blocks: prefix sum, reduction, radix sort, runs of equal keys.

pub mod scan;
pub mod sort;
