use super::*;
use crate::Error;
use crate::device::Device;
use crate::rows::Layout;
use crate::rows::StateSize;
use crate::testing::{
    assert_close, assert_gaps, assert_rejects, assert_same, devices, gpu, layouts, offsets_of, poisoned, rows_of,
    signed, stored, upload,
};

const EPS: f64 = f32::EPSILON as f64;
const USES: [BiasUse; 3] = [BiasUse::None, BiasUse::Learned, BiasUse::Fixed];

/// A batch with its tables, on the host.
#[derive(Clone)]
struct Case {
    triples: Vec<u32>,
    user_sizes: Vec<u32>,
    item_sizes: Vec<u32>,
    user_arena: Vec<f32>,
    /// Of dense users, all of whose rows are `user_dims` wide.
    weights: Option<Vec<f32>>,
    item_arena: Vec<f32>,
    item_bias: BiasUse,
    l2: f32,
    l2_bias: f32,
    user_dims: u32,
    item_dims: u32,
    /// Of users and of items.
    layouts: [Layout; 2],
}

/// For each triple or element of a gradient: the value in f64, and how far f32 may be off.
#[derive(Default)]
struct Oracle {
    loss: Vec<(f64, f64)>,
    users: Vec<(f64, f64)>,
    items: Vec<(f64, f64)>,
}

impl Case {
    /// Ids with duplicates, equal positives and negatives, ids past the tables and missing negatives.
    fn new(batch: u32, user_sizes: &[u32], item_sizes: &[u32], dims: [u32; 2], item_bias: BiasUse) -> Self {
        let (users, items) = (user_sizes.len() as u32, item_sizes.len() as u32);
        let mut triples: Vec<u32> = (0..batch).map(|b| (b * 7 + b / 5) % (users + 1)).collect();
        triples.extend((0..batch).map(|b| (b * 5 + b / 3) % (items + 1)));
        triples.extend((0..batch).map(|b| if b % 13 == 12 { u32::MAX } else { (b * 11 + b / 7) % items.max(1) }));
        let len = |sizes: &[u32]| *offsets_of(sizes).last().unwrap() as usize;
        Self {
            triples,
            user_sizes: user_sizes.to_vec(),
            item_sizes: item_sizes.to_vec(),
            user_arena: signed(len(user_sizes), 1),
            weights: None,
            item_arena: signed(len(item_sizes), 2),
            item_bias,
            l2: 0.03,
            l2_bias: 0.2,
            user_dims: dims[0],
            item_dims: dims[1],
            layouts: [Layout::default(); 2],
        }
    }

    /// The same in other layouts, with values that these can hold.
    fn laid_out(self, layouts: [Layout; 2]) -> Self {
        // Dense users are f32.
        let layouts = if self.weights.is_some() { [Layout::default(), layouts[1]] } else { layouts };
        let user_arena = stored(&self.user_sizes, &self.user_arena, layouts[0].format);
        let item_arena = stored(&self.item_sizes, &self.item_arena, layouts[1].format);
        Self { layouts, user_arena, item_arena, ..self }
    }

    /// The same triples, users dense with some weight each.
    fn with_history(self) -> Self {
        let users = self.user_sizes.len();
        let weights = (0..users).map(|u| u as f32 * 0.375 - 0.5).collect();
        Self {
            user_sizes: vec![self.user_dims; users],
            user_arena: signed(users * self.user_dims as usize, 5),
            weights: Some(weights),
            ..self
        }
    }

    fn weight(&self, user: usize) -> f64 {
        self.weights.as_ref().map_or(0.0, |weights| weights[user].into())
    }

    fn batch(&self) -> usize {
        self.triples.len() / 3
    }

