// The k best candidates of each query by inner product. A workgroup takes a block of queries and a segment of the
// candidates, tile by tile. A thread has the scores of four queries with four candidates.
//import common/grid.wgsl

struct Params {
    queries: u32,
    dims: u32,      // values of a query
    stride: u32,    // values of a candidate: dims, and one more for the bias
    k: u32,         // at most 100
    base: u32,      // position of candidate 0 in the whole list
    first: u32,     // this dispatch scores the candidates first..last
    last: u32,
    span: u32,      // candidates of a segment
    segments: u32,  // lists of a query, one a segment
    fresh: u32,     // 1: the lists begin empty
}

override ragged: u32 = 0u;             // 1: rows have widths, and candidates positions, of their own
override fours: u32 = 4u;              // queries of a block, in fours: 4, or 2 where lists are long
override columns: u32 = 256u / fours;  // candidates of a tile, in fours
override depth: u32 = 2u * fours;      // dims of a slice
override team: u32 = 64u / fours;      // threads that merge a query's list
override places: u32 = 224u / fours;   // of a query: its list in order, then what came since

// Scores are compared as integers that rise with them, because compilers may assume that there is no NaN. NaN is 0,
// below all others.
const MISSING_KEY: u32 = 0x007fffffu;  // of -infinity
const MISSING_POSITION: u32 = 0xffffffffu;
const NEXT = vec4<u32>(0u, 1u, 2u, 3u);

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read> candidates: array<f32>;
@group(0) @binding(3) var<storage, read> excluded_offsets: array<u32>;
@group(0) @binding(4) var<storage, read> excluded: array<u32>;
@group(0) @binding(5) var<storage, read_write> best_scores: array<f32>;
@group(0) @binding(6) var<storage, read_write> best_positions: array<u32>;
@group(0) @binding(7) var<storage, read> segment_scores: array<f32>;
@group(0) @binding(8) var<storage, read> segment_positions: array<u32>;
@group(0) @binding(9) var<storage, read> ragged_candidates: array<u32>;  // of each candidate its position and its width
@group(0) @binding(10) var<storage, read> query_widths: array<u32>;

// By dim, then in fours. A row of candidates has one element more, so that neighbouring dims lie in different banks.
var<workgroup> candidate_slice: array<vec4<f32>, 520>;
var<workgroup> query_slice: array<vec4<f32>, 32>;
var<workgroup> keys: array<u32, 896>;
var<workgroup> positions: array<u32, 896>;
var<workgroup> used: array<atomic<u32>, 16>;
var<workgroup> crowded: atomic<u32>;
var<workgroup> widest: atomic<u32>;

fn key_of(score: vec4<f32>) -> vec4<u32> {
    let bits = bitcast<vec4<u32>>(score);
    let size = bits & vec4<u32>(0x7fffffffu);
    let key = select(bits | vec4<u32>(0x80000000u), ~bits, bits >= vec4<u32>(0x80000000u));
    let one_zero = select(key, vec4<u32>(0x80000000u), size == vec4<u32>(0u));
    return select(one_zero, vec4<u32>(0u), size > vec4<u32>(0x7f800000u));
}

fn score_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

fn better(key: vec4<u32>, position: vec4<u32>, than_key: vec4<u32>, than_position: vec4<u32>) -> vec4<bool> {
    return (key > than_key) | ((key == than_key) & (position < than_position));
}

fn keys_at(i: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(keys[i.x], keys[i.y], keys[i.z], keys[i.w]);
}

fn positions_at(i: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(positions[i.x], positions[i.y], positions[i.z], positions[i.w]);
}

// In the whole list. Past the end it is any.
fn position_of(candidate: u32) -> u32 {
    if ragged == 1u {
        return params.base + ragged_candidates[2u * min(candidate, params.last - 1u)];
    }
    return params.base + candidate;
}

