//! The ragged table: rows of different sizes in one arena, inside a budget that cannot be passed.
//!
//! ```text
//! offsets   0     3 3        7         n + 1 numbers: the row directory
//!           |     | |        |
//! arena     a a a   c c c c          row 0 has 3 dims, row 1 none, row 2 has 4
//! state     s s s   s s s s          the optimizer's, of the same shape, or one number a row, or both
//! ```
//!
//! A resize is a pure [`ResizePlan`], then [`RaggedTable::resize`]: what survives keeps its bits, values and optimizer
//! state alike. Tables draw their bytes from an [`Account`]; a plan that would overdraw it is an error before anything
//! moves.
//!
//! Rows are numbers from 0. Where entities are keys of an unbounded stream, a [`RowMap`] gives each a row of its own and takes rows
//! back by age and frequency; [`RaggedTable::reset_rows`] begins them anew. [`RaggedTable::save`] writes a table, and the map
//! with it, to a file that NumPy reads.

mod account;
mod file;
mod offsets;
mod plan;
mod ragged;
mod row_map;

pub use account::{Account, Counts};
pub use offsets::Offsets;
pub use plan::ResizePlan;
pub use ragged::{MemoryReport, Occurrences, RaggedTable, TableOptions};
pub use row_map::{Assigned, Evicted, RowMap, RowMapOptions};
