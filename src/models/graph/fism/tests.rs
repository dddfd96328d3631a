use super::*;
use crate::device::Device;
use crate::models::graph::testing::{observe_step, width_of};
use crate::models::testing::{
    LEARNED, Rows, World, assert_bears_nothing_to_learn, assert_finds_tastes, assert_is_gradient, assert_near,
    assert_near_column, assert_survives_a_resize, dot, prepare, resize, softplus, values,
};
use crate::models::{ItemBias, RankRequest, Rankings, Recommender, TrainingData};
use crate::rows::{Format, Layout};
use crate::table::Account;
use crate::testing::{assert_same, devices, layouts};

const COUNTED: ItemBias = ItemBias::Counted { half_life: None };

/// A rate that moves rows by a good part of their gradient.
const SGD: Optimizer = Optimizer::Sgd { learning_rate: 0.5 };

/// A small world and how it is learned.
#[derive(Clone)]
struct Case {
    world: World,
    options: FismOptions,
}

impl Case {
    fn new(users: u32, items: u32) -> Self {
        let mut options = FismOptions::default();
        let (user_init_std, item_init_std, sampling) = (0.5, 0.5, Sampling::Log { window: 7 });
        let training = TrainingOptions { user_init_std, item_init_std, sampling, ..options.training };
        options.training = TrainingOptions { batch: 64, l2: 0.05, seed: 3, ..training };
        Self { world: World::new(users, items), options }
    }

    /// Learns two thirds of the history, some rows of it twice.
    fn model(&self, device: &Device) -> Fism {
        let Self { world, options } = self;
        let mut model = Fism::new(device, *options, &Account::unlimited()).unwrap();
        world.resize(&mut model);
        let items = model.embeddings().items().rows();
        let biases: Vec<f32> = (0..items).map(|item| (item * 5 % 7) as f32 * 0.25 - 0.75).collect();
        model.embeddings_mut().set_biases(&biases).unwrap();
        let learned = world.history.pairs().filter(|(u, i)| (u + i) % 3 != 1);
        let again = learned.clone().filter(|(u, i)| (u + i) % 4 == 0);
        let rows: Vec<_> = learned.chain(again).collect();
        model.prepare(TrainingData { rows: &rows, history: &world.history, blocks: None }).unwrap();
        model
    }

    /// The rows as they are; biases that training passes over are left at zero.
    fn rows(&self, model: &Fism, width: usize) -> Rows {
        let mut rows = Rows::of(model.embeddings(), width);
        if self.options.training.item_bias != LEARNED {
            rows.biases.fill(0.0);
        }
        rows
    }
}

/// A user's row, and the weighted rows of the history without item `left_out`.
fn output(case: &Case, rows: &Rows, user: usize, left_out: Option<u32>) -> Vec<f64> {
    let mut output = rows.values[user].clone();
    let taken = case.world.history.row(user as u32);
    let weight = (taken.len() as f64).powf(-case.options.exponent);
    for &item in taken.iter().filter(|&&item| Some(item) != left_out) {
        output.iter_mut().zip(&rows.values[rows.users + item as usize]).for_each(|(o, e)| *o += weight * e);
    }
    output
}

/// The score of a triple's positive less that of its negative, the positive left out, and the user's output.
fn margin(case: &Case, rows: &Rows, [u, p, n]: [u32; 3]) -> (f64, Vec<f64>) {
    let user = output(case, rows, u as usize, Some(p));
    let score = |item: u32| rows.biases[item as usize] + dot(&user, &rows.values[rows.users + item as usize]);
    (score(p) - score(n), user)
}

/// The loss of a batch, from its definition.
fn loss(case: &Case, rows: &Rows, triples: &[[u32; 3]]) -> f64 {
    let squares = |row: usize| f64::from(case.options.training.l2) * dot(&rows.values[row], &rows.values[row]);
    let of = |&[u, p, n]: &[u32; 3]| {
        // Without a negative there is only the user's own row to decay.
        if n == u32::MAX {
            return squares(u as usize);
        }
        let rows_squared = [u as usize, rows.users + p as usize, rows.users + n as usize].map(squares);
        softplus(-margin(case, rows, [u, p, n]).0) + rows_squared.iter().sum::<f64>()
    };
    triples.iter().map(of).sum::<f64>() / triples.len() as f64
}

