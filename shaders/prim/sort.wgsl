// Stable radix sort of u32 keys with a u32 payload, least significant digit first, up to 4 bits a pass: count the
// digits of each tile, scan the counts of each digit, scatter each tile to its places. Where there are few tiles, each
// scans the counts by itself, since a dispatch with little to do takes as long as others. Where there are few keys, all
// are compared with all, and go to their places in one dispatch.
//import common/grid.wgsl
//import common/scan.wgsl
//import common/put_four.wgsl as counts of u32
//import common/put_four.wgsl as keys_to of u32
//import common/put_four.wgsl as payload_to of u32

struct Params {
    count: u32,         // elements
    tiles: u32,
    shift: u32,         // lowest bit of the digit
    mask: u32,          // digit mask after the shift
    keys_in: u32,       // where each array begins in its buffer
    payload_in: u32,
    keys_out: u32,
    payload_out: u32,
    counts: u32,        // of each digit, a number a tile; after them those of all tiles
}

override few: u32 = 0u;  // 1: there are at most 32 tiles, and `counts` is not scanned

const ITEMS = 8u;  // elements a thread
const TILE = 256u * ITEMS;

@group(0) @binding(0) var<uniform> params: Params;
// All writable: from one pass to the next the workspace changes sides.
@group(0) @binding(1) var<storage, read_write> keys_from: array<u32>;
@group(0) @binding(2) var<storage, read_write> payload_from: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys_to: array<u32>;
@group(0) @binding(4) var<storage, read_write> payload_to: array<u32>;
@group(0) @binding(5) var<storage, read_write> counts: array<u32>;

// Used in turns for two things. First, how often thread t met digit d (low half) and digit d + 8 (high half), at d *
// 256 + t; a tile has too few elements to overflow a half. Second, elements on their way from thread to thread. Every
// 33rd word is left out, so that neighbours lie in different banks.
var<workgroup> words: array<u32, TILE + TILE / 32u>;
// Global place of a digit's first element in this tile, less its place within the tile.
var<workgroup> places: array<u32, 16>;

fn at(word: u32) -> u32 {
    return word + (word >> 5u);
}

fn half_of(word: u32, digit: u32) -> u32 {
    return (word >> ((digit >> 3u) * 16u)) & 0xffffu;
}

fn digit_of(key: u32) -> u32 {
    return (key >> params.shift) & params.mask;
}

// A number for each of a thread's elements.
struct Eight {
    low: vec4<u32>,
    high: vec4<u32>,
}

// Positions in the tile: neighbours of each other,
fn neighbours(thread: u32) -> Eight {
    let low = vec4<u32>(thread * ITEMS) + vec4<u32>(0u, 1u, 2u, 3u);
    return Eight(low, low + 4u);
}

// or neighbours of those that the neighbouring threads have.
fn strided(thread: u32) -> Eight {
    let low = vec4<u32>(thread) + vec4<u32>(0u, 256u, 512u, 768u);
    return Eight(low, low + 1024u);
}

// How many elements a tile has: none, past the last.
fn size_of(tile: u32) -> u32 {
    return select(0u, min(params.count - tile * TILE, TILE), tile < params.tiles);
}

// Elements of a tile; past the end, the last.
fn four_keys(tile: u32, positions: vec4<u32>) -> vec4<u32> {
    let i = min(tile * TILE + positions, vec4<u32>(params.count - 1u)) + params.keys_in;
    return vec4<u32>(keys_from[i.x], keys_from[i.y], keys_from[i.z], keys_from[i.w]);
}

fn four_payloads(tile: u32, positions: vec4<u32>) -> vec4<u32> {
    let i = min(tile * TILE + positions, vec4<u32>(params.count - 1u)) + params.payload_in;
    return vec4<u32>(payload_from[i.x], payload_from[i.y], payload_from[i.z], payload_from[i.w]);
}

fn lay_four(positions: vec4<u32>, elements: vec4<u32>) {
    words[at(positions.x)] = elements.x;
    words[at(positions.y)] = elements.y;
    words[at(positions.z)] = elements.z;
    words[at(positions.w)] = elements.w;
}

fn take_four(positions: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(words[at(positions.x)], words[at(positions.y)], words[at(positions.z)], words[at(positions.w)]);
}

// Counts an element, and returns how many of its digit the thread has met before.
fn count_one(key: u32, inside: bool, thread: u32) -> u32 {
    if !inside {
        return 0u;
    }
    let digit = digit_of(key);
    let word = at((digit & 7u) * 256u + thread);
    let before = words[word];
    words[word] = before + (1u << ((digit >> 3u) * 16u));
    return half_of(before, digit);
}

