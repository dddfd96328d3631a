//! The step on the CPU.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::constants::{Constants, Decay};
use super::deferred::{Deferred, Stretch};
use super::formulas::{Values, row_number, step_values};
use super::non_finite::clamped;
use crate::Result;
use crate::device::Buffer;
use crate::kernels::prim::segments::sum_by_lanes;
use crate::kernels::vectors::whole_vectors;
use crate::rows::{Codec, HostDirectory, Noise, Rows, per_word, prefetch_slice};

/// The word on the host that counts what is not finite, where there is one.
pub(in crate::kernels::table) struct Counter<'a>(Option<&'a mut u32>);

impl<'a> Counter<'a> {
    pub fn new(op: &'static str, buffer: Option<&'a mut Buffer<u32>>) -> Result<Self> {
        let word = buffer.map(|buffer| buffer.host_mut(op, "counter")).transpose()?;
        Ok(Self(word.and_then(<[u32]>::first_mut)))
    }

    pub fn add(self, number: u32) {
        if let Some(count) = self.0 {
            *count = count.wrapping_add(number);
        }
    }
}

/// Rows next to each other in a page, with their state: what one CPU task may write.
pub(in crate::kernels::table) struct RowsMut<'a, V> {
    directory: HostDirectory<'a>,
    /// Row of the page and element that the slices begin with.
    first: u32,
    base: usize,
    values: &'a mut [V],
    state: [&'a mut [f32]; 2],
    /// How many numbers of state belong to values; those after them belong to rows.
    per_value: usize,
    /// A gradient that is not as it came.
    adjusted: Vec<f32>,
    /// Values of one or two bytes while they are stepped.
    weights: Vec<f32>,
    /// The same as they were stored.
    stored: Vec<V>,
    deferred: Deferred,
}

/// A row by its id, the gradient of its first dims, `width` of them, and how many lanes share it on a GPU. The gradient
/// may go on behind them, so that whole vectors can be loaded.
#[derive(Clone, Copy)]
pub(in crate::kernels::table) struct Run<'a> {
    pub row: u32,
    pub gradient: &'a [f32],
    pub width: usize,
    pub lanes: u32,
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
                let (adjusted, weights, stored, deferred) = Default::default();
                Ok(Self { directory, first: 0, base: 0, values, state, per_value, adjusted, weights, stored, deferred })
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
        let (adjusted, weights, stored, deferred) = Default::default();
        let (directory, state) = (self.directory, [a_high, b_high]);
        (
            Self { values: low, state: [a_low, b_low], ..self },
            Self { directory, first: row, base, values: high, state, per_value, adjusted, weights, stored, deferred },
        )
    }

    /// Requests the first dims of a row and their state from memory.
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

    /// Whether rows may be [deferred](Self::defer): each value's step is its own, and the gradient is as it came.
    pub fn may_defer(&self, constants: &Constants) -> bool {
        let adjusts = constants.clamps || constants.decay != Decay::None;
        per_word::<V>() == 1 && !constants.by_row() && !adjusts
    }

    /// Room for the gradient of the first `width` dims of a row, in whole vectors, whose step waits for those of rows
    /// behind it. Rows come in the order of their ids.
    #[inline(always)]
    pub fn defer(&mut self, id: u32, width: usize) -> &mut [f32] {
        let begin = self.directory.span(id - self.directory.first).0 - self.base;
        self.deferred.add(begin, width)
    }

    /// Steps the rows that wait, once there are enough of them or in any case. Returns what [`step`](Self::step) does.
    #[inline(always)]
    pub fn step_deferred<S: Simd>(&mut self, simd: S, constants: &Constants, in_any_case: bool) -> u32 {
        if !self.deferred.is_full() && !in_any_case {
            return 0;
        }
        let Self { values, state: [a, b], deferred, weights: scratch, .. } = self;
        let noise = Noise::of_step(constants.key, 0, constants.step);
        let (stretches, gradients) = deferred.take();
        let mut left_out = 0;
        for Stretch { begin, at, len } in stretches {
            let gradient = &gradients[at..];
            V::in_f32(
                (&mut values[begin..], len),
                scratch,
                noise,
                #[inline(always)]
                |weights| {
                    let state = [&mut **a, &mut **b].map(|numbers| numbers.get_mut(begin..).unwrap_or_default());
                    let mut values = Values { weights, gradient, state, width: len };
                    left_out += step_values(simd, constants, &mut values, None, 0.0);
                },
            );
        }
        left_out
    }

    /// One step of a row along the gradient of its first dims. Returns the number of dims whose step was left out, or
    /// whose gradient was replaced, since it was not finite.
    #[inline(always)]
    pub fn step<S: Simd>(&mut self, simd: S, constants: &Constants, run: Run<'_>) -> u32 {
        let row = run.row - self.directory.first;
        let begin = self.directory.span(row).0 - self.base;
        let own = begin..begin + run.width;
        let Self { values, state, adjusted, weights, stored, .. } = self;
        let noise = Noise::of_step(constants.key, run.row, constants.step);
        // Values that share bits have none of their own.
        let keeps_bits = per_word::<V>() > 1 && V::GROUP == 1;
        if keeps_bits {
            stored.clear();
            stored.extend_from_slice(&values[own.clone()]);
        }
        let mut left_out = 0;
        V::in_f32(
            (&mut values[begin..], run.width),
            weights,
            noise,
            #[inline(always)]
            |weights| {
                let [a, b] = state;
                let state = [&mut **a, &mut **b];
                let (row, per_word) = ((row - self.first) as usize, per_word::<V>() as usize);
                let of_row = RowStep { constants, weights, state, begin, row, run, per_word };
                left_out = if constants.clips || constants.clamps || constants.decay != Decay::None {
                    step_adjusted(simd, Adjusted { of_row, gradient: adjusted })
                } else {
                    of_row.along(simd, None)
                }
            },
        );
        if keeps_bits && left_out > 0 {
            restore(&mut values[own], stored, weights);
        }
        left_out
    }
}

