// Four dims of a row that a lane takes at once, so that their loads are under way together. A loop over single dims
// would wait for each load.

// Every `stride`-th dim from `j` on, so that neighbouring lanes read neighbouring values.
fn four_dims(j: u32, stride: u32) -> vec4<u32> {
    return vec4<u32>(j, j + stride, j + 2u * stride, j + 3u * stride);
}

// The same in pairs.
fn two_pairs(pair: u32, stride: u32) -> vec4<u32> {
    let j = 2u * pair;
    return vec4<u32>(j, j + 1u, j + 2u * stride, j + 2u * stride + 1u);
}

// Two values as f16, the lower half first. Values past the range of f16 are cut to it, since WGSL leaves the result for
// them to the device.
fn as_pair(values: vec2<f32>) -> u32 {
    return pack2x16float(clamp(values, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
}
