// The optimizer's step of single values, as src/kernels/table/optimizer has it. The including file has step_params.wgsl
// in Params.

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

// Where all that a step would write is finite.
fn is_sound(gradients: vec4<f32>, after: Weights) -> vec4<bool> {
    let states = max(sizes_of(after.first), sizes_of(after.second));
    let largest = max(max(sizes_of(taken(gradients)), sizes_of(after.w)), states);
    return largest < vec4<u32>(INFINITE);
}

fn ones_of(which: vec4<bool>) -> vec4<u32> {
    return select(vec4<u32>(0u), vec4<u32>(1u), which);
}

// How many of the dims inside are left out, as they are not sound, or have a gradient that is replaced.
fn not_as_they_came(gradients: vec4<f32>, inside: vec4<bool>, sound: vec4<bool>) -> u32 {
    let replaced = bitcast<vec4<u32>>(taken(gradients)) != bitcast<vec4<u32>>(gradients);
    let ones = ones_of(inside & !sound) + ones_of(inside & replaced);
    return ones.x + ones.y + ones.z + ones.w;
}
