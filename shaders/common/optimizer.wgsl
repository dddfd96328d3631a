// The optimizer's step, as src/kernels/table/optimizer/step.rs has it. The including file binds `arena`, `first_state` and
// `second_state`, has `lanes`, and in Params `learning_rate`, `epsilon`, `beta1`, `beta2`, `correction`, `weight_decay` and
// `max_norm`.

const SGD = 0u;
const MOMENTUM = 1u;
const NESTEROV = 2u;
const ADAGRAD = 3u;
const ADAM = 4u;
const ROW_WISE_ADAGRAD = 5u;
const ROW_WISE_ADAM = 6u;

const OF_GRADIENTS = 1u;
const OF_WEIGHTS = 2u;

override optimizer: u32 = 0u;
override decay: u32 = 0u;  // weight decay: 0 none
override clip: u32 = 0u;   // 1 where a row's gradient has a longest norm

fn is_row_wise() -> bool {
    return optimizer == ROW_WISE_ADAGRAD || optimizer == ROW_WISE_ADAM;
}

// The gradient of a value, decay included.
fn decayed(at: u32, g: f32) -> f32 {
    if decay == OF_GRADIENTS {
        return g + params.weight_decay * arena[at];
    }
    return g;
}

// One value along its gradient; `row_state` is what `accumulate` gave, where the optimizer is row-wise.
fn step(at: u32, gradient: f32, row_state: f32) {
    let g = decayed(at, gradient);
    var direction = g;
    if optimizer == MOMENTUM || optimizer == NESTEROV {
        let velocity = params.beta1 * first_state[at] + g;
        first_state[at] = velocity;
        direction = velocity;
        if optimizer == NESTEROV {
            direction = g + params.beta1 * velocity;
        }
    } else if optimizer == ADAGRAD {
        let sum = first_state[at] + g * g;
        first_state[at] = sum;
        direction = g / (sqrt(sum) + params.epsilon);
    } else if optimizer == ADAM {
        let mean = params.beta1 * first_state[at] + (1.0 - params.beta1) * g;
        let square = params.beta2 * second_state[at] + (1.0 - params.beta2) * (g * g);
        first_state[at] = mean;
        second_state[at] = square;
        // The correction of the mean is in the learning rate.
        direction = mean / (sqrt(square * params.correction) + params.epsilon);
    } else if optimizer == ROW_WISE_ADAGRAD {
        direction = g / (sqrt(row_state) + params.epsilon);
    } else if optimizer == ROW_WISE_ADAM {
        let mean = params.beta1 * first_state[at] + (1.0 - params.beta1) * g;
        first_state[at] = mean;
        direction = mean / (sqrt(row_state * params.correction) + params.epsilon);
    }
    let w = arena[at];
    var kept = w;
    if decay == OF_WEIGHTS {
        kept -= params.weight_decay * w;
    }
    arena[at] = kept - params.learning_rate * direction;
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

// What a row's gradient is multiplied by, so that it is not longer than `max_norm`. `squares` is this lane's part. All
// threads of the workgroup come here.
fn clip_factor(thread: u32, squares: f32) -> f32 {
    sum_of_lanes(thread, squares);
    let norm = sqrt(squares_shared[thread - thread % lanes]);
    // The sum is read before the next one begins.
    workgroupBarrier();
    if norm > params.max_norm {
        return params.max_norm / norm;
    }
    return 1.0;
}

// Takes the mean square of a row's gradient into its state and gives that to all its lanes. `squares` is this lane's
// part; a row without width stays. All threads of the workgroup come here.
fn accumulate(thread: u32, row: u32, width: u32, squares: f32) -> f32 {
    sum_of_lanes(thread, squares);
    // One lane reads and writes the state: a workgroup's barrier does not order storage.
    if thread % lanes == 0u && width > 0u {
        let mean = squares_shared[thread] / f32(width);
        var state = 0.0;
        if optimizer == ROW_WISE_ADAM {
            state = params.beta2 * second_state[row] + (1.0 - params.beta2) * mean;
            second_state[row] = state;
        } else {
            state = first_state[row] + mean;
            first_state[row] = state;
        }
        squares_shared[thread] = state;
    }
    workgroupBarrier();
    return squares_shared[thread - thread % lanes];
}
