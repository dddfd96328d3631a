//! A linear model of rewards that forgets, and how sure it is.

use crate::file::State;
use crate::{Error, Result};

/// Length of an action's features.
pub(super) const FEATURES: usize = 8;

pub(in super::super) type Vector = [f64; FEATURES];
type Matrix = [Vector; FEATURES];

/// Least squares with weights that fall by `gamma` an observation, and the matching confidence width.
///
/// ```text
/// V  = gamma V  + x x' + (1 - gamma) lambda I        theta = V^-1 b
/// V~ = gamma^2 V~ + x x' + (1 - gamma^2) lambda I    width(x) = sqrt(x' V^-1 V~ V^-1 x)
/// b  = gamma b  + reward x
/// ```
/// V~ holds squared weights: it is what the noise of weighted observations adds up to.
///
/// Source: Russac, Vernade, Cappé, "Weighted Linear Bandits for Non-Stationary Environments", NeurIPS 2019 (arXiv
/// 1909.09146), algorithm D-LinUCB; the draws are those of D-LinTS (Kim, Tewari, UAI 2020, arXiv 1912.05695).
#[derive(Clone, Debug)]
pub(in super::super) struct Discounted {
    gamma: f64,
    ridge: f64,
    v: Matrix,
    v_squared: Matrix,
    b: Vector,
    theta: Vector,
}

impl Discounted {
    /// Nothing observed; `gamma` in 0..=1, `ridge` (lambda) above 0.
    pub fn new(gamma: f64, ridge: f64) -> Self {
        let mut v = Matrix::default();
        (0..FEATURES).for_each(|i| v[i][i] = ridge);
        Self { gamma, ridge, v, v_squared: v, b: Vector::default(), theta: Vector::default() }
    }

    /// What it has learned.
    pub fn save(&self) -> State {
        let mut state = State::default();
        state.put("v", self.v.as_flattened());
        state.put("v_squared", self.v_squared.as_flattened());
        state.put("b", self.b);
        state.put("theta", self.theta);
        state
    }

    /// Takes that in, of a state with one entry more.
    pub fn restore(&mut self, state: &State, more: &str) -> Result<()> {
        state.only(&["v", "v_squared", "b", "theta", more])?;
        let vector = |name: &str| {
            let vector: Vector = state.array(name)?;
            state.check(name, &vector, f64::is_finite, "finite").map(|()| vector)
        };
        let matrix = |name: &str| {
            let numbers = state.exactly::<f64>(name, FEATURES * FEATURES)?;
            state.check(name, numbers, f64::is_finite, "finite")?;
            Ok::<Matrix, Error>(std::array::from_fn(|i| std::array::from_fn(|j| numbers[i * FEATURES + j])))
        };
        let (v, v_squared, b, theta) = (matrix("v")?, matrix("v_squared")?, vector("b")?, vector("theta")?);
        *self = Self { v, v_squared, b, theta, ..*self };
        Ok(())
    }

    /// What an action's reward is expected to be.
    pub fn expected(&self, x: &Vector) -> f64 {
        dot(&self.theta, x)
    }

    /// How wide the confidence in that is.
    pub fn width(&self, x: &Vector) -> f64 {
        let y = solve(&self.v, x);
        self.v_squared.iter().zip(&y).map(|(row, y_i)| y_i * dot(row, &y)).sum::<f64>().max(0.0).sqrt()
    }

    /// What theta may be, for normal numbers z of a standard deviation: `theta + V^-1 L z` with `L L' = V~`. Draws have
    /// the covariance `V^-1 V~ V^-1`, times the variance of z: that of `width`.
    pub fn draw(&self, z: &Vector) -> Vector {
        let lower = cholesky(&self.v_squared);
        let off = solve(&self.v, &std::array::from_fn(|i| dot(&lower[i], z)));
        std::array::from_fn(|i| self.theta[i] + off[i])
    }

    /// Learns what an action earned.
    pub fn observe(&mut self, x: &Vector, reward: f64) {
        let update = |matrix: &mut Matrix, gamma: f64| {
            for (i, row) in matrix.iter_mut().enumerate() {
                row.iter_mut().zip(x).for_each(|(entry, x_j)| *entry = gamma * *entry + x[i] * x_j);
                row[i] += (1.0 - gamma) * self.ridge;
            }
        };
        update(&mut self.v, self.gamma);
        update(&mut self.v_squared, self.gamma * self.gamma);
        self.b.iter_mut().zip(x).for_each(|(b, x)| *b = self.gamma * *b + reward * x);
        self.theta = solve(&self.v, &self.b);
    }
}

pub(in super::super) fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The lower triangle `L` with `L L' = matrix`. The ridge keeps the matrix positive definite.
fn cholesky(matrix: &Matrix) -> Matrix {
    let mut lower = Matrix::default();
    for i in 0..FEATURES {
        for j in 0..=i {
            let rest = matrix[i][j] - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            lower[i][j] = if i == j { rest.sqrt() } else { rest / lower[j][j] };
        }
    }
    lower
}

