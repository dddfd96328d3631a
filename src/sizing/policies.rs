//! Policies that need no learning.

use rand::seq::SliceRandom;

use super::policy::{Action, Decision, SizePolicy, SizingContext, by_order};
use crate::Result;
use crate::kernels::sizing::sample::Distribution;
use crate::rng::{Philox, Purpose};

/// Every row the same size, up to one: what remains goes to the lower indices, and both sides have the same mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uniform;

impl SizePolicy for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Decision> {
        // For its errors.
        context.split(0.5)?;
        let (users, items) = (context.users.len() as u64, context.items.len() as u64);
        let target = context.target();
        let for_users = u128::from(target) * u128::from(users) / u128::from((users + items).max(1));
        let even = |total: u64, n: u64| -> Vec<u32> {
            (0..n).map(|i| (total / n) as u32 + u32::from(i < total % n)).collect()
        };
        let for_users = for_users as u64;
        Ok(Decision { users: even(for_users, users), items: even(target - for_users, items), action: None })
    }
}

/// The action of a fixed profile.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    distribution: Distribution,
    alpha_users: f32,
    alpha_items: f32,
    user_share: Option<f64>,
}

impl Shape {
    fn action(&self, context: &SizingContext<'_>) -> Action {
        let by_number = || context.users.len() as f64 / context.entities().max(1) as f64;
        Action {
            user_share: self.user_share.unwrap_or_else(by_number),
            alpha_users: self.alpha_users,
            alpha_items: self.alpha_items,
            distribution: self.distribution,
        }
    }
}

/// A profile by distribution, its largest size to the most frequent entity and so on down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrequencyRanked {
    /// Family of both profiles (default: power law, as in the paper).
    pub distribution: Distribution,
    /// Shape of the users' profile (default 1: sizes fall linearly with the rank).
    pub alpha_users: f32,
    /// Shape of the items' profile (default 1).
    pub alpha_items: f32,
    /// Part of the parameters that the users get (default: by their number).
    pub user_share: Option<f64>,
    /// Draws that a profile averages (default 100, as in the paper).
    pub draws: u32,
}

impl Default for FrequencyRanked {
    fn default() -> Self {
        Self { distribution: Distribution::PowerLaw, alpha_users: 1.0, alpha_items: 1.0, user_share: None, draws: 100 }
    }
}

impl FrequencyRanked {
    fn shape(&self) -> Shape {
        let Self { distribution, alpha_users, alpha_items, user_share, .. } = *self;
        Shape { distribution, alpha_users, alpha_items, user_share }
    }
}

impl SizePolicy for FrequencyRanked {
    fn name(&self) -> &'static str {
        "frequency-ranked"
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Decision> {
        self.shape().action(context).decide(context, self.draws)
    }
}

/// The sizes of [`FrequencyRanked`] in a random order, without regard to frequency: what ranking alone is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Random {
    /// The profiles.
    pub profile: FrequencyRanked,
}

impl SizePolicy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Decision> {
        let action = self.profile.shape().action(context);
        let [users, items] = action.profiles(context, self.profile.draws)?;
        let shuffled = |sizes: Vec<u32>, side: usize| {
            let mut order: Vec<u32> = (0..sizes.len() as u32).collect();
            let stream = (2 * context.segment + side) as u32;
            order.shuffle(&mut Philox::substream(context.seed, Purpose::Shuffle, stream));
            by_order(&sizes, &order)
        };
        Ok(Decision { users: shuffled(users, 0), items: shuffled(items, 1), action: Some(action) })
    }
}
