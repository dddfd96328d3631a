//! Factored item similarity on ragged rows: a user is what the user took.

use std::sync::Arc;

use super::Normalisation;
use super::layers::{Graph, Layers};
use super::model::GraphModel;
use super::propagation::{Propagation, PropagationSteps};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Commands};
use crate::kernels::rank::bpr::UserRows;
use crate::kernels::table::update::Optimizer;
use crate::models::{Embeddings, Sampling, TrainingOptions};
use crate::rows::Rows;
use crate::stream::UserItems;

/// How [`Fism`] learns. The defaults were chosen on the last training rows of each segment of MovieTweetings 100K and
/// of the UCI Online Retail purchases, one set for both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FismOptions {
    /// What all models have. Defaults of this one: Adagrad at 0.3 with an epsilon of 1e-3; 2,048 triples a step,
    /// negatives from at most 20,000 rows before or after; `l2` 0.015; new values at 0.01 in user rows, which only
    /// correct what the items say, and at 0.1 in item rows, since a product of two of them begins to learn sooner.
    pub training: TrainingOptions,
    /// How fast a user's items count less as there are more of them: the exponent a (default 0.7; 0 sums, 1 averages).
    pub exponent: f64,
}

impl Default for FismOptions {
    fn default() -> Self {
        let rule = Optimizer::Adagrad { learning_rate: 0.3, epsilon: 1e-3 }.into();
        let training = TrainingOptions {
            sampling: Sampling::Log { window: 20_000 },
            item_init_std: 0.1,
            ..TrainingOptions::usual(rule, 2048, 0.015)
        };
        Self { training, exponent: 0.7 }
    }
}

impl FismOptions {
    /// That its own numbers are within their domain.
    pub(in crate::models) fn check(&self, op: &'static str) -> Result<()> {
        check::domain(op, "exponent", self.exponent, (0.0..=1.0).contains(&self.exponent), "from 0 to 1")
    }
}

/// Scores `b_i + <o_u, e_i>` with `o_u = e_u + |H_u|^-a * sum of e_j over j in H_u`, H_u the items that the user ever
/// touched: rows of one item table serve both sides, and a user's own row may be as small as the budget likes.
///
/// The loss of a triple is `softplus(s_n - s_p) + l2 * (|e_u|^2 + |e_p|^2 + |e_n|^2)`, its scores taken with o_u
/// without the positive: an item must not predict itself. The gradient is exact: that of o_u, summed over the user's
/// triples, goes to the user's own row and, weighted, to every item of the history. The optimizer then steps all rows
/// of both tables.
///
/// A user without a history has `o_u = e_u`. A triple without a negative has no loss, but the user's own row is still
/// pulled to zero by `l2`. That a positive is among its user's history is the caller's part
/// ([`TrainingData`](crate::models::TrainingData)).
///
/// # Cost
/// A step is two products of the history with `[users or items, W]`, W the widest row (up to a multiple of 8), forward
/// from the ragged items. Held next to the tables, with n users and items, z interactions and batch B: `12 n W` bytes
/// of dense rows, `16 z` of the history, about `20 n + 12 B (W + 3)` of scratch, and the training set.
///
/// # Example
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::models::{Fism, FismOptions, RankRequest, Recommender, TrainingData};
/// use scall_gpu::sizing::Sizes;
/// use scall_gpu::stream::UserItems;
/// use scall_gpu::table::Account;
/// # fn main() -> scall_gpu::Result<()> {
/// // Users 0 and 1 take the first two items, users 2 and 3 the last two.
/// let rows = [(0, 0), (0, 1), (1, 0), (2, 2), (2, 3), (3, 3)];
/// let history = UserItems::new(4, rows)?;
/// let mut model = Fism::new(&Device::cpu(), FismOptions::default(), &Account::unlimited())?;
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
/// Source: Kabbur, Ning and Karypis, "FISM: Factored item similarity models for top-N recommender systems", KDD 2013,
/// with one item table for both sides and a user row as in Koren, "Factorization meets the neighborhood", KDD 2008;
/// `docs/method.md` section 5.
pub type Fism = GraphModel<History>;

/// The propagation of [`Fism`]: a user's row and the weighted sum of the rows of the items in the user's history.
#[derive(Clone, Debug)]
pub struct History {
    exponent: f64,
    /// `|H_u|^-a` of each user that the graph knows.
    weights: Arc<Vec<f32>>,
}

impl Propagation for History {
    type Options = FismOptions;

    const NEW: &'static str = "Fism::new";
    const WITH_EMBEDDINGS: &'static str = "Fism::with_embeddings";

    fn training(options: &FismOptions) -> &TrainingOptions {
        &options.training
    }

    fn new(op: &'static str, options: &FismOptions) -> Result<Self> {
        options.check(op)?;
        Ok(Self { exponent: options.exponent, weights: Arc::default() })
    }

    fn normalisation(&self) -> Normalisation {
        Normalisation::User { exponent: self.exponent }
    }
}

impl PropagationSteps for History {
    const LOSS_READS_ITEMS: bool = true;

    fn layers(&self) -> u32 {
        1
    }

    fn learn_history(&mut self, history: &UserItems) {
        let normalisation = self.normalisation();
        let weight = |taken: usize| if taken == 0 { 0.0 } else { normalisation.weight(taken as u32, 0) };
        self.weights = Arc::new(history.offsets().windows(2).map(|w| weight((w[1] - w[0]) as usize)).collect());
    }

    fn user_weights(&self, users: u32) -> Vec<f32> {
        let mut weights = self.weights.to_vec();
        // Users who came later have no history.
        weights.resize(users as usize, 0.0);
        weights
    }

    fn record_outputs(
        &self,
        commands: &mut Commands,
        graph: &Graph,
        layers: &mut Layers,
        rows: &Embeddings,
    ) -> Result<()> {
        layers.record_history(commands, graph, rows)
    }

    fn record_gradients(&self, commands: &mut Commands, graph: &Graph, layers: &mut Layers) -> Result<()> {
        layers.record_history_gradients(commands, graph)
    }

    fn items<'a>(_: &'a Layers, rows: &'a Embeddings) -> &'a Rows {
        rows.items().as_rows()
    }

    fn users<'a>(layers: &'a Layers, weights: &'a Buffer<f32>) -> UserRows<'a> {
        UserRows::History { values: layers.users.sum.as_dense(), weights }
    }
}

#[cfg(test)]
mod tests;
