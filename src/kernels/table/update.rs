//! Sparse update of ragged rows: gradient reduction and optimizer step in one pass over each row.
//!
//! For every row r that occurs in `ids`, with `g_j = sum over its occurrences b of gradients[b, j]` for
//! `j < min(d_r, D)`:
//!
//! * SGD: `w_j -= lr * g_j`
//! * Adagrad (Duchi, Hazan, Singer 2011): `s_j += g_j^2`, `w_j -= lr * g_j / (sqrt(s_j) + eps)`
//!
//! Values beyond `min(d_r, D)` and rows that do not occur are never touched. An id past the table is left out.
//!
//! # Numerics
//! Duplicates are exact: the occurrences are sorted by row (stable), summed in the order of the batch, and the optimizer
//! steps once. Runs longer than a chunk (64, more for batches of millions) are summed chunk by chunk, on both devices in
//! the same order: the sums agree bit for bit, the steps within `4 * eps` (a GPU may fuse or round its root otherwise).
//!
//! # Cost
//! On the GPU a radix sort of the ids plus four dispatches. Moves `4 * B * D` bytes of gradients once and the touched
//! rows (and their state) once in each direction.

use rayon::prelude::*;

use crate::device::{Access, Binding, Buffer, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::prim::scan::Region;
use crate::kernels::prim::sort::{self, Sort, bits_below, record_sort};
use crate::kernels::table::lookup::lanes;
use crate::kernels::{MAX_TRIPS, check};
use crate::{Error, Result};

pub(crate) static SHADER: Shader = Shader {
    name: "table/update",
    source: include_str!("../../../shaders/table/update.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry { name: "prepare", workgroup: 256, bindings: &[(4, Access::Read), (6, Access::Write)] },
        Entry { name: "short_runs", workgroup: 256, bindings: STEP },
        Entry {
            name: "partial_sums",
            workgroup: 256,
            bindings: &[(2, Access::Read), (5, Access::Read), (6, Access::Write)],
        },
        Entry {
            name: "long_runs",
            workgroup: 256,
            bindings: &[(1, Access::Write), (2, Access::Read), (3, Access::Write), (6, Access::Write)],
        },
    ],
};

const STEP: &[(u32, Access)] =
    &[(1, Access::Write), (2, Access::Read), (3, Access::Write), (5, Access::Read), (6, Access::Write)];

params! {
    struct Params {
        rows: u32,
        count: u32,
        dims: u32,
        first: u32,
        keys: u32,
        occurrences: u32,
        partials: u32,
        learning_rate: f32,
        epsilon: f32,
    }
}

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
}

impl Optimizer {
    /// f32 numbers of state that each value carries.
    pub fn state_per_value(&self) -> u32 {
        match self {
            Self::Sgd { .. } => 0,
            Self::Adagrad { .. } => 1,
        }
    }

    fn constants(&self) -> (u32, f32, f32) {
        match *self {
            Self::Sgd { learning_rate } => (0, learning_rate, 0.0),
            Self::Adagrad { learning_rate, epsilon } => (1, learning_rate, epsilon),
        }
    }

    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        let (_, rate, epsilon) = self.constants();
        check::domain(op, "learning_rate", rate, rate.is_finite(), "finite")?;
        check::domain(op, "epsilon", epsilon, epsilon.is_finite() && epsilon >= 0.0, "finite and not negative")
    }

    /// One step on a row: `weights` and `state` (empty for SGD) along `gradient`.
    #[inline(always)]
    fn step(&self, weights: &mut [f32], state: &mut [f32], gradient: &[f32]) {
        match *self {
            Self::Sgd { learning_rate } => {
                for (w, g) in weights.iter_mut().zip(gradient) {
                    *w -= learning_rate * g;
                }
            }
            Self::Adagrad { learning_rate, epsilon } => {
                for ((w, s), g) in weights.iter_mut().zip(state).zip(gradient) {
                    *s += g * g;
                    *w -= learning_rate * g / (s.sqrt() + epsilon);
                }
            }
        }
    }
}

/// Sums the gradients of each row and steps. See the [module](self).
#[derive(Debug)]
pub struct Update<'a> {
    /// Values of all rows, one after another.
    pub arena: &'a mut Buffer<f32>,
    /// `rows + 1` element offsets into the arena.
    pub offsets: &'a Buffer<u32>,
    /// Optimizer state with the arena's shape; `None` for an optimizer without state.
    pub state: Option<&'a mut Buffer<f32>>,
    /// Row ids.
    pub ids: &'a Buffer<u32>,
    /// First of the ids to use.
    pub first: u32,
    /// How many ids: `B`.
    pub count: u32,
    /// `B * D` gradients of the occurrences.
    pub gradients: &'a Buffer<f32>,
    /// Gradient width `D`.
    pub dims: u32,
    /// How rows move.
    pub optimizer: Optimizer,
    /// At least [`Update::workspace_len`] words; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<u32>,
}

