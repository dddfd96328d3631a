//! Sizes without regard to frequency.

use rand::seq::SliceRandom;

use super::FrequencyRanked;
use super::recipe::{CommonOption, Recipe, stateless};
use crate::Result;
use crate::rng::{Philox, Purpose};
use crate::sizing::profile::profiles;
use crate::sizing::{SizePolicy, Sizes, SizingContext};

/// The profile of [`FrequencyRanked`], given to entities in a random order, another one in each segment: what frequency
/// is worth is the difference between the two.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Random {
    /// Family, shape and share of the profiles.
    pub profile: FrequencyRanked,
}

impl Recipe for Random {
    fn build(self) -> Box<dyn SizePolicy> {
        Box::new(self)
    }

    fn set(&mut self, option: CommonOption) -> bool {
        self.profile.set(option)
    }
}

impl SizePolicy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn options(&self) -> String {
        format!("{:?}", self)
    }

    fn check(&self) -> Result<()> {
        self.profile.check_for("Random")
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        let action = self.profile.action(context);
        let [mut users, mut items] = profiles(context, &action, self.profile.draws)?.map(|side| side.sizes);
        let mut rng = Philox::substream(context.seed, Purpose::Shuffle, context.segment as u32);
        users.shuffle(&mut rng);
        items.shuffle(&mut rng);
        Ok(Sizes { users, items, action: Some(action) })
    }

    stateless!();
}
