//! LightGCN on ragged rows: rows propagated over the graph of users and items, trained with BPR.

mod options;

use std::sync::Arc;

use super::propagation::{Graph, Layers, Side};
use super::training::{Batch, MAX_BATCH, Scatter, run_steps};
use super::{
    DEFAULT_WORKING_BYTES, Embeddings, EmbeddingsOptions, Normalisation, RankCandidates, RankRequest, Rankings,
    Recommender, TrainingData, TrainingSet,
};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Commands, Device};
use crate::kernels::rank::bpr::{Bpr, UserRows};
use crate::stream::UserItems;
use crate::table::Account;
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

/// Most layers: far beyond what smooths all rows into one.
const MAX_LAYERS: u32 = 16;

/// Steps recorded into one submission: each is heavy, and a driver's watchdog wants to see an end.
const STEPS_A_SUBMISSION: u32 = 8;

impl LightGcn {
    /// A model without rows. Both tables draw from `account`.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain;
    /// [`Error::OverBudget`](crate::Error::OverBudget) for an account with no room at all.
    pub fn new(device: &Device, options: LightGcnOptions, account: &Account) -> Result<Self> {
        let op = "LightGcn::new";
        let LightGcnOptions { layers, batch, l2, rate, item_bias, init_std, seed, layout, .. } = options;
        check::domain(op, "layers", layers, layers <= MAX_LAYERS, &format!("at most {MAX_LAYERS}"))?;
        check::domain(op, "batch", batch, (1..=MAX_BATCH).contains(&batch), &format!("from 1 to {MAX_BATCH}"))?;
        for (arg, value) in [("l2", l2), ("init_std", init_std)] {
            check::domain(op, arg, value, value.is_finite() && value >= 0.0, "finite and not negative")?;
        }
        rate.check(op)?;
        let tables = EmbeddingsOptions {
            rule: options.optimizer().into(),
            init_std: [init_std; 2],
            item_bias: item_bias.exists(),
            seed,
            layout,
        };
        Ok(Self {
            options,
            embeddings: Embeddings::new(device, tables, account)?,
            set: None,
            graph: Arc::new(Graph::new(device, &UserItems::new(0, [])?, 0, Normalisation::Symmetric)?),
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
        let Scratch { batch: own, ones } = scratch;
        set.record_triples(commands, self.step, seed, &mut own.triples)?;
        let graph = (&*self.graph, self.options.layers);
        layers.record_outputs(commands, graph, &self.embeddings)?;
        let (users, items) = (&mut layers.users, &mut layers.items);
        commands.run(Bpr {
            triples: &own.triples,
            users: UserRows::Ragged(&users.sum),
            items: &items.sum,
            item_bias: item_bias.in_training(),
            l2: 0.0,
            l2_bias: 0.0,
            user_dims: users.width,
            item_dims: items.width,
            loss: &mut own.loss,
            user_gradients: &mut own.user_gradients,
            item_gradients: &mut own.item_gradients,
            workspace: &mut own.workspace,
        })?;
        let decay = 2.0 * l2 / batch as f32;
        let (triples, workspace) = (&own.triples, &mut own.workspace);
        let [user_ones, item_ones] = ones;
        for (side, first, count, gradients, ones) in [
            (users, 0, batch, &own.user_gradients, user_ones),
            (items, batch, 2 * batch, &own.item_gradients, item_ones),
        ] {
            commands.clear(side.layer.dense_mut())?;
            let (rows, dims) = (&mut side.layer, side.width);
            let sum = Scatter { rows, ids: triples, first, count, gradients, dims, factor: 1.0 };
            sum.record(commands, workspace, &mut own.counter)?;
            if decay > 0.0 {
                commands.clear(side.weights.dense_mut())?;
                let (rows, gradients) = (&mut side.weights, ones);
                let sum = Scatter { rows, ids: triples, first, count, gradients, dims: 1, factor: decay };
                sum.record(commands, workspace, &mut own.counter)?;
            }
        }
        layers.record_gradients(commands, graph)?;
        if decay > 0.0 {
            layers.record_decay(commands, &self.embeddings)?;
        }
        let (users, items) = self.embeddings.tables_mut();
        for (table, Side { sum, width, .. }) in [(users, &layers.users), (items, &layers.items)] {
            table.set_learning_rate(rate.rate(self.segment_step))?;
            table.record_update_all(commands, sum.as_dense(), *width)?;
        }
        self.step += 1;
        self.segment_step += 1;
        Ok(())
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
        self.graph =
            Arc::new(Graph::new(device, data.history, self.embeddings.items().rows(), Normalisation::Symmetric)?);
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
        let device = self.embeddings.device().clone();
        let done = run_steps(&device, (steps, STEPS_A_SUBMISSION), progress, |commands| {
            self.record_step(commands, &set, &mut layers, &mut scratch)
        });
        (self.set, self.layers) = (Some(set), Some(layers));
        done?;
        scratch.batch.mean_loss(steps, &mut self.embeddings)
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
            users: &layers.users.sum,
            items: &layers.items.sum,
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
        self.graph.bytes() + self.layer_bytes() + set + self.scratch_bytes
    }

    fn layer_bytes(&self) -> u64 {
        self.layers.as_ref().map_or(0, Layers::bytes)
    }
}

/// Buffers of a batch, and what counts the occurrences of users and of items in it.
struct Scratch {
    batch: Batch,
    ones: [Buffer<f32>; 2],
}

impl Scratch {
    fn new(model: &LightGcn, layers: &Layers) -> Result<Self> {
        let (device, batch) = (model.embeddings.device(), model.options.batch);
        let ones = |count: u32| Buffer::from_vec(device, vec![1.0; count as usize]);
        let (users, items) = (&layers.users, &layers.items);
        let rows = (UserRows::Ragged(&users.sum), &items.sum);
        Ok(Self {
            batch: Batch::new(device, batch, [users.width, items.width], rows)?,
            ones: [ones(batch)?, ones(2 * batch)?],
        })
    }

    fn bytes(&self) -> u64 {
        self.batch.bytes() + self.ones.iter().map(Buffer::size_bytes).sum::<u64>()
    }
}

#[cfg(test)]
mod tests;