    fn run(&self, device: &Device) -> [Vec<f32>; 3] {
        // Other ids before the batch.
        let triples = upload(device, &[&[1; 5], &self.triples[..]].concat());
        let (state, [user_layout, item_layout]) = (StateSize::default(), self.layouts);
        let user_rows = rows_of(device, &self.user_sizes, &self.user_arena, user_layout, state);
        let item_rows = rows_of(device, &self.item_sizes, &self.item_arena, item_layout, state);
        let (values, weights) =
            (upload(device, &self.user_arena), upload(device, self.weights.as_deref().unwrap_or_default()));
        let users = match self.weights {
            None => UserRows::Ragged(&user_rows),
            Some(_) => UserRows::History { values: &values, weights: &weights },
        };
        let len = Bpr::workspace_len(self.batch() as u32, users, &item_rows, [self.user_dims, self.item_dims]);
        let mut workspace = poisoned(device, len);
        let mut loss = poisoned(device, self.batch());
        let mut user_gradients = poisoned(device, self.batch() * self.user_dims as usize);
        let mut item_gradients = poisoned(device, 2 * self.batch() * self.item_dims as usize);
        Bpr {
            triples: &triples,
            first: 5,
            users,
            items: &item_rows,
            item_bias: self.item_bias,
            l2: self.l2,
            l2_bias: self.l2_bias,
            user_dims: self.user_dims,
            item_dims: self.item_dims,
            loss: &mut loss,
            user_gradients: &mut user_gradients,
            item_gradients: &mut item_gradients,
            workspace: &mut workspace,
        }
        .run(device)
        .unwrap();
        assert_same("users.values", &values.read().unwrap(), &self.user_arena);
        for (what, rows, values) in [("users", &user_rows, &self.user_arena), ("items", &item_rows, &self.item_arena)] {
            assert_same(what, &rows.read().unwrap(), values);
            assert_gaps(what, rows);
        }
        [loss, user_gradients, item_gradients].map(|b| b.read().unwrap())
    }

    /// The ids of triple b, where all three exist.
    fn ids(&self, b: usize) -> Option<[usize; 3]> {
        let [u, p, n] = [0, 1, 2].map(|block| self.triples[block * self.batch() + b] as usize);
        (u < self.user_sizes.len() && p < self.item_sizes.len() && n < self.item_sizes.len()).then_some([u, p, n])
    }

    /// Row `id` of a table as bias and embedding in f64; a fixed bias counts as 0.
    fn row(&self, item: bool, id: usize, arena: &[f64]) -> (Option<f64>, Vec<f64>) {
        let (sizes, dims) = if item { (&self.item_sizes, self.item_dims) } else { (&self.user_sizes, self.user_dims) };
        let start = sizes[..id].iter().sum::<u32>() as usize;
        let row = &arena[start..start + sizes[id].min(dims) as usize];
        match row {
            [bias, rest @ ..] if item && self.item_bias != BiasUse::None => {
                (Some(if self.item_bias == BiasUse::Learned { *bias } else { 0.0 }), rest.to_vec())
            }
            _ => (None, row.to_vec()),
        }
    }

    /// x of a triple and the sum of its terms' sizes.
    fn x(&self, [u, p, n]: [usize; 3], users: &[f64], items: &[f64]) -> (f64, f64) {
        let (user, weight) = (self.row(false, u, users).1, self.weight(u));
        let (bp, p) = self.row(true, p, items);
        let (bn, n) = self.row(true, n, items);
        let mut x = bp.unwrap_or(0.0) - bn.unwrap_or(0.0);
        let mut size = bp.unwrap_or(0.0).abs() + bn.unwrap_or(0.0).abs();
        for (j, e) in user.iter().enumerate() {
            let [p, n] = [&p, &n].map(|e| e.get(j).copied().unwrap_or(0.0));
            let own = weight * p;
            x += (e - own) * (p - n);
            size += (e.abs() + own.abs()) * (p.abs() + n.abs());
        }
        (x, size)
    }

    /// The batch objective, from its definition.
    fn objective(&self, users: &[f64], items: &[f64]) -> f64 {
        let mut sum = 0.0;
        for ids in (0..self.batch()).filter_map(|b| self.ids(b)) {
            let (x, _) = self.x(ids, users, items);
            sum += softplus(-x);
            let rows = [self.row(false, ids[0], users), self.row(true, ids[1], items), self.row(true, ids[2], items)];
            // Dense users are not decayed.
            for (bias, embedding) in rows.into_iter().skip(usize::from(self.weights.is_some())) {
                sum += f64::from(self.l2_bias) * bias.unwrap_or(0.0).powi(2);
                sum += f64::from(self.l2) * embedding.iter().map(|e| e * e).sum::<f64>();
            }
        }
        sum / self.batch() as f64
    }

