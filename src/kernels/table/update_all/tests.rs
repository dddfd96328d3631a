use super::*;
use crate::device::Device;
use crate::kernels::table::optimizer::Optimizer;
use crate::kernels::table::optimizer::oracle::{
    self, ADAGRAD, ADAM, ADAM_W, ROW_WISE, ROW_WISE_ADAM, SGD, Snapshot, clipped,
};
use crate::kernels::table::testing::{self, HALF, Stepper};
use crate::rows::{Format, Layout};
use crate::testing::{
    assert_rejects, assert_same, devices, gpu, in_turn, layouts, poisoned, rows_of, signed, takes, upload,
};

mod non_finite;

/// A row of gradients for each row.
struct EveryRow;

type Case = testing::Case<EveryRow>;

impl Case {
    fn new(sizes: &[u32], dims: u32, rule: impl Into<UpdateRule>) -> Self {
        Self::of(EveryRow, sizes, dims, rule)
    }
}

impl Stepper for EveryRow {
    fn gradient_rows(case: &Case) -> usize {
        case.sizes.len()
    }

    fn step(case: &Case, device: &Device, rows: &mut Rows, gradients: &Buffer<f32>, counter: Option<&mut Buffer<u32>>) {
        let &Case { dims, rule, step, seed, .. } = case;
        UpdateAll { rows, gradients, dims, rule, step, seed, counter }.run(device).unwrap();
    }

    fn sums(case: &Case, gradients: &[f32]) -> Vec<oracle::Gradient> {
        let dims = case.dims as usize;
        let sums_of = |(row, &size): (usize, &u32)| {
            let width = dims.min(size as usize);
            let sums = gradients[row * dims..][..width].iter().map(|&g| f64::from(g)).collect();
            oracle::Gradient { sums, errors: vec![0.0; width] }
        };
        case.sizes.iter().enumerate().map(sums_of).collect()
    }
}

fn mixed(rows: u32) -> Vec<u32> {
    (0..rows).map(|row| (row * 7 + row / 3) % 19).collect()
}

fn parity(device: &Device) {
    for (number, rule) in oracle::rules().into_iter().enumerate() {
        for rows in [0, 1, 255, 256, 257] {
            Case::new(&mixed(rows), 16, rule).check(device);
        }
        // Every rule in one width; widths ask for pipelines of their own.
        if !takes(device, number) {
            continue;
        }
        // Gradients of no dim, narrower than rows, wider, and so wide that a lane has many values.
        for dims in [0, 1, 5, 33, 300] {
            Case::new(&mixed(40), dims, rule).check(device);
        }
        Case::new(&[3, 900, 0, 1, 1000], 1000, rule).check(device);
        Case::new(&[1, 20_000, 1], 20_000, rule).check(device);
        Case::new(&[0; 5], 4, rule).check(device);
    }
    for optimizer in [ADAM, ADAM_W, ROW_WISE_ADAM] {
        for step in [1, 100_000] {
            Case { step, ..Case::new(&mixed(40), 16, optimizer) }.check(device);
        }
    }
}

#[test]
fn updates_match_the_f64_oracle() {
    devices().iter().for_each(parity);
}

/// Every rule on f16 and in pages.
fn parity_in_layouts(device: &Device) {
    // Blocks of two rows.
    for (number, layout) in layouts(20_000).into_iter().enumerate() {
        for rule in [SGD.into(), clipped(ROW_WISE_ADAM)].into_iter().filter(|_| takes(device, number + 1)) {
            Case { layout, ..Case::new(&[5, 3, 20_000, 7, 2, 9, 4], 3, rule) }.check(device);
        }
    }
    // Those that do most come last there.
    for (number, rule) in oracle::rules().into_iter().rev().enumerate() {
        for (i, layout) in layouts(18).iter().enumerate().skip(1) {
            if !takes(device, i + number) {
                continue;
            }
            // Wider than rows, and narrower and odd: the other half of its last word stays.
            for dims in [0, 3, 33] {
                let case = Case { layout: *layout, ..Case::new(&mixed(40), dims, rule) };
                assert!(layout.page_bytes.is_none() || case.rows(&Device::cpu()).pages().len() > 1);
                case.check(device);
            }
        }
        // Lanes with one, two and three words of f16, and with many.
        if !takes(device, number + 2) {
            continue;
        }
        let sizes = [64, 65, 66, 0, 80, 127, 128, 129, 1000];
        Case { layout: HALF, ..Case::new(&sizes, 1001, rule) }.check(device);
        Case { layout: HALF, ..Case::new(&mixed(257), 4, rule) }.check(device);
        Case { layout: HALF, ..Case::new(&[], 4, rule) }.check(device);
    }
    for optimizer in [ADAM, ADAM_W, ROW_WISE_ADAM] {
        for step in [1, 100_000] {
            Case { step, layout: HALF, ..Case::new(&mixed(40), 33, optimizer) }.check(device);
        }
    }
}

