//! The optimizers of a table: how a row moves along its gradient.
//!
//! With `g_j` the gradient of a row's dim j and n the dims of the row that have one, in step t:
//!
//! * SGD: `w_j -= lr * g_j`
//! * Adagrad (Duchi, Hazan, Singer 2011): `s_j += g_j^2`, `w_j -= lr * g_j / (sqrt(s_j) + eps)`
//! * Adam (Kingma, Ba 2015): `m_j = b1 * m_j + (1 - b1) * g_j`, `v_j = b2 * v_j + (1 - b2) * g_j^2`,
//!   `w_j -= lr * m_j / (1 - b1^t) / (sqrt(v_j / (1 - b2^t)) + eps)`
//! * Row-wise Adagrad (exact, as in FBGEMM): `s += sum of g_j^2 / n`, `w_j -= lr * g_j / (sqrt(s) + eps)`
//!
//! [`Update`](super::update::Update) steps the rows of a batch, [`UpdateAll`](super::update_all::UpdateAll) every row. Both
//! step by `shaders/common/optimizer.wgsl` on a GPU and by this file on the CPU.
//!
//! # Numerics
//! The corrections `1 - b^t` are computed once a step, in f64, on the host. Squares of a row are summed by as many lanes as
//! share it on a GPU, then by a tree; the CPU sums in the same order, so the two differ by fused products only.

use crate::Result;
use crate::device::{Binding, Buffer};
use crate::kernels::check;

/// How a row moves along its gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// `w -= lr * g`; no state.
    Sgd {
        /// Step size.
        learning_rate: f32,
    },
    /// `s += g^2; w -= lr * g / (sqrt(s) + eps)`; one number of state a value.
    Adagrad {
        /// Step size.
        learning_rate: f32,
        /// Keeps the first steps finite; 1e-8 where nothing speaks for another.
        epsilon: f32,
    },
    /// Moving averages of the gradient and its square, corrected for their start at zero; two numbers of state a value.
    ///
    /// Lazy: in a sparse update only the rows of the batch move, and the averages of the others stay as they are. The step
    /// that corrects is the table's, not the row's: a row that first occurs late takes first steps as large as
    /// `(1 - beta1) / sqrt(1 - beta2)` times the learning rate.
    Adam {
        /// Step size; 1e-3 in the paper.
        learning_rate: f32,
        /// Share of the old average of gradients, in `[0, 1)`; 0.9 in the paper.
        beta1: f32,
        /// Share of the old average of squares, in `[0, 1)`; 0.999 in the paper.
        beta2: f32,
        /// Keeps steps along vanishing gradients finite; 1e-8 in the paper.
        epsilon: f32,
    },
    /// Adagrad with one number of state a row: `s += mean of g^2` over the dims of the row that have a gradient.
    RowWiseAdagrad {
        /// Step size.
        learning_rate: f32,
        /// Keeps the first steps finite; 1e-8 where nothing speaks for another.
        epsilon: f32,
    },
}

/// f32 numbers of state that an optimizer keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// For each value.
    pub per_value: u32,
    /// For each row.
    pub per_row: u32,
}

impl StateSize {
    /// Bytes for a table of this many rows and values.
    pub fn bytes(&self, rows: u64, values: u64) -> u64 {
        4 * (u64::from(self.per_value) * values + u64::from(self.per_row) * rows)
    }

    /// Lengths of the state's buffers, one for each number.
    pub fn lens(&self, rows: usize, values: usize) -> impl ExactSizeIterator<Item = usize> + use<> {
        let per_value = self.per_value;
        (0..per_value + self.per_row).map(move |i| if i < per_value { values } else { rows })
    }
}

/// What a step takes from the optimizer, as the shader's parameters have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    pub rule: u32,
    pub learning_rate: f32,
    pub epsilon: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub correction: f32,
}

