// Values into the rows of a page, a word at a time: one value of 32 bits, or two of 16. The including file imports
// rows/page.wgsl, and binds its `arena` to write.

fn page_per_word() -> u32 {
    return 32u / page_value_bits;
}

// Whether the word that begins with dim j holds another dim below `width`.
fn page_has_second(j: u32, width: u32) -> bool {
    return page_value_bits == 16u && j + 1u < width;
}

// Writes the bits of the word that begins at an element. Without a second value, the other half of the word stays as it
// is.
fn page_put_bits(at: u32, first: u32, second: u32, has_second: bool) {
    if page_value_bits == 32u {
        page_arena[at] = first;
        return;
    }
    var high = second;
    if !has_second {
        high = page_arena[page_word_of(at)] >> 16u;
    }
    page_arena[page_word_of(at)] = first | (high << 16u);
}

// The same for values, each rounded to the nearest.
fn page_put_nearest(at: u32, values: vec2<f32>, has_second: bool) {
    page_put_bits(at, page_nearest(values.x), page_nearest(values.y), has_second);
}
