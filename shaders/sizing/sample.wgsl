// Sorted draws of a distribution without a sort: the running sums of exponential spacings are the order statistics of
// uniforms. Spacings are generated again in each pass, so memory does not grow with draws * entities.
// One long file, since all passes share the draws, the scans and how the workspace is divided.
//import common/elementary.wgsl
//import common/grid.wgsl
//import common/normal.wgsl
//import common/philox.wgsl

struct Params {
    entities: u32,      // ranks of a profile
    profiles: u32,
    streams: u32,       // of random numbers: neighbouring profiles share one
    draws: u32,
    tiles: u32,         // tiles of entities + 1 spacings
    seed_low: u32,
    seed_high: u32,
    first_stream: u32,  // counter of stream 0
    first_block: u32,   // of the kind that a dispatch draws
    blocks: u32,
    first_draw: u32,    // `average` adds the draws first_draw..last_draw
    last_draw: u32,
}

struct Profile {
    row: u32,  // of the weights
    a: f32,
    b: f32,
    c: f32,
    d: f32,
    e: f32,
}

// Profiles of one kind and one stream, whose spacings are generated once: at most `most`, or for `tile_draws` all of
// them.
struct Block {
    first: u32,
    count: u32,
    stream: u32,
}

override kind: u32 = 0u;  // the order of `Distribution` in src/kernels/sizing/distribution.rs
override most: u32 = 1u;  // profiles of a block: 1 or 8

const ITEMS = 8u;  // neighbouring ranks of a thread
const TILE = 256u * ITEMS;
const LEAST = 1e-30;
const LEAST_EXPONENT = -69.0;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> profiles: array<Profile>;
@group(0) @binding(2) var<storage, read> normal_table: array<i32>;
// For each pair (stream, draw): sums before each tile; sums after each tile; total and first spacing. For each pair
// (profile, draw): a number a tile; a factor.
@group(0) @binding(3) var<storage, read_write> workspace: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read> blocks: array<Block>;

var<workgroup> shared_ends: array<vec2<f32>, 512>;
var<workgroup> shared_sums: array<f32, 256>;
var<workgroup> shared_fours: array<vec4<f32>, 256>;

// A value for each of a thread's ranks.
struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn zeros() -> Eight {
    return Eight(vec4<f32>(0.0), vec4<f32>(0.0));
}

fn sum_of(x: Eight) -> f32 {
    return (((((((x.low.x + x.low.y) + x.low.z) + x.low.w) + x.high.x) + x.high.y) + x.high.z) + x.high.w);
}

fn pairs() -> u32 {
    return params.streams * params.draws;
}

fn after_base() -> u32 {
    return pairs() * params.tiles;
}

fn total_base() -> u32 {
    return 2u * pairs() * params.tiles;
}

fn tile_base() -> u32 {
    return 2u * pairs() * (params.tiles + 1u);
}

fn factor_base() -> u32 {
    return tile_base() + params.profiles * params.draws * params.tiles;
}

// A step of the scan, from one half of the array to the other.
fn scan_step(thread: u32, step: u32, half: u32) {
    workgroupBarrier();
    var ends = shared_ends[half + thread];
    if thread >= step {
        ends.x += shared_ends[half + thread - step].x;
    }
    if thread + step < 256u {
        ends.y += shared_ends[half + thread + step].y;
    }
    shared_ends[256u - half + thread] = ends;
}

// The sums of all threads before this one, and of all threads after it. Without a loop, like `philox`.
fn scan_ends(thread: u32, sum: f32) -> vec2<f32> {
    shared_ends[thread] = vec2<f32>(sum, sum);
    scan_step(thread, 1u, 0u);
    scan_step(thread, 2u, 256u);
    scan_step(thread, 4u, 0u);
    scan_step(thread, 8u, 256u);
    scan_step(thread, 16u, 0u);
    scan_step(thread, 32u, 256u);
    scan_step(thread, 64u, 0u);
    scan_step(thread, 128u, 256u);
    workgroupBarrier();
    var result = vec2<f32>(0.0, 0.0);
    if thread > 0u {
        result.x = shared_ends[thread - 1u].x;
    }
    if thread < 255u {
        result.y = shared_ends[thread + 1u].y;
    }
    workgroupBarrier();
    return result;
}

