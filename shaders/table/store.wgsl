// Dense values into ragged rows.
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/put.wgsl
//import common/by_ids.wgsl
//import common/get_four.wgsl as dense of f32

struct Params {
    //import rows/page_params.wgsl
    count: u32,      // ids
    dims: u32,       // width of the values
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read> dense: array<f32>;

@compute @workgroup_size(256)
fn store(invocation: Invocation) {
    let named = named_by(invocation);
    if !named.ours {
        return;
    }
    let row = row_at(named.id - params.first_row);
    let width = min(row.size, params.dims);
    for (var j = per_word * (invocation.thread % lanes); j < width; j += per_word * lanes) {
        let those = within(j, width);
        let at = vec4<u32>(named.b * params.dims + j) + vec4<u32>(0u, 1u, 2u, 3u);
        put_nearest(row.start + j, dense_four(at, those), those);
    }
}
