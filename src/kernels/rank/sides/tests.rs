use super::*;
use crate::device::Device;
use crate::kernels::rank::plan::PlanSteps;
use crate::kernels::rank::plan::tests::triples_of;
use crate::kernels::table::optimizer::oracle::{self, ADAGRAD, ADAM, NESTEROV, SGD, Snapshot, clipped, decayed};
use crate::kernels::table::update::{Optimizer, Update};
use crate::rows::{Format, Layout};
use crate::testing::{assert_rejects, assert_same, devices, gpu, layouts, poisoned, signed, upload};

/// Some planned steps of two tables.
struct Case {
    plan: Plan,
    triples: Vec<u32>,
    sizes: [Vec<u32>; 2],
    dims: [u32; 2],
    layouts: [Layout; 2],
    rule: UpdateRule,
    /// Of the first step, of users and of items.
    first: [u32; 2],
    /// Whether gradients lie in one buffer, where they can.
    joint: bool,
    /// The largest size to come.
    largest: u32,
}

/// Values and state of both tables, and what was counted.
type After = ([Snapshot; 2], Vec<u32>);

impl Case {
    fn new(batch: u32, steps: u32, rule: impl Into<UpdateRule>) -> Self {
        let sizes = [vec![3, 0, 16, 1, 7, 40, 2], vec![17, 5, 0, 1, 64, 9, 33, 8, 2, 12]];
        let plan = Plan { batch, steps, users: sizes[0].len() as u32, items: sizes[1].len() as u32 };
        Self {
            triples: triples_of(plan),
            plan,
            sizes,
            dims: [40, 33],
            layouts: [Layout::default(); 2],
            rule: rule.into(),
            first: [3, 3],
            joint: true,
            largest: 0,
        }
    }

    fn before(&self, side: usize) -> Snapshot {
        Snapshot::before(&self.sizes[side], self.layouts[side].format, self.rule)
    }

    fn rows(&self, device: &Device) -> [Rows; 2] {
        [0, 1].map(|side| {
            let layout = self.layouts[side];
            let mut rows = self.before(side).rows(device, &self.sizes[side], layout, self.rule);
            rows.expect(self.largest);
            rows
        })
    }

    /// Of a step; one is infinite on each side, and one is no number.
    fn gradients(&self, step: u32) -> [Vec<f32>; 2] {
        [1, 2].map(|side| {
            let len = side * self.plan.batch as usize * self.dims[side - 1] as usize;
            let mut gradients = signed(len, 10 * step + side as u32);
            if let [first, .., last] = &mut gradients[..] {
                (*first, *last) = (f32::INFINITY, f32::NAN);
            }
            gradients
        })
    }

    /// On a GPU as ranges of one buffer, if that is wanted.
    fn upload(&self, device: &Device, [users, items]: &[Vec<f32>; 2]) -> [Buffer<f32>; 2] {
        match device.as_gpu() {
            Some(gpu) if self.joint && !users.is_empty() && !items.is_empty() => {
                let begin = UpdateSides::items_begin(self.plan.batch, self.dims[0]);
                let mut all = users.clone();
                all.resize(begin, f32::NAN);
                all.extend(items);
                let all = upload(device, &all);
                [0..users.len(), begin..begin + items.len()]
                    .map(|range| Buffer::from_wgpu_range(gpu, all.as_wgpu().unwrap().clone(), range).unwrap())
            }
            _ => [upload(device, users), upload(device, items)],
        }
    }

    fn run(&self, device: &Device) -> After {
        let [mut users, mut items] = self.rows(device);
        let mut order = poisoned(device, self.plan.order_len(self.dims));
        let mut counter = upload(device, &[5u32, 7]);
        let triples = upload(device, &self.triples);
        PlanSteps { plan: self.plan, triples: &triples, order: &mut order }.run(device).unwrap();
        for number in 0..self.plan.steps {
            let gradients = self.gradients(number);
            let buffers = self.upload(device, &gradients);
            let side = |rows, side: usize| Side {
                rows,
                gradients: &buffers[side],
                dims: self.dims[side],
                step: self.first[side] + number,
                seed: 1 << 40 | side as u64,
            };
            UpdateSides {
                users: side(&mut users, 0),
                items: side(&mut items, 1),
                plan: self.plan,
                number,
                order: &mut order,
                rule: self.rule,
                counter: Some(&mut counter),
            }
            .run(device)
            .unwrap();
            for (buffer, gradients) in buffers.iter().zip(&gradients) {
                assert_same("gradients", &buffer.read().unwrap(), gradients);
            }
        }
        ([Snapshot::of("users", &users), Snapshot::of("items", &items)], counter.read().unwrap())
    }

