// Keys and payload for the sort that ranks entities: by frequency descending, index ascending.
//import common/grid.wgsl

struct Params {
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> frequencies: array<u32>;
@group(0) @binding(2) var<storage, read_write> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> order: array<u32>;

@compute @workgroup_size(256)
fn prepare(invocation: Invocation) {
    let i = unit_of(invocation, 1u);
    if i >= params.count {
        return;
    }
    keys[i] = ~frequencies[i];
    order[i] = i;
}
