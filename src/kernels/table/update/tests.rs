use super::*;
use crate::device::Device;
use crate::kernels::table::optimizer::oracle::{
    self, ADAGRAD, ADAM, ADAM_W, NESTEROV, ROW_WISE, ROW_WISE_ADAM, SGD, Snapshot, clipped,
};
use crate::testing::{assert_close, assert_rejects, assert_same, devices, gpu, offsets_of, poisoned, signed, upload};

struct Case {
    sizes: Vec<u32>,
    ids: Vec<u32>,
    dims: u32,
    rule: UpdateRule,
    step: u32,
}

impl Case {
    fn new(sizes: &[u32], ids: Vec<u32>, dims: u32, rule: impl Into<UpdateRule>) -> Self {
        Self { sizes: sizes.to_vec(), ids, dims, rule: rule.into(), step: 3 }
    }

    fn offsets(&self) -> Vec<u32> {
        offsets_of(&self.sizes)
    }

    fn before(&self) -> Snapshot {
        let values = self.sizes.iter().sum::<u32>() as usize;
        Snapshot { arena: signed(values, 1), state: oracle::state(self.rule, self.sizes.len(), values) }
    }

    fn gradients(&self) -> Vec<f32> {
        signed(self.ids.len() * self.dims as usize, 3)
    }

    fn run(&self, device: &Device) -> Snapshot {
        let gradients = self.gradients();
        let before = self.before();
        let mut arena = upload(device, &before.arena);
        let mut state: Vec<_> = before.state.iter().map(|state| upload(device, state)).collect();
        let (offsets, ids) = (upload(device, &self.offsets()), upload(device, &self.ids));
        let gradients_buffer = upload(device, &gradients);
        let count = self.ids.len() as u32;
        let mut workspace = poisoned(device, Update::workspace_len(count, self.dims));
        Update {
            arena: &mut arena,
            offsets: &offsets,
            state: &mut state,
            ids: &ids,
            first: 0,
            count,
            gradients: (&gradients_buffer).into(),
            dims: self.dims,
            rule: self.rule,
            step: self.step,
            workspace: &mut workspace,
        }
        .run(device)
        .unwrap();
        assert_same("gradients", &gradients_buffer.read().unwrap(), &gradients);
        assert_same("ids", &ids.read().unwrap(), &self.ids);
        assert_same("offsets", &offsets.read().unwrap(), &self.offsets());
        let state = state.iter().map(|state| state.read().unwrap()).collect();
        Snapshot { arena: arena.read().unwrap(), state }
    }

    /// Compares with f64 sums; untouched values must be equal bit for bit.
    fn check(&self, device: &Device) {
        let (gradients, dims) = (self.gradients(), self.dims as usize);
        let mut sums: Vec<_> =
            self.sizes.iter().map(|_| oracle::Gradient { sums: Vec::new(), errors: Vec::new() }).collect();
        for (b, &id) in self.ids.iter().enumerate().filter(|(_, id)| (**id as usize) < self.sizes.len()) {
            let width = dims.min(self.sizes[id as usize] as usize);
            let row = &mut sums[id as usize];
            row.sums.resize(width, 0.0);
            row.errors.resize(width, 0.0);
            for j in 0..width {
                let g = f64::from(gradients[b * dims + j]);
                row.sums[j] += g;
                // Sums of at most 64 and then of their number: far below eps * length, which holds for one long sum.
                row.errors[j] += 16.0 * f64::from(f32::EPSILON) * g.abs();
            }
        }
        let what = format!("{:?}, {} sizes, {} ids", self.rule, self.sizes.len(), self.ids.len());
        let (before, after) = (self.before(), self.run(device));
        oracle::check(&what, (self.rule, self.step), &self.offsets(), &sums, (&before, &after));
    }
}

/// The way back of bags: what the same batch gives with every occurrence's gradient written out.
struct BagCase {
    case: Case,
    /// Lengths of the bags; the first begins at `before`, and some ids may lie behind the last.
    lengths: Vec<u32>,
    before: u32,
    pooling: Pooling,
    weighted: bool,
}