impl Optimizer {
    /// Numbers of state that it keeps. Adam's first buffer is that of the gradients' averages.
    pub fn state_size(&self) -> StateSize {
        match self {
            Self::Sgd { .. } => StateSize::default(),
            Self::Adagrad { .. } => StateSize { per_value: 1, per_row: 0 },
            Self::Adam { .. } => StateSize { per_value: 2, per_row: 0 },
            Self::RowWiseAdagrad { .. } => StateSize { per_value: 0, per_row: 1 },
        }
    }

    /// The same with another step size.
    pub fn with_learning_rate(mut self, rate: f32) -> Self {
        match &mut self {
            Self::Sgd { learning_rate }
            | Self::Adagrad { learning_rate, .. }
            | Self::Adam { learning_rate, .. }
            | Self::RowWiseAdagrad { learning_rate, .. } => *learning_rate = rate,
        }
        self
    }

    pub(super) fn is_row_wise(&self) -> bool {
        self.state_size().per_row > 0
    }

    pub(super) fn constants(&self, step: u32) -> Constants {
        let plain = |rule, learning_rate, epsilon| Constants {
            rule,
            learning_rate,
            epsilon,
            beta1: 0.0,
            beta2: 0.0,
            correction: 1.0,
        };
        match *self {
            Self::Sgd { learning_rate } => plain(0, learning_rate, 0.0),
            Self::Adagrad { learning_rate, epsilon } => plain(1, learning_rate, epsilon),
            Self::Adam { learning_rate, beta1, beta2, epsilon } => {
                let missing = |beta: f32| 1.0 - f64::from(beta).powf(step.into());
                let rate = (f64::from(learning_rate) / missing(beta1)) as f32;
                Constants { beta1, beta2, correction: (1.0 / missing(beta2)) as f32, ..plain(2, rate, epsilon) }
            }
            Self::RowWiseAdagrad { learning_rate, epsilon } => plain(3, learning_rate, epsilon),
        }
    }

    /// Domain of the constants.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        let (rate, betas, epsilon) = match *self {
            // It has none.
            Self::Sgd { learning_rate } => (learning_rate, [0.0; 2], 1.0),
            Self::Adagrad { learning_rate, epsilon } | Self::RowWiseAdagrad { learning_rate, epsilon } => {
                (learning_rate, [0.0; 2], epsilon)
            }
            Self::Adam { learning_rate, beta1, beta2, epsilon } => (learning_rate, [beta1, beta2], epsilon),
        };
        check::domain(op, "learning_rate", rate, rate.is_finite(), "finite")?;
        for (arg, beta) in ["beta1", "beta2"].into_iter().zip(betas) {
            check::domain(op, arg, beta, (0.0..1.0).contains(&beta), "at least 0 and below 1")?;
        }
        // At 0 a first gradient of 0, which a short row's partner gives, would be 0 / 0.
        check::domain(op, "epsilon", epsilon, epsilon.is_finite() && epsilon > 0.0, "finite and above 0")
    }

    /// Constants, step and state of an operator on so many rows and values.
    pub(super) fn check_state(
        &self,
        op: &'static str,
        step: u32,
        state: &[Buffer<f32>],
        (rows, values): (usize, usize),
    ) -> Result<()> {
        self.check(op)?;
        check::domain(op, "step", step, step > 0, "at least 1")?;
        let lens = self.state_size().lens(rows, values);
        check::len(op, "state", state.len(), lens.len() as u64)?;
        for ((buffer, len), arg) in state.iter().zip(lens).zip(["state[0]", "state[1]"]) {
            check::len(op, arg, buffer.len(), len as u64)?;
        }
        Ok(())
    }
}

/// The buffer of a number of state; where the optimizer has none, the arena is bound in its place and not touched there.
pub(super) fn state_binding<'a>(state: &'a [Buffer<f32>], number: usize, arena: &'a Buffer<f32>) -> Binding<'a> {
    state.get(number).unwrap_or(arena).binding("state")
}

