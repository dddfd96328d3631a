//! Update of every ragged row along a dense gradient, such as that of a graph model, which touches all rows.
//!
//! For every row r, with `g_j = gradients[r, j]` for `j < min(d_r, D)`: one step of the [optimizer](super::optimizer).
//! Values beyond `min(d_r, D)` and their state are never touched, nor is the state of a row without such a dim.
//!
//! # Numerics
//! The two devices agree within `8 * eps` of the step, and for row-wise Adagrad's sum of n squares within `32 * eps` of it (a
//! GPU may fuse products and round its root otherwise).
//!
//! # Cost
//! One dispatch. Moves `4 * (sum of min(d, D))` bytes of gradients once (row-wise Adagrad reads them twice) and the rows
//! and their state once in each direction.

use crate::Result;
use crate::device::{Access, Buffer, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::check;
use crate::kernels::table::lookup::lanes;
use crate::kernels::table::optimizer::{Constants, Optimizer, Rows, Run, state_binding};

pub(crate) static SHADER: Shader = Shader {
    name: "table/update_all",
    source: include_str!("../../../shaders/table/update_all.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry {
            name: "element_wise",
            workgroup: 256,
            bindings: &[
                (1, Access::Write),
                (2, Access::Read),
                (3, Access::Write),
                (4, Access::Write),
                (5, Access::Read),
            ],
        },
        Entry {
            name: "row_wise",
            workgroup: 256,
            bindings: &[(1, Access::Write), (2, Access::Read), (3, Access::Write), (5, Access::Read)],
        },
    ],
};

params! {
    struct Params {
        rows: u32,
        dims: u32,
        learning_rate: f32,
        epsilon: f32,
        beta1: f32,
        beta2: f32,
        correction: f32,
    }
}

/// Steps every row along a dense gradient. See the [module](self).
#[derive(Debug)]
pub struct UpdateAll<'a> {
    /// Values of all rows, one after another.
    pub arena: &'a mut Buffer<f32>,
    /// `rows + 1` element offsets into the arena.
    pub offsets: &'a Buffer<u32>,
    /// Optimizer state, a buffer for each number of [`Optimizer::state_size`]: of the arena's length, or of the rows'.
    pub state: &'a mut [Buffer<f32>],
    /// `rows * D` gradients.
    pub gradients: &'a Buffer<f32>,
    /// Gradient width `D`.
    pub dims: u32,
    /// How rows move.
    pub optimizer: Optimizer,
    /// The table's step, from 1 on; only Adam uses it.
    pub step: u32,
}

impl Kernel for UpdateAll<'_> {
    const NAME: &'static str = "table/update_all";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        let rows = check::rows(op, "offsets", self.offsets.len())?;
        check::dims(op, self.dims)?;
        self.optimizer.check_state(op, self.step, self.state, (rows as usize, self.arena.len()))?;
        let gradients = u64::from(rows) * u64::from(self.dims);
        check::indexable(op, "gradients", gradients)?;
        check::len(op, "gradients", self.gradients.len(), gradients)
    }

    fn dispatch(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let (rows, dims) = (self.offsets.len() as u32 - 1, self.dims);
        let lanes = lanes(dims);
        let Constants { rule, learning_rate, epsilon, beta1, beta2, correction } = self.optimizer.constants(self.step);
        let (arena, state) = (&*self.arena, &*self.state);
        let row_wise = self.optimizer.is_row_wise();
        let mut bindings =
            vec![arena.binding("arena"), self.offsets.binding("offsets"), state_binding(state, 0, arena)];
        if !row_wise {
            bindings.push(state_binding(state, 1, arena));
        }
        bindings.push(self.gradients.binding("gradients"));
        Launch {
            shader: &SHADER,
            entry: if row_wise { "row_wise" } else { "element_wise" },
            constants: &[("lanes", f64::from(lanes)), ("optimizer", f64::from(rule))],
            params: Params { rows, dims, learning_rate, epsilon, beta1, beta2, correction }.words(),
            bindings: &bindings,
            groups: u64::from(rows).div_ceil(u64::from(256 / lanes)),
        }
        .record(gpu, pass)
    }

    fn twin(self) -> Result<()> {
        let op = Self::NAME;
        let optimizer = self.optimizer;
        let all = All {
            offsets: self.offsets.host(op, "offsets")?,
            gradients: self.gradients.host(op, "gradients")?,
            dims: self.dims,
            lanes: lanes(self.dims),
            optimizer,
            constants: optimizer.constants(self.step),
        };
        check::offsets(op, "offsets", all.offsets, self.arena.len())?;
        let end = all.offsets.len() as u32 - 1;
        all.step(Rows::all(op, self.arena, self.state, optimizer)?, 0..end);
        Ok(())
    }
}

/// What all CPU tasks read.
struct All<'a> {
    offsets: &'a [u32],
    gradients: &'a [f32],
    dims: u32,
    lanes: u32,
    optimizer: Optimizer,
    constants: Constants,
}

impl All<'_> {
    /// Halves the rows until a part is small, in parallel.
    fn step(&self, mut rows: Rows<'_>, range: std::ops::Range<u32>) {
        if rows.values() + range.len() > 32 * 1024 && range.len() > 1 {
            let middle = range.start + (range.end - range.start) / 2;
            let (low, high) = rows.split_at(self.offsets, middle);
            rayon::join(|| self.step(low, range.start..middle), || self.step(high, middle..range.end));
            return;
        }
        for row in range {
            let size = self.offsets[row as usize + 1] - self.offsets[row as usize];
            let begin = row as usize * self.dims as usize;
            let gradient = &self.gradients[begin..begin + size.min(self.dims) as usize];
            rows.step(self.optimizer, &self.constants, self.offsets, Run { row, gradient, lanes: self.lanes });
        }
    }
}

#[cfg(test)]
mod tests;
