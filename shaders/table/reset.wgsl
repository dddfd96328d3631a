// Gives ragged rows as they began: N(0, std^2) or zero.
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/put.wgsl
//import common/by_ids.wgsl
//import common/fresh.wgsl

struct Params {
    //import rows/page_params.wgsl
    count: u32,      // ids
    //import common/fresh_params.wgsl
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read> normal_table: array<i32>;

fn row_of(id: u32) -> Row {
    if params.one_a_row == 1u {
        return Row(id - params.first_row, 1u);
    }
    return row_at(id - params.first_row);
}

@compute @workgroup_size(256)
fn reset(invocation: Invocation) {
    let named = named_by(invocation);
    if !named.ours {
        return;
    }
    let row = row_of(named.id);
    for (var j = per_word * (invocation.thread % lanes); j < row.size; j += per_word * lanes) {
        let at = row.start + j;
        let those = within(j, row.size);
        arena[word_of(at)] = with_fresh(named.id, j, copied(staying(at, those), 0u, 0u), those);
    }
}
