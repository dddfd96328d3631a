// Four dims of a row that a lane takes at once, so that their loads are under way together. A loop over single dims
// would wait for each load. The including file imports rows/page.wgsl.

// Every `stride`-th dim from `j` on, so that neighbouring lanes read neighbouring values.
fn four_dims(j: u32, stride: u32) -> vec4<u32> {
    return vec4<u32>(j, j + stride, j + 2u * stride, j + 3u * stride);
}

// The same in pairs.
fn two_pairs(pair: u32, stride: u32) -> vec4<u32> {
    let j = 2u * pair;
    return vec4<u32>(j, j + 1u, j + 2u * stride, j + 2u * stride + 1u);
}

// The values of a row, 0 past its end.
fn four_values(row: Row, dims: vec4<u32>) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    if dims.x < row.size {
        values.x = value_at(row, dims.x);
    }
    if dims.y < row.size {
        values.y = value_at(row, dims.y);
    }
    if dims.z < row.size {
        values.z = value_at(row, dims.z);
    }
    if dims.w < row.size {
        values.w = value_at(row, dims.w);
    }
    return values;
}

// Two values as f16, the lower half first. Values past the range of f16 are cut to it, since WGSL leaves the result for
// them to the device.
fn as_pair(values: vec2<f32>) -> u32 {
    return pack2x16float(clamp(values, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
}