fn count_four(keys: vec4<u32>, inside: vec4<bool>, thread: u32) -> vec4<u32> {
    let x = count_one(keys.x, inside.x, thread);
    let y = count_one(keys.y, inside.y, thread);
    let z = count_one(keys.z, inside.z, thread);
    let w = count_one(keys.w, inside.w, thread);
    return vec4<u32>(x, y, z, w);
}

fn clear(positions: Eight) {
    lay_four(positions.low, vec4<u32>(0u));
    lay_four(positions.high, vec4<u32>(0u));
}

fn sum_of_four(x: vec4<u32>) -> u32 {
    return x.x + x.y + x.z + x.w;
}

fn sum_of(x: Eight) -> u32 {
    return sum_of_four(x.low) + sum_of_four(x.high);
}

// The sums before each of four numbers; the first of these sums is given.
fn sums_before(first: u32, x: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(first, first + x.x, first + x.x + x.y, first + x.x + x.y + x.z);
}

@compute @workgroup_size(256)
fn count_tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let across = strided(thread);
    let own = neighbours(thread);
    clear(across);
    // The sums are the same whichever thread counts an element.
    let size = vec4<u32>(size_of(tile));
    _ = count_four(four_keys(tile, across.low), across.low < size, thread);
    _ = count_four(four_keys(tile, across.high), across.high < size, thread);
    workgroupBarrier();
    // The sums of 32 threads are those of a digit, or two.
    scan_shared[thread] = sum_of(Eight(take_four(own.low), take_four(own.high)));
    workgroupBarrier();
    for (var half = 16u; half > 0u; half >>= 1u) {
        if (thread & 31u) < half {
            scan_shared[thread] += scan_shared[thread + half];
        }
        workgroupBarrier();
    }
    if thread < 16u && tile < params.tiles {
        counts[params.counts + thread * params.tiles + tile] = half_of(scan_shared[(thread & 7u) * 32u], thread);
    }
}

fn four_counts(first: u32) -> vec4<u32> {
    return vec4<u32>(counts[first], counts[first + 1u], counts[first + 2u], counts[first + 3u]);
}

// One workgroup for each digit: its counts to the sums before each tile, and their total.
@compute @workgroup_size(256)
fn scan_counts(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let digit = workgroup_index(group, groups);
    let row = params.counts + digit * params.tiles;
    let size = select(0u, params.tiles, digit < 16u);
    var total = 0u;
    for (var first = 0u; first < size; first += 1024u) {
        let tile = vec4<u32>(first + 4u * thread) + vec4<u32>(0u, 1u, 2u, 3u);
        let inside = tile < vec4<u32>(size);
        let met = select(vec4<u32>(0u), four_counts(row + tile.x), inside);
        let before = total + scan_threads(thread, sum_of_four(met));
        let sums = sums_before(before, met);
        put_counts_four(vec4<u32>(row) + tile, inside, sums);
        total += scan_shared[255];
        workgroupBarrier();
    }
    if thread == 0u && digit < 16u {
        counts[params.counts + 16u * params.tiles + digit] = total;
    }
}

// The elements of lower digits among those of four.
fn lower_of_four(digit: u32, first: u32) -> u32 {
    let lower = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(digit);
    return sum_of_four(select(vec4<u32>(0u), four_counts(params.counts + 16u * params.tiles + first), lower));
}

// Where the first element of a digit in a tile goes. All threads of the workgroup come here.
fn place_of(thread: u32, tile: u32) -> u32 {
    let digit = thread & 15u;
    let index = digit * params.tiles + min(tile, params.tiles - 1u);
    if few == 0u {
        let lower = (lower_of_four(digit, 0u) + lower_of_four(digit, 4u)) + (lower_of_four(digit, 8u) + lower_of_four(digit, 12u));
        return lower + counts[params.counts + index];
    }
    // Two counts a thread.
    var pair = vec2<u32>(0u, 0u);
    if 2u * thread < 16u * params.tiles {
        pair = vec2<u32>(counts[params.counts + 2u * thread], counts[params.counts + 2u * thread + 1u]);
    }
    let before = scan_threads(thread, pair.x + pair.y);
    workgroupBarrier();
    words[at(2u * thread)] = before;
    words[at(2u * thread + 1u)] = before + pair.x;
    workgroupBarrier();
    return words[at(index)];
}

// The place within the tile of the first element of a digit that a thread has; `lower` elements have a digit below 8.
fn first_of(digit: u32, thread: u32, lower: u32) -> u32 {
    return half_of(words[at((digit & 7u) * 256u + thread)], digit) + select(0u, lower, digit >= 8u);
}

