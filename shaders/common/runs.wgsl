// Runs of equal keys in a list of occurrences that is sorted by key, and the sums of their gradients in the order of
// the list. A run of at most `chunk` occurrences is short, and summed by those who step its row. A longer one is cut
// into chunks from where it begins, so that its sum depends on its own occurrences alone and on nothing that is sorted
// with them. The chunks are summed side by side, and these partial sums then one after the other.
//
// The including file imports common/grid.wgsl and rows/row.wgsl, binds `workspace` as words, has `lanes`, and `count`,
// `keys` and `partials` in Params. It says which key stands at a position (`key`), which keys are those of rows to step
// (`is_stepped`), where the row of such a key lies (`row_of`), where the gradient of an occurrence is (`source_at`,
// `four_gradients`), and how wide a partial sum is (`partial_width`).
//import common/get_four.wgsl as workspace of u32
//import common/put_four.wgsl as workspace of u32

override chunk: u32 = 32u;  // occurrences summed at once

// Where the gradient of an occurrence is, and what it is multiplied by.
struct Source {
    occurrence: u32,
    place: u32,
    factor: f32,
}

// The occurrences of a row, and where its dims with a gradient lie: none, where this is no run to step.
struct Run {
    key: u32,
    start: u32,
    end: u32,
    row: Row,
}

fn no_run() -> Run {
    return Run(0u, 0u, 0u, Row(0u, 0u));
}

