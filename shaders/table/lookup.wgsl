// Ragged rows to a zero-padded or a packed output.
//import common/grid.wgsl

struct Params {
    rows: u32,      // rows in the table
    count: u32,     // ids
    dims: u32,      // width of an output row, at most
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> arena: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<storage, read> output_offsets: array<u32>;
@group(0) @binding(6) var<storage, read_write> output_sizes: array<u32>;
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
fn sizes(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let b = workgroup_index(group, groups) * 256u + thread;
    if b < params.count {
        output_sizes[b] = min(row_of(ids[b]).width, params.dims);
    } else if b == params.count {
        output_sizes[b] = 0u;
    }
}

@compute @workgroup_size(256)
fn packed(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let b = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if b >= params.count {
        return;
    }
    let row = row_of(ids[b]);
    let start = output_offsets[b];
    let width = min(output_offsets[b + 1u] - start, params.dims);
    for (var j = thread % lanes; j < width; j += lanes) {
        var value = 0.0;
        if j < row.width {
            value = arena[row.start + j];
        }
        output[start + j] = value;
    }
}

// The stretch of the output that holds an element inside of all: the last one that begins at or before it, since those before of
// the same beginning are empty.
fn stretch_of(element: u32) -> u32 {
    var low = 0u;
    var high = params.count;
    while high - low > 1u {
        let middle = (low + high) >> 1u;
        if output_offsets[middle] <= element {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

fn packed_value(element: u32) -> f32 {
    let b = stretch_of(element);
    let row = row_of(ids[b]);
    let j = element - output_offsets[b];
    if j >= row.width {
        return 0.0;
    }
    return arena[row.start + j];
}

@compute @workgroup_size(256)
fn packed_f16(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let word = workgroup_index(group, groups) * 256u + thread;
    if word >= arrayLength(&output_pairs) || params.count == 0u {
        return;
    }
    let begin = output_offsets[0];
    let end = output_offsets[params.count];
    var pair = vec2<f32>(0.0, 0.0);
    var mask = 0u;
    if 2u * word >= begin && 2u * word < end {
        pair.x = packed_value(2u * word);
        mask |= 0xffffu;
    }
    if 2u * word + 1u >= begin && 2u * word + 1u < end {
        pair.y = packed_value(2u * word + 1u);
        mask |= 0xffff0000u;
    }
    let bits = pack2x16float(clamp(pair, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
    output_pairs[word] = (output_pairs[word] & ~mask) | (bits & mask);
}
