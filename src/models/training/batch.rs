//! What the training loops share: the buffers of a batch, sums over occurrences, submissions.

use crate::device::{Buffer, Commands, Device, Kernel};
use crate::kernels::prim::reduce::{Operator, Reduce};
use crate::kernels::rank::bpr::{Bpr, UserRows};
use crate::kernels::table::optimizer::NonFinite;
use crate::kernels::table::update::{Optimizer, Update};
use crate::models::{Embeddings, TablesMut};
use crate::rows::Rows;
use crate::{Error, Result};

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
    /// Widths of a user's and an item's gradient.
    pub dims: [u32; 2],
}

impl Batch {
    /// For gradients of these widths, of rows such as these.
    pub fn new(
        device: &Device,
        batch: u32,
        [user_dims, item_dims]: [u32; 2],
        (users, items): (UserRows<'_>, &Rows),
    ) -> Result<Self> {
        let losses = match device {
            Device::Cpu => 0,
            Device::Gpu(_) => Bpr::workspace_len(batch, users, items, [user_dims, item_dims]),
        };
        let workspace = [(batch, user_dims), (2 * batch, item_dims), (2 * batch, 1)]
            .map(|(count, dims)| Update::workspace_len(count, dims))
            .into_iter()
            .fold(losses, usize::max);
        Ok(Self {
            triples: Buffer::zeroed(device, 3 * batch as usize)?,
            loss: Buffer::zeroed(device, batch as usize)?,
            user_gradients: Buffer::zeroed(device, batch as usize * user_dims as usize)?,
            item_gradients: Buffer::zeroed(device, 2 * batch as usize * item_dims as usize)?,
            workspace: Buffer::zeroed(device, workspace)?,
            counters: [Buffer::zeroed(device, 1)?, Buffer::zeroed(device, 1)?],
            dims: [user_dims, item_dims],
        })
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> u64 {
        let floats = [&self.loss, &self.user_gradients, &self.item_gradients].map(Buffer::size_bytes);
        floats.iter().sum::<u64>() + self.triples.size_bytes() + self.workspace.size_bytes()
    }

    /// Mean loss of the last batch, at the end of a training of both tables.
    ///
    /// # Errors
    /// [`Error::Diverged`] when it is not finite; [`Error::NonFinite`] when gradients were not, or steps along them,
    /// and the rule does not go on then.
    pub fn mean_loss(&self, steps: u32, embeddings: &mut Embeddings) -> Result<f32> {
        let device = self.loss.device();
        let batch = self.loss.len();
        let mut sum = Buffer::zeroed(&device, Reduce::<f32>::out_len(batch as u32))?;
        Reduce { input: &self.loss, operator: Operator::Sum, out: &mut sum }.run(&device)?;
        let loss = f32::from_bits(sum.read()?[0]) / batch as f32;
        if !loss.is_finite() {
            return Err(Error::Diverged { steps, loss });
        }
        let TablesMut { mut users, mut items } = embeddings.tables_mut();
        let of_users = users.take_count()?.saturating_add(self.counters[0].read()?[0]);
        let of_items = items.take_count()?.saturating_add(self.counters[1].read()?[0]);
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

/// Records `steps` steps, `a_submission` of them in one; `progress` hears of those done.
pub(in crate::models) fn run_steps(
    device: &Device,
    (steps, a_submission): (u32, u32),
    progress: &mut dyn FnMut(u32),
    mut record: impl FnMut(&mut Commands) -> Result<()> + Send,
) -> Result<()> {
    let listener = tracing::dispatcher::get_default(Clone::clone);
    let mut done = 0;
    while done < steps {
        let now = a_submission.min(steps - done);
        // From one of the CPU's threads: a kernel called from outside of them waits for one to wake up, and is waited
        // for.
        rayon::scope(|_| {
            tracing::dispatcher::with_default(&listener, || {
                let mut commands = device.commands();
                for _ in 0..now {
                    record(&mut commands)?;
                }
                commands.submit()
            })
        })?;
        // A queue that runs far ahead holds the parameters of every launch in it.
        device.wait()?;
        done += now;
        progress(now);
    }
    Ok(())
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
