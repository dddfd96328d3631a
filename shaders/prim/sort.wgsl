// Stable radix sort of u32 keys with a u32 payload, least significant digit first, up to 4 bits a pass:
// count the digits of each tile, scan the counts (prim/scan), scatter each tile to its places. Of few tiles every one scans the counts
// for itself, and a tile that is alone knows them: dispatches that have next to nothing to do take as long as others.
//import common/grid.wgsl
//import common/scan.wgsl

struct Params {
    count: u32,         // elements
    tiles: u32,
    shift: u32,         // lowest bit of the digit
    mask: u32,          // digit mask after the shift
    keys_in: u32,       // where each array begins in its buffer
    payload_in: u32,
    keys_out: u32,
    payload_out: u32,
    counts: u32,
}

override items: u32 = 16u;  // elements a thread
override tiling: u32 = 0u;  // MANY, FEW or ALONE

const MANY = 0u;   // `counts` holds places
const FEW = 1u;    // the counts of at most 16 tiles
const ALONE = 2u;  // nothing

@group(0) @binding(0) var<uniform> params: Params;
// All writable: from one pass to the next the workspace changes sides.
@group(0) @binding(1) var<storage, read_write> keys_from: array<u32>;
@group(0) @binding(2) var<storage, read_write> payload_from: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys_to: array<u32>;
@group(0) @binding(4) var<storage, read_write> payload_to: array<u32>;
@group(0) @binding(5) var<storage, read_write> counts: array<u32>;

// Word d * 256 + t: how often thread t met digit d (low half) and digit d + 8 (high half).
// A tile holds at most 256 * 32 elements, so a half never overflows into the other.
var<workgroup> counters: array<u32, 2048>;
// Global place of a digit's first element in this tile, less its local prefix.
var<workgroup> places: array<u32, 16>;

fn half_of(word: u32, digit: u32) -> u32 {
    return (word >> ((digit >> 3u) * 16u)) & 0xffffu;
}

fn digit_of(key: u32) -> u32 {
    return (key >> params.shift) & params.mask;
}

// Four neighbours, whose loads are under way together; 0 past the end.
fn four_keys(i: u32, end: u32) -> vec4<u32> {
    var four = vec4<u32>(0u);
    if i < end {
        four.x = keys_from[params.keys_in + i];
    }
    if i + 1u < end {
        four.y = keys_from[params.keys_in + i + 1u];
    }
    if i + 2u < end {
        four.z = keys_from[params.keys_in + i + 2u];
    }
    if i + 3u < end {
        four.w = keys_from[params.keys_in + i + 3u];
    }
    return four;
}

fn count_one(key: u32, inside: bool, thread: u32) {
    if inside {
        let digit = digit_of(key);
        counters[(digit & 7u) * 256u + thread] += 1u << ((digit >> 3u) * 16u);
    }
}

// Counts the tile's digits a thread, then replaces the counts by their exclusive prefix in (digit, thread) order.
fn count_digits(thread: u32, first: u32, end: u32) -> u32 {
    for (var d = 0u; d < 8u; d++) {
        counters[d * 256u + thread] = 0u;
    }
    for (var i = first; i < end; i += 4u) {
        let four = four_keys(i, end);
        count_one(four.x, true, thread);
        count_one(four.y, i + 1u < end, thread);
        count_one(four.z, i + 2u < end, thread);
        count_one(four.w, i + 3u < end, thread);
    }
    workgroupBarrier();
    var sum = 0u;
    for (var w = thread * 8u; w < thread * 8u + 8u; w++) {
        sum += counters[w];
    }
    var running = scan_threads(thread, sum);
    let before = running;
    for (var w = thread * 8u; w < thread * 8u + 8u; w++) {
        let value = counters[w];
        counters[w] = running;
        running += value;
    }
    workgroupBarrier();
    // Thread 255 holds the tile's totals of both halves.
    return before + sum;
}

@compute @workgroup_size(256)
fn count_tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let first = (tile * 256u + thread) * items;
    let total = count_digits(thread, first, min(first + items, params.count));
    if thread == 255u {
        places[0] = total;
    }
    workgroupBarrier();
    if thread < 16u && tile < params.tiles {
        let word = (thread & 7u) * 256u;
        var next = places[0];
        if (thread & 7u) < 7u {
            next = counters[word + 256u];
        }
        counts[params.counts + thread * params.tiles + tile] = half_of(next - counters[word], thread);
    }
}

// Where the first element of a digit in a tile goes, from what `counts` holds. All threads of the workgroup come here.
fn place_of(thread: u32, tile: u32, total: u32) -> u32 {
    let index = (thread & 15u) * params.tiles + min(tile, params.tiles - 1u);
    if tiling == MANY {
        return counts[params.counts + index];
    }
    if tiling == FEW {
        var count = 0u;
        if thread < 16u * params.tiles {
            count = counts[params.counts + thread];
        }
        _ = scan_threads(thread, count);
        return select(0u, scan_shared[max(index, 1u) - 1u], index > 0u);
    }
    // The local prefix, which has the digits from 8 on begin anew.
    if thread == 255u {
        places[0] = half_of(total, 0u);
    }
    workgroupBarrier();
    let lower = places[0];
    workgroupBarrier();
    let digit = thread & 15u;
    return half_of(counters[(digit & 7u) * 256u], digit) + select(0u, lower, digit >= 8u);
}

fn put(key: u32, payload: u32, inside: bool, thread: u32) {
    if inside {
        let digit = digit_of(key);
        let word = (digit & 7u) * 256u + thread;
        let place = places[digit] + half_of(counters[word], digit);
        counters[word] += 1u << ((digit >> 3u) * 16u);
        keys_to[params.keys_out + place] = key;
        payload_to[params.payload_out + place] = payload;
    }
}

// The payloads of four neighbours.
fn four_payloads(i: u32, end: u32) -> vec4<u32> {
    var four = vec4<u32>(0u);
    if i < end {
        four.x = payload_from[params.payload_in + i];
    }
    if i + 1u < end {
        four.y = payload_from[params.payload_in + i + 1u];
    }
    if i + 2u < end {
        four.z = payload_from[params.payload_in + i + 2u];
    }
    if i + 3u < end {
        four.w = payload_from[params.payload_in + i + 3u];
    }
    return four;
}

@compute @workgroup_size(256)
fn scatter_tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let first = (tile * 256u + thread) * items;
    let end = min(first + items, params.count);
    let total = count_digits(thread, first, end);
    let place = place_of(thread, tile, total);
    if thread < 16u {
        places[thread] = place - half_of(counters[(thread & 7u) * 256u], thread);
    }
    workgroupBarrier();
    for (var i = first; i < end; i += 4u) {
        let keys = four_keys(i, end);
        let payloads = four_payloads(i, end);
        put(keys.x, payloads.x, true, thread);
        put(keys.y, payloads.y, i + 1u < end, thread);
        put(keys.z, payloads.z, i + 2u < end, thread);
        put(keys.w, payloads.w, i + 3u < end, thread);
    }
}
