// Dense values into ragged rows.
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/put.wgsl
//import common/by_ids.wgsl

struct Params {
    //import rows/page_params.wgsl
    count: u32,      // ids
    dims: u32,       // width of the values
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read> values: array<f32>;

@compute @workgroup_size(256)
fn store(invocation: Invocation) {
    let named = named_by(invocation);
    if !named.ours {
        return;
    }
    let row = row_at(named.id - params.first_row);
    let width = min(row.size, params.dims);
    for (var j = per_word() * (invocation.thread % lanes); j < width; j += per_word() * lanes) {
        let two = has_second(j, width);
        var own = vec2<f32>(values[named.b * params.dims + j], 0.0);
        if two {
            own.y = values[named.b * params.dims + j + 1u];
        }
        put_nearest(row.start + j, own, two);
    }
}
