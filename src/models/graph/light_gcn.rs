//! LightGCN on ragged rows: rows propagated over the graph of users and items, trained with BPR.

use super::Normalisation;
use super::layers::{Graph, Layers, Mean};
use super::model::GraphModel;
use super::propagation::{Propagation, PropagationSteps};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Commands};
use crate::kernels::rank::bpr::UserRows;
use crate::kernels::table::update::Optimizer;
use crate::models::{Embeddings, RateSchedule, TrainingOptions};
use crate::rows::Rows;

/// How [`LightGcn`] learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LightGcnOptions {
    /// What all models have. Defaults of this one: Adam, as its paper has it, at 0.03, falling as SCALL's does; 4,096
    /// triples a step, since propagation costs the same for any batch; `l2` 1e-3, between the 5e-4 and 2e-3 that rank
    /// best on the UCI Online Retail purchases (SCALL has 1e-4).
    pub training: TrainingOptions,
    /// Propagation steps K (default 3, `docs/method.md` section 5); 0 is matrix factorisation.
    pub layers: u32,
}

impl Default for LightGcnOptions {
    fn default() -> Self {
        let rule = Optimizer::Adam { learning_rate: 0.03, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }.into();
        let training = TrainingOptions { rate: RateSchedule::SCALL, ..TrainingOptions::usual(rule, 4096, 1e-3) };
        Self { training, layers: 3 }
    }
}

/// Most layers: far beyond what smooths all rows into one.
const MAX_LAYERS: u32 = 16;

impl LightGcnOptions {
    /// That its own numbers are within their domain.
    pub(in crate::models) fn check(&self, op: &'static str) -> Result<()> {
        check::domain(op, "layers", self.layers, self.layers <= MAX_LAYERS, &format!("at most {MAX_LAYERS}"))
    }
}

/// Scores `b_i + <o_u, o_i>` with the outputs `o = mean of E^0, A E^0, ..., A^K E^0`, where E^0 are the rows, missing
/// dims zero, and `A = D^-1/2 [[0, R], [R^T, 0]] D^-1/2` is the graph of the history. A bias is not propagated.
///
/// The loss of a batch is the mean of `softplus(s_n - s_p) + l2 * (|e_u|^2 + |e_p|^2 + |e_n|^2)` over its triples, e
/// the rows themselves. The gradient is exact, for A is symmetric: that of the outputs, summed over a row's
/// occurrences, is propagated like the rows were; then the optimizer steps every row, in the dims that it has.
///
/// A user or an item without edges has the output `E^0 / (K + 1)`. A triple whose user touched everything has no
/// negative and no loss; its rows are still pulled to zero by `l2`.
///
/// # Cost
/// A step is `2 K` products of the graph with `[users + items, W]`, W the widest row (up to a multiple of 8); the first
/// of them reads the ragged rows. On a CPU they are four fifths of a step. Held next to the tables, with n users and
/// items, z interactions and batch B: `12 n W` bytes of dense rows, `16 z` of the graph, about `20 n + 12 B (W + 3)` of
/// scratch, and the training set; a bias takes 12 an item more, and a GPU's sorts and long rows their workspace; there
/// the triples of up to 64 steps are drawn and sorted at once, 60 bytes each, 28 MB at most.
///
/// # Example
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::models::{LightGcn, LightGcnOptions, RankRequest, Recommender, TrainingData};
/// use scall_gpu::sizing::Sizes;
/// use scall_gpu::stream::UserItems;
/// use scall_gpu::table::Account;
/// # fn main() -> scall_gpu::Result<()> {
/// // Users 0 and 1 take the first two items, users 2 and 3 the last two.
/// let rows = [(0, 0), (0, 1), (1, 0), (2, 2), (2, 3), (3, 3)];
/// let history = UserItems::new(4, rows)?;
/// let mut model = LightGcn::new(&Device::cpu(), LightGcnOptions::default(), &Account::unlimited())?;
/// model.embeddings_mut().resize(&Sizes { users: vec![4; 4], items: vec![4, 2, 2, 4], action: None })?;
/// model.prepare(TrainingData { rows: &rows, history: &history, blocks: None })?;
/// let before = model.train(1, &mut |_| {})?;
/// assert!(model.train(100, &mut |_| {})? < before);
///
/// let excluded = |user| history.row(user); // what they have already
/// let request = RankRequest {
///     users: &[1, 3],
///     candidates: &[0, 1, 2, 3],
///     excluded: &excluded,
///     k: 1,
///     item_biases: None, scores: false,
/// };
/// let lists = model.rank(request)?;
/// assert_eq!((lists.user(0), lists.user(1)), (&[1][..], &[2][..])); // what the other user of the pair took
/// # Ok(()) }
/// ```
///
/// Source: He et al., "LightGCN: Simplifying and powering graph convolution network for recommendation", SIGIR 2020;
/// `docs/method.md` section 5.
pub type LightGcn = GraphModel<MeanOfLayers>;

/// The propagation of [`LightGcn`]: the mean of the rows and of what a number of steps over the graph make of them.
#[derive(Clone, Copy, Debug)]
pub struct MeanOfLayers {
    layers: u32,
}

impl Propagation for MeanOfLayers {
    type Options = LightGcnOptions;

    const NEW: &'static str = "LightGcn::new";
    const WITH_EMBEDDINGS: &'static str = "LightGcn::with_embeddings";

    fn training(options: &LightGcnOptions) -> &TrainingOptions {
        &options.training
    }

    fn new(op: &'static str, options: &LightGcnOptions) -> Result<Self> {
        options.check(op)?;
        Ok(Self { layers: options.layers })
    }

    fn normalisation(&self) -> Normalisation {
        Normalisation::Symmetric
    }
}

impl PropagationSteps for MeanOfLayers {
    const LOSS_READS_ITEMS: bool = false;

    fn layers(&self) -> u32 {
        self.layers
    }

    fn record_outputs(
        &self,
        commands: &mut Commands,
        graph: &Graph,
        layers: &mut Layers,
        rows: &Embeddings,
    ) -> Result<()> {
        layers.record_outputs(commands, Mean { graph, layers: self.layers }, rows)
    }

    fn record_gradients(&self, commands: &mut Commands, graph: &Graph, layers: &mut Layers) -> Result<()> {
        layers.record_gradients(commands, Mean { graph, layers: self.layers })
    }

    fn items<'a>(layers: &'a Layers, _: &'a Embeddings) -> &'a Rows {
        &layers.items.sum
    }

    fn users<'a>(layers: &'a Layers, _: &'a Buffer<f32>) -> UserRows<'a> {
        UserRows::Ragged(&layers.users.sum)
    }
}

#[cfg(test)]
mod tests;