/// The gradient of `loss` with regard to the rows and the biases.
fn gradient(case: &Case, rows: &Rows, triples: &[[u32; 3]]) -> Rows {
    let scale = 1.0 / triples.len() as f64;
    let decay = 2.0 * f64::from(case.options.training.l2) * scale;
    let mut values = vec![vec![0.0; rows.values[0].len()]; rows.values.len()];
    let mut biases = vec![0.0; rows.biases.len()];
    let mut add =
        |row: usize, factor: f64, x: &[f64]| values[row].iter_mut().zip(x).for_each(|(g, x)| *g += factor * x);
    for &[u, p, n] in triples {
        let user = u as usize;
        add(user, decay, &rows.values[user]);
        if n == u32::MAX {
            continue;
        }
        let (positive, negative) = (rows.users + p as usize, rows.users + n as usize);
        let (x, output) = margin(case, rows, [u, p, n]);
        let pull = scale / (1.0 + x.exp());
        let difference: Vec<f64> =
            rows.values[positive].iter().zip(&rows.values[negative]).map(|(p, n)| p - n).collect();
        add(user, -pull, &difference);
        let taken = case.world.history.row(u);
        let weight = (taken.len() as f64).powf(-case.options.exponent);
        for &item in taken.iter().filter(|&&item| item != p) {
            add(rows.users + item as usize, -pull * weight, &difference);
        }
        for (row, pull) in [(positive, -pull), (negative, pull)] {
            add(row, pull, &output);
            add(row, decay, &rows.values[row]);
        }
        if case.options.training.item_bias == LEARNED {
            biases[p as usize] -= pull;
            biases[n as usize] += pull;
        }
    }
    Rows { values, biases, users: rows.users }
}

/// Each row cut to its size: what lies beyond is no gradient of anything.
fn cut<T: Clone>(world: &World, rows: &[Vec<T>]) -> Vec<Vec<T>> {
    let sizes = world.sizes.concat();
    assert_eq!(sizes.len(), rows.len());
    rows.iter().zip(sizes).map(|(row, size)| row[..size as usize].to_vec()).collect()
}

/// Outputs within 1e-5, gradients and what SGD makes of the rows within 2e-5 of the largest value.
#[test]
fn outputs_and_gradients_match_the_dense_oracle() {
    let options = [
        (ItemBias::None, 0.0, Sampling::Users),
        (LEARNED, 0.7, Sampling::Users),
        (COUNTED, 1.0, Sampling::Users),
        (COUNTED, 0.0, Sampling::Log { window: 7 }),
        (LEARNED, 1.0, Sampling::Log { window: 7 }),
        (ItemBias::None, 0.7, Sampling::Log { window: 1000 }),
    ];
    for device in devices() {
        let mut seen = [0, 0];
        let [_, pages, _, halves, ..] = layouts(16);
        let plain = Layout::default();
        for (users, items, layout) in
            [(1, 2, plain), (9, 5, plain), (40, 170, plain), (90, 33, plain), (40, 170, pages), (9, 25, halves)]
        {
            for (item_bias, exponent, sampling) in options {
                let mut case = Case::new(users, items);
                let training = case.options.training;
                let training = TrainingOptions { item_bias, sampling, rule: SGD.into(), layout, ..training };
                case.options = FismOptions { training, exponent };
                let world = &case.world;
                let what = format!(
                    "{users} users, {items} items, {item_bias:?}, {exponent}, {sampling:?}, {}",
                    device.describe()
                );
                let mut model = case.model(&device);
                let width = width_of(&model);
                let rows = case.rows(&model, width);
                let before = Rows::of(model.embeddings(), width);
                let step = observe_step(&mut model);

                let outputs: Vec<_> = (0..users as usize).map(|user| output(&case, &rows, user, None)).collect();
                assert_near(&format!("outputs, {what}"), &step.outputs[..users as usize], &outputs, 1e-5);
                let want = gradient(&case, &rows, &step.triples);
                let values = cut(world, &want.values);
                assert_near(&format!("gradients, {what}"), &cut(world, &step.gradients), &values, 2e-5);
                let biases = &want.biases[..step.biases.len()];
                assert_eq!(biases.len(), if item_bias.exists() { items as usize } else { 0 });
                assert_near_column(&format!("biases, {what}"), &step.biases, biases, 2e-5);
                let mut plain = case.clone();
                plain.options.training.l2 = 0.0;
                let plain = loss(&plain, &rows, &step.triples);
                assert!((f64::from(step.loss) - plain).abs() <= 1e-5 * plain, "{what}: {} {plain}", step.loss);

                let after = Rows::of(model.embeddings(), width);
                let moved = |before: &Vec<f64>, gradient: &Vec<f64>| -> Vec<f64> {
                    before.iter().zip(gradient).map(|(value, gradient)| value - 0.5 * gradient).collect()
                };
                let moved: Vec<_> = before.values.iter().zip(&want.values).map(|(b, g)| moved(b, g)).collect();
                let got: Vec<Vec<f32>> =
                    after.values.iter().map(|row| row.iter().map(|&v| v as f32).collect()).collect();
                let rounding = if layout.format == Format::F16 { 1e-3 } else { 2e-5 };
                assert_near(&format!("rows, {what}"), &cut(world, &got), &cut(world, &moved), rounding);
                if item_bias == COUNTED {
                    assert_eq!(after.biases, before.biases, "{what}");
                }
                let lost = step.triples.iter().filter(|triple| triple[2] == u32::MAX).count();
                seen = [seen[0] + lost, seen[1] + step.triples.len() - lost];
            }
        }
        assert!(seen[0] > 20 && seen[1] > 500, "triples without and with a negative: {seen:?}");
    }
}

