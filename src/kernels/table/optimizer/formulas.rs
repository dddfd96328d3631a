//! The formulas: what a step makes of a value and its state, on the CPU. `shaders/common/formulas.wgsl` has the same
//! for GPUs, and the oracle in f64 is at the end of this file.
//!
//! A formula reads constants under the names of [`Constants`]. The recipes say which of an optimizer's constants these
//! are.

use pulp::{Simd, WithSimd};

use super::constants::{Constants, Formula};
use crate::kernels::vectors::{Floats, any, first, places};

/// What a row's own number becomes, from the mean of its gradient's squares.
#[inline(always)]
pub(super) fn row_number(constants: &Constants, number: f32, mean_square: f32) -> f32 {
    match constants.formula {
        Formula::RowWiseAdagrad => number + mean_square,
        _ => constants.beta2 * number + (1.0 - constants.beta2) * mean_square,
    }
}

/// Steps the values of a row, and their state: `row` is the row's own number after the step. `weight_decay` is the part
/// of a weight that goes before the step is subtracted. Returns the number of dims that were left out, since they would
/// not be finite.
///
/// By itself, for all that step: the formulas are long, and each would be compiled for each kind of vectors.
#[inline(never)]
pub(super) fn step_values<S: Simd>(
    simd: S,
    constants: &Constants,
    values: &mut Values<'_>,
    weight_decay: Option<f32>,
    row: f32,
) -> u32 {
    match weight_decay {
        None => simd.vectorize(Formulas::<false> { constants, values, weight_decay: 0.0, row }),
        Some(weight_decay) => simd.vectorize(Formulas::<true> { constants, values, weight_decay, row }),
    }
}

/// A step by the formula that the constants name.
struct Formulas<'a, 'b, const DECAYS: bool> {
    constants: &'a Constants,
    /// By reference: its words have just been written one by one, and can't be moved in vectors yet.
    values: &'a mut Values<'b>,
    weight_decay: f32,
    row: f32,
}

impl<const DECAYS: bool> WithSimd for Formulas<'_, '_, DECAYS> {
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u32 {
        let Self { constants, values, weight_decay, row } = self;
        let weight_decay = Floats::splat(simd, weight_decay);
        each_by_formula(
            simd,
            constants,
            values,
            #[inline(always)]
            |w| if DECAYS { w - weight_decay * w } else { w },
            row,
        )
    }
}

/// `kept` gives a weight before the step is subtracted.
#[inline(always)]
fn each_by_formula<S: Simd>(
    simd: S,
    constants: &Constants,
    values: &mut Values<'_>,
    kept: impl Fn(Floats<S>) -> Floats<S>,
    row: f32,
) -> u32 {
    let rate = Floats::splat(simd, constants.learning_rate);
    let epsilon = Floats::splat(simd, constants.epsilon);
    let (beta1, beta2) = (Floats::splat(simd, constants.beta1), Floats::splat(simd, constants.beta2));
    let (new1, new2) = (Floats::splat(simd, 1.0 - constants.beta1), Floats::splat(simd, 1.0 - constants.beta2));
    let correction = Floats::splat(simd, constants.correction);
    match constants.formula {
        Formula::Sgd => values.each(
            simd,
            #[inline(always)]
            |w, g, []| (kept(w) - rate * g, []),
        ),
        Formula::Momentum => values.each(
            simd,
            #[inline(always)]
            |w, g, [v]| {
                let v = beta1 * v + g;
                (kept(w) - rate * v, [v])
            },
        ),
        Formula::Nesterov => values.each(
            simd,
            #[inline(always)]
            |w, g, [v]| {
                let v = beta1 * v + g;
                (kept(w) - rate * (g + beta1 * v), [v])
            },
        ),
        Formula::Adagrad => values.each(
            simd,
            #[inline(always)]
            |w, g, [sum]| {
                let sum = sum + g * g;
                (kept(w) - rate * g / (sum.sqrt() + epsilon), [sum])
            },
        ),
        Formula::Adam => values.each(
            simd,
            #[inline(always)]
            |w, g, [m, v]| {
                let m = beta1 * m + new1 * g;
                let v = beta2 * v + new2 * (g * g);
                (kept(w) - rate * m / ((v * correction).sqrt() + epsilon), [m, v])
            },
        ),
        Formula::RmsProp => values.each(
            simd,
            #[inline(always)]
            |w, g, [v]| {
                let v = beta2 * v + new2 * (g * g);
                (kept(w) - rate * g / (v.sqrt() + epsilon), [v])
            },
        ),
        Formula::Ftrl => values.each(
            simd,
            #[inline(always)]
            |w, g, [z, n]| {
                let (alpha, beta, l1, l2) = (rate, epsilon, beta1, beta2);
                let sum = n + g * g;
                let root = sum.sqrt();
                let z = z + g - (root - n.sqrt()) / alpha * kept(w);
                let shrunk = (l1.copysign(z) - z) / ((beta + root) / alpha + l2);
                (shrunk.unless(z.abs(), l1), [z, sum])
            },
        ),
        Formula::RowWiseAdagrad | Formula::RowWiseRmsProp => {
            let root = Floats::splat(simd, row.sqrt() + constants.epsilon);
            values.each(
                simd,
                #[inline(always)]
                |w, g, []| (kept(w) - rate * g / root, []),
            )
        }
        Formula::RowWiseAdam => {
            let root = Floats::splat(simd, (row * constants.correction).sqrt() + constants.epsilon);
            values.each(
                simd,
                #[inline(always)]
                |w, g, [m]| {
                    let m = beta1 * m + new1 * g;
                    (kept(w) - rate * m / root, [m])
                },
            )
        }
    }
}

