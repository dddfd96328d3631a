//! LightGCN on ragged rows: rows propagated over the graph of users and items, trained with BPR.

mod layers;
mod options;

use std::sync::Arc;

use super::{
    DEFAULT_WORKING_BYTES, Embeddings, EmbeddingsOptions, RankCandidates, RankRequest, Rankings, Recommender,
    TrainingData, TrainingSet,
};
use crate::device::{Buffer, Commands, Device, Kernel};
use crate::kernels::check;
use crate::kernels::prim::reduce::{Operator, Reduce};
use crate::kernels::rank::bpr::Bpr;
use crate::kernels::table::update::{Optimizer, Update};
use crate::stream::UserItems;
use crate::table::Account;
use crate::{Error, Result};
use layers::{Graph, Layers, Side};
pub use options::{LightGcnOptions, RateSchedule};

/// Scores `b_i + <o_u, o_i>` with the outputs `o = mean of E^0, A E^0, ..., A^K E^0`, where E^0 are the rows, missing dims
/// zero, and `A = D^-1/2 [[0, R], [R^T, 0]] D^-1/2` is the graph of the history. A bias is not propagated.
///
/// The loss of a batch is the mean of `softplus(s_n - s_p) + l2 * (|e_u|^2 + |e_p|^2 + |e_n|^2)` over its triples, e the
/// rows themselves. The gradient is exact, for A is symmetric: that of the outputs, summed over a row's occurrences, is
/// propagated like the rows were; then Adam steps every row, in the dims that it has.
///
/// A user or an item without edges has the output `E^0 / (K + 1)`. A triple whose user touched everything has no negative
/// and no loss; its rows are still pulled to zero by `l2`.
///
/// # Cost
/// A step is `2 K` products of the graph with `[users + items, W]`, W the widest row (up to a multiple of 8); the first of
/// them reads the ragged rows. On a CPU they are four fifths of a step. Held besides the tables, with n users and items, z
/// interactions and batch B: `12 n W` bytes of dense rows, `16 z` of the graph, about `20 n + 12 B (W + 3)` of scratch, and
/// the training set; a bias takes 12 an item more, and a GPU's sorts and long rows their workspace.
///
/// Source: He et al., "LightGCN: Simplifying and powering graph convolution network for recommendation", SIGIR 2020;
/// `docs/method.md` section 5.
#[derive(Debug)]
pub struct LightGcn {
    options: LightGcnOptions,
    embeddings: Embeddings,
    set: Option<TrainingSet>,
    graph: Arc<Graph>,
    layers: Option<Layers>,
    /// Whether `sum` of the layers holds the outputs of the rows as they are.
    outputs: bool,
    step: u32,
    /// Steps since the last segment was prepared.
    segment_step: u32,
    scratch_bytes: u64,
}

/// Largest batch: its buffers are dense, three rows a triple.
const MAX_BATCH: u32 = 1 << 20;

/// Most layers: far beyond what smooths all rows into one.
const MAX_LAYERS: u32 = 16;

/// Steps recorded into one submission: each is heavy, and a driver's watchdog wants to see an end.
const STEPS_A_SUBMISSION: u32 = 8;

impl LightGcn {
    /// A model without rows. Both tables draw from `account`.
    ///
    /// # Errors
    /// [`Error::Argument`] for options outside their domain; [`Error::OverBudget`] for an account with no room at all.
    pub fn new(device: &Device, options: LightGcnOptions, account: &Account) -> Result<Self> {
        let op = "LightGcn::new";
        let LightGcnOptions { layers, batch, l2, rate, item_bias, init_std, seed, .. } = options;
        check::domain(op, "layers", layers, layers <= MAX_LAYERS, &format!("at most {MAX_LAYERS}"))?;
        check::domain(op, "batch", batch, (1..=MAX_BATCH).contains(&batch), &format!("from 1 to {MAX_BATCH}"))?;
        for (arg, value) in [("l2", l2), ("init_std", init_std)] {
            check::domain(op, arg, value, value.is_finite() && value >= 0.0, "finite and not negative")?;
        }
        rate.check(op)?;
        let tables =
            EmbeddingsOptions { optimizer: options.optimizer(), init_std, item_bias: item_bias.exists(), seed };
        Ok(Self {
            options,
            embeddings: Embeddings::new(device, tables, account)?,
            set: None,
            graph: Arc::new(Graph::new(device, &UserItems::new(0, [])?, 0)?),
            layers: None,
            outputs: false,
            step: 0,
            segment_step: 0,
            scratch_bytes: 0,
        })
    }

