//! x

pub mod device;
mod error;
pub mod eval;
pub mod kernels;
pub mod rng;
pub mod sizing;
pub mod stream;
pub mod table;
#[cfg(test)]
mod testing;

pub use error::{Error, Result};
pub use wgpu;
