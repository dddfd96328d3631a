// ln in plain arithmetic, as src/kernels/elementary.rs has it. The built-in one is only good to 2^-21 near 1, which a
// large exponent would multiply. (The built-in exp is good to 3 + 2 |x| units in the last place.)

// ln(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1], with a small relative error also near 0.
fn ln_1p_core(f: f32) -> f32 {
    let z = f * f;
    let low = (3.3333331174e-1 - 2.4999993993e-1 * f) + z * (2.0000714765e-1 - 1.6668057665e-1 * f);
    let high = (1.4249322787e-1 - 1.2420140846e-1 * f) + z * (1.1676998740e-1 - 1.1514610310e-1 * f);
    let p = low + z * z * (high + z * z * 7.0376836292e-2);
    return f + (f * z * p - 0.5 * z);
}

// ln of a positive normal number.
fn ln_plain(x: f32) -> f32 {
    let bits = bitcast<u32>(x) - 0x3f3504f3u;
    let exponent = f32(bitcast<i32>(bits) >> 23u);
    let f = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    return ln_1p_core(f) - 2.12194440e-4 * exponent + 0.693359375 * exponent;
}
