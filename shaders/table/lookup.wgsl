// Ragged rows to a dense, zero-padded output: single ids, and bags of ids pooled by sum or mean.
//import common/grid.wgsl

struct Params {
    rows: u32,      // rows in the table
    count: u32,     // ids, or bags
    dims: u32,      // width of an output row
    weighted: u32,  // bags: 1 when `weights` holds a factor for each id
    mean: u32,      // bags: 1 to divide by the number of ids
    first: u32,     // bags: this dispatch adds the ids first..last of each bag
    last: u32,
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> arena: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<storage, read> bags: array<u32>;
@group(0) @binding(6) var<storage, read> weights: array<f32>;

@compute @workgroup_size(256)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let b = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if b >= params.count {
        return;
    }
    let id = ids[b];
    var start = 0u;
    var width = 0u;
    if id < params.rows {
        start = offsets[id];
        width = offsets[id + 1u] - start;
    }
    for (var j = thread % lanes; j < params.dims; j += lanes) {
        var value = 0.0;
        if j < width {
            value = arena[start + j];
        }
        output[b * params.dims + j] = value;
    }
}

@compute @workgroup_size(256)
fn pooled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let bag = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if bag >= params.count {
        return;
    }
    let start = bags[bag];
    let length = bags[bag + 1u] - start;
    let first = min(params.first, length);
    let last = min(params.last, length);
    for (var j = thread % lanes; j < params.dims; j += lanes) {
        var sum = 0.0;
        if params.first > 0u {
            sum = output[bag * params.dims + j];
        }
        for (var i = start + first; i < start + last; i++) {
            let id = ids[i];
            if id < params.rows {
                let row = offsets[id];
                if j < offsets[id + 1u] - row {
                    var weight = 1.0;
                    if params.weighted == 1u {
                        weight = weights[i];
                    }
                    sum += weight * arena[row + j];
                }
            }
        }
        // The division belongs to the dispatch that reaches the bag's end (an empty bag has none to do).
        if params.mean == 1u && params.first < length && params.last >= length {
            sum /= f32(length);
        }
        output[bag * params.dims + j] = sum;
    }
}
