//! Factored item similarity on ragged rows: a user is what the user took.

use std::sync::Arc;

use super::propagation::{Graph, Layers};
use super::training::{Batch, MAX_BATCH, Scatter, run_steps};
use super::{
    DEFAULT_WORKING_BYTES, Embeddings, EmbeddingsOptions, ItemBias, Normalisation, RankCandidates, RankRequest,
    Rankings, Recommender, Sampling, TrainingData, TrainingSet,
};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Commands, Device};
use crate::kernels::rank::bpr::{Bpr, UserRows};
use crate::kernels::table::update::{Optimizer, UpdateRule};
use crate::rows::Layout;
use crate::stream::UserItems;
use crate::table::Account;

/// How [`Fism`] learns. The defaults were chosen on the last training rows of each segment of MovieTweetings 100K and of the UCI
/// Online Retail purchases, one set for both.
#[derive(Clone, Copy, Debug)]
pub struct FismOptions {
    /// How fast a user's items count less as there are more of them: the exponent a (default 0.7; 0 sums, 1 averages).
    pub exponent: f64,
    /// How rows move (default: Adagrad at 0.3 with an epsilon of 1e-3).
    pub rule: UpdateRule,
    /// Triples a step (default 2,048).
    pub batch: u32,
    /// Weight of the squared rows of a triple's user, positive and negative (default 0.015).
    pub l2: f32,
    /// Whether an item row begins with a bias, one more parameter an item, and where it comes from (default: counted).
    pub item_bias: ItemBias,
    /// How triples are drawn (default: rows of the log, negatives from at most 20,000 rows before or after).
    pub sampling: Sampling,
    /// Standard deviation of new values in user rows (default 0.01: they only correct what the items say).
    pub user_init_std: f32,
    /// Standard deviation of new values in item rows (default 0.1: a product of two of them begins to learn sooner).
    pub item_init_std: f32,
    /// Seed of the triples and of new values (default 0).
    pub seed: u64,
    /// How the rows of both tables lie in memory (default: f32, packed).
    pub layout: Layout,
}

impl Default for FismOptions {
    fn default() -> Self {
        Self {
            exponent: 0.7,
            rule: Optimizer::Adagrad { learning_rate: 0.3, epsilon: 1e-3 }.into(),
            batch: 2048,
            l2: 0.015,
            item_bias: ItemBias::default(),
            sampling: Sampling::Log { window: 20_000 },
            user_init_std: 0.01,
            item_init_std: 0.1,
            seed: 0,
            layout: Layout::default(),
        }
    }
}

/// Scores `b_i + <o_u, e_i>` with `o_u = e_u + |H_u|^-a * sum of e_j over j in H_u`, H_u the items that the user ever touched:
/// rows of one item table serve both sides, and a user's own row may be as small as the budget likes.
///
/// The loss of a triple is `softplus(s_n - s_p) + l2 * (|e_u|^2 + |e_p|^2 + |e_n|^2)`, its scores taken with o_u without the positive:
/// an item must not predict itself. The gradient is exact: that of o_u, summed over the user's triples, goes to the user's own row
/// and, weighted, to every item of the history. The optimizer then steps all rows of both tables.
///
/// A user without a history has `o_u = e_u`. A triple without a negative has no loss, but the user's own row is still pulled to
/// zero by `l2`. That a positive is among its user's history is the caller's part ([`TrainingData`]).
///
/// # Cost
/// A step is two products of the history with `[users or items, W]`, W the widest row (up to a multiple of 8), forward from the ragged
/// items. Held besides the tables, with n users and items, z interactions and batch B: `12 n W` bytes of dense rows, `16 z` of the
/// history, about `20 n + 12 B (W + 3)` of scratch, and the training set.
///
/// Source: Kabbur, Ning and Karypis, "FISM: Factored item similarity models for top-N recommender systems", KDD 2013, with one
/// item table for both sides and a user row as in Koren, "Factorization meets the neighborhood", KDD 2008; `docs/method.md` section 5.
#[derive(Debug)]
pub struct Fism {
    options: FismOptions,
    embeddings: Embeddings,
    set: Option<TrainingSet>,
    graph: Arc<Graph>,
    /// `|H_u|^-a` of each user that the graph knows.
    weights: Arc<Vec<f32>>,
    layers: Option<Layers>,
    /// Whether `sum` of the layers holds the outputs of the rows as they are.
    outputs: bool,
    step: u32,
    scratch_bytes: u64,
}

/// Steps recorded into one submission: each is heavy, and a driver's watchdog wants to see an end.
const STEPS_A_SUBMISSION: u32 = 8;