    fn oracle(&self) -> Oracle {
        let (users, items) = (wide(&self.user_arena), wide(&self.item_arena));
        let scale = 1.0 / self.batch() as f64;
        let [user_dims, item_dims] = [self.user_dims as usize, self.item_dims as usize];
        let mut out = Oracle::default();
        out.users.resize(self.batch() * user_dims, (0.0, 0.0));
        out.items.resize(2 * self.batch() * item_dims, (0.0, 0.0));
        for b in 0..self.batch() {
            let Some(ids) = self.ids(b) else {
                out.loss.push((0.0, 0.0));
                continue;
            };
            let (x, size) = self.x(ids, &users, &items);
            let x_off = EPS * (f64::from(self.user_dims.min(self.item_dims)) + 4.0) * size;
            let c = 1.0 / (1.0 + x.exp());
            let c_off = (x_off * 0.25).min(1.0) + 20.0 * EPS * c;
            out.loss.push((softplus(-x), x_off + 20.0 * EPS * (1.0 + softplus(-x))));
            let element = |pull: f64, factor: f64, value: f64, l2: f32| {
                let decay = 2.0 * f64::from(l2) * value;
                let off = pull.abs() * c_off + 4.0 * EPS * ((c * pull * factor).abs() + decay.abs());
                (scale * (factor * c * pull + decay), scale * off + 1e-38)
            };
            let user = self.row(false, ids[0], &users).1;
            let weight = self.weight(ids[0]);
            let user_l2 = if self.weights.is_some() { 0.0 } else { self.l2 };
            let rows = [self.row(true, ids[1], &items), self.row(true, ids[2], &items)];
            for (j, &u) in user.iter().enumerate() {
                let [p, n] = [0, 1].map(|k| rows[k].1.get(j).copied().unwrap_or(0.0));
                out.users[b * user_dims + j] = element(p - n, -1.0, u, user_l2);
                // p - n is rounded before it is multiplied.
                out.users[b * user_dims + j].1 += scale * EPS * (p.abs() + n.abs());
            }
            for (k, (bias, embedding)) in rows.iter().enumerate() {
                let sign = [-1.0, 1.0][k];
                let base = (k * self.batch() + b) * item_dims;
                if let Some(bias) = bias.filter(|_| self.item_bias == BiasUse::Learned) {
                    out.items[base] = element(1.0, sign, bias, self.l2_bias);
                }
                for (j, &e) in embedding.iter().enumerate() {
                    let at = base + bias.iter().len() + j;
                    let [p, n] = [0, 1].map(|k| rows[k].1.get(j).copied().unwrap_or(0.0));
                    let Some(&u) = user.get(j) else {
                        out.items[at] = element(0.0, sign, e, self.l2);
                        continue;
                    };
                    // The gradient of the positive has a term more, since it is left out of the user.
                    let excluded = if k == 0 { weight * (p - n) } else { 0.0 };
                    out.items[at] = element(u - weight * p - excluded, sign, e, self.l2);
                    let terms = u.abs() + (weight * p).abs() + (weight * n).abs();
                    out.items[at].1 += scale * (c_off + 4.0 * EPS) * terms;
                }
            }
        }
        out
    }

