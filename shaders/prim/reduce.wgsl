// Sum, least or greatest of a buffer, by a tree of fixed shape: a tile a workgroup, then the tiles' results.
//import common/grid.wgsl

struct Params {
    count: u32,  // elements
    base: u32,   // where they begin in the workspace, for `reduce_tiles`
    to: u32,     // where the results of the tiles go
}

override items: u32 = 16u;     // elements a thread
override operation: u32 = 0u;   // 0 sum, 1 min, 2 max of u32; 3 sum of f32

@group(0) @binding(0) var<uniform> params: Params;
// Elements, or the bits of floats.
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> workspace: array<u32>;

var<workgroup> partial: array<u32, 256>;

fn combine(a: u32, b: u32) -> u32 {
    switch operation {
        case 1u: { return min(a, b); }
        case 2u: { return max(a, b); }
        case 3u: { return bitcast<u32>(bitcast<f32>(a) + bitcast<f32>(b)); }
        default: { return a + b; }
    }
}

fn neutral() -> u32 {
    return select(0u, 0xffffffffu, operation == 1u);
}

fn tree(thread: u32, value: u32, tile: u32) {
    partial[thread] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if thread < half {
            partial[thread] = combine(partial[thread], partial[thread + half]);
        }
    }
    // The first tile writes even for an empty input: the neutral element.
    if thread == 0u && (tile == 0u || tile * 256u * items < params.count) {
        workspace[params.to + tile] = partial[0];
    }
}

@compute @workgroup_size(256)
fn reduce_input(invocation: Invocation) {
    let thread = invocation.thread;
    let tile = group_of(invocation);
    let first = (tile * 256u + thread) * items;
    var value = neutral();
    for (var i = first; i < min(first + items, params.count); i++) {
        value = combine(value, input[i]);
    }
    tree(thread, value, tile);
}

@compute @workgroup_size(256)
fn reduce_tiles(invocation: Invocation) {
    let thread = invocation.thread;
    let tile = group_of(invocation);
    let first = (tile * 256u + thread) * items;
    var value = neutral();
    for (var i = first; i < min(first + items, params.count); i++) {
        value = combine(value, workspace[params.base + i]);
    }
    tree(thread, value, tile);
}
