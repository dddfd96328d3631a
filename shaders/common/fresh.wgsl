// A dim of a row as it begins (src/kernels/table/fresh.rs): 0, or N(0, std^2) by (seed, row, dim). The including file
// binds `normal_table`, and has fresh_params.wgsl in Params.
//import common/philox.wgsl
//import common/normal.wgsl

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
