//! What all models on the graph share: how they are made, their dense rows, training, ranking.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::layers::{Graph, Layers};
use super::propagation::{Propagation, PropagationSteps};
use super::step::{Scratch, Step};
use crate::Result;
use crate::device::Device;
use crate::file::State;
use crate::models::training::{Trainer, run_steps};
use crate::models::{
    DEFAULT_WORKING_BYTES, Embeddings, ItemBias, RankCandidates, RankRequest, Rankings, Recommender, TrainingData,
};
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

impl<P: Propagation> GraphModel<P> {
    /// A model without rows. Both tables draw from `account`.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain;
    /// [`Error::OverBudget`](crate::Error::OverBudget) for an account with no room at all.
    pub fn new(device: &Device, options: P::Options, account: &Account) -> Result<Self> {
        let op = P::NEW;
        let embeddings = P::training(&options).embeddings(op, device, account)?;
        Self::of(op, options, embeddings)
    }

    /// A model of tables that exist already, such as [loaded](Embeddings::from_tables) ones: it ranks as they are, and
    /// learns on. Until it is [prepared](Recommender::prepare) it knows no history. From here on they move by the rule
    /// of the options; what their optimizer remembers stays, and new rows begin as the tables' own options say.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain, and for tables that differ from
    /// what these ask for: in their optimizer, in how values lie in memory, in whether items have a bias.
    pub fn with_embeddings(options: P::Options, embeddings: Embeddings) -> Result<Self> {
        Self::of(P::WITH_EMBEDDINGS, options, embeddings)
    }

    /// The same; errors name `op`.
    fn of(op: &'static str, options: P::Options, mut embeddings: Embeddings) -> Result<Self> {
        let propagation = P::new(op, &options)?;
        let trainer = Trainer::new(op, *P::training(&options), &mut embeddings)?;
        let graph = Graph::new(embeddings.device(), &UserItems::new(0, [])?, 0, propagation.normalisation())?;
        Ok(Self { embeddings, trainer, graph: Arc::new(graph), dense: RwLock::default(), propagation })
    }
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
fn outputs<P: PropagationSteps>(model: &GraphModel<P>) -> Result<RwLockReadGuard<'_, Dense>> {
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

/// A ranking by outputs.
fn ranking<'a, 'r, P: PropagationSteps>(
    model: &'a GraphModel<P>,
    outputs: &'a Dense,
    request: RankRequest<'r>,
) -> RankCandidates<'a, 'r> {
    let (tables, layers) = (&model.embeddings, outputs.layers.as_ref().expect("the layers of the outputs"));
    RankCandidates {
        users: &layers.users.sum,
        items: P::items(layers, tables),
        item_bias: tables.item_bias(),
        dims: layers.dims(),
        request,
        working_bytes: DEFAULT_WORKING_BYTES,
    }
}

impl<P: PropagationSteps> Recommender for GraphModel<P> {
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

    fn l2(&self) -> Option<f32> {
        Some(self.trainer.options.l2)
    }

    fn set_l2(&mut self, l2: f32) {
        self.trainer.options.l2 = l2;
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
        let mut scratch = Scratch::new((options, steps), propagation, layers, tables)?;
        *scratch_bytes = scratch.bytes();
        let device = tables.device().clone();
        let mut step = Step { options, propagation, set, clock, graph, layers, tables, scratch: &mut scratch };
        run_steps(&device, steps, progress, &mut step)
    }

    fn rank(&self, request: RankRequest<'_>) -> Result<Rankings> {
        ranking(self, &*outputs(self)?, request).run(self.embeddings.device())
    }

    fn rank_both(&self, request: RankRequest<'_>, part: &[u32]) -> Result<[Rankings; 2]> {
        ranking(self, &*outputs(self)?, request).run_both(self.embeddings.device(), part)
    }

    /// Graph, dense rows, the segment's rows, and what the last training had for scratch.
    fn working_bytes(&self) -> u64 {
        self.graph.bytes() + self.layer_bytes() + self.trainer.bytes()
    }

    fn sample_bytes(&self) -> u64 {
        self.graph.bytes() + self.trainer.sample_bytes()
    }

    fn layer_bytes(&self) -> u64 {
        self.read_dense().layers.as_ref().map_or(0, Layers::bytes)
    }
}
