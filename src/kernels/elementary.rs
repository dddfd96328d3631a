//! ln and exp in plain f32 arithmetic. Compilers turn it into vector code, and every device computes the same, but for
//! the fusing of a product and a sum. `shaders/common/elementary.wgsl` is the same. The relative error is below 3e-7.
//!
//! Source: the polynomials of Cephes' `logf` and `expf` (S. Moshier).

// The coefficients are quoted as published.
#![allow(clippy::excessive_precision)]

/// ln(1 + f) for f in `[sqrt(1/2) - 1, sqrt(2) - 1]`, with a small relative error also near 0.
#[inline(always)]
pub(crate) fn ln_1p_core(f: f32) -> f32 {
    // In pairs, since the length of the chain limits the speed.
    let z = f * f;
    let low = (3.333_333_117_4e-1 - 2.499_999_399_3e-1 * f) + z * (2.000_071_476_5e-1 - 1.666_805_766_5e-1 * f);
    let high = (1.424_932_278_7e-1 - 1.242_014_084_6e-1 * f) + z * (1.167_699_874_0e-1 - 1.151_461_031_0e-1 * f);
    let p = low + z * z * (high + z * z * 7.037_683_629_2e-2);
    f + (f * z * p - 0.5 * z)
}

/// ln of a positive normal number.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
    let exponent = (bits as i32 >> 23) as f32;
    let f = f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3) - 1.0;
    ln_1p_core(f) - 2.121_944_40e-4 * exponent + 0.693_359_375 * exponent
}

/// exp for x in `[-87, 88]`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits, without a conversion that saturates.
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let g = x - n * 0.693_359_375 + n * 2.121_944_40e-4;
    let z = g * g;
    let low = (5.000_000_120_1e-1 + 1.666_666_545_9e-1 * g) + z * (4.166_579_589_4e-2 + 8.333_451_907_3e-3 * g);
    let p = low + z * z * (1.398_199_950_7e-3 + 1.987_569_150_0e-4 * g);
    (p * z + (g + 1.0)) * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

#[cfg(test)]
mod tests {
    #[test]
    fn agree_with_f64() {
        for i in 1..200_000u32 {
            let x = i as f32 * 1e-5;
            let want = f64::from(x).ln();
            assert!((f64::from(super::ln(x)) - want).abs() <= 2e-7 * want.abs(), "ln {x}");
            let y = x * 80.0 - 80.0;
            let want = f64::from(y).exp();
            assert!((f64::from(super::exp(y)) - want).abs() <= 3e-7 * want, "exp {y}");
        }
        for x in [f32::MIN_POSITIVE, 6e-8, 1.0 - 6e-8, 1e30] {
            let want = f64::from(x).ln();
            assert!((f64::from(super::ln(x)) - want).abs() <= 2e-7 * want.abs(), "ln {x}");
        }
    }
}
