//! Rows that begin again.

use super::{RaggedTable, TableOptions};
use crate::Result;
use crate::device::{Buffer, Kernel, Recorder};
use crate::kernels::table::migrate::Fill;
use crate::kernels::table::reset::Reset;

impl RaggedTable {
    /// Resets rows in place: values are drawn as in a new table, optimizer state is zero. For rows that pass from
    /// one entity to another, see [`RowMap`](crate::table::RowMap); sizes, other rows and the count of steps stay.
    ///
    /// The draw is by (seed, row, dim), so a row begins with the same values each time, and with those that it would
    /// have after shrinking to nothing and growing back: nothing that an entity's training left is in them.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`](crate::Error::IdOutOfRange) for an id past the table; nothing is written then.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[2, 3], TableOptions::default(), &Account::unlimited())?;
    /// let begun = table.read()?;
    /// table.apply_gradients(&[0, 1], &Buffer::from_slice(&device, &[1.0; 6])?, 3)?;
    /// table.reset_rows(&[1])?;
    /// let values = table.read()?;
    /// assert_ne!(values[..2], begun[..2]);
    /// assert_eq!(values[2..], begun[2..]);
    /// # Ok(()) }
    /// ```
    pub fn reset_rows(&mut self, rows: &[u32]) -> Result<()> {
        let ids = self.upload_ids(Reset::NAME, rows)?;
        let widest = rows.iter().map(|&row| self.size(row)).max().unwrap_or(0);
        let mut commands = self.device().commands();
        self.record_reset(&mut commands, &ids, widest)?;
        commands.submit()
    }

    /// [`reset_rows`](Self::reset_rows) for ids that are on the device, as a part of the caller's commands or pass. Ids
    /// past the table are left out; `widest` is about the size of the widest of the rows.
    ///
    /// # Errors
    /// Those of [`Reset`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[1, 2], TableOptions::default(), &Account::unlimited())?;
    /// let new = table.read()?;
    /// table.store_rows(&[0, 1], &Buffer::from_slice(&device, &[5.0; 4])?, 2)?;
    /// let ids = Buffer::from_slice(&device, &[1u32])?;
    /// let mut commands = device.commands();
    /// table.record_reset(&mut commands, &ids, 2)?;
    /// commands.submit()?;
    /// assert_eq!(table.read()?, [5.0, new[1], new[2]]);
    /// # Ok(()) }
    /// ```
    pub fn record_reset(&mut self, recorder: &mut impl Recorder, ids: &Buffer<u32>, widest: u32) -> Result<()> {
        let fill = self.fill();
        recorder.run(Reset { rows: &mut self.rows, ids, widest, fill })
    }

    /// What dims start as.
    pub(super) fn fill(&self) -> Fill {
        let TableOptions { init_std: std, zero_dims, seed, .. } = self.options;
        Fill::Normal { seed, std, zero_dims }
    }
}
