//! Sizes of frequency groups, learned as a linear bandit that forgets and explores by random draws.

use super::bandit::{Bandit, Setup, by_bandit, dot};
use crate::Result;
use crate::check::domain;
use crate::sizing::{Probe, SizePolicy, SizingContext};

/// How the bandit explores and forgets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinTsOptions {
    /// Probes a segment, that of the deployed sizes included (default 8).
    pub probes: u32,
    /// Actions that a probe is chosen from (default 64).
    pub actions: u32,
    /// What an observation weighs after one more, 0 to 1 (default 0.95: about the last 20 probes count).
    pub gamma: f64,
    /// Ridge of the least squares (default 1).
    pub ridge: f64,
    /// Standard deviation of the draws, in units of the confidence width (default 0.3). The value that the theory asks
    /// for grows with the square root of the dimension and of the logarithm of the number of probes, and is far above
    /// what works: 0.1 was tuned for recommendations of movies.
    pub a: f64,
}

impl Default for LinTsOptions {
    fn default() -> Self {
        Self { probes: 8, actions: 64, gamma: 0.95, ridge: 1.0, a: 0.3 }
    }
}

/// Discounted linear Thompson sampling over the sizes of groups of entities.
///
/// Groups, levels, features, rewards and the model of rewards are those of [`LinUcb`](super::LinUcb). What differs is
/// the action that a probe tries. One draw is made of what the model may be,
/// ```text
/// theta~ = theta + V^-1 L z     z ~ N(0, a^2 I),  L L' = V~
/// ```
/// with the discounted matrices `V` of the observations and `V~` of their squared weights, and the probe is of the
/// action with the largest `<theta~, x>`. The draws have the mean `theta` and the covariance `a^2 V^-1 V~ V^-1`, so
/// `<theta~, x>` lies around the expected reward by `a` times the width that LinUCB adds: both explore by one model,
/// this one without trying all that is uncertain first. What is deployed is the best by `theta`, without a draw.
///
/// # Numerics
/// f64 on the host. The normal numbers come from a table in fixed point, so the draws of a seed and a segment are the
/// same on every machine.
///
/// # Cost
/// That of [`LinUcb`](super::LinUcb), with one product of 8 a candidate in place of a width.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for a `gamma`, `ridge` or `a` outside its domain.
///
/// # Example
/// ```
/// use scall_gpu::sizing::{LinTs, LinTsOptions, SizePolicy};
/// let policy = LinTs::new(LinTsOptions { a: 0.1, ..LinTsOptions::default() });
/// assert!(policy.name() == "lints" && policy.searches());
/// let wrong = LinTs::new(LinTsOptions { a: -0.1, ..LinTsOptions::default() });
/// assert_eq!(wrong.check().unwrap_err().to_string(), "LinTs: `a` must be finite and at least 0, got -0.1");
/// ```
///
/// # Source
/// D-LinTS of Kim, Tewari, "Randomized Exploration for Non-Stationary Stochastic Linear Bandits", UAI 2020 (arXiv
/// 1912.05695), which D-LinTS-RP applies to recommendation (Ghoorchian, Kortukov, Maghsudi, "Non-Stationary Linear
/// Bandits With Dimensionality Reduction for Large-Scale Recommender Systems", IEEE Open Journal of Signal Processing
/// 2024, arXiv 2202.03167). Its random projection is left out: there are 8 features. The Cholesky factor `L` stands for
/// the symmetric root of `V~`, which changes no distribution.
#[derive(Clone, Debug)]
pub struct LinTs {
    options: LinTsOptions,
    bandit: Bandit,
}

impl Default for LinTs {
    fn default() -> Self {
        Self::new(LinTsOptions::default())
    }
}

impl LinTs {
    /// A bandit that has seen nothing: uniform sizes.
    pub fn new(options: LinTsOptions) -> Self {
        let LinTsOptions { probes, actions, gamma, ridge, .. } = options;
        let bandit = Bandit::new(Setup { op: "LinTs", entry: "lints_levels", probes, actions, gamma, ridge });
        Self { options, bandit }
    }
}

impl SizePolicy for LinTs {
    fn name(&self) -> &'static str {
        "lints"
    }

    fn options(&self) -> String {
        format!("{:?}", self.options)
    }

    fn check(&self) -> Result<()> {
        self.bandit.check()?;
        let a = self.options.a;
        domain("LinTs", "a", a, a.is_finite() && a >= 0.0, "finite and at least 0")
    }

    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        self.check()?;
        let a = self.options.a;
        self.bandit.search(last, probe, |model, actions, rng| {
            let theta = model.draw(&std::array::from_fn(|_| a * rng.normal()));
            actions.iter().map(|x| dot(&theta, x)).collect()
        })
    }

    by_bandit!();
}