/// Restores the bits of values that were not stepped: rounding keeps only those of finite values.
#[cold]
fn restore<V: Codec>(values: &mut [V], stored: &[V], weights: &[f32]) {
    let mut before = Vec::new();
    let before = V::widen((stored, stored.len()), &mut before);
    for (((value, stored), before), after) in values.iter_mut().zip(stored).zip(before).zip(weights) {
        if before.to_bits() == after.to_bits() {
            *value = *stored;
        }
    }
}

/// By itself, so that the plain step stays short.
#[inline(never)]
fn step_adjusted<S: Simd>(simd: S, adjusted: Adjusted<'_, '_>) -> u32 {
    simd.vectorize(adjusted)
}

/// A step along a gradient that is not as it came, and room for that gradient.
struct Adjusted<'a, 's> {
    of_row: RowStep<'a, 's>,
    gradient: &'s mut Vec<f32>,
}

impl WithSimd for Adjusted<'_, '_> {
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u32 {
        let Self { of_row, gradient: adjusted } = self;
        let RowStep { constants, run: Run { gradient, width, lanes, .. }, per_word, .. } = of_row;
        let &Constants { weight_decay, max_norm, .. } = constants;
        adjusted.clear();
        adjusted.extend_from_slice(&gradient[..width]);
        let mut replaced = 0;
        if constants.clamps {
            for g in &mut *adjusted {
                let before = g.to_bits();
                *g = clamped(*g);
                replaced += u32::from(g.to_bits() != before);
            }
        }
        if constants.clips {
            let norm = sum_of_squares(adjusted, lanes, per_word).sqrt();
            if !norm.is_finite() {
                return replaced + width as u32;
            }
            if norm > max_norm {
                let factor = max_norm / norm;
                adjusted.iter_mut().for_each(|g| *g *= factor);
            }
        }
        if constants.decay == Decay::OfGradients {
            adjusted.iter_mut().zip(&*of_row.weights).for_each(|(g, w)| *g += weight_decay * *w);
        }
        whole_vectors(adjusted);
        let run = Run { gradient: adjusted, ..of_row.run };
        let of_row = RowStep { run, ..of_row };
        replaced + of_row.along(simd, (constants.decay == Decay::OfWeights).then_some(weight_decay))
    }
}

/// A step of a row whose values are `weights`, with what is behind them. Its state begins at `begin`, and its own
/// number is number `row` of its kind.
struct RowStep<'a, 's> {
    constants: &'a Constants,
    weights: &'s mut [f32],
    state: [&'s mut [f32]; 2],
    begin: usize,
    row: usize,
    run: Run<'a>,
    per_word: usize,
}

impl RowStep<'_, '_> {
    /// `weight_decay` is the part of a weight that goes first.
    #[inline(always)]
    fn along<S: Simd>(self, simd: S, weight_decay: Option<f32>) -> u32 {
        let Self { constants, weights, state, begin, row, run: Run { gradient, width, lanes, .. }, per_word } = self;
        let mut number = 0.0;
        // A row without a gradient keeps its number.
        if constants.state.per_row > 0 && width > 0 {
            let mean_square = sum_of_squares(&gradient[..width], lanes, per_word) / width as f32;
            let own_number = &mut state[constants.state.per_value as usize][row];
            number = row_number(constants, *own_number, mean_square);
            if !number.is_finite() {
                return width as u32;
            }
            *own_number = number;
        }
        let state = state.map(|numbers| numbers.get_mut(begin..).unwrap_or_default());
        step_values(simd, constants, &mut Values { weights, gradient, state, width }, weight_decay, number)
    }
}

/// In the GPU's order: a stride of `lanes` words to each, then a tree.
fn sum_of_squares(gradient: &[f32], lanes: u32, per_word: usize) -> f32 {
    if per_word == 1 {
        return sum_by_lanes(gradient, None, lanes, |g| g * g);
    }
    if per_word == 4 {
        let (words, tail) = gradient.as_chunks::<4>();
        let last = (!tail.is_empty()).then(|| std::array::from_fn(|k| tail.get(k).copied().unwrap_or(0.0)));
        return sum_by_lanes(words, last.as_ref(), lanes, |[a, b, c, d]| (a * a + b * b) + (c * c + d * d));
    }
    let (words, tail) = gradient.as_chunks::<2>();
    let last = tail.first().map(|&g| [g, 0.0]);
    sum_by_lanes(words, last.as_ref(), lanes, |[a, b]| a * a + b * b)
}
