//! How files are written: whole, or not at all; and what is kept of things that go on later.
//!
//! Every file that this crate writes goes through [`atomic`]. A [`State`] holds numbers by name, for whatever file they
//! will be in; [`Checkpoints`] keep states in a folder, and a [`Saver`] writes them while other work goes on. A
//! [`Mark`] says what an export held, so that the next one writes only what has changed since.

pub mod atomic;
mod checkpoint;
mod mark;
mod saver;
mod state;
mod tensors;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use mark::{Delta, Mark};
pub use saver::Saver;
pub use state::{Number, Numbers, State};
