use super::*;
use crate::kernels::table::optimizer::Optimizer;
use crate::models::{ItemBias, Sampling};
use crate::rng::{Philox, Purpose};
use crate::sizing::Sizes;
use crate::testing::{assert_same, devices};

const LEARNED: ItemBias = ItemBias::Learned { keep: 0.0 };
use rand::Rng;

/// A small world: a history, row sizes, values.
#[derive(Clone)]
struct Case {
    history: UserItems,
    sizes: [Vec<u32>; 2],
    layers: u32,
    item_bias: bool,
    batch: u32,
    l2: f32,
}

impl Case {
    /// User 0 has every item (a hub), the last quarter of the users and items nothing; sizes from 0 to 9.
    fn new(users: u32, items: u32, layers: u32, item_bias: bool) -> Self {
        let mut rng = Philox::new(users.into(), Purpose::User);
        let mut pairs: Vec<(u32, u32)> = (0..items * 3 / 4).map(|item| (0, item)).collect();
        pairs.extend(
            (0..users * 4).map(|_| (rng.next_u32() % (users * 3 / 4).max(1), rng.next_u32() % (items * 3 / 4).max(1))),
        );
        let sizes = [users, items].map(|n| (0..n).map(|row| (row * 7 + n) % 10).collect());
        Self { history: UserItems::new(users, pairs).unwrap(), sizes, layers, item_bias, batch: 64, l2: 0.05 }
    }

    fn options(&self) -> LightGcnOptions {
        let Self { layers, batch, l2, .. } = *self;
        let item_bias = if self.item_bias { LEARNED } else { ItemBias::None };
        let sampling = Sampling::Users;
        LightGcnOptions { layers, item_bias, sampling, batch, l2, init_std: 0.5, seed: 3, ..LightGcnOptions::default() }
    }

    fn model(&self, device: &Device) -> LightGcn {
        let mut model = LightGcn::new(device, self.options(), &Account::unlimited()).unwrap();
        model.embeddings_mut().resize(&sizes(&self.sizes)).unwrap();
        prepare(&mut model, &self.history, &self.history);
        model
    }
}

fn prepare(model: &mut LightGcn, rows: &UserItems, history: &UserItems) {
    let rows: Vec<_> = rows.pairs().collect();
    model.prepare(TrainingData { rows: &rows, history }).unwrap();
}

fn sizes([users, items]: &[Vec<u32>; 2]) -> Sizes {
    Sizes { users: users.clone(), items: items.clone(), action: None }
}

/// Dense rows in f64, users first, as wide as the layers; and the items' biases.
#[derive(Clone)]
struct Rows {
    values: Vec<Vec<f64>>,
    biases: Vec<f64>,
    users: usize,
}

impl Rows {
    fn of(model: &LightGcn, width: usize) -> Self {
        let tables = model.embeddings();
        let first = usize::from(tables.item_bias());
        let (mut values, mut biases) = (Vec::new(), Vec::new());
        for (table, first) in [(tables.users(), 0), (tables.items(), first)] {
            let (arena, offsets) = (table.values().read().unwrap(), table.offsets().read().unwrap());
            for pair in offsets.windows(2) {
                let row = &arena[pair[0] as usize..pair[1] as usize];
                if first == 1 {
                    biases.push(f64::from(row[0]));
                }
                let mut row: Vec<f64> = row[first..].iter().map(|&v| v.into()).collect();
                row.resize(width, 0.0);
                values.push(row);
            }
        }
        biases.resize(tables.items().rows() as usize, 0.0);
        Self { values, biases, users: tables.users().rows() as usize }
    }
}

