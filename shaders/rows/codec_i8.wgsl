// Values in words of four with a shared exponent (src/rows/codec/codec_i8.rs): codes of 7 bits, and 4 bits that say
// what a code is multiplied by.
const page_value_bits = 8u;

fn page_decoded(word: u32, k: u32) -> f32 {
    let exponent = word >> 28u;
    // 15 stands for NaN.
    let spacing = bitcast<f32>(select((exponent + 115u) << 23u, 0x7fc00000u, exponent == 15u));
    return f32(extractBits(bitcast<i32>(word), 7u * k, 7u)) * spacing;
}

fn page_all_decoded(word: u32) -> vec4<f32> {
    return vec4<f32>(page_decoded(word, 0u), page_decoded(word, 1u), page_decoded(word, 2u), page_decoded(word, 3u));
}

// With a given exponent, rounded by noise of 16 bits. What is beyond its codes becomes the largest of them.
fn page_with_exponent(exponent: u32, values: vec4<f32>, noise: vec4<u32>) -> u32 {
    let inverse = bitcast<f32>((139u - exponent) << 23u);
    let scaled = clamp(values * inverse, vec4<f32>(-63.0), vec4<f32>(63.0));
    let codes = bitcast<vec4<u32>>(vec4<i32>(floor(scaled + vec4<f32>(noise) * (1.0 / 65536.0)))) & vec4<u32>(0x7fu);
    return codes.x | (codes.y << 7u) | (codes.z << 14u) | (codes.w << 21u) | (exponent << 28u);
}

// The word of four values: its exponent is the least with which the largest of them is within the codes.
fn page_encoded(values: vec4<f32>, noise: vec4<u32>) -> u32 {
    let bits = bitcast<vec4<u32>>(values);
    let size = bits & vec4<u32>(0x7fffffffu);
    // 252 is the largest value.
    let within = min(size, vec4<u32>(0x437c0000u));
    let largest = max(max(within.x, within.y), max(within.z, within.w));
    if any(size > vec4<u32>(0x7f800000u)) {
        return 0xf0000000u;
    }
    let exponent = max((largest + 0x3ffffu) >> 23u, 120u) - 120u;
    return page_with_exponent(exponent, bitcast<vec4<f32>>(within | (bits & vec4<u32>(0x80000000u))), noise);
}

// A word in which `those` values are set to the nearest.
fn page_nearest(before: u32, values: vec4<f32>, those: vec4<bool>) -> u32 {
    return page_encoded(select(page_all_decoded(before), values, those), vec4<u32>(0x8000u));
}

// A word in which `those` values are set, all rounded by noise of 16 bits.
fn page_dithered(before: u32, values: vec4<f32>, those: vec4<bool>, noise: vec4<u32>) -> u32 {
    return page_encoded(select(page_all_decoded(before), values, those), noise);
}

// A word in which `those` values begin after others, which stay as they are, and so does their exponent.
fn page_begun(before: u32, values: vec4<f32>, those: vec4<bool>, noise: vec4<u32>) -> u32 {
    let own = select(vec4<f32>(0.0), values, those);
    let of_each = vec4<u32>(0x7fu, 0x3f80u, 0x1fc000u, 0xfe00000u);
    let others = select(of_each, vec4<u32>(0u), those);
    let kept = others.x | others.y | others.z | others.w;
    if before >= 0xf0000000u && kept != 0u {
        return 0xf0000000u;
    }
    if (before & kept) != 0u {
        return (page_with_exponent(before >> 28u, own, noise) & ~kept) | (before & kept);
    }
    return page_encoded(own, noise);
}

// A word with the first values of another one, and zeros after them.
fn page_copied(to: u32, word: u32, count: u32) -> u32 {
    return select(0u, word & (0xf0000000u | ((1u << (7u * min(count, 4u))) - 1u)), count > 0u);
}
