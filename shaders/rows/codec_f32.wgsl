// Values as f32: a word each.
const page_value_bits = 32u;

fn page_decoded(word: u32, k: u32) -> f32 {
    return bitcast<f32>(word);
}

fn page_nearest(before: u32, values: vec4<f32>, those: vec4<bool>) -> u32 {
    return select(before, bitcast<u32>(values.x), those.x);
}

fn page_dithered(before: u32, values: vec4<f32>, those: vec4<bool>, noise: vec4<u32>) -> u32 {
    return page_nearest(before, values, those);
}

fn page_begun(before: u32, values: vec4<f32>, those: vec4<bool>, noise: vec4<u32>) -> u32 {
    return page_nearest(before, values, those);
}

fn page_copied(to: u32, word: u32, count: u32) -> u32 {
    return select(to, word, count > 0u);
}
