// Training triples from feedback blocks: a block, one of its clicks and one of its non-clicks, each by one random word.
//import common/grid.wgsl
//import common/draw.wgsl

struct Params {
    //import common/draw_params.wgsl
    blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> users: array<u32>;
@group(0) @binding(2) var<storage, read> positive_offsets: array<u32>;
@group(0) @binding(3) var<storage, read> positives: array<u32>;
@group(0) @binding(4) var<storage, read> negative_offsets: array<u32>;
@group(0) @binding(5) var<storage, read> negatives: array<u32>;
@group(0) @binding(6) var<storage, read_write> triples: array<u32>;

@compute @workgroup_size(64)
fn sample(invocation: Invocation) {
    let number = group_of(invocation) * 64u + invocation.thread;
    if number >= params.count * params.steps {
        return;
    }
    let random = words(number, 0u);
    let block = below(random.x, params.blocks);

    var positive = NONE;
    let first_positive = positive_offsets[block];
    let clicks = positive_offsets[block + 1u] - first_positive;
    if clicks > 0u {
        positive = positives[first_positive + below(random.y, clicks)];
    }

    var negative = NONE;
    let first_negative = negative_offsets[block];
    let others = negative_offsets[block + 1u] - first_negative;
    if others > 0u {
        negative = negatives[first_negative + below(random.z, others)];
    }

    put_triple(number, users[block], positive, negative);
}
