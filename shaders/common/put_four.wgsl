// Writes those of four numbers that are wanted to a buffer: imported as `common/put_four.wgsl as output of f32`.
fn put_LIST_four(at: vec4<u32>, those: vec4<bool>, values: vec4<NUMBER>) {
    if those.x {
        LIST[at.x] = values.x;
    }
    if those.y {
        LIST[at.y] = values.y;
    }
    if those.z {
        LIST[at.z] = values.z;
    }
    if those.w {
        LIST[at.w] = values.w;
    }
}
