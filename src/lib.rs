//! x

pub mod device;
mod error;
pub mod eval;
pub mod kernels;
pub mod rng;
#[cfg(test)]
mod testing;

pub use error::{Error, Result};
pub use wgpu;
