//! Lookups and updates of a table on a GPU whose dispatches are made once.

use std::sync::Arc;

use super::{BagLookup, Ids, Occurrences, RaggedTable};
use crate::device::{Buffer, Change, Device, Gpu, Kernel, Prepared, Recorder};
use crate::kernels::table::bags::LookupBags;
use crate::kernels::table::lookup::{Lookup, Output};
use crate::kernels::{Count, Countable, Counted};
use crate::{Error, Result};

/// A lookup or an update of one table, prepared: what [`RaggedTable::record_prepared`] records any number of times.
///
/// It keeps the pages that the table had, so it is of no use after a resize, and has to be dropped before one if their
/// memory is to be free.
#[derive(Debug)]
pub struct PreparedRows {
    prepared: Prepared,
    /// The table's pages, by what changes with them.
    pages: Arc<()>,
    /// An update takes a step, at this rate so far.
    rate: Option<f32>,
}

impl PreparedRows {
    /// The kernel's name.
    pub fn name(&self) -> &'static str {
        self.prepared.name()
    }

    /// Sets how many of its ids (or bags) are used from the next recording on: at most those that it was prepared for.
    ///
    /// # Errors
    /// [`Error::Argument`] for more of them, and for an update of all rows.
    pub fn set_count(&mut self, count: u32) -> Result<()> {
        self.prepared.set(Change::Count(count))
    }
}

