//! A step of training of a model on the graph, and what it has for scratch.

use super::layers::{Graph, Layers};
use super::propagation::PropagationSteps;
use crate::Result;
use crate::device::{Buffer, Commands, Device};
use crate::kernels::rank::bpr::Bpr;
use crate::kernels::rank::sides::{Side, UpdateSides};
use crate::kernels::table::update::Optimizer;
use crate::models::training::{Batch, Clock, Scatter, Steps, joint, plan};
use crate::models::{Embeddings, TablesMut, TrainingOptions, TrainingSet};
use crate::rows::Rows;

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

impl<P: PropagationSteps> Steps for Step<'_, P> {
    fn record(&mut self, commands: &mut Commands) -> Result<()> {
        let Self { options, propagation, set, clock, graph, layers, tables, scratch } = self;
        let &TrainingOptions { batch, l2, item_bias, .. } = *options;
        let Scratch { batch: own, ones, weights } = scratch;
        let first = own.record_triples(commands, clock, (set, options))?;
        propagation.record_outputs(commands, graph, layers, tables)?;
        let [user_dims, item_dims] = own.dims;
        commands.run(Bpr {
            triples: &own.triples,
            first,
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
        let (decays_users, decays_items) = (decay > 0.0, decay > 0.0 && !P::LOSS_READS_ITEMS);
        let decays = [decays_users, decays_items];
        match own.planned {
            Some(_) => record_planned_sums(commands, (own, ones), layers, (decay, decays))?,
            None => record_sums(commands, (own, ones), layers, (decay, decays))?,
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

    /// There and back, each layer reads a row for each edge and passes over the dense rows.
    fn bytes(&self) -> u64 {
        let Self { graph, layers, scratch, .. } = self;
        let layer = graph.bytes() / 8 * 4 * u64::from(layers.dims()) + layers.bytes();
        8 * scratch.step_bytes() + 2 * u64::from(self.propagation.layers()) * layer
    }

    fn batch(&self) -> &Batch {
        &self.scratch.batch
    }

    fn tables(&mut self) -> &mut Embeddings {
        self.tables
    }
}

/// Leaves in each side's `layer` the sums of the gradients of its occurrences, and in its `weights` the number of these
/// times `decay`, where it decays.
fn record_sums(
    commands: &mut Commands,
    (own, [user_ones, item_ones]): (&mut Batch, &[Buffer<f32>; 2]),
    layers: &mut Layers,
    (decay, [decays_users, decays_items]): (f32, [bool; 2]),
) -> Result<()> {
    let batch = own.loss.len() as u32;
    let (triples, workspace) = (&own.triples, &mut own.workspace);
    let [user_counter, item_counter] = &mut own.counters;
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
    Ok(())
}

/// The same of a planned step, both sides together.
fn record_planned_sums(
    commands: &mut Commands,
    (own, [user_ones, item_ones]): (&mut Batch, &[Buffer<f32>; 2]),
    layers: &mut Layers,
    (decay, decays): (f32, [bool; 2]),
) -> Result<()> {
    let Batch { user_gradients, item_gradients, planned, .. } = own;
    let planned = planned.as_mut().expect("steps that are planned");
    let Layers { users, items, .. } = layers;
    let mut sum = |commands: &mut Commands, [users, items]: [(&mut Rows, &Buffer<f32>, u32); 2], factor: f32| {
        let [users, items] =
            [users, items].map(|(rows, gradients, dims)| Side { rows, gradients, dims, step: 1, seed: 0 });
        commands.run(UpdateSides {
            users,
            items,
            plan: planned.plan,
            number: planned.next,
            order: &mut planned.order,
            rule: Optimizer::Sgd { learning_rate: -factor }.into(),
            counter: Some(&mut planned.counter),
        })
    };
    commands.clear(users.layer.dense_mut())?;
    commands.clear(items.layer.dense_mut())?;
    let of_users = (&mut users.layer, &*user_gradients, users.width);
    sum(commands, [of_users, (&mut items.layer, &*item_gradients, items.width)], 1.0)?;
    if decays.contains(&true) {
        // Weights of a side that does not decay are not read: their sums go on and on.
        for (side, decays) in [&mut *users, &mut *items].into_iter().zip(decays) {
            if decays {
                commands.clear(side.weights.dense_mut())?;
            }
        }
        sum(commands, [(&mut users.weights, user_ones, 1), (&mut items.weights, item_ones, 1)], decay)?;
    }
    planned.next += 1;
    Ok(())
}

/// Buffers of a batch, what counts the occurrences of users and of items in it, and weights of users.
pub(super) struct Scratch {
    pub batch: Batch,
    ones: [Buffer<f32>; 2],
    weights: Buffer<f32>,
}

impl Scratch {
    pub fn new<P: PropagationSteps>(
        (options, steps): (&TrainingOptions, u32),
        propagation: &P,
        layers: &Layers,
        tables: &Embeddings,
    ) -> Result<Self> {
        let (device, batch) = (tables.device(), options.batch);
        let weights = Buffer::from_vec(device, propagation.user_weights(tables.users().rows()))?;
        let rows = (P::users(layers, &weights), P::items(layers, tables));
        let dims = [layers.users.width, layers.items.width];
        let (own, ones) = match (device, plan(tables, options, steps, dims)) {
            (Device::Gpu(gpu), Some(plan)) => (Batch::planned(gpu, plan, dims, rows)?, joint(gpu, batch, [1, 1], 1.0)?),
            _ => {
                let ones = |count: u32| Buffer::from_vec(device, vec![1.0; count as usize]);
                let of_items = if P::LOSS_READS_ITEMS { 0 } else { 2 * batch };
                (Batch::new(device, batch, dims, rows)?, [ones(batch)?, ones(of_items)?])
            }
        };
        Ok(Self { batch: own, ones, weights })
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> u64 {
        let ones = self.ones.iter().map(Buffer::size_bytes).sum::<u64>();
        self.batch.bytes() + ones + self.weights.size_bytes()
    }

    /// Bytes of a step's part of them.
    fn step_bytes(&self) -> u64 {
        self.bytes() - self.batch.bytes() + self.batch.step_bytes()
    }
}
