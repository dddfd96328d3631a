// Sparse update of ragged rows: the gradients of a row's occurrences are summed in the order of the batch and the
// optimizer steps once. Rows are found as runs of equal keys in the sorted ids; a run longer than `chunk` is summed
// chunk by chunk first. An occurrence has a gradient of its own, or that of the bag that it stands in.
// One long file, since all entry points read sources, keys and runs by the same functions.
//import common/grid.wgsl
//import rows/page.wgsl
//import common/optimizer.wgsl
//import common/four.wgsl
//import common/count.wgsl
//import common/get_four.wgsl as workspace of u32
//import common/put_four.wgsl as workspace of u32
//import common/last_begin.wgsl as bags of u32

struct Params {
    //import rows/page_params.wgsl
    table_rows: u32,  // of all pages
    count: u32,       // occurrences that there is room for
    used: u32,        // and those that are used, or the bags, as far as the host knows
    dims: u32,        // width of a gradient
    first: u32,       // where this batch begins in `ids`
    keys: u32,        // where the sorted rows,
    occurrences: u32, // their occurrences
    partials: u32,    // and the partial sums begin in the workspace
    sources: u32,     // there, where occurrences have both: the bag of each, and behind them their factors
    weighted: u32,    // 1 when `weights` holds a factor for each occurrence
    mean: u32,        // 1 to divide by the number of ids of a bag
    //import common/step_params.wgsl
}

override chunk: u32 = 64u;  // occurrences summed at once
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
@group(0) @binding(11) var<storage, read_write> counter: atomic<u32>;
@group(0) @binding(12) var<storage, read> used_on_device: array<u32>;

fn key(position: u32) -> u32 {
    return workspace[params.keys + position];
}

// Where the gradient of an occurrence is, and what it is multiplied by.
struct Source {
    occurrence: u32,
    place: u32,
    factor: f32,
}

