//! One step of a model on the graph, looked at before the optimizer moves anything.

use super::layers::Layers;
use super::model::GraphModel;
use super::propagation::PropagationSteps;
use super::step::{Scratch, Step};
use crate::models::testing::triples;
use crate::models::training::{Steps, Trainer};

/// Outputs, loss and gradients of one step.
pub(super) struct Observed {
    /// Users first.
    pub outputs: Vec<Vec<f32>>,
    pub gradients: Vec<Vec<f32>>,
    /// Gradients of the items' biases.
    pub biases: Vec<f32>,
    pub loss: f32,
    pub triples: Vec<[u32; 3]>,
    /// Width of a propagated row.
    pub width: usize,
}

/// Takes the next step of a prepared model.
pub(super) fn observe_step<P: PropagationSteps>(model: &mut GraphModel<P>) -> Observed {
    let GraphModel { propagation, trainer, embeddings: tables, graph, .. } = model;
    let device = tables.device().clone();
    let mut layers = Layers::new(graph, tables).unwrap();
    let mut commands = device.commands();
    propagation.record_outputs(&mut commands, graph, &mut layers, tables).unwrap();
    commands.submit().unwrap();
    let (outputs, biases) = split(&layers);
    assert_eq!(biases.len(), if tables.item_bias() { tables.items().rows() as usize } else { 0 });

    let Trainer { options, set: Some(set), clock, .. } = trainer else { panic!("the model is not prepared") };
    let mut scratch = Scratch::new((&*options, 1), propagation, &layers, tables).unwrap();
    let mut commands = device.commands();
    let (layers, scratch) = (&mut layers, &mut scratch);
    Step { options, propagation, set, clock, graph, layers, tables, scratch }.record(&mut commands).unwrap();
    commands.submit().unwrap();
    let (gradients, biases) = split(layers);
    let loss = scratch.batch.loss.read().unwrap().iter().sum::<f32>() / options.batch as f32;
    let (triples, width) = (triples(&scratch.batch.triples), layers.dims() as usize);
    Observed { outputs, gradients, biases, loss, triples, width }
}

/// Width of the rows that a model propagates.
pub(super) fn width_of<P>(model: &GraphModel<P>) -> usize {
    Layers::new(&model.graph, &model.embeddings).unwrap().dims() as usize
}

/// The dense rows of `sum`, users first, without the biases; and the biases.
fn split(layers: &Layers) -> (Vec<Vec<f32>>, Vec<f32>) {
    let (mut rows, mut biases) = (Vec::new(), Vec::new());
    for side in [&layers.users, &layers.items] {
        for row in side.sum.read().unwrap().chunks_exact(side.width as usize) {
            let (bias, row) = row.split_at(row.len() - layers.dims() as usize);
            biases.extend_from_slice(bias);
            rows.push(row.to_vec());
        }
    }
    (rows, biases)
}
