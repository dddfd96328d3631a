//! The table itself.

mod lookups;
mod prepared;
mod resize;
mod state;

use std::sync::Arc;

pub use lookups::{BagLookup, Ids, PackedLookup};
pub use prepared::PreparedRows;

use super::{Account, ResizePlan};
use crate::check;
use crate::device::{Buffer, Device, Kernel, Recorder};
use crate::kernels::table::migrate::Fill;
use crate::kernels::table::optimizer::{NonFinite, UpdateRule};
use crate::kernels::table::reset::Reset;
use crate::kernels::table::update::{Gradients, Update};
use crate::kernels::table::update_all::UpdateAll;
use crate::kernels::{Count, Countable};
use crate::rows::{Directory, Layout, Rows};
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

/// Rows that occur in a batch, and their gradients.
#[derive(Clone, Copy, Debug)]
pub struct Occurrences<'a> {
    /// Row ids.
    pub ids: &'a Buffer<u32>,
    /// First of the ids to use.
    pub first: u32,
    /// How many of them (a number is one by `into()`). Where the device knows how many, its number is that of what has
    /// gradients: of the
    /// ids, or of the bags that they stand in.
    pub count: Count<'a>,
    /// `count * dims` gradients (`into()` makes them of a buffer), or those of the bags that the ids stand in.
    pub gradients: Gradients<'a>,
    /// Width of a gradient.
    pub dims: u32,
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

    /// Sums the gradients `[ids, dims]` of each row and steps its optimizer once; duplicates in `ids` are exact.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for an id past the table; [`Error::Shape`] for gradients of another shape.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::kernels::table::optimizer::Optimizer;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let rule = Optimizer::Sgd { learning_rate: 0.5 }.into();
    /// let options = TableOptions { rule, init_std: 0.0, ..TableOptions::default() };
    /// let mut table = RaggedTable::new(&device, &[2, 1], options, &Account::unlimited())?;
    /// let gradients = Buffer::from_slice(&device, &[1.0, 1.0, 1.0, 4.0, 2.0, 2.0])?; // [3, 2]
    /// table.apply_gradients(&[1, 0, 1], &gradients, 2)?;
    /// assert_eq!(table.read()?, [-0.5, -2.0, -1.5]); // row 1 has one dim, and steps along 1 + 2
    /// assert_eq!(table.steps(), 1);
    /// # Ok(()) }
    /// ```
    pub fn apply_gradients(&mut self, ids: &[u32], gradients: &Buffer<f32>, dims: u32) -> Result<()> {
        check::dims("table/update", dims)?;
        let ids = self.upload_ids("table/update", ids)?;
        let count = ids.len() as u32;
        let mut workspace = Buffer::zeroed(self.device(), self.update_workspace_len(count, dims))?;
        let mut commands = self.device().commands();
        let occurrences = Occurrences { ids: &ids, first: 0, count: count.into(), gradients: gradients.into(), dims };
        self.record_update(&mut commands, occurrences, &mut workspace)?;
        commands.submit()
    }

    /// Words of workspace that [`record_update`](Self::record_update) needs, with bags or without.
    pub fn update_workspace_len(&self, count: u32, dims: u32) -> usize {
        Update::bag_workspace_len(count, dims)
    }

    /// [`apply_gradients`](Self::apply_gradients) for ids that are on the device, as a part of the caller's commands or
    /// pass. Ids past the table are left out.
    ///
    /// # Errors
    /// Those of [`Update`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::kernels::table::optimizer::Optimizer;
    /// use scall_gpu::table::{Account, Occurrences, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let rule = Optimizer::Sgd { learning_rate: 0.5 }.into();
    /// let options = TableOptions { rule, init_std: 0.0, ..TableOptions::default() };
    /// let mut table = RaggedTable::new(&device, &[2, 1], options, &Account::unlimited())?;
    /// let ids = Buffer::from_slice(&device, &[1u32, 0, 7])?; // there is no row 7
    /// let gradients = Buffer::from_slice(&device, &[1.0f32, 1.0, 2.0, 4.0, 8.0, 8.0])?; // [3, 2]
    /// let mut workspace = Buffer::zeroed(&device, table.update_workspace_len(3, 2))?;
    ///
    /// let mut commands = device.commands();
    /// let occurrences = Occurrences { ids: &ids, first: 0, count: 3.into(), gradients: (&gradients).into(), dims: 2 };
    /// table.record_update(&mut commands, occurrences, &mut workspace)?;
    /// commands.submit()?;
    /// assert_eq!(table.read()?, [-1.0, -2.0, -0.5]);
    /// # Ok(()) }
    /// ```
    pub fn record_update(
        &mut self,
        recorder: &mut impl Recorder,
        occurrences: Occurrences<'_>,
        workspace: &mut Buffer<u32>,
    ) -> Result<()> {
        let (update, used) = self.update_of(occurrences, workspace)?;
        lookups::run(recorder, update, used)?;
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    /// The next step along some gradients, and how many of these are used where that is not all.
    fn update_of<'a>(
        &'a mut self,
        occurrences: Occurrences<'a>,
        workspace: &'a mut Buffer<u32>,
    ) -> Result<(Update<'a>, Option<Count<'a>>)> {
        let Occurrences { ids, first, count, gradients, dims } = occurrences;
        let counter = Some(counter_of(&mut self.counter, self.rows.device())?);
        let update = Update {
            rows: &mut self.rows,
            ids,
            first,
            count: count.at_most(),
            gradients,
            dims,
            rule: self.options.rule,
            step: self.steps.saturating_add(1),
            seed: self.options.seed,
            workspace,
            counter,
        };
        let used = match count {
            Count::Host(_) => None,
            Count::Device { buffer, .. } => Some(Count::Device { buffer, at_most: update.room() }),
        };
        Ok((update, used))
    }

    /// Steps every row along the gradients `[rows, dims]`, as a part of the caller's commands or pass.
    ///
    /// # Errors
    /// Those of [`UpdateAll`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::kernels::table::optimizer::Optimizer;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let rule = Optimizer::Sgd { learning_rate: 0.5 }.into();
    /// let options = TableOptions { rule, init_std: 0.0, ..TableOptions::default() };
    /// let mut table = RaggedTable::new(&device, &[2, 1], options, &Account::unlimited())?;
    /// let gradients = Buffer::from_slice(&device, &[1.0, 2.0, 3.0, 4.0])?; // [2, 2]
    /// let mut commands = device.commands();
    /// table.record_update_all(&mut commands, &gradients, 2)?;
    /// commands.submit()?;
    /// assert_eq!(table.read()?, [-0.5, -1.0, -1.5]);
    /// # Ok(()) }
    /// ```
    pub fn record_update_all(
        &mut self,
        recorder: &mut impl Recorder,
        gradients: &Buffer<f32>,
        dims: u32,
    ) -> Result<()> {
        let counter = Some(counter_of(&mut self.counter, self.rows.device())?);
        recorder.run(UpdateAll {
            rows: &mut self.rows,
            gradients,
            dims,
            rule: self.options.rule,
            step: self.steps.saturating_add(1),
            seed: self.options.seed,
            counter,
        })?;
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    /// How many dims, since it was last asked, had gradients or steps in updates that were not finite: see [what
    /// becomes of them](crate::kernels::table::optimizer#what-is-not-finite). Waits for the updates that were
    /// submitted.
    ///
    /// # Errors
    /// [`Error::NonFinite`] where there were any and the rule has [`NonFinite::Error`]; what the device reports.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::Error;
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let mut table = RaggedTable::new(&device, &[2], TableOptions::default(), &Account::unlimited())?;
    /// let before = table.read()?;
    /// table.apply_gradients(&[0], &Buffer::from_slice(&device, &[f32::NAN, 1.0])?, 2)?;
    /// let after = table.read()?;
    /// assert_eq!(after, [before[0], before[1] - 0.01]);
    /// assert!(matches!(table.check_finite(), Err(Error::NonFinite { count: 1, .. })));
    /// assert_eq!(table.check_finite()?, 0);
    /// # Ok(()) }
    /// ```
    pub fn check_finite(&mut self) -> Result<u32> {
        let count = self.take_count()?;
        match self.options.rule.non_finite {
            NonFinite::Error if count > 0 => {
                Err(Error::NonFinite { op: "RaggedTable::check_finite", table: "rows", count })
            }
            _ => Ok(count),
        }
    }

    /// How many dims had gradients or steps that were not finite, whatever becomes of them; the count begins at 0
    /// again.
    pub(crate) fn take_count(&mut self) -> Result<u32> {
        let Some(counter) = &mut self.counter else { return Ok(0) };
        let count = counter.read()?[0];
        if count > 0 {
            counter.write(&[0])?;
        }
        Ok(count)
    }

    /// Begins rows anew, in place: values are drawn as in a new table, optimizer state is zero. For rows that pass from
    /// one entity to another, see [`RowMap`](super::RowMap); sizes, other rows and the count of steps stay.
    ///
    /// The draw is by (seed, row, dim), so a row begins with the same values each time, and with those that it would
    /// have after shrinking to nothing and growing back: nothing that an entity's training left is in them.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for an id past the table; nothing is written then.
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
    fn fill(&self) -> Fill {
        let TableOptions { init_std: std, zero_dims, seed, .. } = self.options;
        Fill::Normal { seed, std, zero_dims }
    }

    /// Sets the optimizer's step size from the next update on: state and count of steps stay.
    ///
    /// # Errors
    /// [`Error::Argument`] for a rate that is not finite.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::kernels::table::optimizer::Optimizer;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let rule = Optimizer::Sgd { learning_rate: 0.5 }.into();
    /// let options = TableOptions { rule, init_std: 0.0, ..TableOptions::default() };
    /// let mut table = RaggedTable::new(&device, &[1], options, &Account::unlimited())?;
    /// let gradient = Buffer::from_slice(&device, &[1.0])?;
    /// table.apply_gradients(&[0], &gradient, 1)?;
    /// table.set_learning_rate(0.25)?;
    /// table.apply_gradients(&[0], &gradient, 1)?;
    /// assert_eq!(table.read()?, [-0.75]);
    /// assert!(table.set_learning_rate(f32::NAN).is_err());
    /// # Ok(()) }
    /// ```
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        self.set_rule("RaggedTable::set_learning_rate", self.options.rule.with_learning_rate(rate))
    }

    /// Moves rows by another rule of the same optimizer from the next update on: state and count of steps stay. Errors
    /// name `op`.
    pub(crate) fn set_rule(&mut self, op: &'static str, rule: UpdateRule) -> Result<()> {
        rule.check(op)?;
        let (own, other) = (self.options.rule.optimizer.name(), rule.optimizer.name());
        check::domain(op, "rule", other, own == other, own)?;
        self.options.rule = rule;
        Ok(())
    }

    /// The rows, for kernels that change values beside the optimizer.
    pub(crate) fn rows_mut(&mut self) -> &mut Rows {
        &mut self.rows
    }

    /// Plans a resize to these sizes; sizes past the table's rows are new rows.
    ///
    /// # Errors
    /// Those of [`ResizePlan::new`].
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let table = RaggedTable::new(&Device::cpu(), &[4, 0, 2], TableOptions::default(), &Account::unlimited())?;
    /// let plan = table.plan(&[1, 3, 2, 5])?;
    /// assert_eq!((plan.shrunk_rows(), plan.grown_rows(), plan.new_rows()), (1, 1, 1));
    /// assert_eq!((plan.kept_values(), plan.dropped_values(), plan.new_values()), (3, 3, 8));
    /// assert!(table.plan(&[1, 3]).is_err()); // no row is left out: a row leaves by size 0
    /// # Ok(()) }
    /// ```
    pub fn plan(&self, sizes: &[u32]) -> Result<ResizePlan> {
        ResizePlan::new(&self.rows, sizes)
    }

    /// Bytes that the account would count for this table after the plan.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let account = Account::new(32, Counts::default());
    /// let table = RaggedTable::new(&Device::cpu(), &[4, 2], TableOptions::default(), &account)?;
    /// let plan = table.plan(&[4, 3])?;
    /// assert_eq!((table.used_bytes(), table.counted_bytes_after(&plan)), (32, 36)); // more than the account has
    /// # Ok(()) }
    /// ```
    pub fn counted_bytes_after(&self, plan: &ResizePlan) -> u64 {
        self.counted_bytes_of(plan.to())
    }

    fn counted_bytes_of(&self, directory: &Directory) -> u64 {
        self.account.counted_bytes(directory.bytes(self.rows.layout(), self.rows.state_size()))
    }

    /// Bytes that the account counts for this table.
    pub fn used_bytes(&self) -> u64 {
        self.account.counted_bytes(self.rows.size_bytes())
    }

    /// Adds rows of the given sizes behind the last.
    ///
    /// # Errors
    /// Those of [`resize`](Self::resize).
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let mut table = RaggedTable::new(&Device::cpu(), &[4], TableOptions::default(), &Account::unlimited())?;
    /// table.append_rows(&[0, 2])?;
    /// assert_eq!(table.sizes().collect::<Vec<_>>(), [4, 0, 2]);
    /// # Ok(()) }
    /// ```
    pub fn append_rows(&mut self, sizes: &[u32]) -> Result<()> {
        let all: Vec<u32> = self.sizes().chain(sizes.iter().copied()).collect();
        let plan = self.plan(&all)?;
        self.resize(&plan)
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

/// A table's counter, made when it is first needed.
fn counter_of<'a>(counter: &'a mut Option<Buffer<u32>>, device: &Device) -> Result<&'a mut Buffer<u32>> {
    match counter {
        Some(counter) => Ok(counter),
        none => Ok(none.insert(Buffer::zeroed(device, 1)?)),
    }
}

impl Drop for RaggedTable {
    fn drop(&mut self) {
        // Giving back cannot overdraw.
        let _ = self.account.exchange(self.used_bytes(), 0);
    }
}
