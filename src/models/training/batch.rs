//! What the training loops share: the buffers of a batch, and sums over occurrences.

use crate::Result;
use crate::device::{Buffer, Commands, Device, Gpu};
use crate::kernels::rank::bpr::{Bpr, UserRows};
use crate::kernels::rank::plan::Plan;
use crate::kernels::rank::sides::UpdateSides;
use crate::kernels::table::update::{Optimizer, Update};
use crate::rows::Rows;

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
        let [user_dims, item_dims] = dims;
        // Both sides' gradients in one buffer, which one launch reads.
        let begin = UpdateSides::items_begin(batch, user_dims);
        let end = begin + 2 * batch as usize * item_dims as usize;
        let gradients = Buffer::<f32>::zeroed(&device.labeled("gradients"), end)?;
        let part = |range| {
            let gradients = gradients.as_wgpu().expect("a buffer on a GPU").clone();
            Buffer::from_wgpu_range(gpu, gradients, range)
        };
        Ok(Self {
            triples: Buffer::zeroed(device, 3 * batch as usize * plan.steps as usize)?,
            loss: Buffer::zeroed(device, batch as usize)?,
            user_gradients: part(0..batch as usize * user_dims as usize)?,
            item_gradients: part(begin..end)?,
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

/// Steps that are planned ahead.
pub(in crate::models) struct Planned {
    pub plan: Plan,
    /// Which step of the plan comes next: past its last, another plan does.
    pub next: u32,
    pub order: Buffer<u32>,
    /// Of what is not finite, of users and of items.
    pub counter: Buffer<u32>,
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