/// The values of a row that have a gradient, `width` of them, and their numbers of state. Every slice begins with the
/// row's and may go on: rows are stepped in whole vectors where it does, and what is behind the row stays as it is.
pub(super) struct Values<'a> {
    pub weights: &'a mut [f32],
    pub gradient: &'a [f32],
    pub state: [&'a mut [f32]; 2],
    pub width: usize,
}

impl Values<'_> {
    #[inline(always)]
    fn each<S: Simd, const N: usize>(&mut self, simd: S, step: impl Step<S, N>) -> u32 {
        let &mut Self { ref mut weights, gradient, ref mut state, width } = self;
        let state = state.first_chunk_mut::<N>().expect("at most two numbers of state");
        let mut left_out = 0;
        let whole = width.next_multiple_of(S::F32_LANES);
        if weights.len().min(gradient.len()) >= whole && state.iter().all(|state| state.len() >= whole) {
            let weights = S::as_mut_simd_f32s(&mut weights[..whole]).0;
            let gradient = S::as_simd_f32s(&gradient[..whole]).0;
            let state = state.each_mut().map(|state| &mut S::as_mut_simd_f32s(&mut state[..whole]).0[..weights.len()]);
            for i in 0..weights.len() {
                let mut states = [gradient[i]; N];
                for n in 0..N {
                    states[n] = state[n][i];
                }
                let within = first(simd, width - i * S::F32_LANES);
                left_out += put(simd, &step, gradient[i], (&mut weights[i], &mut states), within);
                for n in 0..N {
                    state[n][i] = states[n];
                }
            }
            return left_out;
        }
        for at in (0..width).step_by(S::F32_LANES) {
            let part = at..width.min(at + S::F32_LANES);
            let mut weight = simd.partial_load_f32s(&weights[part.clone()]);
            let gradient = simd.partial_load_f32s(&gradient[part.clone()]);
            let mut states = [gradient; N];
            for n in 0..N {
                states[n] = simd.partial_load_f32s(&state[n][part.clone()]);
            }
            left_out += put(simd, &step, gradient, (&mut weight, &mut states), first(simd, part.len()));
            simd.partial_store_f32s(&mut weights[part.clone()], weight);
            for n in 0..N {
                simd.partial_store_f32s(&mut state[n][part.clone()], states[n]);
            }
        }
        left_out
    }
}

