//! The table itself.

mod lookups;

use super::plan::Fingerprint;
use super::{Account, Offsets, ResizePlan};
use crate::device::{Buffer, Commands, Device, Kernel};
use crate::kernels::check;
use crate::kernels::table::migrate::{Fill, Migrate};
use crate::kernels::table::optimizer::{StateSize, UpdateRule};
use crate::kernels::table::reset::{Reset, Shape};
use crate::kernels::table::update::{Gradients, Update};
use crate::kernels::table::update_all::UpdateAll;
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
    /// Key of the draw; another one for each table (default 0).
    pub seed: u64,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { rule: UpdateRule::default(), init_std: 0.01, zero_dims: 0, seed: 0 }
    }
}

/// Bytes that a table holds on its device.
///
/// The table of a GPU keeps a mirror of its row directory on the host besides, as large as `metadata_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Embedding values.
    pub values_bytes: u64,
    /// Optimizer state.
    pub optimizer_bytes: u64,
    /// Row directory.
    pub metadata_bytes: u64,
    /// The most held at once, reached while the last resize moved rows from the old arena to the new.
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
    /// How many of them.
    pub count: u32,
    /// `count * dims` gradients (`into()` makes them of a buffer), or those of the bags that the ids stand in.
    pub gradients: Gradients<'a>,
    /// Width of a gradient.
    pub dims: u32,
}

/// Rows of different sizes on one device. See the [module](super).
#[derive(Debug)]
pub struct RaggedTable {
    device: Device,
    options: TableOptions,
    account: Account,
    storage: Storage,
    steps: u32,
    peak_bytes: u64,
}

/// What a resize replaces as a whole.
#[derive(Debug)]
pub(super) struct Storage {
    offsets: Buffer<u32>,
    /// The offsets on the host, when the buffer is not there itself.
    mirror: Option<Vec<u32>>,
    values: Buffer<f32>,
    /// A buffer for each number of the optimizer's state.
    state: Vec<Buffer<f32>>,
}

impl Storage {
    /// Rows from elsewhere. The lengths are the caller's to check.
    pub fn of(device: &Device, offsets: Offsets, values: Buffer<f32>, state: Vec<Buffer<f32>>) -> Result<Self> {
        let offsets = offsets.into_vec();
        let mirror = device.as_gpu().map(|_| offsets.clone());
        Ok(Self { offsets: Buffer::from_vec(device, offsets)?, mirror, values, state })
    }

    /// Room for rows at these offsets, everything zero.
    fn new(device: &Device, offsets: Offsets, state: StateSize) -> Result<Self> {
        let (rows, values) = (offsets.rows(), offsets.values());
        let state = state.lens(rows, values).map(|len| Buffer::zeroed(device, len)).collect::<Result<_>>()?;
        Self::of(device, offsets, Buffer::zeroed(device, values)?, state)
    }

    fn duplicate(&self, device: &Device) -> Result<Self> {
        let mut commands = device.commands();
        let mut copy = |from: &Buffer<f32>| {
            let mut to = Buffer::zeroed(device, from.len())?;
            commands.copy(from, &mut to, from.len())?;
            Ok(to)
        };
        let values = copy(&self.values)?;
        let state = self.state.iter().map(&mut copy).collect::<Result<_>>()?;
        commands.submit()?;
        Ok(Self { offsets: Buffer::from_slice(device, self.offsets())?, mirror: self.mirror.clone(), values, state })
    }

    fn offsets(&self) -> &[u32] {
        match &self.mirror {
            Some(mirror) => mirror,
            None => self.offsets.as_slice().expect("a mirror for a GPU's offsets"),
        }
    }

    fn state_bytes(&self) -> u64 {
        self.state.iter().map(Buffer::size_bytes).sum()
    }

    fn bytes(&self) -> u64 {
        self.values.size_bytes() + self.state_bytes() + self.offsets.size_bytes()
    }
}

impl RaggedTable {
    /// A table of rows of the given sizes, values at `N(0, init_std^2)`.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when the account has no room; [`Error::Limit`] past the device's largest binding.
    pub fn new(device: &Device, sizes: &[u32], options: TableOptions, account: &Account) -> Result<Self> {
        options.rule.check("RaggedTable::new")?;
        let empty = Storage::new(device, Offsets::from_sizes(&[])?, options.rule.optimizer.state_size())?;
        account.exchange(0, account.counted_bytes(0, 0, StateSize::default()))?;
        let (device, account) = (device.clone(), account.clone());
        let mut table = Self { device, options, account, storage: empty, steps: 0, peak_bytes: 0 };
        table.append_rows(sizes)?;
        Ok(table)
    }

