// Words of two values of 16 bits. The codec that imports this says how a value becomes 16 bits: `page_nearest_bits` and
// `page_dithered_bits`.

fn page_half(word: u32, k: u32) -> u32 {
    return (word >> (16u * k)) & 0xffffu;
}

// Of two words, the halves that are wanted from the second.
fn page_halves(before: u32, after: u32, those: vec2<bool>) -> u32 {
    let of_each = select(vec2<u32>(0u), vec2<u32>(0xffffu, 0xffff0000u), those);
    let mask = of_each.x | of_each.y;
    return (before & ~mask) | (after & mask);
}

// A word in which `those` values are set to the nearest.
fn page_nearest(before: u32, values: vec4<f32>, those: vec4<bool>) -> u32 {
    let after = page_nearest_bits(values.x) | (page_nearest_bits(values.y) << 16u);
    return page_halves(before, after, those.xy);
}

// A word in which `those` values are set, rounded by noise of 16 bits.
fn page_dithered(before: u32, values: vec4<f32>, those: vec4<bool>, noise: vec4<u32>) -> u32 {
    let after = page_dithered_bits(values.x, noise.x) | (page_dithered_bits(values.y, noise.y) << 16u);
    return page_halves(before, after, those.xy);
}

// A word in which `those` values begin.
fn page_begun(before: u32, values: vec4<f32>, those: vec4<bool>, noise: vec4<u32>) -> u32 {
    return page_nearest(before, values, those);
}

// A word with the first values of another one.
fn page_copied(to: u32, word: u32, count: u32) -> u32 {
    return page_halves(to, word, vec2<bool>(count > 0u, count > 1u));
}
