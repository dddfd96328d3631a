// Sum, least or greatest of a buffer, by a tree of fixed shape: a tile a workgroup, then the tiles' results.
//import common/grid.wgsl

struct Params {
    count: u32,  // elements
    from: u32,   // where they begin
    to: u32,     // where the results of the tiles go
}

override items: u32 = 16u;     // elements a thread
override operator: u32 = 0u;   // 0 sum, 1 min, 2 max

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> floats: array<f32>;
@group(0) @binding(2) var<storage, read> words: array<u32>;
// Both sides of the upper levels: words, or the bits of floats.
@group(0) @binding(3) var<storage, read_write> workspace: array<u32>;

var<workgroup> partial_words: array<u32, 256>;
var<workgroup> partial_floats: array<f32, 256>;

fn combine(a: u32, b: u32) -> u32 {
    if operator == 1u {
        return min(a, b);
    }
    if operator == 2u {
        return max(a, b);
    }
    return a + b;
}

fn neutral() -> u32 {
    return select(0u, 0xffffffffu, operator == 1u);
}

fn tree_words(thread: u32, value: u32, tile: u32) {
    partial_words[thread] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if thread < half {
            partial_words[thread] = combine(partial_words[thread], partial_words[thread + half]);
        }
    }
    if thread == 0u && tile * 256u * items < params.count {
        workspace[params.to + tile] = partial_words[0];
    }
}

fn tree_floats(thread: u32, value: f32, tile: u32) {
    partial_floats[thread] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if thread < half {
            partial_floats[thread] += partial_floats[thread + half];
        }
    }
    if thread == 0u && tile * 256u * items < params.count {
        workspace[params.to + tile] = bitcast<u32>(partial_floats[0]);
    }
}

@compute @workgroup_size(256)
fn reduce_words(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let first = (tile * 256u + thread) * items;
    var value = neutral();
    for (var i = first; i < min(first + items, params.count); i++) {
        value = combine(value, words[params.from + i]);
    }
    tree_words(thread, value, tile);
}

@compute @workgroup_size(256)
fn reduce_floats(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let first = (tile * 256u + thread) * items;
    var value = 0.0;
    for (var i = first; i < min(first + items, params.count); i++) {
        value += floats[params.from + i];
    }
    tree_floats(thread, value, tile);
}

@compute @workgroup_size(256)
fn reduce_word_tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let first = (tile * 256u + thread) * items;
    var value = neutral();
    for (var i = first; i < min(first + items, params.count); i++) {
        value = combine(value, workspace[params.from + i]);
    }
    tree_words(thread, value, tile);
}

@compute @workgroup_size(256)
fn reduce_float_tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let first = (tile * 256u + thread) * items;
    var value = 0.0;
    for (var i = first; i < min(first + items, params.count); i++) {
        value += bitcast<f32>(workspace[params.from + i]);
    }
    tree_floats(thread, value, tile);
}