fn first_of_four(keys: vec4<u32>, thread: u32, lower: u32) -> vec4<u32> {
    return vec4<u32>(
        first_of(digit_of(keys.x), thread, lower),
        first_of(digit_of(keys.y), thread, lower),
        first_of(digit_of(keys.z), thread, lower),
        first_of(digit_of(keys.w), thread, lower),
    );
}

// Puts a thread's elements at these positions of the tile, and returns the elements of other positions. All threads of
// the workgroup come here.
fn exchange(elements: Eight, positions: Eight, others: Eight) -> Eight {
    workgroupBarrier();
    lay_four(positions.low, elements.low);
    lay_four(positions.high, elements.high);
    workgroupBarrier();
    return Eight(take_four(others.low), take_four(others.high));
}

// Where elements of the sorted tile go.
fn four_places(keys: vec4<u32>, positions: vec4<u32>) -> vec4<u32> {
    let first = vec4<u32>(
        places[digit_of(keys.x)],
        places[digit_of(keys.y)],
        places[digit_of(keys.z)],
        places[digit_of(keys.w)],
    );
    return first + positions;
}

fn put_keys(keys: vec4<u32>, to: vec4<u32>, inside: vec4<bool>) {
    put_keys_to_four(vec4<u32>(params.keys_out) + to, inside, keys);
}

fn put_payloads(payloads: vec4<u32>, to: vec4<u32>, inside: vec4<bool>) {
    put_payload_to_four(vec4<u32>(params.payload_out) + to, inside, payloads);
}

// Sorts a tile by the digit before its elements go to their places, so that neighbouring threads mostly write to
// neighbouring places.
@compute @workgroup_size(256)
fn scatter_tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    let size = vec4<u32>(size_of(tile));
    let across = strided(thread);
    let own = neighbours(thread);
    let loaded_keys = Eight(four_keys(tile, across.low), four_keys(tile, across.high));
    let loaded_payloads = Eight(four_payloads(tile, across.low), four_payloads(tile, across.high));

    let keys = exchange(loaded_keys, across, own);
    workgroupBarrier();
    clear(across);
    let low_rank = count_four(keys.low, own.low < size, thread);
    let high_rank = count_four(keys.high, own.high < size, thread);
    workgroupBarrier();
    let met = Eight(take_four(own.low), take_four(own.high));
    let before = scan_threads(thread, sum_of(met));
    if thread == 255u {
        places[0] = before + sum_of(met);
    }
    lay_four(own.low, sums_before(before, met.low));
    lay_four(own.high, sums_before(before + sum_of_four(met.low), met.high));
    workgroupBarrier();
    let lower = places[0] & 0xffffu;
    // What lies past the end stays there.
    let sorted = Eight(
        select(own.low, low_rank + first_of_four(keys.low, thread, lower), own.low < size),
        select(own.high, high_rank + first_of_four(keys.high, thread, lower), own.high < size),
    );
    let first = first_of(thread & 15u, 0u, lower);
    workgroupBarrier();
    let place = place_of(thread, tile);
    if thread < 16u {
        places[thread] = place - first;
    }

    let sorted_keys = exchange(keys, sorted, across);
    let to = Eight(four_places(sorted_keys.low, across.low), four_places(sorted_keys.high, across.high));
    put_keys(sorted_keys.low, to.low, across.low < size);
    put_keys(sorted_keys.high, to.high, across.high < size);
    let payloads = exchange(exchange(loaded_payloads, across, own), sorted, across);
    put_payloads(payloads.low, to.low, across.low < size);
    put_payloads(payloads.high, to.high, across.high < size);
}

// 1 where the key at a position stands before another one's.
fn before(key: u32, position: u32, other: u32, other_position: u32) -> u32 {
    return select(0u, 1u, key < other || (key == other && position < other_position));
}

// A place is the number of keys before. Four threads share an element, each of them compares it with a quarter of the
// keys.
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
            // Past the end there are keys that stand before no other.
            words[i] = 0xffffffffu;
            if first + i < params.count {
                words[i] = keys_from[params.keys_in + first + i];
            }
        }
        workgroupBarrier();
        for (var i = quarter; i < quarter + 512u; i += 8u) {
            let position = first + i;
            place += before(words[i], position, own, element);
            place += before(words[i + 1u], position + 1u, own, element);
            place += before(words[i + 2u], position + 2u, own, element);
            place += before(words[i + 3u], position + 3u, own, element);
            place += before(words[i + 4u], position + 4u, own, element);
            place += before(words[i + 5u], position + 5u, own, element);
            place += before(words[i + 6u], position + 6u, own, element);
            place += before(words[i + 7u], position + 7u, own, element);
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
