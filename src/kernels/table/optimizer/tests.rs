//! Steps by hand, constants outside their domain, state that does not fit.

use super::oracle::*;
use super::*;
use crate::device::{Buffer, Device};
use crate::rows::{Codec, Format, Layout, Values, with_codec};
use crate::testing::{assert_close, assert_same};

/// One row's step on the CPU: values and state afterwards.
fn step_row(
    format: Format,
    rule: UpdateRule,
    (weights, gradient): (&[f32], &[f32]),
    state: &[&[f32]],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    fn step<V: Codec>(rows: &mut Rows, constants: &Constants, gradient: &[f32]) {
        let [page] = &mut RowsMut::<V>::pages("test", rows).unwrap()[..] else { panic!("one page") };
        let run = Run { row: 0, gradient, width: gradient.len(), lanes: 1 };
        page.step(pulp::Scalar::new(), constants, run);
    }
    let state = state.iter().map(|state| state.to_vec()).collect();
    let before = Snapshot { arena: weights.to_vec(), state };
    let layout = Layout { format, ..Layout::default() };
    let mut rows = before.rows(&Device::cpu(), &[weights.len() as u32], layout, rule);
    let constants = rule.constants(1, 7);
    with_codec!(format, V => step::<V>(&mut rows, &constants, gradient));
    let Snapshot { arena, state } = Snapshot::of("step", &rows);
    (arena, state)
}

#[test]
fn the_first_step_of_adam_is_the_learning_rate() {
    let g = 0.25f32;
    let want = 1.0 - 0.1 * g / (g + 1e-3);
    for (format, slack) in [(Format::F32, 1e-6), (Format::F16, 1.0 / 2048.0), (Format::BF16, 1.0 / 256.0)] {
        for (optimizer, kept) in [(ADAM, 1.0), (ADAM_W, 0.97), (ROW_WISE_ADAM, 1.0)] {
            let state: &[&[f32]] = &[&[0.0], &[0.0]];
            let (weights, _) = step_row(format, optimizer.into(), (&[1.0], &[g]), state);
            assert_close("first step", &weights, &[want + kept - 1.0], |_| slack);
        }
    }
}

/// Numbers worked out by hand, which every format has.
#[test]
fn steps_by_hand() {
    for &format in Format::ALL {
        // Velocity 0.5 * 2 + 1.
        let momentum = |nesterov| Optimizer::Momentum { learning_rate: 0.25, momentum: 0.5, nesterov };
        let (weights, state) = step_row(format, momentum(false).into(), (&[3.0], &[1.0]), &[&[2.0]]);
        assert_eq!((weights[0], state[0][0]), (2.5, 2.0));
        let (weights, state) = step_row(format, momentum(true).into(), (&[3.0], &[1.0]), &[&[2.0]]);
        assert_eq!((weights[0], state[0][0]), (2.5, 2.0));
        let (weights, _) = step_row(format, momentum(true).into(), (&[3.0], &[2.0]), &[&[0.0]]);
        assert_eq!(weights[0], 3.0 - 0.25 * 3.0);
        // A gradient of norm 5 to 2.5, and then half of the weights.
        let sgd = UpdateRule::new(Optimizer::Sgd { learning_rate: 1.0 });
        let rule = UpdateRule { weight_decay: 0.5, max_norm: 2.5, ..sgd };
        let (weights, _) = step_row(format, rule, (&[2.0, 4.0, 9.0], &[3.0, -4.0]), &[]);
        assert_eq!(weights, [2.0 - (1.5 + 1.0), 4.0 - (-2.0 + 2.0), 9.0]);
        // The mean of (1.5 + 1)^2 and (-2 + 2)^2.
        let rule = UpdateRule { optimizer: Optimizer::RowWiseAdagrad { learning_rate: 1.0, epsilon: 1e-30 }, ..rule };
        let (_, state) = step_row(format, rule, (&[2.0, 4.0, 9.0], &[3.0, -4.0]), &[&[1.0]]);
        assert_eq!(state[0], [1.0 + 6.25 / 2.0]);
    }
}