    /// A copy, optimizer state and count of steps included, that draws from another account.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when that account has no room for it; what the device reports.
    pub fn duplicate(&self, account: &Account) -> Result<Self> {
        let bytes = account.counted_bytes(self.rows().into(), self.len(), self.options.rule.optimizer.state_size());
        account.exchange(0, bytes)?;
        let storage = self.storage.duplicate(&self.device).inspect_err(|_| {
            // Giving back cannot overdraw.
            let _ = account.exchange(bytes, 0);
        })?;
        let (device, options) = (self.device.clone(), self.options);
        Ok(Self { device, options, account: account.clone(), storage, steps: self.steps, peak_bytes: 0 })
    }

    /// A table with contents from elsewhere, for which the account has already given the bytes.
    pub(super) fn restored(
        device: &Device,
        options: TableOptions,
        account: &Account,
        storage: Storage,
        steps: u32,
    ) -> Self {
        Self { device: device.clone(), options, account: account.clone(), storage, steps, peak_bytes: 0 }
    }

    /// The offsets on the host.
    pub(super) fn host_offsets(&self) -> &[u32] {
        self.storage.offsets()
    }

    /// The device it lives on.
    pub fn device(&self) -> &Device {
        &self.device
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
        self.storage.offsets().len() as u32 - 1
    }

    /// Number of values of all rows.
    pub fn len(&self) -> u64 {
        self.storage.values.len() as u64
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
        let offsets = self.storage.offsets();
        offsets[row as usize + 1] - offsets[row as usize]
    }