impl BagCase {
    fn bags(&self) -> Vec<u32> {
        offsets_of(&self.lengths).iter().map(|offset| offset + self.before).collect()
    }

    fn check(&self, device: &Device) {
        let Case { sizes, ids, dims, rule, step } = &self.case;
        let (dims, count) = (*dims as usize, ids.len());
        let bags = self.bags();
        let gradients = signed(self.lengths.len() * dims, 3);
        let weights = signed(count, 8);
        // A winner for each dim: some id of the bag, or none.
        let mut winners = vec![u32::MAX; gradients.len()];
        let mut each = vec![0.0f32; count * dims];
        let mut rows = vec![sizes.len() as u32; count];
        for (k, ends) in bags.windows(2).enumerate() {
            let length = ends[1] - ends[0];
            for j in (0..dims).filter(|j| length > 0 && (k + j) % 5 > 0) {
                winners[k * dims + j] = ends[0] + (k * 3 + j) as u32 % length;
            }
            for i in ends[0]..ends[1] {
                rows[i as usize] = ids[i as usize];
                let weight = if self.weighted { weights[i as usize] } else { 1.0 };
                for j in 0..dims {
                    let g = gradients[k * dims + j];
                    each[i as usize * dims + j] = match self.pooling {
                        Pooling::Sum => weight * g,
                        Pooling::Mean => weight / length as f32 * g,
                        Pooling::Max => f32::from(u8::from(winners[k * dims + j] == i)) * g,
                    };
                }
            }
        }
        let before = self.case.before();
        let run = |ids: &[u32], gradients: Gradients<'_>| {
            let mut arena = upload(device, &before.arena);
            let mut state: Vec<_> = before.state.iter().map(|state| upload(device, state)).collect();
            let mut workspace = poisoned(device, Update::bag_workspace_len(count as u32, dims as u32));
            Update {
                arena: &mut arena,
                offsets: &upload(device, &self.case.offsets()),
                state: &mut state,
                ids: &upload(device, ids),
                first: 0,
                count: count as u32,
                gradients,
                dims: dims as u32,
                rule: *rule,
                step: *step,
                workspace: &mut workspace,
            }
            .run(device)
            .unwrap();
            let state: Vec<_> = state.iter().flat_map(|state| state.read().unwrap()).collect();
            [arena.read().unwrap(), state].concat()
        };
        let want = run(&rows, (&upload(device, &each)).into());
        let (gradients, bags) = (upload(device, &gradients), upload(device, &bags));
        let (weights, winners) = (upload(device, &weights), upload(device, &winners));
        let max = self.pooling == Pooling::Max;
        let of = BagGradients {
            gradients: &gradients,
            bags: &bags,
            weights: self.weighted.then_some(&weights),
            pooling: self.pooling,
            winners: max.then_some(&winners),
        };
        let got = run(ids, Gradients::Bags(of));
        let what = format!("{:?} of {:?}, {rule:?}", self.pooling, self.lengths);
        // A product may be fused with the sum that it goes into.
        let largest = want.iter().fold(1.0f32, |most, value| most.max(value.abs()));
        let slack = if max { 0.0 } else { 64.0 * f32::EPSILON * largest };
        assert_close(&what, &got, &want, |_| slack);
    }
}

fn bags_parity(device: &Device) {
    let sizes = [3, 0, 16, 1, 7, 16, 2];
    let batches: [(&[u32], u32, u32); 6] = [
        (&[], 0, 2),
        (&[0, 0], 0, 1),
        (&[1], 0, 0),
        (&[3, 0, 5, 40, 1, 0], 2, 3),
        (&[64, 129, 7], 0, 0),
        (&[2; 200], 1, 1),
    ];
    for (lengths, before, behind) in batches {
        let count = before + lengths.iter().sum::<u32>() + behind;
        for (pooling, weighted) in [
            (Pooling::Sum, false),
            (Pooling::Sum, true),
            (Pooling::Mean, true),
            (Pooling::Mean, false),
            (Pooling::Max, false),
        ] {
            for rule in [SGD.into(), ADAGRAD.into(), clipped(ROW_WISE)] {
                let case = Case::new(&sizes, spread(count, 7), 16, rule);
                BagCase { case, lengths: lengths.to_vec(), before, pooling, weighted }.check(device);
            }
        }
    }
    // One row in all bags: long runs.
    let case = Case::new(&[5, 3], vec![0; 700], 6, SGD);
    BagCase { case, lengths: vec![100; 7], before: 0, pooling: Pooling::Mean, weighted: true }.check(device);
}

