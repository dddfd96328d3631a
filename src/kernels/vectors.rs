//! Vectors of f32 as the CPU twins compute with them, rows of any length in whole ones.
//!
//! A row goes on into what lies behind it. Where that is long enough, the row's last vector is loaded whole and a mask
//! says which of its numbers count: no branch depends on the length. What is behind the row may be anything, NaN too.

use std::ops::{Add, Div, Mul, Sub};

use pulp::Simd;

use crate::rows::WIDEST_VECTOR;

/// A vector of numbers, with the operators of one.
#[derive(Clone, Copy)]
pub(crate) struct Floats<S: Simd> {
    pub simd: S,
    pub numbers: S::f32s,
}

macro_rules! operators {
    ($($operator:ident, $method:ident, $of_simd:ident;)*) => {$(
        impl<S: Simd> $operator for Floats<S> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self { numbers: self.simd.$of_simd(self.numbers, other.numbers), ..self }
            }
        }
    )*};
}

operators! {
    Add, add, add_f32s;
    Sub, sub, sub_f32s;
    Mul, mul, mul_f32s;
    Div, div, div_f32s;
}

impl<S: Simd> Floats<S> {
    /// One number in all places.
    #[inline(always)]
    pub fn splat(simd: S, number: f32) -> Self {
        Self { simd, numbers: simd.splat_f32s(number) }
    }

    #[inline(always)]
    pub fn sqrt(self) -> Self {
        Self { numbers: self.simd.sqrt_f32s(self.numbers), ..self }
    }

    #[inline(always)]
    pub fn abs(self) -> Self {
        let bits = self.simd.and_u32s(self.bits(), self.simd.splat_u32s(!SIGN));
        Self { numbers: self.simd.transmute_f32s_u32s(bits), ..self }
    }

    /// With the signs of others.
    #[inline(always)]
    pub fn copysign(self, signs: Self) -> Self {
        let sign = self.simd.and_u32s(signs.bits(), self.simd.splat_u32s(SIGN));
        let bits = self.simd.or_u32s(self.abs().bits(), sign);
        Self { numbers: self.simd.transmute_f32s_u32s(bits), ..self }
    }

    /// With the other signs.
    #[inline(always)]
    pub fn negated(self) -> Self {
        let bits = self.simd.xor_u32s(self.bits(), self.simd.splat_u32s(SIGN));
        Self { numbers: self.simd.transmute_f32s_u32s(bits), ..self }
    }

    /// Others where a mask holds.
    #[inline(always)]
    pub fn where_in(self, mask: S::m32s, others: Self) -> Self {
        Self { numbers: self.simd.select_f32s(mask, others.numbers, self.numbers), ..self }
    }

    /// Zero where another is at most a limit.
    #[inline(always)]
    pub fn unless(self, other: Self, limit: Self) -> Self {
        let within = self.simd.less_than_or_equal_f32s(other.numbers, limit.numbers);
        Self { numbers: self.simd.select_f32s(within, self.simd.splat_f32s(0.0), self.numbers), ..self }
    }

    /// Where they are neither NaN nor infinite.
    #[inline(always)]
    pub fn finite(self) -> S::m32s {
        self.simd.less_than_f32s(self.abs().numbers, self.simd.splat_f32s(f32::INFINITY))
    }

    #[inline(always)]
    fn bits(self) -> S::u32s {
        self.simd.transmute_u32s_f32s(self.numbers)
    }
}

const SIGN: u32 = 1 << 31;

/// Zeros after a row, so that the row lies in whole vectors.
#[inline(always)]
pub(crate) fn whole_vectors(row: &mut Vec<f32>) {
    row.resize(row.len().next_multiple_of(WIDEST_VECTOR), 0.0);
}

/// Copies the first `len` numbers of a slice, in whole vectors where it goes on for so long. The room is of whole
/// vectors.
#[inline(always)]
pub(crate) fn copy_whole<S: Simd>(_: S, from: &[f32], len: usize, to: &mut [f32]) {
    let whole = len.next_multiple_of(S::F32_LANES);
    match from.get(..whole) {
        Some(from) => {
            let to = S::as_mut_simd_f32s(&mut to[..whole]).0;
            to.iter_mut().zip(S::as_simd_f32s(from).0).for_each(|(to, from)| *to = *from);
        }
        None => to[..len].copy_from_slice(&from[..len]),
    }
}