#[test]
fn updates_match_the_f64_oracle_in_every_layout() {
    devices().iter().for_each(parity_in_layouts);
}

/// Numbers whose steps are exact in f32: of f16 then, every device makes the same.
fn same_bits(device: &Device) {
    let sizes = mixed(60);
    let part = |salt, unit| signed(60 * 19, salt).iter().map(|x| (x * 512.0).round() * unit).collect::<Vec<_>>();
    // Weights of 2^-9 and steps of 2^-14.
    let (weights, gradients) = (part(1, 1.0 / 512.0), part(3, 1.0 / 8192.0));
    let weights = &weights[..sizes.iter().sum::<u32>() as usize];
    let step = |device: &Device, layout| {
        let mut rows = rows_of(device, &sizes, weights, layout, SGD.state_size());
        let gradients = upload(device, &gradients);
        let seed = 0x0123_4567_89AB_CDEF;
        UpdateAll { rows: &mut rows, gradients: &gradients, dims: 19, rule: SGD.into(), step: 77, seed, counter: None }
            .run(device)
            .unwrap();
        Snapshot::of("step", &rows).arena
    };
    for layout in layouts(18) {
        let in_one_page = Layout { format: layout.format, ..Layout::default() };
        let got = step(device, layout);
        assert_same("values", &got, &step(&Device::cpu(), in_one_page));
        assert!(got.iter().zip(weights).filter(|(a, b)| a != b).count() > got.len() / 10);
    }
}

#[test]
fn exact_steps_are_the_same_bits_on_every_device_and_in_every_layout() {
    devices().iter().for_each(same_bits);
}

/// Rows of f16, all values 1.5, after steps by `by` a value.
fn walk(device: &Device, by: f32, (seed, steps): (u64, &[u32])) -> Vec<f32> {
    let layout = Layout { aligned: true, ..layouts(40)[4] };
    let mut rows = rows_of(device, &[40; 25], &[1.5; 1000], layout, SGD.state_size());
    let gradients = upload(device, &[-2.0 * by; 1000]);
    for &step in steps {
        UpdateAll { rows: &mut rows, gradients: &gradients, dims: 40, rule: SGD.into(), step, seed, counter: None }
            .run(device)
            .unwrap();
    }
    Snapshot::of("walk", &rows).arena
}

/// Steps of a 32nd of the distance to the next f16: each would be lost to the nearest, together they are not.
#[test]
fn tiny_steps_add_up_on_average() {
    let distance = 2.0f32.powi(-10);
    let steps: Vec<u32> = (1..=64).collect();
    for device in devices() {
        let after = walk(&device, distance / 32.0, (9, &steps));
        // The sum of 64 draws of 1 in 32, of 1.4 as its deviation.
        let mean = after.iter().map(|value| f64::from((value - 1.5) / distance)).sum::<f64>() / 1000.0;
        assert!((mean - 2.0).abs() < 5.0 * 1.4 / 1000.0f64.sqrt(), "{device:?}: moved by {mean}");
    }
}

#[test]
fn noise_is_of_seed_and_step() {
    for device in devices() {
        let coins = |seed, step| walk(&device, 2.0f32.powi(-11), (seed, &[step]));
        let own = coins(5, 3);
        assert_same("the same seed and step", &coins(5, 3), &own);
        for (seed, step) in [(6, 3), (5 | 1 << 32, 3), (5, 4)] {
            let apart = own.iter().zip(coins(seed, step)).filter(|(a, b)| **a != *b).count();
            // 1000 coins, 80 of them 5 deviations.
            assert!(apart.abs_diff(500) < 80, "seed {seed}, step {step}: {apart} apart");
        }
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // 32 lanes a row: 8 rows a workgroup.
        let sizes: Vec<u32> = (0..8 * 65_536 + 9).map(|row| row % 4).collect();
        for rule in [SGD.into(), clipped(ROW_WISE)] {
            Case::new(&sizes, 17, rule).check(&Device::Gpu(gpu.clone()));
        }
    }
}

#[test]
fn a_large_table_is_cut_without_loss() {
    for rule in oracle::rules() {
        Case::new(&mixed(30_000), 16, rule).check(&Device::cpu());
        // Of some pages each is cut.
        let layout = Layout { format: Format::F16, aligned: true, page_bytes: Some(400_000) };
        Case { layout, ..Case::new(&mixed(30_000), 16, rule) }.check(&Device::cpu());
    }
}

