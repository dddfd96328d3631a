//! Update of every ragged row along a dense gradient, such as that of a graph model, which touches all rows.
//!
//! For every row r, with `g_j = gradients[r, j]` for `j < min(d_r, D)`: one step of the [optimizer](super::optimizer).
//! Values beyond `min(d_r, D)` and their state are never touched, nor is the state of a row without such a dim.
//!
//! # Numerics
//! The two devices agree within `8 * eps` of the step, and for a row's sum of n squares (of a clipped gradient, or for row-wise
//! state) within `32 * eps` of it (a GPU may fuse products and round its root otherwise).
//!
//! # Cost
//! One dispatch. Moves `4 * (sum of min(d, D))` bytes of gradients once (once more for row-wise state, and once more for
//! clipping) and the rows and their state once in each direction.

use crate::Result;
use crate::device::{Access, Buffer, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::check;
use crate::kernels::table::lookup::lanes;
use crate::kernels::table::optimizer::{Constants, Rows, Run, UpdateRule, state_binding};

pub(crate) static SHADER: Shader = Shader {
    name: "table/update_all",
    source: include_str!("../../../shaders/table/update_all.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry { name: "element_wise", workgroup: 256, bindings: BINDINGS },
        Entry { name: "by_row", workgroup: 256, bindings: BINDINGS },
    ],
};

const BINDINGS: &[(u32, Access)] =
    &[(1, Access::Write), (2, Access::Read), (3, Access::Write), (4, Access::Write), (5, Access::Read)];

params! {
    struct Params {
        rows: u32,
        dims: u32,
        learning_rate: f32,
        epsilon: f32,
        beta1: f32,
        beta2: f32,
        correction: f32,
        weight_decay: f32,
        max_norm: f32,
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
    ///
    /// [`Optimizer::state_size`]: super::optimizer::Optimizer::state_size
    pub state: &'a mut [Buffer<f32>],
    /// `rows * D` gradients.
    pub gradients: &'a Buffer<f32>,
    /// Gradient width `D`.
    pub dims: u32,
    /// How rows move.
    pub rule: UpdateRule,
    /// The table's step, from 1 on; only Adam and its kin use it.
    pub step: u32,
}

impl Kernel for UpdateAll<'_> {
    const NAME: &'static str = "table/update_all";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        let rows = check::rows(op, "offsets", self.offsets.len())?;
        check::dims(op, self.dims)?;
        self.rule.check_state(op, self.step, self.state, (rows as usize, self.arena.len()))?;
        let gradients = u64::from(rows) * u64::from(self.dims);
        check::indexable(op, "gradients", gradients)?;
        check::len(op, "gradients", self.gradients.len(), gradients)
    }

    fn dispatch(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let (rows, dims) = (self.offsets.len() as u32 - 1, self.dims);
        let lanes = lanes(dims);
        let stepping = self.rule.constants(self.step);
        let Constants { learning_rate, epsilon, beta1, beta2, correction, weight_decay, max_norm, .. } = stepping;
        let (arena, state) = (&*self.arena, &*self.state);
        let params = Params { rows, dims, learning_rate, epsilon, beta1, beta2, correction, weight_decay, max_norm };
        Launch {
            shader: &SHADER,
            entry: if stepping.by_row() { "by_row" } else { "element_wise" },
            constants: &stepping.overrides([("lanes", f64::from(lanes))]),
            params: params.words(),
            bindings: &[
                arena.binding("arena"),
                self.offsets.binding("offsets"),
                state_binding(state, 0, arena),
                state_binding(state, 1, arena),
                self.gradients.binding("gradients"),
            ],
            groups: u64::from(rows).div_ceil(u64::from(256 / lanes)),
        }
        .record(gpu, pass)
    }

    fn twin(self) -> Result<()> {
        let op = Self::NAME;
        let all = All {
            offsets: self.offsets.host(op, "offsets")?,
            gradients: self.gradients.host(op, "gradients")?,
            dims: self.dims,
            lanes: lanes(self.dims),
            constants: self.rule.constants(self.step),
        };
        check::offsets(op, "offsets", all.offsets, self.arena.len())?;
        let end = all.offsets.len() as u32 - 1;
        all.step(Rows::all(op, self.arena, self.state, self.rule.optimizer.state_size())?, 0..end);
        Ok(())
    }
}

/// What all CPU tasks read.
struct All<'a> {
    offsets: &'a [u32],
    gradients: &'a [f32],
    dims: u32,
    lanes: u32,
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
            rows.step(&self.constants, self.offsets, Run { row, gradient, lanes: self.lanes });
        }
    }
}

#[cfg(test)]
mod tests;
