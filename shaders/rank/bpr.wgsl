// BPR on ragged rows: loss and gradients of (user, positive, negative) triples. Rows of a table in several pages are gathered first, one
// for each occurrence in the triples.
//import common/grid.wgsl
//import common/directory.wgsl

struct Params {
    count: u32,           // triples
    users: u32,           // rows in the user table
    user_blocks: u32,
    user_shift: u32,
    user_alignment: u32,
    items: u32,           // rows in the item table
    item_blocks: u32,
    item_shift: u32,
    item_alignment: u32,
    user_dims: u32,       // width of a user's gradient
    item_dims: u32,       // width of an item's gradient
    bias: u32,            // 1 when item rows begin with their bias
    learned: u32,         // 1 when the bias takes part; else it is passed over
    dense: u32,           // 1 when user rows are dense and contain their items
    l2: f32,
    l2_bias: f32,
    user_values: u32,     // where gathered rows of users begin in the workspace
    item_values: u32,
    first_row: u32,       // of the page that is gathered from
    page_rows: u32,
    first: u32,           // of the triples' ids that are gathered for
    occurrences: u32,
}

override lanes: u32 = 8u;      // threads that share a triple
override user_half: u32 = 0u;  // 1 where users' values are f16
override item_half: u32 = 0u;
override user_gathered: u32 = 0u;  // 1 where users' rows are gathered: arena and directory are the workspace
override item_gathered: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> triples: array<u32>;
@group(0) @binding(2) var<storage, read> user_arena: array<u32>;
// Ragged users: their directory. Dense ones: the bits of the weight with which each contains its items' rows.
@group(0) @binding(3) var<storage, read> user_directory: array<u32>;
@group(0) @binding(4) var<storage, read> item_arena: array<u32>;
@group(0) @binding(5) var<storage, read> item_directory: array<u32>;
@group(0) @binding(6) var<storage, read_write> loss: array<f32>;
@group(0) @binding(7) var<storage, read_write> user_gradients: array<f32>;
@group(0) @binding(8) var<storage, read_write> item_gradients: array<f32>;
// A size for each id of the triples, then the users' rows and the items', each as wide as its gradient.
@group(0) @binding(9) var<storage, read_write> workspace: array<u32>;

var<workgroup> partial: array<f32, 256>;

struct Item {
    start: u32,  // of the embedding, past the bias
    size: u32,
    bias: f32,
    has_bias: bool,
}

fn user_end(row: u32) -> u32 {
    return end_in(user_directory[params.user_blocks + (row >> 1u)], row);
}

// The row of an id, whose place among the triples is `at`.
fn user_row(id: u32, at: u32) -> Row {
    if user_gathered == 1u {
        return Row(params.user_values + at * params.user_dims, user_directory[at]);
    }
    var before = 0u;
    if !begins_block(id, params.user_shift) {
        before = user_end(id - 1u);
    }
    let row = row_between(user_directory[id >> params.user_shift], before, user_end(id), params.user_alignment);
    return Row(row.start, min(row.size, params.user_dims));
}

fn user_value(at: u32) -> f32 {
    return as_f32(user_arena[at >> user_half], at, user_half);
}

fn item_end(row: u32) -> u32 {
    return end_in(item_directory[params.item_blocks + (row >> 1u)], row);
}

fn item_value(at: u32) -> f32 {
    return as_f32(item_arena[at >> item_half], at, item_half);
}

fn item_place(id: u32, at: u32) -> Row {
    if item_gathered == 1u {
        return Row(params.item_values + (at - params.count) * params.item_dims, item_directory[at]);
    }
    var before = 0u;
    if !begins_block(id, params.item_shift) {
        before = item_end(id - 1u);
    }
    return row_between(item_directory[id >> params.item_shift], before, item_end(id), params.item_alignment);
}

fn item_row(id: u32, at: u32) -> Item {
    let row = item_place(id, at);
    let size = min(row.size, params.item_dims);
    if params.bias == 0u || size == 0u {
        return Item(row.start, size, 0.0, false);
    }
    if params.learned == 0u {
        return Item(row.start + 1u, size - 1u, 0.0, false);
    }
    return Item(row.start + 1u, size - 1u, item_value(row.start), true);
}

