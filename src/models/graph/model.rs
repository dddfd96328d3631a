//! What all models on the graph share: its layout on the device, dense rows, a step of training, ranking.

use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::Normalisation;
use super::propagation::{Graph, Layers};
use crate::Result;
use crate::device::{Buffer, Commands};
use crate::file::State;
use crate::kernels::rank::bpr::{Bpr, UserRows};
use crate::models::training::{Batch, Clock, Scatter, Trainer, run_steps};
use crate::models::{
    DEFAULT_WORKING_BYTES, Embeddings, ItemBias, RankCandidates, RankRequest, Rankings, Recommender, TablesMut,
    TrainingData, TrainingOptions, TrainingSet,
};
use crate::rows::Rows;
use crate::stream::UserItems;
use crate::table::Account;

/// A recommender that propagates rows over the graph of users and items before it scores them:
/// [`LightGcn`](super::LightGcn) and [`Fism`](super::Fism), which differ in the propagation `P`.
///
/// A training step records, in this order: the triples; the outputs, by the way forward; the losses and the gradients
/// of the outputs, summed over the occurrences of each row; the way back to the gradients of the rows; the L2 term; an
/// optimizer step of all rows of both tables.
#[derive(Debug)]
pub struct GraphModel<P> {
    pub(super) propagation: P,
    pub(super) trainer: Trainer,
    pub(super) embeddings: Embeddings,
    pub(super) graph: Arc<Graph>,
    /// Made when they are needed, also by those who only rank.
    dense: RwLock<Dense>,
}

/// The dense rows of a graph model.
#[derive(Debug, Default)]
struct Dense {
    layers: Option<Layers>,
    /// Whether `sum` of the layers holds the outputs of the rows as they are.
    outputs: bool,
}

/// The way from the rows to the outputs, and back.
pub(super) trait Propagation: Clone + Debug + Send + Sync + 'static {
    /// Whether the loss reads the rows of items themselves, and so decays them too. Else they are decayed as those of
    /// users are: by their occurrences in the batch, for `l2` weighs rows, not outputs.
    const LOSS_READS_ITEMS: bool;

    /// What an edge weighs.
    fn normalisation(&self) -> Normalisation;

    /// Takes in the history that the graph is made of.
    fn learn_history(&mut self, history: &UserItems) {
        let _ = history;
    }

    /// A weight for each user that the loss needs; none by default.
    fn user_weights(&self, users: u32) -> Vec<f32> {
        let _ = users;
        Vec::new()
    }

    /// Leaves the outputs in `sum` of the layers.
    fn record_outputs(
        &self,
        commands: &mut Commands,
        graph: &Graph,
        layers: &mut Layers,
        rows: &Embeddings,
    ) -> Result<()>;

    /// Turns the gradients of the outputs, in `layer`, into those of the rows, in `sum`.
    fn record_gradients(&self, commands: &mut Commands, graph: &Graph, layers: &mut Layers) -> Result<()>;

    /// What the outputs of users are scored against.
    fn items<'a>(layers: &'a Layers, rows: &'a Embeddings) -> &'a Rows;

    /// The users of the loss.
    fn users<'a>(layers: &'a Layers, weights: &'a Buffer<f32>) -> UserRows<'a>;
}

/// Steps recorded into one submission: each is heavy, and a driver's watchdog wants to see an end.
const STEPS_A_SUBMISSION: u32 = 8;

/// A model of these tables, which knows no history yet; errors name `op`.
pub(super) fn build<P: Propagation>(
    op: &'static str,
    (options, propagation): (TrainingOptions, P),
    mut embeddings: Embeddings,
) -> Result<GraphModel<P>> {
    let trainer = Trainer::new(op, options, &mut embeddings)?;
    let graph = Graph::new(embeddings.device(), &UserItems::new(0, [])?, 0, propagation.normalisation())?;
    Ok(GraphModel { embeddings, trainer, graph: Arc::new(graph), dense: RwLock::default(), propagation })
}

impl<P> GraphModel<P> {
    /// All parts, the dense rows for the tables as they are among them.
    fn parts(&mut self) -> Result<Parts<'_, P>> {
        let Self { propagation, trainer, embeddings: tables, graph, dense } = self;
        let Dense { layers, outputs } = dense.get_mut().unwrap_or_else(PoisonError::into_inner);
        let layers = match layers {
            Some(layers) => layers,
            none => none.insert(Layers::new(graph, tables)?),
        };
        Ok(Parts { propagation, trainer, tables, graph, layers, outputs })
    }

    fn read_dense(&self) -> RwLockReadGuard<'_, Dense> {
        self.dense.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The dense rows of a model with the outputs of the rows as they are. They stay so as long as the model is shared.
