//! The table itself.

mod lookups;
mod prepared;
mod resets;
mod resize;
mod state;
mod updates;

use std::sync::Arc;

pub use lookups::{BagLookup, Ids, PackedLookup};
pub use prepared::PreparedRows;
pub(crate) use updates::NextStep;
pub use updates::Occurrences;

use super::Account;
use crate::device::{Buffer, Device};
use crate::kernels::table::optimizer::UpdateRule;
use crate::rows::{Layout, Rows};
use crate::{Error, Result};

/// How a table starts its rows and moves them.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions {
    /// How rows move (default: SGD at 0.01, which needs no state); an [`Optimizer`] becomes one by `into()`.
    ///
    /// [`Optimizer`]: crate::kernels::table::optimizer::Optimizer
    pub rule: UpdateRule,
    /// Standard deviation of new values (default 0.01, `docs/method.md` section 4).
    pub init_std: f32,
    /// Leading dims of a row that start at zero, such as a bias (default 0).
    pub zero_dims: u32,
    /// Key of the draw, and of the noise that rounds f16 values; another one for each table (default 0).
    pub seed: u64,
    /// How rows lie in memory (default: f32, packed, pages as large as the device binds).
    pub layout: Layout,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { rule: UpdateRule::default(), init_std: 0.01, zero_dims: 0, seed: 0, layout: Layout::default() }
    }
}

/// Bytes that a table holds on its device.
///
/// The table of a GPU keeps a mirror of its row directory on the host besides, as large as `metadata_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Embedding values, with what lies between aligned rows.
    pub values_bytes: u64,
    /// Optimizer state.
    pub optimizer_bytes: u64,
    /// Row directory.
    pub metadata_bytes: u64,
    /// The most held at once, reached while the last resize moved rows from old pages to new ones.
    pub peak_bytes: u64,
}

impl MemoryReport {
    /// Values, optimizer state and row directory together.
    pub fn total_bytes(&self) -> u64 {
        self.values_bytes + self.optimizer_bytes + self.metadata_bytes
    }
}

/// Rows of different sizes on one device. See the [module](super).
///
/// # Example
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::table::{Account, RaggedTable, TableOptions};
/// # fn main() -> scall_gpu::Result<()> {
/// let account = Account::unlimited();
/// let table = RaggedTable::new(&Device::cpu(), &[3, 0, 2], TableOptions::default(), &account)?;
/// assert_eq!((table.rows(), table.len(), table.widest()), (3, 5, 3));
/// assert_eq!(table.sizes().collect::<Vec<_>>(), [3, 0, 2]);
/// assert_eq!((table.size(2), table.is_empty(), table.steps()), (2, false, 0));
/// assert_eq!(table.read()?.len(), 5); // row after row
/// assert_eq!(table.as_rows().pages().len(), 1);
/// assert_eq!(table.options().init_std, 0.01);
/// // 5 values of 4 bytes; 2 bytes a row in whole words, and a word for their block.
/// assert_eq!((table.used_bytes(), table.account().used_bytes()), (5 * 4 + 2 * 4 + 4, 32));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RaggedTable {
    options: TableOptions,
    account: Account,
    rows: Rows,
    steps: u32,
    peak_bytes: u64,
    /// A word that counts the dims of updates that were not finite, from the first update on. No part of what the
    /// account counts: it is as long for any table.
    counter: Option<Buffer<u32>>,
    /// Another one for other pages: what was prepared for these is of no use then.
    pages: Arc<()>,
}

impl RaggedTable {
    /// A table of rows of the given sizes, values at `N(0, init_std^2)`.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when the account has no room; [`Error::Limit`] past the device's largest binding.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// // Rows that begin with a bias of zero; the other values are drawn.
    /// let options = TableOptions { zero_dims: 1, init_std: 0.1, seed: 7, ..TableOptions::default() };
    /// let account = Account::new(100, Counts::default());
    /// let table = RaggedTable::new(&Device::cpu(), &[3, 2], options, &account)?;
    /// let values = table.read()?;
    /// assert!(values[0] == 0.0 && values[3] == 0.0 && values[1] != 0.0);
    /// assert!(RaggedTable::new(&Device::cpu(), &[30], options, &account).is_err()); // 120 bytes and more
    /// # Ok(()) }
    /// ```
    pub fn new(device: &Device, sizes: &[u32], options: TableOptions, account: &Account) -> Result<Self> {
        options.rule.check("RaggedTable::new")?;
        let rows = Rows::zeroed(device, &[], options.layout, options.rule.optimizer.state_size())?;
        let mut table = Self::restored(options, account, rows, 0);
        table.append_rows(sizes)?;
        Ok(table)
    }

