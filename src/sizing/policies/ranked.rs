//! Sizes by frequency.

use super::recipe::{CommonOption, Recipe, stateless};
use crate::Result;
use crate::check::domain;
use crate::sizing::{Action, Distribution, Profile, SizePolicy, Sizes, SizingContext};

/// The k-th most frequent entity gets the k-th largest size of a profile: one fixed action of SCALL (`docs/method.md`
/// section 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrequencyRanked {
    /// Family of both profiles (default: power law).
    pub distribution: Distribution,
    /// Shape of the users' profile (default: 1 for the power law, where sizes then fall evenly from twice the mean to
    /// nothing, while 0.1, the steep end of the published range, starves most rows; else the middle of that range).
    pub alpha_users: Option<f32>,
    /// Shape of the items' profile (default: the same).
    pub alpha_items: Option<f32>,
    /// Part of the dims that goes to the users (default: their part of the entities).
    pub user_share: Option<f64>,
    /// Draws that a profile is averaged over (default 100, as in the paper).
    pub draws: u32,
}

impl Default for FrequencyRanked {
    fn default() -> Self {
        Self {
            distribution: Distribution::PowerLaw,
            alpha_users: None,
            alpha_items: None,
            user_share: None,
            draws: 100,
        }
    }
}

impl FrequencyRanked {
    pub(super) fn check_for(&self, op: &'static str) -> Result<()> {
        for alpha in self.alphas() {
            Profile { distribution: self.distribution, alpha }.check(op)?;
        }
        if let Some(share) = self.user_share {
            domain(op, "user_share", share, (0.0..=1.0).contains(&share), "from 0 to 1")?;
        }
        domain(op, "draws", self.draws, self.draws > 0, "at least 1")
    }

    /// The shapes of the users' and of the items' profile.
    pub fn alphas(&self) -> [f32; 2] {
        let usual = match self.distribution {
            Distribution::PowerLaw => 1.0,
            other => other.alpha(0.5),
        };
        [self.alpha_users, self.alpha_items].map(|alpha| alpha.unwrap_or(usual))
    }

    pub(super) fn action(&self, context: &SizingContext<'_>) -> Action {
        let [alpha_users, alpha_items] = self.alphas();
        Action {
            distribution: self.distribution,
            user_share: self.user_share.unwrap_or_else(|| context.even_share()),
            alpha_users,
            alpha_items,
        }
    }
}

impl Recipe for FrequencyRanked {
    fn build(self) -> Box<dyn SizePolicy> {
        Box::new(self)
    }

    fn set(&mut self, option: CommonOption) -> bool {
        match option {
            CommonOption::Distribution(distribution) => self.distribution = distribution,
            CommonOption::Alpha(alpha) => (self.alpha_users, self.alpha_items) = (Some(alpha), Some(alpha)),
            CommonOption::UserShare(share) => self.user_share = Some(share),
            CommonOption::Probes(_) | CommonOption::ProposalsAtOnce(_) => return false,
        }
        true
    }
}

impl SizePolicy for FrequencyRanked {
    fn name(&self) -> &'static str {
        "ranked"
    }

    fn options(&self) -> String {
        format!("{:?}", self)
    }

    fn check(&self) -> Result<()> {
        self.check_for("FrequencyRanked")
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.action(context).sizes(context, self.draws)
    }

    stateless!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked_before_anything_runs() {
        let good = FrequencyRanked::default();
        assert!(good.check().is_ok());
        let domain = "`alpha` must be in 0.001..=1000000 for power-law, got";
        for (policy, expected) in [
            (FrequencyRanked { alpha_users: Some(-1.0), ..good }, format!("{domain} -1")),
            (FrequencyRanked { alpha_items: Some(f32::NAN), ..good }, format!("{domain} NaN")),
            (FrequencyRanked { user_share: Some(1.5), ..good }, "`user_share` must be from 0 to 1, got 1.5".into()),
            (FrequencyRanked { draws: 0, ..good }, "`draws` must be at least 1, got 0".into()),
        ] {
            assert_eq!(policy.check().unwrap_err().to_string(), format!("FrequencyRanked: {expected}"));
            let random = super::super::Random { profile: policy };
            assert_eq!(random.check().unwrap_err().to_string(), format!("Random: {expected}"));
        }
        // The shape's domain is that of the family.
        let log_normal = FrequencyRanked { distribution: Distribution::LogNormal, alpha_users: Some(7.0), ..good };
        assert!(log_normal.check().unwrap_err().to_string().contains("in 0..=6 for log-normal, got 7"));
    }
}
