// Prefix sum over u32, wrapping: reduce tiles, scan the tile sums (recursively), scan each tile onto its carry.
//import common/grid.wgsl
//import common/scan.wgsl

struct Params {
    count: u32,        // elements to scan
    values_base: u32,  // where they begin in `values`
    sums_base: u32,    // where the tile sums begin in `sums`
    inclusive: u32,    // 1: element i includes itself
    carry: u32,        // 1: `sums` holds each tile's carry
}

override items: u32 = 16u;  // elements a thread

@group(0) @binding(0) var<uniform> params: Params;
// Both can be written: on the upper levels they are the same workspace.
@group(0) @binding(1) var<storage, read_write> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(256)
fn reduce_tiles(invocation: Invocation) {
    let thread = invocation.thread;
    let tile = group_of(invocation);
    let first = (tile * 256u + thread) * items;
    var sum = 0u;
    for (var i = first; i < min(first + items, params.count); i++) {
        sum += values[params.values_base + i];
    }
    let before = scan_threads(thread, sum);
    if thread == 255u && tile * 256u * items < params.count {
        sums[params.sums_base + tile] = before + sum;
    }
}

@compute @workgroup_size(256)
fn scan_tiles(invocation: Invocation) {
    let thread = invocation.thread;
    let tile = group_of(invocation);
    let first = (tile * 256u + thread) * items;
    let end = min(first + items, params.count);
    var sum = 0u;
    for (var i = first; i < end; i++) {
        sum += values[params.values_base + i];
    }
    var running = scan_threads(thread, sum);
    if params.carry == 1u && first < end {
        running += sums[params.sums_base + tile];
    }
    for (var i = first; i < end; i++) {
        let value = values[params.values_base + i];
        values[params.values_base + i] = running + select(0u, value, params.inclusive == 1u);
        running += value;
    }
}
