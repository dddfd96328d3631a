//! What a step must make of a table, in f64; by how much f32 may miss it; and what rounding to fewer bits makes of
//! that.

use half::{bf16, f16};

use super::formulas::oracle as formula;
pub(in crate::kernels) use super::formulas::oracle::*;
use super::real::Real;
use super::*;
use crate::device::Device;
use crate::rows::{Format, Layout, Scalar};
use crate::testing::{assert_close, assert_gaps, assert_same, i8_spacing, layouts, rows_of, signed, stored, takes};

/// Some rows of a few values are longer, others shorter.
const MAX_NORM: f32 = 2.5;

pub(in crate::kernels) const fn decayed(optimizer: Optimizer) -> UpdateRule {
    UpdateRule { weight_decay: 0.25, ..UpdateRule::new(optimizer) }
}

pub(in crate::kernels) const fn clipped(optimizer: Optimizer) -> UpdateRule {
    UpdateRule { max_norm: MAX_NORM, ..UpdateRule::new(optimizer) }
}

pub(in crate::kernels) const fn clipped_and_decayed(optimizer: Optimizer) -> UpdateRule {
    UpdateRule { max_norm: MAX_NORM, ..decayed(optimizer) }
}

/// Every optimizer, with and without decay and clipping.
pub(in crate::kernels) fn rules() -> Vec<UpdateRule> {
    let mut rules: Vec<UpdateRule> = ALL.iter().copied().map(UpdateRule::new).collect();
    let decays = |optimizer: &Optimizer| !optimizer.recipe().decays();
    rules.extend(ALL.iter().copied().filter(decays).map(clipped_and_decayed));
    // Each option alone, where every value steps by itself, and where a step depends on the whole row.
    rules.extend([ADAM_W, SGD, ROW_WISE].map(clipped));
    rules.extend([ADAM, ROW_WISE_ADAM].map(decayed));
    rules
}

/// Gradients that are not finite, and some whose squares are not.
pub(in crate::kernels) const FAULTS: [f32; 6] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 1e38];

/// The [`rules`], with each way to treat gradients that are not finite.
pub(in crate::kernels) fn faulty_rules() -> impl Iterator<Item = UpdateRule> {
    let clipping = rules().into_iter().map(|rule| UpdateRule { non_finite: NonFinite::Clip, ..rule });
    let skips = |rule: UpdateRule| UpdateRule { non_finite: NonFinite::Skip, ..rule };
    rules().into_iter().chain(clipping).chain([ADAGRAD.into(), clipped(ROW_WISE_ADAM)].map(skips))
}

/// Layouts to try a fault of the rule of a number in: on the CPU each format as it is, and for NaN all there are. A GPU
/// builds a pipeline for each pair, on which a software one spends half a second. There it is f32 and one other, which
/// goes by the rule's number.
pub(in crate::kernels) fn faulty_layouts(device: &Device, number: usize, fault: f32) -> Vec<Layout> {
    let all = layouts(16);
    if device.as_gpu().is_some() {
        let own = [Layout::default(), all[1 + number % (all.len() - 1)]];
        return (0..).zip(own).filter(|(at, _)| takes(device, number + 2 * at)).map(|(_, layout)| layout).collect();
    }
    let plain = Format::ALL.iter().map(|&format| Layout { format, ..Layout::default() });
    plain.chain(if fault.is_nan() { all.to_vec() } else { Vec::new() }).collect()
}

/// State that differs everywhere; squares are not negative.
pub(in crate::kernels) fn state(rule: UpdateRule, rows: usize, values: usize) -> Vec<Vec<f32>> {
    let lens = rule.optimizer.state_size().lens(rows, values);
    (0..)
        .zip(lens.zip(rule.optimizer.state_names()))
        .map(|(i, (len, name))| {
            let numbers = signed(len, 20 + i);
            if name.contains("squares") { numbers.iter().map(|s| s.abs()).collect() } else { numbers }
        })
        .collect()
}

/// A whole table at one time.
pub(in crate::kernels) struct Snapshot {
    pub arena: Vec<f32>,
    pub state: Vec<Vec<f32>>,
}

