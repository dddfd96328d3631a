//! Sums of rows on the CPU, which stay in registers while the rows are added.

use pulp::Simd;

/// How many rows a caller should find before it adds them: a function called between two rows would take the
/// registers.
pub(crate) const ROWS_AT_ONCE: usize = 16;

/// `sums[j] += factor * row[j]` for each row and its factor in turn. Products are rounded before they are added, so a
/// factor of 1 changes no bit. A row may be shorter than the sums.
#[inline(always)]
pub(crate) fn add_rows<S: Simd>(simd: S, rows: &[(&[f32], f32)], sums: &mut [f32]) {
    let (vectors, rest) = S::as_mut_simd_f32s(sums);
    let (eights, others) = vectors.as_chunks_mut::<8>();
    let (fours, ones) = others.as_chunks_mut::<4>();
    // Eight sums and their addends fit the 16 registers of AVX2.
    let mut first = 0;
    for tile in eights {
        add_vectors(simd, rows, first, tile);
        first += 8;
    }
    for tile in fours {
        add_vectors(simd, rows, first, tile);
        first += 4;
    }
    for vector in ones {
        add_vectors(simd, rows, first, std::array::from_mut(vector));
        first += 1;
    }
    if !rest.is_empty() {
        let mut last = [simd.partial_load_f32s(rest)];
        add_vectors(simd, rows, first, &mut last);
        simd.partial_store_f32s(rest, last[0]);
    }
}

/// The same for `N` vectors of sums, from vector `first` on.
#[inline(always)]
fn add_vectors<S: Simd, const N: usize>(simd: S, rows: &[(&[f32], f32)], first: usize, sums: &mut [S::f32s; N]) {
    let mut own = *sums;
    for &(row, factor) in rows {
        let Some(row) = row.get(first * S::F32_LANES..) else { continue };
        let (vectors, rest) = S::as_simd_f32s(row);
        let factor = simd.splat_f32s(factor);
        if let Some(whole) = vectors.first_chunk::<N>() {
            for n in 0..N {
                own[n] = simd.add_f32s(own[n], simd.mul_f32s(factor, whole[n]));
            }
            continue;
        }
        for n in 0..N {
            if n < vectors.len() {
                own[n] = simd.add_f32s(own[n], simd.mul_f32s(factor, vectors[n]));
            } else if n == vectors.len() && !rest.is_empty() {
                // Sums past the row's end stay as they are, whatever the factor times zero may be.
                let within = simd.mask_between_m32s(0, rest.len() as u32).mask();
                let sum = simd.add_f32s(own[n], simd.mul_f32s(factor, simd.partial_load_f32s(rest)));
                own[n] = simd.select_f32s(within, sum, own[n]);
            }
        }
    }
    *sums = own;
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;
    use crate::testing::assert_same;

    struct Sum<'a>(&'a [(&'a [f32], f32)], &'a mut [f32]);

    impl WithSimd for Sum<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            add_rows(simd, self.0, self.1);
        }
    }

    #[test]
    fn every_width_of_rows_and_sums_in_the_order_of_the_rows() {
        let rows: Vec<Vec<f32>> =
            (0..300).map(|i| (0..i * 7 % 300).map(|j| (i as f32 - 0.3 * j as f32).sin()).collect()).collect();
        for width in 0..300 {
            let factor = |i| if i == width { f32::INFINITY } else { 0.1 * i as f32 - 7.0 };
            let rows: Vec<_> = rows.iter().zip(0..=width).map(|(row, i)| (&row[..], factor(i))).collect();
            // A -0 shows whether something was added where the rows have no value.
            let start: Vec<f32> = (0..width).map(|j| if j % 3 == 0 { -0.0 } else { j as f32 }).collect();
            let mut want = start.clone();
            for (row, factor) in &rows {
                want.iter_mut().zip(*row).for_each(|(sum, x)| *sum += factor * x);
            }
            let mut got = start.clone();
            Arch::new().dispatch(Sum(&rows, &mut got));
            assert_same(&format!("width {width}"), &got, &want);
            got.copy_from_slice(&start);
            Sum(&rows, &mut got).with_simd(pulp::Scalar::new());
            assert_same(&format!("width {width}, without vectors"), &got, &want);
        }
    }
}
