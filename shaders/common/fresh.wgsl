// The dims of a row as they begin (src/kernels/table/fresh.rs): 0, or N(0, std^2) by (seed, row, dim). The including
// file imports rows/page.wgsl, binds `normal_table`, and has fresh_params.wgsl in Params.
//import common/philox.wgsl
//import common/normal.wgsl

// What dim j begins with, of the words of its four.
fn fresh(j: u32, words: vec4<u32>) -> f32 {
    if params.scale == 0.0 || j < params.zero_dims {
        return 0.0;
    }
    return f32(normal_fixed(words[j & 3u])) * params.scale;
}

// A word of a row, from dim j on, in which `those` dims begin.
fn with_fresh(row: u32, j: u32, before: u32, those: vec4<bool>) -> u32 {
    let key = vec2<u32>(params.key_low, params.key_high);
    let words = philox(vec4<u32>(row, j >> 2u, 0u, params.purpose), key);
    var values = vec4<f32>(fresh(j, words), 0.0, 0.0, 0.0);
    if per_word > 1u {
        values.y = fresh(j + 1u, words);
    }
    if per_word < 4u {
        return begun(before, values, those, vec4<u32>(0u));
    }
    values.z = fresh(j + 2u, words);
    values.w = fresh(j + 3u, words);
    let noise = philox(vec4<u32>(row, j >> 2u, 1u, params.purpose), key);
    return begun(before, values, those, noise >> vec4<u32>(16u));
}
