//! An action of SCALL, and the sizes of all rows.

use super::Distribution;

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