fn source_at(position: u32) -> Source {
    let occurrence = workspace[params.occurrences + position];
    if source == 0u {
        return Source(occurrence, occurrence, 1.0);
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

// The dims of a row of this page that have a gradient.
fn row_of(id: u32) -> Row {
    let row = row_at(id - params.first_row);
    return Row(row.start, min(row.size, params.dims));
}

// First of the positions from `begin` to `end` whose key is at least `row`.
fn lower_bound(row: u32, begin: u32, end: u32) -> u32 {
    var low = begin;
    var high = end;
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

// Whether the run that begins at a position is longer than a chunk.
fn is_long(id: u32, start: u32) -> bool {
    let beyond = start + chunk;
    return beyond < params.count && key(beyond) == id;
}

// Ids past the table sort behind every row and are left out.
@compute @workgroup_size(256)
fn prepare(invocation: Invocation) {
    let i = unit_of(invocation, 1u);
    if i < params.count {
        let row = min(ids[params.first + i], params.table_rows);
        workspace[params.keys + i] = select(params.table_rows, row, i < in_use());
        workspace[params.occurrences + i] = i;
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

// Sorted positions whose short runs a workgroup steps: few, so that it does not wait long for the longest of them.
const TILE = 64u;

var<workgroup> begins: array<atomic<u32>, 2>;  // a bit for each position of the tile: 1 where a run begins
var<workgroup> starts: array<u32, TILE>;       // of the runs
var<workgroup> short: array<Run, TILE>;
var<workgroup> run_count: u32;
var<workgroup> beyond: atomic<u32>;            // how far the last of them reaches past the tile: a chunk at most
// The tile's keys, and the sources of its positions: found by all threads at once, not one after the other.
var<workgroup> key_at: array<u32, TILE>;
var<workgroup> occurrence_at: array<u32, TILE>;
var<workgroup> place_at: array<u32, TILE>;
var<workgroup> factor_at: array<f32, TILE>;

// Finds the runs that begin in a tile, each by a thread of its own; all get their number. All threads of the workgroup
// come here, once.
fn find_runs(first: u32, thread: u32) -> u32 {
    let position = first + thread;
    let bit = 1u << (thread & 31u);
    var is_start = false;
    let end = min(first + TILE, params.count);
    if end == first + TILE {
        let last = key(end - 1u);
        var met = 0u;
        for (var i = end + thread; i < min(end + chunk, params.count); i += 256u) {
            met += select(0u, 1u, key(i) == last);
        }
        if met > 0u {
            atomicAdd(&beyond, met);
        }
    }
    if thread < TILE && position < params.count {
        let own = key(position);
        key_at[thread] = own;
        is_start = position == 0u || key(position - 1u) != own;
        if is_start {
            atomicOr(&begins[thread >> 5u], bit);
        }
        let origin = source_at(position);
        occurrence_at[thread] = origin.occurrence;
        place_at[thread] = origin.place;
        factor_at[thread] = origin.factor;
    }
    workgroupBarrier();
    let lower = countOneBits(atomicLoad(&begins[0]));
    if is_start {
        let before = countOneBits(atomicLoad(&begins[thread >> 5u]) & (bit - 1u));
        starts[before + select(0u, lower, thread >= 32u)] = position;
    }
    if thread == 0u {
        run_count = lower + countOneBits(atomicLoad(&begins[1]));
    }
    let runs = workgroupUniformLoad(&run_count);
    if thread < runs {
        short[thread] = short_run(first, thread, runs);
    }
    workgroupBarrier();
    return runs;
}

fn tile_source(first: u32, position: u32) -> Source {
    let i = position - first;
    if i < TILE {
        return Source(occurrence_at[i], place_at[i], factor_at[i]);
    }
    return source_at(position);
}

// A run of the tile, if it is not longer than `chunk` (as only the last can be) and its row lies in this page.
fn short_run(first: u32, number: u32, runs: u32) -> Run {
    let start = starts[number];
    let id = key_at[start - first];
    var end = min(first + TILE, params.count) + atomicLoad(&beyond);
    if number + 1u < runs {
        end = starts[number + 1u];
    }
    if !is_here(id) || end - start > chunk {
        return no_run();
    }
    return Run(id, start, end, row_of(id));
}

// The sums over a run. The loads of four occurrences are under way together; they are added one after the other.
fn short_sums(run: Run, first: u32, dims: vec4<u32>) -> vec4<f32> {
    let width = run.row.size;
    var sum = vec4<f32>(0.0);
    for (var position = run.start; position < run.end; position += 4u) {
        let has_b = position + 1u < run.end;
        let has_c = position + 2u < run.end;
        let has_d = position + 3u < run.end;
        let a = four_gradients(tile_source(first, position), dims, width);
        var b = vec4<f32>(0.0);
        var c = b;
        var d = b;
        if has_b {
            b = four_gradients(tile_source(first, position + 1u), dims, width);
        }
        if has_c {
            c = four_gradients(tile_source(first, position + 2u), dims, width);
        }
        if has_d {
            d = four_gradients(tile_source(first, position + 3u), dims, width);
        }
        // What is not there is not added as 0 either, which would make -0 of a sum to 0.
        sum += a;
        sum = select(sum, sum + b, has_b);
        sum = select(sum, sum + c, has_c);
        sum = select(sum, sum + d, has_d);
    }
    return sum;
}

@compute @workgroup_size(256)
fn short_runs(invocation: Invocation) {
    let thread = invocation.thread;
    let first = group_of(invocation) * TILE;
    let runs = find_runs(first, thread);
    for (var number = thread / lanes; number < runs; number += 256u / lanes) {
        let run = short[number];
        for (var j = per_word() * (thread % lanes); j < run.row.size; j += 4u * lanes) {
            let dims = dims_of_words(j);
            step(run.id, run.row, dims, short_sums(run, first, dims));
        }
    }
}

// Where the whole row has a say in a value's step: it is clipped, or has state of its own.
@compute @workgroup_size(256)
fn short_runs_by_row(invocation: Invocation) {
    let thread = invocation.thread;
    let first = group_of(invocation) * TILE;
    let runs = find_runs(first, thread);
    // All threads go as many rounds, for the barriers' sake.
    for (var begin = 0u; begin < runs; begin += 256u / lanes) {
        var run = no_run();
        if begin + thread / lanes < runs {
            run = short[begin + thread / lanes];
        }
        let row = run.row;
        let lane = per_word() * (thread % lanes);
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
            row_state = accumulate(thread, run.id - params.first_row, select(0u, row.size, factor >= 0.0), squares);
        }
        let finite = factor >= 0.0 && is_finite(row_state);
        for (var j = lane; j < row.size; j += 4u * lanes) {
            let dims = dims_of_words(j);
            if !keeps {
                g = short_sums(run, first, dims);
                before = weights_of(row, dims);
            }
            put_step(run.id, row, dims, g, moved(before, factor * taken(g), row_state), finite);
        }
        // The row's state is read before the next round's sums.
        workgroupBarrier();
    }
}

// The sums over a stretch of positions. The loads of four are under way together; they are added one after the other.
fn stretch_sums(begin: u32, end: u32, dims: vec4<u32>, width: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    var position = begin;
    for (; position + 3u < end; position += 4u) {
        let a = four_gradients(source_at(position), dims, width);
        let b = four_gradients(source_at(position + 1u), dims, width);
        let c = four_gradients(source_at(position + 2u), dims, width);
        let d = four_gradients(source_at(position + 3u), dims, width);
        sum = (((sum + a) + b) + c) + d;
    }
    for (; position < end; position++) {
        sum += four_gradients(source_at(position), dims, width);
    }
    return sum;
}

// Of a chunk, what lies in the long run that has its first or its last position, if there is one of this page's.
fn stretch_of(begin: u32, end: u32, of_last: bool) -> Run {
    let id = key(select(begin, end - 1u, of_last));
    if !is_here(id) {
        return no_run();
    }
    // It is long if it reaches a chunk back, or far enough from where it begins.
    var start = lower_bound(id, begin, end);
    if !of_last {
        start = lower_bound(id, begin - min(begin, chunk), begin);
    }
    if !is_long(id, start) {
        return no_run();
    }
    return Run(id, max(start, begin), lower_bound(id + 1u, begin, end), row_of(id));
}

// A long run reaches past every chunk that it begins in, so a chunk meets at most two: the one that holds its first
// position (slot 0) and the one that holds its last (slot 1, when it is another).
@compute @workgroup_size(256)
fn partial_sums(invocation: Invocation) {
    let index = unit_of(invocation, lanes);
    let begin = index * chunk;
    if begin >= params.count {
        return;
    }
    let end = min(begin + chunk, params.count);
    let slots = select(2u, 1u, key(begin) == key(end - 1u));
    for (var slot = 0u; slot < slots; slot++) {
        let run = stretch_of(begin, end, slot == 1u);
        let width = run.row.size;
        for (var j = invocation.thread % lanes; j < width; j += 4u * lanes) {
            let dims = four_dims(j, lanes);
            let sums = stretch_sums(run.start, run.end, dims, width);
            put_sums(partials_of(index, slot), dims, width, sums);
        }
    }
}

// The long run that begins in this chunk, if there is one of this page's, holds its last position.
fn long_run(index: u32) -> Run {
    let begin = index * chunk;
    if begin >= params.count {
        return no_run();
    }
    let end = min(begin + chunk, params.count);
    let id = key(end - 1u);
    if !is_here(id) {
        return no_run();
    }
    let start = lower_bound(id, begin, end);
    let begins_before = start == begin && begin > 0u && key(begin - 1u) == id;
    if begins_before || !is_long(id, start) {
        return no_run();
    }
    return Run(id, start, lower_bound(id + 1u, start + chunk, params.count), row_of(id));
}

// Where the partial sums of a chunk lie.
fn partials_of(index: u32, slot: u32) -> u32 {
    return params.partials + (index * 2u + slot) * params.dims;
}

// Where those of the run's first chunk lie. `long_runs_by_row` puts the whole sums there: nobody else reads those.
fn first_partials(run: Run, index: u32) -> u32 {
    return partials_of(index, select(0u, 1u, run.start > index * chunk));
}

fn four_sums(base: u32, dims: vec4<u32>, width: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(workspace_four(vec4<u32>(base) + dims, dims < vec4<u32>(width)));
}

fn put_sums(base: u32, dims: vec4<u32>, width: u32, sums: vec4<f32>) {
    put_workspace_four(vec4<u32>(base) + dims, dims < vec4<u32>(width), bitcast<vec4<u32>>(sums));
}

// The sums of a chunk after the run's first; 0 past its end.
fn next_sums(run: Run, index: u32, dims: vec4<u32>) -> vec4<f32> {
    return four_sums(partials_of(index, 0u), dims, select(0u, run.row.size, index * chunk < run.end));
}

// The sums of the whole run. The loads of sixteen chunks are under way together; they are added one after the other.
fn long_sums(run: Run, index: u32, dims: vec4<u32>) -> vec4<f32> {
    var sum = four_sums(first_partials(run, index), dims, run.row.size);
    for (var next = index + 1u; next * chunk < run.end; next += 16u) {
        let a = next_sums(run, next, dims);
        let b = next_sums(run, next + 1u, dims);
        let c = next_sums(run, next + 2u, dims);
        let d = next_sums(run, next + 3u, dims);
        let e = next_sums(run, next + 4u, dims);
        let f = next_sums(run, next + 5u, dims);
        let g = next_sums(run, next + 6u, dims);
        let h = next_sums(run, next + 7u, dims);
        let i = next_sums(run, next + 8u, dims);
        let j = next_sums(run, next + 9u, dims);
        let k = next_sums(run, next + 10u, dims);
        let l = next_sums(run, next + 11u, dims);
        let m = next_sums(run, next + 12u, dims);
        let n = next_sums(run, next + 13u, dims);
        let o = next_sums(run, next + 14u, dims);
        let p = next_sums(run, next + 15u, dims);
        sum = (((((((sum + a) + b) + c) + d) + e) + f) + g) + h;
        sum = (((((((sum + i) + j) + k) + l) + m) + n) + o) + p;
    }
    return sum;
}

@compute @workgroup_size(256)
fn long_runs(invocation: Invocation) {
    let index = unit_of(invocation, lanes);
    let run = long_run(index);
    for (var j = per_word() * (invocation.thread % lanes); j < run.row.size; j += 4u * lanes) {
        let dims = dims_of_words(j);
        step(run.id, run.row, dims, long_sums(run, index, dims));
    }
}

@compute @workgroup_size(256)
fn long_runs_by_row(invocation: Invocation) {
    let thread = invocation.thread;
    let index = unit_of(invocation, lanes);
    let run = long_run(index);
    let row = run.row;
    let kept = first_partials(run, index);
    let lane = per_word() * (thread % lanes);
    var squares = 0.0;
    for (var j = lane; j < row.size; j += 4u * lanes) {
        let dims = dims_of_words(j);
        let g = long_sums(run, index, dims);
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
        row_state = accumulate(thread, run.id - params.first_row, select(0u, row.size, factor >= 0.0), squares);
    }
    let finite = factor >= 0.0 && is_finite(row_state);
    for (var j = lane; j < row.size; j += 4u * lanes) {
        let dims = dims_of_words(j);
        let g = four_sums(kept, dims, row.size);
        put_step(run.id, row, dims, g, moved(weights_of(row, dims), factor * taken(g), row_state), finite);
    }
}
