// The optimizer's step, as src/kernels/table/optimizer has it, and the rows that step. The including file imports
// rows/page.wgsl and four, binds `counter`, and has step_params.wgsl in Params.
//import common/philox.wgsl
//import rows/put.wgsl
//import rows/put_stepped.wgsl
//import common/get_four.wgsl as first_state of f32
//import common/put_four.wgsl as first_state of f32
//import common/get_four.wgsl as second_state of f32
//import common/put_four.wgsl as second_state of f32

const SGD = 0u;
const MOMENTUM = 1u;
const NESTEROV = 2u;
const ADAGRAD = 3u;
const ADAM = 4u;
const ROW_WISE_ADAGRAD = 5u;
const ROW_WISE_ADAM = 6u;
const RMS_PROP = 7u;
const ROW_WISE_RMS_PROP = 8u;
const FTRL = 9u;

const OF_GRADIENTS = 1u;
const OF_WEIGHTS = 2u;

override lanes: u32 = 8u;  // threads that share a row, or a part of its sums
override optimizer: u32 = 0u;
override state_per_value: u32 = 0u;  // numbers of state of each value, up to two
override state_per_row: u32 = 0u;    // and of each row, one at most: the number after those
override decay: u32 = 0u;  // weight decay: 0 none
override clip: u32 = 0u;   // 1 where a row's gradient has a longest norm
override clamps: u32 = 0u; // 1 where gradients beyond `LARGEST` are replaced
override counts: u32 = 0u; // 1 where `counter` counts; else it is not touched

@group(0) @binding(1) var<storage, read_write> arena: array<u32>;
@group(0) @binding(2) var<storage, read> directory: array<u32>;
@group(0) @binding(3) var<storage, read_write> first_state: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_state: array<f32>;

// Numbers are told to be finite by their bits: WGSL lets a compiler take every float for finite.
const INFINITE = 0x7f800000u;
// 2^55: the squares of 65,535 such numbers have a finite sum.
const LARGEST = 0x5b000000u;

// The bits without the sign, in the order of the sizes; those of NaN are above those of infinity.
fn sizes_of(numbers: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(numbers) & vec4<u32>(0x7fffffffu);
}

fn is_finite(number: f32) -> bool {
    return (bitcast<u32>(number) & 0x7fffffffu) < INFINITE;
}

// Gradients as a step takes them: of those that are replaced, NaN as 0, others no larger than `LARGEST`.
fn taken(gradients: vec4<f32>) -> vec4<f32> {
    if clamps == 0u {
        return gradients;
    }
    let sizes = sizes_of(gradients);
    let signs = bitcast<vec4<u32>>(gradients) & vec4<u32>(0x80000000u);
    let clamped = signs | min(sizes, vec4<u32>(LARGEST));
    return bitcast<vec4<f32>>(select(clamped, vec4<u32>(0u), sizes > vec4<u32>(INFINITE)));
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

// Four values, and their state.
struct Weights {
    w: vec4<f32>,
    first: vec4<f32>,
    second: vec4<f32>,
}

// What they become by a step along their gradients; `row_state` is what `accumulate` gave, where the optimizer is
// row-wise.
fn moved(before: Weights, gradients: vec4<f32>, row_state: f32) -> Weights {
    var after = before;
    var g = gradients;
    if decay == OF_GRADIENTS {
        g += params.weight_decay * before.w;
    }
    var direction = g;
    if optimizer == MOMENTUM || optimizer == NESTEROV {
        let velocity = params.beta1 * before.first + g;
        after.first = velocity;
        direction = velocity;
        if optimizer == NESTEROV {
            direction = g + params.beta1 * velocity;
        }
    } else if optimizer == ADAGRAD {
        let sum = before.first + g * g;
        after.first = sum;
        direction = g / (sqrt(sum) + params.epsilon);
    } else if optimizer == ADAM {
        let mean = params.beta1 * before.first + (1.0 - params.beta1) * g;
        let square = params.beta2 * before.second + (1.0 - params.beta2) * (g * g);
        after.first = mean;
        after.second = square;
        // The correction of the mean is in the learning rate.
        direction = mean / (sqrt(square * params.correction) + params.epsilon);
    } else if optimizer == RMS_PROP {
        let average = params.beta2 * before.first + (1.0 - params.beta2) * (g * g);
        after.first = average;
        direction = g / (sqrt(average) + params.epsilon);
    } else if optimizer == FTRL {
        // Its alpha is the learning rate, its beta epsilon, its l1 and l2 the betas.
        let sum = before.second + g * g;
        let root = sqrt(sum);
        let z = before.first + g - (root - sqrt(before.second)) / params.learning_rate * before.w;
        let shrunk = (sign(z) * params.beta1 - z) / ((params.epsilon + root) / params.learning_rate + params.beta2);
        return Weights(select(vec4<f32>(0.0), shrunk, abs(z) > vec4<f32>(params.beta1)), z, sum);
    } else if optimizer == ROW_WISE_ADAGRAD || optimizer == ROW_WISE_RMS_PROP {
        direction = g / (sqrt(row_state) + params.epsilon);
    } else if optimizer == ROW_WISE_ADAM {
        let mean = params.beta1 * before.first + (1.0 - params.beta1) * g;
        after.first = mean;
        direction = mean / (sqrt(row_state * params.correction) + params.epsilon);
    }
    var kept = before.w;
    if decay == OF_WEIGHTS {
        kept -= params.weight_decay * before.w;
    }
    after.w = kept - params.learning_rate * direction;
    return after;
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
    let states = max(sizes_of(after.first), sizes_of(after.second));
    let largest = max(max(sizes_of(taken(gradients)), sizes_of(after.w)), states);
    let sound = (largest < vec4<u32>(INFINITE)) & vec4<bool>(row_is_finite);
    if counts == 1u {
        let replaced = bitcast<vec4<u32>>(taken(gradients)) != bitcast<vec4<u32>>(gradients);
        add_to_counter(ones_of(inside & !sound) + ones_of(inside & replaced));
    }
    put_weights(id, row, dims, after, inside & sound);
}

fn ones_of(which: vec4<bool>) -> vec4<u32> {
    return select(vec4<u32>(0u), vec4<u32>(1u), which);
}

fn add_to_counter(ones: vec4<u32>) {
    let number = ones.x + ones.y + ones.z + ones.w;
    if number > 0u {
        atomicAdd(&counter, number);
    }
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