#[test]
fn the_way_back_of_bags_is_that_of_their_ids() {
    devices().iter().for_each(bags_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("winners[at] == occurrence", "winners[at] != occurrence"),
            ("factor /= f32(end - start);", "factor /= f32(end - start + 1u);"),
            ("if bags[middle] <= occurrence {", "if bags[middle] < occurrence {"),
            ("if i >= start && i < end {", "if i < end {"),
            ("factor = weights[i];", "factor = weights[0];"),
        ],
        bags_parity,
    );
}

#[test]
fn bags_that_do_not_fit_are_errors() {
    let device = Device::cpu();
    let (gradients, weights) = (upload(&device, &[1.0f32; 4]), upload(&device, &[1.0f32; 2]));
    let winners = upload(&device, &[0u32; 4]);
    let run = |bags: &[u32], pooling, weighted: bool, won: bool, first| {
        let bags = upload(&device, bags);
        let of = BagGradients {
            gradients: &gradients,
            bags: &bags,
            weights: weighted.then_some(&weights),
            pooling,
            winners: won.then_some(&winners),
        };
        let update = Update {
            arena: &mut upload(&device, &[0.0f32; 2]),
            offsets: &upload(&device, &[0u32, 2]),
            state: &mut [],
            ids: &upload(&device, &[0u32; 4]),
            first,
            count: 3,
            gradients: Gradients::Bags(of),
            dims: 2,
            rule: SGD.into(),
            step: 1,
            workspace: &mut upload(&device, &[]),
        };
        update.run(&device).unwrap_err().to_string()
    };
    let found = [
        run(&[0, 1, 2], Pooling::Sum, false, false, 1),
        run(&[0, 1], Pooling::Sum, false, false, 0),
        run(&[0, 1, 2], Pooling::Sum, true, false, 0),
        run(&[0, 1, 2], Pooling::Max, true, true, 0),
        run(&[0, 1, 2], Pooling::Max, false, false, 0),
        run(&[0, 1, 2], Pooling::Mean, false, true, 0),
        run(&[0, 1, 4], Pooling::Mean, false, false, 0),
    ];
    let expected = [
        "table/update: `first` must be 0 with bags, got 1",
        "table/update: `gradients` has length 4, expected 2",
        "table/update: `weights` has length 2, expected 3",
        "table/update: `weights` must be none for the max, got some",
        "table/update: `winners` must be some for the max, got none",
        "table/update: `winners` must be none but for the max, got some",
        "table/update: `bags` must be never falling, with an end at most 3, got an end at 4",
    ];
    assert_eq!(found, expected);
}

fn spread(count: u32, rows: u32) -> Vec<u32> {
    (0..count).map(|b| (b * 7 + b / 3) % (rows + 2)).collect()
}

