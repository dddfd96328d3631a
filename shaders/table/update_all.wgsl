// The optimizer's step for a dense gradient over every row.
//import common/grid.wgsl
//import common/optimizer.wgsl

struct Params {
    rows: u32,  // rows in the table
    dims: u32,  // width of a gradient
    learning_rate: f32,
    epsilon: f32,
    beta1: f32,
    beta2: f32,
    correction: f32,
    weight_decay: f32,
    max_norm: f32,
}

override lanes: u32 = 8u;  // threads that share a row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> arena: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> first_state: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_state: array<f32>;
@group(0) @binding(5) var<storage, read> gradients: array<f32>;

struct Row {
    start: u32,
    width: u32,
}

// A row past the table is empty.
fn row_of(row: u32) -> Row {
    if row >= params.rows {
        return Row(0u, 0u);
    }
    let start = offsets[row];
    return Row(start, min(offsets[row + 1u] - start, params.dims));
}

@compute @workgroup_size(256)
fn element_wise(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    let row = row_of(index);
    for (var j = thread % lanes; j < row.width; j += lanes) {
        step(row.start + j, gradients[index * params.dims + j], 0.0);
    }
}

// Where the whole row has a say in a value's step: it is clipped, or has state of its own.
@compute @workgroup_size(256)
fn by_row(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = workgroup_index(group, groups) * (256u / lanes) + thread / lanes;
    let row = row_of(index);
    var factor = 1.0;
    if clip == 1u {
        var squares = 0.0;
        for (var j = thread % lanes; j < row.width; j += lanes) {
            let g = gradients[index * params.dims + j];
            squares += g * g;
        }
        factor = clip_factor(thread, squares);
    }
    var row_state = 0.0;
    if is_row_wise() {
        var squares = 0.0;
        for (var j = thread % lanes; j < row.width; j += lanes) {
            let g = decayed(row.start + j, factor * gradients[index * params.dims + j]);
            squares += g * g;
        }
        row_state = accumulate(thread, index, row.width, squares);
    }
    for (var j = thread % lanes; j < row.width; j += lanes) {
        step(row.start + j, factor * gradients[index * params.dims + j], row_state);
    }
}
