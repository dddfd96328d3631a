//! What a probe found, and how that compares with what another found.

use crate::Result;
use crate::check::{domain, len};

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Mean of Recall@20 and NDCG@20 over the users that were ranked for.
    pub quality: f64,
    /// The same of each of these users, in one order in all probes of a segment. Empty where that is not known.
    pub of_users: Vec<f32>,
    /// Mean of all user rows after training, missing dims as zero: `d_max` values.
    pub user_mean: Vec<f32>,
    /// The same of the items, without biases.
    pub item_mean: Vec<f32>,
}

/// The quality of one probe in units of another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relative {
    /// The one's quality over the other's: 1 where both are as good.
    pub ratio: f64,
    /// The ratio's standard error, in the same unit: how far it may lie from the ratio that other users of the same
    /// taste would give.
    pub error: f64,
}

impl Outcome {
    /// Its quality `Q` in units of the quality `P` of another probe of the segment, user by user.
    ///
    /// `ratio = Q / P`. Both ranked for the same n users, of whom one has `q_i` here and `p_i` there. What is hard to
    /// rank for is so for both, and falls out of the differences `d_i = q_i - p_i`: `error = sqrt(sum of (d_i - mean
    /// d)^2 / (n * (n - 1))) / P`, the standard error of a paired comparison. It is infinite with a single user, and 0
    /// where the users' qualities are not known: then the ratio is taken as it is.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) where `P` is not above 0, or one of the two not finite;
    /// [`Error::Shape`](crate::Error::Shape) where they know of different numbers of users.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::sizing::Outcome;
    /// let of = |of_users: [f32; 4]| {
    ///     let quality = f64::from(of_users.iter().sum::<f32>()) / 4.0;
    ///     Outcome { quality, of_users: of_users.to_vec(), user_mean: Vec::new(), item_mean: Vec::new() }
    /// };
    /// // Users differ by much, the two probes by little.
    /// let relative = of([0.0, 0.25, 0.5, 1.0]).relative_to(&of([0.0, 0.25, 0.5, 0.75]))?;
    /// assert!((relative.ratio - 1.75 / 1.5).abs() < 1e-12);
    /// assert!((relative.error - 0.25 * f64::sqrt(0.75 / 12.0) / 0.375).abs() < 1e-12);
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn relative_to(&self, reference: &Self) -> Result<Relative> {
        let op = "Outcome::relative_to";
        let (quality, unit) = (self.quality, reference.quality);
        domain(op, "quality", quality, quality.is_finite(), "finite")?;
        domain(op, "reference", unit, unit.is_finite() && unit > 0.0, "finite and above 0")?;
        len(op, "of_users", self.of_users.len(), reference.of_users.len() as u64)?;
        let pairs = self.of_users.iter().zip(&reference.of_users);
        let differences: Vec<f64> = pairs.map(|(&q, &p)| f64::from(q) - f64::from(p)).collect();
        let n = differences.len() as f64;
        let mean = differences.iter().sum::<f64>() / n.max(1.0);
        let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
        let error = match differences.len() {
            0 => 0.0,
            1 => f64::INFINITY,
            _ => (squares / (n * (n - 1.0))).sqrt() / unit,
        };
        Ok(Relative { ratio: quality / unit, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(of_users: Vec<f32>) -> Outcome {
        let quality = f64::from(of_users.iter().sum::<f32>()) / of_users.len().max(1) as f64;
        Outcome { quality, of_users, user_mean: Vec::new(), item_mean: Vec::new() }
    }

    /// Users of all kinds, from 0 to 1, and probes that are better by a part for every other one.
    fn two(users: usize, part: f32) -> (Outcome, Outcome) {
        let reference: Vec<f32> = (0..users).map(|user| (user * 7 % 11) as f32 / 10.0).collect();
        let better = reference.iter().enumerate().map(|(user, &p)| if user % 2 == 0 { p + part } else { p });
        (outcome(better.collect()), outcome(reference))
    }

    #[test]
    fn the_error_of_pairs_is_that_of_their_differences() {
        let (better, reference) = two(440, 0.02);
        let relative = better.relative_to(&reference).unwrap();
        assert!((relative.ratio - 0.51 / 0.5).abs() < 1e-6, "{relative:?}");
        // Half of the differences are 0.02, half 0: a deviation of 0.01.
        assert!((relative.error - 0.01 / f64::sqrt(439.0) / 0.5).abs() < 1e-6, "{relative:?}");
        // Alone, each of the two is known to some 3 % only.
        let (more, reference) = two(1760, 0.02);
        let half = more.relative_to(&reference).unwrap().error;
        assert!((relative.error / half - 2.0).abs() < 0.01, "four times the users halve it: {half}");
        assert_eq!(reference.relative_to(&reference).unwrap(), Relative { ratio: 1.0, error: 0.0 });
    }

    #[test]
    fn few_users_say_little() {
        // One of three is ranked better: three times as good, and nothing is sure.
        let relative = outcome(vec![0.3, 0.0, 0.0]).relative_to(&outcome(vec![0.1, 0.0, 0.0])).unwrap();
        assert!((relative.ratio - 3.0).abs() < 1e-6 && (relative.error - 2.0).abs() < 1e-6, "{relative:?}");
        let one = outcome(vec![0.3]).relative_to(&outcome(vec![0.1])).unwrap();
        assert_eq!(one.error, f64::INFINITY);
        let unknown = Outcome { of_users: Vec::new(), ..outcome(vec![0.3]) };
        let relative = unknown.relative_to(&Outcome { quality: 0.2, ..unknown.clone() }).unwrap();
        assert!((relative.ratio - 1.5).abs() < 1e-6 && relative.error == 0.0);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let good = outcome(vec![0.5, 0.5]);
        let said = |one: &Outcome, reference: &Outcome| one.relative_to(reference).unwrap_err().to_string();
        let nothing = outcome(vec![0.0, 0.0]);
        let expected = "Outcome::relative_to: `reference` must be finite and above 0, got 0";
        assert_eq!(said(&good, &nothing), expected);
        let wrong = Outcome { quality: f64::NAN, ..good.clone() };
        assert!(said(&wrong, &good).contains("`quality` must be finite, got NaN"));
        assert!(said(&good, &wrong).contains("`reference` must be finite and above 0, got NaN"));
        assert!(said(&good, &outcome(vec![0.5; 3])).contains("`of_users`"));
    }
}
