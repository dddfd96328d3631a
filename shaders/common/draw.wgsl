// What shaders that draw triples have in common. The including file binds `triples` and has draw_params.wgsl in Params.
//import common/philox.wgsl

const NONE: u32 = 0xffffffffu;

// A block of the random words of a triple, by its number among those that are drawn of all steps.
fn words(number: u32, block: u32) -> vec4<u32> {
    let step = params.step + number / params.count;
    let counter = vec4<u32>(params.first + number % params.count, step, block, params.purpose);
    return philox(counter, vec2<u32>(params.seed_low, params.seed_high));
}

// Writes a triple, each of its ids into its block; the three blocks of a step follow each other.
fn put_triple(number: u32, user: u32, positive: u32, negative: u32) {
    let place = 3u * params.batch * (number / params.count) + params.first + number % params.count;
    triples[place] = user;
    triples[place + params.batch] = positive;
    triples[place + 2u * params.batch] = negative;
}
