// Y = A X for A in compressed rows and X dense or ragged. Rows of at most `chunk` non-zeros are summed as a whole. Of
// longer rows every chunk gives a partial sum, and these are added in order. Chunks are counted over all non-zeros.
// Ragged rows in several pages are added page by page.
//import common/grid.wgsl
//import rows/page.wgsl as x

struct Params {
    rows: u32,        // rows of A
    // X, or this page of it. Of a dense X only the rows are given.
    //import rows/page_params.wgsl as x
    nonzeros: u32,
    dims: u32,        // width of the product
    x_first: u32,     // leading elements of a row of X that are left out
    y_first: u32,     // leading elements of a row of Y that are left alone
    tiles: u32,       // teams of `lanes` threads that share a row of Y
    chunk: u32,       // non-zeros summed at once
    begins: u32,      // 1 in the dispatch of the first page
    accumulate: u32,  // 1 to make `total` = `scale` * (`total` + Y): with the last page
    scale: f32,
}

override lanes: u32 = 8u;   // threads of a team; each has four elements of Y
override ragged: u32 = 0u;  // 1 when `x_directory` says where the rows of X lie

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x_arena: array<u32>;
@group(0) @binding(2) var<storage, read> x_directory: array<u32>;
@group(0) @binding(3) var<storage, read> row_offsets: array<u32>;
@group(0) @binding(4) var<storage, read> columns: array<u32>;
@group(0) @binding(5) var<storage, read> values: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<f32>;
@group(0) @binding(7) var<storage, read_write> partials: array<u32>;
@group(0) @binding(8) var<storage, read_write> total: array<f32>;

struct Team {
    index: u32,  // row, or chunk
    first: u32,  // first of this thread's elements; the others follow `lanes` apart
}

fn team(invocation: Invocation) -> Team {
    let at = unit_of(invocation, lanes);
    return Team(at / params.tiles, (at % params.tiles) * (4u * lanes) + invocation.thread % lanes);
}

fn elements(first: u32) -> vec4<u32> {
    return vec4<u32>(first) + lanes * vec4<u32>(0u, 1u, 2u, 3u);
}

// A column past X is an empty row, and here also one of another page.
fn row_of(column: u32) -> Row {
    if !x_is_here(column) {
        return Row(0u, 0u);
    }
    let at = column - params.x_first_row;
    if ragged == 0u {
        return Row(at * (params.x_first + params.dims) + params.x_first, params.dims);
    }
    let row = x_row_at(at);
    let left_out = min(row.size, params.x_first);
    return Row(row.start + left_out, min(row.size - left_out, params.dims));
}

fn element(row: Row, j: u32) -> f32 {
    if j < row.size {
        return x_value_at(row, j);
    }
    return 0.0;
}

// The sum of the pages before, and then the non-zeros begin..end in order.
fn sum_of(begin: u32, end: u32, first: u32, before: vec4<f32>) -> vec4<f32> {
    let j = elements(first);
    var sum = before;
    for (var e = begin; e < end; e++) {
        let row = row_of(columns[e]);
        let terms = values[e] * vec4<f32>(element(row, j.x), element(row, j.y), element(row, j.z), element(row, j.w));
        // A dim that X lacks is left out, not multiplied by zero, since the value may be infinite.
        sum = select(sum, sum + terms, j < vec4<u32>(row.size));
    }
    return sum;
}

fn place_of(row: u32, j: u32) -> u32 {
    return row * (params.y_first + params.dims) + params.y_first + j;
}

fn so_far(row: u32, j: u32) -> f32 {
    if j < params.dims && params.begins == 0u {
        return output[place_of(row, j)];
    }
    return 0.0;
}

fn all_so_far(row: u32, first: u32) -> vec4<f32> {
    let j = elements(first);
    return vec4<f32>(so_far(row, j.x), so_far(row, j.y), so_far(row, j.z), so_far(row, j.w));
}

