// Moves ragged rows to new sizes: keeps what fits, drops the rest, starts new dims at zero or at N(0, std^2).
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/page.wgsl as from
//import rows/put.wgsl
//import common/fresh.wgsl

struct Params {
    // The new page, and the old one: a row that is not there is new.
    //import rows/page_params.wgsl
    //import rows/page_params.wgsl as from
    begin: u32,       // this dispatch moves the rows begin..end
    end: u32,
    //import common/fresh_params.wgsl
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> from_arena: array<u32>;
@group(0) @binding(2) var<storage, read> from_directory: array<u32>;
@group(0) @binding(3) var<storage, read_write> arena: array<u32>;
@group(0) @binding(4) var<storage, read> directory: array<u32>;
@group(0) @binding(5) var<storage, read> normal_table: array<i32>;

// What an id's row was: nothing, where it is new.
fn old_row(id: u32) -> Row {
    if !from_is_here(id) {
        return Row(0u, 0u);
    }
    let row = id - params.from_first_row;
    if params.one_a_row == 1u {
        return Row(row, 1u);
    }
    return from_row_at(row);
}

fn new_row(id: u32) -> Row {
    if params.one_a_row == 1u {
        return Row(id - params.first_row, 1u);
    }
    return row_at(id - params.first_row);
}

@compute @workgroup_size(256)
fn migrate(invocation: Invocation) {
    let id = params.begin + unit_of(invocation, lanes);
    if id >= params.end {
        return;
    }
    let old = old_row(id);
    let row = new_row(id);
    for (var j = per_word * (invocation.thread % lanes); j < row.size; j += per_word * lanes) {
        let at = row.start + j;
        var moved = 0u;
        if j < old.size {
            moved = from_arena[from_word_of(old.start + j)];
        }
        var word = copied(arena[word_of(at)], moved, max(min(old.size, row.size), j) - j);
        let fresh_dims = within(j, row.size) & !within(j, old.size);
        if any(fresh_dims) {
            word = with_fresh(id, j, word, fresh_dims);
        }
        arena[word_of(at)] = word;
    }
}
