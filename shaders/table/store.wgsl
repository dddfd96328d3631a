// Dense values into ragged rows.
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/put.wgsl

struct Params {
    //import rows/page_params.wgsl
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
fn store(invocation: Invocation) {
    let b = unit_of(invocation, lanes);
    if b >= params.count {
        return;
    }
    let id = ids[b];
    if !is_here(id) {
        return;
    }
    let row = row_at(id - params.first_row);
    let width = min(row.size, params.dims);
    for (var j = per_word() * (invocation.thread % lanes); j < width; j += per_word() * lanes) {
        let two = has_second(j, width);
        var own = vec2<f32>(values[b * params.dims + j], 0.0);
        if two {
            own.y = values[b * params.dims + j + 1u];
        }
        put_nearest(row.start + j, own, two);
    }
}
