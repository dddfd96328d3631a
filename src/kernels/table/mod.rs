//! Operators on ragged rows: look up, update, move to new sizes, begin again as new rows.

pub mod addresses;
pub mod bags;
pub(crate) mod fresh;
pub mod lookup;
pub mod migrate;
pub mod optimizer;
pub mod reset;

pub mod store;
#[cfg(test)]
mod testing;
pub mod update;
pub mod update_all;
