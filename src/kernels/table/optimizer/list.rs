//! The list of optimizers: everything about each, apart from its formula.

use super::constants::Formula;
use super::recipe::{
    AVERAGE, AVERAGE_OF_ROW, AVERAGE_OF_SQUARES, BETA, CORRECTED_SHARE, CORRECTED_SHARE_OF_SQUARES, Constant, DECAY,
    EPSILON, L1, L2, MOST_CONSTANTS, POSITIVE_RATE, RATE, Recipe, SHARE, SHARE_OF_SQUARES, SUM_OF_ADJUSTED, SUM_OF_ROW,
    SUM_OF_SQUARES, VELOCITY, optimizers,
};
use crate::Result;

optimizers! {
    /// `w -= lr * g`, lr being the learning rate. No state.
    Sgd: "sgd" => Sgd, [], {
        /// Step size.
        learning_rate: RATE = 0.01,
    };

    /// SGD along a velocity: `v = mu * v + g; w -= lr * v`, lr being the learning rate and mu the momentum. State: v, a
    /// number a value.
    ///
    /// Source: Polyak 1964; with the look ahead Nesterov 1983, in the form of Sutskever, Martens, Dahl, Hinton, ICML
    /// 2013, with the rate outside of the velocity, so that a new rate takes hold at once.
    Momentum: "momentum" => Momentum, [VELOCITY], {
        /// Step size. A gradient moves a weight by `1 / (1 - momentum)` times as much in the long run.
        learning_rate: RATE = 0.01,
        /// Share of the old velocity, in `[0, 1)`.
        momentum: SHARE = 0.9,
    } or {
        /// Looks one step ahead: `w -= lr * (g + mu * v)`, v being the new velocity.
        nesterov: "nesterov" => Nesterov,
    };

    /// `s += g^2; w -= lr * g / (sqrt(s) + eps)`, lr being the learning rate and eps the epsilon. State: s, a number a
    /// value.
    ///
    /// Source: Duchi, Hazan, Singer, JMLR 2011.
    Adagrad: "adagrad" => Adagrad, [SUM_OF_SQUARES], {
        /// Step size.
        learning_rate: RATE = 0.01,
        /// Keeps the first steps finite.
        epsilon: EPSILON = 1e-8,
    };

    /// Adagrad with one number of state a row: `s += mean of g^2` over the dims of the row that have a gradient. State:
    /// s, a number a row.
    ///
    /// Source: FBGEMM's exact row-wise Adagrad.
    RowWiseAdagrad: "row_wise_adagrad" => RowWiseAdagrad, [SUM_OF_ROW], {
        /// Step size.
        learning_rate: RATE = 0.01,
        /// Keeps the first steps finite.
        epsilon: EPSILON = 1e-8,
    };

    /// Along a moving average of the gradient, divided by the root of one of its square, both corrected for their start
    /// at zero: `m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g^2; w -= lr * m / (1 - b1^t) / (sqrt(v / (1 -
    /// b2^t)) + eps)`, lr being the learning rate, b1 and b2 the betas, eps the epsilon, and t the table's step. State:
    /// m and v, two numbers a value.
    ///
    /// The step that corrects is the table's, not the row's: a row that first occurs late takes first steps as large as
    /// `(1 - b1) / sqrt(1 - b2)` times the learning rate.
    ///
    /// Source: Kingma, Ba, ICLR 2015.
    Adam: "adam" => Adam, [AVERAGE, AVERAGE_OF_SQUARES], {
        /// Step size.
        learning_rate: RATE = 1e-3,
        /// Share of the old average of gradients, in `[0, 1)`.
        beta1: CORRECTED_SHARE = 0.9,
        /// Share of the old average of squares, in `[0, 1)`.
        beta2: CORRECTED_SHARE_OF_SQUARES = 0.999,
        /// Keeps steps along vanishing gradients finite.
        epsilon: EPSILON = 1e-8,
    };

    /// [`Adam`](Self::Adam) with weight decay that is kept apart from the gradient: first `w -= lr * wd * w`, wd being
    /// the decay. The averages do not contain it.
    ///
    /// Source: Loshchilov, Hutter, ICLR 2019.
    AdamW: "adamw" => Adam, [AVERAGE, AVERAGE_OF_SQUARES], {
        /// Step size.
        learning_rate: RATE = 1e-3,
        /// Share of the old average of gradients, in `[0, 1)`.
        beta1: CORRECTED_SHARE = 0.9,
        /// Share of the old average of squares, in `[0, 1)`.
        beta2: CORRECTED_SHARE_OF_SQUARES = 0.999,
        /// Keeps steps along vanishing gradients finite.
        epsilon: EPSILON = 1e-8,
        /// Share of a weight that it loses a step, times the learning rate.
        weight_decay as "decoupled_weight_decay": DECAY = 1e-2,
    };

    /// [`Adam`](Self::Adam) with one average of squares a row: `v = b2 * v + (1 - b2) * mean of g^2` over the dims of
    /// the row that have a gradient. State: m, a number a value, and v, a number a row.
    ///
    /// Source: FBGEMM's partial row-wise Adam.
    RowWiseAdam: "row_wise_adam" => RowWiseAdam, [AVERAGE, AVERAGE_OF_ROW], {
        /// Step size.
        learning_rate: RATE = 1e-3,
        /// Share of the old average of gradients, in `[0, 1)`.
        beta1: CORRECTED_SHARE = 0.9,
        /// Share of the old average of mean squares, in `[0, 1)`.
        beta2: CORRECTED_SHARE_OF_SQUARES = 0.999,
        /// Keeps steps along vanishing gradients finite.
        epsilon: EPSILON = 1e-8,
    };

    /// Along the gradient divided by the root of a moving average of its square:
    /// `v = rho * v + (1 - rho) * g^2; w -= lr * g / (sqrt(v) + eps)`, lr being the learning rate and eps the epsilon.
    /// The average is not corrected for its start at zero. State: v, a number a value.
    ///
    /// Source: Tieleman, Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.
    RmsProp: "rmsprop" => RmsProp, [AVERAGE_OF_SQUARES], {
        /// Step size.
        learning_rate: RATE = 1e-3,
        /// Share of the old average, in `[0, 1)`.
        rho: SHARE_OF_SQUARES = 0.9,
        /// Keeps steps along vanishing gradients finite.
        epsilon: EPSILON = 1e-8,
    };

    /// [`RmsProp`](Self::RmsProp) with one number of state a row: `v = rho * v + (1 - rho) * mean of g^2` over the dims
    /// of the row that have a gradient. State: v, a number a row.
    RowWiseRmsProp: "row_wise_rmsprop" => RowWiseRmsProp, [AVERAGE_OF_ROW], {
        /// Step size.
        learning_rate: RATE = 1e-3,
        /// Share of the old average, in `[0, 1)`.
        rho: SHARE_OF_SQUARES = 0.9,
        /// Keeps steps along vanishing gradients finite.
        epsilon: EPSILON = 1e-8,
    };

    /// FTRL-Proximal, whose weights become exactly 0 where gradients say little:
    /// `z += g - (sqrt(n + g^2) - sqrt(n)) / lr * w; n += g^2;` `w = 0` where `|z| <= l1`, else
    /// `w = -(z - sign(z) * l1) / ((beta + sqrt(n)) / lr + l2)`. State: z and n, two numbers a value.
    ///
    /// A weight follows from z and n, so little is left of its start value after the first step. It is meant for
    /// weights of single features, such as rows of one value, where a feature without evidence should have the weight
    /// 0. A step of another learning rate takes the sums as they are.
    ///
    /// Source: McMahan et al., "Ad click prediction: a view from the trenches", KDD 2013, algorithm 1.
    Ftrl: "ftrl" => Ftrl, [SUM_OF_ADJUSTED, SUM_OF_SQUARES], {
        /// Step size, above 0: alpha in the paper.
        learning_rate: POSITIVE_RATE = 0.1,
        /// Keeps the first steps small.
        beta: BETA = 1.0,
        /// Weights of less evidence than this are 0.
        l1: L1 = 0.0,
        /// Draws weights to 0.
        l2: L2 = 0.0,
    };
}