/// What a step makes of weights, their gradient and their numbers of state. Its closures are always inlined: elsewhere
/// than in a loop that is compiled for vectors every operator on them would be a call.
trait Step<S: Simd, const N: usize>: Fn(Floats<S>, Floats<S>, [Floats<S>; N]) -> (Floats<S>, [Floats<S>; N]) {}

impl<S: Simd, const N: usize, F> Step<S, N> for F where
    F: Fn(Floats<S>, Floats<S>, [Floats<S>; N]) -> (Floats<S>, [Floats<S>; N])
{
}

/// Writes the dims within a mask whose numbers are all finite. The others stay, and those within the mask count as left
/// out.
#[inline(always)]
fn put<S: Simd, const N: usize>(
    simd: S,
    step: &impl Step<S, N>,
    gradient: S::f32s,
    (weight, state): (&mut S::f32s, &mut [S::f32s; N]),
    within: S::m32s,
) -> u32 {
    let mut before = [Floats::splat(simd, 0.0); N];
    for n in 0..N {
        before[n].numbers = state[n];
    }
    let (stepped, after) = step(Floats { simd, numbers: *weight }, Floats { simd, numbers: gradient }, before);
    let mut finite = stepped.finite();
    for number in &after {
        finite = simd.and_m32s(finite, number.finite());
    }
    let written = simd.and_m32s(within, finite);
    *weight = simd.select_f32s(written, stepped.numbers, *weight);
    for n in 0..N {
        state[n] = simd.select_f32s(written, after[n].numbers, state[n]);
    }
    let left_out = simd.and_m32s(within, simd.not_m32s(finite));
    if any(simd, left_out) { places(simd, left_out) } else { 0 }
}

/// The definition in f64, and by how much f32 may miss it.
#[cfg(test)]
pub(in crate::kernels::table) mod oracle {
    use super::super::Optimizer;
    use super::super::real::Real;