fn embedding(item: Item, j: u32) -> f32 {
    if j < item.size {
        return item_value(item.start + j);
    }
    return 0.0;
}

@compute @workgroup_size(256)
fn gradients(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = thread % lanes;
    let b = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    var user_id = params.users;
    var positive_id = params.items;
    var negative_id = params.items;
    if b < params.count {
        user_id = triples[b];
        positive_id = triples[params.count + b];
        negative_id = triples[2u * params.count + b];
    }
    // Dead lanes stay for the barriers below.
    let live = user_id < params.users && positive_id < params.items && negative_id < params.items;
    var user_start = 0u;
    var user_size = 0u;
    var positive = Item(0u, 0u, 0.0, false);
    var negative = positive;
    var weight = 0.0;
    if live {
        if params.dense == 1u {
            user_start = user_id * params.user_dims;
            user_size = params.user_dims;
            weight = bitcast<f32>(user_directory[user_id]);
        } else {
            let user = user_row(user_id, b);
            user_start = user.start;
            user_size = user.size;
        }
        positive = item_row(positive_id, params.count + b);
        negative = item_row(negative_id, 2u * params.count + b);
    }

    var sum = 0.0;
    for (var j = lane; j < min(user_size, max(positive.size, negative.size)); j += lanes) {
        let e_p = embedding(positive, j);
        sum += (user_value(user_start + j) - weight * e_p) * (e_p - embedding(negative, j));
    }
    partial[thread] = sum;
    for (var step = lanes / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if lane < step {
            partial[thread] += partial[thread + step];
        }
    }
    workgroupBarrier();
    let x = partial[thread - lane] + (positive.bias - negative.bias);
    // exp of a number that is never positive can't overflow.
    let e = exp(-abs(x));
    let coefficient = select(1.0, e, x >= 0.0) / (1.0 + e);

    if b >= params.count {
        return;
    }
    if lane == 0u {
        loss[b] = select(0.0, max(-x, 0.0) + log(1.0 + e), live);
    }
    let scale = 1.0 / f32(params.count);
    let pull = coefficient * scale;
    let decay = 2.0 * params.l2 * scale;
    // A dense user row is no row of a table.
    let user_decay = select(decay, 0.0, params.dense == 1u);
    for (var j = lane; j < params.user_dims; j += lanes) {
        var gradient = 0.0;
        if j < user_size {
            let difference = embedding(positive, j) - embedding(negative, j);
            gradient = user_decay * user_value(user_start + j) - pull * difference;
        }
        user_gradients[b * params.user_dims + j] = gradient;
    }
    let decay_bias = 2.0 * params.l2_bias * scale;
    for (var column = lane; column < params.item_dims; column += lanes) {
        var of_positive = 0.0;
        var of_negative = 0.0;
        if column < params.bias {
            if positive.has_bias {
                of_positive = decay_bias * positive.bias - pull;
            }
            if negative.has_bias {
                of_negative = decay_bias * negative.bias + pull;
            }
        } else {
            let j = column - params.bias;
            let e_p = embedding(positive, j);
            let e_n = embedding(negative, j);
            var value = 0.0;
            var excluded = 0.0;
            if j < user_size {
                value = pull * (user_value(user_start + j) - weight * e_p);
                excluded = pull * weight * (e_p - e_n);
            }
            if j < positive.size {
                of_positive = decay * e_p - value + excluded;
            }
            if j < negative.size {
                of_negative = decay * e_n + value;
            }
        }
        item_gradients[b * params.item_dims + column] = of_positive;
        item_gradients[(params.count + b) * params.item_dims + column] = of_negative;
    }
}

// The rows of a page that the triples name; the page and the widths are those of users, whichever table it is of.
@compute @workgroup_size(256)
fn gather(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let occurrence = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    if occurrence >= params.occurrences {
        return;
    }
    let at = params.first + occurrence;
    let row_of_page = triples[at] - params.first_row;
    if row_of_page >= params.page_rows {
        return;
    }
    let row = user_row(row_of_page, at);
    if thread % lanes == 0u {
        workspace[at] = row.size;
    }
    for (var j = thread % lanes; j < row.size; j += lanes) {
        workspace[params.user_values + occurrence * params.user_dims + j] = bitcast<u32>(user_value(row.start + j));
    }
}