impl Fism {
    /// A model without rows. Both tables draw from `account`.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain;
    /// [`Error::OverBudget`](crate::Error::OverBudget) for an account with no room at all.
    pub fn new(device: &Device, options: FismOptions, account: &Account) -> Result<Self> {
        let op = "Fism::new";
        let FismOptions { exponent, rule, batch, l2, item_bias, user_init_std, item_init_std, seed, layout, .. } =
            options;
        check::domain(op, "exponent", exponent, (0.0..=1.0).contains(&exponent), "from 0 to 1")?;
        check::domain(op, "batch", batch, (1..=MAX_BATCH).contains(&batch), &format!("from 1 to {MAX_BATCH}"))?;
        for (arg, value) in [("l2", l2), ("user_init_std", user_init_std), ("item_init_std", item_init_std)] {
            check::domain(op, arg, value, value.is_finite() && value >= 0.0, "finite and not negative")?;
        }
        let init_std = [user_init_std, item_init_std];
        let tables = EmbeddingsOptions { rule, init_std, item_bias: item_bias.exists(), seed, layout };
        let nothing = UserItems::new(0, [])?;
        Ok(Self {
            options,
            embeddings: Embeddings::new(device, tables, account)?,
            set: None,
            graph: Arc::new(Graph::new(device, &nothing, 0, Normalisation::User { exponent })?),
            weights: Arc::default(),
            layers: None,
            outputs: false,
            step: 0,
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
        let FismOptions { batch, seed, l2, item_bias, .. } = self.options;
        let Scratch { batch: own, ones, weights } = scratch;
        set.record_triples(commands, self.step, seed, &mut own.triples)?;
        layers.record_history(commands, &self.graph, &self.embeddings)?;
        let (users, items) = (&mut layers.users, &mut layers.items);
        commands.run(Bpr {
            triples: &own.triples,
            users: UserRows::History { values: users.sum.as_dense(), weights },
            items: self.embeddings.items().as_rows(),
            item_bias: item_bias.in_training(),
            l2,
            l2_bias: 0.0,
            user_dims: users.width,
            item_dims: items.width,
            loss: &mut own.loss,
            user_gradients: &mut own.user_gradients,
            item_gradients: &mut own.item_gradients,
            workspace: &mut own.workspace,
        })?;
        let (triples, workspace) = (&own.triples, &mut own.workspace);
        for (side, first, count, gradients) in
            [(&mut *users, 0, batch, &own.user_gradients), (items, batch, 2 * batch, &own.item_gradients)]
        {
            commands.clear(side.layer.dense_mut())?;
            let (rows, dims) = (&mut side.layer, side.width);
            let sum = Scatter { rows, ids: triples, first, count, gradients, dims, factor: 1.0 };
            sum.record(commands, workspace, &mut own.counter)?;
        }
        // Item rows are decayed with their triples; a user's own row is only a part of the output.
        commands.clear(users.weights.dense_mut())?;
        let (rows, factor) = (&mut users.weights, 2.0 * l2 / batch as f32);
        let count = Scatter { rows, ids: triples, first: 0, count: batch, gradients: ones, dims: 1, factor };
        count.record(commands, workspace, &mut own.counter)?;
        layers.record_history_gradients(commands, &self.graph)?;
        layers.record_user_decay(commands, &self.embeddings)?;
        let (users, items) = self.embeddings.tables_mut();
        users.record_update_all(commands, layers.users.sum.as_dense(), layers.users.width)?;
        items.record_update_all(commands, layers.items.sum.as_dense(), layers.items.width)?;
        self.step += 1;
        Ok(())
    }
}

impl Recommender for Fism {
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
            weights: self.weights.clone(),
            layers: None,
            outputs: false,
            step: self.step,
            scratch_bytes: 0,
        }))
    }

    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
        let device = self.embeddings.device();
        // The old graph goes before the new one comes.
        (self.set, self.layers, self.outputs) = (None, None, false);
        let normalisation = Normalisation::User { exponent: self.options.exponent };
        self.graph = Arc::new(Graph::new(device, data.history, self.embeddings.items().rows(), normalisation)?);
        let weight = |taken: usize| if taken == 0 { 0.0 } else { normalisation.weight(taken as u32, 0) };
        self.weights = Arc::new(data.history.offsets().windows(2).map(|w| weight((w[1] - w[0]) as usize)).collect());
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
            layers.record_history(&mut commands, &self.graph, &self.embeddings)?;
            commands.submit()?;
            self.outputs = true;
        }
        let rankings = RankCandidates {
            users: &layers.users.sum,
            items: self.embeddings.items().as_rows(),
            item_bias: self.embeddings.item_bias(),
            dims: layers.dims(),
            request,
            working_bytes: DEFAULT_WORKING_BYTES,
        }
        .run(&device);
        self.layers = Some(layers);
        rankings
    }

    /// History, dense rows, training set, and what the last training had for scratch.
    fn working_bytes(&self) -> u64 {
        let set = self.set.as_ref().map_or(0, TrainingSet::bytes);
        self.graph.bytes() + self.layer_bytes() + set + self.scratch_bytes
    }

    fn layer_bytes(&self) -> u64 {
        self.layers.as_ref().map_or(0, Layers::bytes)
    }
}

/// Buffers of a batch, what counts the occurrences of users in it, and the weights of their histories.
struct Scratch {
    batch: Batch,
    ones: Buffer<f32>,
    weights: Buffer<f32>,
}

impl Scratch {
    fn new(model: &Fism, layers: &Layers) -> Result<Self> {
        let (device, batch) = (model.embeddings.device(), model.options.batch);
        let mut weights = model.weights.to_vec();
        // Who is new since then has no history.
        weights.resize(model.embeddings.users().rows() as usize, 0.0);
        let (users, items) = (&layers.users, &layers.items);
        let weights = Buffer::from_vec(device, weights)?;
        let rows = UserRows::History { values: users.sum.as_dense(), weights: &weights };
        let rows = (rows, model.embeddings.items().as_rows());
        Ok(Self {
            batch: Batch::new(device, batch, [users.width, items.width], rows)?,
            ones: Buffer::from_vec(device, vec![1.0; batch as usize])?,
            weights,
        })
    }

    fn bytes(&self) -> u64 {
        self.batch.bytes() + self.ones.size_bytes() + self.weights.size_bytes()
    }
}

#[cfg(test)]
mod tests;