    /// The dense rows for the tables as they are.
    fn take_layers(&mut self) -> Result<Layers> {
        match self.layers.take() {
            Some(layers) => Ok(layers),
            None => Layers::new(&self.graph, &self.embeddings),
        }
    }

    fn record_step(
        &mut self,
        commands: &mut Commands,
        set: &TrainingSet,
        layers: &mut Layers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let LightGcnOptions { batch, seed, l2, item_bias, rate, .. } = self.options;
        set.record_triples(commands, self.step, seed, &mut scratch.triples)?;
        let graph = (&*self.graph, self.options.layers);
        layers.record_outputs(commands, graph, &self.embeddings)?;
        let (users, items) = (&mut layers.users, &mut layers.items);
        commands.run(Bpr {
            triples: &scratch.triples,
            user_arena: &users.sum,
            user_offsets: &users.offsets,
            item_arena: &items.sum,
            item_offsets: &items.offsets,
            item_bias: item_bias.in_training(),
            l2: 0.0,
            l2_bias: 0.0,
            user_dims: users.width,
            item_dims: items.width,
            loss: &mut scratch.loss,
            user_gradients: &mut scratch.user_gradients,
            item_gradients: &mut scratch.item_gradients,
        })?;
        let decay = 2.0 * l2 / batch as f32;
        let (triples, workspace) = (&scratch.triples, &mut scratch.workspace);
        let [user_ones, item_ones] = &scratch.ones;
        for (side, first, count, gradients, ones) in [
            (users, 0, batch, &scratch.user_gradients, user_ones),
            (items, batch, 2 * batch, &scratch.item_gradients, item_ones),
        ] {
            commands.clear(&mut side.layer)?;
            let (arena, offsets, dims) = (&mut side.layer, &side.offsets, side.width);
            let sum = Scatter { arena, offsets, ids: triples, first, count, gradients, dims, factor: 1.0 };
            sum.record(commands, workspace)?;
            if decay > 0.0 {
                commands.clear(&mut side.weights)?;
                let (arena, offsets, gradients) = (&mut side.weights, &side.row_ends, ones);
                let sum = Scatter { arena, offsets, ids: triples, first, count, gradients, dims: 1, factor: decay };
                sum.record(commands, workspace)?;
            }
        }
        layers.record_gradients(commands, graph)?;
        if decay > 0.0 {
            layers.record_decay(commands, &self.embeddings)?;
        }
        let (users, items) = self.embeddings.tables_mut();
        for (table, Side { sum, width, .. }) in [(users, &layers.users), (items, &layers.items)] {
            table.set_learning_rate(rate.rate(self.segment_step))?;
            table.record_update_all(commands, sum, *width)?;
        }
        self.step += 1;
        self.segment_step += 1;
        Ok(())
    }

    fn train_on(
        &mut self,
        (set, steps): (&TrainingSet, u32),
        layers: &mut Layers,
        scratch: &mut Scratch,
        progress: &mut dyn FnMut(u32),
    ) -> Result<f32> {
        let device = self.embeddings.device().clone();
        let mut done = 0;
        while done < steps {
            let now = STEPS_A_SUBMISSION.min(steps - done);
            let mut commands = device.commands();
            for _ in 0..now {
                self.record_step(&mut commands, set, layers, scratch)?;
            }
            commands.submit()?;
            // A queue that runs far ahead holds the parameters of every launch in it.
            device.wait()?;
            done += now;
            progress(now);
        }
        let mut sum = Buffer::zeroed(&device, Reduce::<f32>::out_len(self.options.batch))?;
        Reduce { input: &scratch.loss, operator: Operator::Sum, out: &mut sum }.run(&device)?;
        let loss = f32::from_bits(sum.read()?[0]) / self.options.batch as f32;
        if !loss.is_finite() {
            return Err(Error::Diverged { steps, loss });
        }
        Ok(loss)
    }
}

