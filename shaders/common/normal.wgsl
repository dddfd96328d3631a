// The standard normal by a fixed-point table (src/rng.rs); integers, so every device gives the same bits.
// The including file binds `normal_table`: array<i32>.

fn normal_tail(probability_bits: u32) -> i32 {
    let bits = clamp(probability_bits, 86u << 23u, 126u << 23u);
    let i = (bits >> 17u) - 86u * 64u;
    let fraction = i32((bits & 0x1ffffu) >> 1u);
    let upper = normal_table[i];
    return upper - (((upper - normal_table[i + 1u]) * fraction) >> 16u);
}

// A standard normal number for one random word, in units of 2^-20.
fn normal_fixed(word: u32) -> i32 {
    let odd = (word << 1u) | 1u;
    let zeros = countLeadingZeros(odd);
    // Two shifts, since a shift by 32 would be cut to a shift by 0.
    let mantissa = ((odd << zeros) << 1u) >> 9u;
    let tail = normal_tail(((125u - zeros) << 23u) | mantissa);
    return select(tail, -tail, (word >> 31u) == 1u);
}

// z with P(Z > z) = upper; lower is its exact complement.
fn normal_quantile(upper: f32, lower: f32) -> f32 {
    let tail = f32(normal_tail(bitcast<u32>(min(upper, lower)))) * (1.0 / 1048576.0);
    return select(-tail, tail, upper <= lower);
}
