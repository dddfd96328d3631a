// Given ragged rows as they began: N(0, std^2) or zero.
//import common/grid.wgsl
//import common/philox.wgsl
//import common/normal.wgsl
//import common/fresh.wgsl

struct Params {
    rows: u32,       // rows in the table
    count: u32,      // ids
    one_a_row: u32,  // 1 where the arena has one number a row, wherever the rows begin
    key_low: u32,    // seed
    key_high: u32,
    purpose: u32,
    zero_dims: u32,  // leading dims that start at zero
    scale: f32,      // std / 2^20; 0 sets every dim to zero
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> arena: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read> normal_table: array<i32>;

@compute @workgroup_size(256)
fn reset(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let b = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if b >= params.count {
        return;
    }
    let row = ids[b];
    if row >= params.rows {
        return;
    }
    var start = row;
    var width = 1u;
    if params.one_a_row == 0u {
        start = offsets[row];
        width = offsets[row + 1u] - start;
    }
    for (var j = thread % lanes; j < width; j += lanes) {
        arena[start + j] = fresh(row, j);
    }
}