    /// The sizes of all rows.
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.storage.offsets().windows(2).map(|pair| pair[1] - pair[0])
    }

    /// The values on the device, row after row: what kernels read.
    pub fn values(&self) -> &Buffer<f32> {
        &self.storage.values
    }

    /// The `rows + 1` offsets on the device.
    pub fn offsets(&self) -> &Buffer<u32> {
        &self.storage.offsets
    }

    /// The optimizer's state on the device: a buffer for each number of
    /// [`state_size`](crate::kernels::table::optimizer::Optimizer::state_size), those of the values' shape before those with one
    /// number a row.
    pub fn optimizer_state(&self) -> &[Buffer<f32>] {
        &self.storage.state
    }

    /// Optimizer steps taken (or recorded): one for each update, whatever its rows.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Sums the gradients `[ids, dims]` of each row and steps its optimizer once; duplicates in `ids` are exact.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for an id past the table; [`Error::Shape`] for gradients of another shape.
    pub fn apply_gradients(&mut self, ids: &[u32], gradients: &Buffer<f32>, dims: u32) -> Result<()> {
        check::dims("table/update", dims)?;
        let ids = self.upload_ids("table/update", ids)?;
        let count = ids.len() as u32;
        let mut workspace = Buffer::zeroed(&self.device, self.update_workspace_len(count, dims))?;
        let mut commands = self.device.commands();
        let occurrences = Occurrences { ids: &ids, first: 0, count, gradients: gradients.into(), dims };
        self.record_update(&mut commands, occurrences, &mut workspace)?;
        commands.submit()
    }

    /// Words of workspace that [`record_update`](Self::record_update) needs, with bags or without; none on the CPU.
    pub fn update_workspace_len(&self, count: u32, dims: u32) -> usize {
        self.device.as_gpu().map_or(0, |_| Update::bag_workspace_len(count, dims))
    }

    /// [`apply_gradients`](Self::apply_gradients) for ids that are on the device, as a part of the caller's commands. Ids
    /// past the table are left out.
    ///
    /// # Errors
    /// Those of [`Update`].
    pub fn record_update(
        &mut self,
        commands: &mut Commands,
        occurrences: Occurrences<'_>,
        workspace: &mut Buffer<u32>,
    ) -> Result<()> {
        let Occurrences { ids, first, count, gradients, dims } = occurrences;
        commands.run(Update {
            arena: &mut self.storage.values,
            offsets: &self.storage.offsets,
            state: &mut self.storage.state,
            ids,
            first,
            count,
            gradients,
            dims,
            rule: self.options.rule,
            step: self.steps.saturating_add(1),
            workspace,
        })?;
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    /// Steps every row along the gradients `[rows, dims]`, as a part of the caller's commands.
    ///
    /// # Errors
    /// Those of [`UpdateAll`].
    pub fn record_update_all(&mut self, commands: &mut Commands, gradients: &Buffer<f32>, dims: u32) -> Result<()> {
        commands.run(UpdateAll {
            arena: &mut self.storage.values,
            offsets: &self.storage.offsets,
            state: &mut self.storage.state,
            gradients,
            dims,
            rule: self.options.rule,
            step: self.steps.saturating_add(1),
        })?;
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    /// Begins rows anew, in place: values are drawn as in a new table, optimizer state is zero. For rows that pass from one entity
    /// to another, see [`RowMap`](super::RowMap); sizes, other rows and the count of steps stay.
    ///
    /// The draw is by (seed, row, dim), so a row begins with the same values each time, and with those that it would have after
    /// shrinking to nothing and growing back: nothing that an entity's training left is in them.
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
    /// let begun = table.values().read()?;
    /// table.apply_gradients(&[0, 1], &Buffer::from_slice(&device, &[1.0; 6])?, 3)?;
    /// table.reset_rows(&[1])?;
    /// let values = table.values().read()?;
    /// assert_ne!(values[..2], begun[..2]);
    /// assert_eq!(values[2..], begun[2..]);
    /// # Ok(()) }
    /// ```
    pub fn reset_rows(&mut self, rows: &[u32]) -> Result<()> {
        let ids = self.upload_ids(Reset::NAME, rows)?;
        let widest = rows.iter().map(|&row| self.size(row)).max().unwrap_or(0);
        let TableOptions { init_std: std, zero_dims, seed, rule } = self.options;
        let Storage { values, offsets, state, .. } = &mut self.storage;
        let fill = Fill::Normal { seed, std, zero_dims };
        let mut commands = self.device.commands();
        commands.run(Reset { arena: values, shape: Shape::Ragged, offsets, ids: &ids, widest, fill })?;
        let per_value = rule.optimizer.state_size().per_value as usize;
        for (number, arena) in state.iter_mut().enumerate() {
            let shape = if number < per_value { Shape::Ragged } else { Shape::OneARow };
            commands.run(Reset { arena, shape, offsets, ids: &ids, widest, fill: Fill::Zero })?;
        }
        commands.submit()
    }

    /// Sets the optimizer's step size from the next update on: state and count of steps stay.
    ///
    /// # Errors
    /// [`Error::Argument`] for a rate that is not finite.
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        let rule = self.options.rule.with_learning_rate(rate);
        rule.check("RaggedTable::set_learning_rate")?;
        self.options.rule = rule;
        Ok(())
    }

    /// The values, and the offsets that say where rows are: for kernels that change values beside the optimizer.
    pub(crate) fn values_mut(&mut self) -> (&mut Buffer<f32>, &Buffer<u32>) {
        (&mut self.storage.values, &self.storage.offsets)
    }

    /// Plans a resize to these sizes; sizes past the table's rows are new rows.
    ///
    /// # Errors
    /// Those of [`ResizePlan::new`].
    pub fn plan(&self, sizes: &[u32]) -> Result<ResizePlan> {
        ResizePlan::between(self.storage.offsets(), sizes)
    }

    /// Bytes that the account would count for this table after the plan.
    pub fn counted_bytes_after(&self, plan: &ResizePlan) -> u64 {
        self.counted_bytes(plan.to().rows() as u64, plan.to().values() as u64)
    }

    /// Bytes that the account counts for this table.
    pub fn used_bytes(&self) -> u64 {
        self.counted_bytes(self.rows().into(), self.len())
    }

    /// Carries out a plan: what survives keeps its bits, new values are drawn, new state is zero, the count of steps goes
    /// on. Blocks until the old arena is free.
    ///
    /// # Errors
    /// [`Error::StalePlan`], [`Error::OverBudget`], or what the device reports. The table is then as before.
    pub fn resize(&mut self, plan: &ResizePlan) -> Result<()> {
        let (wanted, own) = (plan.from(), Fingerprint::of(self.storage.offsets()));
        if wanted != own {
            return Err(Error::StalePlan {
                expected_rows: wanted.rows,
                expected_values: wanted.values,
                rows: own.rows,
                values: own.values,
            });
        }
        self.check_room(plan)?;
        let (old, new) = (self.used_bytes(), self.counted_bytes_after(plan));
        // Room for the larger of both until it is known which one stays: then only room is given back.
        let reserved = old.max(new);
        self.account.exchange(old, reserved)?;
        let moved = self.moved(plan);
        let settled = if moved.is_ok() { new } else { old };
        self.account.exchange(reserved, settled)?;
        let storage = moved?;
        self.peak_bytes = self.storage.bytes() + storage.bytes();
        self.storage = storage;
        if let Some(gpu) = self.device.as_gpu() {
            // Lets the old arena go. The move has been waited for and checked; what comes now is for the next check.
            let _ = gpu.device().poll(wgpu::PollType::wait_indefinitely());
        }
        Ok(())
    }

    /// Whether the device can hold the rows of a plan, known before anything moves.
    ///
    /// # Errors
    /// [`Error::Limit`] past the device's largest binding.
    pub fn check_room(&self, plan: &ResizePlan) -> Result<()> {
        Buffer::<f32>::check_len(&self.device, plan.to().values())?;
        Buffer::<u32>::check_len(&self.device, plan.to().rows() + 1)
    }

    /// Adds rows of the given sizes behind the last.
    ///
    /// # Errors
    /// Those of [`resize`](Self::resize).
    pub fn append_rows(&mut self, sizes: &[u32]) -> Result<()> {
        let all: Vec<u32> = self.sizes().chain(sizes.iter().copied()).collect();
        let plan = self.plan(&all)?;
        self.resize(&plan)
    }

    /// Bytes held, by what for.
    pub fn memory(&self) -> MemoryReport {
        MemoryReport {
            values_bytes: self.storage.values.size_bytes(),
            optimizer_bytes: self.storage.state_bytes(),
            metadata_bytes: self.storage.offsets.size_bytes(),
            peak_bytes: self.peak_bytes.max(self.storage.bytes()),
        }
    }

    fn moved(&self, plan: &ResizePlan) -> Result<Storage> {
        let from = &self.storage;
        let mut to = Storage::new(&self.device, plan.to().clone(), self.options.rule.optimizer.state_size())?;
        let TableOptions { init_std: std, zero_dims, seed, .. } = self.options;
        let mut commands = self.device.commands();
        commands.run(Migrate {
            from_arena: &from.values,
            from_offsets: &from.offsets,
            to_arena: &mut to.values,
            to_offsets: &to.offsets,
            widest: plan.widest(),
            fill: Fill::Normal { seed, std, zero_dims },
        })?;
        let per_value = self.options.rule.optimizer.state_size().per_value as usize;
        for (number, (from_state, to_state)) in from.state.iter().zip(&mut to.state).enumerate() {
            if number < per_value {
                commands.run(Migrate {
                    from_arena: from_state,
                    from_offsets: &from.offsets,
                    to_arena: to_state,
                    to_offsets: &to.offsets,
                    widest: plan.widest(),
                    fill: Fill::Zero,
                })?;
            } else {
                // One number a row: rows stay where they are, and those behind them are zero.
                commands.copy(from_state, to_state, from_state.len())?;
            }
        }
        commands.submit()?;
        self.device.wait()?;
        Ok(to)
    }

    fn counted_bytes(&self, rows: u64, values: u64) -> u64 {
        self.account.counted_bytes(rows, values, self.options.rule.optimizer.state_size())
    }

    fn upload_ids(&self, op: &'static str, ids: &[u32]) -> Result<Buffer<u32>> {
        let rows = self.rows();
        if let Some(position) = ids.iter().position(|&id| id >= rows) {
            return Err(Error::IdOutOfRange { op, arg: "ids", position, id: ids[position], rows: rows.into() });
        }
        Buffer::from_slice(&self.device, ids)
    }
}

impl Drop for RaggedTable {
    fn drop(&mut self) {
        // Giving back cannot overdraw.
        let _ = self.account.exchange(self.used_bytes(), 0);
    }
}
