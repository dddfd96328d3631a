// Values as f16 in pairs (src/rows/codec/codec_f16.rs).
const page_value_bits = 16u;
//import rows/pairs.wgsl as page

fn page_decoded(word: u32, k: u32) -> f32 {
    return unpack2x16float(page_half(word, k)).x;
}

// The sign of a value as that of an f16, and its size, cut to 65,504, the largest f16.
fn page_clamped_bits(value: f32) -> vec2<u32> {
    let bits = bitcast<u32>(value);
    return vec2<u32>((bits >> 16u) & 0x8000u, min(bits & 0x7fffffffu, 0x477fe000u));
}

fn page_is_nan_bits(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
}

// The nearest, ties to even, in whole numbers. `pack2x16float` may round either way, depending on the device.
fn page_nearest_bits(value: f32) -> u32 {
    let bits = page_clamped_bits(value);
    if page_is_nan_bits(value) {
        return bits.x | 0x7e00u;
    }
    if bits.y >= 0x38800000u {
        let size = bits.y - 0x38000000u;
        return bits.x | ((size + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
    }
    let shift = 126u - (bits.y >> 23u);
    if shift > 24u {
        return bits.x;
    }
    let mantissa = (bits.y & 0x7fffffu) | 0x800000u;
    return bits.x | ((mantissa + (1u << (shift - 1u)) - 1u + ((mantissa >> shift) & 1u)) >> shift);
}

// One of the two neighbours of a value, right on average over 16 bits of noise.
fn page_dithered_bits(value: f32, noise: u32) -> u32 {
    let bits = page_clamped_bits(value);
    if page_is_nan_bits(value) {
        return bits.x | 0x7e00u;
    }
    if bits.y >= 0x38800000u {
        return bits.x | ((bits.y - 0x38000000u + (noise >> 3u)) >> 13u);
    }
    let shift = 126u - (bits.y >> 23u);
    if shift > 31u {
        return bits.x;
    }
    let mantissa = (bits.y & 0x7fffffu) | 0x800000u;
    var scaled = noise >> (16u - min(shift, 16u));
    if shift > 16u {
        scaled = noise << (shift - 16u);
    }
    return bits.x | ((mantissa + scaled) >> shift);
}