#[test]
fn the_same_bits_twice() {
    for device in devices() {
        for (number, rule) in oracle::rules().into_iter().enumerate() {
            for (i, (layout, dims)) in [(Layout::default(), 16), (HALF, 4)].into_iter().enumerate() {
                if !takes(&device, i + number) {
                    continue;
                }
                let case = Case { layout, ..Case::new(&mixed(500), dims, rule) };
                case.run(&device).assert_same("twice", &case.run(&device));
            }
        }
    }
}

#[test]
fn mutants_of_formulas_are_rejected() {
    if !in_turn(SHADER.name, 0, 4) {
        return;
    }
    assert_rejects(SHADER.name, oracle::MUTANTS, |device| {
        oracle::ALL.iter().for_each(|&optimizer| Case::new(&mixed(40), 16, optimizer).check(device));
    });
}

#[test]
fn mutants_are_rejected() {
    if !in_turn(SHADER.name, 1, 4) {
        return;
    }
    assert_rejects(
        SHADER.name,
        &[
            ("min(own.size, params.dims)", "own.size"),
            ("let base = (params.first_row + index) * params.dims;", "let base = row.start;"),
            ("add_squares(squares, row, dims,", "add_squares(0.0, row, dims,"),
            ("factor = clip_factor(thread, squares);", ""),
            ("if norm > params.max_norm {", "if norm < params.max_norm {"),
            ("factor * taken(gradients_of(index, row, dims)), true)", "gradients_of(index, row, dims), false)"),
            (
                "moved(weights_of(row, dims), factor * taken(g), row_state)",
                "moved(weights_of(row, dims), g, row_state)",
            ),
            ("kept -= params.weight_decay * before.w;", ""),
            ("accumulate(thread, index, select(0u, row.size", "accumulate(thread, index, select(0u, params.dims"),
            ("squares_shared[thread - thread % lanes]", "squares_shared[0]"),
        ],
        parity,
    );
}

#[test]
fn mutants_of_layouts_are_rejected() {
    if !in_turn(SHADER.name, 2, 4) {
        return;
    }
    assert_rejects(
        SHADER.name,
        &[
            // Pages.
            ("let base = (params.first_row + index) * params.dims;", "let base = index * params.dims;"),
            ("accumulate(thread, index, select", "accumulate(thread, params.first_row + index, select"),
            // Blocks and alignment.
            ("& ~(alignment - 1u);", ";"),
            ("let start = (before + alignment - 1u)", "let start = (before + 1u)"),
            ("if !begins_block(row, params.shift) {", "if row > 0u {"),
            ("directory[row >> params.shift]", "directory[0]"),
            // Odd widths.
            ("values.xyxy, vec4<bool>(those.xy, none)", "values.xyxy, vec4<bool>(true, true, none)"),
            ("(before & ~mask) | (after & mask)", "after & mask"),
            ("values.y = gradients[at.y];", "values.y = gradients[at.x];"),
            // Noise.
            ("noise = noise.zwzw;", ""),
            ("select(all_decoded(before), values, those), noise", "values, noise"),
            ("    step(params.first_row + index, row", "    step(index, row"),
            ("params.step, params.purpose)", "0u, params.purpose)"),
            ("(noise >> 3u)", "0xfffu"),
        ],
        |device| {
            same_bits(device);
            parity_in_layouts(device);
        },
    );
}

#[test]
fn bad_shapes_and_constants_are_errors() {
    let device = Device::cpu();
    let adam = |beta2| Optimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2, epsilon: 1e-8 };
    let state = "table/update_all: `rows` must be rows with the state of the rule, StateSize { per_value: 1, per_row: \
                 0 }, got StateSize { per_value: 0, per_row: 0 }";
    for (optimizer, own, gradients, step, text) in [
        (SGD, SGD, 2, 1, "table/update_all: `gradients` has length 2, expected 1"),
        (ADAGRAD, SGD, 1, 1, state),
        (adam(0.999), ADAM, 1, 0, "table/update_all: `step` must be at least 1, got 0"),
        (adam(1.0), ADAM, 1, 1, "table/update_all: `beta2` must be at least 0 and below 1, got 1"),
        (adam(f32::NAN), ADAM, 1, 1, "table/update_all: `beta2` must be at least 0 and below 1, got NaN"),
    ] {
        for layout in [Layout::default(), HALF] {
            let mut rows = rows_of(&device, &[1], &[1.0], layout, own.state_size());
            let gradients = poisoned(&device, gradients);
            let rule = optimizer.into();
            let update =
                UpdateAll { rows: &mut rows, gradients: &gradients, dims: 1, rule, step, seed: 0, counter: None };
            assert_eq!(update.run(&device).unwrap_err().to_string(), text);
            assert_eq!(rows.read().unwrap(), [1.0]);
        }
    }
}
