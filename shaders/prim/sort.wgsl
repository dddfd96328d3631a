// Stable radix sort of u32 keys with a u32 payload, least significant digit first, up to 4 bits a pass:
// count the digits of each tile, scan the counts (prim/scan), scatter each tile to its places.
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

@group(0) @binding(0) var<uniform> params: Params;
// All writable: from one pass to the next the workspace changes sides.
@group(0) @binding(1) var<storage, read_write> keys_from: array<u32>;
@group(0) @binding(2) var<storage, read_write> payload_from: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys_to: array<u32>;
@group(0) @binding(4) var<storage, read_write> payload_to: array<u32>;
@group(0) @binding(5) var<storage, read_write> counts: array<u32>;

// Word d * 256 + t: how often thread t met digit d (low half) and digit d + 8 (high half).
// A tile holds at most 256 * 16 elements, so a half never overflows into the other.
var<workgroup> counters: array<u32, 2048>;
// Global place of a digit's first element in this tile, less its local prefix.
var<workgroup> places: array<u32, 16>;

fn half_of(word: u32, digit: u32) -> u32 {
    return (word >> ((digit >> 3u) * 16u)) & 0xffffu;
}

fn digit_of(key: u32) -> u32 {
    return (key >> params.shift) & params.mask;
}

// Counts the tile's digits a thread, then replaces the counts by their exclusive prefix in (digit, thread) order.
fn count_digits(thread: u32, first: u32, end: u32) -> u32 {
    for (var d = 0u; d < 8u; d++) {
        counters[d * 256u + thread] = 0u;
    }
    for (var i = first; i < end; i++) {
        let digit = digit_of(keys_from[params.keys_in + i]);
        counters[(digit & 7u) * 256u + thread] += 1u << ((digit >> 3u) * 16u);
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

@compute @workgroup_size(256)
fn scatter_tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let first = (tile * 256u + thread) * items;
    let end = min(first + items, params.count);
    _ = count_digits(thread, first, end);
    if thread < 16u && tile < params.tiles {
        let local = half_of(counters[(thread & 7u) * 256u], thread);
        places[thread] = counts[params.counts + thread * params.tiles + tile] - local;
    }
    workgroupBarrier();
    for (var i = first; i < end; i++) {
        let key = keys_from[params.keys_in + i];
        let digit = digit_of(key);
        let word = (digit & 7u) * 256u + thread;
        let place = places[digit] + half_of(counters[word], digit);
        counters[word] += 1u << ((digit >> 3u) * 16u);
        keys_to[params.keys_out + place] = key;
        payload_to[params.payload_out + place] = payload_from[params.payload_in + i];
    }
}