// The sum over the workgroup, by a tree; every thread gets it.
fn sum_threads(thread: u32, sum: f32) -> f32 {
    shared_sums[thread] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if thread < half {
            shared_sums[thread] += shared_sums[thread + half];
        }
        workgroupBarrier();
    }
    return shared_sums[0];
}

// Four such sums at once.
fn sum_fours(thread: u32, sums: vec4<f32>) -> vec4<f32> {
    shared_fours[thread] = sums;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if thread < half {
            shared_fours[thread] += shared_fours[thread + half];
        }
        workgroupBarrier();
    }
    let result = shared_fours[0];
    workgroupBarrier();
    return result;
}

fn ln_four(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(ln_plain(x.x), ln_plain(x.y), ln_plain(x.z), ln_plain(x.w));
}

// Four spacings -ln U.
fn spacings(call: u32, draw: u32, stream: u32) -> vec4<f32> {
    let counter = vec4<u32>(call, draw, params.first_stream + stream, 3u);
    let words = philox(counter, vec2<u32>(params.seed_low, params.seed_high));
    return -ln_four((vec4<f32>(words >> vec4<u32>(9u)) + 0.5) * (1.0 / 8388608.0));
}

// The values of ranks below `end`, and 0.
fn below_end(x: Eight, rank: u32, end: u32) -> Eight {
    let low = vec4<u32>(rank) + vec4<u32>(0u, 1u, 2u, 3u);
    let ends = vec4<u32>(end);
    return Eight(select(vec4<f32>(0.0), x.low, low < ends), select(vec4<f32>(0.0), x.high, low + 4u < ends));
}

// This thread's spacings of a tile; there is one more than ranks.
fn generate(rank: u32, draw: u32, stream: u32) -> Eight {
    let x = Eight(spacings(rank / 4u, draw, stream), spacings(rank / 4u + 1u, draw, stream));
    return below_end(x, rank, params.entities + 1u);
}

// Where this thread's ranks lie among those of a draw: the part of the inverse distribution function that all profiles
// of a kind share.
struct Places {
    v: Eight,
    u: Eight,
}

fn places(thread: u32, tile: u32, draw: u32, stream: u32) -> Places {
    let spacing = generate(tile * TILE + thread * ITEMS, draw, stream);
    let ends = scan_ends(thread, sum_of(spacing));
    let pair = stream * params.draws + draw;
    let total = workspace[total_base() + 2u * pair];
    let first = workspace[total_base() + 2u * pair + 1u];
    // A small end is summed from its own side: 1 - v would lose its digits.
    var s = zeros();
    s.low.x = spacing.low.x;
    s.low.y = s.low.x + spacing.low.y;
    s.low.z = s.low.y + spacing.low.z;
    s.low.w = s.low.z + spacing.low.w;
    s.high.x = s.low.w + spacing.high.x;
    s.high.y = s.high.x + spacing.high.y;
    s.high.z = s.high.y + spacing.high.z;
    s.high.w = s.high.z + spacing.high.w;
    let before = workspace[pair * params.tiles + tile] + ends.x;
    s = Eight(before + s.low, before + s.high);
    var t = zeros();
    t.high.z = spacing.high.w;
    t.high.y = t.high.z + spacing.high.z;
    t.high.x = t.high.y + spacing.high.y;
    t.low.w = t.high.x + spacing.high.x;
    t.low.z = t.low.w + spacing.low.w;
    t.low.y = t.low.z + spacing.low.z;
    t.low.x = t.low.y + spacing.low.y;
    let after = workspace[after_base() + pair * params.tiles + tile] + ends.y;
    t = Eight(after + t.low, after + t.high);
    switch kind {
        case 0u: {
            let scale = 1.0 / max(total - first, 1e-6 * total);
            return Places(Eight(ln_four(scale * t.low), ln_four(scale * t.high)), zeros());
        }
        case 1u: {
            let scale = 1.0 / first;
            return Places(Eight(ln_four(scale * s.low), ln_four(scale * s.high)), zeros());
        }
        default: {
            let scale = 1.0 / total;
            return Places(Eight(scale * s.low, scale * s.high), Eight(scale * t.low, scale * t.high));
        }
    }
}

