// Sparse update of ragged rows: the gradients of a row's occurrences are summed in the order of the batch and the
// optimizer steps once. Rows are found as runs of equal keys in the sorted ids; a run longer than `chunk` is summed
// chunk by chunk first. An occurrence has a gradient of its own, or that of the bag that it stands in.
//import common/grid.wgsl
//import common/optimizer.wgsl

struct Params {
    rows: u32,        // rows in the table
    count: u32,       // occurrences
    dims: u32,        // width of a gradient
    first: u32,       // where this batch begins in `ids`
    keys: u32,        // where the sorted rows,
    occurrences: u32, // their occurrences
    partials: u32,    // and the partial sums begin in the workspace
    sources: u32,     // there, with bags: the bag of each occurrence, and behind them their factors
    bags: u32,        // bags
    weighted: u32,    // 1 when `weights` holds a factor for each occurrence
    mean: u32,        // 1 to divide by the number of ids of a bag
    learning_rate: f32,
    epsilon: f32,
    beta1: f32,
    beta2: f32,
    correction: f32,
    weight_decay: f32,
    max_norm: f32,
}

override lanes: u32 = 8u;   // threads that share a row; all 256 for a long run
override chunk: u32 = 64u;  // occurrences summed at once
override source: u32 = 0u;  // 0 gradients of occurrences, 1 of bags times a factor, 2 of bags where the occurrence won

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> arena: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> first_state: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_state: array<f32>;
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read> gradients: array<f32>;
@group(0) @binding(7) var<storage, read_write> workspace: array<u32>;
@group(0) @binding(8) var<storage, read> bags: array<u32>;
@group(0) @binding(9) var<storage, read> weights: array<f32>;
@group(0) @binding(10) var<storage, read> winners: array<u32>;

fn key(position: u32) -> u32 {
    return workspace[params.keys + position];
}

fn gradient(position: u32, j: u32) -> f32 {
    let occurrence = workspace[params.occurrences + position];
    if source == 0u {
        return gradients[occurrence * params.dims + j];
    }
    let at = workspace[params.sources + occurrence] * params.dims + j;
    if source == 1u {
        return bitcast<f32>(workspace[params.sources + params.count + occurrence]) * gradients[at];
    }
    return select(0.0, gradients[at], winners[at] == occurrence);
}

fn width_of(row: u32) -> u32 {
    return min(offsets[row + 1u] - offsets[row], params.dims);
}

