// Training triples from a log in time order: a row, and the item of a row nearby that its user never touched.
//import common/grid.wgsl
//import common/draw.wgsl

struct Params {
    //import common/draw_params.wgsl
    rows: u32,    // of the log
    users: u32,   // rows of the touched items
    window: u32,  // rows before and after
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> users: array<u32>;
@group(0) @binding(2) var<storage, read> items: array<u32>;
@group(0) @binding(3) var<storage, read> touched_offsets: array<u32>;
@group(0) @binding(4) var<storage, read> touched: array<u32>;
@group(0) @binding(5) var<storage, read_write> triples: array<u32>;

fn is_touched(start: u32, end: u32, item: u32) -> bool {
    var low = start;
    var high = end;
    while low < high {
        let middle = low + (high - low) / 2u;
        if touched[middle] < item {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low < end && touched[low] == item;
}

@compute @workgroup_size(64)
fn sample(invocation: Invocation) {
    let number = group_of(invocation) * 64u + invocation.thread;
    if number >= params.count * params.steps {
        return;
    }
    var random = words(number, 0u);
    let row = below(random.x, params.rows);
    let user = users[row];
    var start = 0u;
    var end = 0u;
    if user < params.users {
        start = touched_offsets[user];
        end = touched_offsets[user + 1u];
    }
    let before = min(row, params.window);
    let count = before + min(params.rows - 1u - row, params.window) + 1u;

    var negative = NONE;
    for (var k = 1u; k < 8u; k++) {
        if k == 4u {
            random = words(number, 1u);
        }
        let item = items[row - before + below(random[k % 4u], count)];
        if !is_touched(start, end, item) {
            negative = item;
            break;
        }
    }

    put_triple(number, user, items[row], negative);
}
