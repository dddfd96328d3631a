//! The step on the CPU.

use std::ops::Range;

use super::{Constants, Decay, Formula};
use crate::Result;
use crate::kernels::prim::segments::sum_by_lanes;
use crate::rows::{Codec, HostDirectory, Noise, Rows, per_word, prefetch_slice};

/// Rows next to each other in a page, with their state: what one CPU task may write.
pub(in crate::kernels::table) struct RowsMut<'a, V> {
    directory: HostDirectory<'a>,
    /// Row of the page and element that the slices begin with.
    first: u32,
    base: usize,
    values: &'a mut [V],
    state: [&'a mut [f32]; 2],
    /// How many numbers of state are the values'; those behind them are the rows'.
    per_value: usize,
    /// A gradient that is not as it came.
    adjusted: Vec<f32>,
    /// Values of f16 while they are stepped.
    weights: Vec<f32>,
}

/// A row by its id, the gradient of its first dims, and how many lanes share it on a GPU.
pub(in crate::kernels::table) struct Run<'a> {
    pub row: u32,
    pub gradient: &'a [f32],
    pub lanes: u32,
}

/// The state of a row: that of its values, and where its own number is.
struct RowState<'s, 'a> {
    numbers: &'s mut [&'a mut [f32]; 2],
    values: Range<usize>,
    row: usize,
}

impl<'a, V: Codec> RowsMut<'a, V> {
    /// All rows of a table, a page each.
    pub fn pages(op: &'static str, rows: &'a mut Rows) -> Result<Vec<Self>> {
        let per_value = rows.state_size().per_value as usize;
        rows.pages_mut()
            .iter_mut()
            .map(|page| {
                let (directory, values, buffers) = page.host_mut::<V>(op)?;
                let mut state: [&mut [f32]; 2] = Default::default();
                for (slice, buffer) in state.iter_mut().zip(buffers) {
                    *slice = buffer.host_mut(op, "state")?;
                }
                let (adjusted, weights) = Default::default();
                Ok(Self { directory, first: 0, base: 0, values, state, per_value, adjusted, weights })
            })
            .collect()
    }

    /// Ids of the rows of the whole page.
    pub fn ids(&self) -> Range<u32> {
        self.directory.first..self.directory.first + self.directory.rows
    }

    /// Size of a row.
    pub fn size(&self, id: u32) -> u32 {
        let (start, end) = self.directory.span(id - self.directory.first);
        (end - start) as u32
    }

    /// Values of all rows.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// The rows before the one of an id, and those from it on; past the last row there are none.
    pub fn split_at(self, id: u32) -> (Self, Self) {
        let row = id - self.directory.first;
        let end = self.base + self.values.len();
        let base = if row < self.directory.rows { self.directory.span(row).0 } else { end };
        let (values, rows) = (base - self.base, (row - self.first) as usize);
        let per_value = self.per_value;
        let cut = |number: usize, state: &'a mut [f32]| {
            let numbers = if number < per_value { values } else { rows };
            state.split_at_mut(numbers.min(state.len()))
        };
        let [a, b] = self.state;
        let ((a_low, a_high), (b_low, b_high)) = (cut(0, a), cut(1, b));
        let (low, high) = self.values.split_at_mut(values);
        let (adjusted, weights) = Default::default();
        let directory = self.directory;
        (
            Self { values: low, state: [a_low, b_low], ..self },
            Self { directory, first: row, base, values: high, state: [a_high, b_high], per_value, adjusted, weights },
        )
    }

    /// Asks memory for the first dims of a row and their state.
    #[inline(always)]
    pub fn prefetch(&self, id: u32, dims: usize) {
        let row = id - self.directory.first;
        let (start, end) = self.directory.span(row);
        let own = start - self.base..end.min(start + dims) - self.base;
        prefetch_slice(&self.values[own.clone()]);
        for (number, state) in self.state.iter().enumerate() {
            if number < self.per_value {
                prefetch_slice(&state[own.clone()]);
            } else {
                let number = (row - self.first) as usize;
                prefetch_slice(state.get(number..=number).unwrap_or(&[]));
            }
        }
    }

    /// One step of a row along the gradient of its first dims.
    #[inline(always)]
    pub fn step(&mut self, constants: &Constants, run: Run<'_>) {
        let row = run.row - self.directory.first;
        let begin = self.directory.span(row).0 - self.base;
        let own = begin..begin + run.gradient.len();
        let Self { values, state, adjusted, weights, .. } = self;
        let state = RowState { numbers: state, values: own.clone(), row: (row - self.first) as usize };
        let noise = Noise { key: constants.key, row: run.row, step: constants.step };
        V::in_f32(
            &mut values[own],
            weights,
            noise,
            #[inline(always)]
            |weights| {
                if constants.clips || constants.decay != Decay::None {
                    step_adjusted(constants, weights, state, run, (adjusted, per_word::<V>() as usize));
                } else {
                    step_along(constants, weights, state, run, per_word::<V>() as usize);
                }
            },
        );
    }
}

