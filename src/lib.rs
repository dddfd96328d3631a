//! x

pub mod device;
mod error;
pub mod kernels;
pub mod rng;
pub mod table;
#[cfg(test)]
mod testing;

pub use error::{Error, Result};
pub use wgpu;
