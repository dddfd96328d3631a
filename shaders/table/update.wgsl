// Sparse update of ragged rows: the gradients of a row's occurrences are summed in the order of the batch and the
// optimizer steps once. Rows are found as runs of equal keys in the sorted ids; a run longer than `chunk` is summed
// chunk by chunk first. An occurrence has a gradient of its own, or that of the bag that it stands in.
//import common/grid.wgsl
//import common/rows.wgsl
//import common/optimizer.wgsl

struct Params {
    first_row: u32,   // of this page
    rows: u32,        // of this page
    blocks: u32,
    shift: u32,
    alignment: u32,
    table_rows: u32,  // of all pages
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
    step: u32,
    purpose: u32,
    key_low: u32,     // seed of the noise that rounds
    key_high: u32,
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
@group(0) @binding(1) var<storage, read_write> arena: array<u32>;
@group(0) @binding(2) var<storage, read> directory: array<u32>;
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

// The dims of a row of this page that have a gradient.
fn row_of(id: u32) -> Row {
    let row = row_at(id - params.first_row);
    return Row(row.start, min(row.size, params.dims));
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
        workspace[params.keys + i] = min(ids[params.first + i], params.table_rows);
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
    var row = params.table_rows;
    if params.bags > 0u {
        let bag = bag_of(i);
        let start = bags[bag];
        let end = bags[bag + 1u];
        if i >= start && i < end {
            row = min(ids[i], params.table_rows);
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

// The occurrences of a row, and where its dims with a gradient lie: none, where this is no run to step.
struct Run {
    id: u32,
    start: u32,
    end: u32,
    row: Row,
}

fn no_run() -> Run {
    return Run(0u, 0u, 0u, Row(0u, 0u));
}

// The run that begins at this position, if it is not longer than `chunk` and its row lies in this page.
fn short_run(start: u32) -> Run {
    if start >= params.count {
        return no_run();
    }
    let id = key(start);
    if !is_here(id) {
        return no_run();
    }
    if start > 0u {
        if key(start - 1u) == id {
            return no_run();
        }
    }
    var end = start + 1u;
    while end < params.count && end - start <= chunk {
        if key(end) != id {
            break;
        }
        end++;
    }
    if end - start > chunk {
        return no_run();
    }
    return Run(id, start, end, row_of(id));
}

fn has_two(j: u32, width: u32) -> bool {
    return half == 1u && j + 1u < width;
}

// The sums of a word's dims.
fn short_sum(run: Run, j: u32, two: bool) -> vec2<f32> {
    var sum = vec2<f32>(0.0);
    for (var position = run.start; position < run.end; position++) {
        sum.x += gradient(position, j);
        if two {
            sum.y += gradient(position, j + 1u);
        }
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
    for (var j = per_word() * (thread % lanes); j < run.row.size; j += per_word() * lanes) {
        let two = has_two(j, run.row.size);
        step(run.id, j, run.row.start + j, two, short_sum(run, j, two), 0.0);
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
    let row = run.row;
    let first = per_word() * (thread % lanes);
    let stride = per_word() * lanes;
    // A lane with one word sums it once and keeps it; there is no room to keep more.
    let keeps = row.size <= stride;
    var g = vec2<f32>(0.0);
    var factor = 1.0;
    if clip == 1u {
        var squares = 0.0;
        for (var j = first; j < row.size; j += stride) {
            let two = has_two(j, row.size);
            g = short_sum(run, j, two);
            squares += squares_of(row.start + j, two, g, false);
        }
        factor = clip_factor(thread, squares);
    }
    var row_state = 0.0;
    if is_row_wise() {
        var squares = 0.0;
        for (var j = first; j < row.size; j += stride) {
            let two = has_two(j, row.size);
            if clip == 0u || !keeps {
                g = short_sum(run, j, two);
            }
            squares += squares_of(row.start + j, two, factor * g, true);
        }
        row_state = accumulate(thread, run.id - params.first_row, row.size, squares);
    }
    for (var j = first; j < row.size; j += stride) {
        let two = has_two(j, row.size);
        if !keeps {
            g = short_sum(run, j, two);
        }
        step(run.id, j, row.start + j, two, factor * g, row_state);
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
        let id = key(select(begin, end - 1u, slot == 1u));
        if !is_here(id) || (slot == 1u && id == key(begin)) {
            continue;
        }
        let low = lower_bound(id);
        let high = lower_bound(id + 1u);
        if high - low <= chunk {
            continue;
        }
        let width = row_of(id).size;
        for (var j = thread; j < width; j += 256u) {
            var sum = 0.0;
            for (var position = max(low, begin); position < min(high, end); position++) {
                sum += gradient(position, j);
            }
            workspace[params.partials + (index * 2u + slot) * params.dims + j] = bitcast<u32>(sum);
        }
    }
}

// The long run that begins in this chunk, if there is one of this page's, holds its last position.
fn long_run(index: u32) -> Run {
    let begin = index * chunk;
    if begin >= params.count {
        return no_run();
    }
    let id = key(min(begin + chunk, params.count) - 1u);
    if !is_here(id) {
        return no_run();
    }
    let low = lower_bound(id);
    let high = lower_bound(id + 1u);
    if low < begin || high - low <= chunk {
        return no_run();
    }
    return Run(id, low, high, row_of(id));
}

// Where the partial sum of the run's first chunk lies.
fn first_partial(run: Run, index: u32, j: u32) -> u32 {
    let slot = select(0u, 1u, run.start > index * chunk);
    return params.partials + (index * 2u + slot) * params.dims + j;
}

// The partial sums of the run's first chunk. `long_runs_by_row` puts the whole sums there: nobody else reads those.
fn kept_sums(run: Run, index: u32, j: u32, two: bool) -> vec2<f32> {
    var sum = vec2<f32>(bitcast<f32>(workspace[first_partial(run, index, j)]), 0.0);
    if two {
        sum.y = bitcast<f32>(workspace[first_partial(run, index, j + 1u)]);
    }
    return sum;
}

// The sums of a word's dims, in one loop, since a lane has only so many trips.
fn long_sums(run: Run, index: u32, j: u32, two: bool) -> vec2<f32> {
    var sum = kept_sums(run, index, j, two);
    for (var next = index + 1u; next * chunk < run.end; next++) {
        let at = params.partials + next * 2u * params.dims + j;
        sum.x += bitcast<f32>(workspace[at]);
        if two {
            sum.y += bitcast<f32>(workspace[at + 1u]);
        }
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
    for (var j = per_word() * thread; j < run.row.size; j += per_word() * lanes) {
        let two = has_two(j, run.row.size);
        step(run.id, j, run.row.start + j, two, long_sums(run, index, j, two), 0.0);
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
    let row = run.row;
    let first = per_word() * thread;
    let stride = per_word() * lanes;
    var squares = 0.0;
    for (var j = first; j < row.size; j += stride) {
        let two = has_two(j, row.size);
        let g = long_sums(run, index, j, two);
        workspace[first_partial(run, index, j)] = bitcast<u32>(g.x);
        if two {
            workspace[first_partial(run, index, j + 1u)] = bitcast<u32>(g.y);
        }
        squares += squares_of(row.start + j, two, g, clip == 0u);
    }
    var factor = 1.0;
    if clip == 1u {
        factor = clip_factor(thread, squares);
        if is_row_wise() {
            squares = 0.0;
            for (var j = first; j < row.size; j += stride) {
                let two = has_two(j, row.size);
                squares += squares_of(row.start + j, two, factor * kept_sums(run, index, j, two), true);
            }
        }
    }
    var row_state = 0.0;
    if is_row_wise() {
        row_state = accumulate(thread, run.id - params.first_row, row.size, squares);
    }
    for (var j = first; j < row.size; j += stride) {
        let two = has_two(j, row.size);
        step(run.id, j, row.start + j, two, factor * kept_sums(run, index, j, two), row_state);
    }
}
