// Sparse update of ragged rows: the gradients of a row's occurrences are summed in the order of the batch and the
// optimizer steps once. Rows are found as runs of equal keys in the sorted ids (common/runs.wgsl). An occurrence has a
// gradient of its own, or that of the bag that it stands in.
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/four.wgsl
//import common/optimizer.wgsl
//import common/four.wgsl
//import common/count.wgsl
//import common/runs.wgsl
//import common/last_begin.wgsl as bags of u32

struct Params {
    //import rows/page_params.wgsl
    table_rows: u32,  // of all pages
    count: u32,       // occurrences that there is room for
    used: u32,        // and those that are used, or the bags, as far as the host knows
    dims: u32,        // width of a gradient
    first: u32,       // the first of the ids that have gradients here; occurrences are their numbers
    first_key: u32,   // the key of the table's first row
    keys: u32,        // where the sorted rows,
    occurrences: u32, // their occurrences
    partials: u32,    // and the partial sums begin in the workspace
    sources: u32,     // there, where occurrences have both: the bag of each, and behind them their factors
    weighted: u32,    // 1 when `weights` holds a factor for each occurrence
    mean: u32,        // 1 to divide by the number of ids of a bag
    counter_at: u32,  // the word of the counter that counts
    //import common/step_params.wgsl
}

// 0 gradients of occurrences, or of bags, which then stand in the place of their occurrences; 1 of bags times a factor,
// 2 of bags where the occurrence won
override source: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read> gradients: array<f32>;
@group(0) @binding(7) var<storage, read_write> workspace: array<u32>;
@group(0) @binding(8) var<storage, read> bags: array<u32>;
@group(0) @binding(9) var<storage, read> weights: array<f32>;
@group(0) @binding(10) var<storage, read> winners: array<u32>;
@group(0) @binding(11) var<storage, read_write> counter: array<atomic<u32>>;
@group(0) @binding(12) var<storage, read> used_on_device: array<u32>;

fn count_faults(number: u32) {
    atomicAdd(&counter[params.counter_at], number);
}

fn key(position: u32) -> u32 {
    return workspace[params.keys + position];
}

fn source_at(position: u32) -> Source {
    let occurrence = workspace[params.occurrences + position];
    if source == 0u {
        return Source(occurrence, occurrence - params.first, 1.0);
    }
    let bag = workspace[params.sources + occurrence];
    if source == 1u {
        return Source(occurrence, bag, bitcast<f32>(workspace[params.sources + params.count + occurrence]));
    }
    return Source(occurrence, bag, 1.0);
}

fn gradient(origin: Source, j: u32) -> f32 {
    let at = origin.place * params.dims + j;
    if source == 0u {
        return gradients[at];
    }
    if source == 1u {
        return origin.factor * gradients[at];
    }
    return select(0.0, gradients[at], winners[at] == origin.occurrence);
}

// The gradients of four dims, 0 past the width.
fn four_gradients(origin: Source, dims: vec4<u32>, width: u32) -> vec4<f32> {
    var g = vec4<f32>(0.0);
    if dims.x < width {
        g.x = gradient(origin, dims.x);
    }
    if dims.y < width {
        g.y = gradient(origin, dims.y);
    }
    if dims.z < width {
        g.z = gradient(origin, dims.z);
    }
    if dims.w < width {
        g.w = gradient(origin, dims.w);
    }
    return g;
}

// The row of the table that has this key.
fn id_of(own: u32) -> u32 {
    return own - params.first_key;
}

// Whether it lies in this page.
fn is_stepped(own: u32) -> bool {
    return is_here(id_of(own));
}

// Its dims that have a gradient.
fn row_of(own: u32) -> Row {
    let row = row_at(id_of(own) - params.first_row);
    return Row(row.start, min(row.size, params.dims));
}

fn partial_width() -> u32 {
    return params.dims;
}

// Ids past the table sort behind every row and are left out.
@compute @workgroup_size(256)
fn prepare(invocation: Invocation) {
    let i = unit_of(invocation, 1u);
    if i < params.count {
        let row = min(ids[params.first + i], params.table_rows);
        workspace[params.keys + i] = select(params.table_rows, row, i < in_use());
        workspace[params.occurrences + i] = params.first + i;
    }
}