/// Occurrences summed at once on the GPU: small, so that a hot row spreads over many workgroups, but so large that the
/// loop over the chunks stays within the trips of one invocation.
fn chunk(count: u32, dims: u32) -> u32 {
    let trips = u64::from(count) * u64::from(dims.div_ceil(256).max(1));
    (trips.div_ceil(u64::from(MAX_TRIPS)).next_power_of_two() as u32).max(64)
}

impl Update<'_> {
    /// Words of workspace for `count` ids with gradients of `dims`.
    pub fn workspace_len(count: u32, dims: u32) -> usize {
        let chunks = count.div_ceil(chunk(count, dims)) as usize;
        2 * count as usize + Sort::workspace_len(count) + 2 * chunks * dims as usize
    }
}

impl Kernel for Update<'_> {
    const NAME: &'static str = "table/update";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        check::rows(op, "offsets", self.offsets.len())?;
        check::dims(op, self.dims)?;
        self.optimizer.check(op)?;
        check::at_least(op, "ids", self.ids.len(), u64::from(self.first) + u64::from(self.count))?;
        check::len(op, "gradients", self.gradients.len(), u64::from(self.count) * u64::from(self.dims))?;
        let state = self.state.as_ref().map_or(0, |state| state.len());
        let per_value = self.optimizer.state_per_value() as usize;
        check::len(op, "state", state, (self.arena.len() * per_value) as u64)?;
        if self.arena.as_wgpu().is_some() {
            let trips = u64::from(chunk(self.count, self.dims)) * u64::from(self.dims.div_ceil(lanes(self.dims)));
            if trips > 2 * u64::from(MAX_TRIPS) {
                return Err(Error::Limit {
                    op,
                    arg: "ids",
                    limit: "occurrences a batch",
                    allowed: u64::from(MAX_TRIPS) * 64,
                    requested: self.count.into(),
                });
            }
            let needed = Self::workspace_len(self.count, self.dims) as u64;
            check::indexable(op, "workspace", needed)?;
            check::at_least(op, "workspace", self.workspace.len(), needed)?;
        }
        Ok(())
    }

    fn dispatch(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let (count, dims) = (self.count, self.dims);
        let rows = self.offsets.len() as u32 - 1;
        let lanes = lanes(dims);
        let chunk = chunk(count, dims);
        let (optimizer, learning_rate, epsilon) = self.optimizer.constants();
        let sort_base = 2 * count;
        let params = Params {
            rows,
            count,
            dims,
            first: self.first,
            keys: 0,
            occurrences: count,
            partials: sort_base + Sort::workspace_len(count) as u32,
            learning_rate,
            epsilon,
        };
        let constants =
            &[("lanes", f64::from(lanes)), ("chunk", f64::from(chunk)), ("optimizer", f64::from(optimizer))];
        let workspace = &*self.workspace;
        let arena = &*self.arena;
        let state = self.state.as_deref();
        let offsets = || self.offsets.binding("offsets");
        let gradients = || self.gradients.binding("gradients");
        let space = || workspace.binding("workspace");
        // An optimizer without state binds the arena in its place and does not touch it there.
        let state = || state.unwrap_or(arena).binding("state");
        let launch = |pass: &mut wgpu::ComputePass<'_>, entry, bindings: &[Binding<'_>], groups: u32| {
            let params = params.words();
            Launch { shader: &SHADER, entry, constants, params, bindings, groups: groups.into() }.record(gpu, pass)
        };
        launch(pass, "prepare", &[self.ids.binding("ids"), space()], count.div_ceil(256))?;
        let region = |base| Region { buffer: workspace, base };
        let shape = (count, bits_below(rows + 1), sort::ITEMS);
        record_sort(gpu, pass, [region(0), region(count)], region(sort_base), shape)?;
        let chunks = count.div_ceil(chunk);
        let buffers = [arena.binding("arena"), offsets(), state(), gradients(), space()];
        launch(pass, "short_runs", &buffers, count.div_ceil(256 / lanes))?;
        launch(pass, "partial_sums", &[offsets(), gradients(), space()], chunks)?;
        launch(pass, "long_runs", &[arena.binding("arena"), offsets(), state(), space()], chunks)
    }

    fn twin(self) -> Result<()> {
        let op = Self::NAME;
        let offsets = self.offsets.host(op, "offsets")?;
        let ids = &self.ids.host(op, "ids")?[self.first as usize..][..self.count as usize];
        let gradients = self.gradients.host(op, "gradients")?;
        let arena = self.arena.host_mut(op, "arena")?;
        let state = match self.state {
            Some(state) => state.host_mut(op, "state")?,
            None => &mut [],
        };
        update(arena, offsets, state, ids, gradients, self.dims as usize, self.optimizer);
        Ok(())
    }
}