    /// By two updates a step.
    fn run_apart(&self, device: &Device) -> After {
        let mut tables = self.rows(device);
        let mut counters = [upload(device, &[5u32]), upload(device, &[7u32])];
        let batch = self.plan.batch;
        for number in 0..self.plan.steps {
            let of_step = 3 * batch as usize;
            let ids = upload(device, &self.triples[number as usize * of_step..][..of_step]);
            let gradients = self.gradients(number).map(|gradients| upload(device, &gradients));
            for (side, (rows, counter)) in tables.iter_mut().zip(&mut counters).enumerate() {
                let (first, count) = [(0, batch), (batch, 2 * batch)][side];
                Update {
                    rows,
                    ids: &ids,
                    first,
                    count,
                    gradients: (&gradients[side]).into(),
                    dims: self.dims[side],
                    rule: self.rule,
                    step: self.first[side] + number,
                    seed: 1 << 40 | side as u64,
                    workspace: &mut poisoned(device, Update::workspace_len(count, self.dims[side])),
                    counter: Some(counter),
                }
                .run(device)
                .unwrap();
            }
        }
        let counts = counters.iter().map(|counter| counter.read().unwrap()[0]).collect();
        ([Snapshot::of("users", &tables[0]), Snapshot::of("items", &tables[1])], counts)
    }

    fn check(&self, device: &Device) {
        let (got, want) = (self.run(device), self.run_apart(device));
        let what = format!("{:?}, {:?}, {:?}, {:?}", self.rule, self.plan, self.dims, self.layouts);
        for (side, (got, want)) in ["users", "items"].into_iter().zip(got.0.iter().zip(&want.0)) {
            got.assert_same(&format!("{side}, {what}"), want);
        }
        assert_same(&format!("counter, {what}"), &got.1, &want.1);
    }
}

/// Runs of these lengths on each side, mixed.
fn of_lengths(lengths: &[usize]) -> Case {
    let batch = lengths.iter().sum::<usize>();
    let ids = |turn: usize| {
        let mut ids: Vec<u32> =
            lengths.iter().enumerate().flat_map(|(row, &length)| vec![row as u32; length]).collect();
        ids.rotate_left(turn % batch);
        let (even, odd): (Vec<_>, Vec<_>) = ids.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
        even.into_iter().chain(odd).map(|(_, id)| id).collect::<Vec<_>>()
    };
    // Negatives are no items, so that the items' runs have these lengths too.
    let triples = [ids(3), ids(5), vec![u32::MAX; batch]].concat();
    let case = Case::new(batch as u32, 1, ADAGRAD);
    assert!(lengths.len() <= case.sizes[0].len());
    Case { triples, ..case }
}

fn parity(device: &Device) {
    for rule in [SGD.into(), decayed(ADAGRAD)] {
        for (batch, steps) in [(1, 3), (21, 2), (64, 1), (300, 3), (0, 1)] {
            Case::new(batch, steps, rule).check(device);
        }
        // Gradients narrower and wider than rows, and of one width.
        for dims in [[3, 5], [70, 1], [64, 64], [300, 20]] {
            Case { dims, ..Case::new(90, 2, rule) }.check(device);
        }
        let [half, byte] = [Format::F16, Format::I8].map(|format| Layout { format, ..Layout::default() });
        Case { layouts: [half; 2], dims: [15, 7], ..Case::new(120, 2, rule) }.check(device);
        Case { layouts: [byte, half], dims: [15, 7], ..Case::new(120, 2, rule) }.check(device);
        Case { layouts: [half, byte], dims: [13, 22], ..Case::new(120, 2, rule) }.check(device);
    }
    for lengths in [&[31, 32, 33][..], &[64, 65, 1, 63, 2], &[1, 500, 1], &[32, 32, 32, 32, 200]] {
        of_lengths(lengths).check(device);
    }
    let aligned = Layout { aligned: true, ..Layout::default() };
    Case { layouts: [aligned, Layout::default()], ..Case::new(100, 1, NESTEROV) }.check(device);
}

#[test]
fn both_sides_are_stepped_as_two_updates_step_them() {
    devices().iter().for_each(parity);
}

/// What one launch does not take goes side by side, page by page.
#[test]
fn whatever_shares_a_launch_the_bits_are_the_same() {
    for device in devices() {
        for rule in [SGD.into(), ADAGRAD.into(), ADAM.into(), clipped(oracle::ROW_WISE)] {
            let paged = layouts(64);
            for layouts in [[paged[0]; 2], [paged[1], paged[0]], [paged[2], paged[1]], [paged[0], paged[3]]] {
                Case { layouts, ..Case::new(150, 2, rule) }.check(&device);
            }
            Case { joint: false, ..Case::new(150, 2, rule) }.check(&device);
            Case { first: [3, 9], ..Case::new(50, 2, rule) }.check(&device);
            Case { largest: 300, ..Case::new(50, 1, rule) }.check(&device);
        }
        Case { dims: [0, 7], ..Case::new(50, 1, ADAGRAD) }.check(&device);
        Case { dims: [5000, 7], ..Case::new(40, 1, SGD) }.check(&device);
    }
}

