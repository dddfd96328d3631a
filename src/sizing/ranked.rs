//! Sizes by frequency.

use super::{Action, Distribution, SizePolicy, Sizes, SizingContext};
use crate::Result;

/// The k-th most frequent entity gets the k-th largest size of a profile: one fixed action of SCALL (`docs/method.md` section 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrequencyRanked {
    /// Family of both profiles (default: power law).
    pub distribution: Distribution,
    /// Shape of the users' profile (default 1: sizes fall evenly from twice the mean to nothing; 0.1, the steep end of
    /// the published range, starves most rows).
    pub alpha_users: f32,
    /// Shape of the items' profile (default 1).
    pub alpha_items: f32,
    /// Part of the dims that goes to the users (default: their part of the entities).
    pub user_share: Option<f64>,
    /// Draws that a profile is averaged over (default 100, as in the paper).
    pub draws: u32,
}

impl Default for FrequencyRanked {
    fn default() -> Self {
        Self { distribution: Distribution::PowerLaw, alpha_users: 1.0, alpha_items: 1.0, user_share: None, draws: 100 }
    }
}

impl FrequencyRanked {
    pub(super) fn action(&self, context: &SizingContext<'_>) -> Action {
        Action {
            distribution: self.distribution,
            user_share: self.user_share.unwrap_or_else(|| context.even_share()),
            alpha_users: self.alpha_users,
            alpha_items: self.alpha_items,
        }
    }
}

impl SizePolicy for FrequencyRanked {
    fn name(&self) -> &'static str {
        "ranked"
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.action(context).sizes(context, self.draws)
    }
}
