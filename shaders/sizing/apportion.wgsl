// Exact apportionment of a budget by sorted weights, in integers: every device gives the same sizes.
//import common/grid.wgsl
//import common/philox.wgsl

struct Params {
    count: u32,   // rows
    first: u32,   // where the weights begin
    total: u32,   // what the sizes sum to
    d_min: u32,
    d_max: u32,
    tiles: u32,
}

const ITEMS = 16u;  // neighbouring rows of a thread
const TILE = 256u * ITEMS;
const HEADER = 4u;

@group(0) @binding(0) var<uniform> params: Params;
// f32 bits, so that no device flushes the subnormal ones.
@group(0) @binding(1) var<storage, read> weights: array<u32>;
// Multiplier (3 words) and remainder; two words a tile; then for each row the low word of its prefix sum, later the
// sort key; and for each row the high word, later the rank.
@group(0) @binding(2) var<storage, read_write> workspace: array<u32>;
@group(0) @binding(3) var<storage, read_write> sizes: array<u32>;

var<workgroup> shared_sums: array<vec2<u32>, 256>;

fn low_base() -> u32 {
    return HEADER + 2u * params.tiles;
}

fn high_base() -> u32 {
    return low_base() + params.count;
}

// 64 bits as (low, high).
fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + u32(low < a.x));
}

fn sub64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - u32(a.x < b.x));
}

fn mantissa(bits: u32) -> u32 {
    return (bits & 0x7fffffu) | select(0u, 0x800000u, bits >= 0x800000u);
}

// The weight in units in which the first has 32 bits; at least 1.
fn quantised(row: u32) -> u32 {
    let top = min(weights[params.first] & 0x7fffffffu, 0x7f7fffffu);
    let bits = min(weights[params.first + row] & 0x7fffffffu, top);
    let m = mantissa(bits);
    let up = countLeadingZeros(mantissa(top));
    let down = max(top >> 23u, 1u) - max(bits >> 23u, 1u);
    if top == 0u || (down > up && down - up > 31u) {
        return 1u;
    }
    if down > up {
        return max(m >> (down - up), 1u);
    }
    return max(m << (up - down), 1u);
}

// Exclusive 64-bit prefix sum over the threads; the total goes to `shared_sums[255]`.
fn scan_threads64(thread: u32, value: vec2<u32>) -> vec2<u32> {
    shared_sums[thread] = value;
    workgroupBarrier();
    for (var step = 1u; step < 256u; step <<= 1u) {
        var before = vec2<u32>(0u, 0u);
        if thread >= step {
            before = shared_sums[thread - step];
        }
        workgroupBarrier();
        shared_sums[thread] = add64(shared_sums[thread], before);
        workgroupBarrier();
    }
    return sub64(shared_sums[thread], value);
}

fn thread_sum(first: u32) -> vec2<u32> {
    var sum = vec2<u32>(0u, 0u);
    for (var i = first; i < min(first + ITEMS, params.count); i++) {
        sum = add64(sum, vec2<u32>(quantised(i), 0u));
    }
    return sum;
}

@compute @workgroup_size(256)
fn tile_sums(invocation: Invocation) {
    let thread = invocation.thread;
    let tile = group_of(invocation);
    let sum = thread_sum(tile * TILE + thread * ITEMS);
    let end = add64(scan_threads64(thread, sum), sum);
    if thread == 255u && tile < params.tiles {
        workspace[HEADER + 2u * tile] = end.x;
        workspace[HEADER + 2u * tile + 1u] = end.y;
    }
}

// One workgroup: tile sums to the sums before each tile.
@compute @workgroup_size(256)
fn carries(@builtin(local_invocation_index) thread: u32) {
    let chunk = (params.tiles + 255u) / 256u;
    let first = min(thread * chunk, params.tiles);
    let end = min(thread * chunk + chunk, params.tiles);
    var sum = vec2<u32>(0u, 0u);
    for (var i = first; i < end; i++) {
        sum = add64(sum, vec2<u32>(workspace[HEADER + 2u * i], workspace[HEADER + 2u * i + 1u]));
    }
    var running = scan_threads64(thread, sum);
    for (var i = first; i < end; i++) {
        let tile_sum = vec2<u32>(workspace[HEADER + 2u * i], workspace[HEADER + 2u * i + 1u]);
        workspace[HEADER + 2u * i] = running.x;
        workspace[HEADER + 2u * i + 1u] = running.y;
        running = add64(running, tile_sum);
    }
}

// Inclusive prefix sums of all rows.
@compute @workgroup_size(256)
fn prefixes(invocation: Invocation) {
    let thread = invocation.thread;
    let tile = group_of(invocation);
    let first = tile * TILE + thread * ITEMS;
    var running = scan_threads64(thread, thread_sum(first));
    if tile < params.tiles {
        running = add64(running, vec2<u32>(workspace[HEADER + 2u * tile], workspace[HEADER + 2u * tile + 1u]));
        for (var i = first; i < min(first + ITEMS, params.count); i++) {
            running = add64(running, vec2<u32>(quantised(i), 0u));
            workspace[low_base() + i] = running.x;
            workspace[high_base() + i] = running.y;
        }
    }
}

