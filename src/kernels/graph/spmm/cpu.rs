//! The CPU twin: threads share the rows of the product, in parts of equal work.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Operand, Spmm, chunk};
use crate::Result;
use crate::check;
use crate::device::Kernel;
use crate::kernels::row_sums::Ahead;
use crate::rows::{Codec, Format, HostRows};

impl Spmm<'_> {
    pub(super) fn twin_of<V: Codec>(self) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let product = Product {
            row_offsets: self.row_offsets.host(op, "row_offsets")?,
            columns: self.columns.host(op, "columns")?,
            values: self.values.host(op, "values")?,
            x: match self.x {
                Operand::Dense(x) => HostOperand::Dense(x.host(op, "x")?),
                Operand::Ragged(rows) => HostOperand::Ragged(HostRows::<V>::new(op, "x", rows)?),
            },
            dims: self.dims as usize,
            x_first: self.x_first as usize,
            y_first: self.y_first as usize,
            scale: self.accumulate.as_ref().map_or(0.0, |a| a.scale),
        };
        check::offsets(op, "row_offsets", product.row_offsets, product.values.len())?;
        let y = self.y.host_mut(op, "y")?;
        let total = match self.accumulate {
            Some(accumulate) => accumulate.total.host_mut(op, "total")?,
            None => &mut [],
        };
        if product.dims > 0 {
            product.rows(0..product.row_offsets.len() - 1, y, total);
        }
        Ok(())
    }
}

enum HostOperand<'a, V> {
    Dense(&'a [f32]),
    Ragged(HostRows<'a, V>),
}

/// The operands of the CPU twin.
struct Product<'a, V> {
    row_offsets: &'a [u32],
    columns: &'a [u32],
    values: &'a [f32],
    x: HostOperand<'a, V>,
    dims: usize,
    x_first: usize,
    y_first: usize,
    scale: f32,
}

/// Rows of Y that a thread writes, in loops compiled for the widest vectors.
struct Task<'a, V> {
    product: &'a Product<'a, V>,
    rows: Range<usize>,
    y: &'a mut [f32],
    total: &'a mut [f32],
}

impl<V: Codec> WithSimd for Task<'_, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { product, rows, y, total } = self;
        let [begin, end] = [rows.start, rows.end].map(|row| product.row_offsets[row] as usize);
        let mut ahead = product.ahead(begin..end);
        // For a long row; a task of short rows does not need it.
        let mut partials = Vec::new();
        let width = product.y_first + product.dims;
        let mut totals = total.chunks_exact_mut(width);
        for (y, row) in y.chunks_exact_mut(width).zip(rows) {
            let y = &mut y[product.y_first..];
            let range = product.row_offsets[row] as usize..product.row_offsets[row + 1] as usize;
            if range.len() <= product.chunk() {
                product.sum(simd, range, (&mut ahead, y));
            } else {
                product.long_row(range, y, &mut partials);
            }
            if let Some(total) = totals.next() {
                for (total, y) in total[product.y_first..].iter_mut().zip(y) {
                    *total = product.scale * (*total + *y);
                }
            }
        }
    }
}

/// The sum of a stretch of non-zeros, in such loops too.
struct Sum<'a, V> {
    product: &'a Product<'a, V>,
    range: Range<usize>,
    out: &'a mut [f32],
}

impl<V: Codec> WithSimd for Sum<'_, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut ahead = self.product.ahead(self.range.clone());
        self.product.sum(simd, self.range, (&mut ahead, self.out));
    }
}

/// Products in a CPU task: some tens of microseconds.
const TASK_PRODUCTS: usize = 128 * 1024;