    /// A copy, optimizer state and count of steps included, that draws from another account.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when that account has no room for it; what the device reports.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let table = RaggedTable::new(&Device::cpu(), &[3, 2], TableOptions::default(), &Account::unlimited())?;
    /// let trial = Account::unlimited();
    /// let mut copy = table.duplicate(&trial)?;
    /// copy.resize(&copy.plan(&[1, 2])?)?; // tried on the copy
    /// assert_eq!((table.len(), copy.len()), (5, 3));
    /// assert_eq!(trial.used_bytes(), copy.used_bytes());
    /// # Ok(()) }
    /// ```
    pub fn duplicate(&self, account: &Account) -> Result<Self> {
        let bytes = account.counted_bytes(self.rows.size_bytes());
        account.exchange(0, bytes)?;
        let rows = self.rows.duplicate().inspect_err(|_| {
            // Giving back cannot overdraw.
            let _ = account.exchange(bytes, 0);
        })?;
        Ok(Self::restored(self.options, account, rows, self.steps))
    }

    /// A table with contents from elsewhere, for which the account has already given the bytes.
    pub(super) fn restored(options: TableOptions, account: &Account, rows: Rows, steps: u32) -> Self {
        Self { options, account: account.clone(), rows, steps, peak_bytes: 0, counter: None, pages: Arc::default() }
    }

    /// The device it lives on.
    pub fn device(&self) -> &Device {
        self.rows.device()
    }

    /// How it starts its rows and moves them.
    pub fn options(&self) -> &TableOptions {
        &self.options
    }

    /// The account it draws from.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.rows.len()
    }

    /// Number of values of all rows.
    pub fn len(&self) -> u64 {
        self.rows.values()
    }

    /// True when no row holds a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of one row.
    ///
    /// # Panics
    /// When `row` is not below [`rows`](Self::rows).
    pub fn size(&self, row: u32) -> u32 {
        self.rows.size(row)
    }

    /// Size of the widest row, 0 without rows.
    pub fn widest(&self) -> u32 {
        self.rows.widest()
    }

    /// The sizes of all rows.
    pub fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        self.rows.sizes()
    }

    /// Says how large a row will ever get (0: nobody knows, as it is for a new table). Updates then share a row among
    /// as many threads of a GPU as suit that size, whatever the widest row of the moment is: a resize brings no other
    /// pipelines, and changes no order in which the squares of a row's gradient are summed (for clipping and for
    /// row-wise state). Copies expect the same; files and states do not hold it.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut table = RaggedTable::new(&Device::cpu(), &[4, 2], TableOptions::default(), &Account::unlimited())?;
    /// table.expect_sizes(64); // the budget allows no more
    /// table.resize(&table.plan(&[64, 2])?)?;
    /// # Ok(()) }
    /// ```
    pub fn expect_sizes(&mut self, largest: u32) {
        self.rows.expect(largest);
    }

    /// The rows as kernels take them: values, directory and optimizer state on the device.
    pub fn as_rows(&self) -> &Rows {
        &self.rows
    }

    /// The values on the host, row after row.
    ///
    /// # Errors
    /// What the device reports.
    pub fn read(&self) -> Result<Vec<f32>> {
        self.rows.read()
    }

    /// Optimizer steps taken (or recorded): one for each update, whatever its rows.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The rows, for kernels that change values beside the optimizer.
    pub(crate) fn rows_mut(&mut self) -> &mut Rows {
        &mut self.rows
    }

    /// Bytes that the account counts for this table.
    pub fn used_bytes(&self) -> u64 {
        self.account.counted_bytes(self.rows.size_bytes())
    }

    /// Bytes held, by what for.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::kernels::table::optimizer::Optimizer;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let rule = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 }.into();
    /// let options = TableOptions { rule, ..TableOptions::default() };
    /// let mut table = RaggedTable::new(&Device::cpu(), &[4, 2], options, &Account::unlimited())?;
    /// let memory = table.memory();
    /// assert_eq!((memory.values_bytes, memory.optimizer_bytes, memory.metadata_bytes), (24, 24, 8));
    /// table.resize(&table.plan(&[2, 2])?)?;
    /// assert_eq!(table.memory().total_bytes(), 16 + 16 + 8);
    /// assert_eq!(table.memory().peak_bytes, 56 + 40); // the old page and the new one
    /// # Ok(()) }
    /// ```
    pub fn memory(&self) -> MemoryReport {
        let [values_bytes, optimizer_bytes, metadata_bytes] = self.rows.size_bytes();
        let now = MemoryReport { values_bytes, optimizer_bytes, metadata_bytes, peak_bytes: 0 };
        MemoryReport { peak_bytes: self.peak_bytes.max(now.total_bytes()), ..now }
    }

    fn upload_ids(&self, op: &'static str, ids: &[u32]) -> Result<Buffer<u32>> {
        let rows = self.rows();
        if let Some(position) = ids.iter().position(|&id| id >= rows) {
            return Err(Error::IdOutOfRange { op, arg: "ids", position, id: ids[position], rows: rows.into() });
        }
        Buffer::from_slice(self.device(), ids)
    }
}

impl Drop for RaggedTable {
    fn drop(&mut self) {
        // Giving back cannot overdraw.
        let _ = self.account.exchange(self.used_bytes(), 0);
    }
}
