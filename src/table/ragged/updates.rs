//! Steps of the optimizer: of the rows of a batch, and of all.

use super::RaggedTable;
use super::lookups::run;
use crate::check;
use crate::device::{Buffer, Commands, Device, Reading, Recorder};
use crate::kernels::table::optimizer::{NonFinite, UpdateRule};
use crate::kernels::table::update::{Gradients, Update};
use crate::kernels::table::update_all::UpdateAll;
use crate::kernels::{Count, Countable};
use crate::rows::Rows;
use crate::{Error, Result};

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

/// A table's rows, and how they take their next step.
pub(crate) struct NextStep<'a> {
    pub rows: &'a mut Rows,
    pub rule: UpdateRule,
    pub step: u32,
    pub seed: u64,
}

impl RaggedTable {
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
        run(recorder, update, used)?;
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    /// The next step along some gradients, and how many of these are used where that is not all.
    pub(super) fn update_of<'a>(
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

    /// What the next step of a kernel takes that steps this table together with another.
    pub(crate) fn next_step(&mut self) -> NextStep<'_> {
        let (rule, seed) = (self.options.rule, self.options.seed);
        NextStep { rows: &mut self.rows, rule, step: self.steps.saturating_add(1), seed }
    }

    /// It is recorded.
    pub(crate) fn count_step(&mut self) {
        self.steps = self.steps.saturating_add(1);
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
        recorder.run(self.update_all_of(gradients, dims)?)?;
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    /// The next step of every row along some gradients.
    pub(super) fn update_all_of<'a>(&'a mut self, gradients: &'a Buffer<f32>, dims: u32) -> Result<UpdateAll<'a>> {
        let counter = Some(counter_of(&mut self.counter, self.rows.device())?);
        Ok(UpdateAll {
            rows: &mut self.rows,
            gradients,
            dims,
            rule: self.options.rule,
            step: self.steps.saturating_add(1),
            seed: self.options.seed,
            counter,
        })
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
        let mut commands = self.device().commands();
        let reading = self.record_count(&mut commands)?;
        commands.submit()?;
        self.counted(reading)
    }

    /// Reads that count with the caller's commands; nothing where no update was recorded.
    pub(crate) fn record_count(&self, commands: &mut Commands) -> Result<Option<Reading<u32>>> {
        self.counter.as_ref().map(|counter| commands.read(counter)).transpose()
    }

    /// The count that was read; it begins at 0 again.
    pub(crate) fn counted(&mut self, reading: Option<Reading<u32>>) -> Result<u32> {
        let (Some(reading), Some(counter)) = (reading, &mut self.counter) else { return Ok(0) };
        let count = reading.wait()?[0];
        if count > 0 {
            counter.write(&[0])?;
        }
        Ok(count)
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
}

/// A table's counter, made when it is first needed.
fn counter_of<'a>(counter: &'a mut Option<Buffer<u32>>, device: &Device) -> Result<&'a mut Buffer<u32>> {
    match counter {
        Some(counter) => Ok(counter),
        none => Ok(none.insert(Buffer::zeroed(device, 1)?)),
    }
}
