//! Operators on ragged rows: look up, update, move to new sizes.

pub mod bags;
pub mod lookup;
pub mod migrate;
pub mod optimizer;
pub mod store;
pub mod update;
pub mod update_all;
