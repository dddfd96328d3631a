//! What models on the graph differ in.

use std::fmt::Debug;

use super::Normalisation;
use super::layers::{Graph, Layers};
use crate::Result;
use crate::device::{Buffer, Commands};
use crate::kernels::rank::bpr::UserRows;
use crate::models::{Embeddings, TrainingOptions};
use crate::rows::Rows;
use crate::stream::UserItems;

/// What a [`GraphModel`](super::GraphModel) has to know of its propagation to be made: [`History`](super::History) is
/// that of [`Fism`](super::Fism), [`MeanOfLayers`](super::MeanOfLayers) that of [`LightGcn`](super::LightGcn).
pub trait Propagation: Sized {
    /// How such a model learns.
    type Options;

    /// What errors of [`GraphModel::new`](super::GraphModel::new) name.
    const NEW: &'static str;

    /// What errors of [`GraphModel::with_embeddings`](super::GraphModel::with_embeddings) name.
    const WITH_EMBEDDINGS: &'static str;

    /// What all models have, of the options.
    fn training(options: &Self::Options) -> &TrainingOptions;

    /// The propagation that the options ask for, once their own numbers are checked; errors name `op`.
    fn new(op: &'static str, options: &Self::Options) -> Result<Self>;

    /// What an edge weighs.
    fn normalisation(&self) -> Normalisation;
}

/// The way from the rows to the outputs, and back.
pub(super) trait PropagationSteps: Propagation + Clone + Debug + Send + Sync + 'static {
    /// Whether the loss reads the rows of items themselves, and so decays them too. Else they are decayed as those of
    /// users are: by their occurrences in the batch, for `l2` weighs rows, not outputs.
    const LOSS_READS_ITEMS: bool;

    /// How often rows go over the graph, from users to items and from items to users.
    fn layers(&self) -> u32;

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