fn put(row: u32, j: u32, value: f32) {
    if j < params.dims {
        let at = place_of(row, j);
        output[at] = value;
        if params.accumulate == 1u {
            total[at] = params.scale * (total[at] + value);
        }
    }
}

fn put_all(row: u32, first: u32, sum: vec4<f32>) {
    let j = elements(first);
    put(row, j.x, sum.x);
    put(row, j.y, sum.y);
    put(row, j.z, sum.z);
    put(row, j.w, sum.w);
}

// A row a team; and behind all rows a chunk a team, of those that long rows have.
@compute @workgroup_size(256)
fn short_rows(invocation: Invocation) {
    let team = team(invocation);
    if team.index >= params.rows {
        put_partial_sums(Team(team.index - params.rows, team.first));
        return;
    }
    let begin = row_offsets[team.index];
    let end = row_offsets[team.index + 1u];
    if end - begin <= params.chunk {
        put_all(team.index, team.first, sum_of(begin, end, team.first, all_so_far(team.index, team.first)));
    }
}

// The row that holds a non-zero: the first that ends after it.
fn row_at(position: u32) -> u32 {
    var low = 0u;
    var high = params.rows;
    while low < high {
        let middle = (low + high) >> 1u;
        if row_offsets[middle + 1u] <= position {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

fn put_partial(slot: u32, j: u32, value: f32) {
    if j < params.dims {
        partials[slot * params.dims + j] = bitcast<u32>(value);
    }
}

fn partial(slot: u32, j: u32) -> f32 {
    if j < params.dims {
        return bitcast<f32>(partials[slot * params.dims + j]);
    }
    return 0.0;
}

fn partial_of(slot: u32, first: u32) -> vec4<f32> {
    let j = elements(first);
    return vec4<f32>(partial(slot, j.x), partial(slot, j.y), partial(slot, j.z), partial(slot, j.w));
}

// A long row reaches past every chunk that it begins in, so a chunk meets at most two: the one that holds its first
// non-zero (slot 0) and the one that holds its last (slot 1, when it is another).
fn put_partial_sums(team: Team) {
    let begin = team.index * params.chunk;
    if begin >= params.nonzeros {
        return;
    }
    let end = min(begin + params.chunk, params.nonzeros);
    let head = row_at(begin);
    let tail = row_at(end - 1u);
    for (var slot = 0u; slot < 2u; slot++) {
        let row = select(head, tail, slot == 1u);
        if row >= params.rows || (slot == 1u && tail == head) {
            continue;
        }
        let low = row_offsets[row];
        let high = row_offsets[row + 1u];
        if high - low <= params.chunk {
            continue;
        }
        let place = team.index * 2u + slot;
        var before = vec4<f32>(0.0);
        if params.begins == 0u {
            before = partial_of(place, team.first);
        }
        let sum = sum_of(max(low, begin), min(high, end), team.first, before);
        let j = elements(team.first);
        put_partial(place, j.x, sum.x);
        put_partial(place, j.y, sum.y);
        put_partial(place, j.z, sum.z);
        put_partial(place, j.w, sum.w);
    }
}

// The long row that begins in this chunk, if there is one, holds its last non-zero.
@compute @workgroup_size(256)
fn long_rows(invocation: Invocation) {
    let team = team(invocation);
    let begin = team.index * params.chunk;
    if begin >= params.nonzeros {
        return;
    }
    let row = row_at(min(begin + params.chunk, params.nonzeros) - 1u);
    if row >= params.rows {
        return;
    }
    let low = row_offsets[row];
    let high = row_offsets[row + 1u];
    if low < begin || high - low <= params.chunk {
        return;
    }
    var sum = partial_of(team.index * 2u + select(0u, 1u, low > begin), team.first);
    for (var next = team.index + 1u; next * params.chunk < high; next++) {
        sum += partial_of(next * 2u, team.first);
    }
    put_all(row, team.first, sum);
}
