// The rows of a page, and their values. The including file binds `page_arena` and `page_directory` as words, and has
// page_params.wgsl in Params. Where it is imported under a name, `page_` becomes that name; without a name, `page_` is
// left out (`row_at`, `arena`, `params.rows`).
//import rows/row.wgsl

//codec

fn page_end_of(row: u32) -> u32 {
    return end_in(page_directory[params.page_blocks + (row >> 1u)], row);
}

// A row of the page, counted from its first.
fn page_row_at(row: u32) -> Row {
    var before = 0u;
    if !begins_block(row, params.page_shift) {
        before = page_end_of(row - 1u);
    }
    return row_between(page_directory[row >> params.page_shift], before, page_end_of(row), params.page_alignment);
}

// Whether the row of an id lies in this page.
fn page_is_here(id: u32) -> bool {
    return id - params.page_first_row < params.page_rows;
}

// Values of a word.
const page_per_word = 32u / page_value_bits;

// The word that holds an element.
fn page_word_of(at: u32) -> u32 {
    return at / page_per_word;
}

// A value of a row, which must have this dim.
fn page_value_at(row: Row, j: u32) -> f32 {
    let at = row.start + j;
    return page_decoded(page_arena[page_word_of(at)], at % page_per_word);
}
