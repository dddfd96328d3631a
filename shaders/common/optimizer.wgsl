// The rows that step, by the formulas of common/formulas.wgsl. The including file imports rows/page.wgsl and four,
// counts what is not finite (`count_faults`), and has step_params.wgsl in Params.
//import common/philox.wgsl
//import common/formulas.wgsl
//import rows/put.wgsl
//import rows/put_stepped.wgsl
//import common/get_four.wgsl as first_state of f32
//import common/put_four.wgsl as first_state of f32
//import common/get_four.wgsl as second_state of f32
//import common/put_four.wgsl as second_state of f32

@group(0) @binding(1) var<storage, read_write> arena: array<u32>;
@group(0) @binding(2) var<storage, read> directory: array<u32>;
@group(0) @binding(3) var<storage, read_write> first_state: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_state: array<f32>;

// Key of the noise that rounds.
fn noise_key() -> vec2<u32> {
    return vec2<u32>(params.key_low, params.key_high);
}

fn is_row_wise() -> bool {
    return state_per_row > 0u;
}

fn has_first_state() -> bool {
    return state_per_value > 0u;
}

fn has_second_state() -> bool {
    return state_per_value > 1u;
}

// Adds the squares of a row's gradients in these dims, 0 past its end, one after the other; decay included on request.
fn add_squares(before: f32, row: Row, dims: vec4<u32>, gradients: vec4<f32>, with_decay: bool) -> f32 {
    var g = gradients;
    if with_decay && decay == OF_GRADIENTS {
        g += params.weight_decay * four_values(row, dims);
    }
    return add_by_words(before, g * g);
}

// What a row's own number becomes, from the mean of its gradient's squares.
fn row_number(number: f32, mean_square: f32) -> f32 {
    if optimizer == ROW_WISE_ADAGRAD {
        return number + mean_square;
    }
    return params.beta2 * number + (1.0 - params.beta2) * mean_square;
}

// Those of a row in these dims, of which it has the first.
fn weights_of(row: Row, dims: vec4<u32>) -> Weights {
    let at = vec4<u32>(row.start) + dims;
    let inside = dims < vec4<u32>(row.size);
    var before = Weights(four_values(row, dims), vec4<f32>(0.0), vec4<f32>(0.0));
    if has_first_state() {
        before.first = first_state_four(at, inside);
    }
    if has_second_state() {
        before.second = second_state_four(at, inside);
    }
    return before;
}

// Writes `those` of the dims, which the row has.
fn put_weights(id: u32, row: Row, dims: vec4<u32>, after: Weights, those: vec4<bool>) {
    let at = vec4<u32>(row.start) + dims;
    if has_first_state() {
        put_first_state_four(at, those, after.first);
    }
    if has_second_state() {
        put_second_state_four(at, those, after.second);
    }
    put_stepped(id, row, dims, after.w, those);
}

// One step of a row, whose id is `id`, in these dims. All is read before anything is written, so that the loads are
// under way together.
fn step(id: u32, row: Row, dims: vec4<u32>, gradients: vec4<f32>) {
    put_step(id, row, dims, gradients, moved(weights_of(row, dims), taken(gradients), 0.0), true);
}

// Writes what a step along these gradients makes of a row in these dims, where all of it is finite: a dim where it is
// not keeps its value and its state, and so does a whole row whose norm or own state is not finite.
fn put_step(id: u32, row: Row, dims: vec4<u32>, gradients: vec4<f32>, after: Weights, row_is_finite: bool) {
    let inside = dims < vec4<u32>(row.size);
    let sound = is_sound(gradients, after) & vec4<bool>(row_is_finite);
    if counts == 1u {
        let number = not_as_they_came(gradients, inside, sound);
        if number > 0u {
            count_faults(number);
        }
    }
    put_weights(id, row, dims, after, inside & sound);
}

var<workgroup> squares_shared: array<f32, 256>;

// Sums the parts of the lanes that share a row; the first of them has the sum. All threads of the workgroup come here.
fn sum_of_lanes(thread: u32, part: f32) {
    squares_shared[thread] = part;
    workgroupBarrier();
    for (var half = lanes >> 1u; half > 0u; half >>= 1u) {
        if thread % lanes < half {
            squares_shared[thread] += squares_shared[thread + half];
        }
        workgroupBarrier();
    }
}

// What a row's gradient is multiplied by, so that it is not longer than `max_norm`; -1 where its norm is not finite.
// `squares` is this lane's part. All threads of the workgroup come here.
fn clip_factor(thread: u32, squares: f32) -> f32 {
    sum_of_lanes(thread, squares);
    let sum = squares_shared[thread - thread % lanes];
    // The sum is read before the next one begins.
    workgroupBarrier();
    if !is_finite(sum) {
        return -1.0;
    }
    let norm = sqrt(sum);
    if norm > params.max_norm {
        return params.max_norm / norm;
    }
    return 1.0;
}

// Takes the mean square of a row's gradient into its state, where that stays finite, and gives that to all its lanes.
// `squares` is this lane's part; a row without width stays. All threads of the workgroup come here.
fn accumulate(thread: u32, row: u32, width: u32, squares: f32) -> f32 {
    sum_of_lanes(thread, squares);
    // One lane reads and writes the state: a workgroup's barrier does not order storage.
    if thread % lanes == 0u && width > 0u {
        let mean = squares_shared[thread] / f32(width);
        var state = 0.0;
        if has_first_state() {
            state = row_number(second_state[row], mean);
            if is_finite(state) {
                second_state[row] = state;
            }
        } else {
            state = row_number(first_state[row], mean);
            if is_finite(state) {
                first_state[row] = state;
            }
        }
        squares_shared[thread] = state;
    }
    workgroupBarrier();
    return squares_shared[thread - thread % lanes];
}