fn outputs<P: Propagation>(model: &GraphModel<P>) -> Result<RwLockReadGuard<'_, Dense>> {
    let dense = model.read_dense();
    if dense.outputs {
        return Ok(dense);
    }
    drop(dense);
    let mut dense = model.dense.write().unwrap_or_else(PoisonError::into_inner);
    // Another thread may have been quicker.
    if !dense.outputs {
        let (tables, graph) = (&model.embeddings, &model.graph);
        let layers = match &mut dense.layers {
            Some(layers) => layers,
            none => none.insert(Layers::new(graph, tables)?),
        };
        let mut commands = tables.device().commands();
        model.propagation.record_outputs(&mut commands, graph, layers, tables)?;
        commands.submit()?;
        dense.outputs = true;
    }
    drop(dense);
    Ok(model.read_dense())
}

/// A model taken apart, its layers ready.
struct Parts<'a, P> {
    propagation: &'a P,
    trainer: &'a mut Trainer,
    tables: &'a mut Embeddings,
    graph: &'a Graph,
    layers: &'a mut Layers,
    outputs: &'a mut bool,
}

/// All that a step reads and writes.
pub(super) struct Step<'a, P> {
    pub options: &'a TrainingOptions,
    pub propagation: &'a P,
    pub set: &'a TrainingSet,
    pub clock: &'a mut Clock,
    pub graph: &'a Graph,
    pub layers: &'a mut Layers,
    pub tables: &'a mut Embeddings,
    pub scratch: &'a mut Scratch,
}

impl<P: Propagation> Step<'_, P> {
    pub fn record(&mut self, commands: &mut Commands) -> Result<()> {
        let Self { options, propagation, set, clock, graph, layers, tables, scratch } = self;
        let &TrainingOptions { batch, l2, item_bias, .. } = *options;
        let Scratch { batch: own, ones, weights } = scratch;
        clock.record_triples(commands, (set, options), &mut own.triples)?;
        propagation.record_outputs(commands, graph, layers, tables)?;
        let [user_dims, item_dims] = own.dims;
        commands.run(Bpr {
            triples: &own.triples,
            users: P::users(layers, weights),
            items: P::items(layers, tables),
            item_bias: item_bias.in_training(),
            l2: if P::LOSS_READS_ITEMS { l2 } else { 0.0 },
            l2_bias: 0.0,
            user_dims,
            item_dims,
            loss: &mut own.loss,
            user_gradients: &mut own.user_gradients,
            item_gradients: &mut own.item_gradients,
            workspace: &mut own.workspace,
        })?;
        let decay = 2.0 * l2 / batch as f32;
        let (triples, workspace) = (&own.triples, &mut own.workspace);
        let ([user_ones, item_ones], [user_counter, item_counter]) = (ones, &mut own.counters);
        let (decays_users, decays_items) = (decay > 0.0, decay > 0.0 && !P::LOSS_READS_ITEMS);
        for (side, first, count, gradients, ones, decays, counter) in [
            (&mut layers.users, 0, batch, &own.user_gradients, user_ones, decays_users, user_counter),
            (&mut layers.items, batch, 2 * batch, &own.item_gradients, item_ones, decays_items, item_counter),
        ] {
            commands.clear(side.layer.dense_mut())?;
            let (rows, dims) = (&mut side.layer, side.width);
            let sum = Scatter { rows, ids: triples, first, count, gradients, dims, factor: 1.0 };
            sum.record(commands, workspace, counter)?;
            if decays {
                commands.clear(side.weights.dense_mut())?;
                let (rows, gradients) = (&mut side.weights, ones);
                let sum = Scatter { rows, ids: triples, first, count, gradients, dims: 1, factor: decay };
                sum.record(commands, workspace, counter)?;
            }
        }
        propagation.record_gradients(commands, graph, layers)?;
        if decays_users {
            layers.record_user_decay(commands, tables)?;
        }
        if decays_items {
            layers.record_item_decay(commands, tables)?;
        }
        clock.set_rate(options, tables)?;
        let TablesMut { users, items } = tables.tables_mut();
        for (mut table, side) in [(users, &layers.users), (items, &layers.items)] {
            table.record_update_all(commands, side.sum.as_dense(), side.width)?;
        }
        clock.tick();
        Ok(())
    }
}

