// Bags of ragged rows, pooled by sum, mean or maximum to a dense output.
//import common/grid.wgsl

struct Params {
    rows: u32,      // rows in the table
    count: u32,     // bags
    dims: u32,      // width of an output row
    weighted: u32,  // 1 when `weights` holds a factor for each id
    mean: u32,      // 1 to divide by the number of ids
    first: u32,     // this dispatch takes the ids first..last of each bag
    last: u32,
}

override lanes: u32 = 8u;  // threads that share a bag

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> arena: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<storage, read> bags: array<u32>;
@group(0) @binding(6) var<storage, read> weights: array<f32>;
// Pairs of f16, the lower half first.
@group(0) @binding(7) var<storage, read_write> output_pairs: array<u32>;
@group(0) @binding(8) var<storage, read_write> winners: array<u32>;

// The ids of a bag that this dispatch takes, and whether there are some before and behind them.
struct Part {
    start: u32,
    end: u32,
    begun: bool,
    ends: bool,
    length: u32,
}

fn part_of(bag: u32) -> Part {
    let start = bags[bag];
    let length = bags[bag + 1u] - start;
    let first = min(params.first, length);
    let last = min(params.last, length);
    return Part(start + first, start + last, params.first > 0u, params.first < length && params.last >= length, length);
}

// The value of a row in a dim: 0 where the row is shorter, or is none.
fn value_at(id: u32, j: u32) -> f32 {
    if id >= params.rows {
        return 0.0;
    }
    let start = offsets[id];
    if j >= offsets[id + 1u] - start {
        return 0.0;
    }
    return arena[start + j];
}

fn has(id: u32, j: u32) -> bool {
    if id >= params.rows {
        return false;
    }
    return j < offsets[id + 1u] - offsets[id];
}

// The sum of a bag's dim, from what the dispatches before have.
fn sum_of(part: Part, j: u32, before: f32) -> f32 {
    var sum = before;
    for (var i = part.start; i < part.end; i++) {
        var weight = 1.0;
        if params.weighted == 1u {
            weight = weights[i];
        }
        sum += weight * value_at(ids[i], j);
    }
    // The division belongs to the dispatch that reaches the bag's end (an empty bag has none to do).
    if params.mean == 1u && part.ends {
        sum /= f32(part.length);
    }
    return sum;
}

struct Best {
    value: f32,
    winner: u32,
}

// The largest value of a bag's dim and the position of the first id that has it.
fn best_of(part: Part, j: u32, before: Best) -> Best {
    var best = before;
    for (var i = part.start; i < part.end; i++) {
        let value = value_at(ids[i], j);
        if value > best.value || (i == part.start && !part.begun) {
            best = Best(value, select(0xffffffffu, i, has(ids[i], j)));
        }
    }
    return best;
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
        var before = 0.0;
        if part.begun {
            before = output[bag * params.dims + j];
        }
        output[bag * params.dims + j] = sum_of(part, j, before);
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
        var before = Best(0.0, 0xffffffffu);
        if part.begun {
            before.value = output[at];
        }
        output[at] = best_of(part, j, before).value;
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
    let none = Best(0.0, 0xffffffffu);
    let pairs = params.dims / 2u;
    for (var j = thread % lanes; j < pairs; j += lanes) {
        let pair = vec2<f32>(best_of(part, 2u * j, none).value, best_of(part, 2u * j + 1u, none).value);
        output_pairs[bag * pairs + j] = pack2x16float(clamp(pair, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
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
        var before = Best(0.0, 0xffffffffu);
        if part.begun {
            before = Best(output[at], winners[at]);
        }
        let best = best_of(part, j, before);
        output[at] = best.value;
        winners[at] = best.winner;
    }
}
