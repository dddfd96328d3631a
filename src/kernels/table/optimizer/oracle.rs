//! One step of a row in f64, with what f32 may miss of it.

use super::*;
use crate::testing::{assert_close, assert_same, signed};

pub(in crate::kernels::table) const SGD: Optimizer = Optimizer::Sgd { learning_rate: 0.5 };
pub(in crate::kernels::table) const ADAGRAD: Optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 };
pub(in crate::kernels::table) const ADAM: Optimizer =
    Optimizer::Adam { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, epsilon: 1e-3 };
pub(in crate::kernels::table) const ROW_WISE: Optimizer =
    Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: 1e-8 };
pub(in crate::kernels::table) const ALL: [Optimizer; 4] = [SGD, ADAGRAD, ADAM, ROW_WISE];

/// State that differs everywhere; only averages of gradients are signed.
pub(in crate::kernels::table) fn state(optimizer: Optimizer, rows: usize, values: usize) -> Vec<Vec<f32>> {
    let lens = optimizer.state_size().lens(rows, values);
    let signed_first = matches!(optimizer, Optimizer::Adam { .. });
    (0..)
        .zip(lens)
        .map(|(i, len)| {
            let numbers = signed(len, 20 + i);
            if signed_first && i == 0 { numbers } else { numbers.iter().map(|s| s.abs()).collect() }
        })
        .collect()
}

/// A whole table at one time.
pub(in crate::kernels::table) struct Snapshot {
    pub arena: Vec<f32>,
    pub state: Vec<Vec<f32>>,
}

/// A row's gradient and its error bound; without a gradient, nothing of the row may move.
pub(in crate::kernels::table) struct Gradient {
    pub sums: Vec<f64>,
    pub errors: Vec<f64>,
}

