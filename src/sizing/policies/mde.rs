//! Sizes by a power of popularity.

use super::recipe::stateless;
use crate::Result;
use crate::check::domain;
use crate::sizing::weighted::weighted;
use crate::sizing::{SizePolicy, Sizes, SizingContext};

/// Mixed dimensions: the width of a row is proportional to a power of its popularity, `d_i ~ p_i^temperature`.
///
/// The paper groups rows into blocks and gives each the width `lambda * p^alpha`, where `p` is how often a row of the
/// block is looked up per query, and alpha in 0..=1 its temperature: 0 is uniform, 1 gives rows what their popularity
/// says. Here each row is a block of its own and `p_i = (n_i + 1) / rows of the segment`. An interaction looks up one
/// user and one item, so one lambda serves both sides, and the users' share follows. Ours: the one more, without which
/// a known entity that is absent from one segment would lose its row; and lambda by exact apportionment instead of
/// rounding up to the budget.
///
/// # Source
/// Ginart et al., "Mixed dimension embeddings with application to memory-efficient recommendation systems", ISIT 2021
/// (arXiv 1909.11810), the power rule of its popularity-based sizing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixedDimensions {
    /// Skew of the sizes, 0 to 1 (default 0.3, that of the authors' public code).
    pub temperature: f64,
}

impl Default for MixedDimensions {
    fn default() -> Self {
        Self { temperature: 0.3 }
    }
}

impl SizePolicy for MixedDimensions {
    fn name(&self) -> &'static str {
        "mde"
    }

    fn options(&self) -> String {
        format!("{:?}", self)
    }

    fn check(&self) -> Result<()> {
        let ok = (0.0..=1.0).contains(&self.temperature);
        domain("MixedDimensions", "temperature", self.temperature, ok, "from 0 to 1")
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.check()?;
        let weight = |&n: &u32| libm::pow(f64::from(n) + 1.0, self.temperature) as f32;
        let weights: Vec<f32> = context.users.iter().chain(context.items).map(weight).collect();
        weighted(context, &weights)
    }

    stateless!();
}