/// Solves `matrix * y = x`.
fn solve(matrix: &Matrix, x: &Vector) -> Vector {
    let lower = cholesky(matrix);
    let mut y = *x;
    for i in 0..FEATURES {
        y[i] = (y[i] - (0..i).map(|k| lower[i][k] * y[k]).sum::<f64>()) / lower[i][i];
    }
    for i in (0..FEATURES).rev() {
        y[i] = (y[i] - (i + 1..FEATURES).map(|k| lower[k][i] * y[k]).sum::<f64>()) / lower[i][i];
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Philox, Purpose};

    fn feature(step: usize) -> Vector {
        std::array::from_fn(|i| ((step * 7 + i * 3) % 11) as f64 / 5.0 - 1.0 + 0.1 * (i * step % 5) as f64)
    }

    #[test]
    fn solves_what_it_multiplies() {
        let mut model = Discounted::new(0.9, 0.5);
        (0..20).for_each(|step| model.observe(&feature(step), 1.0));
        let y = feature(33);
        let x: Vector = std::array::from_fn(|i| dot(&model.v[i], &y));
        for (got, expected) in solve(&model.v, &x).iter().zip(&y) {
            assert!((got - expected).abs() < 1e-9, "{got} {expected}");
        }
    }

    #[test]
    fn matrices_are_the_weighted_sums() {
        let (gamma, ridge, steps) = (0.8, 0.3, 12);
        let mut model = Discounted::new(gamma, ridge);
        (0..steps).for_each(|step| model.observe(&feature(step), step as f64));
        for i in 0..FEATURES {
            for j in 0..FEATURES {
                for (matrix, gamma) in [(&model.v, gamma), (&model.v_squared, gamma * gamma)] {
                    let weighted =
                        (0..steps).map(|s| f64::powi(gamma, (steps - 1 - s) as i32) * feature(s)[i] * feature(s)[j]);
                    let expected = weighted.sum::<f64>() + if i == j { ridge } else { 0.0 };
                    assert!((matrix[i][j] - expected).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn learns_a_line_and_its_change() {
        let truth = |x: &Vector, sign: f64| sign * (2.0 * x[0] - x[3]);
        let mut model = Discounted::new(0.9, 1e-3);
        for (sign, steps) in [(1.0, 0..80), (-1.0, 80..160)] {
            let before = model.width(&feature(500));
            steps.for_each(|step| model.observe(&feature(step), truth(&feature(step), sign)));
            let x = feature(500);
            assert!((model.expected(&x) - truth(&x, sign)).abs() < 0.05, "{}", model.expected(&x));
            assert!(sign < 0.0 || model.width(&x) < before / 2.0);
        }
    }

    /// Along any direction the draws lie around what is expected, as far as the width says.
    #[test]
    fn draws_have_the_covariance_of_the_width() {
        let mut model = Discounted::new(0.8, 0.2);
        // Half of the features are large: what they earn is known well, the rest is not, and V is far from V~.
        let uneven = |step: usize| -> Vector {
            let x = feature(step);
            std::array::from_fn(|i| if i < FEATURES / 2 { 6.0 * x[i] } else { x[i] })
        };
        (0..12).for_each(|step| model.observe(&uneven(step), step as f64 / 3.0));
        let a = 0.3;
        let unit = |i: usize| std::array::from_fn(|j| f64::from(u8::from(i == j)));
        let mut directions: Vec<Vector> = (0..FEATURES).map(unit).collect();
        directions.extend((0..20).map(|step| feature(100 + step)));
        let widths: Vec<f64> = directions.iter().map(|x| model.width(x)).collect();
        let (least, most) =
            (widths.iter().copied().fold(f64::INFINITY, f64::min), widths.iter().copied().fold(0.0, f64::max));
        assert!(most > 5.0 * least, "{widths:?}");

        let mut rng = Philox::new(17, Purpose::User);
        let n = 100_000;
        let mut sums = vec![[0.0; 2]; directions.len()];
        for _ in 0..n {
            let theta = model.draw(&std::array::from_fn(|_| a * rng.normal()));
            for (x, [sum, squares]) in directions.iter().zip(&mut sums) {
                let off = dot(&theta, x) - model.expected(x);
                *sum += off;
                *squares += off * off;
            }
        }
        for (width, [sum, squares]) in widths.into_iter().zip(sums) {
            let (mean, variance) = (sum / f64::from(n), squares / f64::from(n));
            let expected = (a * width).powi(2);
            // Five standard errors of each: sqrt(1 / n) of a deviation, and sqrt(2 / n) of a variance.
            assert!(mean.abs() < 5.0 * (expected / f64::from(n)).sqrt(), "{mean}, width {width}");
            assert!(
                (variance / expected - 1.0).abs() < 5.0 * (2.0 / f64::from(n)).sqrt(),
                "{variance}, not {expected}"
            );
        }
        assert_eq!(model.draw(&Vector::default()), model.theta);
    }
}
