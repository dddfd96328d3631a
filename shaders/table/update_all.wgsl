// The optimizer's step for a dense gradient over every row.
//import common/grid.wgsl
//import rows/page.wgsl
//import rows/four.wgsl
//import common/optimizer.wgsl
//import common/four.wgsl
//import common/get_four.wgsl as gradients of f32

struct Params {
    //import rows/page_params.wgsl
    dims: u32,       // width of a gradient
    //import common/step_params.wgsl
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read> gradients: array<f32>;
@group(0) @binding(6) var<storage, read_write> counter: atomic<u32>;

fn count_faults(number: u32) {
    atomicAdd(&counter, number);
}

// The dims of a row that have a gradient. A row past the page is empty.
fn row_of(row: u32) -> Row {
    if row >= params.rows {
        return Row(0u, 0u);
    }
    let own = row_at(row);
    return Row(own.start, min(own.size, params.dims));
}

// The gradients of four dims, 0 past the width.
fn gradients_of(index: u32, row: Row, dims: vec4<u32>) -> vec4<f32> {
    let base = (params.first_row + index) * params.dims;
    return gradients_four(vec4<u32>(base) + dims, dims < vec4<u32>(row.size));
}

@compute @workgroup_size(256)
fn element_wise(invocation: Invocation) {
    let index = unit_of(invocation, lanes);
    let row = row_of(index);
    for (var j = per_word * (invocation.thread % lanes); j < row.size; j += 4u * lanes) {
        let dims = dims_of_words(j);
        step(params.first_row + index, row, dims, gradients_of(index, row, dims));
    }
}

// Where the whole row has a say in a value's step: it is clipped, or has state of its own.
@compute @workgroup_size(256)
fn by_row(invocation: Invocation) {
    let thread = invocation.thread;
    let index = unit_of(invocation, lanes);
    let row = row_of(index);
    let lane = per_word * (thread % lanes);
    var factor = 1.0;
    if clip == 1u {
        var squares = 0.0;
        for (var j = lane; j < row.size; j += 4u * lanes) {
            let dims = dims_of_words(j);
            squares = add_squares(squares, row, dims, taken(gradients_of(index, row, dims)), false);
        }
        factor = clip_factor(thread, squares);
    }
    var row_state = 0.0;
    if is_row_wise() {
        var squares = 0.0;
        for (var j = lane; j < row.size; j += 4u * lanes) {
            let dims = dims_of_words(j);
            squares = add_squares(squares, row, dims, factor * taken(gradients_of(index, row, dims)), true);
        }
        row_state = accumulate(thread, index, select(0u, row.size, factor >= 0.0), squares);
    }
    let finite = factor >= 0.0 && is_finite(row_state);
    for (var j = lane; j < row.size; j += 4u * lanes) {
        let dims = dims_of_words(j);
        let g = gradients_of(index, row, dims);
        let after = moved(weights_of(row, dims), factor * taken(g), row_state);
        put_step(params.first_row + index, row, dims, g, after, finite);
    }
}