    pub const SGD: Optimizer = Optimizer::Sgd { learning_rate: 0.5 };
    pub const MOMENTUM: Optimizer = Optimizer::Momentum { learning_rate: 0.2, momentum: 0.8, nesterov: false };
    pub const NESTEROV: Optimizer = Optimizer::Momentum { learning_rate: 0.2, momentum: 0.7, nesterov: true };
    pub const ADAGRAD: Optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 };
    pub const ADAM: Optimizer = Optimizer::Adam { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, epsilon: 1e-3 };
    pub const ADAM_W: Optimizer =
        Optimizer::AdamW { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, epsilon: 1e-3, weight_decay: 0.3 };
    pub const ROW_WISE: Optimizer = Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: 1e-8 };
    pub const ROW_WISE_ADAM: Optimizer =
        Optimizer::RowWiseAdam { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, epsilon: 1e-3 };
    pub const RMS_PROP: Optimizer = Optimizer::RmsProp { learning_rate: 0.1, rho: 0.8, epsilon: 1e-3 };
    pub const ROW_WISE_RMS_PROP: Optimizer = Optimizer::RowWiseRmsProp { learning_rate: 0.1, rho: 0.8, epsilon: 1e-3 };
    pub const FTRL: Optimizer = Optimizer::Ftrl { learning_rate: 0.5, beta: 0.7, l1: 0.6, l2: 0.3 };

    /// One of each name, in the order of the list.
    pub const ALL: &[Optimizer] =
        &[SGD, MOMENTUM, NESTEROV, ADAGRAD, ROW_WISE, ADAM, ADAM_W, ROW_WISE_ADAM, RMS_PROP, ROW_WISE_RMS_PROP, FTRL];

    /// Edits of the formulas in the shader that tests have to reject.
    pub const MUTANTS: &[(&str, &str)] = &[
        ("let sum = before.first + g * g;", "let sum = g * g;"),
        ("(1.0 - params.beta1) * g;", "(1.0 - params.beta2) * g;"),
        ("(1.0 - params.beta2) * (g * g)", "(g * g)"),
        ("after.second = square;", ""),
        ("square * params.correction", "square"),
        ("params.beta1 * before.first", "params.beta1"),
        ("params.beta1 * before.first + g;", "before.first + g;"),
        ("direction = g + params.beta1 * velocity;", "direction = velocity;"),
        ("sqrt(row_state * params.correction)", "sqrt(row_state)"),
        ("return number + mean_square;", "return mean_square;"),
        ("let average = params.beta2 * before.first + (1.0 - params.beta2) * (g * g);", "let average = g * g;"),
        ("optimizer == ROW_WISE_ADAGRAD || optimizer == ROW_WISE_RMS_PROP", "optimizer == ROW_WISE_ADAGRAD"),
        ("- (root - sqrt(before.second)) / params.learning_rate * before.w;", ";"),
        ("(root - sqrt(before.second))", "root"),
        ("sign(z) * params.beta1 - z", "-z"),
        ("abs(z) > vec4<f32>(params.beta1)", "abs(z) > vec4<f32>(0.0)"),
        ("/ params.learning_rate + params.beta2)", "/ params.learning_rate)"),
        ("params.beta2 * number", "params.beta1 * number"),
    ];

    /// What a row's own number becomes, from the mean of its gradient's squares.
    pub fn row_number(optimizer: Optimizer, number: Real, mean_square: Real) -> Real {
        match optimizer {
            Optimizer::RowWiseAdagrad { .. } => number + mean_square,
            Optimizer::RowWiseAdam { beta2: rho, .. } | Optimizer::RowWiseRmsProp { rho, .. } => {
                average(rho, number, mean_square)
            }
            _ => number,
        }
    }

    /// What a value becomes in step t, and its state.
    pub fn step(optimizer: Optimizer, t: u32, [w, g]: [Real; 2], state: &[Real], row: Real) -> Vec<Real> {
        match optimizer {
            Optimizer::Sgd { learning_rate } => vec![w - learning_rate * g],
            Optimizer::Momentum { learning_rate, momentum, nesterov } => {
                let v = momentum * state[0] + g;
                vec![w - learning_rate * if nesterov { g + momentum * v } else { v }, v]
            }
            Optimizer::Adagrad { learning_rate, epsilon } => {
                let sum = state[0] + g * g;
                vec![w - learning_rate * g / (sum.sqrt() + epsilon), sum]
            }
            Optimizer::RmsProp { learning_rate, rho, epsilon } => {
                let v = average(rho, state[0], g * g);
                vec![w - learning_rate * g / (v.sqrt() + epsilon), v]
            }
            Optimizer::Ftrl { learning_rate, beta, l1, l2 } => {
                let n = state[1] + g * g;
                let sigma = (n.sqrt() - state[1].sqrt()) / learning_rate;
                let z = state[0] + g - sigma * w;
                vec![0.0 - z.beyond(l1) / ((n.sqrt() + beta) / learning_rate + l2), z, n]
            }
            Optimizer::RowWiseAdagrad { learning_rate, epsilon }
            | Optimizer::RowWiseRmsProp { learning_rate, epsilon, .. } => {
                vec![w - learning_rate * g / (row.sqrt() + epsilon)]
            }
            Optimizer::Adam { learning_rate, beta1, beta2, epsilon }
            | Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, .. } => {
                let m = average(beta1, state[0], g);
                let v = average(beta2, state[1], g * g);
                let direction = corrected(m, beta1, t) / (corrected(v, beta2, t).sqrt() + epsilon);
                let kept = match optimizer {
                    Optimizer::AdamW { weight_decay, .. } => w - learning_rate * (weight_decay * w),
                    _ => w,
                };
                vec![kept - learning_rate * direction, m, v]
            }
            Optimizer::RowWiseAdam { learning_rate, beta1, beta2, epsilon } => {
                let m = average(beta1, state[0], g);
                let direction = corrected(m, beta1, t) / (corrected(row, beta2, t).sqrt() + epsilon);
                vec![w - learning_rate * direction, m]
            }
        }
    }

    /// A moving average of a number and of what comes in.
    fn average(share: f32, old: Real, new: Real) -> Real {
        share * old + (1.0 - Real::from(share)) * new
    }

    /// An average of t numbers that began at 0.
    fn corrected(average: Real, share: f32, t: u32) -> Real {
        average / (1.0 - f64::from(share).powf(t.into()))
    }
}