fn normal_four(upper: vec4<f32>, lower: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        normal_quantile(upper.x, lower.x),
        normal_quantile(upper.y, lower.y),
        normal_quantile(upper.z, lower.z),
        normal_quantile(upper.w, lower.w),
    );
}

// The inverse distribution function of four ranks.
fn inverse(p: Profile, v: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    switch kind {
        case 0u: {
            return exp(max(v * p.a, vec4<f32>(LEAST_EXPONENT)));
        }
        case 1u: {
            return exp(max(v * -p.a, vec4<f32>(LEAST_EXPONENT)));
        }
        case 2u: {
            let z = normal_four(v * p.c + p.d, u * p.c + p.e);
            return clamp(p.a + p.b * z, vec4<f32>(LEAST), vec4<f32>(1.0));
        }
        case 3u: {
            let w = u * p.a;
            let near = min(w, vec4<f32>(0.25));
            let below = vec4<f32>(ln_1p_core(-near.x), ln_1p_core(-near.y), ln_1p_core(-near.z), ln_1p_core(-near.w));
            let x = select(-ln_four(v + u * p.b), -below, w < vec4<f32>(0.25));
            return max(x, vec4<f32>(LEAST));
        }
        default: {
            return exp(p.a * normal_four(v, u));
        }
    }
}

// The draws of one profile of a block; none where the block has no such.
fn drawn(block: Block, i: u32, at: Places) -> Eight {
    if i >= block.count {
        return zeros();
    }
    let p = profiles[block.first + i];
    return Eight(inverse(p, at.v.low, at.u.low), inverse(p, at.v.high, at.u.high));
}

// The sum of these within the table.
fn sum_inside(block: Block, i: u32, rank: u32, at: Places) -> f32 {
    return sum_of(below_end(drawn(block, i, at), rank, params.entities));
}

// A folded grid has groups past the last. They compute too, since barriers stand outside branches, and write nothing.

// One workgroup for each (stream, draw, tile): the sum of its spacings.
@compute @workgroup_size(256)
fn tile_spacings(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let inside = workgroup_index(group, groups) < pairs() * params.tiles;
    let index = min(workgroup_index(group, groups), pairs() * params.tiles - 1u);
    let pair = index / params.tiles;
    let rank = index % params.tiles * TILE + thread * ITEMS;
    let sum = sum_threads(thread, sum_of(generate(rank, pair % params.draws, pair / params.draws)));
    if inside && thread == 0u {
        workspace[index] = sum;
    }
}

// One workgroup for each (stream, draw): tile sums to the sums before and after each tile.
@compute @workgroup_size(256)
fn carries(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let inside = workgroup_index(group, groups) < pairs();
    let pair = min(workgroup_index(group, groups), pairs() - 1u);
    let chunk = (params.tiles + 255u) / 256u;
    let first = pair * params.tiles + min(thread * chunk, params.tiles);
    let end = select(first, pair * params.tiles + min(thread * chunk + chunk, params.tiles), inside);
    var sum = 0.0;
    for (var i = first; i < end; i++) {
        sum += workspace[i];
    }
    let ends = scan_ends(thread, sum);
    let total = sum_threads(thread, sum);
    var after = ends.y;
    for (var i = end; i > first; i--) {
        workspace[after_base() + i - 1u] = after;
        after += workspace[i - 1u];
    }
    var before = ends.x;
    for (var i = first; i < end; i++) {
        let tile_sum = workspace[i];
        workspace[i] = before;
        before += tile_sum;
    }
    if inside && thread == 0u {
        workspace[total_base() + 2u * pair] = total;
        workspace[total_base() + 2u * pair + 1u] = spacings(0u, pair % params.draws, pair / params.draws).x;
    }
}

