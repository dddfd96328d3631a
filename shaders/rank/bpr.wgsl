// BPR on ragged rows: loss and gradients of (user, positive, negative) triples. Rows of a table in several pages are
// gathered first, one for each occurrence in the triples.
//import common/grid.wgsl
//import common/four.wgsl
//import common/put_four.wgsl as user_gradients of f32
//import common/put_four.wgsl as item_gradients of f32
//import rows/page.wgsl as user
//import rows/four.wgsl as user
//import rows/page.wgsl as item
//import rows/four.wgsl as item

struct Params {
    count: u32,           // triples
    // The only page of users, or the page that is gathered from, of either table; and the only page of items.
    //import rows/page_params.wgsl as user
    //import rows/page_params.wgsl as item
    users: u32,           // rows in the user table
    items: u32,           // rows in the item table
    user_dims: u32,       // width of a user's gradient
    item_dims: u32,       // width of an item's gradient
    bias: u32,            // 1 when item rows begin with their bias
    learned: u32,         // 1 when the bias takes part; otherwise it is left out
    dense: u32,           // 1 when user rows are dense and contain their items
    l2: f32,
    l2_bias: f32,
    user_values: u32,     // where gathered rows of users begin in the workspace
    item_values: u32,
    triples_at: u32,      // where the batch begins in the triples
    first: u32,           // of the batch's ids that are gathered for
    occurrences: u32,
}

// Threads that share a triple: as many at any width, so that the order of a score's terms is always the same. Each
// takes four dims at once, so that there is work for all of them in rows of 32, and loads enough under way in longer
// ones.
const LANES = 8u;

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
    row: Row,  // the embedding, past the bias
    bias: f32,
    has_bias: bool,
}

// The row of an id, whose place among the triples is `at`.
fn user_row(id: u32, at: u32) -> Row {
    if user_gathered == 1u {
        return Row(params.user_values + at * params.user_dims, user_directory[at]);
    }
    let row = user_row_at(id);
    return Row(row.start, min(row.size, params.user_dims));
}

fn item_place(id: u32, at: u32) -> Row {
    if item_gathered == 1u {
        return Row(params.item_values + (at - params.count) * params.item_dims, item_directory[at]);
    }
    return item_row_at(id);
}

fn item_row(id: u32, at: u32) -> Item {
    let row = item_place(id, at);
    let size = min(row.size, params.item_dims);
    if params.bias == 0u || size == 0u {
        return Item(Row(row.start, size), 0.0, false);
    }
    if params.learned == 0u {
        return Item(Row(row.start + 1u, size - 1u), 0.0, false);
    }
    return Item(Row(row.start + 1u, size - 1u), item_value_at(row, 0u), true);
}

@compute @workgroup_size(256)
fn gradients(invocation: Invocation) {
    let thread = invocation.thread;
    let lane = thread % LANES;
    let b = unit_of(invocation, LANES);
    var user_id = params.users;
    var positive_id = params.items;
    var negative_id = params.items;
    if b < params.count {
        user_id = triples[params.triples_at + b];
        positive_id = triples[params.triples_at + params.count + b];
        negative_id = triples[params.triples_at + 2u * params.count + b];
    }
    // Lanes without a triple stay for the barriers below.
    let live = user_id < params.users && positive_id < params.items && negative_id < params.items;
    var user = Row(0u, 0u);
    var positive = Item(user, 0.0, false);
    var negative = positive;
    var weight = 0.0;
    if live {
        if params.dense == 1u {
            user = Row(user_id * params.user_dims, params.user_dims);
            weight = bitcast<f32>(user_directory[user_id]);
        } else {
            user = user_row(user_id, b);
        }
        positive = item_row(positive_id, params.count + b);
        negative = item_row(negative_id, 2u * params.count + b);
    }

    let longest = max(user.size, max(positive.row.size, negative.row.size));
    var sum = 0.0;
    for (var j = lane; j < min(user.size, longest); j += 4u * LANES) {
        let dims = four_dims(j, LANES);
        let e_p = item_four_values(positive.row, dims);
        let difference = e_p - item_four_values(negative.row, dims);
        let terms = (user_four_values(user, dims) - weight * e_p) * difference;
        let of_user = select(vec4<f32>(0.0), terms, dims < vec4<u32>(user.size));
        sum = (((sum + of_user.x) + of_user.y) + of_user.z) + of_user.w;
    }
    partial[thread] = sum;
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
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
    let scale = 1.0 / f32(params.count);
    let pull = coefficient * scale;
    let of_users = b * params.user_dims;
    let of_positives = b * params.item_dims;
    let of_negatives = (params.count + b) * params.item_dims;
    let bias = min(params.bias, params.item_dims);
    if lane == 0u {
        loss[b] = select(0.0, max(-x, 0.0) + log(1.0 + e), live);
        if bias == 1u {
            let decay_bias = 2.0 * params.l2_bias * scale;
            item_gradients[of_positives] = select(0.0, decay_bias * positive.bias - pull, positive.has_bias);
            item_gradients[of_negatives] = select(0.0, decay_bias * negative.bias + pull, negative.has_bias);
        }
    }
    let decay = 2.0 * params.l2 * scale;
    // A dense user row is no row of a table.
    let user_decay = select(decay, 0.0, params.dense == 1u);
    let item_dims = params.item_dims - bias;
    let zero = vec4<f32>(0.0);
    for (var j = lane; j < max(params.user_dims, item_dims); j += 4u * LANES) {
        let dims = four_dims(j, LANES);
        let e_u = user_four_values(user, dims);
        let e_p = item_four_values(positive.row, dims);
        let e_n = item_four_values(negative.row, dims);
        let in_user = dims < vec4<u32>(user.size);
        let of_user = select(zero, user_decay * e_u - pull * (e_p - e_n), in_user);
        put_user_gradients_four(vec4<u32>(of_users) + dims, dims < vec4<u32>(params.user_dims), of_user);

        let value = select(zero, pull * (e_u - weight * e_p), in_user);
        let excluded = select(zero, pull * weight * (e_p - e_n), in_user);
        let of_positive = select(zero, decay * e_p - value + excluded, dims < vec4<u32>(positive.row.size));
        let of_negative = select(zero, decay * e_n + value, dims < vec4<u32>(negative.row.size));
        let in_item = dims < vec4<u32>(item_dims);
        put_item_gradients_four(vec4<u32>(of_positives + bias) + dims, in_item, of_positive);
        put_item_gradients_four(vec4<u32>(of_negatives + bias) + dims, in_item, of_negative);
    }
}

// The rows of a page that the triples name. The page and the widths are in the fields of users, for either table.
@compute @workgroup_size(256)
fn gather(invocation: Invocation) {
    let thread = invocation.thread;
    let occurrence = unit_of(invocation, LANES);
    if occurrence >= params.occurrences {
        return;
    }
    let at = params.first + occurrence;
    let id = triples[params.triples_at + at];
    if !user_is_here(id) {
        return;
    }
    let row = user_row(id - params.user_first_row, at);
    if thread % LANES == 0u {
        workspace[at] = row.size;
    }
    for (var j = thread % LANES; j < row.size; j += LANES) {
        workspace[params.user_values + occurrence * params.user_dims + j] = bitcast<u32>(user_value_at(row, j));
    }
}
