// Those of four numbers of a buffer that are wanted, and 0 for the others: imported as
// `common/get_four.wgsl as gradients of f32`.
fn LIST_four(at: vec4<u32>, those: vec4<bool>) -> vec4<NUMBER> {
    var values = vec4<NUMBER>();
    if those.x {
        values.x = LIST[at.x];
    }
    if those.y {
        values.y = LIST[at.y];
    }
    if those.z {
        values.z = LIST[at.z];
    }
    if those.w {
        values.w = LIST[at.w];
    }
    return values;
}