fn parity(device: &Device) {
    let sizes = [3, 0, 16, 1, 7, 16, 2];
    for rule in oracle::rules() {
        for count in [0, 1, 63, 255, 256, 257] {
            Case::new(&sizes, spread(count, 7), 16, rule).check(device);
        }
        // Gradients narrower than rows, and much wider.
        Case::new(&sizes, spread(40, 7), 4, rule).check(device);
        Case::new(&sizes, spread(40, 7), 300, rule).check(device);
        Case::new(&[900, 1], spread(9, 2), 1000, rule).check(device);
        // Lanes with one, two and three values.
        Case::new(&[32, 40, 0, 64, 65], spread(30, 5), 70, rule).check(device);
        // Runs that begin inside a chunk, fill chunks exactly, and end inside one.
        let runs = |lengths: &[usize]| {
            lengths.iter().enumerate().flat_map(|(row, &n)| vec![row as u32; n]).collect::<Vec<_>>()
        };
        for lengths in [&[63, 64, 65, 128, 1, 200][..], &[64, 64, 129], &[500], &[10, 500, 10]] {
            let mut ids = runs(lengths);
            ids.reverse();
            Case::new(&[5, 300, 2, 9, 1, 4], ids, 300, rule).check(device);
        }
        Case::new(&[], vec![0, 1], 2, rule).check(device);
        Case::new(&[0, 0], vec![0, 1, 0], 2, rule).check(device);
    }
    for optimizer in [ADAM, ADAM_W, ROW_WISE_ADAM] {
        for step in [1, 100_000] {
            Case { step, ..Case::new(&sizes, spread(40, 7), 16, optimizer) }.check(device);
        }
    }
}

#[test]
fn updates_match_the_f64_oracle() {
    devices().iter().for_each(parity);
}

/// lavapipe ends loops at 65,535 trips without a word: one row with 300,000 occurrences must still count exactly.
#[test]
fn one_row_with_all_occurrences() {
    for device in devices() {
        for rule in [SGD.into(), ADAM.into(), ROW_WISE.into(), clipped(NESTEROV), clipped(ROW_WISE_ADAM)] {
            Case::new(&[3, 2], vec![1; 300_000], 2, rule).check(&device);
        }
    }
}

/// As wide and as often as a short run can be, summed twice and three times: the loops of a lane stay below 65,535 trips.
#[test]
fn one_wide_row_as_a_whole() {
    for device in devices() {
        Case::new(&[33_023], vec![0; 64], 33_023, ROW_WISE).check(&device);
        // 264 values a lane, the most there are.
        Case::new(&[8447], vec![0; 64], 8447, clipped(ROW_WISE_ADAM)).check(&device);
    }
}

/// A step of 1 from zero shows the sums themselves.
#[test]
fn sums_are_the_same_bits_on_every_device() {
    let ids: Vec<u32> = (0..3000).map(|b| if b % 3 == 0 { 1 } else { b % 60 }).collect();
    let gradients = signed(ids.len() * 9, 3);
    let sums = |device: &Device| {
        let mut arena = upload(device, &[0.0f32; 60 * 9]);
        let offsets: Vec<u32> = (0..=60).map(|row| 9 * row).collect();
        Update {
            arena: &mut arena,
            offsets: &upload(device, &offsets),
            state: &mut [],
            ids: &upload(device, &ids),
            first: 0,
            count: ids.len() as u32,
            gradients: (&upload(device, &gradients)).into(),
            dims: 9,
            rule: Optimizer::Sgd { learning_rate: 1.0 }.into(),
            step: 1,
            workspace: &mut poisoned(device, Update::workspace_len(ids.len() as u32, 9)),
        }
        .run(device)
        .unwrap();
        arena.read().unwrap()
    };
    for device in devices() {
        assert_same("sums", &sums(&device), &sums(&Device::cpu()));
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // 32 lanes a row: 8 occurrences a workgroup.
        for rule in [SGD.into(), clipped(ROW_WISE)] {
            Case::new(&[20; 1000], spread(8 * 65_536 + 8, 1000), 32, rule).check(&Device::Gpu(gpu.clone()));
        }
    }
}

#[test]
fn the_same_bits_twice() {
    for device in devices() {
        for rule in oracle::rules() {
            let case = Case::new(&[8; 50], spread(5000, 50), 8, rule);
            let (a, b) = (case.run(&device), case.run(&device));
            assert_same("values", &a.arena, &b.arena);
            assert_same("state", &a.state.concat(), &b.state.concat());
        }
    }
}

