// A planned step of both tables, each in one page, values one by one: the gradients of a row's occurrences are summed
// in the order of the batch (common/runs.wgsl) and the optimizer steps once. One dispatch for short runs and the
// partial sums of long ones, of users and of items; and one for long runs. Neither binds more than 8 buffers.
//import common/grid.wgsl
//import common/philox.wgsl
//import common/formulas.wgsl
//import common/four.wgsl
//import common/runs.wgsl
//import rows/page.wgsl as user
//import rows/four.wgsl as user
//import rows/put.wgsl as user
//import rows/put_stepped.wgsl as user
//import rows/page.wgsl as item
//import rows/four.wgsl as item
//import rows/put.wgsl as item
//import rows/put_stepped.wgsl as item
//import common/get_four.wgsl as user_state of f32
//import common/put_four.wgsl as user_state of f32
//import common/get_four.wgsl as item_state of f32
//import common/put_four.wgsl as item_state of f32

struct Params {
    //import rows/page_params.wgsl as user
    //import rows/page_params.wgsl as item
    batch: u32,       // triples
    count: u32,       // and their occurrences
    user_dims: u32,   // width of a user's gradient
    item_dims: u32,   // width of an item's gradient
    first_key: u32,   // of the step: that of its first user
    keys: u32,        // where the sorted keys,
    occurrences: u32, // their occurrences,
    partials: u32,    // the partial sums,
    faults: u32,      // and each tile's numbers of dims that were not finite begin in the workspace
    //import common/step_params.wgsl
    item_key_low: u32,
    item_key_high: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> user_arena: array<u32>;
@group(0) @binding(2) var<storage, read> user_directory: array<u32>;
@group(0) @binding(3) var<storage, read_write> user_state: array<f32>;
@group(0) @binding(4) var<storage, read_write> item_arena: array<u32>;
@group(0) @binding(5) var<storage, read> item_directory: array<u32>;
@group(0) @binding(6) var<storage, read_write> item_state: array<f32>;
// Those of users, and those of items from the next multiple of 64 on.
@group(0) @binding(7) var<storage, read> gradients: array<f32>;
@group(0) @binding(8) var<storage, read_write> workspace: array<u32>;
// Of users, and of items.
@group(0) @binding(9) var<storage, read_write> counter: array<atomic<u32>, 2>;

fn user_noise_key() -> vec2<u32> {
    return vec2<u32>(params.key_low, params.key_high);
}

fn item_noise_key() -> vec2<u32> {
    return vec2<u32>(params.item_key_low, params.item_key_high);
}

fn key(position: u32) -> u32 {
    return workspace[params.keys + position];
}

// The row that has this key, of those of the users and then of the items.
fn id_of(own: u32) -> u32 {
    return own - params.first_key;
}

fn is_stepped(own: u32) -> bool {
    return id_of(own) < params.user_rows + params.item_rows;
}

fn is_user(own: u32) -> bool {
    return id_of(own) < params.user_rows;
}

fn row_of(own: u32) -> Row {
    if is_user(own) {
        let row = user_row_at(id_of(own));
        return Row(row.start, min(row.size, params.user_dims));
    }
    let row = item_row_at(id_of(own) - params.user_rows);
    return Row(row.start, min(row.size, params.item_dims));
}

fn source_at(position: u32) -> Source {
    let occurrence = workspace[params.occurrences + position];
    if occurrence < params.batch {
        return Source(occurrence, occurrence * params.user_dims, 1.0);
    }
    let of_items = (params.batch * params.user_dims + 63u) / 64u * 64u;
    return Source(occurrence, of_items + (occurrence - params.batch) * params.item_dims, 1.0);
}

// The gradients of four dims, 0 past the width.
fn four_gradients(origin: Source, dims: vec4<u32>, width: u32) -> vec4<f32> {
    var g = vec4<f32>(0.0);
    if dims.x < width {
        g.x = gradients[origin.place + dims.x];
    }
    if dims.y < width {
        g.y = gradients[origin.place + dims.y];
    }
    if dims.z < width {
        g.z = gradients[origin.place + dims.z];
    }
    if dims.w < width {
        g.w = gradients[origin.place + dims.w];
    }
    return g;
}

fn partial_width() -> u32 {
    return max(params.user_dims, params.item_dims);
}

// One step of a user's row in these dims; gives the number of those that were not finite. All is read before anything
// is written, so that the loads are under way together.
fn step_user(id: u32, row: Row, dims: vec4<u32>, sums: vec4<f32>) -> u32 {
    let at = vec4<u32>(row.start) + dims;
    let inside = dims < vec4<u32>(row.size);
    var before = Weights(user_four_values(row, dims), vec4<f32>(0.0), vec4<f32>(0.0));
    if state_per_value > 0u {
        before.first = user_state_four(at, inside);
    }
    let after = moved(before, taken(sums), 0.0);
    let sound = is_sound(sums, after);
    if state_per_value > 0u {
        put_user_state_four(at, inside & sound, after.first);
    }
    user_put_stepped(id, row, dims, after.w, inside & sound);
    return not_as_they_came(sums, inside, sound);
}

// The same of an item's.
fn step_item(id: u32, row: Row, dims: vec4<u32>, sums: vec4<f32>) -> u32 {
    let at = vec4<u32>(row.start) + dims;
    let inside = dims < vec4<u32>(row.size);
    var before = Weights(item_four_values(row, dims), vec4<f32>(0.0), vec4<f32>(0.0));
    if state_per_value > 0u {
        before.first = item_state_four(at, inside);
    }
    let after = moved(before, taken(sums), 0.0);
    let sound = is_sound(sums, after);
    if state_per_value > 0u {
        put_item_state_four(at, inside & sound, after.first);
    }
    item_put_stepped(id, row, dims, after.w, inside & sound);
    return not_as_they_came(sums, inside, sound);
}

// Steps a row in these dims, and adds to the number of its side's that were not finite.
fn step(run: Run, dims: vec4<u32>, sums: vec4<f32>, before: vec2<u32>) -> vec2<u32> {
    if is_user(run.key) {
        return before + vec2<u32>(step_user(id_of(run.key), run.row, dims, sums), 0u);
    }
    return before + vec2<u32>(0u, step_item(id_of(run.key) - params.user_rows, run.row, dims, sums));
}

var<workgroup> found: array<atomic<u32>, 2>;

// The short runs of a tile a workgroup; behind those of all tiles, the partial sums of long runs, a window a team.
// There is no room to bind the counter, so a tile leaves its numbers in the workspace.
@compute @workgroup_size(256)
fn short_runs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = workgroup_index(group, groups);
    if tile >= tiles() {
        put_partial_sums((tile - tiles()) * (256u / lanes) + thread / lanes, thread % lanes);
        return;
    }
    let first = tile * TILE;
    let runs = find_runs(first, thread);
    var faults = vec2<u32>(0u);
    for (var number = thread / lanes; number < runs; number += 256u / lanes) {
        let run = short[number];
        for (var j = user_per_word * (thread % lanes); j < run.row.size; j += 4u * lanes) {
            let dims = user_dims_of_words(j);
            faults = step(run, dims, short_sums(run, first, dims), faults);
        }
    }
    if counts == 1u {
        if faults.x > 0u {
            atomicAdd(&found[0], faults.x);
        }
        if faults.y > 0u {
            atomicAdd(&found[1], faults.y);
        }
        workgroupBarrier();
        if thread < 2u {
            workspace[params.faults + 2u * tile + thread] = atomicLoad(&found[thread]);
        }
    }
}

// A long run a team; and each thread counts one number that a tile has left.
@compute @workgroup_size(256)
fn long_runs(invocation: Invocation) {
    let window = unit_of(invocation, lanes);
    let run = long_run(window);
    var faults = vec2<u32>(0u);
    for (var j = user_per_word * (invocation.thread % lanes); j < run.row.size; j += 4u * lanes) {
        let dims = user_dims_of_words(j);
        faults = step(run, dims, long_sums(run, window, dims), faults);
    }
    if counts == 1u {
        let number = unit_of(invocation, 1u);
        if number < 2u * tiles() {
            faults[number & 1u] += workspace[params.faults + number];
        }
        if faults.x > 0u {
            atomicAdd(&counter[0], faults.x);
        }
        if faults.y > 0u {
            atomicAdd(&counter[1], faults.y);
        }
    }
}