// The same where gradients are those of bags. An id in no bag is left out like one past the table.
@compute @workgroup_size(256)
fn prepare_bags(invocation: Invocation) {
    let i = unit_of(invocation, 1u);
    if i >= params.count {
        return;
    }
    var row = params.table_rows;
    var occurrence = i;
    if in_use() > 0u {
        let bag = last_of_bags(i, in_use());
        let start = bags[bag];
        let end = bags[bag + 1u];
        if i >= start && i < end {
            row = min(ids[i], params.table_rows);
        }
        if source == 0u {
            occurrence = bag;
        } else {
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
    }
    workspace[params.keys + i] = row;
    workspace[params.occurrences + i] = occurrence;
}

// The short runs of a tile a workgroup; behind those of all tiles, the partial sums of long runs, a window a team.
@compute @workgroup_size(256)
fn short_runs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups);
    if number >= tiles() {
        put_partial_sums((number - tiles()) * (256u / lanes) + thread / lanes, thread % lanes);
        return;
    }
    let first = number * TILE;
    let runs = find_runs(first, thread);
    for (var own = thread / lanes; own < runs; own += 256u / lanes) {
        let run = short[own];
        for (var j = per_word * (thread % lanes); j < run.row.size; j += 4u * lanes) {
            let dims = dims_of_words(j);
            step(id_of(run.key), run.row, dims, short_sums(run, first, dims));
        }
    }
}

// Where the whole row has a say in a value's step: it is clipped, or has state of its own.
@compute @workgroup_size(256)
fn short_runs_by_row(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    if tile >= tiles() {
        put_partial_sums((tile - tiles()) * (256u / lanes) + thread / lanes, thread % lanes);
        return;
    }
    let first = tile * TILE;
    let runs = find_runs(first, thread);
    // All threads go as many rounds, for the barriers' sake.
    for (var begin = 0u; begin < runs; begin += 256u / lanes) {
        var run = no_run();
        if begin + thread / lanes < runs {
            run = short[begin + thread / lanes];
        }
        let row = run.row;
        let lane = per_word * (thread % lanes);
        // What a lane sums at once it sums once and keeps; there is no room to keep more.
        let keeps = row.size <= 4u * lanes;
        var g = vec4<f32>(0.0);
        var before = Weights(g, g, g);
        if keeps && lane < row.size {
            before = weights_of(row, dims_of_words(lane));
        }
        var factor = 1.0;
        if clip == 1u {
            var squares = 0.0;
            for (var j = lane; j < row.size; j += 4u * lanes) {
                let dims = dims_of_words(j);
                g = short_sums(run, first, dims);
                squares = add_squares(squares, row, dims, taken(g), false);
            }
            factor = clip_factor(thread, squares);
        }
        var row_state = 0.0;
        if is_row_wise() {
            var squares = 0.0;
            for (var j = lane; j < row.size; j += 4u * lanes) {
                let dims = dims_of_words(j);
                if clip == 0u || !keeps {
                    g = short_sums(run, first, dims);
                }
                squares = add_squares(squares, row, dims, factor * taken(g), true);
            }
            let width = select(0u, row.size, factor >= 0.0);
            row_state = accumulate(thread, id_of(run.key) - params.first_row, width, squares);
        }
        let finite = factor >= 0.0 && is_finite(row_state);
        for (var j = lane; j < row.size; j += 4u * lanes) {
            let dims = dims_of_words(j);
            if !keeps {
                g = short_sums(run, first, dims);
                before = weights_of(row, dims);
            }
            put_step(id_of(run.key), row, dims, g, moved(before, factor * taken(g), row_state), finite);
        }
        // The row's state is read before the next round's sums.
        workgroupBarrier();
    }
}

@compute @workgroup_size(256)
fn long_runs(invocation: Invocation) {
    let window = unit_of(invocation, lanes);
    let run = long_run(window);
    for (var j = per_word * (invocation.thread % lanes); j < run.row.size; j += 4u * lanes) {
        let dims = dims_of_words(j);
        step(id_of(run.key), run.row, dims, long_sums(run, window, dims));
    }
}

@compute @workgroup_size(256)
fn long_runs_by_row(invocation: Invocation) {
    let thread = invocation.thread;
    let window = unit_of(invocation, lanes);
    let run = long_run(window);
    let row = run.row;
    let kept = first_partials(run, window);
    let lane = per_word * (thread % lanes);
    var squares = 0.0;
    for (var j = lane; j < row.size; j += 4u * lanes) {
        let dims = dims_of_words(j);
        let g = long_sums(run, window, dims);
        put_sums(kept, dims, row.size, g);
        squares = add_squares(squares, row, dims, taken(g), clip == 0u);
    }
    var factor = 1.0;
    if clip == 1u {
        factor = clip_factor(thread, squares);
        if is_row_wise() {
            squares = 0.0;
            for (var j = lane; j < row.size; j += 4u * lanes) {
                let dims = dims_of_words(j);
                squares = add_squares(squares, row, dims, factor * taken(four_sums(kept, dims, row.size)), true);
            }
        }
    }
    var row_state = 0.0;
    if is_row_wise() {
        let width = select(0u, row.size, factor >= 0.0);
        row_state = accumulate(thread, id_of(run.key) - params.first_row, width, squares);
    }
    let finite = factor >= 0.0 && is_finite(row_state);
    for (var j = lane; j < row.size; j += 4u * lanes) {
        let dims = dims_of_words(j);
        let g = four_sums(kept, dims, row.size);
        put_step(id_of(run.key), row, dims, g, moved(weights_of(row, dims), factor * taken(g), row_state), finite);
    }
}
