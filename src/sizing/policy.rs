//! What a policy sees and what it decides, and the way from an action to sizes.

use crate::device::{Buffer, Device, Element, Kernel};
use crate::kernels::sizing::apportion::{Allotment, Apportion};
use crate::kernels::sizing::rank::Rank;
use crate::kernels::sizing::sample::{Distribution, Profile, Sample};
use crate::{Error, Result};

/// Decides how large each row is.
pub trait SizePolicy {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Sizes of all rows. Their sum is exactly `min(params, (users + items) * d_max)`.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when `params` is below `(users + items) * d_min`; what the device reports.
    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Decision>;
}

/// What a policy may look at.
#[derive(Clone, Copy, Debug)]
pub struct SizingContext<'a> {
    /// Where the kernels run.
    pub device: &'a Device,
    /// The segment that the sizes are for.
    pub segment: usize,
    /// Seed of all random choices.
    pub seed: u64,
    /// Frequency of each user in the segment's training part.
    pub users: &'a [u32],
    /// Frequency of each item.
    pub items: &'a [u32],
    /// Parameters to divide, without biases.
    pub params: u64,
    /// Least size of a row.
    pub d_min: u32,
    /// Largest size of a row.
    pub d_max: u32,
}

/// Sizes of all rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Size of each user's row.
    pub users: Vec<u32>,
    /// Size of each item's row.
    pub items: Vec<u32>,
    /// The action that led to them, if the policy has one.
    pub action: Option<Action>,
}

/// Three numbers that stand for all sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    /// Part of the parameters that the users get, in [0, 1]. What one side can't hold, or needs at least, the other side
    /// takes or gives.
    pub user_share: f64,
    /// Shape of the users' profile.
    pub alpha_users: f32,
    /// Shape of the items' profile.
    pub alpha_items: f32,
    /// Family of both profiles.
    pub distribution: Distribution,
}

impl Action {
    /// Sizes by rank, users and items: sampled and apportioned, largest first.
    ///
    /// # Errors
    /// [`Error::Argument`] for a share or shape outside its domain; [`Error::Infeasible`]; what the device reports.
    pub fn profiles(&self, context: &SizingContext<'_>, draws: u32) -> Result<[Vec<u32>; 2]> {
        if !(0.0..=1.0).contains(&self.user_share) {
            return Err(Error::Argument {
                op: "Action",
                arg: "user_share",
                expected: "in 0..=1".to_owned(),
                got: self.user_share.to_string(),
            });
        }
        let totals = context.split(self.user_share)?;
        let profile = |side: usize, alpha| {
            let profile = Profile { distribution: self.distribution, alpha };
            context.profile(side, profile, draws, totals[side])
        };
        Ok([profile(0, self.alpha_users)?, profile(1, self.alpha_items)?])
    }

    /// The k-th most frequent entity gets the k-th largest size.
    ///
    /// # Errors
    /// Those of [`profiles`](Self::profiles).
    pub fn decide(&self, context: &SizingContext<'_>, draws: u32) -> Result<Decision> {
        let [users, items] = self.profiles(context, draws)?;
        let users = by_order(&users, &by_frequency(context.device, context.users)?);
        let items = by_order(&items, &by_frequency(context.device, context.items)?);
        Ok(Decision { users, items, action: Some(*self) })
    }
}

impl SizingContext<'_> {
    /// Users and items.
    pub fn entities(&self) -> u64 {
        self.users.len() as u64 + self.items.len() as u64
    }

    /// What the sizes sum to.
    pub fn target(&self) -> u64 {
        self.params.min(self.entities() * u64::from(self.d_max))
    }

    /// Parameters of each side for a share of the users: the nearest whole numbers that both sides can hold.
    ///
    /// # Errors
    /// [`Error::Infeasible`], or [`Error::Limit`] past 2^32 parameters a side.
    pub fn split(&self, user_share: f64) -> Result<[u64; 2]> {
        let least = self.entities() * u64::from(self.d_min);
        if self.d_min > self.d_max || least > self.params {
            let (entities, budget) = (self.entities(), self.params);
            return Err(Error::Infeasible { entities, min: least, budget, unit: "parameters" });
        }
        let target = self.target();
        let bound = |n: usize, d: u32| n as u64 * u64::from(d);
        let low = bound(self.users.len(), self.d_min).max(target.saturating_sub(bound(self.items.len(), self.d_max)));
        let high = bound(self.users.len(), self.d_max).min(target - bound(self.items.len(), self.d_min));
        let users = ((user_share * target as f64).round() as u64).clamp(low, high);
        let totals = [users, target - users];
        match totals.into_iter().find(|&total| total > u64::from(u32::MAX)) {
            None => Ok(totals),
            Some(requested) => Err(Error::Limit {
                op: "SizingContext",
                arg: "params",
                limit: "32-bit sum of one side",
                allowed: u32::MAX.into(),
                requested,
            }),
        }
    }

    /// Sizes of one side by rank.
    fn profile(&self, side: usize, profile: Profile, draws: u32, total: u64) -> Result<Vec<u32>> {
        let entities = [self.users, self.items][side].len() as u32;
        let mut weights = Buffer::zeroed(self.device, entities as usize)?;
        let mut sizes = Buffer::zeroed(self.device, entities as usize)?;
        let mut floats = workspace(self.device, Sample::workspace_len(1, entities, draws))?;
        let mut words = workspace(self.device, Apportion::workspace_len(entities))?;
        let mut commands = self.device.commands();
        commands.run(Sample {
            profiles: &[profile],
            entities,
            draws,
            seed: self.seed,
            // Each segment and side draws its own numbers.
            first_action: (2 * self.segment + side) as u32,
            out: &mut weights,
            workspace: &mut floats,
        })?;
        commands.run(Apportion {
            weights: &weights,
            first: 0,
            allotment: Allotment { total: total as u32, d_min: self.d_min, d_max: self.d_max },
            sizes: &mut sizes,
            workspace: &mut words,
        })?;
        commands.submit()?;
        sizes.read()
    }
}

/// Entities, most frequent first.
fn by_frequency(device: &Device, frequencies: &[u32]) -> Result<Vec<u32>> {
    let count = frequencies.len();
    let frequencies = Buffer::from_slice(device, frequencies)?;
    let mut order = Buffer::zeroed(device, count)?;
    let mut workspace = workspace(device, Rank::workspace_len(count as u32))?;
    Rank { frequencies: &frequencies, order: &mut order, workspace: &mut workspace }.run(device)?;
    order.read()
}

/// Size k to entity `order[k]`.
pub(super) fn by_order(sizes: &[u32], order: &[u32]) -> Vec<u32> {
    let mut out = vec![0; sizes.len()];
    order.iter().zip(sizes).for_each(|(&id, &size)| out[id as usize] = size);
    out
}

/// Scratch that only a GPU needs.
fn workspace<T: Element>(device: &Device, len: usize) -> Result<Buffer<T>> {
    Buffer::zeroed(device, if device.as_gpu().is_some() { len } else { 0 })
}