impl Snapshot {
    /// Rows of these sizes before a test's step.
    pub fn before(sizes: &[u32], format: Format, rule: UpdateRule) -> Self {
        let values = sizes.iter().sum::<u32>() as usize;
        Self { arena: stored(sizes, &signed(values, 1), format), state: state(rule, sizes.len(), values) }
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
pub(in crate::kernels) fn directories(rows: &Rows) -> Vec<u32> {
    rows.pages().iter().flat_map(|page| page.directory().read().unwrap()).collect()
}

/// Within which numbers of a format each value of a row comes to lie, of which it is known what it is between.
fn within(format: Format, row: &[[f64; 2]]) -> Vec<[f32; 2]> {
    match format {
        Format::F32 => row.iter().map(|&[low, high]| [low as f32, high as f32]).collect(),
        Format::F16 => row.iter().map(|&between| around::<f16>(between)).collect(),
        Format::BF16 => row.iter().map(|&between| around::<bf16>(between)).collect(),
        Format::I8 => row.chunks(4).flat_map(around_of_four).collect(),
    }
}

/// The same of values in a word with a common spacing, which is that of the largest.
fn around_of_four(four: &[[f64; 2]]) -> Vec<[f32; 2]> {
    let largest = |of: fn(&[f64; 2]) -> f64| i8_spacing(four.iter().map(of));
    // It is not known on which side of a power of two the largest is.
    let spacings = [largest(|[low, high]| if low * high < 0.0 { 0.0 } else { low.abs().min(high.abs()) })]
        .into_iter()
        .chain([largest(|[low, high]| low.abs().max(high.abs()))]);
    let around = |&[low, high]: &[f64; 2]| {
        let of = |spacing: f64| {
            let most = 63.0 * spacing;
            [low, high].map(|value| value.clamp(-most, most) / spacing).map(|code| (code, spacing))
        };
        let all: Vec<_> = spacings.clone().map(of).collect();
        let least = all.iter().map(|[(code, spacing), _]| code.floor() * spacing).fold(f64::MAX, f64::min);
        let most = all.iter().map(|[_, (code, spacing)]| code.ceil() * spacing).fold(f64::MIN, f64::max);
        [least as f32, most as f32]
    };
    four.iter().map(around).collect()
}

/// The largest number of a codec that is not above one number, and the smallest that is not below another.
fn around<V: Scalar>([low, high]: [f64; 2]) -> [f32; 2] {
    // Without noise a value is rounded towards zero, with the largest noise away from zero.
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
        assert_eq!(around::<f16>([number, number]), [low as f32, high as f32], "{number}");
        assert_eq!(around::<f16>([-number, -number]), [-high as f32, -low as f32], "-{number}");
    }
    assert_eq!(around::<f16>([0.999, 2049.0]), [0.998_535_16, 2050.0]);
}

/// A row's gradient and its error bound; without a gradient, nothing of the row may move.
pub(in crate::kernels) struct Gradient {
    pub sums: Vec<f64>,
    pub errors: Vec<f64>,
}

impl Gradient {
    fn reals(&self) -> impl Iterator<Item = Real> {
        self.sums.iter().zip(&self.errors).map(|(&sum, &error)| Real::new(sum, error))
    }
}

/// Compares every row. Dims without a gradient, and dims that are left out, must be equal bit for bit; those that share
/// a word with others may be rounded. Values that are not stored as f32 are one of the two neighbours of what f32 may
/// give. Returns what a counter has to count.
pub(in crate::kernels) fn check(
    what: &str,
    (rule, step, format): (UpdateRule, u32, Format),
    offsets: &[u32],
    gradients: &[Gradient],
    (before, after): (&Snapshot, &Snapshot),
) -> u32 {
    assert_same(what, &[after.arena.len() as u32], &[*offsets.last().unwrap()]);
    let per_value = rule.optimizer.state_size().per_value as usize;
    let mut count = 0;
    for (row, gradient) in gradients.iter().enumerate() {
        let (begin, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        let moved = begin + gradient.sums.len();
        assert!(moved <= end);
        let what = format!("{what}, row {row}");
        let unmoved = |range: std::ops::Range<usize>| {
            if format.group() == 1 {
                assert_same(&what, &after.arena[range.clone()], &before.arena[range.clone()]);
            }
            for number in 0..per_value {
                assert_same(&what, &after.state[number][range.clone()], &before.state[number][range.clone()]);
            }
        };
        unmoved(moved..end);
        let (want, replaced) = wanted(rule, step, gradient, (row, begin), before);
        count += replaced;
        for (number, states) in after.state.iter().enumerate().skip(per_value) {
            match want.row {
                Some(want) => close(&format!("{what}, state of the row"), states[row], want),
                None => assert_same(&what, &states[row..=row], &before.state[number][row..=row]),
            }
        }
        let mut row: Vec<[f64; 2]> = before.arena[begin..end].iter().map(|&value| [value.into(); 2]).collect();
        for (between, want) in row.iter_mut().zip(&want.dims) {
            if let Some(want) = want {
                *between = [want[0].value - want[0].error, want[0].value + want[0].error];
            }
        }
        let within = within(format, &row);
        if format.group() > 1 && !gradient.sums.is_empty() {
            let row = after.arena[begin..end].iter().zip(&within).zip(&before.arena[begin..end]);
            for (j, ((&got, &[low, high]), before)) in row.enumerate() {
                let stays = before.is_nan() && got.is_nan();
                let one_of_them = stays || low <= got && got <= high;
                assert!(one_of_them, "mismatch: {what}, dim {j}: {got}, expected {low} or {high}");
            }
        }
        for (j, want) in want.dims.into_iter().enumerate() {
            let (what, at) = (format!("{what}, dim {j}"), begin + j);
            let Some(want) = want else {
                count += 1;
                unmoved(at..at + 1);
                continue;
            };
            for (number, &want) in want[1..].iter().enumerate() {
                close(&format!("{what}, state[{number}]"), after.state[number][at], want);
            }
            let (got, want) = (after.arena[at], want[0]);
            if format.is_f32() {
                close(&what, got, want);
                continue;
            }
            let [low, high] = within[j];
            let one_of_them = low <= got && got <= high;
            assert!(one_of_them, "mismatch: {what}: {got}, expected {low} or {high} for {}", want.value);
        }
    }
    count
}

fn close(what: &str, got: f32, want: Real) {
    assert_close(what, &[got], &[want.value as f32], |_| want.error as f32);
}

/// What a row becomes: its own number, and of each dim its value and its state. There is none of what is left out.
struct Wanted {
    row: Option<Real>,
    dims: Vec<Option<Vec<Real>>>,
}

/// What a step must make of a row, and how many gradients it replaces.
fn wanted(
    rule: UpdateRule,
    step: u32,
    gradient: &Gradient,
    (row, begin): (usize, usize),
    before: &Snapshot,
) -> (Wanted, u32) {
    let UpdateRule { optimizer, weight_decay, max_norm, non_finite } = rule;
    let (size, dims) = (optimizer.state_size(), gradient.sums.len());
    let left_out = Wanted { row: None, dims: vec![None; dims] };
    let weights: Vec<Real> = before.arena[begin..begin + dims].iter().map(|&weight| weight.into()).collect();
    let mut gradient: Vec<Real> = gradient.reals().collect();
    let mut replaced = 0;
    if non_finite == NonFinite::Clip {
        for g in &mut gradient {
            let most = 2.0f64.powi(55);
            if g.value.is_nan() || g.value.abs() > most {
                *g = Real::new(if g.value.is_nan() { 0.0 } else { g.value.clamp(-most, most) }, 0.0);
                replaced += 1;
            }
        }
    }
    if max_norm.is_finite() {
        let squares = sum_of_squares(&gradient);
        if !squares.is_finite() {
            return (left_out, replaced);
        }
        let (norm, factor) = (squares.sqrt(), Real::from(max_norm) / squares.sqrt());
        // A factor of 1 is exact, unless it is just about to be another.
        if norm.value + norm.error > max_norm.into() {
            let factor = Real::new(factor.value.min(1.0), factor.error);
            gradient.iter_mut().for_each(|g| *g = factor * *g);
        }
    }
    if weight_decay != 0.0 {
        gradient.iter_mut().zip(&weights).for_each(|(g, &w)| *g = *g + weight_decay * w);
    }
    let mut number = None;
    if size.per_row > 0 && dims > 0 {
        let old = before.state[size.per_value as usize][row].into();
        let squares = sum_of_squares(&gradient);
        let after = formula::row_number(optimizer, old, squares * (1.0 / dims as f64));
        if !squares.is_finite() || !after.is_finite() {
            return (left_out, replaced);
        }
        number = Some(after);
    }
    let steps = gradient.iter().zip(&weights).enumerate().map(|(j, (&g, &w))| {
        let state: Vec<Real> =
            before.state[..size.per_value as usize].iter().map(|state| state[begin + j].into()).collect();
        let after = formula::step(optimizer, step, [w, g], &state, number.unwrap_or(0.0f32.into()));
        (g.is_finite() && after.iter().all(|number| number.is_finite())).then_some(after)
    });
    (Wanted { row: number, dims: steps.collect() }, replaced)
}

/// Summed by lanes and a tree.
fn sum_of_squares(gradient: &[Real]) -> Real {
    let [mut sum, mut error] = [0.0, 0.0];
    for &Real { value, error: e } in gradient {
        sum += value * value;
        error += 2.0 * value.abs() * e + e * e;
    }
    Real::new(sum, error + 32.0 * f64::from(f32::EPSILON) * sum)
}
