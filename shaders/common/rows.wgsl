// The rows of a page. The including file binds `directory`, and has in Params `first_row`, `rows` (of the page), `blocks`, `shift` and
// `alignment`.
//import common/directory.wgsl

override half: u32 = 0u;  // 1 where values are f16

fn end_of(row: u32) -> u32 {
    return end_in(directory[params.blocks + (row >> 1u)], row);
}

// A row of the page, counted from its first.
fn row_at(row: u32) -> Row {
    var before = 0u;
    if !begins_block(row, params.shift) {
        before = end_of(row - 1u);
    }
    return row_between(directory[row >> params.shift], before, end_of(row), params.alignment);
}

// Whether the row of an id lies in this page.
fn is_here(id: u32) -> bool {
    return id - params.first_row < params.rows;
}

// The value at an element, `word` being the word that holds it.
fn widened(word: u32, at: u32) -> f32 {
    return as_f32(word, at, half);
}

// The word that holds an element.
fn word_of(at: u32) -> u32 {
    return at >> half;
}