/// Rows next to each other, with their state: what one CPU task may write.
pub(super) struct Rows<'a> {
    /// Row and element of the arena that the slices begin with.
    first: u32,
    base: u32,
    values: &'a mut [f32],
    state: [&'a mut [f32]; 2],
    row_wise: bool,
}

impl<'a> Rows<'a> {
    /// All rows of a table.
    pub fn all(
        op: &'static str,
        arena: &'a mut Buffer<f32>,
        state: &'a mut [Buffer<f32>],
        optimizer: Optimizer,
    ) -> Result<Self> {
        let mut slices: [&mut [f32]; 2] = Default::default();
        for (slice, buffer) in slices.iter_mut().zip(state) {
            *slice = buffer.host_mut(op, "state")?;
        }
        let values = arena.host_mut(op, "arena")?;
        Ok(Self { first: 0, base: 0, values, state: slices, row_wise: optimizer.is_row_wise() })
    }

    /// Values of all rows.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// The rows before `row`, and those from it on.
    pub fn split_at(self, offsets: &[u32], row: u32) -> (Self, Self) {
        let base = offsets[row as usize];
        let values = (base - self.base) as usize;
        let numbers = if self.row_wise { (row - self.first) as usize } else { values };
        let (low, high) = self.values.split_at_mut(values);
        let [a, b] = self.state;
        let (a_low, a_high) = a.split_at_mut(numbers.min(a.len()));
        let (b_low, b_high) = b.split_at_mut(numbers.min(b.len()));
        let row_wise = self.row_wise;
        (
            Self { first: self.first, base: self.base, values: low, state: [a_low, b_low], row_wise },
            Self { first: row, base, values: high, state: [a_high, b_high], row_wise },
        )
    }

    /// One step of a row along the gradient of its first dims; `lanes` is how many threads share the row on a GPU.
    #[inline(always)]
    pub fn step(&mut self, optimizer: Optimizer, constants: &Constants, offsets: &[u32], run: Run<'_>) {
        let Run { row, gradient, lanes } = run;
        let begin = (offsets[row as usize] - self.base) as usize;
        let own = begin..begin + gradient.len();
        let weights = &mut self.values[own.clone()];
        let &Constants { learning_rate, epsilon, beta1, beta2, correction, .. } = constants;
        match optimizer {
            Optimizer::Sgd { .. } => {
                for (w, g) in weights.iter_mut().zip(gradient) {
                    *w -= learning_rate * g;
                }
            }
            Optimizer::Adagrad { .. } => {
                for ((w, s), g) in weights.iter_mut().zip(&mut self.state[0][own]).zip(gradient) {
                    *s += g * g;
                    *w -= learning_rate * g / (s.sqrt() + epsilon);
                }
            }
            Optimizer::Adam { .. } => {
                let [means, squares] = &mut self.state;
                let moments = means[own.clone()].iter_mut().zip(&mut squares[own]);
                for ((w, (m, v)), g) in weights.iter_mut().zip(moments).zip(gradient) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * (g * g);
                    *w -= learning_rate * *m / ((*v * correction).sqrt() + epsilon);
                }
            }
            Optimizer::RowWiseAdagrad { .. } => {
                if gradient.is_empty() {
                    return;
                }
                let sum = &mut self.state[0][(row - self.first) as usize];
                *sum += sum_of_squares(gradient, lanes as usize) / gradient.len() as f32;
                let root = sum.sqrt() + epsilon;
                for (w, g) in weights.iter_mut().zip(gradient) {
                    *w -= learning_rate * g / root;
                }
            }
        }
    }
}

/// A row, the gradient of its first dims, and how many lanes share it on a GPU.
pub(super) struct Run<'a> {
    pub row: u32,
    pub gradient: &'a [f32],
    pub lanes: u32,
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

#[cfg(test)]
pub(super) mod oracle;