/// What asks for nothing changes nothing, by whichever code it goes.
#[test]
fn no_clipping_and_no_decay_are_the_same_bits() {
    for device in devices() {
        for optimizer in oracle::ALL {
            let case = |rule| Case::new(&[3, 0, 16, 1, 90], spread(700, 5), 80, rule);
            let plain = case(UpdateRule::new(optimizer)).run(&device);
            // A norm that no row reaches goes by other entry points, which a GPU may fuse in another way.
            let far = if device.as_gpu().is_some() { f32::INFINITY } else { 1e18 };
            for (weight_decay, max_norm) in [(0.0, f32::INFINITY), (-0.0, f32::INFINITY), (0.0, far)] {
                let same = case(UpdateRule { optimizer, weight_decay, max_norm }).run(&device);
                assert_same("values", &same.arena, &plain.arena);
                assert_same("state", &same.state.concat(), &plain.state.concat());
            }
        }
        let adam_w = |weight_decay| match ADAM_W {
            Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, .. } => {
                Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay }
            }
            other => panic!("{other:?}"),
        };
        let [adam, none] = [ADAM, adam_w(0.0)].map(|rule| Case::new(&[9; 5], spread(70, 5), 8, rule).run(&device));
        assert_same("values", &none.arena, &adam.arena);
        assert_same("state", &none.state.concat(), &adam.state.concat());
    }
}

/// Rows that do not occur keep their weights, decay or not.
#[test]
fn decay_is_of_the_rows_that_are_stepped() {
    for device in devices() {
        for rule in [oracle::decayed(SGD), ADAM_W.into(), oracle::clipped_and_decayed(ROW_WISE_ADAM)] {
            let case = Case::new(&[3, 4, 2], vec![1, 1], 2, rule);
            let (before, after) = (case.before(), case.run(&device));
            let kept = |arena: &[f32]| [&arena[..3], &arena[5..]].concat();
            assert_same("other rows and dims", &kept(&after.arena), &kept(&before.arena));
            assert!(after.arena[3..5].iter().zip(&before.arena[3..5]).all(|(a, b)| a != b));
        }
    }
}

#[test]
fn a_part_of_the_ids() {
    for device in devices() {
        let mut arena = upload(&device, &[1.0f32, 2.0, 3.0]);
        let (offsets, ids) = (upload(&device, &[0u32, 1, 2, 3]), upload(&device, &[0u32, 2, 1, 2]));
        let gradients = upload(&device, &[10.0f32, 20.0]);
        let mut workspace = poisoned(&device, Update::workspace_len(2, 1));
        Update {
            arena: &mut arena,
            offsets: &offsets,
            state: &mut [],
            ids: &ids,
            first: 1,
            count: 2,
            gradients: (&gradients).into(),
            dims: 1,
            rule: SGD.into(),
            step: 1,
            workspace: &mut workspace,
        }
        .run(&device)
        .unwrap();
        assert_eq!(arena.read().unwrap(), [1.0, 2.0 - 10.0, 3.0 - 5.0]);
    }
}