/// Compares every row; what has no gradient must be equal bit for bit.
pub(in crate::kernels::table) fn check(
    what: &str,
    (optimizer, step): (Optimizer, u32),
    offsets: &[u32],
    gradients: &[Gradient],
    (before, after): (&Snapshot, &Snapshot),
) {
    assert_same(what, &[after.arena.len() as u32], &[*offsets.last().unwrap()]);
    for (row, gradient) in gradients.iter().enumerate() {
        let (begin, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        let moved = begin + gradient.sums.len();
        assert!(moved <= end);
        let what = format!("{what}, row {row}");
        assert_same(&what, &after.arena[moved..end], &before.arena[moved..end]);
        for (after, before) in after.state.iter().zip(&before.state) {
            if !optimizer.is_row_wise() {
                assert_same(&what, &after[moved..end], &before[moved..end]);
            } else if begin == moved {
                assert_same(&what, &after[row..=row], &before[row..=row]);
            }
        }
        check_row(&what, (optimizer, step), (row, begin), gradient, (before, after));
    }
}

const EPS: f64 = f32::EPSILON as f64;

fn check_row(
    what: &str,
    (optimizer, step): (Optimizer, u32),
    (row, begin): (usize, usize),
    Gradient { sums, errors }: &Gradient,
    (before, after): (&Snapshot, &Snapshot),
) {
    let close = |what: &str, got: f32, want: f64, tolerance: f64| {
        assert_close(what, &[got], &[want as f32], |_| tolerance as f32);
    };
    // The accumulator of an Adagrad and the step it gives; `slack` is the accumulator's error.
    let adagrad = |rate: f32, epsilon: f32, (sum, slack): (f64, f64), (g, error): (f64, f64)| {
        let (rate, root) = (f64::from(rate), sum.sqrt() + f64::from(epsilon));
        let delta = rate * g / root;
        (delta, rate * error / root + delta.abs() * (slack / (2.0 * sum.max(f64::MIN_POSITIVE)) + 8.0 * EPS))
    };
    let mut row_sum = (0.0, 0.0);
    if optimizer.is_row_wise() && !sums.is_empty() {
        let n = sums.len() as f64;
        let mean = sums.iter().map(|g| g * g).sum::<f64>() / n;
        let slack = sums.iter().zip(errors).map(|(g, e)| 2.0 * g.abs() * e + e * e).sum::<f64>() / n;
        let sum = f64::from(before.state[0][row]) + mean;
        row_sum = (sum, slack + 32.0 * EPS * mean + 4.0 * EPS * sum);
        close(&format!("{what}, accumulator"), after.state[0][row], sum, row_sum.1);
    }
    for (j, (&g, &error)) in sums.iter().zip(errors).enumerate() {
        let at = begin + j;
        let what = format!("{what}, dim {j}");
        let w = f64::from(before.arena[at]);
        let old = |number: usize| f64::from(before.state[number][at]);
        let (delta, slack) = match optimizer {
            Optimizer::Sgd { learning_rate } => (f64::from(learning_rate) * g, f64::from(learning_rate) * error),
            Optimizer::Adagrad { learning_rate, epsilon } => {
                let sum = old(0) + g * g;
                let slack = 2.0 * error * g.abs() + error * error + 4.0 * EPS * sum;
                close(&what, after.state[0][at], sum, slack);
                adagrad(learning_rate, epsilon, (sum, slack), (g, error))
            }
            Optimizer::RowWiseAdagrad { learning_rate, epsilon } => {
                adagrad(learning_rate, epsilon, row_sum, (g, error))
            }
            Optimizer::Adam { learning_rate, beta1, beta2, epsilon } => {
                let (rate, epsilon) = (f64::from(learning_rate), f64::from(epsilon));
                let (b1, b2) = (f64::from(beta1), f64::from(beta2));
                let (kept, added) = (b1 * old(0), (1.0 - b1) * g);
                let m = kept + added;
                let m_slack = (1.0 - b1) * error + 4.0 * EPS * (kept.abs() + added.abs());
                let v = b2 * old(1) + (1.0 - b2) * g * g;
                let v_slack = (1.0 - b2) * (2.0 * error * g.abs() + error * error) + 4.0 * EPS * v;
                close(&what, after.state[0][at], m, m_slack);
                close(&what, after.state[1][at], v, v_slack);
                // The definition, without the rearrangement that the kernels make.
                let m_scale = rate / (1.0 - b1.powf(step.into()));
                let v_hat = v / (1.0 - b2.powf(step.into()));
                let root = v_hat.sqrt() + epsilon;
                let delta = m_scale * m / root;
                let relative = if v > 0.0 { v_slack / (2.0 * v) } else { 0.0 };
                (delta, m_scale * m_slack / root + delta.abs() * (relative + 8.0 * EPS))
            }
        };
        let want = w - delta;
        let tolerance = slack + 4.0 * EPS * (w.abs() + want.abs());
        close(&what, after.arena[at], want, tolerance);
    }
}

#[test]
fn the_first_step_of_adam_is_the_learning_rate() {
    let constants = ADAM.constants(1);
    let g = 0.25f32;
    let mut arena = Buffer::from_vec(&crate::device::Device::cpu(), vec![1.0f32]).unwrap();
    let mut state = [0.0f32; 2].map(|zero| Buffer::from_vec(&crate::device::Device::cpu(), vec![zero]).unwrap());
    let mut rows = Rows::all("test", &mut arena, &mut state, ADAM).unwrap();
    rows.step(ADAM, &constants, &[0, 1], Run { row: 0, gradient: &[g], lanes: 1 });
    let want = 1.0 - 0.1 * g / (g + 1e-3);
    assert_close("first step", arena.as_slice().unwrap(), &[want], |_| 1e-6);
}

#[test]
fn constants_outside_their_domain_are_errors() {
    let adam = |beta1, beta2, epsilon| Optimizer::Adam { learning_rate: 0.1, beta1, beta2, epsilon };
    for (optimizer, text) in [
        (adam(1.0, 0.9, 1e-8), "t: `beta1` must be at least 0 and below 1, got 1"),
        (adam(-0.1, 0.9, 1e-8), "t: `beta1` must be at least 0 and below 1, got -0.1"),
        (adam(0.9, f32::NAN, 1e-8), "t: `beta2` must be at least 0 and below 1, got NaN"),
        (adam(0.9, 1.5, 1e-8), "t: `beta2` must be at least 0 and below 1, got 1.5"),
        (adam(0.9, 0.9, f32::INFINITY), "t: `epsilon` must be finite and above 0, got inf"),
        (
            Optimizer::RowWiseAdagrad { learning_rate: f32::NAN, epsilon: 0.0 },
            "t: `learning_rate` must be finite, got NaN",
        ),
        (
            Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: -1.0 },
            "t: `epsilon` must be finite and above 0, got -1",
        ),
    ] {
        assert_eq!(optimizer.check("t").unwrap_err().to_string(), text);
    }
    assert!(adam(0.0, 0.0, 1e-30).check("t").is_ok());
    assert!(adam(0.0, 0.0, 0.0).check("t").is_err());
}

#[test]
fn state_is_counted_by_value_and_by_row() {
    assert_eq!(ADAM.state_size().bytes(3, 10), 80);
    assert_eq!(ROW_WISE.state_size().bytes(3, 10), 12);
    assert_eq!(ADAM.state_size().lens(3, 10).collect::<Vec<_>>(), [10, 10]);
    assert_eq!(ROW_WISE.state_size().lens(3, 10).collect::<Vec<_>>(), [3]);
    assert_eq!(SGD.state_size().lens(3, 10).len(), 0);
}
