//! Sizes of frequency groups, learned as a linear bandit that forgets.

use super::bandit::{Bandit, Setup, by_bandit};
use crate::Result;
use crate::check::domain;
use crate::sizing::{Probe, SizePolicy, SizingContext};

/// How the bandit explores and forgets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinUcbOptions {
    /// Probes a segment, that of the deployed sizes included (default 8).
    pub probes: u32,
    /// Actions that a probe is chosen from (default 64).
    pub actions: u32,
    /// What an observation weighs after one more, 0 to 1 (default 0.95: about the last 20 probes count).
    pub gamma: f64,
    /// Ridge of the least squares (default 1).
    pub ridge: f64,
    /// Weight of the confidence width against the expected reward (default 1; only probes take the risk).
    pub alpha: f64,
}

impl Default for LinUcbOptions {
    fn default() -> Self {
        Self { probes: 8, actions: 64, gamma: 0.95, ridge: 1.0, alpha: 1.0 }
    }
}

/// Discounted LinUCB over the sizes of groups of entities.
///
/// A group is a tenth of a side by frequency. An arm gives it a level `l`: 1/4, 1/2, 1, 2 or 4 times the mean size; the
/// weights of all rows are then scaled to the budget. An action is a level for every group, and its features are sums
/// over groups:
/// ```text
/// x = sum over a side's groups of (l, l^2, f l, f l^2)     l = log4(level), in -1..=1
/// ```
/// for both sides, where `f` is the group's mean `ln(1 + frequency)`, scaled so that the side's largest is 1 and none
/// is -1. The features are additive, so one probe, which sets all groups at once, tells about all of them, and the best
/// action is the best level of each group. The reward is `10 * (quality / quality of the deployed sizes - 1)` for the
/// difference of both actions' features. A probe is of the action with the largest `expected + alpha * width` among
/// some drawn around the deployed one, which is the paper's algorithm with an action set that changes; what is deployed
/// has no such bonus. [`LinTs`](super::LinTs) is the same with a random draw in place of that bonus.
///
/// # Cost
/// On the host, a sort of all rows for each probe and decision; the model is 8 by 8.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for a `gamma`, `ridge` or `alpha` outside its domain.
///
/// # Source
/// Russac, Vernade, Cappé, "Weighted Linear Bandits for Non-Stationary Environments", NeurIPS 2019 (arXiv 1909.09146),
/// which DESS builds on (He et al., "Dynamic Embedding Size Search with Minimum Regret for Streaming Recommender
/// System", CIKM 2023). Groups, features and reward are ours.
#[derive(Clone, Debug)]
pub struct LinUcb {
    options: LinUcbOptions,
    bandit: Bandit,
}

impl Default for LinUcb {
    fn default() -> Self {
        Self::new(LinUcbOptions::default())
    }
}

impl LinUcb {
    /// A bandit that has seen nothing: uniform sizes.
    pub fn new(options: LinUcbOptions) -> Self {
        let LinUcbOptions { probes, actions, gamma, ridge, .. } = options;
        let bandit = Bandit::new(Setup { op: "LinUcb", entry: "levels", probes, actions, gamma, ridge });
        Self { options, bandit }
    }
}

impl SizePolicy for LinUcb {
    fn name(&self) -> &'static str {
        "linucb"
    }

    fn options(&self) -> String {
        format!("{:?}", self.options)
    }

    fn check(&self) -> Result<()> {
        self.bandit.check()?;
        let alpha = self.options.alpha;
        domain("LinUcb", "alpha", alpha, alpha.is_finite() && alpha >= 0.0, "finite and at least 0")
    }

    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        self.check()?;
        let alpha = self.options.alpha;
        self.bandit.search(last, probe, |model, actions, _| {
            actions.iter().map(|x| model.expected(x) + alpha * model.width(x)).collect()
        })
    }

    by_bandit!();
}
