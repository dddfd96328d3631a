// The values of a row as an update steps them: four dims a lane at once, in whole words. The including file imports
// rows/page.wgsl, rows/put.wgsl, common/four.wgsl and common/philox.wgsl, has `lanes` and `page_noise_key`, and in
// Params `step` and `purpose`.

// The dims that a lane steps at once, from `j` on: of four words of one value, of two words of two, or of one of four.
fn page_dims_of_words(j: u32) -> vec4<u32> {
    if page_per_word == 4u {
        return four_dims(j, 1u);
    }
    if page_per_word == 2u {
        return two_pairs(j >> 1u, lanes);
    }
    return four_dims(j, lanes);
}

// Adds four numbers, word by word.
fn page_add_by_words(before: f32, numbers: vec4<f32>) -> f32 {
    if page_per_word == 4u {
        return before + ((numbers.x + numbers.y) + (numbers.z + numbers.w));
    }
    if page_per_word == 2u {
        return (before + (numbers.x + numbers.y)) + (numbers.z + numbers.w);
    }
    return (((before + numbers.x) + numbers.y) + numbers.z) + numbers.w;
}

// Sets `those` values of the word that begins at an element, which is dim j of a row, if there are any: rounded by the
// noise of (seed, row, dim, step).
fn page_put_dithered(id: u32, j: u32, at: u32, values: vec4<f32>, those: vec4<bool>) {
    if !any(those) {
        return;
    }
    var noise = philox(vec4<u32>(id, j >> 2u, params.step, params.purpose), page_noise_key()) >> vec4<u32>(16u);
    if page_per_word == 2u && (j & 2u) == 2u {
        noise = noise.zwzw;
    }
    page_arena[page_word_of(at)] = page_dithered(page_staying(at, those), values, those, noise);
}

// Writes the dims that `those` marks. The row must have them.
fn page_put_stepped(id: u32, row: Row, dims: vec4<u32>, values: vec4<f32>, those: vec4<bool>) {
    let at = vec4<u32>(row.start) + dims;
    if page_per_word == 4u {
        page_put_dithered(id, dims.x, at.x, values, those);
        return;
    }
    if page_per_word == 2u {
        let none = vec2<bool>(false);
        page_put_dithered(id, dims.x, at.x, values.xyxy, vec4<bool>(those.xy, none));
        page_put_dithered(id, dims.z, at.z, values.zwzw, vec4<bool>(those.zw, none));
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
