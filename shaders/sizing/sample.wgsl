// Sorted draws of a distribution without a sort: the running sums of exponential spacings are the order statistics of
// uniforms. Spacings are generated anew in each pass, so memory does not grow with draws * entities.
//import common/elementary.wgsl
//import common/grid.wgsl
//import common/normal.wgsl
//import common/philox.wgsl

struct Params {
    entities: u32,      // ranks of a profile
    profiles: u32,
    draws: u32,
    tiles: u32,         // tiles of entities + 1 spacings
    seed_low: u32,
    seed_high: u32,
    first_action: u32,  // stream index of profile 0
    first_draw: u32,    // `average` adds the draws first_draw..last_draw
    last_draw: u32,
}

struct Profile {
    kind: u32,  // the order of `Distribution` in src/kernels/sizing/distribution.rs
    a: f32,
    b: f32,
    c: f32,
    d: f32,
    e: f32,
}

const ITEMS = 16u;  // neighbouring ranks of a thread
const TILE = 256u * ITEMS;
const LEAST = 1e-30;
const LEAST_EXPONENT = -69.0;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> profiles: array<Profile>;
@group(0) @binding(2) var<storage, read> normal_table: array<i32>;
// For each pair (profile, draw): sums before each tile; sums after each tile; a number a tile; total, first spacing and
// factor of the pair.
@group(0) @binding(3) var<storage, read_write> workspace: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;

var<workgroup> shared_ends: array<vec2<f32>, 512>;
var<workgroup> shared_sums: array<f32, 256>;
var<private> spacing: array<f32, 16>;
var<private> value: array<f32, 16>;

fn pairs() -> u32 {
    return params.profiles * params.draws;
}

fn after_base() -> u32 {
    return pairs() * params.tiles;
}

fn tile_base() -> u32 {
    return 2u * pairs() * params.tiles;
}

fn pair_base() -> u32 {
    return 3u * pairs() * params.tiles;
}

// The sums of all threads before, and of all threads after this one.
fn scan_ends(thread: u32, sum: f32) -> vec2<f32> {
    shared_ends[thread] = vec2<f32>(sum, sum);
    var from_half = 0u;
    for (var step = 1u; step < 256u; step <<= 1u) {
        workgroupBarrier();
        var ends = shared_ends[from_half + thread];
        if thread >= step {
            ends.x += shared_ends[from_half + thread - step].x;
        }
        if thread + step < 256u {
            ends.y += shared_ends[from_half + thread + step].y;
        }
        from_half = 256u - from_half;
        shared_ends[from_half + thread] = ends;
    }
    workgroupBarrier();
    var result = vec2<f32>(0.0, 0.0);
    if thread > 0u {
        result.x = shared_ends[from_half + thread - 1u].x;
    }
    if thread < 255u {
        result.y = shared_ends[from_half + thread + 1u].y;
    }
    workgroupBarrier();
    return result;
}

// The sum over the workgroup, in a tree; every thread gets it.
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

// Four spacings -ln U.
fn spacings(call: u32, draw: u32, profile: u32) -> vec4<f32> {
    let counter = vec4<u32>(call, draw, params.first_action + profile, 3u);
    let words = philox(counter, vec2<u32>(params.seed_low, params.seed_high));
    let u = (vec4<f32>(words >> vec4<u32>(9u)) + 0.5) * (1.0 / 8388608.0);
    return vec4<f32>(-ln_plain(u.x), -ln_plain(u.y), -ln_plain(u.z), -ln_plain(u.w));
}

// Fills `spacing` with this thread's part of the tile; returns its sum.
fn generate(rank: u32, draw: u32, profile: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < ITEMS; i += 4u) {
        let four = spacings((rank + i) / 4u, draw, profile);
        for (var j = 0u; j < 4u; j++) {
            var e = 0.0;
            if rank + i + j <= params.entities {
                e = four[j];
            }
            spacing[i + j] = e;
            sum += e;
        }
    }
    return sum;
}

// The inverse distribution function, given the sums up to and after a spacing.
fn inverse(p: Profile, total: f32, first: f32, s: f32, t: f32) -> f32 {
    let v = s / total;
    let u = t / total;
    switch p.kind {
        case 0u: {
            return exp_plain(max(ln_plain(t / max(total - first, 1e-6 * total)) * p.a, LEAST_EXPONENT));
        }
        case 1u: {
            return exp_plain(max(ln_plain(s / first) * -p.a, LEAST_EXPONENT));
        }
        case 2u: {
            let z = normal_quantile(v * p.c + p.d, u * p.c + p.e);
            return clamp(p.a + p.b * z, LEAST, 1.0);
        }
        case 3u: {
            let w = u * p.a;
            if w < 0.25 {
                return max(-ln_1p_core(-w), LEAST);
            }
            return max(-ln_plain(v + u * p.b), LEAST);
        }
        default: {
            return exp_plain(p.a * normal_quantile(v, u));
        }
    }
}

