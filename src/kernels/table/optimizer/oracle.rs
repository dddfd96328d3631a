//! One step of a row in f64, with what f32 may miss of it, and what f16 makes of that.

use half::f16;

use super::*;
use crate::device::{Buffer, Device};
use crate::rows::{Codec, Format, Layout, Values, with_codec};
use crate::testing::{assert_close, assert_gaps, assert_same, rows_of, signed, stored};

pub(in crate::kernels::table) const SGD: Optimizer = Optimizer::Sgd { learning_rate: 0.5 };
pub(in crate::kernels::table) const MOMENTUM: Optimizer =
    Optimizer::Momentum { learning_rate: 0.2, momentum: 0.8, nesterov: false };
pub(in crate::kernels::table) const NESTEROV: Optimizer =
    Optimizer::Momentum { learning_rate: 0.2, momentum: 0.7, nesterov: true };
pub(in crate::kernels::table) const ADAGRAD: Optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 };
pub(in crate::kernels::table) const ADAM: Optimizer =
    Optimizer::Adam { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, epsilon: 1e-3 };
pub(in crate::kernels::table) const ADAM_W: Optimizer =
    Optimizer::AdamW { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, epsilon: 1e-3, weight_decay: 0.3 };
pub(in crate::kernels::table) const ROW_WISE: Optimizer =
    Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: 1e-8 };
pub(in crate::kernels::table) const ROW_WISE_ADAM: Optimizer =
    Optimizer::RowWiseAdam { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, epsilon: 1e-3 };
pub(in crate::kernels::table) const ALL: [Optimizer; 8] =
    [SGD, MOMENTUM, NESTEROV, ADAGRAD, ADAM, ADAM_W, ROW_WISE, ROW_WISE_ADAM];

/// Some rows of a few values are longer, others shorter.
const MAX_NORM: f32 = 2.5;

pub(in crate::kernels::table) const fn decayed(optimizer: Optimizer) -> UpdateRule {
    UpdateRule { weight_decay: 0.25, ..UpdateRule::new(optimizer) }
}

pub(in crate::kernels::table) const fn clipped(optimizer: Optimizer) -> UpdateRule {
    UpdateRule { max_norm: MAX_NORM, ..UpdateRule::new(optimizer) }
}

pub(in crate::kernels::table) const fn clipped_and_decayed(optimizer: Optimizer) -> UpdateRule {
    UpdateRule { max_norm: MAX_NORM, ..decayed(optimizer) }
}

/// Every optimizer, with and without decay and clipping.
pub(in crate::kernels::table) fn rules() -> Vec<UpdateRule> {
    let decays = |optimizer: &Optimizer| !matches!(optimizer, Optimizer::AdamW { .. });
    let mut rules: Vec<UpdateRule> = ALL.map(UpdateRule::new).to_vec();
    rules.extend(ALL.into_iter().filter(decays).map(clipped_and_decayed));
    // Each option alone where every value steps on its own, and where the row has a say.
    rules.extend([ADAM_W, SGD, ROW_WISE].map(clipped));
    rules.extend([ADAM, ROW_WISE_ADAM].map(decayed));
    rules
}

