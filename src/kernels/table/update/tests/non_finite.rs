//! Gradients, values and state that are not finite, or that a step would make so.

use super::*;
use crate::kernels::table::optimizer::oracle::{FAULTS, faulty_layouts, faulty_rules};
use crate::rows::{Codec, Format, StateSize, with_codec};
use crate::testing::stored;

/// Occurrences of rows of which the first eight are short runs, and the last a long one.
fn batch() -> (Vec<u32>, Vec<u32>) {
    let sizes = vec![3, 0, 16, 1, 7, 16, 2, 9, 13];
    let runs = [(0, 1), (1, 1), (2, 2), (3, 1), (4, 3), (5, 5), (6, 1), (7, 2), (8, 150)];
    (sizes, runs.iter().flat_map(|&(row, count)| vec![row; count]).collect())
}

/// A fault in the first dim of a row, some in the middle, two in the last and before it, one in a dim that the row has
/// not, and one in a chunk of the long run; rows 1 and 3 have none.
fn faults(fault: f32, dims: usize) -> Vec<(usize, f32)> {
    [(0, 0), (3, 9), (2, 3), (7, 6), (7, 5), (10, 2), (13, 8), (16, 11), (17, 0), (100, 12)]
        .map(|(occurrence, dim)| (occurrence * dims + dim, fault))
        .to_vec()
}

fn parity(device: &Device) {
    let (sizes, ids) = batch();
    for (number, rule) in (0..).zip(faulty_rules()) {
        for fault in FAULTS {
            for layout in faulty_layouts(device, number, fault) {
                let case = Case::new(&sizes, ids.clone(), 16, rule);
                Case { faults: faults(fault, 16), layout, ..case }.check(device);
            }
        }
        // Infinities that cancel each other, and rows of more than a lane sums at once.
        let faults = vec![(3 * 300 + 6, f32::INFINITY), (4 * 300 + 6, f32::NEG_INFINITY), (7 * 300 + 299, f32::NAN)];
        let few = device.as_gpu().is_some() && number % 3 > 0 || !takes(device, number);
        for layout in [Layout::default(), HALF].into_iter().take(if few { 0 } else { 2 }) {
            let case = Case::new(&[1, 5, 16, 290, 300, 2], vec![0, 1, 2, 3, 3, 5, 9, 4], 300, rule);
            Case { faults: faults.clone(), layout, ..case }.check(device);
        }
    }
}

#[test]
fn what_is_not_finite_is_left_out_as_the_f64_oracle_has_it() {
    devices().iter().for_each(parity);
}

#[test]
fn mutants_are_rejected() {
    if !in_turn(SHADER.name, 3, 4) {
        return;
    }
    assert_rejects(
        SHADER.name,
        &[
            ("const INFINITE = 0x7f800000u;", "const INFINITE = 0x7f800001u;"),
            ("const LARGEST = 0x5b000000u;", "const LARGEST = 0x5a000000u;"),
            ("max(sizes_of(after.first), sizes_of(after.second))", "sizes_of(after.second)"),
            ("max(sizes_of(after.first), sizes_of(after.second))", "sizes_of(after.first)"),
            ("& vec4<bool>(row_is_finite)", ""),
            ("ones_of(inside & !sound)", "ones_of(!sound)"),
            ("+ ones_of(inside & replaced)", ""),
            ("atomicAdd(&counter[params.counter_at], number);", "atomicStore(&counter[params.counter_at], number);"),
            ("    if !is_finite(sum) {\n        return -1.0;\n    }\n", ""),
            (
                "            if is_finite(state) {\n                second_state[row] = state;\n            }",
                "second_state[row] = state;",
            ),
            (
                "            if is_finite(state) {\n                first_state[row] = state;\n            }",
                "first_state[row] = state;",
            ),
            (
                "let finite = factor >= 0.0 && is_finite(row_state);\n        for",
                "let finite = factor >= 0.0;\n        for",
            ),
            (
                "let finite = factor >= 0.0 && is_finite(row_state);\n        for",
                "let finite = is_finite(row_state);\n        for",
            ),
            ("let finite = factor >= 0.0 && is_finite(row_state);\n    for", "let finite = factor >= 0.0;\n    for"),
            (
                "let finite = factor >= 0.0 && is_finite(row_state);\n    for",
                "let finite = is_finite(row_state);\n    for",
            ),
            ("select(clamped, vec4<u32>(0u), sizes > vec4<u32>(INFINITE))", "clamped"),
            ("let clamped = signs | min", "let clamped = min"),
            (
                "squares = add_squares(squares, row, dims, taken(g), false);",
                "squares = add_squares(squares, row, dims, g, false);",
            ),
            ("put_weights(id, row, dims, after, inside & sound);", "put_weights(id, row, dims, after, inside);"),
            ("put_dithered(id, dims.x, at.x, values.xyxy,", "put_dithered(id, dims.x, at.x, values.zwzw,"),
            ("if !any(those) {", "if !those.x {"),
            ("(before & ~mask) | (after & mask)", "after & mask"),
        ],
        parity,
    );
}