impl Recommender for LightGcn {
    fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    fn embeddings_mut(&mut self) -> &mut Embeddings {
        // Whoever asks may change sizes or values.
        (self.layers, self.outputs) = (None, false);
        &mut self.embeddings
    }

    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>> {
        Ok(Box::new(Self {
            options: self.options,
            embeddings: self.embeddings.duplicate(account)?,
            set: None,
            graph: self.graph.clone(),
            layers: None,
            outputs: false,
            step: self.step,
            segment_step: self.segment_step,
            scratch_bytes: 0,
        }))
    }

    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
        let device = self.embeddings.device();
        // The old graph goes before the new one comes.
        (self.set, self.layers, self.outputs) = (None, None, false);
        self.graph = Arc::new(Graph::new(device, data.history, self.embeddings.items().rows())?);
        self.segment_step = 0;
        if !data.rows.is_empty() {
            self.set = Some(TrainingSet::new(device, data, self.options.sampling)?);
        }
        Ok(())
    }

    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32> {
        let Some(set) = self.set.take() else {
            return Ok(0.0);
        };
        self.outputs = false;
        let mut layers = self.take_layers()?;
        let mut scratch = Scratch::new(self, &layers)?;
        self.scratch_bytes = scratch.bytes();
        let loss = self.train_on((&set, steps), &mut layers, &mut scratch, progress);
        (self.set, self.layers) = (Some(set), Some(layers));
        loss
    }

    fn rank(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
        let device = self.embeddings.device().clone();
        let mut layers = self.take_layers()?;
        if !self.outputs {
            let mut commands = device.commands();
            layers.record_outputs(&mut commands, (&self.graph, self.options.layers), &self.embeddings)?;
            commands.submit()?;
            self.outputs = true;
        }
        let rankings = RankCandidates {
            user_arena: &layers.users.sum,
            user_offsets: &layers.users.offsets,
            item_arena: &layers.items.sum,
            item_offsets: &layers.items.offsets,
            item_bias: self.embeddings.item_bias(),
            dims: layers.dims(),
            request,
            working_bytes: DEFAULT_WORKING_BYTES,
        }
        .run(&device);
        self.layers = Some(layers);
        rankings
    }

    /// Graph, dense rows, training set, and what the last training had for scratch.
    fn working_bytes(&self) -> u64 {
        let set = self.set.as_ref().map_or(0, TrainingSet::bytes);
        let layers = self.layers.as_ref().map_or(0, Layers::bytes);
        self.graph.bytes() + layers + set + self.scratch_bytes
    }
}

/// `arena_r += factor * sum of the gradients of r's occurrences`: what an SGD step at a negative rate does, exact over
/// duplicates and in one order on all devices.
struct Scatter<'a> {
    arena: &'a mut Buffer<f32>,
    offsets: &'a Buffer<u32>,
    ids: &'a Buffer<u32>,
    first: u32,
    count: u32,
    gradients: &'a Buffer<f32>,
    dims: u32,
    factor: f32,
}

impl Scatter<'_> {
    fn record(self, commands: &mut Commands, workspace: &mut Buffer<u32>) -> Result<()> {
        let Self { arena, offsets, ids, first, count, gradients, dims, factor } = self;
        let optimizer = Optimizer::Sgd { learning_rate: -factor };
        let state = &mut [];
        commands.run(Update {
            arena,
            offsets,
            state,
            ids,
            first,
            count,
            gradients,
            dims,
            optimizer,
            step: 1,
            workspace,
        })
    }
}

/// Buffers of a batch, reused by all steps of one call.
struct Scratch {
    triples: Buffer<u32>,
    loss: Buffer<f32>,
    user_gradients: Buffer<f32>,
    item_gradients: Buffer<f32>,
    /// What counts the occurrences of users and of items.
    ones: [Buffer<f32>; 2],
    workspace: Buffer<u32>,
}

impl Scratch {
    fn new(model: &LightGcn, layers: &Layers) -> Result<Self> {
        let (device, batch) = (model.embeddings.device(), model.options.batch);
        let (user_dims, item_dims) = (layers.users.width, layers.items.width);
        let workspace = match device {
            Device::Cpu => 0,
            Device::Gpu(_) => [(batch, user_dims), (2 * batch, item_dims), (2 * batch, 1)]
                .map(|(count, dims)| Update::workspace_len(count, dims))
                .into_iter()
                .fold(0, usize::max),
        };
        Ok(Self {
            triples: Buffer::zeroed(device, 3 * batch as usize)?,
            loss: Buffer::zeroed(device, batch as usize)?,
            user_gradients: Buffer::zeroed(device, batch as usize * user_dims as usize)?,
            item_gradients: Buffer::zeroed(device, 2 * batch as usize * item_dims as usize)?,
            ones: [
                Buffer::from_vec(device, vec![1.0; batch as usize])?,
                Buffer::from_vec(device, vec![1.0; 2 * batch as usize])?,
            ],
            workspace: Buffer::zeroed(device, workspace)?,
        })
    }

    fn bytes(&self) -> u64 {
        let [user_ones, item_ones] = &self.ones;
        let floats = [&self.loss, &self.user_gradients, &self.item_gradients, user_ones, item_ones];
        let words = [&self.triples, &self.workspace];
        floats.map(Buffer::size_bytes).iter().sum::<u64>() + words.map(Buffer::size_bytes).iter().sum::<u64>()
    }
}

#[cfg(test)]
mod tests;
