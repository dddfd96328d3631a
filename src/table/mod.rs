//! The ragged table: rows of different sizes in one arena, inside a budget that cannot be passed.
//!
//! ```text
//! row             0     1   2          sizes 3, 0, 4
//! values        a a a     c c c c      one after the other, in any format
//! ends            3     3   7          the row directory: 2 bytes a row, and a word a block of rows
//! state         s s s     s s s s      the optimizer's, of the same shape, or one number a row, or both
//! ```
//!
//! How that lies in memory, [`rows`](crate::rows) says: formats, alignment, pages.
//!
//! A resize is a pure [`ResizePlan`], then [`RaggedTable::resize`]: what survives keeps its bits, values and optimizer
//! state alike. Tables draw their bytes from an [`Account`]; a plan that would overdraw it is an error before anything
//! moves.
//!
//! Rows are numbers from 0. Where entities are keys of an unbounded stream, a [`RowMap`] gives each a row of its own
//! and takes rows back by age and frequency; [`RaggedTable::reset_rows`] makes them new rows. [`RaggedTable::save`]
//! writes a table, and the map with it, to a file that NumPy reads. Ids that never end and come too seldom for a row
//! may share those of a [`SharedTable`].

mod account;
mod file;
mod offsets;
mod plan;
mod ragged;
mod row_map;
mod shared;

pub use account::{Account, Counts, Held};
pub use offsets::Offsets;
pub use plan::ResizePlan;
pub(crate) use ragged::NextStep;
pub use ragged::{BagLookup, Ids, MemoryReport, Occurrences, PackedLookup, PreparedRows, RaggedTable, TableOptions};
pub use row_map::{Assigned, Evicted, HeldRows, RowMap, RowMapOptions};
pub use shared::{SharedBatch, SharedTable};