#[test]
fn offsets_that_fall_are_errors_on_the_cpu() {
    let device = Device::cpu();
    for (offsets, text) in [([0u32, 3, 1], "row 1 at 3..1 behind 3"), ([0, 1, 9], "row 1 at 1..9 behind 1")] {
        let mut arena = upload(&device, &[1.0f32, 2.0, 3.0]);
        let (offsets, ids) = (upload(&device, &offsets), upload(&device, &[1u32, 0]));
        let (gradients, mut workspace) = (upload(&device, &[1.0f32, 1.0]), upload(&device, &[0u32]));
        let update = Update {
            arena: &mut arena,
            offsets: &offsets,
            state: &mut [],
            ids: &ids,
            first: 0,
            count: 2,
            gradients: (&gradients).into(),
            dims: 1,
            rule: SGD.into(),
            step: 1,
            workspace: &mut workspace,
        };
        assert!(update.run(&device).unwrap_err().to_string().ends_with(text));
        assert_eq!(arena.read().unwrap(), [1.0, 2.0, 3.0]);
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("position < run.end; position++", "position + 1u < run.end; position++"),
            ("if end - start > chunk {", "if end - start >= chunk {"),
            ("if high - low <= chunk {\n            continue;", "if high - low <= chunk + 1u {\n            continue;"),
            ("select(0u, 1u, run.start > index * chunk)", "0u"),
            (
                "for (var next = index + 1u; next * chunk < run.end;",
                "for (var next = index + 1u; next * chunk + 1u < run.end;",
            ),
            ("min(offsets[row + 1u] - offsets[row], params.dims)", "params.dims"),
            // Row-wise: a lane keeps only its last sum, and a long run's sums lie where its first partial was.
            ("if clip == 0u || run.width > lanes {", "if clip == 0u {"),
            ("        if run.width > lanes {", "        if run.width > 2u * lanes {"),
            ("workspace[first_partial(run, index, j)] = bitcast<u32>(g);", ""),
            // The shared step.
            ("let sum = first_state[at] + g * g;", "let sum = g * g;"),
            ("(1.0 - params.beta1) * g;", "(1.0 - params.beta2) * g;"),
            ("second_state[at] = square;", ""),
            ("square * params.correction", "square"),
            ("half > 0u; half >>= 1u", "half > 1u; half >>= 1u"),
            ("&& width > 0u", ""),
            ("/ f32(width)", "/ f32(lanes)"),
            ("second_state[row] = state;", ""),
            ("params.beta2 * second_state[row]", "params.beta1 * second_state[row]"),
            ("sqrt(row_state * params.correction)", "sqrt(row_state)"),
            ("params.beta1 * first_state[at] + g;", "first_state[at] + g;"),
            ("direction = g + params.beta1 * velocity;", "direction = velocity;"),
            // Clipping and decay, in short runs and long ones.
            ("factor = clip_factor(thread, squares);\n    }", "}"),
            ("factor = clip_factor(thread, squares);\n        if", "if"),
            ("return params.max_norm / norm;", "return params.max_norm / (norm * norm);"),
            ("g + params.weight_decay * arena[at]", "g - params.weight_decay * arena[at]"),
            ("kept -= params.weight_decay * w;", ""),
            ("decayed(offsets[run.row] + j, g);", "g;"),
            ("decayed(offsets[run.row] + j, factor * g);", "decayed(offsets[run.row] + j, g);"),
        ],
        parity,
    );
}

#[test]
fn missing_state_and_bad_constants_are_errors() {
    let device = Device::cpu();
    let mut arena = upload(&device, &[1.0f32]);
    let (offsets, ids, gradients) = (upload(&device, &[0u32, 1]), upload(&device, &[0u32]), upload(&device, &[1.0f32]));
    let mut workspace = upload(&device, &[0u32]);
    let adam = |beta1| Optimizer::Adam { learning_rate: 0.1, beta1, beta2: 0.999, epsilon: 1e-8 };
    for (optimizer, lens, step, text) in [
        (ADAGRAD, &[][..], 1, "table/update: `state` has length 0, expected 1"),
        (adam(0.9), &[1, 2], 1, "table/update: `state[1]` has length 2, expected 1"),
        (ROW_WISE, &[2], 1, "table/update: `state[0]` has length 2, expected 1"),
        (adam(0.9), &[1, 1], 0, "table/update: `step` must be at least 1, got 0"),
        (adam(f32::NAN), &[1, 1], 1, "table/update: `beta1` must be at least 0 and below 1, got NaN"),
        (Optimizer::Sgd { learning_rate: f32::NAN }, &[], 1, "table/update: `learning_rate` must be finite, got NaN"),
    ] {
        let mut state: Vec<_> = lens.iter().map(|&len| poisoned(&device, len)).collect();
        let update = Update {
            arena: &mut arena,
            offsets: &offsets,
            state: &mut state,
            ids: &ids,
            first: 0,
            count: 1,
            gradients: (&gradients).into(),
            dims: 1,
            rule: optimizer.into(),
            step,
            workspace: &mut workspace,
        };
        assert_eq!(update.run(&device).unwrap_err().to_string(), text);
    }
    assert_eq!(arena.read().unwrap(), [1.0]);
}
