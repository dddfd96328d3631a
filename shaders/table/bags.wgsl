// Bags of ragged rows, pooled by sum, mean or maximum to a dense output.
//import common/grid.wgsl
//import common/rows.wgsl

struct Params {
    first_row: u32,   // of this page
    rows: u32,        // of this page
    blocks: u32,
    shift: u32,
    alignment: u32,
    table_rows: u32,  // of all pages
    count: u32,       // bags
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

struct Value {
    value: f32,
    has: bool,   // whether the row has the dim
    ours: bool,  // whether this dispatch takes the id: one of its page, or one past the table, which the first page takes
}

// The value of a row in a dim: 0 where the row is shorter, or is none.
fn value_of(id: u32, j: u32) -> Value {
    if !is_here(id) {
        return Value(0.0, false, params.first_row == 0u && id >= params.table_rows);
    }
    let row = row_at(id - params.first_row);
    if j >= row.size {
        return Value(0.0, false, true);
    }
    let at = row.start + j;
    return Value(widened(arena[word_of(at)], at), true, true);
}

// The sum of a bag's dim, from what the dispatches before have.
fn sum_of(part: Part, j: u32, before: f32) -> f32 {
    var sum = before;
    for (var i = part.start; i < part.end; i++) {
        let value = value_of(ids[i], j);
        if value.ours {
            var weight = 1.0;
            if params.weighted == 1u {
                weight = weights[i];
            }
            sum += weight * value.value;
        }
    }
    // The division belongs to the dispatch that reaches the bag's end (an empty bag has none to do).
    if params.mean == 1u && params.ends == 1u && part.length > 0u && params.last >= part.length {
        sum /= f32(part.length);
    }
    return sum;
}

// Between dispatches: the largest value so far, and of the first id that has it twice its position, and 1 more where the row has no
// such dim; `NOBODY` before there is one.
struct Best {
    value: f32,
    winner: u32,
}

const NOBODY = 0xffffffffu;

fn best_of(part: Part, j: u32, before: Best) -> Best {
    var best = before;
    for (var i = part.start; i < part.end; i++) {
        let value = value_of(ids[i], j);
        let winner = 2u * i + select(1u, 0u, value.has);
        let first = best.winner == NOBODY || (value.value == best.value && winner < best.winner);
        if value.ours && (value.value > best.value || first) {
            best = Best(value.value, winner);
        }
    }
    return best;
}

// What comes out of the last dispatch: the position of the winner, if it has the dim; an empty bag is 0.
fn last_best(best: Best) -> Best {
    if best.winner == NOBODY {
        return Best(0.0, NOBODY);
    }
    return Best(best.value, select(best.winner >> 1u, NOBODY, (best.winner & 1u) == 1u));
}

@compute @workgroup_size(256)
fn pooled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let bag = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if bag >= params.count {
        return;
    }
    let part = part_of(bag);
    for (var j = thread % lanes; j < params.dims; j += lanes) {
        let at = bag * params.dims + j;
        var before = 0.0;
        if params.begins == 0u {
            before = bitcast<f32>(output[at]);
        }
        output[at] = bitcast<u32>(sum_of(part, j, before));
    }
}

@compute @workgroup_size(256)
fn pooled_f16(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let bag = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if bag >= params.count {
        return;
    }
    let part = part_of(bag);
    let pairs = params.dims / 2u;
    for (var j = thread % lanes; j < pairs; j += lanes) {
        let pair = vec2<f32>(sum_of(part, 2u * j, 0.0), sum_of(part, 2u * j + 1u, 0.0));
        // What f16 cannot hold would be left to the device.
        output_pairs[bag * pairs + j] = pack2x16float(clamp(pair, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
    }
}

@compute @workgroup_size(256)
fn largest(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let bag = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if bag >= params.count {
        return;
    }
    let part = part_of(bag);
    for (var j = thread % lanes; j < params.dims; j += lanes) {
        let at = bag * params.dims + j;
        var before = Best(0.0, NOBODY);
        if params.begins == 0u && output[at] != NOBODY {
            before = Best(bitcast<f32>(output[at]), 0u);
        }
        let best = best_of(part, j, before);
        if params.ends == 1u {
            output[at] = bitcast<u32>(last_best(best).value);
        } else {
            output[at] = select(bitcast<u32>(best.value), NOBODY, best.winner == NOBODY);
        }
    }
}

@compute @workgroup_size(256)
fn largest_f16(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let bag = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if bag >= params.count {
        return;
    }
    let part = part_of(bag);
    let none = Best(0.0, NOBODY);
    let pairs = params.dims / 2u;
    for (var j = thread % lanes; j < pairs; j += lanes) {
        let pair = vec2<f32>(last_best(best_of(part, 2u * j, none)).value, last_best(best_of(part, 2u * j + 1u, none)).value);
        output_pairs[bag * pairs + j] = pack2x16float(clamp(pair, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
    }
}

// To f16 at the end, where an output takes several dispatches.
@compute @workgroup_size(256)
fn rounded(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let at = workgroup_index(group, groups) * 256u + thread;
    if at < params.count * (params.dims / 2u) {
        let pair = vec2<f32>(bitcast<f32>(output[2u * at]), bitcast<f32>(output[2u * at + 1u]));
        output_pairs[at] = pack2x16float(clamp(pair, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
    }
}

// With the positions of the ids that won, for the way back.
@compute @workgroup_size(256)
fn largest_and_winners(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let bag = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if bag >= params.count {
        return;
    }
    let part = part_of(bag);
    for (var j = thread % lanes; j < params.dims; j += lanes) {
        let at = bag * params.dims + j;
        var best = Best(0.0, NOBODY);
        if params.begins == 0u {
            best = Best(bitcast<f32>(output[at]), winners[at]);
        }
        best = best_of(part, j, best);
        if params.ends == 1u {
            best = last_best(best);
        }
        output[at] = bitcast<u32>(best.value);
        winners[at] = best.winner;
    }
}