#[test]
fn the_oracle_gradient_is_that_of_the_loss() {
    for (item_bias, exponent) in [(ItemBias::None, 0.0), (LEARNED, 0.7), (COUNTED, 1.0)] {
        let mut case = Case::new(12, 9);
        let training = TrainingOptions { item_bias, batch: 20, ..case.options.training };
        case.options = FismOptions { training, exponent };
        let mut model = case.model(&Device::cpu());
        let rows = case.rows(&model, 16);
        let triples = observe_step(&mut model).triples;
        let mut want = gradient(&case, &rows, &triples);
        if item_bias != LEARNED {
            // Their slope is not zero, but they are not learned.
            want.biases.clear();
        }
        let free = Rows { biases: rows.biases[..want.biases.len()].to_vec(), ..rows.clone() };
        assert_is_gradient(&free, &want, &|moved| {
            let mut all = moved.clone();
            all.biases.resize(rows.biases.len(), 0.0);
            loss(&case, &all, &triples)
        });
    }
}

/// A user who took one item is nobody without it: whatever the rows hold, nothing tells the positive from the negative
/// and nothing is learned.
#[test]
fn an_item_does_not_predict_itself() {
    for device in devices() {
        for (exponent, sampling) in [(0.0, Sampling::Users), (0.7, Sampling::Log { window: 100 })] {
            let rule = Optimizer::Sgd { learning_rate: 1.0 }.into();
            let training = FismOptions::default().training;
            let training = TrainingOptions { sampling, rule, batch: 128, l2: 0.0, item_init_std: 1.0, ..training };
            let options = FismOptions { training, exponent };
            let mut model = Fism::new(&device, options, &Account::unlimited()).unwrap();
            // No rows of their own.
            resize(&mut model, [vec![0; 12], vec![5; 12]]);
            let history = UserItems::new(12, (0..12).map(|user| (user, user))).unwrap();
            prepare(&mut model, &history, &history);
            let before = values(&model);
            for _ in 0..5 {
                let loss = model.train(1, &mut |_| {}).unwrap();
                assert!((loss - f32::ln(2.0)).abs() < 1e-5, "{}: loss {loss}", device.describe());
            }
            let far = before.iter().zip(values(&model)).fold(0.0f32, |far, (b, a)| far.max((b - a).abs()));
            assert!(far < 1e-5, "{}: a row moved by {far}", device.describe());
            // Asked later, with all of the history, the user is near the item.
            let users: Vec<u32> = (0..12).collect();
            let request = RankRequest {
                users: &users,
                candidates: &users,
                excluded: &|_| &[],
                k: 12,
                item_biases: None,
                scores: false,
            };
            let mean = |rankings: &Rankings| {
                let place = |(list, user): (&[u32], u32)| list.iter().position(|&item| item == user).unwrap();
                rankings.iter().zip(0..).map(place).sum::<usize>() as f64 / 12.0
            };
            assert!(mean(&model.rank(request).unwrap()) < 3.0);
        }
    }
}