// 96 by 32 bits, below 2^128.
fn product(l: vec3<u32>, q: u32) -> vec4<u32> {
    let a = mul_wide(l.x, q);
    let b = mul_wide(l.y, q);
    let c = mul_wide(l.z, q);
    let low = add64(vec2<u32>(a.y, 0u), b);
    let high = add64(c, vec2<u32>(low.y, 0u));
    return vec4<u32>(a.x, low.x, high.x, high.y);
}

// In units of 2^-64.
fn at_most(p: vec4<u32>, bound: u32) -> bool {
    return p.w == 0u && (p.z < bound || (p.z == bound && (p.x | p.y) == 0u));
}

fn at_least(p: vec4<u32>, bound: u32) -> bool {
    return p.w > 0u || p.z >= bound;
}

fn prefix(rows: u32) -> vec2<u32> {
    if rows == 0u {
        return vec2<u32>(0u, 0u);
    }
    return vec2<u32>(workspace[low_base() + rows - 1u], workspace[high_base() + rows - 1u]);
}

// Whether the sizes of this multiplier sum to at most the target.
fn fits(l: vec3<u32>) -> bool {
    // The rows at d_max are a prefix, those at d_min a suffix.
    var full = 0u;
    var end = params.count;
    while full < end {
        let middle = full + (end - full) / 2u;
        if at_least(product(l, quantised(middle)), params.d_max) {
            full = middle + 1u;
        } else {
            end = middle;
        }
    }
    var free = full;
    end = params.count;
    while free < end {
        let middle = free + (end - free) / 2u;
        if at_most(product(l, quantised(middle)), params.d_min) {
            end = middle;
        } else {
            free = middle + 1u;
        }
    }
    let clamped = add64(mul_wide(full, params.d_max), mul_wide(params.count - free, params.d_min));
    if clamped.y > 0u || clamped.x > params.total {
        return false;
    }
    let sum = sub64(prefix(free), prefix(full));
    let low = product(l, sum.x);
    let high = product(l, sum.y);
    // low + high * 2^32 in five words.
    let w1 = add64(vec2<u32>(low.y, 0u), vec2<u32>(high.x, 0u));
    let w2 = add64(add64(vec2<u32>(low.z, 0u), vec2<u32>(high.y, 0u)), vec2<u32>(w1.y, 0u));
    let w3 = add64(add64(vec2<u32>(low.w, 0u), vec2<u32>(high.z, 0u)), vec2<u32>(w2.y, 0u));
    let over = w3.x | w3.y | high.w;
    return at_most(vec4<u32>(low.x, w1.x, w2.x, over), params.total - clamped.x);
}

// One invocation: the largest multiplier up to d_max that fits, bit by bit. 80 * 2 * 32 loop trips at most.
@compute @workgroup_size(1)
fn solve() {
    var l = vec3<u32>(0u, 0u, 0u);
    for (var bit = 80u; bit > 0u; bit--) {
        var trial = l;
        trial[(bit - 1u) / 32u] |= 1u << ((bit - 1u) % 32u);
        if at_most(vec4<u32>(trial, 0u), params.d_max) && fits(trial) {
            l = trial;
        }
    }
    workspace[0] = l.x;
    workspace[1] = l.y;
    workspace[2] = l.z;
}

// Whole parts, sort keys of the fractions, and the sum of the tile's whole parts.
@compute @workgroup_size(256)
fn floors(invocation: Invocation) {
    let thread = invocation.thread;
    let tile = group_of(invocation);
    let first = tile * TILE + thread * ITEMS;
    let l = vec3<u32>(workspace[0], workspace[1], workspace[2]);
    var sum = 0u;
    for (var i = first; tile < params.tiles && i < min(first + ITEMS, params.count); i++) {
        let p = product(l, quantised(i));
        var size = p.z;
        var key = max(p.y, 1u);
        if at_least(p, params.d_max) {
            size = params.d_max;
            key = 0u;
        } else if at_most(p, params.d_min) {
            size = params.d_min;
            key = 0u;
        }
        sizes[i] = size;
        workspace[low_base() + i] = ~key;
        workspace[high_base() + i] = i;
        sum += size;
    }
    let end = scan_threads64(thread, vec2<u32>(sum, 0u)).x + sum;
    if thread == 255u && tile < params.tiles {
        workspace[HEADER + 2u * tile] = end;
    }
}

// One workgroup: what the whole parts leave of the target.
@compute @workgroup_size(256)
fn remainder(@builtin(local_invocation_index) thread: u32) {
    var sum = 0u;
    for (var i = thread; i < params.tiles; i += 256u) {
        sum += workspace[HEADER + 2u * i];
    }
    let end = scan_threads64(thread, vec2<u32>(sum, 0u)).x + sum;
    if thread == 255u {
        workspace[3] = params.total - end;
    }
}

// One more to each of the largest fractions.
@compute @workgroup_size(256)
fn round_up(invocation: Invocation) {
    let i = unit_of(invocation, 1u);
    if i < min(workspace[3], params.count) {
        sizes[workspace[high_base() + i]] += 1u;
    }
}
