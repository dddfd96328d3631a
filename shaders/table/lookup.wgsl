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
// Pairs of f16, the lower half first.
@group(0) @binding(7) var<storage, read_write> output_pairs: array<u32>;

struct Row {
    start: u32,
    width: u32,
}

// An id past the table is an empty row.
fn row_of(id: u32) -> Row {
    if id >= params.rows {
        return Row(0u, 0u);
    }
    let start = offsets[id];
    return Row(start, offsets[id + 1u] - start);
}

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
    let row = row_of(ids[b]);
    for (var j = thread % lanes; j < params.dims; j += lanes) {
        var value = 0.0;
        if j < row.width {
            value = arena[row.start + j];
        }
        output[b * params.dims + j] = value;
    }
}

@compute @workgroup_size(256)
fn rows_f16(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let b = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if b >= params.count {
        return;
    }
    let row = row_of(ids[b]);
    let pairs = params.dims / 2u;
    for (var j = thread % lanes; j < pairs; j += lanes) {
        var pair = vec2<f32>(0.0, 0.0);
        if 2u * j < row.width {
            pair.x = arena[row.start + 2u * j];
        }
        if 2u * j + 1u < row.width {
            pair.y = arena[row.start + 2u * j + 1u];
        }
        // What f16 cannot hold would be left to the device.
        output_pairs[b * pairs + j] = pack2x16float(clamp(pair, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
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
            let row = row_of(ids[i]);
            if j < row.width {
                var weight = 1.0;
                if params.weighted == 1u {
                    weight = weights[i];
                }
                sum += weight * arena[row.start + j];
            }
        }
        // The division belongs to the dispatch that reaches the bag's end (an empty bag has none to do).
        if params.mean == 1u && params.first < length && params.last >= length {
            sum /= f32(length);
        }
        output[bag * params.dims + j] = sum;
    }
}
