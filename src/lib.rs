//! x

pub mod device;
mod error;
pub mod eval;
pub mod kernels;
pub mod rng;
pub mod stream;