/// The first places of a vector, as many as are left of a row.
#[inline(always)]
pub(crate) fn first<S: Simd>(simd: S, left: usize) -> S::m32s {
    simd.mask_between_m32s(0, left.min(WIDEST_VECTOR) as u32).mask()
}

/// In how many places a mask holds.
#[inline(always)]
pub(crate) fn places<S: Simd>(simd: S, mask: S::m32s) -> u32 {
    let ones = simd.select_u32s(mask, simd.splat_u32s(1), simd.splat_u32s(0));
    bytemuck::cast_slice::<_, u32>(std::slice::from_ref(&ones)).iter().sum()
}

/// Whether a mask holds anywhere.
#[inline(always)]
pub(crate) fn any<S: Simd>(simd: S, mask: S::m32s) -> bool {
    if size_of::<S::m32s>() == size_of::<S::u32s>() {
        places(simd, mask) != 0
    } else {
        simd.first_true_m32s(mask) < S::F32_LANES
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;
    use crate::testing::assert_same;

    /// The operators, of a vector and of each of its numbers.
    struct Same([f32; WIDEST_VECTOR], [f32; WIDEST_VECTOR]);

    impl WithSimd for Same {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(a, b) = &self;
            let lanes = S::F32_LANES;
            let of = |numbers: &[f32; WIDEST_VECTOR]| Floats { simd, numbers: S::as_simd_f32s(numbers).0[0] };
            let check = |what: &str, got: Floats<S>, want: &dyn Fn(f32, f32) -> f32| {
                let want: Vec<f32> = a.iter().zip(b).take(lanes).map(|(a, b)| want(*a, *b)).collect();
                assert_same(what, bytemuck::cast_slice::<_, f32>(&[got.numbers]), &want);
            };
            let (x, y) = (of(a), of(b));
            check("sum", x + y, &|a, b| a + b);
            check("difference", x - y, &|a, b| a - b);
            check("product", x * y, &|a, b| a * b);
            check("quotient", x / y, &|a, b| a / b);
            check("magnitude", x.abs(), &|a, _| a.abs());
            check("negation", x.negated(), &|a, _| -a);
            check("root", x.abs().sqrt(), &|a, _| a.abs().sqrt());
            check("sign", x.copysign(y), &|a, b| a.copysign(b));
            check("limit", x.unless(x.abs(), y.abs()), &|a, b| if a.abs() <= b.abs() { 0.0 } else { a });
            let finite = a[..lanes].iter().filter(|a| a.is_finite()).count();
            assert_eq!(places(simd, x.finite()) as usize, finite);
            assert_eq!(any(simd, x.finite()), finite > 0);
            for left in [0, 1, lanes - 1, lanes, lanes + 1, 1000] {
                assert_eq!(places(simd, first(simd, left)) as usize, left.min(lanes));
                let begin = simd.select_f32s(first(simd, left), x.numbers, y.numbers);
                let want: Vec<f32> = (0..lanes).map(|i| if i < left { a[i] } else { b[i] }).collect();
                assert_same("the first places", bytemuck::cast_slice::<_, f32>(&[begin]), &want);
            }
        }
    }

    #[test]
    fn a_vector_is_computed_as_each_of_its_numbers() {
        let special = [0.0, -0.0, 1.0, f32::MIN_POSITIVE / 8.0, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY];
        let signed = crate::testing::signed(64, 3);
        for turn in 0..special.len() {
            let a: [f32; WIDEST_VECTOR] = std::array::from_fn(|i| if i < 8 { special[i] } else { signed[i + turn] });
            let b: [f32; WIDEST_VECTOR] =
                std::array::from_fn(|i| if i % 3 == 0 { special[(i + turn) % 8] } else { signed[2 * i + turn] });
            // Quotients and differences of zeros and infinities are NaN, whose sign is the processor's.
            let defined = |a: f32, b: f32| ![a / b, a - b, a + b, a * b].iter().any(|number| number.is_nan());
            let b = std::array::from_fn(|i| if defined(a[i], b[i]) { b[i] } else { 2.5 });
            Arch::new().dispatch(Same(a, b));
            Same(a, b).with_simd(pulp::Scalar::new());
        }
        Arch::new().dispatch(Same([f32::NAN; WIDEST_VECTOR].map(f32::abs), [0.0; WIDEST_VECTOR]));
    }
}
