// The k best candidates of each query by inner product: a workgroup a query, 256 candidates a round.
//import common/grid.wgsl

struct Params {
    queries: u32,
    dims: u32,    // values of a query
    stride: u32,  // values of a candidate: dims, and one more for the bias
    k: u32,       // at most 100
    base: u32,    // position of candidate 0 in the whole list
    first: u32,   // this dispatch scores the candidates first..last
    last: u32,
    fresh: u32,   // 1: the lists begin empty
}

// Scores are compared as integers that rise with them, so that no compiler can assume NaN away: it is 0, below all.
const MISSING_KEY: u32 = 0x007fffffu;  // of -infinity
const MISSING_POSITION: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read> candidates: array<f32>;
@group(0) @binding(3) var<storage, read> excluded_offsets: array<u32>;
@group(0) @binding(4) var<storage, read> excluded: array<u32>;
@group(0) @binding(5) var<storage, read_write> best_scores: array<f32>;
@group(0) @binding(6) var<storage, read_write> best_positions: array<u32>;

// The list in order, then what came since. More than 256 are sorted and cut, so a round of 256 always fits.
var<workgroup> keys: array<u32, 512>;
var<workgroup> positions: array<u32, 512>;
var<workgroup> used: atomic<u32>;
var<workgroup> used_by_all: u32;

fn key_of(score: f32) -> u32 {
    let bits = bitcast<u32>(score);
    let size = bits & 0x7fffffffu;
    if size > 0x7f800000u {
        return 0u;
    }
    if size == 0u {
        return 0x80000000u;
    }
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn score_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

fn better(key: u32, position: u32, than_key: u32, than_position: u32) -> bool {
    return key > than_key || (key == than_key && position < than_position);
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

fn score(query: u32, candidate: u32) -> f32 {
    let a = query * params.dims;
    var sum = 0.0;
    var b = candidate * params.stride;
    if params.stride > params.dims {
        sum = candidates[b];
        b += 1u;
    }
    // Four products a trip keep four loads under way.
    let whole = params.dims & ~3u;
    for (var j = 0u; j < whole; j += 4u) {
        sum += queries[a + j] * candidates[b + j];
        sum += queries[a + j + 1u] * candidates[b + j + 1u];
        sum += queries[a + j + 2u] * candidates[b + j + 2u];
        sum += queries[a + j + 3u] * candidates[b + j + 3u];
    }
    for (var j = whole; j < params.dims; j++) {
        sum += queries[a + j] * candidates[b + j];
    }
    return sum;
}

// Bitonic sort of the first `count` (at most 512), best first; the list is what remains.
fn sort_and_cut(thread: u32, count: u32) {
    var size = 1u;
    while size < count {
        size *= 2u;
    }
    for (var i = count + thread; i < size; i += 256u) {
        keys[i] = MISSING_KEY;
        positions[i] = MISSING_POSITION;
    }
    workgroupBarrier();
    for (var width = 2u; width <= size; width *= 2u) {
        for (var step = width / 2u; step > 0u; step /= 2u) {
            if thread < size / 2u {
                let i = thread / step * 2u * step + thread % step;
                let j = i + step;
                let later_better = better(keys[j], positions[j], keys[i], positions[i]);
                let earlier_better = better(keys[i], positions[i], keys[j], positions[j]);
                if select(earlier_better, later_better, (i & width) == 0u) {
                    let key = keys[i];
                    let position = positions[i];
                    keys[i] = keys[j];
                    positions[i] = positions[j];
                    keys[j] = key;
                    positions[j] = position;
                }
            }
            workgroupBarrier();
        }
    }
    if thread == 0u {
        atomicStore(&used, params.k);
    }
    workgroupBarrier();
}

@compute @workgroup_size(256)
fn merge(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let query = workgroup_index(group, groups);
    if query >= params.queries {
        return;
    }
    if thread < params.k {
        keys[thread] = MISSING_KEY;
        positions[thread] = MISSING_POSITION;
        if params.fresh == 0u {
            keys[thread] = key_of(best_scores[query * params.k + thread]);
            positions[thread] = best_positions[query * params.k + thread];
        }
    }
    if thread == 0u {
        atomicStore(&used, params.k);
    }
    workgroupBarrier();

    var count = params.k;
    for (var round = params.first; round < params.last; round += 256u) {
        let candidate = round + thread;
        if candidate < params.last {
            let key = key_of(score(query, candidate));
            let position = params.base + candidate;
            if better(key, position, keys[params.k - 1u], positions[params.k - 1u]) && !is_excluded(query, position) {
                // Slots come in any order; the sort's order is total.
                let slot = atomicAdd(&used, 1u);
                keys[slot] = key;
                positions[slot] = position;
            }
        }
        workgroupBarrier();
        if thread == 0u {
            used_by_all = atomicLoad(&used);
        }
        count = workgroupUniformLoad(&used_by_all);
        if count > 256u {
            sort_and_cut(thread, count);
            count = params.k;
        }
    }
    // A list that nothing entered sorts to itself.
    sort_and_cut(thread, count);
    if thread < params.k {
        best_scores[query * params.k + thread] = score_of(keys[thread]);
        best_positions[query * params.k + thread] = positions[thread];
    }
}