/// The normalised adjacency as a dense matrix, from the definition.
fn adjacency(case: &Case) -> Vec<Vec<f64>> {
    let users = case.sizes[0].len();
    let n = users + case.sizes[1].len();
    let mut matrix = vec![vec![0.0; n]; n];
    for (u, i) in case.history.pairs() {
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

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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
            sum += (-x).max(0.0) + (-x.abs()).exp().ln_1p();
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

/// Outputs, loss and gradient of one step, read from the device before Adam moves anything.
struct Step {
    outputs: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    biases: Vec<f32>,
    loss: f32,
    triples: Vec<[u32; 3]>,
    width: usize,
}

fn step(model: &mut LightGcn) -> Step {
    let device = model.embeddings.device().clone();
    let batch = model.options.batch as usize;
    let set = model.set.take().unwrap();
    let mut layers = Layers::new(&model.graph, &model.embeddings).unwrap();
    let mut scratch = Scratch::new(model, &layers).unwrap();
    let split = |layers: &Layers| {
        let mut rows = Vec::new();
        let mut biases = Vec::new();
        for side in [&layers.users, &layers.items] {
            for row in side.sum.read().unwrap().chunks_exact(side.width as usize) {
                let (bias, row) = row.split_at(row.len() - layers.dims() as usize);
                biases.extend_from_slice(bias);
                rows.push(row.to_vec());
            }
        }
        (rows, biases)
    };
    let mut commands = device.commands();
    layers.record_outputs(&mut commands, (&model.graph, model.options.layers), &model.embeddings).unwrap();
    commands.submit().unwrap();
    let (outputs, biases) = split(&layers);
    assert_eq!(biases.len(), if model.embeddings.item_bias() { model.embeddings.items().rows() as usize } else { 0 });

    let mut commands = device.commands();
    model.record_step(&mut commands, &set, &mut layers, &mut scratch).unwrap();
    commands.submit().unwrap();
    let (gradients, biases) = split(&layers);
    let triples = scratch.batch.triples.read().unwrap();
    model.set = Some(set);
    Step {
        outputs,
        gradients,
        biases,
        loss: scratch.batch.loss.read().unwrap().iter().sum::<f32>() / batch as f32,
        triples: (0..batch).map(|b| [triples[b], triples[batch + b], triples[2 * batch + b]]).collect(),
        width: layers.dims() as usize,
    }
}

fn assert_near(what: &str, got: &[Vec<f32>], want: &[Vec<f64>], tolerance: f64) {
    let largest = want.iter().flatten().fold(1e-30f64, |a, b| a.max(b.abs()));
    for (r, (got, want)) in got.iter().zip(want).enumerate() {
        for (j, (got, want)) in got.iter().zip(want).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() <= tolerance * largest,
                "{what}: [{r}, {j}] is {got}, expected {want}"
            );
        }
    }
}