/// A run of 16,384 occurrences: 512 chunks.
#[test]
fn one_row_with_all_occurrences() {
    for device in devices() {
        let case = of_lengths(&[16_384]);
        case.check(&device);
        if device.as_gpu().is_some() {
            let cpu = case.run(&Device::cpu());
            for (got, want) in case.run(&device).0.iter().zip(&cpu.0) {
                // The sums are the same bits; the step may be fused.
                assert_eq!(got.arena.len(), want.arena.len());
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a.abs().max(1.0);
                assert!(got.arena.iter().zip(&want.arena).all(close));
            }
        }
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        Case::new(5000, 1, ADAGRAD).check(&Device::Gpu(gpu.with_max_groups(17)));
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("return id_of(own) < params.user_rows;", "return id_of(own) <= params.user_rows;"),
            ("return own - params.first_key;", "return own;"),
            ("id_of(own) < params.user_rows + params.item_rows", "id_of(own) < params.user_rows"),
            ("item_row_at(id_of(own) - params.user_rows)", "item_row_at(id_of(own))"),
            ("(occurrence - params.batch) * params.item_dims", "occurrence * params.item_dims"),
            ("+ 63u) / 64u * 64u", ")"),
            ("return max(params.user_dims, params.item_dims);", "return params.user_dims;"),
            ("min(row.size, params.item_dims)", "row.size"),
            ("put_item_state_four(at, inside & sound, after.first);", ""),
            ("before.first = user_state_four(at, inside);", ""),
            ("return vec2<u32>(params.item_key_low, params.item_key_high);", "return user_noise_key();"),
            ("step_item(id_of(run.key) - params.user_rows,", "step_item(id_of(run.key),"),
            ("atomicAdd(&found[1], faults.y);", "atomicAdd(&found[0], faults.y);"),
            ("params.faults + 2u * tile + thread", "params.faults + 2u * tile"),
            ("if number < 2u * tiles() {", "if number < tiles() {"),
            ("run.start + number * chunk < run.end", "run.start + number * chunk < run.end - 1u"),
            ("start = start_of(own, begin);", "start = begin;"),
        ],
        parity,
    );
}

#[test]
fn wrong_arguments_are_errors() {
    let device = Device::cpu();
    let case = Case::new(10, 2, SGD);
    let run = |change: &dyn Fn(&mut UpdateSides<'_>)| {
        let [mut users, mut items] = case.rows(&device);
        let [of_users, of_items] = case.upload(&device, &case.gradients(0));
        let mut order = Buffer::zeroed(&device, case.plan.order_len(case.dims)).unwrap();
        let mut counter = upload(&device, &[0u32, 0]);
        let triples = upload(&device, &case.triples);
        PlanSteps { plan: case.plan, triples: &triples, order: &mut order }.run(&device).unwrap();
        let mut update = UpdateSides {
            users: Side { rows: &mut users, gradients: &of_users, dims: case.dims[0], step: 1, seed: 0 },
            items: Side { rows: &mut items, gradients: &of_items, dims: case.dims[1], step: 1, seed: 0 },
            plan: case.plan,
            number: 1,
            order: &mut order,
            rule: SGD.into(),
            counter: Some(&mut counter),
        };
        change(&mut update);
        update.run(&device).map_err(|error| error.to_string())
    };
    assert_eq!(run(&|_| {}), Ok(()));
    let error = |change: &dyn Fn(&mut UpdateSides<'_>)| run(change).unwrap_err();
    assert_eq!(error(&|update| update.number = 2), "rank/sides: `number` must be below 2, got 2");
    assert_eq!(error(&|update| update.plan.users = 6), "rank/sides: `users.rows` has length 7, expected 6");
    assert_eq!(error(&|update| update.items.dims = 34), "rank/sides: `items.gradients` has length 660, expected 680");
    assert_eq!(error(&|update| update.users.step = 0), "rank/sides: `step` must be at least 1, got 0");
    let adam = Optimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    assert!(error(&|update| update.rule = adam.into()).starts_with("rank/sides: `rows` must be rows with the state"));
    // An order that is none.
    let garbled = |update: &mut UpdateSides<'_>| {
        let words = update.order.as_mut_slice().unwrap();
        words[90..120].fill(30);
    };
    assert!(error(&garbled).starts_with("rank/sides: `order` must be what `rank/plan` wrote for this plan"));
    assert!(!UpdateSides::takes(1 << 20, [8, 8]) && UpdateSides::takes(1 << 17, [8, 8]));
}
