//! What the training loops share: the buffers of a batch, and sums over occurrences.

use crate::Result;
use crate::device::{Buffer, Commands, Device, Gpu};
use crate::kernels::rank::bpr::{Bpr, UserRows};
use crate::kernels::rank::plan::{Plan, PlanSteps};
use crate::kernels::rank::sides::UpdateSides;
use crate::kernels::table::update::{Optimizer, Update};
use crate::models::{Embeddings, TrainingOptions, TrainingSet};
use crate::rows::Rows;

use super::Clock;

/// Largest batch: its buffers are dense, three rows a triple.
pub(in crate::models) const MAX_BATCH: u32 = 1 << 20;

/// Buffers of a batch of triples, reused by all steps of one call.
pub(in crate::models) struct Batch {
    pub triples: Buffer<u32>,
    pub loss: Buffer<f32>,
    pub user_gradients: Buffer<f32>,
    pub item_gradients: Buffer<f32>,
    /// Of the losses, then of the updates.
    pub workspace: Buffer<u32>,
    /// Count the dims of [`Scatter`]'s sums that are not finite, of users and of items.
    pub counters: [Buffer<u32>; 2],
    /// What planned steps have besides.
    pub planned: Option<Planned>,
    /// Widths of a user's and an item's gradient.
    pub dims: [u32; 2],
}

