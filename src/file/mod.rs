//! How files are written: whole, or not at all.
//!
//! Every file that this crate writes goes through [`atomic`].

pub mod atomic;
