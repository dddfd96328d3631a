// Moves ragged rows to new sizes: keeps what fits, drops the rest, starts new dims at zero or at N(0, std^2).
//import common/grid.wgsl
//import common/philox.wgsl
//import common/normal.wgsl
//import common/fresh.wgsl

struct Params {
    rows_from: u32,  // rows in the old table; further rows are new
    rows_to: u32,
    key_low: u32,    // seed
    key_high: u32,
    purpose: u32,
    zero_dims: u32,  // leading dims that start at zero
    scale: f32,      // std / 2^20; 0 starts every new dim at zero
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> arena_from: array<f32>;
@group(0) @binding(2) var<storage, read> offsets_from: array<u32>;
@group(0) @binding(3) var<storage, read_write> arena_to: array<f32>;
@group(0) @binding(4) var<storage, read> offsets_to: array<u32>;
@group(0) @binding(5) var<storage, read> normal_table: array<i32>;

@compute @workgroup_size(256)
fn migrate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if row >= params.rows_to {
        return;
    }
    var start_from = 0u;
    var width_from = 0u;
    if row < params.rows_from {
        start_from = offsets_from[row];
        width_from = offsets_from[row + 1u] - start_from;
    }
    let start = offsets_to[row];
    let width = offsets_to[row + 1u] - start;
    for (var j = thread % lanes; j < width; j += lanes) {
        var value = 0.0;
        if j < width_from {
            value = arena_from[start_from + j];
        } else {
            value = fresh(row, j);
        }
        arena_to[start + j] = value;
    }
}