#[test]
fn gradients_of_no_length_and_of_too_much() {
    let weights = [1.0f32, -2.0];
    for &format in Format::ALL {
        for &optimizer in ALL {
            let state: Vec<&[f32]> = optimizer.state_size().lens(1, 2).map(|len| &[0.0f32; 2][..len]).collect();
            for tiny in [0.0, 1e-40] {
                let (after, _) = step_row(format, clipped(optimizer), (&weights, &[0.0, tiny]), &state);
                let (plain, _) = step_row(format, optimizer.into(), (&weights, &[0.0, tiny]), &state);
                assert_same("no norm", &after, &plain);
            }
        }
        // Left out as its squares are infinite.
        assert_eq!(step_row(format, clipped(SGD), (&weights, &[1e25, 1.0]), &[]).0, weights);
    }
    // Further than f16 reaches.
    let far = step_row(Format::F16, SGD.into(), (&[1.0, -2.0, 3.0], &[1e6, -1e6, 0.0]), &[]).0;
    assert_eq!(far, [-65_504.0, 65_504.0, 3.0]);
}

#[test]
fn state_of_other_rows_and_of_other_rules_is_an_error() {
    let device = Device::cpu();
    let parts = |lens: &[usize], size| {
        let values = Values::F32(Buffer::zeroed(&device, 3).unwrap());
        let state = lens.iter().map(|&len| Buffer::zeroed(&device, len).unwrap()).collect();
        Rows::from_parts(&device, &[2, 1], false, values, (size, state))
    };
    for (optimizer, lens, text) in [
        (ADAGRAD, &[][..], "Rows::from_parts: `state` has length 0, expected 1"),
        (ADAM, &[3, 4], "Rows::from_parts: `state` has length 4, expected 3"),
        (ROW_WISE, &[3], "Rows::from_parts: `state` has length 3, expected 2"),
    ] {
        assert_eq!(parts(lens, optimizer.state_size()).unwrap_err().to_string(), text);
    }
    let rows = parts(&[3, 2], ROW_WISE_ADAM.state_size()).unwrap();
    assert!(UpdateRule::from(ROW_WISE_ADAM).check_rows("t", 1, &rows).is_ok());
    for (optimizer, step, text) in [
        (ROW_WISE_ADAM, 0, "t: `step` must be at least 1, got 0"),
        (
            ADAM,
            1,
            "t: `rows` must be rows with the state of the rule, StateSize { per_value: 2, per_row: 0 }, got StateSize \
             { per_value: 1, per_row: 1 }",
        ),
    ] {
        assert_eq!(UpdateRule::from(optimizer).check_rows("t", step, &rows).unwrap_err().to_string(), text);
    }
}