fn is_excluded(query: u32, position: u32) -> bool {
    var low = excluded_offsets[query];
    var high = excluded_offsets[query + 1u];
    let end = high;
    while low < high {
        let middle = low + (high - low) / 2u;
        if excluded[middle] < position {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low < end && excluded[low] == position;
}

// Lists of the block's queries, which begin with number `first` of all lists. Nothing enters the list of a query past
// the last.
fn begin(block: u32, first: u32, thread: u32) {
    let query = thread / team;
    for (var i = thread % team; i < params.k; i += team) {
        var key = MISSING_KEY;
        var position = MISSING_POSITION;
        if block * 4u * fours + query >= params.queries {
            key = 0xffffffffu;
        } else if params.fresh == 0u {
            let source = (first + query) * params.k + i;
            key = key_of(vec4<f32>(best_scores[source])).x;
            position = best_positions[source];
        }
        keys[query * places + i] = key;
        positions[query * places + i] = position;
    }
    if thread % team == 0u {
        atomicStore(&used[query], params.k);
    }
    if thread == 0u {
        atomicStore(&crowded, 0u);
    }
    workgroupBarrier();
}

// False where there is no room until the next merge. Places are taken in any order. The order of a merge is total, so
// the result does not depend on it.
fn enter(query: u32, key: u32, position: u32) -> bool {
    let place = atomicAdd(&used[query], 1u);
    if place >= places {
        atomicStore(&crowded, 1u);
        return false;
    }
    keys[query * places + place] = key;
    positions[query * places + place] = position;
    return true;
}

fn put(i: u32, end: u32, key: u32, position: u32) {
    // Missing entries are the last of their list, and stay where they are.
    if i < end && position != MISSING_POSITION {
        keys[i] = key;
        positions[i] = position;
    }
}

// Moves each entry to its rank, by a search in the list and a count among the entries that came since.
fn merge(thread: u32) {
    let list = thread / team * places;
    let count = min(atomicLoad(&used[thread / team]), places);
    let own = 4u * (thread % team) + NEXT;
    let at = list + min(own, vec4<u32>(places - 1u));
    let key = keys_at(at);
    let position = positions_at(at);
    var rank = vec4<u32>(0u);
    for (var step = 64u; step > 0u; step /= 2u) {
        let next = rank + step;
        let i = list + min(next, vec4<u32>(params.k)) - 1u;
        let before = better(keys_at(i), positions_at(i), key, position) & (next <= vec4<u32>(params.k));
        rank = select(rank, next, before);
    }
    for (var i = list + params.k; i < list + count; i++) {
        rank += select(vec4<u32>(0u), vec4<u32>(1u), better(vec4<u32>(keys[i]), vec4<u32>(positions[i]), key, position));
    }
    workgroupBarrier();
    let to = list + select(vec4<u32>(params.k), rank, own < vec4<u32>(count));
    put(to.x, list + params.k, key.x, position.x);
    put(to.y, list + params.k, key.y, position.y);
    put(to.z, list + params.k, key.z, position.z);
    put(to.w, list + params.k, key.w, position.w);
    if thread % team == 0u {
        atomicStore(&used[thread / team], params.k);
    }
    if thread == 0u {
        atomicStore(&crowded, 0u);
    }
    workgroupBarrier();
}

// True where a thread waited, and has to try again.
fn make_room(thread: u32) -> bool {
    let waits = workgroupUniformLoad(&crowded) == 1u;
    if waits {
        merge(thread);
    }
    return waits;
}

fn end(block: u32, first: u32, thread: u32) {
    merge(thread);
    let query = thread / team;
    if block * 4u * fours + query < params.queries {
        for (var i = thread % team; i < params.k; i += team) {
            let to = (first + query) * params.k + i;
            best_scores[to] = score_of(keys[query * places + i]);
            best_positions[to] = positions[query * places + i];
        }
    }
}

// A value of each of four queries or candidates. Past the end the last one is repeated.
fn of_queries(first: u32, j: u32) -> vec4<f32> {
    let at = min(first + NEXT, vec4<u32>(params.queries - 1u)) * params.dims + j;
    return vec4<f32>(queries[at.x], queries[at.y], queries[at.z], queries[at.w]);
}

fn of_candidates(first: u32, j: u32) -> vec4<f32> {
    let at = min(first + NEXT, vec4<u32>(params.last - 1u)) * params.stride + j;
    return vec4<f32>(candidates[at.x], candidates[at.y], candidates[at.z], candidates[at.w]);
}

struct Slice {
    left: vec4<f32>,
    right: vec4<f32>,
    queries: vec4<f32>,
}

// The largest of all threads' widths.
fn widest_of_all(width: u32, thread: u32) -> u32 {
    if thread == 0u {
        atomicStore(&widest, 0u);
    }
    workgroupBarrier();
    if width > atomicLoad(&widest) {
        atomicMax(&widest, width);
    }
    return workgroupUniformLoad(&widest);
}

// How many dims the widest query of the block has.
fn block_dims(block: u32, thread: u32) -> u32 {
    if ragged == 0u {
        return params.dims;
    }
    let query = min(block * 4u * fours + thread % (4u * fours), params.queries - 1u);
    return min(widest_of_all(query_widths[query], thread), params.dims);
}

// How many dims the widest candidate of the tile has.
fn tile_dims(tile: u32, thread: u32) -> u32 {
    if ragged == 0u {
        return params.dims;
    }
    let first = ragged_candidates[2u * min(tile + thread, params.last - 1u) + 1u];
    let second = ragged_candidates[2u * min(tile + 4u * columns - 1u - thread, params.last - 1u) + 1u];
    return widest_of_all(max(first, second), thread);
}

// A thread's share of the dims from `start` on; zero past the last.
fn slice(block: u32, tile: u32, start: u32, dims: u32, thread: u32) -> Slice {
    let j = start + thread % depth;
    let four = thread / depth;
    var share = Slice();
    if j < dims {
        let bias = params.stride - params.dims;
        share.left = of_candidates(tile + 4u * four, bias + j);
        share.right = of_candidates(tile + 4u * four + 2u * columns, bias + j);
        if four < fours {
            share.queries = of_queries(4u * (block * fours + four), j);
        }
    }
    return share;
}

// A candidate a column.
fn products(j: u32, thread: u32) -> mat4x4<f32> {
    let q = query_slice[j * fours + thread / columns];
    let c = candidate_slice[j * (columns + 1u) + thread % columns];
    return mat4x4<f32>(c.x * q, c.y * q, c.z * q, c.w * q);
}

// Of the first `dims`.
fn scores(block: u32, tile: u32, dims: u32, thread: u32) -> mat4x4<f32> {
    var share = slice(block, tile, 0u, dims, thread);
    var sums = mat4x4<f32>();
    if params.stride > params.dims {
        let bias = of_candidates(tile + 4u * (thread % columns), 0u);
        sums = mat4x4<f32>(vec4<f32>(bias.x), vec4<f32>(bias.y), vec4<f32>(bias.z), vec4<f32>(bias.w));
    }
    let j = thread % depth;
    let four = thread / depth;
    for (var start = 0u; start < dims; start += depth) {
        candidate_slice[j * (columns + 1u) + four] = share.left;
        candidate_slice[j * (columns + 1u) + four + columns / 2u] = share.right;
        if four < fours {
            query_slice[j * fours + four] = share.queries;
        }
        workgroupBarrier();
        // The next slice is loaded while this one is multiplied.
        share = slice(block, tile, start + depth, dims, thread);
        sums += products(0u, thread);
        sums += products(1u, thread);
        sums += products(2u, thread);
        sums += products(3u, thread);
        if depth > 4u {
            sums += products(4u, thread);
            sums += products(5u, thread);
            sums += products(6u, thread);
            sums += products(7u, thread);
        }
        workgroupBarrier();
    }
    return sums;
}

// One bit for each query whose list the candidate would enter.
fn passing_one(score: vec4<f32>, candidate: u32, bar: vec4<u32>, bar_position: vec4<u32>) -> u32 {
    let passes = better(key_of(score), vec4<u32>(position_of(candidate)), bar, bar_position);
    let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), passes);
    return select(0u, bits.x | bits.y | bits.z | bits.w, candidate < params.last);
}