/// State that differs everywhere; only averages of gradients are signed.
pub(in crate::kernels::table) fn state(rule: UpdateRule, rows: usize, values: usize) -> Vec<Vec<f32>> {
    let lens = rule.optimizer.state_size().lens(rows, values);
    let signed_first = !matches!(rule.optimizer, Optimizer::Adagrad { .. } | Optimizer::RowWiseAdagrad { .. });
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

impl Snapshot {
    /// Rows of these sizes before a test's step.
    pub fn before(sizes: &[u32], format: Format, rule: UpdateRule) -> Self {
        let values = sizes.iter().sum::<u32>() as usize;
        Self { arena: stored(&signed(values, 1), format), state: state(rule, sizes.len(), values) }
    }

    /// Rows with these values and this state; what lies between rows is poison in both.
    pub fn rows(&self, device: &Device, sizes: &[u32], layout: Layout, rule: UpdateRule) -> Rows {
        let size = rule.optimizer.state_size();
        let mut rows = rows_of(device, sizes, &self.arena, layout, size);
        for (number, state) in self.state.iter().enumerate() {
            rows.write_state(number, state).unwrap();
        }
        for page in rows.pages_mut() {
            let spans: Vec<_> = page.spans().collect();
            for state in &mut page.state[..size.per_value as usize] {
                let old = state.read().unwrap();
                let mut new = vec![f32::NAN; old.len()];
                spans.iter().for_each(|span| new[span.clone()].copy_from_slice(&old[span.clone()]));
                state.write(&new).unwrap();
            }
        }
        rows
    }

    /// What the rows hold; nothing has been written between them.
    pub fn of(what: &str, rows: &Rows) -> Self {
        assert_gaps(what, rows);
        let size = rows.state_size();
        for page in rows.pages() {
            for state in &page.state[..size.per_value as usize] {
                let mut state = state.read().unwrap();
                page.spans().for_each(|span| state[span].fill(f32::NAN));
                assert!(state.iter().all(|gap| gap.is_nan()), "mismatch: {what}: state written between rows");
            }
        }
        let state = (0..size.numbers()).map(|number| rows.read_state(number).unwrap()).collect();
        Self { arena: rows.read().unwrap(), state }
    }

    /// Equal in every bit.
    #[track_caller]
    pub fn assert_same(&self, what: &str, other: &Self) {
        assert_same(&format!("{what}, values"), &self.arena, &other.arena);
        assert_same(&format!("{what}, state"), &self.state.concat(), &other.state.concat());
    }
}

/// The directories of all pages.
pub(in crate::kernels::table) fn directories(rows: &Rows) -> Vec<u32> {
    rows.pages().iter().flat_map(|page| page.directory().read().unwrap()).collect()
}

/// The largest number of a codec that is not above one number, and the smallest that is not below another.
fn around<V: Codec>(low: f64, high: f64) -> [f32; 2] {
    // With no noise a value is rounded towards zero, with all of it away from zero.
    let both = |value: f32| [0, 0xFFFF].map(|noise| V::dithered(value, noise).decode());
    let (below, above) = (low as f32, high as f32);
    let below = if f64::from(below) > low { below.next_down() } else { below };
    let above = if f64::from(above) < high { above.next_up() } else { above };
    let ([a, b], [c, d]) = (both(below), both(above));
    [a.min(b), c.max(d)]
}

#[test]
fn neighbours_of_numbers_among_f16() {
    let unit = 2.0f64.powi(-24);
    for (number, low, high) in [
        (1.0, 1.0, 1.0),
        (1.0 + 1e-9, 1.0, 1.0 + 2.0f64.powi(-10)),
        (1.0 - 1e-9, 1.0 - 2.0f64.powi(-11), 1.0),
        (1e-9, 0.0, unit),
        (-1e-9, -unit, 0.0),
        (2.9 * unit, 2.0 * unit, 3.0 * unit),
        (2049.0, 2048.0, 2050.0),
    ] {
        assert_eq!(around::<f16>(number, number), [low as f32, high as f32], "{number}");
        assert_eq!(around::<f16>(-number, -number), [-high as f32, -low as f32], "-{number}");
    }
    assert_eq!(around::<f16>(0.999, 2049.0), [0.998_535_16, 2050.0]);
}

/// A row's gradient and its error bound; without a gradient, nothing of the row may move.
pub(in crate::kernels::table) struct Gradient {
    pub sums: Vec<f64>,
    pub errors: Vec<f64>,
}

/// Compares every row; what has no gradient must be equal bit for bit. Values that are not f32 are one of the two next to what f32 may give.
pub(in crate::kernels::table) fn check(
    what: &str,
    (rule, step, format): (UpdateRule, u32, Format),
    offsets: &[u32],
    gradients: &[Gradient],
    (before, after): (&Snapshot, &Snapshot),
) {
    assert_same(what, &[after.arena.len() as u32], &[*offsets.last().unwrap()]);
    let per_value = rule.optimizer.state_size().per_value as usize;
    for (row, gradient) in gradients.iter().enumerate() {
        let (begin, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        let moved = begin + gradient.sums.len();
        assert!(moved <= end);
        let what = format!("{what}, row {row}");
        assert_same(&what, &after.arena[moved..end], &before.arena[moved..end]);
        for (number, (after, before)) in after.state.iter().zip(&before.state).enumerate() {
            if number < per_value {
                assert_same(&what, &after[moved..end], &before[moved..end]);
            } else if begin == moved {
                assert_same(&what, &after[row..=row], &before[row..=row]);
            }
        }
        if begin < moved {
            let gradient = adjusted(rule, gradient, &before.arena[begin..moved]);
            check_row(&what, (rule.optimizer, step, format), (row, begin), &gradient, (before, after));
        }
    }
}

const EPS: f64 = f32::EPSILON as f64;

/// Sum of squares, and what f32 may miss of it.
fn squares(Gradient { sums, errors }: &Gradient) -> (f64, f64) {
    let sum = sums.iter().map(|g| g * g).sum::<f64>();
    let slack = sums.iter().zip(errors).map(|(g, e)| 2.0 * g.abs() * e + e * e).sum::<f64>();
    (sum, slack + 32.0 * EPS * sum)
}

/// The gradient clipped, then with decay.
fn adjusted(rule: UpdateRule, gradient: &Gradient, weights: &[f32]) -> Gradient {
    let (sum, slack) = squares(gradient);
    let (norm, max_norm) = (sum.sqrt(), f64::from(rule.max_norm));
    let (mut factor, mut relative) = (1.0, 0.0);
    if sum > 0.0 && max_norm.is_finite() {
        factor = (max_norm / norm).min(1.0);
        // Nothing is missed of a factor of 1, unless it is nearly another.
        let miss = slack / (2.0 * sum) + 4.0 * EPS;
        relative = if norm * (1.0 + miss) > max_norm { miss } else { 0.0 };
    }
    let decay = f64::from(rule.weight_decay);
    let parts = gradient.sums.iter().zip(&gradient.errors).zip(weights).map(|((g, error), &w)| {
        let (g, error, decay) = (factor * g, factor * error, decay * f64::from(w));
        (g + decay, error + g.abs() * relative + if decay == 0.0 { 0.0 } else { 4.0 * EPS * (g.abs() + decay.abs()) })
    });
    let (sums, errors) = parts.unzip();
    Gradient { sums, errors }
}

fn check_row(
    what: &str,
    (optimizer, step, format): (Optimizer, u32, Format),
    (row, begin): (usize, usize),
    gradient: &Gradient,
    (before, after): (&Snapshot, &Snapshot),
) {
    let close = |what: &str, got: f32, want: f64, tolerance: f64| {
        assert_close(what, &[got], &[want as f32], |_| tolerance as f32);
    };
    // The step that a root of squares gives to `g`; each with its error.
    let divided = |rate: f64, epsilon: f32, (sum, slack): (f64, f64), (g, error): (f64, f64)| {
        let root = sum.sqrt() + f64::from(epsilon);
        let delta = rate * g / root;
        let relative = slack / (2.0 * sum.max(f64::MIN_POSITIVE));
        (delta, rate * error / root + delta.abs() * (relative + 8.0 * EPS))
    };
    // A moving average of a number and of what comes in, with its error.
    let average = |beta: f32, old: f32, (new, error): (f64, f64)| {
        let beta = f64::from(beta);
        let (kept, added) = (beta * f64::from(old), (1.0 - beta) * new);
        (kept + added, (1.0 - beta) * error + 4.0 * EPS * (kept.abs() + added.abs()))
    };
    // 1 - beta^t: the definition, without the rearrangement that the kernels make.
    let missing = |beta: f32| 1.0 - f64::from(beta).powf(step.into());
    let scaled = |(a, slack): (f64, f64), factor: f64| (a * factor, slack * factor);
    let n = gradient.sums.len() as f64;
    let mean = scaled(squares(gradient), 1.0 / n);
    let row_state = match optimizer {
        Optimizer::RowWiseAdagrad { .. } => {
            let sum = f64::from(before.state[0][row]) + mean.0;
            Some((0, (sum, mean.1 + 4.0 * EPS * sum)))
        }
        Optimizer::RowWiseAdam { beta2, .. } => Some((1, average(beta2, before.state[1][row], mean))),
        _ => None,
    };
    if let Some((number, (want, slack))) = row_state {
        close(&format!("{what}, state of the row"), after.state[number][row], want, slack);
    }
    let row_state = row_state.map_or((0.0, 0.0), |(_, state)| state);
    for (j, (&g, &error)) in gradient.sums.iter().zip(&gradient.errors).enumerate() {
        let at = begin + j;
        let what = format!("{what}, dim {j}");
        let w = f64::from(before.arena[at]);
        let old = |number: usize| before.state[number][at];
        let state = |number: usize, (want, slack): (f64, f64)| {
            close(&format!("{what}, state[{number}]"), after.state[number][at], want, slack);
            (want, slack)
        };
        let square = (g * g, 2.0 * error * g.abs() + error * error);
        let (delta, slack) = match optimizer {
            Optimizer::Sgd { learning_rate } => (f64::from(learning_rate) * g, f64::from(learning_rate) * error),
            Optimizer::Momentum { learning_rate, momentum, nesterov } => {
                let (rate, mu) = (f64::from(learning_rate), f64::from(momentum));
                let kept = mu * f64::from(old(0));
                let (v, v_slack) = state(0, (kept + g, error + 4.0 * EPS * (kept.abs() + g.abs())));
                let (direction, slack) = if nesterov {
                    (g + mu * v, error + mu * v_slack + 4.0 * EPS * (g.abs() + v.abs()))
                } else {
                    (v, v_slack)
                };
                (rate * direction, rate * slack)
            }
            Optimizer::Adagrad { learning_rate, epsilon } => {
                let sum = f64::from(old(0)) + square.0;
                let sum = state(0, (sum, square.1 + 4.0 * EPS * sum));
                divided(learning_rate.into(), epsilon, sum, (g, error))
            }
            Optimizer::RowWiseAdagrad { learning_rate, epsilon } => {
                divided(learning_rate.into(), epsilon, row_state, (g, error))
            }
            Optimizer::Adam { learning_rate, beta1, beta2, epsilon }
            | Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, .. } => {
                let m = state(0, average(beta1, old(0), (g, error)));
                let v = state(1, average(beta2, old(1), square));
                let rate = f64::from(learning_rate) / missing(beta1);
                divided(rate, epsilon, scaled(v, 1.0 / missing(beta2)), m)
            }
            Optimizer::RowWiseAdam { learning_rate, beta1, beta2, epsilon } => {
                let m = state(0, average(beta1, old(0), (g, error)));
                let rate = f64::from(learning_rate) / missing(beta1);
                divided(rate, epsilon, scaled(row_state, 1.0 / missing(beta2)), m)
            }
        };
        let kept = match optimizer {
            Optimizer::AdamW { learning_rate, weight_decay, .. } => {
                w - f64::from(learning_rate) * f64::from(weight_decay) * w
            }
            _ => w,
        };
        let want = kept - delta;
        let tolerance = slack + 4.0 * EPS * (w.abs() + want.abs());
        let got = after.arena[at];
        if format.is_f32() {
            close(&what, got, want, tolerance);
            continue;
        }
        let [low, high] = with_codec!(format, V => around::<V>(want - tolerance, want + tolerance));
        let one_of_them = low <= got && got <= high;
        assert!(one_of_them, "mismatch: {what}: {got}, expected {low} or {high} for {want}");
    }
}

/// One row's step on the CPU: values and state afterwards.
fn step_row(
    format: Format,
    rule: UpdateRule,
    (weights, gradient): (&[f32], &[f32]),
    state: &[&[f32]],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    fn step<V: Codec>(rows: &mut Rows, constants: &Constants, gradient: &[f32]) {
        let [page] = &mut RowsMut::<V>::pages("test", rows).unwrap()[..] else { panic!("one page") };
        page.step(constants, Run { row: 0, gradient, lanes: 1 });
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
        for optimizer in ALL {
            let state: Vec<&[f32]> = optimizer.state_size().lens(1, 2).map(|len| &[0.0f32; 2][..len]).collect();
            for tiny in [0.0, 1e-40] {
                let (after, _) = step_row(format, clipped(optimizer), (&weights, &[0.0, tiny]), &state);
                let (plain, _) = step_row(format, optimizer.into(), (&weights, &[0.0, tiny]), &state);
                assert_same("no norm", &after, &plain);
            }
        }
        // Clipped to zero as its squares are infinite.
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
            "t: `rows` must be rows with the state of the rule, StateSize { per_value: 2, per_row: 0 }, got StateSize { \
             per_value: 1, per_row: 1 }",
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
        for optimizer in ALL.into_iter().filter(|optimizer| *optimizer != ADAM_W || weight_decay == 0.0) {
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