// First of the positions from `begin` to `end` whose key is at least this one.
fn lower_bound(least: u32, begin: u32, end: u32) -> u32 {
    var low = begin;
    var high = end;
    while low < high {
        let middle = (low + high) >> 1u;
        if key(middle) < least {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

// Where the run begins that holds a position: looked for in steps that double, since most runs are short.
fn start_of(own: u32, position: u32) -> u32 {
    var high = position;
    var stride = 1u;
    while high > 0u {
        let low = high - min(high, stride);
        if key(low) != own {
            return lower_bound(own, low + 1u, high);
        }
        high = low;
        stride *= 2u;
    }
    return 0u;
}

// Whether the run that begins at a position is longer than a chunk.
fn is_long(own: u32, start: u32) -> bool {
    let beyond = start + chunk;
    return beyond < params.count && key(beyond) == own;
}

// Sorted positions whose short runs a workgroup steps: few, so that it does not wait long for the longest of them.
const TILE = 64u;

var<workgroup> begins: array<atomic<u32>, 2>;  // a bit for each position of the tile: 1 where a run begins
var<workgroup> starts: array<u32, TILE>;       // of the runs
var<workgroup> short: array<Run, TILE>;
var<workgroup> run_count: u32;
var<workgroup> beyond_tile: atomic<u32>;       // how far the last of them reaches past the tile: a chunk at most
// The tile's keys, and the sources of its positions: found by all threads at once, not one after the other.
var<workgroup> key_at: array<u32, TILE>;
var<workgroup> occurrence_at: array<u32, TILE>;
var<workgroup> place_at: array<u32, TILE>;
var<workgroup> factor_at: array<f32, TILE>;

fn tiles() -> u32 {
    return (params.count + TILE - 1u) / TILE;
}

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
            atomicAdd(&beyond_tile, met);
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

// A run of the tile, if it is not longer than `chunk` (as only the last can be) and its row is one to step.
fn short_run(first: u32, number: u32, runs: u32) -> Run {
    let start = starts[number];
    let own = key_at[start - first];
    var end = min(first + TILE, params.count) + atomicLoad(&beyond_tile);
    if number + 1u < runs {
        end = starts[number + 1u];
    }
    if !is_stepped(own) || end - start > chunk {
        return no_run();
    }
    return Run(own, start, end, row_of(own));
}

// The source of a position: that of a tile's is at hand.
fn source_in(tile: u32, is_tile: bool, position: u32) -> Source {
    let i = position - tile;
    if is_tile && i < TILE {
        return Source(occurrence_at[i], place_at[i], factor_at[i]);
    }
    return source_at(position);
}

// The gradients at a position of a run, 0 past its end.
fn next_gradients(run: Run, tile: u32, is_tile: bool, position: u32, dims: vec4<u32>) -> vec4<f32> {
    let origin = source_in(tile, is_tile, min(position, run.end - 1u));
    return four_gradients(origin, dims, select(0u, run.row.size, position < run.end));
}

// The sums over a run that begins in a tile, or over a part of any. The loads of four occurrences are under way
// together; they are added one after the other.
fn run_sums(run: Run, tile: u32, is_tile: bool, dims: vec4<u32>) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var position = run.start; position < run.end; position += 4u) {
        let a = next_gradients(run, tile, is_tile, position, dims);
        let b = next_gradients(run, tile, is_tile, position + 1u, dims);
        let c = next_gradients(run, tile, is_tile, position + 2u, dims);
        let d = next_gradients(run, tile, is_tile, position + 3u, dims);
        // What is not there is added as 0, which changes no sum: it began at +0, and so is never -0.
        sum = (((sum + a) + b) + c) + d;
    }
    return sum;
}

fn short_sums(run: Run, tile: u32, dims: vec4<u32>) -> vec4<f32> {
    return run_sums(run, tile, true, dims);
}

// Where the partial sums of a chunk lie.
fn partials_of(window: u32, slot: u32) -> u32 {
    return params.partials + (window * 2u + slot) * partial_width();
}

fn four_sums(base: u32, dims: vec4<u32>, width: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(workspace_four(vec4<u32>(base) + dims, dims < vec4<u32>(width)));
}

fn put_sums(base: u32, dims: vec4<u32>, width: u32, sums: vec4<f32>) {
    put_workspace_four(vec4<u32>(base) + dims, dims < vec4<u32>(width), bitcast<vec4<u32>>(sums));
}

// The chunk of the long run that holds a window's first or its last position, where one begins within the window.
fn chunk_of(begin: u32, end: u32, of_last: bool) -> Run {
    let own = key(select(begin, end - 1u, of_last));
    if !is_stepped(own) {
        return no_run();
    }
    var start = begin;
    if of_last {
        start = lower_bound(own, begin, end);
    } else {
        start = start_of(own, begin);
    }
    if !is_long(own, start) {
        return no_run();
    }
    let from_start = (max(begin, start) - start + chunk - 1u) / chunk * chunk;
    let first = start + from_start;
    if first >= params.count || key(first) != own {
        return no_run();
    }
    return Run(own, first, lower_bound(own + 1u, first, min(first + chunk, params.count)), row_of(own));
}

// A window is as long as a chunk. Of any long run at most one chunk begins there, and of two at most: of the run that
// holds its first position (slot 0), and of the one that begins after it and holds its last (slot 1).
fn put_partial_sums(window: u32, lane: u32) {
    let begin = window * chunk;
    if begin >= params.count {
        return;
    }
    let end = min(begin + chunk, params.count);
    let slots = select(2u, 1u, key(begin) == key(end - 1u));
    for (var slot = 0u; slot < slots; slot++) {
        let run = chunk_of(begin, end, slot == 1u);
        let width = run.row.size;
        for (var j = lane; j < width; j += 4u * lanes) {
            let dims = four_dims(j, lanes);
            put_sums(partials_of(window, slot), dims, width, run_sums(run, 0u, false, dims));
        }
    }
}

// The long run that begins in this window, if there is one to step, holds its last position.
fn long_run(window: u32) -> Run {
    let begin = window * chunk;
    if begin >= params.count {
        return no_run();
    }
    let end = min(begin + chunk, params.count);
    let own = key(end - 1u);
    if !is_stepped(own) {
        return no_run();
    }
    let start = lower_bound(own, begin, end);
    let begins_before = start == begin && begin > 0u && key(begin - 1u) == own;
    if begins_before || !is_long(own, start) {
        return no_run();
    }
    return Run(own, start, lower_bound(own + 1u, start + chunk, params.count), row_of(own));
}

// Where the sums of the run's first chunk lie. `long_runs_by_row` puts the whole sums there: nobody else reads those.
fn first_partials(run: Run, window: u32) -> u32 {
    return partials_of(window, select(0u, 1u, run.start > window * chunk));
}

// The sums of a chunk after the run's first, by its number; 0 past the run's end.
fn next_sums(run: Run, window: u32, number: u32, dims: vec4<u32>) -> vec4<f32> {
    let width = select(0u, run.row.size, run.start + number * chunk < run.end);
    return four_sums(partials_of(window + number, 0u), dims, width);
}

// The sums of the whole run. The loads of sixteen chunks are under way together; they are added one after the other.
fn long_sums(run: Run, window: u32, dims: vec4<u32>) -> vec4<f32> {
    var sum = four_sums(first_partials(run, window), dims, run.row.size);
    for (var next = 1u; run.start + next * chunk < run.end; next += 16u) {
        let a = next_sums(run, window, next, dims);
        let b = next_sums(run, window, next + 1u, dims);
        let c = next_sums(run, window, next + 2u, dims);
        let d = next_sums(run, window, next + 3u, dims);
        let e = next_sums(run, window, next + 4u, dims);
        let f = next_sums(run, window, next + 5u, dims);
        let g = next_sums(run, window, next + 6u, dims);
        let h = next_sums(run, window, next + 7u, dims);
        let i = next_sums(run, window, next + 8u, dims);
        let j = next_sums(run, window, next + 9u, dims);
        let k = next_sums(run, window, next + 10u, dims);
        let l = next_sums(run, window, next + 11u, dims);
        let m = next_sums(run, window, next + 12u, dims);
        let n = next_sums(run, window, next + 13u, dims);
        let o = next_sums(run, window, next + 14u, dims);
        let p = next_sums(run, window, next + 15u, dims);
        sum = (((((((sum + a) + b) + c) + d) + e) + f) + g) + h;
        sum = (((((((sum + i) + j) + k) + l) + m) + n) + o) + p;
    }
    return sum;
}
