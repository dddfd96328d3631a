// Ragged rows to a zero-padded or a packed output.
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/four.wgsl
//import common/four.wgsl
//import common/count.wgsl
//import common/put_four.wgsl as output of f32
//import common/last_begin.wgsl as output_offsets of u32

struct Params {
    //import rows/page_params.wgsl
    table_rows: u32,  // of all pages
    count: u32,       // ids that there is room for
    dims: u32,        // width of an output row, at most
    used: u32,        // ids that are used, as far as the host knows
}

override lanes: u32 = 8u;    // threads that share a row
override aligned: u32 = 0u;  // 1 where every row begins with one of `arena_fours`

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> arena: array<u32>;
@group(0) @binding(2) var<storage, read> directory: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<storage, read> output_offsets: array<u32>;
@group(0) @binding(6) var<storage, read_write> output_sizes: array<u32>;
// Pairs of f16, the lower half first.
@group(0) @binding(7) var<storage, read_write> output_pairs: array<u32>;
@group(0) @binding(8) var<storage, read_write> output_fours: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read> arena_fours: array<vec4<f32>>;
@group(0) @binding(10) var<storage, read> used_on_device: array<u32>;

// Whether this dispatch takes an id: one of its page, or one past the table, which the first page takes for an empty
// row.
fn is_ours(id: u32) -> bool {
    return is_here(id) || (params.first_row == 0u && id >= params.table_rows);
}

fn row_of(id: u32) -> Row {
    if is_here(id) {
        return row_at(id - params.first_row);
    }
    return Row(0u, 0u);
}

// What the lanes of a row take: an id by its position, and its row.
struct Taken {
    b: u32,
    row: Row,
    ours: bool,  // false past the ids in use, too
}

fn taken_by(invocation: Invocation) -> Taken {
    let b = unit_of(invocation, lanes);
    if b >= in_use() {
        return Taken(b, Row(0u, 0u), false);
    }
    return Taken(b, row_of(ids[b]), is_ours(ids[b]));
}

// Writes `width` values of a row, zeros past its end.
fn put_row(row: Row, start: u32, width: u32, lane: u32) {
    for (var j = lane; j < width; j += 4u * lanes) {
        let dims = four_dims(j, lanes);
        put_output_four(vec4<u32>(start) + dims, dims < vec4<u32>(width), four_values(row, dims));
    }
}

@compute @workgroup_size(256)
fn rows(invocation: Invocation) {
    let taken = taken_by(invocation);
    if !taken.ours {
        return;
    }
    put_row(taken.row, taken.b * params.dims, params.dims, invocation.thread % lanes);
}

// Four neighbours of a row, 0 past its end. Of an aligned row 16 bytes are read at once: what lies there before the
// next is no value of it.
fn four_neighbours(row: Row, i: u32) -> vec4<f32> {
    let dims = four_dims(4u * i, 1u);
    if aligned == 0u {
        return four_values(row, dims);
    }
    if dims.x >= row.size {
        return vec4<f32>(0.0);
    }
    return select(vec4<f32>(0.0), arena_fours[row.start / 4u + i], dims < vec4<u32>(row.size));
}

// Where the width is a multiple of four: 16 bytes are written at once, and a lane has two such stores under way.
@compute @workgroup_size(256)
fn rows_by_fours(invocation: Invocation) {
    let taken = taken_by(invocation);
    if !taken.ours {
        return;
    }
    let row = taken.row;
    let fours = params.dims / 4u;
    for (var i = invocation.thread % lanes; i < fours; i += 2u * lanes) {
        let values = four_neighbours(row, i);
        let next = four_neighbours(row, i + lanes);
        output_fours[taken.b * fours + i] = values;
        if i + lanes < fours {
            output_fours[taken.b * fours + i + lanes] = next;
        }
    }
}

@compute @workgroup_size(256)
fn rows_f16(invocation: Invocation) {
    let taken = taken_by(invocation);
    if !taken.ours {
        return;
    }
    let row = taken.row;
    let pairs = params.dims / 2u;
    for (var j = invocation.thread % lanes; j < pairs; j += 2u * lanes) {
        let values = four_values(row, two_pairs(j, lanes));
        output_pairs[taken.b * pairs + j] = as_pair(values.xy);
        if j + lanes < pairs {
            output_pairs[taken.b * pairs + j + lanes] = as_pair(values.zw);
        }
    }
}

@compute @workgroup_size(256)
fn sizes(invocation: Invocation) {
    let b = unit_of(invocation, 1u);
    if b < in_use() {
        let id = ids[b];
        if is_ours(id) {
            output_sizes[b] = min(row_of(id).size, params.dims);
        }
    } else if b <= params.count {
        output_sizes[b] = 0u;
    }
}

@compute @workgroup_size(256)
fn packed(invocation: Invocation) {
    let taken = taken_by(invocation);
    if !taken.ours {
        return;
    }
    let start = output_offsets[taken.b];
    let width = min(output_offsets[taken.b + 1u] - start, params.dims);
    put_row(taken.row, start, width, invocation.thread % lanes);
}

struct Element {
    value: f32,
    ours: bool,
}

fn packed_value(element: u32) -> Element {
    let b = last_of_output_offsets(element, in_use());
    let id = ids[b];
    let row = row_of(id);
    let j = element - output_offsets[b];
    if j >= row.size {
        return Element(0.0, is_ours(id));
    }
    return Element(value_at(row, j), true);
}

@compute @workgroup_size(256)
fn packed_f16(invocation: Invocation) {
    let word = unit_of(invocation, 1u);
    if word >= arrayLength(&output_pairs) || in_use() == 0u {
        return;
    }
    let begin = output_offsets[0];
    let end = output_offsets[in_use()];
    var pair = vec2<f32>(0.0, 0.0);
    var mask = 0u;
    if 2u * word >= begin && 2u * word < end {
        let element = packed_value(2u * word);
        pair.x = element.value;
        mask |= select(0u, 0xffffu, element.ours);
    }
    if 2u * word + 1u >= begin && 2u * word + 1u < end {
        let element = packed_value(2u * word + 1u);
        pair.y = element.value;
        mask |= select(0u, 0xffff0000u, element.ours);
    }
    let bits = as_pair(pair);
    output_pairs[word] = (output_pairs[word] & ~mask) | (bits & mask);
}
