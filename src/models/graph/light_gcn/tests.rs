use super::*;
use crate::device::Device;
use crate::models::graph::testing::{observe_step, width_of};
use crate::models::testing::{
    LEARNED, Rows, World, assert_bears_nothing_to_learn, assert_finds_tastes, assert_is_gradient, assert_near,
    assert_near_column, assert_survives_a_resize, dot, prepare, softplus, values,
};
use crate::models::{ItemBias, Recommender, Sampling};
use crate::rows::Layout;
use crate::table::Account;
use crate::testing::{assert_same, devices, layouts};

/// A small world and how it is learned.
#[derive(Clone)]
struct Case {
    world: World,
    layers: u32,
    item_bias: bool,
    batch: u32,
    l2: f32,
    layout: Layout,
}

impl Case {
    fn new(users: u32, items: u32, layers: u32, item_bias: bool) -> Self {
        Self { world: World::new(users, items), layers, item_bias, batch: 64, l2: 0.05, layout: Layout::default() }
    }

    fn options(&self) -> LightGcnOptions {
        let Self { layers, batch, l2, layout, .. } = *self;
        let item_bias = if self.item_bias { LEARNED } else { ItemBias::None };
        let default = LightGcnOptions::default().training;
        let training = TrainingOptions { item_bias, sampling: Sampling::Users, batch, l2, seed: 3, layout, ..default };
        let training = TrainingOptions { user_init_std: 0.5, item_init_std: 0.5, ..training };
        LightGcnOptions { training, layers }
    }

    fn model(&self, device: &Device) -> LightGcn {
        let mut model = LightGcn::new(device, self.options(), &Account::unlimited()).unwrap();
        self.world.resize(&mut model);
        prepare(&mut model, &self.world.history, &self.world.history);
        model
    }
}

/// The normalised adjacency as a dense matrix, from the definition.
fn adjacency(world: &World) -> Vec<Vec<f64>> {
    let users = world.sizes[0].len();
    let n = users + world.sizes[1].len();
    let mut matrix = vec![vec![0.0; n]; n];
    for (u, i) in world.history.pairs() {
        let (u, i) = (u as usize, users + i as usize);
        (matrix[u][i], matrix[i][u]) = (1.0, 1.0);
    }
    let degrees: Vec<f64> = matrix.iter().map(|row| row.iter().sum()).collect();
    for r in 0..n {
        for c in 0..n {
            if matrix[r][c] > 0.0 {
                matrix[r][c] = 1.0 / (degrees[r] * degrees[c]).sqrt();
            }
        }
    }
    matrix
}

fn mean_of_powers(matrix: &[Vec<f64>], layers: u32, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut layer = rows.to_vec();
    let mut sum = rows.to_vec();
    for _ in 0..layers {
        let mut next = vec![vec![0.0; rows[0].len()]; rows.len()];
        for (next, weights) in next.iter_mut().zip(matrix) {
            for (weight, row) in weights.iter().zip(&layer).filter(|(weight, _)| **weight != 0.0) {
                next.iter_mut().zip(row).for_each(|(n, x)| *n += weight * x);
            }
        }
        layer = next;
        sum.iter_mut().flatten().zip(layer.iter().flatten()).for_each(|(s, l)| *s += l);
    }
    sum.iter_mut().flatten().for_each(|s| *s /= f64::from(layers + 1));
    sum
}

/// The loss of a batch, from its definition.
fn loss(case: &Case, matrix: &[Vec<f64>], rows: &Rows, triples: &[[u32; 3]]) -> f64 {
    let outputs = mean_of_powers(matrix, case.layers, &rows.values);
    let mut sum = 0.0;
    for &[u, p, n] in triples {
        let nodes = [u as usize, rows.users + p as usize, rows.users.saturating_add(n as usize)];
        for node in nodes.into_iter().filter(|&node| node < rows.values.len()) {
            sum += f64::from(case.l2) * dot(&rows.values[node], &rows.values[node]);
        }
        if n != u32::MAX {
            let [user, positive, negative] = nodes.map(|node| &outputs[node]);
            let x = dot(user, positive) - dot(user, negative) + rows.biases[p as usize] - rows.biases[n as usize];
            sum += softplus(-x);
        }
    }
    sum / triples.len() as f64
}

/// The gradient of `loss` with regard to the rows and the biases.
fn gradient(case: &Case, matrix: &[Vec<f64>], rows: &Rows, triples: &[[u32; 3]]) -> Rows {
    let outputs = mean_of_powers(matrix, case.layers, &rows.values);
    let scale = 1.0 / triples.len() as f64;
    let mut of_outputs = vec![vec![0.0; rows.values[0].len()]; rows.values.len()];
    let mut own = of_outputs.clone();
    let mut biases = vec![0.0; rows.biases.len()];
    for &[u, p, n] in triples {
        let nodes = [u as usize, rows.users + p as usize, rows.users.saturating_add(n as usize)];
        for node in nodes.into_iter().filter(|&node| node < rows.values.len()) {
            let decay = 2.0 * f64::from(case.l2) * scale;
            own[node].iter_mut().zip(&rows.values[node]).for_each(|(g, e)| *g += decay * e);
        }
        if n == u32::MAX {
            continue;
        }
        let [u, p, n] = nodes;
        let (bp, bn) = (p - rows.users, n - rows.users);
        let x = dot(&outputs[u], &outputs[p]) - dot(&outputs[u], &outputs[n]) + rows.biases[bp] - rows.biases[bn];
        let pull = scale / (1.0 + x.exp());
        biases[bp] -= pull;
        biases[bn] += pull;
        for j in 0..outputs[u].len() {
            of_outputs[u][j] -= pull * (outputs[p][j] - outputs[n][j]);
            of_outputs[p][j] -= pull * outputs[u][j];
            of_outputs[n][j] += pull * outputs[u][j];
        }
    }
    let mut values = mean_of_powers(matrix, case.layers, &of_outputs);
    values.iter_mut().flatten().zip(own.iter().flatten()).for_each(|(g, own)| *g += own);
    Rows { values, biases, users: rows.users }
}

