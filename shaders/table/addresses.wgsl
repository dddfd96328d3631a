// The rows that keys without rows of their own share: a row of each block by some bits of the key's code, or a row for
// each chunk by a random word of key and chunk.
//import common/grid.wgsl
//import common/philox.wgsl

struct Params {
    count: u32,
    parts: u32,
    bits: u32,
    rows: u32,
    seed_low: u32,
    seed_high: u32,
    purpose: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

fn random_word(low: u32, high: u32, part: u32) -> u32 {
    let key = vec2<u32>(params.seed_low, params.seed_high);
    return philox(vec4<u32>(low, high, part, params.purpose), key).x;
}

// Of a small key a bijection of its lowest bits, whatever number of them is used; of any other 32 random bits.
fn code_of(low: u32, high: u32) -> u32 {
    if high == 0u {
        return low * 0x9E3779B1u;
    }
    return random_word(low, high, 0u);
}

@compute @workgroup_size(64)
fn blocks(invocation: Invocation) {
    let number = group_of(invocation) * 64u + invocation.thread;
    if number >= params.count * params.parts {
        return;
    }
    let key = number / params.parts;
    let part = number % params.parts;
    let code = code_of(keys[2u * key], keys[2u * key + 1u]);
    var row = 0u;
    for (var bit = 0u; bit < params.bits; bit += 1u) {
        row |= ((code >> (part + bit * params.parts)) & 1u) << bit;
    }
    out[number] = (part << params.bits) + row;
}

@compute @workgroup_size(64)
fn chunks(invocation: Invocation) {
    let number = group_of(invocation) * 64u + invocation.thread;
    if number >= params.count * params.parts {
        return;
    }
    let key = number / params.parts;
    out[number] = below(random_word(keys[2u * key], keys[2u * key + 1u], number % params.parts), params.rows);
}