/// The rows of one CPU task: a stretch of sorted occurrences with the slices of values and state that they fall into.
struct Task<'a> {
    keys: &'a [u32],
    occurrences: &'a [u32],
    /// Position of the first occurrence among all; chunks are counted from there.
    position: usize,
    /// Element of the arena that the slices begin with.
    base: u32,
    arena: &'a mut [f32],
    state: &'a mut [f32],
}

/// The CPU twin on slices.
pub fn update(
    mut arena: &mut [f32],
    offsets: &[u32],
    mut state: &mut [f32],
    ids: &[u32],
    gradients: &[f32],
    dims: usize,
    optimizer: Optimizer,
) {
    let rows = offsets.len() as u32 - 1;
    let mut keys: Vec<u32> = ids.iter().map(|&id| id.min(rows)).collect();
    let mut occurrences: Vec<u32> = (0..ids.len() as u32).collect();
    sort::sort(&mut keys, &mut occurrences, bits_below(rows + 1));
    let in_table = keys.partition_point(|&key| key < rows);
    let (keys, occurrences) = (&keys[..in_table], &occurrences[..in_table]);
    // Cut between rows into tasks of about equal length; rows ascend, so the arena splits at the same places.
    let length = in_table.div_ceil(4 * rayon::current_num_threads()).max(256);
    let mut tasks = Vec::new();
    let (mut position, mut base) = (0, 0);
    while position < in_table {
        let mut end = (position + length).min(in_table);
        let last = keys[end - 1];
        end += keys[end..].partition_point(|&key| key == last);
        let limit = offsets[last as usize + 1];
        let values = (limit - base) as usize;
        let (own, rest) = arena.split_at_mut(values);
        let (own_state, rest_state) = state.split_at_mut(values.min(state.len()));
        tasks.push(Task {
            keys: &keys[position..end],
            occurrences: &occurrences[position..end],
            position,
            base,
            arena: own,
            state: own_state,
        });
        (arena, state, position, base) = (rest, rest_state, end, limit);
    }
    let chunk = chunk(ids.len() as u32, dims as u32) as usize;
    tasks.into_par_iter().for_each_init(
        || (vec![0.0f32; dims], vec![0.0f32; dims]),
        |(sum, partial), task| {
            let mut at = 0;
            while at < task.keys.len() {
                let row = task.keys[at];
                let run = task.keys[at..].partition_point(|&key| key == row);
                let (begin, end) = (offsets[row as usize], offsets[row as usize + 1]);
                let width = dims.min((end - begin) as usize);
                let gradient = |position: usize| &gradients[task.occurrences[position] as usize * dims..][..width];
                let add = |sum: &mut [f32], positions: std::ops::Range<usize>| {
                    sum[..width].copy_from_slice(gradient(positions.start));
                    for position in positions.skip(1) {
                        sum[..width].iter_mut().zip(gradient(position)).for_each(|(s, g)| *s += g);
                    }
                };
                let total = if run == 1 {
                    gradient(at)
                } else if run <= chunk {
                    add(sum, at..at + run);
                    &sum[..width]
                } else {
                    // The GPU's order: chunk by chunk, chunks counted over all occurrences.
                    let chunk_end = |from: usize| ((task.position + from) / chunk + 1) * chunk - task.position;
                    let mut from = chunk_end(at).min(at + run);
                    add(sum, at..from);
                    while from < at + run {
                        let to = chunk_end(from).min(at + run);
                        add(partial, from..to);
                        sum[..width].iter_mut().zip(&partial[..width]).for_each(|(s, p)| *s += p);
                        from = to;
                    }
                    &sum[..width]
                };
                let first = (begin - task.base) as usize;
                let state = if task.state.is_empty() { &mut [] } else { &mut task.state[first..first + width] };
                optimizer.step(&mut task.arena[first..first + width], state, total);
                at += run;
            }
        },
    );
}

#[cfg(test)]
mod tests;