    fn check(&self, device: &Device, what: &str) {
        let [loss, users, items] = self.run(device);
        let want = self.oracle();
        let pairs = [("loss", &loss, &want.loss), ("users", &users, &want.users), ("items", &items, &want.items)];
        for (name, got, want) in pairs {
            let values: Vec<f32> = want.iter().map(|w| w.0 as f32).collect();
            assert_close(&format!("{what} {name}"), got, &values, |i| want[i].1 as f32);
        }
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Empty rows, single values, full rows, all equal, one giant.
fn tables() -> Vec<[Vec<u32>; 2]> {
    vec![
        [vec![0, 1, 3, 16, 7], vec![16, 0, 1, 5, 2, 16, 9]],
        [vec![4; 9], vec![4; 11]],
        [vec![1], vec![1]],
        [vec![0; 3], vec![0; 2]],
        [vec![2, 700, 1], vec![700, 3, 0, 650]],
        [vec![], vec![3]],
    ]
}

fn parity(device: &Device) {
    for [users, items] in tables() {
        for dims in [[0, 0], [1, 1], [16, 17], [40, 3], [5, 16]] {
            for batch in [0, 1, 7, 8, 9, 255, 256, 257] {
                let case = Case::new(batch, &users, &items, dims, USES[batch as usize % 3]);
                case.check(device, &format!("users {users:?} items {items:?} dims {dims:?} batch {batch}"));
            }
        }
    }
    for dims in [[1, 1], [16, 17], [40, 3], [5, 16]] {
        for batch in [1, 8, 257] {
            let items = [16, 0, 1, 5, 2, 16, 9];
            let case = Case::new(batch, &[1; 6], &items, dims, USES[batch as usize % 3]).with_history();
            case.check(device, &format!("history dims {dims:?} batch {batch}"));
        }
    }
    // Users and items in every layout, each with each number of pages of the other.
    let layouts = layouts(16);
    for (k, users) in layouts.into_iter().enumerate() {
        for items in [layouts[k], layouts[(k + 1) % 6], layouts[(k + 3) % 6]] {
            for (dims, batch) in [([16, 17], 257), ([5, 3], 40), ([1, 1], 8), ([0, 0], 3)] {
                let [user_sizes, item_sizes] = &tables()[0];
                let case = Case::new(batch, user_sizes, item_sizes, dims, USES[(k + batch as usize) % 3]);
                let what = format!("users {users:?} items {items:?} dims {dims:?} batch {batch}");
                case.clone().laid_out([users, items]).check(device, &what);
                case.with_history().laid_out([users, items]).check(device, &format!("history, {what}"));
            }
        }
    }
    Case::new(20, &[2, 700, 1], &[700, 3, 0, 650], [700, 700], BiasUse::Learned).check(device, "giant rows");
    Case::new(20, &[2, 700, 1], &[700, 3, 0, 650], [700, 700], BiasUse::None).check(device, "giant rows");
}

#[test]
fn matches_the_f64_oracle() {
    devices().iter().for_each(parity);
}

/// Every coordinate of both tables, biases included, against central differences of the objective.
#[test]
fn gradients_match_finite_differences() {
    let sizes = [vec![0, 1, 3, 6, 4], vec![7, 0, 1, 5, 2, 4]];
    for device in devices() {
        for (item_bias, history) in USES.into_iter().zip([false, false, false]).chain([(BiasUse::Fixed, true)]) {
            let mut case = Case::new(64, &sizes[0], &sizes[1], [6, 7], item_bias);
            if history {
                case = case.with_history();
            }
            // For every bias and for histories: both tables in several pages, or the items alone.
            let paged = layouts(8)[2];
            case = case.laid_out([if item_bias == BiasUse::None { Layout::default() } else { paged }, paged]);
            let sizes = [&case.user_sizes, &case.item_sizes];
            let [_, user_gradients, item_gradients] = case.run(&device);
            let tables = [wide(&case.user_arena), wide(&case.item_arena)];
            let mut sums = [vec![0.0f64; tables[0].len()], vec![0.0f64; tables[1].len()]];
            let offsets = sizes.map(|sizes| offsets_of(sizes));
            for (i, &id) in case.triples.iter().enumerate() {
                let side = usize::from(i >= 64);
                let (gradients, dims, i) =
                    if side == 0 { (&user_gradients, 6, i) } else { (&item_gradients, 7, i - 64) };
                if (id as usize) < sizes[side].len() {
                    for j in 0..sizes[side][id as usize] as usize {
                        sums[side][offsets[side][id as usize] as usize + j] += f64::from(gradients[i * dims + j]);
                    }
                }
            }
            for side in 0..2 {
                for at in 0..tables[side].len() {
                    let shifted = |step: f64| {
                        let mut tables = tables.clone();
                        tables[side][at] += step;
                        case.objective(&tables[0], &tables[1])
                    };
                    let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                    let got = sums[side][at];
                    assert!((got - slope).abs() < 2e-6, "bias {item_bias:?} table {side} at {at}: {got}, not {slope}");
                }
            }
        }
    }
}

#[test]
fn scores_of_ten_thousand_stay_finite() {
    for device in devices() {
        let mut case = Case::new(2, &[1], &[1, 1], [1, 1], BiasUse::None);
        case.triples = vec![0, 0, 0, 1, 1, 0];
        case.user_arena = vec![100.0];
        case.item_arena = vec![50.0, -50.0];
        let [loss, users, items] = case.run(&device);
        assert_eq!(loss, [0.0, 10_000.0]);
        assert!(users.iter().chain(&items).all(|g| g.is_finite()));
        case.check(&device, "large scores");
    }
}

#[test]
fn missing_items_have_no_gradient() {
    for device in devices() {
        let mut case = Case::new(3, &[2], &[2, 2], [2, 2], BiasUse::Learned);
        case.triples = vec![0, 0, 1, 0, u32::MAX, 0, u32::MAX, 1, 1];
        for output in case.run(&device) {
            assert_eq!(output, vec![0.0; output.len()]);
        }
    }
}

#[test]
fn an_equal_positive_and_negative_pull_apart() {
    for device in devices() {
        let mut case = Case::new(1, &[2], &[2], [2, 2], BiasUse::None);
        case.triples = vec![0, 0, 0];
        (case.l2, case.user_arena) = (0.0, vec![1.0, -2.0]);
        let [loss, users, items] = case.run(&device);
        assert!((loss[0] - 2.0f32.ln()).abs() < 1e-6);
        assert_eq!((users, items), (vec![0.0, 0.0], vec![-0.5, 1.0, 0.5, -1.0]));
    }
}

#[test]
fn the_same_bits_twice() {
    for device in devices() {
        let case = Case::new(999, &[0, 30, 64, 5], &[64, 1, 17], [64, 64], BiasUse::Learned);
        let (first, second) = (case.run(&device), case.run(&device));
        for (first, second) in first.iter().zip(&second) {
            assert_same("second run", second, first);
        }
    }
}

/// 32 triples a workgroup.
#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        Case::new(32 * 65_536 + 1, &[1, 0, 1], &[17, 2], [1, 1], BiasUse::None)
            .check(&Device::Gpu(gpu.clone()), "folded");
        let paged = layouts(17)[1];
        Case::new(1001, &[1, 0, 1], &[17, 2, 20, 9], [1, 17], BiasUse::Learned)
            .laid_out([Layout::default(), paged])
            .check(&Device::Gpu(gpu.with_max_groups(17)), "folded in pages");
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("step > 0u; step /= 2u", "step > 1u; step /= 2u"),
            ("select(1.0, e, x >= 0.0)", "select(e, 1.0, x >= 0.0)"),
            ("+ (positive.bias - negative.bias)", ""),
            ("if params.learned == 0u {", "if params.learned == 2u {"),
            ("size - 1u), 0.0, false);", "size - 1u), 0.0, true);"),
            ("- value + excluded, dims", "- value, dims"),
            ("- weight * e_p) * difference", ") * difference"),
            ("select(decay, 0.0, params.dense == 1u)", "decay"),
            ("let of_user = select(vec4<f32>(0.0), terms, dims < vec4<u32>(user.size));", "let of_user = terms;"),
            ("(params.count + b) * params.item_dims", "b * params.item_dims"),
            ("let decay_bias = 2.0 * params.l2_bias", "let decay_bias = 2.0 * params.l2"),
            ("&& negative_id < params.items", ""),
            // Of rows that are found by a directory, and of those that are gathered.
            ("before = user_end_of(row - 1u);", "before = 0u;"),
            ("before = item_end_of(row - 1u);", "before = 0u;"),
            ("item_arena[item_word_of(at)]", "item_arena[at]"),
            ("user_arena[user_word_of(at)]", "user_arena[at]"),
            (
                "(at - params.count) * params.item_dims, item_directory[at]",
                "(at - params.count) * params.item_dims, params.item_dims",
            ),
            ("Row(params.user_values + at * params.user_dims", "Row(params.user_values + (at / 2u) * params.user_dims"),
            ("user_row(id - params.user_first_row, at)", "user_row(id, at)"),
            ("let at = params.first + occurrence;", "let at = occurrence;"),
            ("workspace[at] = row.size;", "workspace[at] = params.user_dims;"),
            ("+ value, dims < vec4<u32>(negative.row.size)", "+ value, dims < vec4<u32>(item_dims)"),
            ("triples[params.triples_at + params.count + b]", "triples[params.count + b]"),
            ("triples[params.triples_at + at]", "triples[at]"),
            ("sum + of_user.x) + of_user.y", "sum + of_user.x) + of_user.x"),
        ],
        parity,
    );
}

