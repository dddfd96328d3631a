// Dense values into ragged rows.
//import common/grid.wgsl
//import common/rows.wgsl

struct Params {
    first_row: u32,  // of this page
    rows: u32,       // of this page
    blocks: u32,
    shift: u32,
    alignment: u32,
    count: u32,      // ids
    dims: u32,       // width of the values
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> arena: array<u32>;
@group(0) @binding(2) var<storage, read> directory: array<u32>;
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
    if !is_here(id) {
        return;
    }
    let row = row_at(id - params.first_row);
    let width = min(row.size, params.dims);
    for (var j = (thread % lanes) << half; j < width; j += lanes << half) {
        let at = row.start + j;
        let value = values[b * params.dims + j];
        if half == 0u {
            arena[at] = bitcast<u32>(value);
        } else {
            var high = 0u;
            if j + 1u < width {
                high = nearest(values[b * params.dims + j + 1u]);
            } else {
                // A dim behind the width keeps its half of the word.
                high = arena[at >> 1u] >> 16u;
            }
            arena[at >> 1u] = nearest(value) | (high << 16u);
        }
    }
}
