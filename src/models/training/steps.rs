//! The loop of training steps: what is submitted at once, how far the host runs ahead, and what a call ends with.

use std::collections::VecDeque;

use super::batch::Batch;
use crate::device::{BindGroups, Buffer, Commands, Device, Gpu, Reading};
use crate::kernels::prim::reduce::{Operator, Reduce};
use crate::kernels::table::optimizer::NonFinite;
use crate::models::{Embeddings, TablesMut};
use crate::spans::Here;
use crate::{Error, Result};

/// The steps of a model.
pub(in crate::models) trait Steps: Send {
    /// Records the next step.
    fn record(&mut self, commands: &mut Commands) -> Result<()>;

    /// About how many bytes a step moves.
    fn bytes(&self) -> u64;

    /// What holds the losses of the last step.
    fn batch(&self) -> &Batch;

    /// What learns.
    fn tables(&mut self) -> &mut Embeddings;
}

/// Steps that the CPU takes between two reports of progress.
const AT_ONCE_ON_CPU: u32 = 16;

/// The most steps of a submission.
const MOST_AT_ONCE: u32 = 64;

/// About what a submission moves at most: 20 ms of a device with 200 GB/s. A system may take a device away that is busy
/// for seconds, and a screen that it draws stands still meanwhile.
const BYTES_AT_ONCE: u64 = 4 << 30;

/// The most submissions under way: enough that the device never waits for the host, and few enough that what they hold
/// goes soon.
const UNDER_WAY: usize = 8;

/// Takes `steps` steps; `progress` hears of those that are done. Returns the mean loss of the last batch, at the end of
/// a training of both tables.
///
/// # Errors
/// [`Error::Diverged`] when that loss is not finite; [`Error::NonFinite`] when gradients were not, or steps along them,
/// and the rule does not go on then.
pub(in crate::models) fn run_steps(
    device: &Device,
    steps: u32,
    progress: &mut dyn FnMut(u32),
    model: &mut impl Steps,
) -> Result<f32> {
    let end = match device {
        Device::Cpu => on_cpu(steps, progress, model)?,
        Device::Gpu(gpu) => on_gpu((device, gpu), steps, progress, model)?,
    };
    end.loss(steps, model)
}

/// From one of the CPU's threads: a kernel called from outside of them waits for one to wake up, and is waited for.
fn on_cpu(steps: u32, progress: &mut dyn FnMut(u32), model: &mut impl Steps) -> Result<End> {
    let here = Here::now();
    let mut done = 0;
    loop {
        let now = AT_ONCE_ON_CPU.min(steps - done);
        let end = rayon::scope(|_| {
            here.run(|| {
                let mut commands = Device::Cpu.commands();
                (0..now).try_for_each(|_| model.record(&mut commands))?;
                if done + now < steps { Ok(None) } else { End::record(&Device::Cpu, &mut commands, model).map(Some) }
            })
        })?;
        done += now;
        progress(now);
        if let Some(end) = end {
            return Ok(end);
        }
    }
}

/// Records while the device works, with bind groups that are made once, and reads the end with the last submission.
fn on_gpu(
    (device, gpu): (&Device, &Gpu),
    steps: u32,
    progress: &mut dyn FnMut(u32),
    model: &mut impl Steps,
) -> Result<End> {
    let at_once = (BYTES_AT_ONCE / model.bytes().max(1)).clamp(1, MOST_AT_ONCE.into()) as u32;
    let groups = BindGroups::default();
    let mut under_way = VecDeque::with_capacity(UNDER_WAY);
    let mut recorded = 0;
    let end = loop {
        let now = at_once.min(steps - recorded);
        let mut commands = device.commands().with_groups(&groups);
        (0..now).try_for_each(|_| model.record(&mut commands))?;
        recorded += now;
        let end = if recorded < steps { None } else { Some(End::record(device, &mut commands, model)?) };
        under_way.push_back((commands.submit_one()?, now));
        if let Some(end) = end {
            break end;
        }
        if under_way.len() == UNDER_WAY
            && let Some((submission, steps)) = under_way.pop_front()
        {
            gpu.wait_for(submission)?;
            progress(steps);
        }
    };
    gpu.wait()?;
    under_way.into_iter().for_each(|(_, steps)| progress(steps));
    Ok(end)
}

/// What is read when all steps are taken.
struct End {
    batch: usize,
    sum: Reading<u32>,
    counts: [Option<Reading<u32>>; 2],
    counters: [Reading<u32>; 2],
    planned: Option<Reading<u32>>,
}

impl End {
    fn record(device: &Device, commands: &mut Commands, model: &mut impl Steps) -> Result<Self> {
        let tables = model.tables();
        let counts = [tables.users().record_count(commands)?, tables.items().record_count(commands)?];
        let batch = model.batch();
        let [of_users, of_items] = &batch.counters;
        let counters = [commands.read(of_users)?, commands.read(of_items)?];
        let planned = batch.planned.as_ref().map(|planned| commands.read(&planned.counter)).transpose()?;
        let mut sum = Buffer::zeroed(device, Reduce::<f32>::out_len(batch.loss.len() as u32))?;
        commands.run(Reduce { input: &batch.loss, operator: Operator::Sum, out: &mut sum })?;
        Ok(Self { batch: batch.loss.len(), sum: commands.read(&sum)?, counts, counters, planned })
    }

    fn loss(self, steps: u32, model: &mut impl Steps) -> Result<f32> {
        let Self { batch, sum, counts: [users_count, items_count], counters, planned } = self;
        let [users_counter, items_counter] = counters;
        let TablesMut { mut users, mut items } = model.tables().tables_mut();
        let loss = f32::from_bits(sum.wait()?[0]) / batch as f32;
        if !loss.is_finite() {
            return Err(Error::Diverged { steps, loss });
        }
        let planned = planned.map_or(Ok(vec![0, 0]), Reading::wait)?;
        let sum = |own: u32, others: [u32; 2]| others.into_iter().fold(own, u32::saturating_add);
        let of_users = sum(users.counted(users_count)?, [users_counter.wait()?[0], planned[0]]);
        let of_items = sum(items.counted(items_count)?, [items_counter.wait()?[0], planned[1]]);
        let (table, count) = match (of_users, of_items) {
            (0, 0) => return Ok(loss),
            (_, 0) => ("users", of_users),
            (0, _) => ("items", of_items),
            _ => ("users and items", of_users.saturating_add(of_items)),
        };
        if users.options().rule.non_finite == NonFinite::Error {
            return Err(Error::NonFinite { op: "Recommender::train", table, count });
        }
        tracing::warn!(table, count, steps, "dims with gradients or steps that are not finite");
        Ok(loss)
    }
}