/// Apart from the plain step, so that it stays as short as it is.
#[inline(never)]
fn step_adjusted(
    constants: &Constants,
    weights: &mut [f32],
    state: RowState<'_, '_>,
    run: Run<'_>,
    (adjusted, per_word): (&mut Vec<f32>, usize),
) {
    let Run { row, gradient, lanes } = run;
    let &Constants { weight_decay, max_norm, .. } = constants;
    adjusted.clear();
    adjusted.extend_from_slice(gradient);
    if constants.clips {
        let norm = sum_of_squares(gradient, lanes, per_word).sqrt();
        if norm > max_norm {
            let factor = max_norm / norm;
            adjusted.iter_mut().for_each(|g| *g *= factor);
        }
    }
    match constants.decay {
        Decay::None => {}
        Decay::OfGradients => adjusted.iter_mut().zip(&*weights).for_each(|(g, w)| *g += weight_decay * *w),
        Decay::OfWeights => weights.iter_mut().for_each(|w| *w -= weight_decay * *w),
    }
    step_along(constants, weights, state, Run { row, gradient: adjusted, lanes }, per_word);
}

#[inline(always)]
fn step_along(constants: &Constants, weights: &mut [f32], state: RowState<'_, '_>, run: Run<'_>, per_word: usize) {
    let Run { gradient, lanes, .. } = run;
    let RowState { numbers: [first_state, second_state], values: own, row } = state;
    let &Constants { learning_rate, epsilon, beta1, beta2, correction, .. } = constants;
    let mean_square = || sum_of_squares(gradient, lanes, per_word) / gradient.len() as f32;
    match constants.formula {
        Formula::Sgd => {
            for (w, g) in weights.iter_mut().zip(gradient) {
                *w -= learning_rate * g;
            }
        }
        Formula::Momentum => {
            for ((w, v), g) in weights.iter_mut().zip(&mut first_state[own]).zip(gradient) {
                *v = beta1 * *v + g;
                *w -= learning_rate * *v;
            }
        }
        Formula::Nesterov => {
            for ((w, v), g) in weights.iter_mut().zip(&mut first_state[own]).zip(gradient) {
                *v = beta1 * *v + g;
                *w -= learning_rate * (g + beta1 * *v);
            }
        }
        Formula::Adagrad => {
            for ((w, s), g) in weights.iter_mut().zip(&mut first_state[own]).zip(gradient) {
                *s += g * g;
                *w -= learning_rate * g / (s.sqrt() + epsilon);
            }
        }
        Formula::Adam => {
            let moments = first_state[own.clone()].iter_mut().zip(&mut second_state[own]);
            for ((w, (m, v)), g) in weights.iter_mut().zip(moments).zip(gradient) {
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * (g * g);
                *w -= learning_rate * *m / ((*v * correction).sqrt() + epsilon);
            }
        }
        // A row without a gradient keeps its number.
        Formula::RowWiseAdagrad | Formula::RowWiseAdam if gradient.is_empty() => {}
        Formula::RowWiseAdagrad => {
            let sum = &mut first_state[row];
            *sum += mean_square();
            let root = sum.sqrt() + epsilon;
            for (w, g) in weights.iter_mut().zip(gradient) {
                *w -= learning_rate * g / root;
            }
        }
        Formula::RowWiseAdam => {
            let square = &mut second_state[row];
            *square = beta2 * *square + (1.0 - beta2) * mean_square();
            let root = (*square * correction).sqrt() + epsilon;
            for ((w, m), g) in weights.iter_mut().zip(&mut first_state[own]).zip(gradient) {
                *m = beta1 * *m + (1.0 - beta1) * g;
                *w -= learning_rate * *m / root;
            }
        }
    }
}

/// In the GPU's order: a stride of `lanes` words to each, then a tree.
fn sum_of_squares(gradient: &[f32], lanes: u32, per_word: usize) -> f32 {
    if per_word == 1 {
        return sum_by_lanes(gradient, None, lanes, |g| g * g);
    }
    let (words, tail) = gradient.as_chunks::<2>();
    let last = tail.first().map(|&g| [g, 0.0]);
    sum_by_lanes(words, last.as_ref(), lanes, |[a, b]| a * a + b * b)
}
