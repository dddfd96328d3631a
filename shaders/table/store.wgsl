// Dense values into ragged rows.
//import common/grid.wgsl

struct Params {
    rows: u32,   // rows in the table
    count: u32,  // ids
    dims: u32,   // width of the values
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> arena: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;

@compute @workgroup_size(256)
fn store(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let b = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if b >= params.count {
        return;
    }
    let id = ids[b];
    if id >= params.rows {
        return;
    }
    let start = offsets[id];
    let size = offsets[id + 1u] - start;
    for (var j = thread % lanes; j < min(size, params.dims); j += lanes) {
        arena[start + j] = values[b * params.dims + j];
    }
}
