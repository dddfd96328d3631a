//! Sparse matrix times dense or ragged matrix: one step of propagation over a graph.
//!
//! `Y[r, j] = sum over the non-zeros e of row r of values_e * X[columns_e, j]` for `j < D`, with A in compressed rows.
//! X is dense, or the ragged rows of a table, whose missing dims count as zero. A column past X is an empty row, on
//! both devices. On request the same pass computes `total = scale * (total + Y)`, for models that average their layers.
//! Leading elements of a row, such as a bias, can be left out of X and stay as they are in Y.
//!
//! # Shapes
//! A is `m x n` with `nnz` non-zeros. Y is dense, `[m, y_first + D]`. Every element of it is written, apart from the
//! `y_first` leading ones of each row.
//!
//! # Numerics
//! A row of at most a chunk (128 non-zeros; more past two million) is summed in order. A longer row is cut at multiples
//! of the chunk, counted over all non-zeros. Chunks are summed in order, then their sums in order. Both devices add in
//! this order, but that on a GPU the columns of one page of X come before those of the next (in a row, or in a chunk of
//! a long one). A run that is repeated on one device gives the same bits, whatever the number of threads. A GPU may
//! fuse product and sum, so the devices agree in every bit only where products are exact. Each is within
//! `eps * (min(length, chunk) + length / chunk + 1) * sum |values_e * X[columns_e, j]|` of the exact sum, and `total`
//! within `2 * eps * |scale| * (|total| + |Y|)` more.
//!
//! # Cost
//! Two dispatches: short rows together with the partial sums of long ones, then long rows. They move `4 * D` bytes a
//! non-zero unless a cache holds X (half of that for values of two bytes, a quarter for one), `4 * m * D` bytes of
//! output, and `8 * nnz + 4 * m` bytes of A. Each further page of X takes one dispatch more, which moves A once more
//! and the output twice.
//!
//! Source: row splitting with a fixed number of non-zeros a worker follows Merrill and Garland, "Merge-based parallel
//! sparse matrix-vector multiplication", SC 2016, with the partial sums added in a second pass in place of atomics.

use crate::check;
use crate::device::{Binding, Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::MAX_TRIPS;
use crate::rows::{Format, Page, PageParams, Rows, with_codec};
use crate::{Error, Result};

mod cpu;

pub(crate) static SHADER: Shader = Shader {
    name: "graph/spmm",
    source: include_str!("../../../shaders/graph/spmm.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("short_rows", &[reads(1), reads(2), reads(3), reads(4), reads(5), writes(6), writes(7), writes(8)])
            .with_overrides(&["lanes", "ragged"]),
        Entry::of("long_rows", &[reads(3), writes(6), writes(7), writes(8)]).with_overrides(&["lanes"]),
    ],
};

params! {
    struct Params {
        rows: u32,
        x: PageParams,
        nonzeros: u32,
        dims: u32,
        x_first: u32,
        y_first: u32,
        tiles: u32,
        chunk: u32,
        begins: u32,
        accumulate: u32,
        scale: f32,
    }
}

/// The matrix that is multiplied.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// `n * (x_first + D)` values.
    Dense(&'a Buffer<f32>),
    /// `n` rows; dims past `x_first + D` are not read.
    Ragged(&'a Rows),
}

/// A running sum over several products: `total = scale * (total + Y)`.
#[derive(Debug)]
pub struct Accumulate<'a> {
    /// Of the shape of Y.
    pub total: &'a mut Buffer<f32>,
    /// 1 to add up; a mean takes its share with the last product.
    pub scale: f32,
}

/// Multiplies `A X`. See the [module](self).
///
/// ```
/// use scall_gpu::device::{Buffer, Device, Kernel};
/// use scall_gpu::kernels::graph::spmm::{Operand, Spmm};
/// use scall_gpu::rows::{Layout, Rows};
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// // [[0, 2], [0, 0], [1, 3]] times rows of sizes 1 and 2.
/// let mut x = Rows::zeroed(&device, &[1, 2], Layout::default(), Default::default())?;
/// x.write(&[5.0, 10.0, 20.0])?;
/// let mut y = Buffer::zeroed(&device, 6)?;
/// Spmm {
///     row_offsets: &Buffer::from_slice(&device, &[0, 1, 1, 3])?,
///     columns: &Buffer::from_slice(&device, &[1, 0, 1])?,
///     values: &Buffer::from_slice(&device, &[2.0, 1.0, 3.0])?,
///     x: Operand::Ragged(&x),
///     x_first: 0,
///     dims: 2,
///     y: &mut y,
///     y_first: 0,
///     accumulate: None,
///     workspace: &mut Buffer::zeroed(&device, Spmm::workspace_len(3, 2))?,
/// }
/// .run(&device)?;
/// assert_eq!(y.read()?, [20.0, 40.0, 0.0, 0.0, 35.0, 60.0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Spmm<'a> {
    /// `m + 1` offsets into the non-zeros: monotone, from 0 to `nnz`.
    pub row_offsets: &'a Buffer<u32>,
    /// `nnz` column ids, in any order within a row.
    pub columns: &'a Buffer<u32>,
    /// `nnz` values.
    pub values: &'a Buffer<f32>,
    /// X.
    pub x: Operand<'a>,
    /// Leading elements of a row of X that are left out.
    pub x_first: u32,
    /// Width `D`.
    pub dims: u32,
    /// `m * (y_first + D)` values.
    pub y: &'a mut Buffer<f32>,
    /// Leading elements of a row of Y, and of the running sum, that are left alone.
    pub y_first: u32,
    /// A sum to add the product to.
    pub accumulate: Option<Accumulate<'a>>,
    /// At least [`Spmm::workspace_len`] words; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<u32>,
}