fn passing(sums: mat4x4<f32>, query: u32, candidate: u32) -> u32 {
    let last = (query + NEXT) * places + params.k - 1u;
    let bar = keys_at(last);
    let bar_position = positions_at(last);
    return passing_one(sums[0], candidate, bar, bar_position)
        | (passing_one(sums[1], candidate + 1u, bar, bar_position) << 4u)
        | (passing_one(sums[2], candidate + 2u, bar, bar_position) << 8u)
        | (passing_one(sums[3], candidate + 3u, bar, bar_position) << 12u);
}

fn key_at(sums: mat4x4<f32>, bit: u32) -> u32 {
    let column = select(select(sums[0], sums[1], bit >= 4u), select(sums[2], sums[3], bit >= 12u), bit >= 8u);
    return key_of(column)[bit % 4u];
}

@compute @workgroup_size(256)
fn score(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let blocks = (params.queries + 4u * fours - 1u) / (4u * fours);
    let block = workgroup_index(group, groups) % blocks;
    let segment = workgroup_index(group, groups) / blocks;
    if segment >= params.segments {
        return;
    }
    let first_query = block * 4u * fours;
    let first_list = segment * params.queries + first_query;
    begin(block, first_list, thread);
    let wide = block_dims(block, thread);

    let query = 4u * (thread / columns);
    let first = params.first + segment * params.span;
    for (var tile = first; tile < min(first + params.span, params.last); tile += 4u * columns) {
        let sums = scores(block, tile, min(wide, tile_dims(tile, thread)), thread);
        let candidate = tile + 4u * (thread % columns);
        var waiting = passing(sums, query, candidate);
        for (var left = waiting; left != 0u; left &= left - 1u) {
            let bit = firstTrailingBit(left);
            if is_excluded(first_query + query + bit % 4u, position_of(candidate + bit / 4u)) {
                waiting ^= 1u << bit;
            }
        }
        loop {
            for (var left = waiting; left != 0u; left &= left - 1u) {
                let bit = firstTrailingBit(left);
                if enter(query + bit % 4u, key_at(sums, bit), position_of(candidate + bit / 4u)) {
                    waiting ^= 1u << bit;
                }
            }
            if !make_room(thread) {
                break;
            }
            waiting &= passing(sums, query, candidate);
        }
    }
    end(block, first_list, thread);
}

// The lists of all segments into one.
@compute @workgroup_size(256)
fn join(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = workgroup_index(group, groups);
    let first_query = block * 4u * fours;
    if first_query >= params.queries {
        return;
    }
    begin(block, first_query, thread);

    let query = thread / team;
    for (var round = 0u; round < params.segments * params.k; round += team) {
        let i = round + thread % team;
        var key = 0u;
        var position = MISSING_POSITION;
        if i < params.segments * params.k && first_query + query < params.queries {
            let source = (i / params.k * params.queries + first_query + query) * params.k + i % params.k;
            key = key_of(vec4<f32>(segment_scores[source])).x;
            position = segment_positions[source];
        }
        var waiting = true;
        loop {
            let last = vec4<u32>(query * places + params.k - 1u);
            waiting &= better(vec4<u32>(key), vec4<u32>(position), keys_at(last), positions_at(last)).x;
            if waiting {
                waiting = !enter(query, key, position);
            }
            if !make_room(thread) {
                break;
            }
        }
    }
    end(block, first_query, thread);
}
