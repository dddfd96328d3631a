// Values into the rows of a page, a word at a time. The including file imports rows/page.wgsl, and binds its `arena` to
// write.

// Which values of the word that begins with dim j are dims below `width`.
fn page_within(j: u32, width: u32) -> vec4<bool> {
    return vec4<u32>(j, j + 1u, j + 2u, j + 3u) < vec4<u32>(width);
}

// Whether all values of a word are marked.
fn page_is_whole(those: vec4<bool>) -> bool {
    return (page_per_word < 2u || those.y) && (page_per_word < 4u || (those.z && those.w)) && those.x;
}

// The word that begins at an element, so far as it stays: nothing of it where all of its values are set.
fn page_staying(at: u32, those: vec4<bool>) -> u32 {
    if page_is_whole(those) {
        return 0u;
    }
    return page_arena[page_word_of(at)];
}

// Sets `those` values of the word that begins at an element, each to the nearest.
fn page_put_nearest(at: u32, values: vec4<f32>, those: vec4<bool>) {
    page_arena[page_word_of(at)] = page_nearest(page_staying(at, those), values, those);
}
