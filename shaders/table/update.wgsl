// Sparse update of ragged rows: the gradients of a row's occurrences are summed in the order of the batch and the
// optimizer steps once. Rows are found as runs of equal keys in the sorted ids; a run longer than `chunk` is summed
// chunk by chunk first.
//import common/grid.wgsl

struct Params {
    rows: u32,        // rows in the table
    count: u32,       // occurrences
    dims: u32,        // width of a gradient
    first: u32,       // where this batch begins in `ids`
    keys: u32,        // where the sorted rows,
    occurrences: u32, // their occurrences
    partials: u32,    // and the partial sums begin in the workspace
    learning_rate: f32,
    epsilon: f32,
}

override lanes: u32 = 8u;       // threads that share a row
override chunk: u32 = 64u;      // occurrences summed at once
override optimizer: u32 = 0u;   // 0 SGD, 1 Adagrad

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> arena: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> accumulators: array<f32>;
@group(0) @binding(4) var<storage, read> ids: array<u32>;
@group(0) @binding(5) var<storage, read> gradients: array<f32>;
@group(0) @binding(6) var<storage, read_write> workspace: array<u32>;

fn key(position: u32) -> u32 {
    return workspace[params.keys + position];
}

fn gradient(position: u32, j: u32) -> f32 {
    return gradients[workspace[params.occurrences + position] * params.dims + j];
}

fn step(at: u32, g: f32) {
    if optimizer == 0u {
        arena[at] -= params.learning_rate * g;
    } else {
        let sum = accumulators[at] + g * g;
        accumulators[at] = sum;
        arena[at] -= params.learning_rate * g / (sqrt(sum) + params.epsilon);
    }
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

@compute @workgroup_size(256)
fn short_runs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let start = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if start >= params.count {
        return;
    }
    let row = key(start);
    if row >= params.rows {
        return;
    }
    if start > 0u {
        if key(start - 1u) == row {
            return;
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
        return;
    }
    let width = width_of(row);
    for (var j = thread % lanes; j < width; j += lanes) {
        var sum = 0.0;
        for (var position = start; position < end; position++) {
            sum += gradient(position, j);
        }
        step(offsets[row] + j, sum);
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
@compute @workgroup_size(256)
fn long_runs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = workgroup_index(group, groups);
    let begin = index * chunk;
    if begin >= params.count {
        return;
    }
    let row = key(min(begin + chunk, params.count) - 1u);
    if row >= params.rows {
        return;
    }
    let low = lower_bound(row);
    let high = lower_bound(row + 1u);
    if low < begin || high - low <= chunk {
        return;
    }
    let width = width_of(row);
    for (var j = thread; j < width; j += 256u) {
        let slot = select(0u, 1u, low > begin);
        var sum = bitcast<f32>(workspace[params.partials + (index * 2u + slot) * params.dims + j]);
        for (var next = index + 1u; next * chunk < high; next++) {
            sum += bitcast<f32>(workspace[params.partials + next * 2u * params.dims + j]);
        }
        step(offsets[row] + j, sum);
    }
}
