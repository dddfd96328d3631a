//! The tables of a recommender, lent out to be trained.

use std::ops::Deref;

use crate::Result;
use crate::device::{Buffer, Reading, Recorder};
use crate::table::{NextStep, Occurrences, PreparedRows, RaggedTable};

/// Both tables, to be trained ([`Embeddings::tables_mut`](super::Embeddings::tables_mut)).
#[derive(Debug)]
pub struct TablesMut<'a> {
    /// The users' table.
    pub users: TableMut<'a>,
    /// The items' table; with a bias, element 0 of each row is it.
    pub items: TableMut<'a>,
}

/// One of the tables of a recommender. Its values and its optimizer's state may change; its sizes may not, nor may
/// another
/// table take its place: [`Embeddings::resize`](super::Embeddings::resize) sizes both tables under their one account.
///
/// What reads a table works as on a [`RaggedTable`], which it stands for.
#[derive(Debug)]
pub struct TableMut<'a> {
    table: &'a mut RaggedTable,
}

impl<'a> TableMut<'a> {
    pub(super) fn new(table: &'a mut RaggedTable) -> Self {
        Self { table }
    }

    /// As [`RaggedTable::next_step`].
    pub(super) fn next_step(&mut self) -> NextStep<'_> {
        self.table.next_step()
    }

    /// As [`RaggedTable::count_step`].
    pub(super) fn count_step(&mut self) {
        self.table.count_step();
    }

    /// As [`RaggedTable::counted`].
    pub(super) fn counted(&mut self, reading: Option<Reading<u32>>) -> Result<u32> {
        self.table.counted(reading)
    }
}

impl Deref for TableMut<'_> {
    type Target = RaggedTable;

    fn deref(&self) -> &RaggedTable {
        self.table
    }
}

/// Methods of a table that change no size.
macro_rules! as_of_a_table {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)+) => {
        impl TableMut<'_> {
            $(
                #[doc = concat!("As [`RaggedTable::", stringify!($name), "`].")]
                #[doc = ""]
                #[doc = "# Errors"]
                #[doc = "The same."]
                pub fn $name(&mut self, $($arg: $kind),*) -> Result<$out> {
                    self.table.$name($($arg),*)
                }
            )+
        }
    };
}

as_of_a_table! {
    apply_gradients(ids: &[u32], gradients: &Buffer<f32>, dims: u32) -> ();
    record_update(recorder: &mut impl Recorder, occurrences: Occurrences<'_>, workspace: &mut Buffer<u32>) -> ();
    record_update_all(recorder: &mut impl Recorder, gradients: &Buffer<f32>, dims: u32) -> ();
    prepare_update(occurrences: Occurrences<'_>, workspace: &mut Buffer<u32>) -> PreparedRows;
    prepare_update_all(gradients: &Buffer<f32>, dims: u32) -> PreparedRows;
    record_prepared(recorder: &mut impl Recorder, rows: &mut PreparedRows) -> ();
    store_rows(ids: &[u32], values: &Buffer<f32>, dims: u32) -> ();
    record_store(recorder: &mut impl Recorder, ids: &Buffer<u32>, values: &Buffer<f32>, dims: u32) -> ();
    reset_rows(rows: &[u32]) -> ();
    record_reset(recorder: &mut impl Recorder, ids: &Buffer<u32>, widest: u32) -> ();
    set_learning_rate(rate: f32) -> ();
    check_finite() -> u32;
}
