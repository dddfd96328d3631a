// Philox4x32-10 in 32-bit arithmetic; src/rng.rs computes the same words.
//import common/mul_wide.wgsl

fn philox_round(c: vec4<u32>, k: vec2<u32>) -> vec4<u32> {
    let p0 = mul_wide(0xD2511F53u, c.x);
    let p1 = mul_wide(0xCD9E8D57u, c.z);
    return vec4<u32>(p1.y ^ c.y ^ k.x, p1.x, p0.y ^ c.w ^ k.y, p0.x);
}

// Without a loop, which would double the cost: shader translators count its rounds.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let next = vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    var c = philox_round(counter, key);
    c = philox_round(c, key + next);
    c = philox_round(c, key + 2u * next);
    c = philox_round(c, key + 3u * next);
    c = philox_round(c, key + 4u * next);
    c = philox_round(c, key + 5u * next);
    c = philox_round(c, key + 6u * next);
    c = philox_round(c, key + 7u * next);
    c = philox_round(c, key + 8u * next);
    return philox_round(c, key + 9u * next);
}

// A random word mapped to 0..n by the high half of the product.
fn below(word: u32, n: u32) -> u32 {
    return mul_wide(word, n).y;
}
