// Bags of ragged rows, pooled by sum, mean or maximum to a dense output.
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/four.wgsl
//import common/four.wgsl
//import common/count.wgsl
//import common/put_four.wgsl as output of u32
//import common/put_four.wgsl as winners of u32

struct Params {
    //import rows/page_params.wgsl
    table_rows: u32,  // of all pages
    used: u32,        // bags that are used, as far as the host knows
    dims: u32,        // width of an output row
    weighted: u32,    // 1 when `weights` holds a factor for each id
    mean: u32,        // 1 to divide by the number of ids
    first: u32,       // this dispatch takes the ids first..last of each bag
    last: u32,
    begins: u32,      // 1 in the first of the dispatches that make an output
    ends: u32,        // 1 in the last
}

override lanes: u32 = 8u;  // threads that share a bag

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> arena: array<u32>;
@group(0) @binding(2) var<storage, read> directory: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> output: array<u32>;  // f32
@group(0) @binding(5) var<storage, read> bags: array<u32>;
@group(0) @binding(6) var<storage, read> weights: array<f32>;
// Pairs of f16, the lower half first.
@group(0) @binding(7) var<storage, read_write> output_pairs: array<u32>;
@group(0) @binding(8) var<storage, read_write> winners: array<u32>;
@group(0) @binding(9) var<storage, read> used_on_device: array<u32>;

// The ids of a bag that this dispatch takes.
struct Part {
    start: u32,
    end: u32,
    length: u32,  // of the whole bag
}

fn part_of(bag: u32) -> Part {
    let start = bags[bag];
    let length = bags[bag + 1u] - start;
    return Part(start + min(params.first, length), start + min(params.last, length), length);
}

struct Values {
    values: vec4<f32>,
    has: vec4<bool>,  // which of the dims the row has
    ours: bool,       // whether this dispatch takes the id: one of its page, or one past the table, which the first page takes
}

// The values of a row: 0 where it is shorter, or is none. Without a branch around it, so that two rows can be on their
// way.
fn values_of(id: u32, dims: vec4<u32>) -> Values {
    let here = is_here(id);
    var row = row_at(select(0u, id - params.first_row, here));
    row.size = select(0u, row.size, here);
    let past = params.first_row == 0u && id >= params.table_rows;
    return Values(four_values(row, dims), dims < vec4<u32>(row.size), here || past);
}

fn weight_of(i: u32) -> f32 {
    if params.weighted == 1u {
        return weights[i];
    }
    return 1.0;
}

fn add(sum: vec4<f32>, i: u32, row: Values) -> vec4<f32> {
    if row.ours {
        return sum + weight_of(i) * row.values;
    }
    return sum;
}

// The sums of a bag's dims, from what the dispatches before have.
fn sum_of(part: Part, dims: vec4<u32>, before: vec4<f32>) -> vec4<f32> {
    var sum = before;
    var i = part.start;
    for (; i + 1u < part.end; i += 2u) {
        let row = values_of(ids[i], dims);
        let next = values_of(ids[i + 1u], dims);
        sum = add(sum, i, row);
        sum = add(sum, i + 1u, next);
    }
    if i < part.end {
        sum = add(sum, i, values_of(ids[i], dims));
    }
    // The division belongs to the dispatch that reaches the bag's end (an empty bag has none to do).
    if params.mean == 1u && params.ends == 1u && part.length > 0u && params.last >= part.length {
        sum /= f32(part.length);
    }
    return sum;
}

// Between dispatches: the largest value so far, and of the first id that has it twice its position, and 1 more where
// the row has no
// such dim; `NOBODY` before there is one.
struct Best {
    value: vec4<f32>,
    winner: vec4<u32>,
}

const NOBODY = 0xffffffffu;

fn nobody() -> Best {
    return Best(vec4<f32>(0.0), vec4<u32>(NOBODY));
}

fn best_of(part: Part, dims: vec4<u32>, before: Best) -> Best {
    var best = before;
    for (var i = part.start; i < part.end; i++) {
        let row = values_of(ids[i], dims);
        let winner = vec4<u32>(2u * i) + select(vec4<u32>(1u), vec4<u32>(0u), row.has);
        let first = (best.winner == vec4<u32>(NOBODY)) | ((row.values == best.value) & (winner < best.winner));
        let wins = ((row.values > best.value) | first) & vec4<bool>(row.ours);
        best.value = select(best.value, row.values, wins);
        best.winner = select(best.winner, winner, wins);
    }
    return best;
}

// What comes out of the last dispatch: the position of the winner, if it has the dim; an empty bag is 0.
fn last_best(best: Best) -> Best {
    let none = best.winner == vec4<u32>(NOBODY);
    let lacks = (best.winner & vec4<u32>(1u)) == vec4<u32>(1u);
    return Best(
        select(best.value, vec4<f32>(0.0), none),
        select(best.winner >> vec4<u32>(1u), vec4<u32>(NOBODY), lacks),
    );
}