#[test]
fn bad_arguments_are_errors() {
    let device = Device::cpu();
    let triples = upload(&device, &[0u32, 0, 0]);
    let rows = rows_of(&device, &[1], &[1.0], Layout::default(), StateSize::default());
    let run = |triples: &Buffer<u32>, l2: f32, dims: u32, loss: usize| {
        let mut outputs = [poisoned(&device, loss), poisoned(&device, 1), poisoned(&device, 2)];
        let [loss, user_gradients, item_gradients] = &mut outputs;
        Bpr {
            triples,
            first: 0,
            users: UserRows::Ragged(&rows),
            items: &rows,
            item_bias: BiasUse::None,
            l2,
            l2_bias: 0.0,
            user_dims: 1,
            item_dims: dims,
            loss,
            user_gradients,
            item_gradients,
            workspace: &mut poisoned(&device, 0),
        }
        .run(&device)
    };
    assert!(run(&triples, 0.0, 1, 1).is_ok());
    assert!(matches!(run(&triples, f32::NAN, 1, 1), Err(Error::Argument { arg: "l2", .. })));
    assert!(matches!(run(&triples, 0.0, 2, 1), Err(Error::Shape { arg: "item_gradients", expected: 4, got: 2, .. })));
    assert!(matches!(run(&triples, 0.0, 1 << 20, 1), Err(Error::Limit { arg: "dims", .. })));
    assert!(matches!(run(&triples, 0.0, 1, 2), Err(Error::Shape { arg: "triples", expected: 6, got: 3, .. })));
}

