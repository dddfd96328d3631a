//! The policy: who gets how many dims.

use super::Distribution;
use crate::device::Device;
use crate::{Error, Result};

/// What a policy decides on.
#[derive(Clone, Copy, Debug)]
pub struct SizingContext<'a> {
    /// Where profiles are sampled and scaled.
    pub device: &'a Device,
    /// Number of the segment, from 0.
    pub segment: usize,
    /// Seed of what is drawn.
    pub seed: u64,
    /// How often each user occurs in the segment's training rows; 0 for those known but absent.
    pub users: &'a [u32],
    /// The same for items.
    pub items: &'a [u32],
    /// Dims to divide, biases not among them.
    pub dims: u64,
    /// Least size of a row.
    pub d_min: u32,
    /// Largest size of a row.
    pub d_max: u32,
}

impl SizingContext<'_> {
    /// Dims of users and of items for a share of them that goes to the users: exactly all dims (or as many as the rows
    /// can take), as near to the share as the bounds of both sides allow.
    ///
    /// # Errors
    /// [`Error::Infeasible`] for fewer dims than rows of the least size need; [`Error::Argument`] for a share outside
    /// 0..=1; [`Error::Limit`] past 2^32 dims a side.
    pub fn split(&self, user_share: f64) -> Result<(u64, u64)> {
        let (users, items) = (self.users.len() as u64, self.items.len() as u64);
        let (d_min, d_max) = (u64::from(self.d_min), u64::from(self.d_max));
        let (entities, min) = (users + items, (users + items) * d_min);
        if d_min > d_max || min > self.dims {
            return Err(Error::Infeasible { entities, min, budget: self.dims, unit: "parameters" });
        }
        if !(0.0..=1.0).contains(&user_share) {
            return Err(Error::Argument {
                op: "SizingContext::split",
                arg: "user_share",
                expected: "from 0 to 1".to_owned(),
                got: user_share.to_string(),
            });
        }
        let total = self.dims.min(entities * d_max);
        let least = (users * d_min).max(total.saturating_sub(items * d_max));
        let most = (users * d_max).min(total - items * d_min);
        let user_dims = ((user_share * total as f64).round() as u64).clamp(least, most);
        let requested = user_dims.max(total - user_dims);
        if requested > u64::from(u32::MAX) {
            return Err(Error::Limit {
                op: "SizingContext::split",
                arg: "dims",
                limit: "32-bit sum of one side",
                allowed: u32::MAX.into(),
                requested,
            });
        }
        Ok((user_dims, total - user_dims))
    }

    /// The users' part of the entities: the share of uniform sizes.
    pub fn even_share(&self) -> f64 {
        let (users, items) = (self.users.len() as f64, self.items.len() as f64);
        users / (users + items).max(1.0)
    }
}

/// An action of SCALL: the users' share of the dims and the shape of both profiles (`docs/method.md` section 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    /// Family of both profiles.
    pub distribution: Distribution,
    /// Part of the dims that goes to the users.
    pub user_share: f64,
    /// Shape of the users' profile.
    pub alpha_users: f32,
    /// Shape of the items' profile.
    pub alpha_items: f32,
}

/// The sizes of all rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// Dims of each user.
    pub users: Vec<u32>,
    /// Dims of each item.
    pub items: Vec<u32>,
    /// The action behind them, where there is one.
    pub action: Option<Action>,
}

/// Chooses the sizes of all rows when a segment begins.
///
/// The sizes handed out add up to exactly the dims of the context, or to `d_max` for every row where that is less.
pub trait SizePolicy {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Chooses sizes.
    ///
    /// # Errors
    /// [`Error::Infeasible`](crate::Error::Infeasible) when there is no room for rows of the least size; what the device
    /// reports.
    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes>;
}