#[test]
fn outputs_and_gradients_match_the_dense_oracle() {
    for device in devices() {
        for (users, items) in [(1, 2), (9, 5), (40, 170), (90, 33)] {
            for (layers, item_bias) in [(0, true), (1, false), (2, true), (3, true), (3, false), (4, true)] {
                let case = Case::new(users, items, layers, item_bias);
                let what = format!("{users} users, {items} items, {layers} layers, {}", device.describe());
                let mut model = case.model(&device);
                // Untrained biases are zero: give them values.
                model.train(2, &mut |_| {}).unwrap();
                let width = Layers::new(&model.graph, &model.embeddings).unwrap().dims() as usize;
                let rows = Rows::of(&model, width);
                let step = step(&mut model);
                let matrix = adjacency(&case);
                assert_eq!(step.width, width);
                assert_near(&what, &step.outputs, &mean_of_powers(&matrix, layers, &rows.values), 1e-5);
                let want = gradient(&case, &matrix, &rows, &step.triples);
                assert_near(&format!("gradient, {what}"), &step.gradients, &want.values, 2e-5);
                let biases: Vec<Vec<f64>> = want.biases.iter().map(|b| vec![*b]).collect();
                let got: Vec<Vec<f32>> = step.biases.iter().map(|b| vec![*b]).collect();
                assert_near(&format!("biases, {what}"), &got, &biases[..got.len()], 2e-5);
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
        let rows = Rows::of(&model, 16);
        let triples = step(&mut model).triples;
        let matrix = adjacency(&case);
        let want = gradient(&case, &matrix, &rows, &triples);
        let central = |change: &dyn Fn(&mut Rows, f64)| {
            let [ahead, behind] = [1e-5, -1e-5].map(|by| {
                let mut moved = rows.clone();
                change(&mut moved, by);
                loss(&case, &matrix, &moved, &triples)
            });
            (ahead - behind) / 2e-5
        };
        for node in 0..rows.values.len() {
            for j in [0, 3, 8] {
                let slope = central(&|rows, by| rows.values[node][j] += by);
                assert!((slope - want.values[node][j]).abs() < 1e-8, "{node} {j}: {slope} {}", want.values[node][j]);
            }
        }
        for item in 0..rows.biases.len() {
            let slope = central(&|rows, by| rows.biases[item] += by);
            assert!((slope - want.biases[item]).abs() < 1e-8, "{item}: {slope} {}", want.biases[item]);
        }
    }
}

fn values(model: &dyn Recommender) -> Vec<f32> {
    let tables = model.embeddings();
    [tables.users(), tables.items()].map(|table| table.values().read().unwrap()).concat()
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

/// Two tastes: users like the items of their own parity; some of each user's are held back.
fn tastes() -> (UserItems, UserItems) {
    let mut rng = Philox::new(7, Purpose::User);
    let pairs: Vec<(u32, u32)> = (0..80 * 14).map(|n| (n % 80, rng.next_u32() % 60 * 2 + n % 2)).collect();
    let (known, held) = pairs.split_at(80 * 10);
    let known = UserItems::new(80, known.iter().copied()).unwrap();
    let held: Vec<_> = held.iter().copied().filter(|&(u, i)| !known.contains(u, i)).collect();
    (known, UserItems::new(80, held).unwrap())
}

fn recall(model: &mut LightGcn, known: &UserItems, held: &UserItems) -> f64 {
    let (users, candidates): (Vec<u32>, Vec<u32>) = ((0..80).collect(), (0..120).collect());
    let excluded = |user: u32| known.row(user);
    let request = RankRequest { users: &users, candidates: &candidates, excluded: &excluded, k: 20 };
    let rankings = model.rank(request).unwrap();
    let hits: usize =
        rankings.iter().zip(&users).map(|(list, &u)| list.iter().filter(|&&i| held.contains(u, i)).count()).sum();
    hits as f64 / held.len() as f64
}

#[test]
fn training_finds_planted_tastes() {
    let (known, held) = tastes();
    for device in devices() {
        let options =
            LightGcnOptions { batch: 256, item_bias: LEARNED, sampling: Sampling::Users, ..LightGcnOptions::default() };
        let mut model = LightGcn::new(&device, options, &Account::unlimited()).unwrap();
        let rows = [vec![6; 80], vec![5; 120]];
        model.embeddings_mut().resize(&sizes(&rows)).unwrap();
        prepare(&mut model, &known, &known);
        let untrained = recall(&mut model, &known, &held);
        let first = model.train(1, &mut |_| {}).unwrap();
        let mut heard = 0;
        let last = model.train(60, &mut |now| heard += now).unwrap();
        assert_eq!(heard, 60);
        assert!(first > 0.69 && last < 0.8 * first, "{}: loss {first} then {last}", device.describe());
        let trained = recall(&mut model, &known, &held);
        // Of some 110 open items 20 are listed; half of all are to a user's taste.
        assert!(trained > 0.25 && trained > untrained, "{}: {untrained} then {trained}", device.describe());
        // A copy ranks alike, and so does the model when its rows were put back.
        let snapshot = model.embeddings().snapshot().unwrap();
        model.train(20, &mut |_| {}).unwrap();
        model.embeddings_mut().restore(&snapshot).unwrap();
        assert_eq!(recall(&mut model, &known, &held), trained);
        let mut copy = model.duplicate(&Account::unlimited()).unwrap();
        let request = RankRequest { users: &[3], candidates: &[1, 2, 3, 4, 5, 6], excluded: &|_| &[], k: 6 };
        assert_eq!(copy.rank(request).unwrap(), model.rank(request).unwrap());
        assert!(model.working_bytes() > 12 * 200 * 8 && copy.working_bytes() < model.working_bytes());
    }
}

#[test]
fn a_resize_keeps_what_survives_and_newcomers_rank() {
    for device in devices() {
        let case = Case::new(20, 16, 3, true);
        let mut model = case.model(&device);
        model.train(5, &mut |_| {}).unwrap();
        let before = Rows::of(&model, 16);
        // Everybody to 4 dims; two users and three items are new.
        let grown = [vec![4; 22], vec![4; 19]];
        model.embeddings_mut().resize(&sizes(&grown)).unwrap();
        let after = Rows::of(&model, 16);
        for (side, rows, at) in [(0, 20, [0, 0]), (1, 16, [20, 22])] {
            for row in 0..rows {
                let kept = (case.sizes[side][row] as usize).min(4);
                assert_eq!(before.values[at[0] + row][..kept], after.values[at[1] + row][..kept], "{side} {row}");
            }
        }
        assert_eq!(before.biases[..], after.biases[..16]);
        // The graph does not know the newcomers: their outputs are a fourth of their rows.
        let candidates: Vec<u32> = (0..19).collect();
        let request = RankRequest { users: &[21, 0], candidates: &candidates, excluded: &|_| &[], k: 19 };
        let rankings = model.rank(request).unwrap();
        let outputs = mean_of_powers(&adjacency(&Case { sizes: grown.clone(), ..case.clone() }), 3, &after.values);
        for (list, user) in rankings.iter().zip([21, 0]) {
            let scores: Vec<f64> = list
                .iter()
                .map(|&item| after.biases[item as usize] + dot(&outputs[user], &outputs[22 + item as usize]))
                .collect();
            assert_eq!(scores.len(), 19);
            assert!(scores.windows(2).all(|pair| pair[0] >= pair[1] - 1e-6), "{user}: {scores:?}");
        }
        prepare(&mut model, &case.history, &case.history);
        assert!(model.train(3, &mut |_| {}).unwrap() > 0.0);
    }
}

#[test]
fn nothing_to_learn_and_users_who_know_everything() {
    for device in devices() {
        let case = Case::new(20, 16, 2, true);
        let nothing = UserItems::new(20, []).unwrap();
        let mut model = LightGcn::new(&device, case.options(), &Account::unlimited()).unwrap();
        let request = |users| RankRequest { users, candidates: &[], excluded: &|_| &[], k: 3 };
        assert!(model.rank(request(&[u32::MAX])).unwrap().user(0).is_empty());
        assert_eq!(model.train(5, &mut |_| {}).unwrap(), 0.0);

        model.embeddings_mut().resize(&sizes(&case.sizes)).unwrap();
        for history in [&nothing, &case.history] {
            prepare(&mut model, &nothing, history);
            let before = values(&model);
            assert_eq!(model.train(5, &mut |_| {}).unwrap(), 0.0);
            assert_same("values", &values(&model), &before);
            let request = RankRequest { users: &[0, 19], candidates: &[2, 15], excluded: &|_| &[], k: 2 };
            assert_eq!(model.rank(request).unwrap().user(1).len(), 2);
        }
        // The only user of the segment touched all of its items: no negative, no loss.
        let all = UserItems::new(20, (0..12).map(|item| (0, item))).unwrap();
        prepare(&mut model, &all, &case.history);
        assert_eq!(model.train(3, &mut |_| {}).unwrap(), 0.0);
        assert!(values(&model).iter().all(|v| v.is_finite()));
    }
}

#[test]
fn the_rate_falls_and_begins_anew_with_a_segment() {
    let rate = RateSchedule { start: 0.04, factor: 0.5, every: 2, least: 0.015 };
    assert_eq!([0, 1, 2, 3, 4, 9].map(|step| rate.rate(step)), [0.04, 0.04, 0.02, 0.02, 0.015, 0.015]);
    let case = Case::new(20, 16, 2, true);
    let options = LightGcnOptions { rate, ..case.options() };
    let mut model = LightGcn::new(&Device::cpu(), options, &Account::unlimited()).unwrap();
    model.embeddings_mut().resize(&sizes(&case.sizes)).unwrap();
    let now = |model: &LightGcn| match model.embeddings.items().options().optimizer {
        Optimizer::Adam { learning_rate, .. } => learning_rate,
        other => panic!("{other:?}"),
    };
    for _ in 0..2 {
        prepare(&mut model, &case.history, &case.history);
        for rate in [0.04, 0.02, 0.015] {
            model.train(2, &mut |_| {}).unwrap();
            assert_eq!(now(&model), rate);
        }
    }
    assert_eq!(model.embeddings.users().steps(), 12);
}

#[test]
fn options_outside_their_domain_are_errors() {
    let message = |options| LightGcn::new(&Device::cpu(), options, &Account::unlimited()).unwrap_err().to_string();
    let good = LightGcnOptions::default();
    assert!(message(LightGcnOptions { layers: 17, ..good }).contains("`layers` must be at most 16"));
    assert!(message(LightGcnOptions { batch: 0, ..good }).contains("`batch`"));
    assert!(message(LightGcnOptions { l2: f32::NAN, ..good }).contains("`l2`"));
    let rate = RateSchedule { every: 0, ..good.rate };
    assert!(message(LightGcnOptions { rate, ..good }).contains("`rate.every` must be at least 1"));
}