#[test]
fn constants_outside_their_domain_are_errors() {
    let adam = |beta1, beta2, epsilon| Optimizer::Adam { learning_rate: 0.1, beta1, beta2, epsilon };
    let row_wise_adam = |beta1, beta2, epsilon| Optimizer::RowWiseAdam { learning_rate: 0.1, beta1, beta2, epsilon };
    let adam_w = |beta1, epsilon, weight_decay| Optimizer::AdamW {
        learning_rate: 0.1,
        beta1,
        beta2: 0.9,
        epsilon,
        weight_decay,
    };
    let momentum = |learning_rate, momentum| Optimizer::Momentum { learning_rate, momentum, nesterov: false };
    for (optimizer, text) in [
        (adam(1.0, 0.9, 1e-8), "t: `beta1` must be at least 0 and below 1, got 1"),
        (adam(-0.1, 0.9, 1e-8), "t: `beta1` must be at least 0 and below 1, got -0.1"),
        (adam(0.9, f32::NAN, 1e-8), "t: `beta2` must be at least 0 and below 1, got NaN"),
        (adam(0.9, 1.5, 1e-8), "t: `beta2` must be at least 0 and below 1, got 1.5"),
        (adam(0.9, 0.9, f32::INFINITY), "t: `epsilon` must be finite and above 0, got inf"),
        (row_wise_adam(1.0, 0.9, 1e-8), "t: `beta1` must be at least 0 and below 1, got 1"),
        (row_wise_adam(0.9, 0.9, 0.0), "t: `epsilon` must be finite and above 0, got 0"),
        (adam_w(f32::NAN, 1e-8, 0.0), "t: `beta1` must be at least 0 and below 1, got NaN"),
        (adam_w(0.9, f32::NAN, 0.0), "t: `epsilon` must be finite and above 0, got NaN"),
        (adam_w(0.9, 1e-8, -1.0), "t: `weight_decay` must be finite and not negative, got -1"),
        (adam_w(0.9, 1e-8, f32::NAN), "t: `weight_decay` must be finite and not negative, got NaN"),
        (momentum(0.1, 1.0), "t: `momentum` must be at least 0 and below 1, got 1"),
        (momentum(0.1, f32::NAN), "t: `momentum` must be at least 0 and below 1, got NaN"),
        (momentum(f32::INFINITY, 0.9), "t: `learning_rate` must be finite, got inf"),
        (
            Optimizer::RowWiseAdagrad { learning_rate: f32::NAN, epsilon: 0.0 },
            "t: `learning_rate` must be finite, got NaN",
        ),
        (
            Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: -1.0 },
            "t: `epsilon` must be finite and above 0, got -1",
        ),
    ] {
        assert_eq!(UpdateRule::from(optimizer).check("t").unwrap_err().to_string(), text);
    }
    for (weight_decay, max_norm, text) in [
        (-0.1, 1.0, "t: `weight_decay` must be finite and not negative, got -0.1"),
        (f32::INFINITY, 1.0, "t: `weight_decay` must be finite and not negative, got inf"),
        (0.0, 0.0, "t: `max_norm` must be above 0, got 0"),
        (0.0, -1.0, "t: `max_norm` must be above 0, got -1"),
        (0.0, f32::NAN, "t: `max_norm` must be above 0, got NaN"),
    ] {
        for optimizer in ALL.iter().copied().filter(|optimizer| *optimizer != ADAM_W || weight_decay == 0.0) {
            let rule = UpdateRule { weight_decay, max_norm, ..UpdateRule::new(optimizer) };
            assert_eq!(rule.check("t").unwrap_err().to_string(), text);
        }
    }
    let text = decayed(ADAM_W).check("t").unwrap_err().to_string();
    assert_eq!(text, "t: `weight_decay` must be 0 for AdamW, which has its own, got 0.25");
    assert!(UpdateRule::from(adam(0.0, 0.0, 1e-30)).check("t").is_ok());
    assert!(UpdateRule::from(adam(0.0, 0.0, 0.0)).check("t").is_err());
    rules().iter().for_each(|rule| rule.check("t").unwrap());
}

#[test]
fn state_is_counted_by_value_and_by_row() {
    for (optimizer, bytes, lens) in [
        (SGD, 0, &[][..]),
        (MOMENTUM, 40, &[10]),
        (ADAM, 80, &[10, 10]),
        (ADAM_W, 80, &[10, 10]),
        (ROW_WISE, 12, &[3]),
        (ROW_WISE_ADAM, 52, &[10, 3]),
    ] {
        assert_eq!(optimizer.state_size().bytes(3, 10), bytes);
        assert_eq!(optimizer.state_size().lens(3, 10).collect::<Vec<_>>(), lens);
    }
}

#[test]
fn a_new_rate_is_all_that_changes() {
    for rule in rules() {
        let other = rule.with_learning_rate(7.0);
        assert_ne!(other, rule);
        assert_eq!(other.optimizer, rule.optimizer.with_learning_rate(7.0));
        assert_eq!((other.weight_decay, other.max_norm), (rule.weight_decay, rule.max_norm));
    }
}
