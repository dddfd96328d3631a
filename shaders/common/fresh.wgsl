// A dim of a row as it begins (src/kernels/table/fresh.rs): 0, or N(0, std^2) by (seed, row, dim). The including file
// imports philox and normal, binds `normal_table`, and has in Params `key_low`, `key_high`, `purpose`, `zero_dims` and
// `scale`.
fn fresh(row: u32, j: u32) -> f32 {
    var value = 0.0;
    if params.scale != 0.0 && j >= params.zero_dims {
        let words = philox(
            vec4<u32>(row, j >> 2u, 0u, params.purpose),
            vec2<u32>(params.key_low, params.key_high),
        );
        value = f32(normal_fixed(words[j & 3u])) * params.scale;
    }
    return value;
}