impl<V: Codec> Product<'_, V> {
    fn chunk(&self) -> usize {
        chunk(self.columns.len())
    }

    /// Work of the rows before `row`: their non-zeros, and one for the row itself.
    fn work(&self, row: usize) -> usize {
        self.row_offsets[row] as usize + row
    }

    /// Writes these rows of Y; `total` is empty when nothing is accumulated. Two halves of equal work run in parallel.
    fn rows(&self, rows: Range<usize>, y: &mut [f32], total: &mut [f32]) {
        let (begin, end) = (self.work(rows.start), self.work(rows.end));
        let task = (TASK_PRODUCTS / self.dims).clamp(self.chunk(), self.chunk().max(1 << 14));
        if end - begin <= task || rows.len() < 2 {
            return Arch::new().dispatch(Task { product: self, rows, y, total });
        }
        let (mut low, mut high) = (rows.start + 1, rows.end - 1);
        while low < high {
            let middle = low.midpoint(high);
            if self.work(middle) < begin.midpoint(end) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let values = (low - rows.start) * (self.y_first + self.dims);
        let (y, y_after) = y.split_at_mut(values);
        let (total, total_after) = total.split_at_mut(values.min(total.len()));
        rayon::join(|| self.rows(rows.start..low, y, total), || self.rows(low..rows.end, y_after, total_after));
    }

    /// Chunks in parallel, then their sums in order.
    fn long_row(&self, range: Range<usize>, y: &mut [f32], partials: &mut Vec<f32>) {
        let chunk = self.chunk();
        let first = range.start / chunk;
        partials.resize((range.end.div_ceil(chunk) - first) * self.dims, 0.0);
        partials.par_chunks_exact_mut(self.dims).with_min_len(4).enumerate().for_each(|(i, sum)| {
            let begin = (first + i) * chunk;
            let range = begin.max(range.start)..(begin + chunk).min(range.end);
            Arch::new().dispatch(Sum { product: self, range, out: sum });
        });
        let (sum, others) = partials.split_at(self.dims);
        y.copy_from_slice(sum);
        for partial in others.chunks_exact(self.dims) {
            y.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial);
        }
    }

    /// Of ragged rows of f32: those of some non-zeros, found before they are added.
    #[inline(always)]
    fn ahead(&self, range: Range<usize>) -> Option<Ahead<'_, '_, V>> {
        match &self.x {
            HostOperand::Ragged(rows) if V::FORMAT == Format::F32 => {
                let dims = self.x_first..self.x_first + self.dims;
                Some(Ahead::new(rows, (self.columns, Some(self.values)), dims, range))
            }
            _ => None,
        }
    }

    /// The non-zeros of `range` in order; `out` is written over.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, range: Range<usize>, (ahead, out): (&mut Option<Ahead<'_, '_, V>>, &mut [f32])) {
        let first = range.start;
        let (columns, values) = (&self.columns[range.clone()], &self.values[range.clone()]);
        let x = match &self.x {
            HostOperand::Dense(x) => x,
            HostOperand::Ragged(rows) => {
                out.fill(0.0);
                if let Some(ahead) = ahead {
                    return ahead.add(simd, range, &mut out[..self.dims]);
                }
                let mut scratch = Vec::new();
                for (k, (&column, value)) in columns.iter().zip(values).enumerate() {
                    rows.prefetch(self.columns, first + k, self.x_first + self.dims);
                    let row = V::widen(rows.row(column), &mut scratch);
                    for (sum, x) in out.iter_mut().zip(row.get(self.x_first..).unwrap_or(&[])) {
                        *sum += value * x;
                    }
                }
                return;
            }
        };
        let mut first = 0;
        self.tiles::<64>(x, columns, values, &mut first, out);
        self.tiles::<32>(x, columns, values, &mut first, out);
        self.tiles::<8>(x, columns, values, &mut first, out);
        self.tiles::<4>(x, columns, values, &mut first, out);
        self.tiles::<1>(x, columns, values, &mut first, out);
    }

    /// Tiles of `W` elements from `first` on, as many as still fit; `first` is then where the rest begins.
    #[inline(always)]
    fn tiles<const W: usize>(&self, x: &[f32], columns: &[u32], values: &[f32], first: &mut usize, out: &mut [f32]) {
        while self.dims - *first >= W {
            self.tile::<W>(x, columns, values, *first, out);
            *first += W;
        }
    }

    /// `W` elements of a dense product, held in registers.
    #[inline(always)]
    fn tile<const W: usize>(&self, x: &[f32], columns: &[u32], values: &[f32], first: usize, out: &mut [f32]) {
        let width = self.x_first + self.dims;
        let mut sum = [0.0f32; W];
        for (&column, &value) in columns.iter().zip(values) {
            let at = column as usize * width + self.x_first + first;
            // A column past X has no elements.
            if let Some(x) = x.get(at..at + W) {
                for k in 0..W {
                    sum[k] += value * x[k];
                }
            }
        }
        out[first..first + W].copy_from_slice(&sum);
    }
}
