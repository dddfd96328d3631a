// Stable radix sort of u32 keys with a u32 payload, least significant digit first, up to 4 bits a pass:
// count the digits of each tile, scan the counts (prim/scan), scatter each tile to its places. Of few tiles every one scans the counts
// for itself: a dispatch that has next to nothing to do takes as long as others. And so few keys as all can be compared with all go to
// their places in one.
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
override few: u32 = 0u;     // 1: `counts` holds the counts of at most 16 tiles, else places

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

// Where the first element of a digit in a tile goes. All threads of the workgroup come here.
fn place_of(thread: u32, tile: u32) -> u32 {
    let index = (thread & 15u) * params.tiles + min(tile, params.tiles - 1u);
    if few == 0u {
        return counts[params.counts + index];
    }
    var count = 0u;
    if thread < 16u * params.tiles {
        count = counts[params.counts + thread];
    }
    _ = scan_threads(thread, count);
    return select(0u, scan_shared[max(index, 1u) - 1u], index > 0u);
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
    _ = count_digits(thread, first, end);
    let place = place_of(thread, tile);
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

// 1 where the key at a position stands before another one's.
fn before(key: u32, position: u32, other: u32, other_position: u32) -> u32 {
    return select(0u, 1u, key < other || (key == other && position < other_position));
}

// A place is the number of keys before. Four threads share an element, each of them compares it with a quarter of the keys.
@compute @workgroup_size(256)
fn place_each(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let element = workgroup_index(group, groups) * 64u + (thread & 63u);
    let own = keys_from[params.keys_in + min(element, params.count - 1u)];
    let quarter = (thread >> 6u) * 512u;
    var place = 0u;
    for (var first = 0u; first < params.count; first += 2048u) {
        for (var i = thread; i < 2048u; i += 256u) {
            // Past the end there are keys that stand before nobody.
            counters[i] = 0xffffffffu;
            if first + i < params.count {
                counters[i] = keys_from[params.keys_in + first + i];
            }
        }
        workgroupBarrier();
        for (var i = quarter; i < quarter + 512u; i += 8u) {
            let position = first + i;
            place += before(counters[i], position, own, element);
            place += before(counters[i + 1u], position + 1u, own, element);
            place += before(counters[i + 2u], position + 2u, own, element);
            place += before(counters[i + 3u], position + 3u, own, element);
            place += before(counters[i + 4u], position + 4u, own, element);
            place += before(counters[i + 5u], position + 5u, own, element);
            place += before(counters[i + 6u], position + 6u, own, element);
            place += before(counters[i + 7u], position + 7u, own, element);
        }
        workgroupBarrier();
    }
    scan_shared[thread] = place;
    workgroupBarrier();
    if thread < 64u && element < params.count {
        place += scan_shared[thread + 64u] + scan_shared[thread + 128u] + scan_shared[thread + 192u];
        keys_to[params.keys_out + place] = own;
        payload_to[params.payload_out + place] = payload_from[params.payload_in + element];
    }
}