impl RaggedTable {
    /// [`record_lookup`](Self::record_lookup), prepared.
    ///
    /// # Errors
    /// Those of [`Lookup`]; [`Error::Buffer`] for a table on the CPU.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
    /// # let device = Device::from_wgpu(device, queue);
    /// let mut table = RaggedTable::new(&device, &[2, 4], TableOptions::default(), &Account::unlimited())?;
    /// let ids = Buffer::from_slice(&device, &[1u32, 0])?;
    /// let mut out = Buffer::<f32>::zeroed(&device, 2 * 4)?;
    /// let mut lookup = table.prepare_lookup(&ids, 4, &mut out)?;
    /// for _ in 0..3 {
    ///     let mut commands = device.commands();
    ///     table.record_prepared(&mut commands, &mut lookup)?;
    ///     commands.submit()?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn prepare_lookup<'a, T: Output>(
        &self,
        ids: impl Into<Ids<'a>>,
        dims: u32,
        out: &mut Buffer<T>,
    ) -> Result<PreparedRows> {
        let gpu = self.gpu("RaggedTable::prepare_lookup")?;
        let Ids { ids, count } = ids.into();
        let prepared = prepare(&gpu, Lookup { rows: &self.rows, ids, dims, out }, count)?;
        Ok(PreparedRows { prepared, pages: self.pages.clone(), rate: None })
    }

    /// [`record_lookup_bags`](Self::record_lookup_bags), prepared.
    ///
    /// # Errors
    /// Those of [`LookupBags`]; [`Error::Buffer`] for a table on the CPU.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::kernels::table::bags::Pooling;
    /// use scall_gpu::table::{Account, BagLookup, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
    /// # let device = Device::from_wgpu(device, queue);
    /// let mut table = RaggedTable::new(&device, &[2, 4], TableOptions::default(), &Account::unlimited())?;
    /// let (ids, bags) = (Buffer::from_slice(&device, &[1u32, 0])?, Buffer::from_slice(&device, &[0u32, 2])?);
    /// let mut out = Buffer::<f32>::zeroed(&device, 4)?;
    /// let mut lookup = table.prepare_lookup_bags(BagLookup {
    ///     ids: &ids,
    ///     bags: &bags,
    ///     count: None,
    ///     longest_bag: 2,
    ///     weights: None,
    ///     pooling: Pooling::Sum,
    ///     dims: 4,
    ///     out: &mut out,
    ///     winners: None,
    /// })?;
    /// let mut commands = device.commands();
    /// table.record_prepared(&mut commands, &mut lookup)?;
    /// commands.submit()?;
    /// # Ok(()) }
    /// ```
    pub fn prepare_lookup_bags<T: Output>(&self, lookup: BagLookup<'_, T>) -> Result<PreparedRows> {
        let gpu = self.gpu("RaggedTable::prepare_lookup_bags")?;
        let BagLookup { ids, bags, count, longest_bag, weights, pooling, dims, out, winners } = lookup;
        let kernel = LookupBags { rows: &self.rows, ids, bags, longest_bag, weights, pooling, dims, out, winners };
        Ok(PreparedRows { prepared: prepare(&gpu, kernel, count)?, pages: self.pages.clone(), rate: None })
    }

    /// [`record_update`](Self::record_update), prepared. Each recording takes a step of its own, at the learning rate
    /// that the table has then.
    ///
    /// # Errors
    /// Those of [`Update`](crate::kernels::table::update::Update); [`Error::Buffer`] for a table on the CPU.
    pub fn prepare_update(
        &mut self,
        occurrences: Occurrences<'_>,
        workspace: &mut Buffer<u32>,
    ) -> Result<PreparedRows> {
        let gpu = self.gpu("RaggedTable::prepare_update")?;
        let (update, used) = self.update_of(occurrences, workspace)?;
        let prepared = prepare(&gpu, update, used)?;
        Ok(self.step_of(prepared))
    }

    /// [`record_update_all`](Self::record_update_all), prepared. Each recording takes a step of its own, at the
    /// learning rate that the table has then.
    ///
    /// # Errors
    /// Those of [`UpdateAll`](crate::kernels::table::update_all::UpdateAll); [`Error::Buffer`] for a table on the CPU.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
    /// # let device = Device::from_wgpu(device, queue);
    /// let mut table = RaggedTable::new(&device, &[2, 4], TableOptions::default(), &Account::unlimited())?;
    /// let gradients = Buffer::<f32>::zeroed(&device, 2 * 4)?; // [2, 4], as the caller's kernels leave them
    /// let mut update = table.prepare_update_all(&gradients, 4)?;
    /// for step in 1..=3 {
    ///     table.set_learning_rate(0.1 / step as f32)?;
    ///     let mut commands = device.commands();
    ///     table.record_prepared(&mut commands, &mut update)?;
    ///     commands.submit()?;
    /// }
    /// assert_eq!(table.steps(), 3);
    /// # Ok(()) }
    /// ```
    pub fn prepare_update_all(&mut self, gradients: &Buffer<f32>, dims: u32) -> Result<PreparedRows> {
        let gpu = self.gpu("RaggedTable::prepare_update_all")?;
        let prepared = self.update_all_of(gradients, dims)?.prepare(&gpu)?;
        Ok(self.step_of(prepared))
    }

    /// Records what was prepared for this table, as a part of the caller's commands or pass. Makes no buffer and no
    /// bind group, and allocates nothing on the host (see [`Prepared`]).
    ///
    /// # Errors
    /// [`Error::Buffer`] for what was prepared for another table, or before a resize of this one; nothing is recorded
    /// then.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::table::{Account, Occurrences, RaggedTable, TableOptions};
    /// # fn main() -> scall_gpu::Result<()> {
    /// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
    /// # let device = Device::from_wgpu(device, queue);
    /// let mut table = RaggedTable::new(&device, &[2, 4], TableOptions::default(), &Account::unlimited())?;
    /// let ids = Buffer::from_slice(&device, &[1u32, 0, 1])?;
    /// let gradients = Buffer::from_slice(&device, &[0.5f32; 3 * 4])?;
    /// let mut workspace = Buffer::zeroed(&device, table.update_workspace_len(3, 4))?;
    /// let occurrences = Occurrences { ids: &ids, first: 0, count: 3.into(), gradients: (&gradients).into(), dims: 4 };
    /// let mut update = table.prepare_update(occurrences, &mut workspace)?;
    /// for _ in 0..10 {
    ///     // ... the caller's kernels write `gradients` ...
    ///     let mut commands = device.commands();
    ///     table.record_prepared(&mut commands, &mut update)?;
    ///     commands.submit()?;
    /// }
    /// assert_eq!(table.steps(), 10);
    /// # Ok(()) }
    /// ```
    pub fn record_prepared(&mut self, recorder: &mut impl Recorder, rows: &mut PreparedRows) -> Result<()> {
        if !Arc::ptr_eq(&self.pages, &rows.pages) {
            let (op, arg) = ("RaggedTable::record_prepared", "rows");
            let expected = "what was prepared for this table after its last resize";
            return Err(Error::Buffer { op, arg, expected, got: format!("{} of other pages", rows.name()) });
        }
        if let Some(rate) = &mut rows.rate {
            let now = self.options.rule.optimizer.learning_rate();
            rows.prepared.set(Change::Step(self.steps.saturating_add(1)))?;
            if now != *rate {
                rows.prepared.set(Change::LearningRate(now))?;
                *rate = now;
            }
        }
        recorder.replay(&mut rows.prepared)?;
        self.steps = self.steps.saturating_add(u32::from(rows.rate.is_some()));
        Ok(())
    }

    fn step_of(&self, prepared: Prepared) -> PreparedRows {
        let rate = Some(self.options.rule.optimizer.learning_rate());
        PreparedRows { prepared, pages: self.pages.clone(), rate }
    }

    fn gpu(&self, op: &'static str) -> Result<Gpu> {
        match self.device() {
            Device::Gpu(gpu) => Ok(gpu.clone()),
            Device::Cpu => {
                let (expected, got) = ("a table on a GPU", "a table on the CPU".to_owned());
                Err(Error::Buffer { op, arg: "self", expected, got })
            }
        }
    }
}

fn prepare<K: Countable>(gpu: &Gpu, kernel: K, count: Option<Count<'_>>) -> Result<Prepared> {
    match count {
        None => kernel.prepare(gpu),
        Some(count) => Counted { count, of: kernel }.prepare(gpu),
    }
}
