//! What there is to divide, and among whom.

use crate::device::Device;
use crate::table::RaggedTable;
use crate::{Error, Result, check};

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
    /// The rows as they are, before the decision; none where there is no table yet.
    pub rows: Option<CurrentRows<'a>>,
}

/// The rows that a decision starts from. Entities past the last row are new.
#[derive(Clone, Copy, Debug)]
pub struct CurrentRows<'a> {
    /// The users' table.
    pub users: &'a RaggedTable,
    /// The items' table.
    pub items: &'a RaggedTable,
    /// Whether the first value of an item row is its bias and no dim.
    pub item_bias: bool,
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
        let total = self.total()?;
        let op = "SizingContext::split";
        check::domain(op, "user_share", user_share, (0.0..=1.0).contains(&user_share), "from 0 to 1")?;
        let least = (users * d_min).max(total.saturating_sub(items * d_max));
        let most = (users * d_max).min(total - items * d_min);
        let user_dims = ((user_share * total as f64).round() as u64).clamp(least, most);
        check::below_2_32(op, "dims", "32-bit sum of one side", user_dims.max(total - user_dims))?;
        Ok((user_dims, total - user_dims))
    }

    /// What the sizes of all rows add up to: the dims there are, or as many as the rows can take.
    ///
    /// # Errors
    /// [`Error::Infeasible`] for fewer dims than rows of the least size need.
    pub fn total(&self) -> Result<u64> {
        let entities = self.users.len() as u64 + self.items.len() as u64;
        let min = entities * u64::from(self.d_min);
        if self.d_min > self.d_max || min > self.dims {
            return Err(Error::Infeasible { entities, min, budget: self.dims, unit: "parameters" });
        }
        Ok(self.dims.min(entities * u64::from(self.d_max)))
    }

    /// The users' part of the entities: the share of uniform sizes.
    pub fn even_share(&self) -> f64 {
        let (users, items) = (self.users.len() as f64, self.items.len() as f64);
        users / (users + items).max(1.0)
    }
}
