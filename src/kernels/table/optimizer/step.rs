//! The step on the CPU.

use super::{Constants, Decay, Formula, StateSize};
use crate::Result;
use crate::device::Buffer;

/// Rows next to each other, with their state: what one CPU task may write.
pub(in crate::kernels::table) struct Rows<'a> {
    /// Row and element of the arena that the slices begin with.
    first: u32,
    base: u32,
    values: &'a mut [f32],
    state: [&'a mut [f32]; 2],
    /// How many numbers of state are the values'; those behind them are the rows'.
    per_value: usize,
    /// A gradient that is not as it came.
    adjusted: Vec<f32>,
}

/// A row, the gradient of its first dims, and how many lanes share it on a GPU.
pub(in crate::kernels::table) struct Run<'a> {
    pub row: u32,
    pub gradient: &'a [f32],
    pub lanes: u32,
}

impl<'a> Rows<'a> {
    /// All rows of a table.
    pub fn all(
        op: &'static str,
        arena: &'a mut Buffer<f32>,
        state: &'a mut [Buffer<f32>],
        size: StateSize,
    ) -> Result<Self> {
        let mut slices: [&mut [f32]; 2] = Default::default();
        for (slice, buffer) in slices.iter_mut().zip(state) {
            *slice = buffer.host_mut(op, "state")?;
        }
        let values = arena.host_mut(op, "arena")?;
        Ok(Self { first: 0, base: 0, values, state: slices, per_value: size.per_value as usize, adjusted: Vec::new() })
    }

    /// Values of all rows.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// The rows before `row`, and those from it on.
    pub fn split_at(self, offsets: &[u32], row: u32) -> (Self, Self) {
        let base = offsets[row as usize];
        let (values, rows) = ((base - self.base) as usize, (row - self.first) as usize);
        let per_value = self.per_value;
        let cut = |number: usize, state: &'a mut [f32]| {
            let numbers = if number < per_value { values } else { rows };
            state.split_at_mut(numbers.min(state.len()))
        };
        let [a, b] = self.state;
        let ((a_low, a_high), (b_low, b_high)) = (cut(0, a), cut(1, b));
        let (low, high) = self.values.split_at_mut(values);
        let adjusted = Vec::new();
        (
            Self { values: low, state: [a_low, b_low], ..self },
            Self { first: row, base, values: high, state: [a_high, b_high], per_value, adjusted },
        )
    }

    /// One step of a row along the gradient of its first dims.
    #[inline(always)]
    pub fn step(&mut self, constants: &Constants, offsets: &[u32], run: Run<'_>) {
        if constants.clips || constants.decay != Decay::None {
            self.step_adjusted(constants, offsets, run);
        } else {
            self.step_along(constants, offsets, run);
        }
    }

    /// Apart from [`step`](Self::step), so that the plain step stays as short as it is.
    #[inline(never)]
    fn step_adjusted(&mut self, constants: &Constants, offsets: &[u32], run: Run<'_>) {
        let Run { row, gradient, lanes } = run;
        let begin = (offsets[row as usize] - self.base) as usize;
        let weights = &mut self.values[begin..begin + gradient.len()];
        let &Constants { weight_decay, max_norm, .. } = constants;
        let mut adjusted = std::mem::take(&mut self.adjusted);
        adjusted.clear();
        adjusted.extend_from_slice(gradient);
        if constants.clips {
            let norm = sum_of_squares(gradient, lanes as usize).sqrt();
            if norm > max_norm {
                let factor = max_norm / norm;
                adjusted.iter_mut().for_each(|g| *g *= factor);
            }
        }
        match constants.decay {
            Decay::None => {}
            Decay::OfGradients => adjusted.iter_mut().zip(weights).for_each(|(g, w)| *g += weight_decay * *w),
            Decay::OfWeights => weights.iter_mut().for_each(|w| *w -= weight_decay * *w),
        }
        self.step_along(constants, offsets, Run { row, gradient: &adjusted, lanes });
        self.adjusted = adjusted;
    }

    #[inline(always)]
    fn step_along(&mut self, constants: &Constants, offsets: &[u32], run: Run<'_>) {
        let Run { row, gradient, lanes } = run;
        let begin = (offsets[row as usize] - self.base) as usize;
        let own = begin..begin + gradient.len();
        let weights = &mut self.values[own.clone()];
        let [first_state, second_state] = &mut self.state;
        let &Constants { learning_rate, epsilon, beta1, beta2, correction, .. } = constants;
        let mean_square = || sum_of_squares(gradient, lanes as usize) / gradient.len() as f32;
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
                let sum = &mut first_state[(row - self.first) as usize];
                *sum += mean_square();
                let root = sum.sqrt() + epsilon;
                for (w, g) in weights.iter_mut().zip(gradient) {
                    *w -= learning_rate * g / root;
                }
            }
            Formula::RowWiseAdam => {
                let square = &mut second_state[(row - self.first) as usize];
                *square = beta2 * *square + (1.0 - beta2) * mean_square();
                let root = (*square * correction).sqrt() + epsilon;
                for ((w, m), g) in weights.iter_mut().zip(&mut first_state[own]).zip(gradient) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *w -= learning_rate * *m / root;
                }
            }
        }
    }
}

/// In the GPU's order: a stride of `lanes` (a power of two) to each, then a tree.
fn sum_of_squares(gradient: &[f32], lanes: usize) -> f32 {
    let mut sums = [0.0f32; 256];
    for part in gradient.chunks(lanes) {
        sums.iter_mut().zip(part).for_each(|(sum, g)| *sum += g * g);
    }
    let mut half = lanes / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}