// First position whose key is at least `row`.
fn lower_bound(row: u32) -> u32 {
    var low = 0u;
    var high = params.count;
    while low < high {
        let middle = (low + high) >> 1u;
        if key(middle) < row {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

// Ids past the table sort behind every row and are left out.
@compute @workgroup_size(256)
fn prepare(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * 256u + thread;
    if i < params.count {
        workspace[params.keys + i] = min(ids[params.first + i], params.rows);
        workspace[params.occurrences + i] = i;
    }
}

// The last bag that begins at or before an occurrence; those before of the same beginning are empty.
fn bag_of(occurrence: u32) -> u32 {
    var low = 0u;
    var high = params.bags;
    while high - low > 1u {
        let middle = (low + high) >> 1u;
        if bags[middle] <= occurrence {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

// The same where gradients are those of bags. An id in no bag is left out like one past the table.
@compute @workgroup_size(256)
fn prepare_bags(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * 256u + thread;
    if i >= params.count {
        return;
    }
    var row = params.rows;
    if params.bags > 0u {
        let bag = bag_of(i);
        let start = bags[bag];
        let end = bags[bag + 1u];
        if i >= start && i < end {
            row = min(ids[i], params.rows);
        }
        var factor = 1.0;
        if params.weighted == 1u {
            factor = weights[i];
        }
        if params.mean == 1u {
            factor /= f32(end - start);
        }
        workspace[params.sources + i] = bag;
        workspace[params.sources + params.count + i] = bitcast<u32>(factor);
    }
    workspace[params.keys + i] = row;
    workspace[params.occurrences + i] = i;
}

// The occurrences of a row, and the dims of it that have a gradient: none, where this is no run to step.
struct Run {
    row: u32,
    start: u32,
    end: u32,
    width: u32,
}

// The run that begins at this position, if it is not longer than `chunk`.
fn short_run(start: u32) -> Run {
    let none = Run(0u, 0u, 0u, 0u);
    if start >= params.count {
        return none;
    }
    let row = key(start);
    if row >= params.rows {
        return none;
    }
    if start > 0u {
        if key(start - 1u) == row {
            return none;
        }
    }
    var end = start + 1u;
    while end < params.count && end - start <= chunk {
        if key(end) != row {
            break;
        }
        end++;
    }
    if end - start > chunk {
        return none;
    }
    return Run(row, start, end, width_of(row));
}

fn short_sum(run: Run, j: u32) -> f32 {
    var sum = 0.0;
    for (var position = run.start; position < run.end; position++) {
        sum += gradient(position, j);
    }
    return sum;
}

@compute @workgroup_size(256)
fn short_runs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let run = short_run(workgroup_index(group, groups) * (256u / lanes) + thread / lanes);
    for (var j = thread % lanes; j < run.width; j += lanes) {
        step(offsets[run.row] + j, short_sum(run, j), 0.0);
    }
}

// Where the whole row has a say in a value's step: it is clipped, or has state of its own.
@compute @workgroup_size(256)
fn short_runs_by_row(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let run = short_run(workgroup_index(group, groups) * (256u / lanes) + thread / lanes);
    // A lane with one value sums it once and keeps it; there is no room to keep more.
    var g = 0.0;
    var factor = 1.0;
    if clip == 1u {
        var squares = 0.0;
        for (var j = thread % lanes; j < run.width; j += lanes) {
            g = short_sum(run, j);
            squares += g * g;
        }
        factor = clip_factor(thread, squares);
    }
    var row_state = 0.0;
    if is_row_wise() {
        var squares = 0.0;
        for (var j = thread % lanes; j < run.width; j += lanes) {
            if clip == 0u || run.width > lanes {
                g = short_sum(run, j);
            }
            let whole = decayed(offsets[run.row] + j, factor * g);
            squares += whole * whole;
        }
        row_state = accumulate(thread, run.row, run.width, squares);
    }
    for (var j = thread % lanes; j < run.width; j += lanes) {
        if run.width > lanes {
            g = short_sum(run, j);
        }
        step(offsets[run.row] + j, factor * g, row_state);
    }
}

// A long run reaches past every chunk that it begins in, so a chunk meets at most two: the one that holds its first
// position (slot 0) and the one that holds its last (slot 1, when it is another).
@compute @workgroup_size(256)
fn partial_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = workgroup_index(group, groups);
    let begin = index * chunk;
    if begin >= params.count {
        return;
    }
    let end = min(begin + chunk, params.count);
    for (var slot = 0u; slot < 2u; slot++) {
        let row = key(select(begin, end - 1u, slot == 1u));
        if row >= params.rows || (slot == 1u && row == key(begin)) {
            continue;
        }
        let low = lower_bound(row);
        let high = lower_bound(row + 1u);
        if high - low <= chunk {
            continue;
        }
        let width = width_of(row);
        for (var j = thread; j < width; j += 256u) {
            var sum = 0.0;
            for (var position = max(low, begin); position < min(high, end); position++) {
                sum += gradient(position, j);
            }
            workspace[params.partials + (index * 2u + slot) * params.dims + j] = bitcast<u32>(sum);
        }
    }
}

// The long run that begins in this chunk, if there is one, holds its last position.
fn long_run(index: u32) -> Run {
    let none = Run(0u, 0u, 0u, 0u);
    let begin = index * chunk;
    if begin >= params.count {
        return none;
    }
    let row = key(min(begin + chunk, params.count) - 1u);
    if row >= params.rows {
        return none;
    }
    let low = lower_bound(row);
    let high = lower_bound(row + 1u);
    if low < begin || high - low <= chunk {
        return none;
    }
    return Run(row, low, high, width_of(row));
}

// Where the partial sum of the run's first chunk lies.
fn first_partial(run: Run, index: u32, j: u32) -> u32 {
    let slot = select(0u, 1u, run.start > index * chunk);
    return params.partials + (index * 2u + slot) * params.dims + j;
}

fn long_sum(run: Run, index: u32, j: u32) -> f32 {
    var sum = bitcast<f32>(workspace[first_partial(run, index, j)]);
    for (var next = index + 1u; next * chunk < run.end; next++) {
        sum += bitcast<f32>(workspace[params.partials + next * 2u * params.dims + j]);
    }
    return sum;
}

@compute @workgroup_size(256)
fn long_runs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = workgroup_index(group, groups);
    let run = long_run(index);
    for (var j = thread; j < run.width; j += lanes) {
        step(offsets[run.row] + j, long_sum(run, index, j), 0.0);
    }
}

@compute @workgroup_size(256)
fn long_runs_by_row(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = workgroup_index(group, groups);
    let run = long_run(index);
    var squares = 0.0;
    for (var j = thread; j < run.width; j += lanes) {
        let g = long_sum(run, index, j);
        // Nobody else reads the run's first partial sum.
        workspace[first_partial(run, index, j)] = bitcast<u32>(g);
        if clip == 1u {
            squares += g * g;
        } else {
            let whole = decayed(offsets[run.row] + j, g);
            squares += whole * whole;
        }
    }
    var factor = 1.0;
    if clip == 1u {
        factor = clip_factor(thread, squares);
        if is_row_wise() {
            squares = 0.0;
            for (var j = thread; j < run.width; j += lanes) {
                let g = bitcast<f32>(workspace[first_partial(run, index, j)]);
                let whole = decayed(offsets[run.row] + j, factor * g);
                squares += whole * whole;
            }
        }
    }
    var row_state = 0.0;
    if is_row_wise() {
        row_state = accumulate(thread, run.row, run.width, squares);
    }
    for (var j = thread; j < run.width; j += lanes) {
        let g = bitcast<f32>(workspace[first_partial(run, index, j)]);
        step(offsets[run.row] + j, factor * g, row_state);
    }
}
