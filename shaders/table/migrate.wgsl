// Moves ragged rows to new sizes: keeps what fits, drops the rest, starts new dims at zero or at N(0, std^2).
//import common/grid.wgsl
//import common/rows.wgsl
//import common/philox.wgsl
//import common/normal.wgsl
//import common/fresh.wgsl

struct Params {
    first_row: u32,   // of the new page
    rows: u32,        // of the new page
    blocks: u32,
    shift: u32,
    alignment: u32,
    from_first: u32,  // row of the old page
    from_rows: u32,   // of the old page; a row that is not there is new
    from_blocks: u32,
    from_shift: u32,
    begin: u32,       // this dispatch moves the rows begin..end
    end: u32,
    one_a_row: u32,   // 1 where there is one number a row, wherever the rows begin
    key_low: u32,     // seed
    key_high: u32,
    purpose: u32,
    zero_dims: u32,   // leading dims that start at zero
    scale: f32,       // std / 2^20; 0 starts every new dim at zero
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> from_arena: array<u32>;
@group(0) @binding(2) var<storage, read> from_directory: array<u32>;
@group(0) @binding(3) var<storage, read_write> arena: array<u32>;
@group(0) @binding(4) var<storage, read> directory: array<u32>;
@group(0) @binding(5) var<storage, read> normal_table: array<i32>;

fn old_end(row: u32) -> u32 {
    return end_in(from_directory[params.from_blocks + (row >> 1u)], row);
}

// What an id's row was: nothing, where it is new.
fn old_row(id: u32) -> Row {
    let row = id - params.from_first;
    if row >= params.from_rows {
        return Row(0u, 0u);
    }
    if params.one_a_row == 1u {
        return Row(row, 1u);
    }
    var before = 0u;
    if !begins_block(row, params.from_shift) {
        before = old_end(row - 1u);
    }
    return row_between(from_directory[row >> params.from_shift], before, old_end(row), params.alignment);
}

fn new_row(id: u32) -> Row {
    if params.one_a_row == 1u {
        return Row(id - params.first_row, 1u);
    }
    return row_at(id - params.first_row);
}

// A dim of f16: the bits that were there, or those of a fresh value.
fn half_bits(id: u32, j: u32, old: Row) -> u32 {
    if j < old.size {
        let at = old.start + j;
        return (from_arena[at >> 1u] >> (16u * (at & 1u))) & 0xffffu;
    }
    return nearest(fresh(id, j));
}

@compute @workgroup_size(256)
fn migrate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let id = params.begin + workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if id >= params.end {
        return;
    }
    let old = old_row(id);
    let row = new_row(id);
    for (var j = (thread % lanes) << half; j < row.size; j += lanes << half) {
        let at = row.start + j;
        if half == 1u {
            var high = 0u;
            if j + 1u < row.size {
                high = half_bits(id, j + 1u, old);
            } else {
                // What lies behind the row keeps its half of the word.
                high = arena[at >> 1u] >> 16u;
            }
            arena[at >> 1u] = half_bits(id, j, old) | (high << 16u);
        } else if j < old.size {
            arena[at] = from_arena[old.start + j];
        } else {
            arena[at] = bitcast<u32>(fresh(id, j));
        }
    }
}