// Where a bag's dims lie in an output; those past its width have the place of the first.
fn places(bag: u32, dims: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(bag * params.dims) + select(vec4<u32>(dims.x), dims, dims < vec4<u32>(params.dims));
}

fn outputs(at: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(output[at.x], output[at.y], output[at.z], output[at.w]);
}

@compute @workgroup_size(256)
fn pooled(invocation: Invocation) {
    let bag = unit_of(invocation, lanes);
    if bag >= in_use() {
        return;
    }
    let part = part_of(bag);
    for (var j = invocation.thread % lanes; j < params.dims; j += 4u * lanes) {
        let dims = four_dims(j, lanes);
        let at = places(bag, dims);
        var before = vec4<f32>(0.0);
        if params.begins == 0u {
            before = bitcast<vec4<f32>>(outputs(at));
        }
        put_output_four(at, dims < vec4<u32>(params.dims), bitcast<vec4<u32>>(sum_of(part, dims, before)));
    }
}

@compute @workgroup_size(256)
fn pooled_f16(invocation: Invocation) {
    let bag = unit_of(invocation, lanes);
    if bag >= in_use() {
        return;
    }
    let part = part_of(bag);
    for (var j = invocation.thread % lanes; j < params.dims / 2u; j += 2u * lanes) {
        put_pairs(bag, j, sum_of(part, two_pairs(j, lanes), vec4<f32>(0.0)));
    }
}

fn put_pairs(bag: u32, j: u32, values: vec4<f32>) {
    let pairs = params.dims / 2u;
    output_pairs[bag * pairs + j] = as_pair(values.xy);
    if j + lanes < pairs {
        output_pairs[bag * pairs + j + lanes] = as_pair(values.zw);
    }
}

@compute @workgroup_size(256)
fn largest(invocation: Invocation) {
    let bag = unit_of(invocation, lanes);
    if bag >= in_use() {
        return;
    }
    let part = part_of(bag);
    for (var j = invocation.thread % lanes; j < params.dims; j += 4u * lanes) {
        let dims = four_dims(j, lanes);
        let at = places(bag, dims);
        var before = nobody();
        if params.begins == 0u {
            let words = outputs(at);
            let none = words == vec4<u32>(NOBODY);
            before.value = select(bitcast<vec4<f32>>(words), vec4<f32>(0.0), none);
            before.winner = select(vec4<u32>(0u), vec4<u32>(NOBODY), none);
        }
        let best = best_of(part, dims, before);
        var words = bitcast<vec4<u32>>(last_best(best).value);
        if params.ends == 0u {
            words = select(bitcast<vec4<u32>>(best.value), vec4<u32>(NOBODY), best.winner == vec4<u32>(NOBODY));
        }
        put_output_four(at, dims < vec4<u32>(params.dims), words);
    }
}

@compute @workgroup_size(256)
fn largest_f16(invocation: Invocation) {
    let bag = unit_of(invocation, lanes);
    if bag >= in_use() {
        return;
    }
    let part = part_of(bag);
    for (var j = invocation.thread % lanes; j < params.dims / 2u; j += 2u * lanes) {
        put_pairs(bag, j, last_best(best_of(part, two_pairs(j, lanes), nobody())).value);
    }
}

// To f16 at the end, where an output takes several dispatches.
@compute @workgroup_size(256)
fn rounded(invocation: Invocation) {
    let at = unit_of(invocation, 1u);
    if at < in_use() * (params.dims / 2u) {
        output_pairs[at] = as_pair(vec2<f32>(bitcast<f32>(output[2u * at]), bitcast<f32>(output[2u * at + 1u])));
    }
}

// With the positions of the ids that won, for the way back.
@compute @workgroup_size(256)
fn largest_and_winners(invocation: Invocation) {
    let bag = unit_of(invocation, lanes);
    if bag >= in_use() {
        return;
    }
    let part = part_of(bag);
    for (var j = invocation.thread % lanes; j < params.dims; j += 4u * lanes) {
        let dims = four_dims(j, lanes);
        let at = places(bag, dims);
        var best = nobody();
        if params.begins == 0u {
            best.value = bitcast<vec4<f32>>(outputs(at));
            best.winner = vec4<u32>(winners[at.x], winners[at.y], winners[at.z], winners[at.w]);
        }
        best = best_of(part, dims, best);
        if params.ends == 1u {
            best = last_best(best);
        }
        let inside = dims < vec4<u32>(params.dims);
        put_output_four(at, inside, bitcast<vec4<u32>>(best.value));
        put_winners_four(at, inside, best.winner);
    }
}
