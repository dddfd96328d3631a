// Training triples: a user, one of the user's positives, and an item that the user never touched, each by one random
// word.
//import common/grid.wgsl
//import common/draw.wgsl

struct Params {
    //import common/draw_params.wgsl
    users: u32,     // users to draw from
    items: u32,     // items to draw negatives from
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> users: array<u32>;
@group(0) @binding(2) var<storage, read> positive_offsets: array<u32>;
@group(0) @binding(3) var<storage, read> positives: array<u32>;
@group(0) @binding(4) var<storage, read> items: array<u32>;
@group(0) @binding(5) var<storage, read> touched_offsets: array<u32>;
@group(0) @binding(6) var<storage, read> touched: array<u32>;
@group(0) @binding(7) var<storage, read_write> triples: array<u32>;

@compute @workgroup_size(64)
fn sample(invocation: Invocation) {
    let number = group_of(invocation) * 64u + invocation.thread;
    if number >= params.count * params.steps {
        return;
    }
    let random = words(number, 0u);
    let slot = below(random.x, params.users);

    var positive = NONE;
    let first = positive_offsets[slot];
    let count = positive_offsets[slot + 1u] - first;
    if count > 0u {
        positive = positives[first + below(random.y, count)];
    }

    var negative = NONE;
    let start = touched_offsets[slot];
    let held = touched_offsets[slot + 1u] - start;
    if held < params.items {
        // The r-th untouched position is r plus the touched ones before it: those with touched[i] - i <= r.
        let r = below(random.z, params.items - held);
        var low = 0u;
        var high = held;
        while low < high {
            let middle = (low + high) / 2u;
            if touched[start + middle] - middle <= r {
                low = middle + 1u;
            } else {
                high = middle;
            }
        }
        negative = items[r + low];
    }

    put_triple(number, users[slot], positive, negative);
}