// Fills `value` with this thread's draws of one tile; zero past the last entity.
fn draw_tile(thread: u32, tile: u32, draw: u32, profile: u32) {
    let rank = tile * TILE + thread * ITEMS;
    let pair = profile * params.draws + draw;
    let ends = scan_ends(thread, generate(rank, draw, profile));
    let total = workspace[pair_base() + 3u * pair];
    let first = workspace[pair_base() + 3u * pair + 1u];
    let p = profiles[profile];
    let after = workspace[after_base() + pair * params.tiles + tile] + ends.y;
    var rest = 0.0;
    for (var i = ITEMS; i > 0u; i--) {
        value[i - 1u] = after + rest;
        rest += spacing[i - 1u];
    }
    let before = workspace[pair * params.tiles + tile] + ends.x;
    var running = 0.0;
    for (var i = 0u; i < ITEMS; i++) {
        running += spacing[i];
        var x = 0.0;
        if rank + i < params.entities {
            x = inverse(p, total, first, before + running, value[i]);
        }
        value[i] = x;
    }
}

// A folded grid has groups past the last: they go through the motions, for the barriers' sake, and write nothing.

// One workgroup for each (profile, draw, tile): the sum of its spacings.
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
    let sum = sum_threads(thread, generate(rank, pair % params.draws, pair / params.draws));
    if inside && thread == 0u {
        workspace[index] = sum;
    }
}

// One workgroup for each (profile, draw): tile sums to the sums before and after each tile.
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
        workspace[pair_base() + 3u * pair] = total;
        workspace[pair_base() + 3u * pair + 1u] = spacings(0u, pair % params.draws, pair / params.draws).x;
    }
}

// One workgroup for each (profile, draw, tile): the sum of its draws.
@compute @workgroup_size(256)
fn tile_draws(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let inside = workgroup_index(group, groups) < pairs() * params.tiles;
    let index = min(workgroup_index(group, groups), pairs() * params.tiles - 1u);
    let pair = index / params.tiles;
    draw_tile(thread, index % params.tiles, pair % params.draws, pair / params.draws);
    var sum = 0.0;
    for (var i = 0u; i < ITEMS; i++) {
        sum += value[i];
    }
    let total = sum_threads(thread, sum);
    if inside && thread == 0u {
        workspace[tile_base() + index] = total;
    }
}

// One workgroup for each (profile, draw): the factor that makes the draw's share of the mean.
@compute @workgroup_size(256)
fn factors(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let inside = workgroup_index(group, groups) < pairs();
    let pair = min(workgroup_index(group, groups), pairs() - 1u);
    let base = tile_base() + pair * params.tiles;
    var sum = 0.0;
    for (var i = thread; i < params.tiles; i += 256u) {
        sum += workspace[base + i];
    }
    let total = sum_threads(thread, sum);
    if inside && thread == 0u {
        workspace[pair_base() + 3u * pair + 2u] = 1.0 / (total * f32(params.draws));
    }
}

// One workgroup for each (profile, tile): adds a window of draws to the weights.
@compute @workgroup_size(256)
fn average(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let inside = workgroup_index(group, groups) < params.profiles * params.tiles;
    let index = min(workgroup_index(group, groups), params.profiles * params.tiles - 1u);
    let profile = index / params.tiles;
    let tile = index % params.tiles;
    let rank = tile * TILE + thread * ITEMS;
    let base = profile * params.entities + rank;
    var sums: array<f32, 16>;
    for (var i = 0u; i < ITEMS; i++) {
        sums[i] = 0.0;
        if params.first_draw > 0u && rank + i < params.entities {
            sums[i] = weights[base + i];
        }
    }
    for (var draw = params.first_draw; draw < params.last_draw; draw++) {
        draw_tile(thread, tile, draw, profile);
        let factor = workspace[pair_base() + 3u * (profile * params.draws + draw) + 2u];
        for (var i = 0u; i < ITEMS; i++) {
            sums[i] += value[i] * factor;
        }
    }
    for (var i = 0u; i < ITEMS; i++) {
        if inside && rank + i < params.entities {
            weights[base + i] = sums[i];
        }
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