impl Batch {
    /// For gradients of these widths, of rows such as these.
    pub fn new(
        device: &Device,
        batch: u32,
        [user_dims, item_dims]: [u32; 2],
        rows: (UserRows<'_>, &Rows),
    ) -> Result<Self> {
        let workspace = [(batch, user_dims), (2 * batch, item_dims), (2 * batch, 1)]
            .map(|(count, dims)| Update::workspace_len(count, dims))
            .into_iter()
            .fold(losses_len(device, batch, [user_dims, item_dims], rows), usize::max);
        Ok(Self {
            triples: Buffer::zeroed(device, 3 * batch as usize)?,
            loss: Buffer::zeroed(device, batch as usize)?,
            user_gradients: Buffer::zeroed(device, batch as usize * user_dims as usize)?,
            item_gradients: Buffer::zeroed(device, 2 * batch as usize * item_dims as usize)?,
            workspace: Buffer::zeroed(device, workspace)?,
            counters: counters(device)?,
            planned: None,
            dims: [user_dims, item_dims],
        })
    }

    /// The same for steps that are planned: on a GPU, and with gradients that have some width.
    pub fn planned(gpu: &Gpu, plan: Plan, dims: [u32; 2], rows: (UserRows<'_>, &Rows)) -> Result<Self> {
        let (device, batch) = (&Device::Gpu(gpu.clone()), plan.batch);
        let [user_gradients, item_gradients] = joint(gpu, batch, dims, 0.0)?;
        Ok(Self {
            triples: Buffer::zeroed(device, 3 * batch as usize * plan.steps as usize)?,
            loss: Buffer::zeroed(device, batch as usize)?,
            user_gradients,
            item_gradients,
            workspace: Buffer::zeroed(device, losses_len(device, batch, dims, rows))?,
            counters: counters(device)?,
            planned: Some(Planned {
                plan,
                next: plan.steps,
                order: Buffer::zeroed(&device.labeled("order"), plan.order_len(dims))?,
                counter: Buffer::zeroed(device, 2)?,
            }),
            dims,
        })
    }

    /// Draws the triples of the step that comes, or plans it and those after it; says where its triples begin.
    pub fn record_triples(
        &mut self,
        commands: &mut Commands,
        clock: &Clock,
        from: (&TrainingSet, &TrainingOptions),
    ) -> Result<u32> {
        let Self { triples, planned, .. } = self;
        let Some(Planned { plan, next, order, .. }) = planned else {
            clock.record_triples(commands, from, triples)?;
            return Ok(0);
        };
        if *next == plan.steps {
            clock.record_steps(commands, from, plan.steps, triples)?;
            commands.run(PlanSteps { plan: *plan, triples, order })?;
            *next = 0;
        }
        Ok(3 * plan.batch * *next)
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> u64 {
        let floats = [&self.loss, &self.user_gradients, &self.item_gradients].map(Buffer::size_bytes);
        let words = [Some(&self.triples), Some(&self.workspace), self.planned.as_ref().map(|planned| &planned.order)];
        floats.iter().sum::<u64>() + words.into_iter().flatten().map(Buffer::size_bytes).sum::<u64>()
    }

    /// Bytes of a step's part of them.
    pub fn step_bytes(&self) -> u64 {
        let ahead = self.planned.as_ref().map_or(0, |planned| self.triples.size_bytes() + planned.order.size_bytes());
        let steps = self.planned.as_ref().map_or(1, |planned| planned.plan.steps.max(1).into());
        self.bytes() - ahead + ahead / steps
    }
}

/// The plan of so many steps on a GPU, as many at once as it is worth and about as many each time. There is none for
/// batches and widths that planned steps do not take, nor on the CPU: it draws and sorts in its caches.
pub(in crate::models) fn plan(
    tables: &Embeddings,
    options: &TrainingOptions,
    steps: u32,
    dims: [u32; 2],
) -> Option<Plan> {
    tables.device().as_gpu()?;
    let [users, items] = [tables.users().rows(), tables.items().rows()];
    let most = Plan::most_steps(options.batch, users.checked_add(items)?);
    let steps = steps.div_ceil(steps.div_ceil(most).max(1)).max(1);
    let takes = !dims.contains(&0) && UpdateSides::takes(options.batch, dims);
    takes.then_some(Plan { batch: options.batch, steps, users, items })
}

/// Steps that are planned ahead.
pub(in crate::models) struct Planned {
    pub plan: Plan,
    /// Which step of the plan comes next: past its last, another plan does.
    pub next: u32,
    pub order: Buffer<u32>,
    /// Of what is not finite, of users and of items.
    pub counter: Buffer<u32>,
}

/// Gradients of both sides in one buffer, which one launch reads, all of them this number.
pub(in crate::models) fn joint(
    gpu: &Gpu,
    batch: u32,
    [user_dims, item_dims]: [u32; 2],
    number: f32,
) -> Result<[Buffer<f32>; 2]> {
    let device = Device::Gpu(gpu.clone());
    let begin = UpdateSides::items_begin(batch, user_dims);
    let end = begin + 2 * batch as usize * item_dims as usize;
    let device = device.labeled("gradients");
    let all = if number == 0.0 { Buffer::zeroed(&device, end) } else { Buffer::from_vec(&device, vec![number; end]) }?;
    let part = |range| {
        let gradients = all.as_wgpu().expect("a buffer on a GPU").clone();
        Buffer::from_wgpu_range(gpu, gradients, range)
    };
    Ok([part(0..batch as usize * user_dims as usize)?, part(begin..end)?])
}

fn counters(device: &Device) -> Result<[Buffer<u32>; 2]> {
    Ok([Buffer::zeroed(device, 1)?, Buffer::zeroed(device, 1)?])
}

/// Words of workspace of the losses.
fn losses_len(device: &Device, batch: u32, dims: [u32; 2], (users, items): (UserRows<'_>, &Rows)) -> usize {
    match device {
        Device::Cpu => 0,
        Device::Gpu(_) => Bpr::workspace_len(batch, users, items, dims),
    }
}

/// `row_r += factor * sum of the gradients of r's occurrences`: what an SGD step at a negative rate does, exact over
/// duplicates and in one order on all devices. What is not finite is left out of the sum and counted, whatever the
/// model's rule makes of it: it would reach all neighbours otherwise.
pub(in crate::models) struct Scatter<'a> {
    pub rows: &'a mut Rows,
    pub ids: &'a Buffer<u32>,
    pub first: u32,
    pub count: u32,
    pub gradients: &'a Buffer<f32>,
    pub dims: u32,
    pub factor: f32,
}

impl Scatter<'_> {
    pub fn record(self, commands: &mut Commands, workspace: &mut Buffer<u32>, counter: &mut Buffer<u32>) -> Result<()> {
        let Self { rows, ids, first, count, gradients, dims, factor } = self;
        commands.run(Update {
            rows,
            ids,
            first,
            count,
            gradients: gradients.into(),
            dims,
            rule: Optimizer::Sgd { learning_rate: -factor }.into(),
            step: 1,
            seed: 0,
            workspace,
            counter: Some(counter),
        })
    }
}
