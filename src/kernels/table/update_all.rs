//! Update of every ragged row along a dense gradient, such as that of a graph model, which touches all rows.
//!
//! For every row r, with `g_j = gradients[r, j]` for `j < min(d_r, D)`: one step of the [optimizer](super::optimizer).
//! Values of two bytes are rounded as by [`update`](super::update). Values beyond `min(d_r, D)` and their state are
//! never touched, nor is the state of a row without such a dim.
//!
//! # Numerics
//! The two devices agree within `8 * eps` of the step, and for a row's sum of n squares (of a clipped gradient, or for
//! row-wise state) within `32 * eps` of it (a GPU may fuse products and round its root otherwise).
//!
//! # Cost
//! One dispatch a page. Moves `4 * (sum of min(d, D))` bytes of gradients once (once more for row-wise state, and once
//! more for clipping) and the rows and their state once in each direction.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::table::update::Optimizer;
//! use scall_gpu::kernels::table::update_all::UpdateAll;
//! use scall_gpu::rows::{Layout, Rows};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut rows = Rows::zeroed(&device, &[2, 1], Layout::default(), Default::default())?;
//! let gradients = Buffer::from_slice(&device, &[1.0, 2.0, 3.0, 4.0])?; // [2, 2]
//! let rule = Optimizer::Sgd { learning_rate: 0.5 }.into();
//! UpdateAll { rows: &mut rows, gradients: &gradients, dims: 2, rule, step: 1, seed: 0, counter: None }.run(&device)?;
//! assert_eq!(rows.read()?, [-0.5, -1.0, -1.5]); // row 1 has one dim
//! # Ok(()) }
//! ```

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::Result;
use crate::check;
use crate::device::{Access, Buffer, Changes, Dispatches, Entry, Gpu, Kernel, Shader, params, reads, writes};
use crate::kernels::table::optimizer::{Constants, Counter, RowsMut, Run, StepParams, UpdateRule, step_overrides};
use crate::kernels::table::update::lanes_of;
use crate::kernels::vectors::copy_whole;
use crate::rows::{Codec, PageLaunch, PageParams, Rows, with_codec};

pub(crate) static SHADER: Shader = Shader {
    name: "table/update_all",
    source: include_str!("../../../shaders/table/update_all.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("element_wise", BINDINGS).with_overrides(step_overrides!(element_wise)),
        Entry::of("by_row", BINDINGS).with_overrides(step_overrides!(by_row)),
    ],
};

const BINDINGS: &[(u32, Access)] = &[writes(1), reads(2), writes(3), writes(4), reads(5), writes(6)];

params! {
    struct Params {
        page: PageParams,
        dims: u32,
        step: StepParams,
    }
}

/// Steps every row along a dense gradient. See the [module](self).
#[derive(Debug)]
pub struct UpdateAll<'a> {
    /// The rows, with the state that the rule's optimizer keeps.
    pub rows: &'a mut Rows,
    /// `rows * D` gradients.
    pub gradients: &'a Buffer<f32>,
    /// Gradient width `D`.
    pub dims: u32,
    /// How rows move.
    pub rule: UpdateRule,
    /// The table's step, from 1 on; Adam and its kin use it, and the noise that rounds f16.
    pub step: u32,
    /// Key of that noise.
    pub seed: u64,
    /// One word, to which is added (modulo 2^32) the number of dims whose step was left out, or whose gradient was
    /// replaced, because it was not finite. See [what is not finite](super::optimizer#what-is-not-finite).
    pub counter: Option<&'a mut Buffer<u32>>,
}

impl Kernel for UpdateAll<'_> {
    const NAME: &'static str = "table/update_all";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        check::dims(op, self.dims)?;
        self.rule.check_rows(op, self.step, self.rows)?;
        check::matrix(op, "gradients", self.gradients.len(), self.rows.len().into(), self.dims)?;
        self.counter.as_ref().map_or(Ok(()), |counter| check::len(op, "counter", counter.len(), 1))
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let dims = self.dims;
        let lanes = lanes_of(self.rows, dims);
        let stepping = self.rule.constants(self.step, self.seed);
        let entry = if stepping.by_row() { "by_row" } else { "element_wise" };
        self.rows.launch_pages(gpu, list, |page| {
            let params = Params { page: page.params(), dims, step: stepping.params() };
            let [arena, directory] = page.bindings();
            let [first_state, second_state] = [0, 1].map(|number| page.state_binding(number));
            // Not touched where there is none.
            let counter = match &self.counter {
                Some(counter) => counter.binding("counter"),
                None => page.values().binding("rows").shared(),
            };
            let gradients = self.gradients.binding("gradients");
            PageLaunch {
                shader: &SHADER,
                entry,
                constants: stepping.overrides([("lanes", f64::from(lanes))], self.counter.is_some()),
                params: params.words(),
                bindings: vec![arena, directory, first_state, second_state, gradients, counter],
                groups: u64::from(page.rows()).div_ceil(u64::from(256 / lanes)),
            }
        })
    }

    fn changes(&self) -> Changes {
        self.rule.changes(Self::NAME, self.step, self.seed)
    }

    fn twin(self) -> Result<()> {
        with_codec!(self.rows.layout().format, V => self.twin_of::<V>())
    }
}

impl UpdateAll<'_> {
    fn twin_of<V: Codec>(self) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let all = All {
            gradients: self.gradients.host(op, "gradients")?,
            dims: self.dims,
            lanes: lanes_of(self.rows, self.dims),
            constants: self.rule.constants(self.step, self.seed),
        };
        let counter = Counter::new(op, self.counter)?;
        let mut left_out = 0u32;
        for page in RowsMut::<V>::pages(op, self.rows)? {
            let ids = page.ids();
            left_out = left_out.wrapping_add(all.step(page, ids));
        }
        counter.add(left_out);
        Ok(())
    }
}

/// What all CPU tasks read.
struct All<'a> {
    gradients: &'a [f32],
    dims: u32,
    lanes: u32,
    constants: Constants,
}

impl All<'_> {
    /// Halves the rows until a part is small, in parallel. Returns the number of dims that were not finite.
    fn step<V: Codec>(&self, rows: RowsMut<'_, V>, range: Range<u32>) -> u32 {
        if rows.values() + range.len() > 32 * 1024 && range.len() > 1 {
            let middle = range.start + (range.end - range.start) / 2;
            let (low, high) = rows.split_at(middle);
            let (low, high) =
                rayon::join(|| self.step(low, range.start..middle), || self.step(high, middle..range.end));
            return low.wrapping_add(high);
        }
        Arch::new().dispatch(Part { all: self, rows, range })
    }
}

/// A part that one task steps, in loops compiled for the vectors that there are.
struct Part<'a, 'b, V> {
    all: &'a All<'a>,
    rows: RowsMut<'b, V>,
    range: Range<u32>,
}

impl<V: Codec> WithSimd for Part<'_, '_, V> {
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u32 {
        let Self { all, mut rows, range } = self;
        let mut left_out = 0u32;
        let defers = rows.may_defer(&all.constants);
        for row in range {
            let begin = row as usize * all.dims as usize;
            let width = rows.size(row).min(all.dims) as usize;
            let gradient = &all.gradients[begin..];
            left_out = left_out.wrapping_add(if defers {
                copy_whole(simd, gradient, width, rows.defer(row, width));
                rows.step_deferred(simd, &all.constants, false)
            } else {
                rows.step(simd, &all.constants, Run { row, gradient, width, lanes: all.lanes })
            });
        }
        left_out.wrapping_add(rows.step_deferred(simd, &all.constants, true))
    }
}

#[cfg(test)]
mod tests;
