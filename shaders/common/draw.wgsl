// What shaders that draw triples have in common. The including file binds `triples` and has draw_params.wgsl in Params.
//import common/philox.wgsl

const NONE: u32 = 0xffffffffu;

// A block of the random words of triple `b`.
fn words(b: u32, block: u32) -> vec4<u32> {
    return philox(vec4<u32>(b, params.step, block, params.purpose), vec2<u32>(params.seed_low, params.seed_high));
}

// Writes triple `b`, each of its ids into its block.
fn put_triple(b: u32, user: u32, positive: u32, negative: u32) {
    triples[b] = user;
    triples[params.batch + b] = positive;
    triples[2u * params.batch + b] = negative;
}