/// State that is not finite already, and that a step would take past the range of f32, from gradients whose squares are
/// within it.
#[test]
fn state_that_is_not_finite_stays_with_its_values() {
    // All dims are left out; the row's own number moves unless it is to blame.
    let left_out = |device: &Device, case: &Case, before: &Snapshot, number: usize| {
        let mut counter = upload(device, &[0u32]);
        let after = case.run_from(before, device, Some(&mut counter));
        let StateSize { per_value, .. } = case.rule.optimizer.state_size();
        assert_same(&case.what(), &after.arena, &before.arena);
        for (other, (after, before)) in after.state.iter().zip(&before.state).enumerate() {
            if other == number || other < per_value as usize {
                assert_same(&case.what(), after, before);
            }
        }
        assert_eq!(counter.read().unwrap(), [7], "{}", case.what());
    };
    for device in devices() {
        for (of_format, &format) in Format::ALL.iter().enumerate() {
            let layout = Layout { format, ..Layout::default() };
            let new = |rule| Case { layout, ..Case::new(&[4, 3], vec![0, 1, 1], 4, rule) };
            for (number, rule) in oracle::rules().into_iter().enumerate() {
                if !takes(&device, of_format + number) {
                    continue;
                }
                let case = new(rule);
                for number in 0..rule.optimizer.state_size().numbers() {
                    for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::from_bits(0xFFC0_1234)] {
                        let mut before = case.before();
                        before.state[number].fill(bad);
                        left_out(&device, &case, &before, number);
                    }
                }
            }
            let pasts = [
                (ADAGRAD, 3.3e38, 1e19),
                (ROW_WISE, 3.3e38, 1e19),
                (oracle::MOMENTUM, -3e38, -2e38),
                (NESTEROV, 3e38, 3e38),
            ];
            for (number, (optimizer, state, gradient)) in pasts.into_iter().enumerate() {
                if !takes(&device, of_format + number) {
                    continue;
                }
                let faults = (0..12).map(|number| (number, gradient)).collect();
                let case = Case { faults, ..new(optimizer.into()) };
                let mut before = case.before();
                before.state[0].fill(state);
                left_out(&device, &case, &before, 0);
            }
            if matches!(format, Format::F32 | Format::BF16) && takes(&device, of_format + 4) {
                let faults = (0..12).map(|number| (number, -3e38)).collect();
                let case = Case { faults, ..new(SGD.into()) };
                let before = Snapshot { arena: stored(&[7], &[3e38; 7], format), state: Vec::new() };
                left_out(&device, &case, &before, 0);
            }
        }
    }
}

