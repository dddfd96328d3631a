//! Building blocks: prefix sum, reduction, radix sort, runs of equal keys.

pub mod reduce;
pub mod scan;
pub mod segments;
pub mod sort;