/// Most non-zeros on a GPU: the most chunks that one invocation may add up, each as long as one may add up.
const MOST_NONZEROS: u64 = MAX_TRIPS as u64 * MAX_TRIPS as u64;

/// Non-zeros summed at once: few, so that a hot row spreads over many workgroups, but enough for the loop over the
/// chunks to stay within the trips of one invocation.
fn chunk(nonzeros: usize) -> usize {
    nonzeros.div_ceil(MAX_TRIPS as usize).next_power_of_two().max(128)
}

/// Threads that share a row of Y or a part of it, each with four elements.
fn lanes(dims: u32) -> u32 {
    dims.div_ceil(4).next_power_of_two().min(32)
}

impl Spmm<'_> {
    /// Words of workspace for a matrix of `nonzeros` and an output of `dims`.
    pub fn workspace_len(nonzeros: usize, dims: u32) -> usize {
        2 * nonzeros.div_ceil(chunk(nonzeros)) * dims as usize
    }

    /// Rows of X.
    fn x_rows(&self) -> usize {
        match self.x {
            Operand::Ragged(rows) => rows.len() as usize,
            Operand::Dense(x) => x.len().checked_div(self.x_first as usize + self.dims as usize).unwrap_or(0),
        }
    }
}

impl Kernel for Spmm<'_> {
    const NAME: &'static str = "graph/spmm";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        let rows = check::rows(op, "row_offsets", self.row_offsets.len())?;
        let nonzeros = self.columns.len();
        check::indexable(op, "columns", nonzeros as u64)?;
        check::len(op, "values", self.values.len(), nonzeros as u64)?;
        let width = |first: u32| u64::from(first) + u64::from(self.dims);
        for first in [0, self.x_first, self.y_first] {
            check::dims(op, width(first).try_into().unwrap_or(u32::MAX))?;
        }
        if let Operand::Dense(x) = self.x {
            check::len(op, "x", x.len(), self.x_rows() as u64 * width(self.x_first))?;
        }
        let expected = u64::from(rows) * width(self.y_first);
        check::indexable(op, "y", expected)?;
        check::len(op, "y", self.y.len(), expected)?;
        if let Some(Accumulate { total, scale }) = &self.accumulate {
            check::len(op, "total", total.len(), expected)?;
            check::domain(op, "scale", scale, scale.is_finite(), "finite")?;
        }
        if self.y.as_wgpu().is_some() {
            if nonzeros as u64 > MOST_NONZEROS {
                let (allowed, requested) = (MOST_NONZEROS, nonzeros as u64);
                return Err(Error::Limit { op, arg: "columns", limit: "non-zeros", allowed, requested });
            }
            check::at_least(op, "workspace", self.workspace.len(), Self::workspace_len(nonzeros, self.dims) as u64)?;
        }
        Ok(())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let nonzeros = self.columns.len();
        let chunk = chunk(nonzeros);
        let lanes = lanes(self.dims);
        let tiles = self.dims.div_ceil(4 * lanes);
        let chunks = nonzeros.div_ceil(chunk) as u64;
        let y = &*self.y;
        // Buffers of the right type in place of those that are not there. The shader does not touch them.
        // Unread where nothing is accumulated.
        let total = || self.accumulate.as_ref().map_or(y.binding("y").shared(), |a| a.total.binding("total"));
        let pages = match self.x {
            Operand::Dense(_) => vec![None],
            Operand::Ragged(rows) => rows.pages().iter().map(Some).collect(),
        };
        for (index, page) in pages.iter().enumerate() {
            let last = index + 1 == pages.len();
            let dense = PageParams { rows: self.x_rows() as u32, ..PageParams::default() };
            let params = Params {
                rows: self.row_offsets.len() as u32 - 1,
                x: page.map_or(dense, Page::params),
                nonzeros: nonzeros as u32,
                dims: self.dims,
                x_first: self.x_first,
                y_first: self.y_first,
                tiles,
                chunk: chunk as u32,
                begins: u32::from(index == 0),
                accumulate: u32::from(last && self.accumulate.is_some()),
                scale: self.accumulate.as_ref().map_or(0.0, |a| a.scale),
            };
            let format = page.map_or(Format::F32, Page::format);
            let ragged = f64::from(u32::from(page.is_some()));
            let matrix = || {
                let [x, directory] = match (self.x, page) {
                    (Operand::Dense(x), _) => [x.binding("x"), self.row_offsets.binding("row_offsets")],
                    (_, Some(page)) => page.bindings(),
                    (Operand::Ragged(_), None) => unreachable!("ragged rows have a page"),
                };
                let row_offsets = self.row_offsets.binding("row_offsets");
                [x, directory, row_offsets, self.columns.binding("columns"), self.values.binding("values")]
            };
            let mut launch = |entry, bindings: Vec<Binding<'_>>, units: u64| {
                Launch {
                    shader: &SHADER,
                    entry,
                    codecs: &[format.source()],
                    constants: &[("lanes", f64::from(lanes)), ("ragged", ragged)],
                    params: params.words(),
                    bindings: &bindings,
                    groups: (units * u64::from(tiles)).div_ceil(u64::from(256 / lanes)),
                }
                .record(gpu, list)
            };
            let outputs = [y.binding("y"), self.workspace.binding("workspace"), total()];
            // Where all rows are short, there is nothing for the chunks to do.
            let chunks = if nonzeros <= chunk { 0 } else { chunks };
            launch("short_rows", matrix().into_iter().chain(outputs).collect(), u64::from(params.rows) + chunks)?;
            if last && chunks > 0 {
                let row_offsets = self.row_offsets.binding("row_offsets");
                let workspace = self.workspace.binding("workspace");
                let bindings = vec![row_offsets, y.binding("y"), workspace, total()];
                launch("long_rows", bindings, chunks)?;
            }
        }
        Ok(())
    }

    fn twin(self) -> Result<()> {
        let format = match self.x {
            Operand::Ragged(rows) => rows.layout().format,
            Operand::Dense(_) => Format::F32,
        };
        with_codec!(format, V => self.twin_of::<V>())
    }
}

#[cfg(test)]
mod tests;