/// Buffers of a batch, what counts the occurrences of users and of items in it, and weights of users.
pub(super) struct Scratch {
    pub batch: Batch,
    ones: [Buffer<f32>; 2],
    weights: Buffer<f32>,
}

impl Scratch {
    pub fn new<P: Propagation>(
        options: &TrainingOptions,
        propagation: &P,
        layers: &Layers,
        tables: &Embeddings,
    ) -> Result<Self> {
        let (device, batch) = (tables.device(), options.batch);
        let ones = |count: u32| Buffer::from_vec(device, vec![1.0; count as usize]);
        let weights = Buffer::from_vec(device, propagation.user_weights(tables.users().rows()))?;
        let rows = (P::users(layers, &weights), P::items(layers, tables));
        Ok(Self {
            batch: Batch::new(device, batch, [layers.users.width, layers.items.width], rows)?,
            ones: [ones(batch)?, ones(if P::LOSS_READS_ITEMS { 0 } else { 2 * batch })?],
            weights,
        })
    }

    fn bytes(&self) -> u64 {
        let ones = self.ones.iter().map(Buffer::size_bytes).sum::<u64>();
        self.batch.bytes() + ones + self.weights.size_bytes()
    }
}

impl<P: Propagation> Recommender for GraphModel<P> {
    fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    fn embeddings_mut(&mut self) -> &mut Embeddings {
        // Sizes or values may change.
        self.dense = RwLock::default();
        &mut self.embeddings
    }

    fn item_bias(&self) -> ItemBias {
        self.trainer.options.item_bias
    }

    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>> {
        Ok(Box::new(Self {
            propagation: self.propagation.clone(),
            trainer: self.trainer.duplicate(),
            embeddings: self.embeddings.duplicate(account)?,
            graph: self.graph.clone(),
            dense: RwLock::default(),
        }))
    }

    fn save(&self) -> Result<State> {
        self.trainer.save(&self.embeddings)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.dense = RwLock::default();
        let Self { trainer, embeddings, .. } = self;
        trainer.restore(embeddings, state)
    }

    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
        let device = self.embeddings.device();
        // The old rows, layers and graph go before the new ones come.
        self.trainer.set = None;
        self.dense = RwLock::default();
        let (items, normalisation) = (self.embeddings.items().rows(), self.propagation.normalisation());
        self.graph = Arc::new(Graph::new(device, data.history, items, normalisation)?);
        self.propagation.learn_history(data.history);
        self.trainer.prepare(device, data)
    }

    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32> {
        if self.trainer.set.is_none() {
            return Ok(0.0);
        }
        let Parts { propagation, trainer, tables, graph, layers, outputs } = self.parts()?;
        let Trainer { options, set: Some(set), clock, scratch_bytes } = trainer else { return Ok(0.0) };
        *outputs = false;
        let mut scratch = Scratch::new(options, propagation, layers, tables)?;
        *scratch_bytes = scratch.bytes();
        let device = tables.device().clone();
        let mut step = Step { options, propagation, set, clock, graph, layers, tables, scratch: &mut scratch };
        run_steps(&device, (steps, STEPS_A_SUBMISSION), progress, |commands| step.record(commands))?;
        scratch.batch.mean_loss(steps, tables)
    }

    fn rank(&self, request: RankRequest<'_>) -> Result<Rankings> {
        let dense = outputs(self)?;
        let (tables, layers) = (&self.embeddings, dense.layers.as_ref().expect("the layers of the outputs"));
        RankCandidates {
            users: &layers.users.sum,
            items: P::items(layers, tables),
            item_bias: tables.item_bias(),
            dims: layers.dims(),
            request,
            working_bytes: DEFAULT_WORKING_BYTES,
        }
        .run(tables.device())
    }

    /// Graph, dense rows, the segment's rows, and what the last training had for scratch.
    fn working_bytes(&self) -> u64 {
        self.graph.bytes() + self.layer_bytes() + self.trainer.bytes()
    }

    fn layer_bytes(&self) -> u64 {
        self.read_dense().layers.as_ref().map_or(0, Layers::bytes)
    }
}
