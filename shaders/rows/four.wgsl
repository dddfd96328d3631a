// Four values at once. The including file imports rows/page.wgsl.

// The values of a row, 0 past its end.
fn page_four_values(row: Row, dims: vec4<u32>) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    if dims.x < row.size {
        values.x = page_value_at(row, dims.x);
    }
    if dims.y < row.size {
        values.y = page_value_at(row, dims.y);
    }
    if dims.z < row.size {
        values.z = page_value_at(row, dims.z);
    }
    if dims.w < row.size {
        values.w = page_value_at(row, dims.w);
    }
    return values;
}
