// Values as f32: a word each.
const page_value_bits = 32u;

fn page_decoded(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

fn page_nearest(value: f32) -> u32 {
    return bitcast<u32>(value);
}

fn page_dithered(value: f32, noise: u32) -> u32 {
    return bitcast<u32>(value);
}