#[test]
fn a_gpu_wants_a_workspace_for_several_pages() {
    let Some(gpu) = gpu() else { return };
    let device = Device::Gpu(gpu);
    let triples = upload(&device, &[0, 0, 1]);
    let page_bytes = Some(32);
    let [one, two] = [None, page_bytes].map(|page_bytes| {
        let layout = Layout { page_bytes, ..Layout::default() };
        rows_of(&device, &[8, 8], &[1.0; 16], layout, StateSize::default())
    });
    let words = |users, items| Bpr::workspace_len(1, UserRows::Ragged(users), items, [8, 8]);
    assert_eq!([words(&one, &one), words(&two, &one), words(&one, &two), words(&two, &two)], [0, 11, 19, 27]);
    let error = Bpr {
        triples: &triples,
        first: 0,
        users: UserRows::Ragged(&one),
        items: &two,
        item_bias: BiasUse::None,
        l2: 0.0,
        l2_bias: 0.0,
        user_dims: 8,
        item_dims: 8,
        loss: &mut poisoned(&device, 1),
        user_gradients: &mut poisoned(&device, 8),
        item_gradients: &mut poisoned(&device, 16),
        workspace: &mut poisoned(&device, 18),
    }
    .run(&device)
    .unwrap_err();
    assert_eq!(error.to_string(), "rank/bpr: `workspace` has length 18, expected 19");
}

#[test]
fn a_workspace_past_all_numbers_is_the_largest() {
    let layout = Layout { page_bytes: Some(32), ..Layout::default() };
    let rows = rows_of(&Device::cpu(), &[8, 8], &[1.0; 16], layout, StateSize::default());
    let words = |batch, dims| Bpr::workspace_len(batch, UserRows::Ragged(&rows), &rows, dims);
    assert_eq!(words(u32::MAX, [u32::MAX; 2]), usize::MAX);
    assert_eq!(words(1, [8, 8]), 27);
}
