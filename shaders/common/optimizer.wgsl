// The optimizer's step, as src/kernels/table/optimizer.rs has it. The including file binds `arena`, `first_state` and
// `second_state`, has `lanes`, and in Params `learning_rate`, `epsilon`, `beta1`, `beta2` and `correction`.

override optimizer: u32 = 0u;   // 0 SGD, 1 Adagrad, 2 Adam; row-wise Adagrad has entry points of its own

// One value along its gradient.
fn step(at: u32, g: f32) {
    if optimizer == 0u {
        arena[at] -= params.learning_rate * g;
    } else if optimizer == 1u {
        let sum = first_state[at] + g * g;
        first_state[at] = sum;
        arena[at] -= params.learning_rate * g / (sqrt(sum) + params.epsilon);
    } else {
        let mean = params.beta1 * first_state[at] + (1.0 - params.beta1) * g;
        let square = params.beta2 * second_state[at] + (1.0 - params.beta2) * (g * g);
        first_state[at] = mean;
        second_state[at] = square;
        // The correction of the mean is in the learning rate.
        arena[at] -= params.learning_rate * mean / (sqrt(square * params.correction) + params.epsilon);
    }
}

// One value of a row whose accumulator is `sum`.
fn step_row_wise(at: u32, g: f32, sum: f32) {
    arena[at] -= params.learning_rate * g / (sqrt(sum) + params.epsilon);
}

var<workgroup> squares_shared: array<f32, 256>;

// Adds the mean square of a row's gradient to its accumulator and gives the sum to all its lanes. `squares` is this
// lane's part; a row without width stays. All threads of the workgroup come here.
fn accumulate(thread: u32, row: u32, width: u32, squares: f32) -> f32 {
    squares_shared[thread] = squares;
    workgroupBarrier();
    for (var half = lanes >> 1u; half > 0u; half >>= 1u) {
        if thread % lanes < half {
            squares_shared[thread] += squares_shared[thread + half];
        }
        workgroupBarrier();
    }
    // One lane reads and writes the accumulator: a workgroup's barrier does not order storage.
    if thread % lanes == 0u && width > 0u {
        let sum = first_state[row] + squares_shared[thread] / f32(width);
        first_state[row] = sum;
        squares_shared[thread] = sum;
    }
    workgroupBarrier();
    return squares_shared[thread - thread % lanes];
}
