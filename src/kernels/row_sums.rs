//! Sums of rows on the CPU, which stay in registers while the rows are added.

use std::ops::Range;

use pulp::Simd;

use super::vectors::first as first_places;
use crate::rows::{Codec, HostRows, prefetch_slice};

/// How many rows a caller should find before it adds them: a function called between two rows would take the
/// registers.
pub(crate) const ROWS_AT_ONCE: usize = 16;

/// A row to be added.
#[derive(Clone, Copy, Default)]
pub(crate) struct Addend<'a> {
    /// The row's values, and what lies behind them: with enough of that the row is read in whole vectors, and a mask
    /// keeps what is behind it out. So no branch depends on the row's length.
    pub values: &'a [f32],
    /// How many values are the row's.
    pub len: usize,
    pub factor: f32,
}

/// `sums[j] += factor * row[j]` for each row in turn, or without the factor where rows are not `WEIGHTED`. Products are
/// rounded before they are added, so a factor of 1 changes no bit. A row may be shorter than the sums.
#[inline(always)]
pub(crate) fn add_rows<S: Simd, const WEIGHTED: bool>(simd: S, rows: &[Addend<'_>], sums: &mut [f32]) {
    let (vectors, rest) = S::as_mut_simd_f32s(sums);
    let (eights, others) = vectors.as_chunks_mut::<8>();
    let (fours, others) = others.as_chunks_mut::<4>();
    let (twos, ones) = others.as_chunks_mut::<2>();
    // Eight sums and their addends fit the 16 registers of AVX2.
    let mut first = 0;
    for tile in eights {
        add_vectors::<S, 8, WEIGHTED>(simd, rows, first, tile);
        first += 8;
    }
    for tile in fours {
        add_vectors::<S, 4, WEIGHTED>(simd, rows, first, tile);
        first += 4;
    }
    for tile in twos {
        add_vectors::<S, 2, WEIGHTED>(simd, rows, first, tile);
        first += 2;
    }
    for vector in ones {
        add_vectors::<S, 1, WEIGHTED>(simd, rows, first, std::array::from_mut(vector));
        first += 1;
    }
    if !rest.is_empty() {
        let mut last = [simd.partial_load_f32s(rest)];
        add_vectors::<S, 1, WEIGHTED>(simd, rows, first, &mut last);
        simd.partial_store_f32s(rest, last[0]);
    }
}

/// The same for `N` vectors of sums, from vector `first` on.
#[inline(always)]
fn add_vectors<S: Simd, const N: usize, const WEIGHTED: bool>(
    simd: S,
    rows: &[Addend<'_>],
    first: usize,
    sums: &mut [S::f32s; N],
) {
    let mut own = *sums;
    let begin = first * S::F32_LANES;
    for row in rows {
        let factor = simd.splat_f32s(row.factor);
        let left = row.len.saturating_sub(begin);
        if let Some(whole) = row.values.get(begin..begin + N * S::F32_LANES) {
            let whole = S::as_simd_f32s(whole).0;
            if left >= N * S::F32_LANES {
                for n in 0..N {
                    own[n] = simd.add_f32s(own[n], weighted::<S, WEIGHTED>(simd, factor, whole[n]));
                }
                continue;
            }
            for n in 0..N {
                // A branch costs less than a line of memory that nobody needs.
                if N > 2 && n * S::F32_LANES >= left {
                    break;
                }
                // Sums past the row's end stay as they are, whatever lies there.
                let within = first_places(simd, left.saturating_sub(n * S::F32_LANES));
                let sum = simd.add_f32s(own[n], weighted::<S, WEIGHTED>(simd, factor, whole[n]));
                own[n] = simd.select_f32s(within, sum, own[n]);
            }
            continue;
        }
        // At the end of a page.
        let Some(row) = row.values[..row.len].get(begin..) else { continue };
        let (vectors, rest) = S::as_simd_f32s(row);
        for n in 0..N {
            if n < vectors.len() {
                own[n] = simd.add_f32s(own[n], weighted::<S, WEIGHTED>(simd, factor, vectors[n]));
            } else if n == vectors.len() && !rest.is_empty() {
                let within = first_places(simd, rest.len());
                let sum = simd.add_f32s(own[n], weighted::<S, WEIGHTED>(simd, factor, simd.partial_load_f32s(rest)));
                own[n] = simd.select_f32s(within, sum, own[n]);
            }
        }
    }
    *sums = own;
}

#[inline(always)]
fn weighted<S: Simd, const WEIGHTED: bool>(simd: S, factor: S::f32s, values: S::f32s) -> S::f32s {
    if WEIGHTED { simd.mul_f32s(factor, values) } else { values }
}

/// Rows of values of f32 that are found before they are added, so that memory can be asked for them in between.
pub(crate) struct Ahead<'a, 'b, V> {
    rows: &'b HostRows<'a, V>,
    ids: &'b [u32],
    weights: Option<&'b [f32]>,
    /// Which of a row's values are added.
    dims: Range<usize>,
    /// Whether memory is asked for the rows when they are found.
    prefetches: bool,
    /// The row of id number i is at i modulo the length.
    found: [Addend<'a>; 2 * ROWS_AT_ONCE],
    /// Numbers of the ids whose rows are yet to be found.
    next: Range<usize>,
}

impl<'a, 'b, V: Codec> Ahead<'a, 'b, V> {
    /// For the dims of the rows that ids name, with a weight each or with 1.
    pub fn new(
        rows: &'b HostRows<'a, V>,
        (ids, weights): (&'b [u32], Option<&'b [f32]>),
        dims: Range<usize>,
        numbers: Range<usize>,
    ) -> Self {
        let prefetches = rows.are_beyond_a_core();
        Self { rows, ids, weights, dims, prefetches, found: Default::default(), next: numbers }
    }

    /// `sums[j] += factor * row[j]` for the rows of some ids. The ranges of calls that follow each other ascend.
    #[inline(always)]
    pub fn add<S: Simd>(&mut self, simd: S, mut numbers: Range<usize>, sums: &mut [f32]) {
        while !numbers.is_empty() {
            let is_weighted = self.weights.is_some();
            let rows = self.find_up_to(numbers.clone());
            if is_weighted {
                add_rows::<S, true>(simd, rows, sums);
            } else {
                add_rows::<S, false>(simd, rows, sums);
            }
            numbers.start += rows.len();
        }
    }

    /// The rows of the first of some ids, up to a multiple of [`ROWS_AT_ONCE`].
    #[inline(always)]
    fn find_up_to(&mut self, numbers: Range<usize>) -> &[Addend<'a>] {
        let block = numbers.start / ROWS_AT_ONCE;
        self.next.start = self.next.start.max(numbers.start);
        while self.next.start / ROWS_AT_ONCE < block + 2 && !self.next.is_empty() {
            self.find();
        }
        let end = numbers.end.min((block + 1) * ROWS_AT_ONCE);
        &self.found[numbers.start % self.found.len()..][..end - numbers.start]
    }

    /// Finds the rows of ids up to a multiple of [`ROWS_AT_ONCE`].
    #[inline(always)]
    fn find(&mut self) {
        let begin = self.next.start;
        let end = self.next.end.min((begin / ROWS_AT_ONCE + 1) * ROWS_AT_ONCE);
        let found = &mut self.found[begin % (2 * ROWS_AT_ONCE)..][..end - begin];
        let weights = self.weights.map(|weights| &weights[begin..end]);
        for (i, (found, &id)) in found.iter_mut().zip(&self.ids[begin..end]).enumerate() {
            let (values, len) = self.rows.row(id);
            let values = V::as_f32(values).unwrap_or_default();
            let len = len.saturating_sub(self.dims.start);
            let values = values.get(self.dims.start..).unwrap_or_default();
            if self.prefetches {
                prefetch_slice(&values[..len.min(self.dims.len())]);
            }
            *found = Addend { values, len, factor: weights.map_or(1.0, |weights| weights[i]) };
        }
        self.next.start = end;
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;
    use crate::testing::assert_same;

    struct Sum<'a, const WEIGHTED: bool>(&'a [Addend<'a>], &'a mut [f32]);

    impl<const WEIGHTED: bool> WithSimd for Sum<'_, WEIGHTED> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            add_rows::<S, WEIGHTED>(simd, self.0, self.1);
        }
    }

    /// With what is behind the rows, as far as it goes.
    fn every_width_behind(behind: impl Fn(usize) -> Vec<f32>) {
        let rows: Vec<(Vec<f32>, usize)> = (0..300)
            .map(|i| {
                let row: Vec<f32> = (0..i * 7 % 300).map(|j| (i as f32 - 0.3 * j as f32).sin()).collect();
                let len = row.len();
                (row.into_iter().chain(behind(i)).collect(), len)
            })
            .collect();
        for width in 0..300 {
            let factor = |i| if i == width { f32::INFINITY } else { 0.1 * i as f32 - 7.0 };
            let addend = |((values, len), i): (&'_ (Vec<f32>, usize), usize)| (values.clone(), *len, factor(i));
            let rows: Vec<_> = rows.iter().zip(0..=width).map(addend).collect();
            let addends: Vec<_> =
                rows.iter().map(|(values, len, factor)| Addend { values, len: *len, factor: *factor }).collect();
            // A -0 shows whether something was added where the rows have no value.
            let start: Vec<f32> = (0..width).map(|j| if j % 3 == 0 { -0.0 } else { j as f32 }).collect();
            let (mut weighted, mut plain) = (start.clone(), start.clone());
            for row in &addends {
                weighted.iter_mut().zip(&row.values[..row.len]).for_each(|(sum, x)| *sum += row.factor * x);
                plain.iter_mut().zip(&row.values[..row.len]).for_each(|(sum, x)| *sum += x);
            }
            let mut got = start.clone();
            Arch::new().dispatch(Sum::<true>(&addends, &mut got));
            assert_same(&format!("width {width}"), &got, &weighted);
            got.copy_from_slice(&start);
            Arch::new().dispatch(Sum::<false>(&addends, &mut got));
            assert_same(&format!("width {width}, plain"), &got, &plain);
            got.copy_from_slice(&start);
            Sum::<true>(&addends, &mut got).with_simd(pulp::Scalar::new());
            assert_same(&format!("width {width}, without vectors"), &got, &weighted);
        }
    }

    #[test]
    fn every_width_of_rows_and_sums_in_the_order_of_the_rows() {
        every_width_behind(|_| Vec::new());
    }

    #[test]
    fn what_is_behind_a_row_is_not_added() {
        for worst in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0] {
            every_width_behind(|i| vec![worst; [300, 17, 3][i % 3]]);
        }
    }
}
