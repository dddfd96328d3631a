//! An action of SCALL, and the sizes of all rows.

use super::Distribution;
use crate::Result;
use crate::file::State;

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

impl Action {
    /// Its numbers, for a policy's [`save`](super::SizePolicy::save).
    pub(crate) fn save(&self) -> State {
        let Self { distribution, user_share, alpha_users, alpha_items } = *self;
        let mut state = State::default();
        state.put_text("distribution", distribution.name());
        state.put("user_share", [user_share]);
        state.put("alphas", [alpha_users, alpha_items]);
        state
    }

    /// The action of such numbers; none of an empty state.
    ///
    /// # Errors
    /// [`Error::BadState`] for numbers that are no action.
    pub(crate) fn restored(state: &State) -> Result<Option<Self>> {
        if state.is_empty() {
            return Ok(None);
        }
        state.only(&["distribution", "user_share", "alphas"])?;
        let name = state.text("distribution")?;
        let distribution: Distribution =
            name.parse().map_err(|_| state.wrong("distribution", "a family of profiles", name))?;
        let (user_share, alphas) = (state.one("user_share")?, state.array::<f32, 2>("alphas")?);
        state.check("user_share", &[user_share], |share: f64| (0.0..=1.0).contains(&share), "from 0 to 1")?;
        let (least, most) = distribution.alpha_domain();
        let expected = format!("shapes from {least} to {most}");
        state.check("alphas", &alphas, |alpha: f32| (least..=most).contains(&alpha), &expected)?;
        Ok(Some(Self { distribution, user_share, alpha_users: alphas[0], alpha_items: alphas[1] }))
    }
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
