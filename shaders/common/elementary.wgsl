// ln and exp in plain arithmetic, as src/kernels/elementary.rs has them: the built-in ones differ between devices by
// more than the tolerances allow.

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

// exp for x in [-87, 88].
fn exp_plain(x: f32) -> f32 {
    let n = floor(x * 1.44269504 + 0.5);
    let g = x - n * 0.693359375 + n * 2.12194440e-4;
    let z = g * g;
    let low = (5.0000001201e-1 + 1.6666665459e-1 * g) + z * (4.1665795894e-2 + 8.3334519073e-3 * g);
    let p = low + z * z * (1.3981999507e-3 + 1.9875691500e-4 * g);
    return (p * z + (g + 1.0)) * bitcast<f32>(bitcast<u32>(i32(n) + 127) << 23u);
}