// One workgroup for each (block, draw, tile): the sums of its draws.
@compute @workgroup_size(256)
fn tile_draws(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let all = params.blocks * params.draws * params.tiles;
    let inside = workgroup_index(group, groups) < all;
    let index = min(workgroup_index(group, groups), all - 1u);
    let tile = index % params.tiles;
    let draw = index / params.tiles % params.draws;
    let block = blocks[params.first_block + index / params.tiles / params.draws];
    let rank = tile * TILE + thread * ITEMS;
    let at = places(thread, tile, draw, block.stream);
    let base = tile_base() + (block.first * params.draws + draw) * params.tiles + tile;
    if most == 1u {
        let sum = sum_threads(thread, sum_inside(block, 0u, rank, at));
        if inside && thread == 0u {
            workspace[base] = sum;
        }
        return;
    }
    for (var i = 0u; i < block.count; i += 4u) {
        var part = vec4<f32>(0.0);
        part.x = sum_inside(block, i, rank, at);
        part.y = sum_inside(block, i + 1u, rank, at);
        part.z = sum_inside(block, i + 2u, rank, at);
        part.w = sum_inside(block, i + 3u, rank, at);
        let sums = sum_fours(thread, part);
        if inside && thread < 4u && i + thread < block.count {
            workspace[base + (i + thread) * params.draws * params.tiles] = sums[thread];
        }
    }
}

// One workgroup for each (profile, draw): the factor that makes the draw's share of the mean.
@compute @workgroup_size(256)
fn factors(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let all = params.profiles * params.draws;
    let inside = workgroup_index(group, groups) < all;
    let index = min(workgroup_index(group, groups), all - 1u);
    let base = tile_base() + index * params.tiles;
    var sum = 0.0;
    for (var i = thread; i < params.tiles; i += 256u) {
        sum += workspace[base + i];
    }
    let total = sum_threads(thread, sum);
    if inside && thread == 0u {
        workspace[factor_base() + index] = 1.0 / (total * f32(params.draws));
    }
}

// Where the weights of this thread's ranks lie.
fn weights_at(block: Block, i: u32, rank: u32) -> u32 {
    return profiles[block.first + i].row * params.entities + rank;
}

// The sums of the draws before this window.
fn begun(block: Block, i: u32, rank: u32) -> Eight {
    var sums = zeros();
    if params.first_draw == 0u || i >= block.count {
        return sums;
    }
    let base = weights_at(block, i, rank);
    for (var k = 0u; k < 4u; k++) {
        if rank + k < params.entities {
            sums.low[k] = weights[base + k];
        }
        if rank + 4u + k < params.entities {
            sums.high[k] = weights[base + 4u + k];
        }
    }
    return sums;
}

fn added(sums: Eight, block: Block, i: u32, draw: u32, at: Places) -> Eight {
    let factor = workspace[factor_base() + (block.first + i) * params.draws + draw];
    let x = drawn(block, i, at);
    return Eight(sums.low + x.low * factor, sums.high + x.high * factor);
}

fn put(block: Block, i: u32, rank: u32, sums: Eight) {
    if i >= block.count {
        return;
    }
    let base = weights_at(block, i, rank);
    for (var k = 0u; k < 4u; k++) {
        if rank + k < params.entities {
            weights[base + k] = sums.low[k];
        }
        if rank + 4u + k < params.entities {
            weights[base + 4u + k] = sums.high[k];
        }
    }
}

