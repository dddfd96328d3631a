//! How files are written: whole, or not at all; and what is kept of things that go on later.
//!
//! Every file that this crate writes goes through [`atomic`]. A [`State`] holds numbers by name, for whatever file they
//! will be in; [`Checkpoints`] keep states in a folder.

pub mod atomic;
mod checkpoint;
mod state;
mod tensors;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use state::{Number, Numbers, State};
