// Where a row lies by the words of its page's directory (src/rows/mod.rs).

struct Row {
    start: u32,
    size: u32,
}

// The end of a row within its block, from the word that holds it.
fn end_in(word: u32, row: u32) -> u32 {
    return (word >> (16u * (row & 1u))) & 0xffffu;
}

// Whether a block begins with the row.
fn begins_block(row: u32, shift: u32) -> bool {
    return (row & ((1u << shift) - 1u)) == 0u;
}

// The row of the block at `base` that lies between the end of the row before it (or 0) and its own end.
fn row_between(base: u32, before: u32, end: u32, alignment: u32) -> Row {
    let start = (before + alignment - 1u) & ~(alignment - 1u);
    return Row(base + start, end - start);
}
