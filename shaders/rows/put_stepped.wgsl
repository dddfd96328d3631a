// The values of a row as an update steps them: four dims a lane at once, in whole words. The including file imports
// rows/page.wgsl, rows/put.wgsl, common/four.wgsl and common/philox.wgsl, has `lanes` and `page_noise_key`, and in
// Params `step` and `purpose`.

// The dims that a lane steps at once, from `j` on: of four words of one value, or of two words of two.
fn page_dims_of_words(j: u32) -> vec4<u32> {
    if page_value_bits == 16u {
        return two_pairs(j >> 1u, lanes);
    }
    return four_dims(j, lanes);
}

// Adds four numbers, word by word.
fn page_add_by_words(before: f32, numbers: vec4<f32>) -> f32 {
    if page_value_bits == 16u {
        return (before + (numbers.x + numbers.y)) + (numbers.z + numbers.w);
    }
    return (((before + numbers.x) + numbers.y) + numbers.z) + numbers.w;
}

// Writes the word of two values that begins with dim j of a row, rounded by the noise of (seed, row, dim, step). The
// second value is written only where there is `has_second`.
fn page_put_dithered(id: u32, j: u32, at: u32, has_second: bool, values: vec2<f32>) {
    let noise = philox(vec4<u32>(id, j >> 2u, params.step, params.purpose), page_noise_key());
    let first = page_dithered(values.x, noise[j & 3u] >> 16u);
    let second = page_dithered(values.y, noise[(j & 3u) + 1u] >> 16u);
    page_put_bits(at, first, second, has_second);
}

// Writes the dims that `those` marks. The row must have them.
fn page_put_stepped(id: u32, row: Row, dims: vec4<u32>, values: vec4<f32>, those: vec4<bool>) {
    let at = vec4<u32>(row.start) + dims;
    if page_value_bits == 16u {
        page_put_either(id, dims.x, at.x, those.xy, values.xy);
        page_put_either(id, dims.z, at.z, those.zw, values.zw);
        return;
    }
    if those.x {
        page_arena[at.x] = bitcast<u32>(values.x);
    }
    if those.y {
        page_arena[at.y] = bitcast<u32>(values.y);
    }
    if those.z {
        page_arena[at.z] = bitcast<u32>(values.z);
    }
    if those.w {
        page_arena[at.w] = bitcast<u32>(values.w);
    }
}

// Writes the first value of a word of two, or the second, or both.
fn page_put_either(id: u32, j: u32, at: u32, those: vec2<bool>, values: vec2<f32>) {
    if those.x {
        page_put_dithered(id, j, at, those.y, values);
    } else if those.y {
        let first = page_bits_at(at);
        page_put_dithered(id, j, at, true, values);
        page_put_bits(at, first, page_bits_at(at + 1u), true);
    }
}