#[test]
fn outputs_and_gradients_match_the_dense_oracle() {
    for device in devices() {
        let [_, pages, _, _, halves, ..] = layouts(16);
        let plain = Layout::default();
        for (users, items, layout) in
            [(1, 2, plain), (9, 5, plain), (40, 170, plain), (90, 33, plain), (40, 170, pages), (9, 25, halves)]
        {
            for (layers, item_bias) in [(0, true), (1, false), (2, true), (3, true), (3, false), (4, true)] {
                let case = Case { layout, ..Case::new(users, items, layers, item_bias) };
                let what = format!("{users} users, {items} items, {layers} layers, {}", device.describe());
                let mut model = case.model(&device);
                // Untrained biases are zero: give them values.
                model.train(2, &mut |_| {}).unwrap();
                let width = width_of(&model);
                let rows = Rows::of(model.embeddings(), width);
                let step = observe_step(&mut model);
                let matrix = adjacency(&case.world);
                assert_eq!(step.width, width);
                assert_near(&what, &step.outputs, &mean_of_powers(&matrix, layers, &rows.values), 1e-5);
                let want = gradient(&case, &matrix, &rows, &step.triples);
                assert_near(&format!("gradient, {what}"), &step.gradients, &want.values, 2e-5);
                let biases = &want.biases[..step.biases.len()];
                assert_near_column(&format!("biases, {what}"), &step.biases, biases, 2e-5);
                let plain = loss(&Case { l2: 0.0, ..case.clone() }, &matrix, &rows, &step.triples);
                assert!((f64::from(step.loss) - plain).abs() <= 1e-5 * plain, "{what}: {} {plain}", step.loss);
            }
        }
    }
}

#[test]
fn the_oracle_gradient_is_that_of_the_loss() {
    for (layers, item_bias) in [(0, false), (3, true)] {
        let case = Case { batch: 20, ..Case::new(12, 9, layers, item_bias) };
        let mut model = case.model(&Device::cpu());
        let rows = Rows::of(model.embeddings(), 16);
        let triples = observe_step(&mut model).triples;
        let matrix = adjacency(&case.world);
        let want = gradient(&case, &matrix, &rows, &triples);
        assert_is_gradient(&rows, &want, &|rows| loss(&case, &matrix, rows, &triples));
    }
}

#[test]
fn the_same_bits_twice_and_near_on_every_device() {
    let case = Case::new(60, 40, 3, true);
    let trained = |device: &Device| {
        let mut model = case.model(device);
        let loss = model.train(10, &mut |_| {}).unwrap();
        (values(&model), loss)
    };
    let cpu = trained(&Device::cpu());
    for device in devices() {
        let (a, b) = (trained(&device), trained(&device));
        assert_same(&device.describe(), &a.0, &b.0);
        assert_eq!(a.1.to_bits(), b.1.to_bits());
        assert!((a.1 - cpu.1).abs() < 1e-3, "{}: {} {}", device.describe(), a.1, cpu.1);
        // Adam turns a gradient's sign into a step: one that is nearly zero may go either way.
        let far = a.0.iter().zip(&cpu.0).filter(|(a, b)| (*a - *b).abs() > 1e-3).count();
        assert!(far * 100 <= a.0.len(), "{}: {far} of {} values", device.describe(), a.0.len());
    }
}

#[test]
fn training_finds_planted_tastes() {
    for device in devices() {
        let mut options = LightGcnOptions::default();
        let (batch, sampling) = (256, Sampling::Users);
        options.training = TrainingOptions { batch, item_bias: LEARNED, sampling, ..options.training };
        let mut model = LightGcn::new(&device, options, &Account::unlimited()).unwrap();
        assert_finds_tastes(&device.describe(), &mut model);
    }
}

#[test]
fn a_resize_keeps_what_survives_and_newcomers_rank() {
    for device in devices() {
        let case = Case::new(20, 16, 3, true);
        let mut model = case.model(&device);
        model.train(5, &mut |_| {}).unwrap();
        // The graph does not know the newcomers: their outputs are a fourth of their rows.
        assert_survives_a_resize(&mut model, &case.world, &|world, rows, user| {
            let outputs = mean_of_powers(&adjacency(world), 3, &rows.values);
            let (users, items) = outputs.split_at(rows.users);
            items.iter().zip(&rows.biases).map(|(item, bias)| bias + dot(&users[user], item)).collect()
        });
    }
}

#[test]
fn nothing_to_learn_and_users_who_know_everything() {
    for device in devices() {
        let case = Case::new(20, 16, 2, true);
        let mut model = LightGcn::new(&device, case.options(), &Account::unlimited()).unwrap();
        assert_bears_nothing_to_learn(&mut model, &case.world);
    }
}

#[test]
fn options_outside_their_domain_are_errors() {
    let message = |options| LightGcn::new(&Device::cpu(), options, &Account::unlimited()).unwrap_err().to_string();
    let good = LightGcnOptions::default();
    assert!(message(LightGcnOptions { layers: 17, ..good }).contains("`layers` must be at most 16"));
}