/// Devices agree within 1e-4 of a value's size and 1e-4: Adagrad's epsilon leaves no step to a gradient's sign alone.
#[test]
fn the_same_bits_twice_and_near_on_every_device() {
    let trained = |device: &Device, seed: u64| {
        let mut case = Case::new(60, 40);
        case.options.training.seed = seed;
        let mut model = case.model(device);
        let loss = model.train(10, &mut |_| {}).unwrap();
        (values(&model), loss)
    };
    let cpu = trained(&Device::cpu(), 3);
    for device in devices() {
        let (a, b) = (trained(&device, 3), trained(&device, 3));
        assert_same(&device.describe(), &a.0, &b.0);
        assert_eq!(a.1.to_bits(), b.1.to_bits());
        assert_ne!(a.0, trained(&device, 4).0, "another seed");
        assert!((a.1 - cpu.1).abs() < 1e-4, "{}: {} {}", device.describe(), a.1, cpu.1);
        for (i, (a, b)) in a.0.iter().zip(&cpu.0).enumerate() {
            assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{}: value {i} is {a}, {b}", device.describe());
        }
    }
}

#[test]
fn the_seed_alone_draws_other_triples() {
    let case = Case::new(60, 40);
    let triples = |seed| {
        let mut case = case.clone();
        case.options.training.seed = seed;
        observe_step(&mut case.model(&Device::cpu())).triples
    };
    assert_eq!(triples(3), triples(3));
    assert_ne!(triples(3), triples(4));
}

#[test]
fn training_finds_planted_tastes() {
    for device in devices() {
        for (item_bias, sampling) in [(LEARNED, Sampling::Users), (COUNTED, Sampling::Log { window: 200 })] {
            let mut options = FismOptions::default();
            options.training = TrainingOptions { batch: 256, item_bias, sampling, ..options.training };
            let mut model = Fism::new(&device, options, &Account::unlimited()).unwrap();
            assert_finds_tastes(&format!("{sampling:?}, {}", device.describe()), &mut model);
        }
    }
}

#[test]
fn a_resize_keeps_what_survives_and_newcomers_rank() {
    for device in devices() {
        for item_bias in [LEARNED, COUNTED] {
            let mut case = Case::new(20, 16);
            case.options.training.item_bias = item_bias;
            let mut model = case.model(&device);
            model.train(5, &mut |_| {}).unwrap();
            // The history does not know the newcomers: they are their own rows.
            assert_survives_a_resize(&mut model, &case.world, &|_, rows, user| {
                let output = output(&case, rows, user, None);
                let items = &rows.values[rows.users..];
                items.iter().zip(&rows.biases).map(|(item, bias)| bias + dot(&output, item)).collect()
            });
        }
    }
}

#[test]
fn nothing_to_learn_and_users_who_know_everything() {
    for device in devices() {
        for sampling in [Sampling::Users, Sampling::Log { window: 3 }] {
            let mut case = Case::new(20, 16);
            case.options.training.sampling = sampling;
            let mut model = Fism::new(&device, case.options, &Account::unlimited()).unwrap();
            assert_bears_nothing_to_learn(&mut model, &case.world);
        }
    }
}

/// `l2` decays a user's own row for each of the user's triples, the items' with those that have a negative.
#[test]
fn without_a_negative_only_the_users_row_decays() {
    for device in devices() {
        let mut case = Case::new(20, 16);
        case.options.training.rule = SGD.into();
        let mut model = case.model(&device);
        let all = UserItems::new(20, (0..12).map(|item| (0, item))).unwrap();
        prepare(&mut model, &all, &case.world.history);
        resize(&mut model, [vec![3; 20], vec![3; 16]]);
        let before = Rows::of(model.embeddings(), 3);
        model.train(1, &mut |_| {}).unwrap();
        let after = Rows::of(model.embeddings(), 3);
        assert_eq!(after.values[1..], before.values[1..]);
        for (before, after) in before.values[0].iter().zip(&after.values[0]) {
            let decayed = before * (1.0 - 0.5 * 2.0 * f64::from(case.options.training.l2));
            assert!((after - decayed).abs() < 1e-6, "{}: {before} became {after}", device.describe());
        }
    }
}

#[test]
fn options_outside_their_domain_are_errors() {
    let message = |options| Fism::new(&Device::cpu(), options, &Account::unlimited()).unwrap_err().to_string();
    let good = FismOptions::default();
    assert_eq!(message(FismOptions { exponent: 1.5, ..good }), "Fism::new: `exponent` must be from 0 to 1, got 1.5");
    assert!(message(FismOptions { exponent: f64::NAN, ..good }).contains("`exponent`"));
}