// One workgroup for each (block, tile): adds a window of draws to the weights. Each sum has a name of its own in place
// of an index, so that the sums stay in registers.
@compute @workgroup_size(256)
fn average(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let all = params.blocks * params.tiles;
    let inside = workgroup_index(group, groups) < all;
    let index = min(workgroup_index(group, groups), all - 1u);
    let tile = index % params.tiles;
    let block = blocks[params.first_block + index / params.tiles];
    let rank = tile * TILE + thread * ITEMS;
    var sums = array<Eight, 8>();
    sums[0] = begun(block, 0u, rank);
    if most > 1u {
        sums[1] = begun(block, 1u, rank);
        sums[2] = begun(block, 2u, rank);
        sums[3] = begun(block, 3u, rank);
        sums[4] = begun(block, 4u, rank);
        sums[5] = begun(block, 5u, rank);
        sums[6] = begun(block, 6u, rank);
        sums[7] = begun(block, 7u, rank);
    }
    for (var draw = params.first_draw; draw < params.last_draw; draw++) {
        let at = places(thread, tile, draw, block.stream);
        sums[0] = added(sums[0], block, 0u, draw, at);
        if most > 1u {
            sums[1] = added(sums[1], block, 1u, draw, at);
            sums[2] = added(sums[2], block, 2u, draw, at);
            sums[3] = added(sums[3], block, 3u, draw, at);
            sums[4] = added(sums[4], block, 4u, draw, at);
            sums[5] = added(sums[5], block, 5u, draw, at);
            sums[6] = added(sums[6], block, 6u, draw, at);
            sums[7] = added(sums[7], block, 7u, draw, at);
        }
    }
    if !inside {
        return;
    }
    put(block, 0u, rank, sums[0]);
    if most > 1u {
        put(block, 1u, rank, sums[1]);
        put(block, 2u, rank, sums[2]);
        put(block, 3u, rank, sums[3]);
        put(block, 4u, rank, sums[4]);
        put(block, 5u, rank, sums[5]);
        put(block, 6u, rank, sums[6]);
        put(block, 7u, rank, sums[7]);
    }
}

// Exclusive running minimum over the threads, and onto `shared_sums`.
fn scan_min(thread: u32, least: f32) -> f32 {
    shared_sums[thread] = least;
    workgroupBarrier();
    for (var step = 1u; step < 256u; step <<= 1u) {
        var other = least_of_none();
        if thread >= step {
            other = shared_sums[thread - step];
        }
        workgroupBarrier();
        shared_sums[thread] = min(shared_sums[thread], other);
        workgroupBarrier();
    }
    var before = least_of_none();
    if thread > 0u {
        before = shared_sums[thread - 1u];
    }
    return before;
}

fn least_of_none() -> f32 {
    return 3e38;
}

// One workgroup for each (profile, tile): the least weight of the tile. The sums before tiles are no longer needed.
@compute @workgroup_size(256)
fn tile_minima(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let inside = workgroup_index(group, groups) < params.profiles * params.tiles;
    let index = min(workgroup_index(group, groups), params.profiles * params.tiles - 1u);
    let base = index / params.tiles * params.entities;
    let rank = index % params.tiles * TILE + thread * ITEMS;
    var least = least_of_none();
    for (var i = rank; i < min(rank + ITEMS, params.entities); i++) {
        least = min(least, weights[base + i]);
    }
    let before = scan_min(thread, least);
    if inside && thread == 255u {
        workspace[index] = min(before, least);
    }
}

// One workgroup for each profile: tile minima to the minimum before each tile.
@compute @workgroup_size(256)
fn minima(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let inside = workgroup_index(group, groups) < params.profiles;
    let profile = min(workgroup_index(group, groups), params.profiles - 1u);
    let chunk = (params.tiles + 255u) / 256u;
    let first = profile * params.tiles + min(thread * chunk, params.tiles);
    let end = select(first, profile * params.tiles + min(thread * chunk + chunk, params.tiles), inside);
    var least = least_of_none();
    for (var i = first; i < end; i++) {
        least = min(least, workspace[i]);
    }
    var before = scan_min(thread, least);
    for (var i = first; i < end; i++) {
        let tile_least = workspace[i];
        workspace[i] = before;
        before = min(before, tile_least);
    }
}

// One workgroup for each (profile, tile): each weight at most the one before it.
@compute @workgroup_size(256)
fn descend(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let inside = workgroup_index(group, groups) < params.profiles * params.tiles;
    let index = min(workgroup_index(group, groups), params.profiles * params.tiles - 1u);
    let base = index / params.tiles * params.entities;
    let rank = index % params.tiles * TILE + thread * ITEMS;
    let end = select(rank, min(rank + ITEMS, params.entities), inside);
    var least = least_of_none();
    for (var i = rank; i < end; i++) {
        least = min(least, weights[base + i]);
    }
    least = min(scan_min(thread, least), workspace[index]);
    for (var i = rank; i < end; i++) {
        least = min(least, weights[base + i]);
        weights[base + i] = least;
    }
}
