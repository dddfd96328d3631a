// The optimizer's step, as src/kernels/table/optimizer/step.rs has it. The including file imports rows, binds `arena`, `first_state` and
// `second_state`, has `lanes`, and in Params `learning_rate`, `epsilon`, `beta1`, `beta2`, `correction`, `weight_decay`,
// `max_norm`, `step`, `purpose`, `key_low` and `key_high`.
//import common/philox.wgsl

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

fn value_at(at: u32) -> f32 {
    return widened(arena[word_of(at)], at);
}

// The gradient of a value, decay included.
fn decayed(at: u32, g: f32) -> f32 {
    if decay == OF_GRADIENTS {
        return g + params.weight_decay * value_at(at);
    }
    return g;
}

// The dims that a lane steps at once are the values of a word: this many.
fn per_word() -> u32 {
    return 1u << half;
}

// The squares of a lane's gradients, decay included on request.
fn squares_of(at: u32, two: bool, g: vec2<f32>, with_decay: bool) -> f32 {
    var x = g.x;
    var y = g.y;
    if with_decay {
        x = decayed(at, x);
        if two {
            y = decayed(at + 1u, y);
        }
    }
    var sum = x * x;
    if two {
        sum += y * y;
    }
    return sum;
}

// What a value `w` becomes by a step along its gradient; `row_state` is what `accumulate` gave, where the optimizer is row-wise.
fn moved(at: u32, w: f32, gradient: f32, row_state: f32) -> f32 {
    var g = gradient;
    if decay == OF_GRADIENTS {
        g += params.weight_decay * w;
    }
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
    var kept = w;
    if decay == OF_WEIGHTS {
        kept -= params.weight_decay * w;
    }
    return kept - params.learning_rate * direction;
}

// One step of the word that begins with dim j of a row, at `at`: of one value, or of two f16, the second only where it has a gradient
// (`two`). `row` is the row's id.
fn step(row: u32, j: u32, at: u32, two: bool, g: vec2<f32>, row_state: f32) {
    let word = arena[word_of(at)];
    if half == 0u {
        arena[at] = bitcast<u32>(moved(at, bitcast<f32>(word), g.x, row_state));
        return;
    }
    let noise = philox(vec4<u32>(row, j >> 2u, params.step, params.purpose), vec2<u32>(params.key_low, params.key_high));
    let low = dithered(moved(at, widened(word, 0u), g.x, row_state), noise[j & 3u] >> 16u);
    var high = word >> 16u;
    if two {
        high = dithered(moved(at + 1u, widened(word, 1u), g.y, row_state), noise[(j & 3u) + 1u] >> 16u);
    }
    arena[word_of(at)] = low | (high << 16u);
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