/// The bits of values that are no numbers stay as well, next to values that move.
#[test]
fn odd_bits_of_values_stay() {
    fn of<V: Codec>(device: &Device) {
        let layout = Layout { format: V::FORMAT, ..Layout::default() };
        let stored = |value: f32| {
            let mut one = [V::zeroed()];
            V::store(&[value], &mut one);
            one[0]
        };
        let one = stored(1.0);
        // Two NaN that are told apart, one of them signalling, and an infinity of each 16-bit format.
        let odd: Vec<V> = match size_of::<V>() {
            4 => bytemuck::cast_slice(&[0x7FA0_1234u32, 0xFFC0_5678, 0xFF80_0000, 0x7F80_0000]).to_vec(),
            _ => bytemuck::cast_slice(&[0x7FA1u16, 0xFFC3, 0xFF80, if V::NAME == "f16" { 0xFC00 } else { 0x7F80 }])
                .to_vec(),
        };
        let values = [odd[0], one, one, odd[1], odd[2], odd[3]];
        let mut rows = rows_of(device, &[6], &[0.0; 6], layout, SGD.state_size());
        V::of_mut(&mut rows.pages_mut()[0].values).unwrap().write(&values).unwrap();
        let mut counter = upload(device, &[0u32]);
        Update {
            rows: &mut rows,
            ids: &upload(device, &[0u32]),
            first: 0,
            count: 1,
            gradients: (&upload(device, &[1.0f32; 6])).into(),
            dims: 6,
            rule: SGD.into(),
            step: 1,
            seed: 0,
            workspace: &mut poisoned(device, Update::workspace_len(1, 6)),
            counter: Some(&mut counter),
        }
        .run(device)
        .unwrap();
        let half = stored(0.5);
        let after = V::of(rows.pages()[0].values()).unwrap().read().unwrap();
        let bytes = |values: &[V]| bytemuck::cast_slice::<_, u8>(values).to_vec();
        assert_eq!(bytes(&after), bytes(&[odd[0], half, half, odd[1], odd[2], odd[3]]), "{} on {device:?}", V::NAME);
        assert_eq!(counter.read().unwrap(), [4]);
    }
    for device in devices() {
        let alone = Format::ALL.iter().filter(|format| format.group() == 1);
        alone.for_each(|&format| with_codec!(format, V => of::<V>(&device)));
    }
}

/// NaN in the gradient of a bag reaches the rows that have it, by way of a weight, and by way of a maximum only the row
/// that won.
fn bags_parity(device: &Device) {
    for (pooling, weighted) in
        [(Pooling::Sum, false), (Pooling::Sum, true), (Pooling::Mean, true), (Pooling::Max, false)]
    {
        for rule in [SGD.into(), ADAGRAD.into(), clipped(ROW_WISE), clipped(ADAM)] {
            for fault in [f32::NAN, f32::INFINITY] {
                let case = Case::new(&[3, 0, 16, 1, 7, 16, 2], spread(205, 7), 16, rule);
                let case = Case { faults: vec![(0, fault), (5, fault), (19, fault)], ..case };
                BagCase { case, lengths: vec![64, 129, 0, 7], before: 2, pooling, weighted }.check(device);
            }
        }
    }
}

#[test]
fn gradients_of_bags_that_are_not_finite_are_those_of_their_ids() {
    devices().iter().for_each(bags_parity);
}

#[test]
fn counters_of_another_length_or_device_are_errors() {
    let device = Device::cpu();
    let mut counter = Buffer::zeroed(&device, 2).unwrap();
    let mut rows = rows_of(&device, &[1], &[1.0], Layout::default(), SGD.state_size());
    let mut run = |device: &Device, counter: &mut Buffer<u32>| {
        Update {
            rows: &mut rows,
            ids: &upload(device, &[0u32]),
            first: 0,
            count: 1,
            gradients: (&upload(device, &[1.0f32])).into(),
            dims: 1,
            rule: SGD.into(),
            step: 1,
            seed: 0,
            workspace: &mut poisoned(device, Update::workspace_len(1, 1)),
            counter: Some(counter),
        }
        .run(device)
        .unwrap_err()
        .to_string()
    };
    assert_eq!(run(&device, &mut counter), "table/update: `counter` has length 2, expected 1");
    if let Some(gpu) = gpu() {
        let mut counter = Buffer::zeroed(&Device::Gpu(gpu), 1).unwrap();
        assert_eq!(run(&device, &mut counter), "table/update: `counter` must be a buffer on the CPU, got a GPU buffer");
    }
    assert_eq!(rows.read().unwrap(), [1.0]);
}
