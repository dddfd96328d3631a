// Values as bf16, the upper half of an f32, in pairs (src/rows/codec/codec_bf16.rs).
const page_value_bits = 16u;
//import rows/pairs.wgsl as page

fn page_decoded(word: u32, k: u32) -> f32 {
    return bitcast<f32>(page_half(word, k) << 16u);
}

// Adds to the bits below those that stay, and cuts them off. A value beyond the range becomes the largest within.
fn page_with_added(value: f32, added: u32) -> u32 {
    let bits = bitcast<u32>(value);
    let size = bits & 0x7fffffffu;
    if size > 0x7f800000u {
        return 0x7fc0u;
    }
    return ((bits >> 16u) & 0x8000u) | ((min(size, 0x7f7f0000u) + added) >> 16u);
}

// The nearest, ties to even.
fn page_nearest_bits(value: f32) -> u32 {
    return page_with_added(value, 0x7fffu + ((bitcast<u32>(value) >> 16u) & 1u));
}

// One of the two neighbours of a value, right on average over 16 bits of noise.
fn page_dithered_bits(value: f32, noise: u32) -> u32 {
    return page_with_added(value, noise);
}
