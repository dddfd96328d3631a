//! The policy: who gets how many dims.

use super::Distribution;
use super::profile::{by_frequency, profiles};
use crate::device::Device;
use crate::file::State;
use crate::table::RaggedTable;
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
    /// The rows as they are, before the decision; none where there is no table yet.
    pub rows: Option<Rows<'a>>,
}

/// The rows that a decision starts from. Entities past the last row are new.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
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
        if !(0.0..=1.0).contains(&user_share) {
            return Err(Error::Argument {
                op: "SizingContext::split",
                arg: "user_share",
                expected: "from 0 to 1".to_owned(),
                got: user_share.to_string(),
            });
        }
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
    /// Its numbers, for a policy's [`save`](SizePolicy::save).
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

    /// The sizes that it gives: profiles averaged over so many draws, scaled to the dims there are, handed out by frequency.
    ///
    /// # Errors
    /// Those of [`SizingContext::split`]; what the device reports.
    pub fn sizes(&self, context: &SizingContext<'_>, draws: u32) -> Result<Sizes> {
        Ok(self.sizes_and_ranges(context, draws)?.0)
    }

    /// The sizes, and the largest minus the smallest of each side as they would be without bounds and rounding: b * (max w - min w).
    pub(crate) fn sizes_and_ranges(&self, context: &SizingContext<'_>, draws: u32) -> Result<(Sizes, [f32; 2])> {
        let [users, items] = profiles(context, self, draws)?;
        let ranges = [users.range, items.range];
        let sizes = Sizes {
            users: by_frequency(context, context.users, &users.sizes)?,
            items: by_frequency(context, context.items, &items.sizes)?,
            action: Some(*self),
        };
        Ok((sizes, ranges))
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

impl Sizes {
    /// Whether a policy may decide on these in a context.
    ///
    /// # Errors
    /// [`Error::BadSizes`] with the policy's name and the first entity that is wrong; [`Error::OverBudget`] for a sum that is too large from
    /// a policy that promises none; [`Error::Infeasible`].
    pub(crate) fn check_decision(&self, policy: &dyn SizePolicy, context: &SizingContext<'_>) -> Result<()> {
        let (name, total) = (policy.name(), context.total()?);
        let sum = self.check_each(name, context)?;
        match policy.is_exact() {
            true if sum < total => Err(bad(name, format!("sizes that add up to {total} dims"), sum.to_string())),
            false if sum > total => Err(Error::OverBudget { needed: sum, budget: total, unit: "parameters" }),
            _ => self.check_sum(name, sum, total),
        }
    }

    /// Whether a policy may probe these in a context: they may add up to less than there is.
    ///
    /// # Errors
    /// [`Error::BadSizes`] with the policy's name and the first entity that is wrong; [`Error::Infeasible`].
    pub(crate) fn check_probe(&self, policy: &'static str, context: &SizingContext<'_>) -> Result<()> {
        let (total, sum) = (context.total()?, self.check_each(policy, context)?);
        self.check_sum(policy, sum, total)
    }

    /// One size for each entity, within the bounds; their sum.
    fn check_each(&self, policy: &'static str, context: &SizingContext<'_>) -> Result<u64> {
        let sides = [("users", &self.users, context.users), ("items", &self.items, context.items)];
        for (side, sizes, entities) in sides {
            let (wanted, got) = (entities.len(), sizes.len());
            if wanted != got {
                let (wrong, first) = if got < wanted { ("none", got) } else { ("another", wanted) };
                let expected = format!("a size for each of {wanted} {side}");
                return Err(bad(policy, expected, format!("{wrong} for {side}[{first}]")));
            }
        }
        let (least, most) = (context.d_min, context.d_max);
        let mut sum = 0u64;
        for (side, sizes, _) in sides {
            for (entity, &size) in sizes.iter().enumerate() {
                if !(least..=most).contains(&size) {
                    let expected = format!("from {least} to {most} dims for {side}[{entity}]");
                    return Err(bad(policy, expected, size.to_string()));
                }
                sum += u64::from(size);
            }
        }
        Ok(sum)
    }

    fn check_sum(&self, policy: &'static str, sum: u64, total: u64) -> Result<()> {
        if sum <= total {
            return Ok(());
        }
        let sides = [("users", &self.users), ("items", &self.items)];
        let all =
            sides.into_iter().flat_map(|(side, sizes)| sizes.iter().enumerate().map(move |(i, size)| (side, i, size)));
        let mut end = 0u64;
        let passing = all.into_iter().find(|(_, _, size)| {
            end += u64::from(**size);
            end > total
        });
        let at =
            passing.map_or(String::new(), |(side, entity, _)| format!(", more than that from {side}[{entity}] on"));
        Err(bad(policy, format!("sizes that add up to {total} dims"), format!("{sum}{at}")))
    }
}

fn bad(policy: &'static str, expected: String, found: String) -> Error {
    Error::BadSizes { policy, expected, found }
}

/// Chooses the sizes of all rows when a segment begins.
///
/// The sizes handed out add up to exactly the [`total`](SizingContext::total) of the context: its dims, or `d_max` for every row where that is
/// less. There is one for each entity, each from `d_min` to `d_max`. [`Scall`](crate::Scall) checks all of that before anything moves, also
/// of the sizes that a search probes, which may add up to less; what is wrong is [`Error::BadSizes`].
///
/// A policy is decided on by one thread at a time, and may move between threads.
pub trait SizePolicy: Send {
    /// Its name, for reports and errors.
    fn name(&self) -> &'static str;

    /// Checks its options, before anything runs.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the option.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether its sizes add up to exactly what there is (default: yes). Those of a policy that promises less may add up to less; to more they
    /// are [`Error::OverBudget`].
    fn is_exact(&self) -> bool {
        true
    }

    /// Whether [`search`](Self::search) does anything: only then are the last segment's rows kept to probe on.
    fn searches(&self) -> bool {
        false
    }

    /// Learns from the segment that has just ended, by training on it with other sizes. `last` is the context that it was
    /// sized in, `rows` included.
    ///
    /// # Errors
    /// Those of the probe.
    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        let _ = (last, probe);
        Ok(())
    }

    /// Chooses sizes.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when there is no room for rows of the least size; what the device reports.
    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes>;

    /// Chooses sizes when entities arrive between two segments: as [`decide`](Self::decide) did last, without a new
    /// decision.
    ///
    /// # Errors
    /// Those of [`decide`](Self::decide).
    fn admit(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.decide(context)
    }

    /// All that it has learned and decided, but for its options: an empty state for a policy that remembers nothing. There is no default, since
    /// a policy that remembers would lose it without a word.
    ///
    /// # Errors
    /// Those of what it is made of.
    fn save(&self) -> Result<State>;

    /// Goes on where the policy was that was [saved](Self::save): from here on it decides the same bits. Both have to have the same options.
    ///
    /// # Errors
    /// [`Error::BadState`] for a state of another policy; this one stays as it was then.
    fn restore(&mut self, state: &State) -> Result<()>;
}

/// Tries sizes on the segment that has just ended: its training rows are trained on, its test rows are ranked. All probes
/// of a segment draw the same triples, so that the sizes are what differs.
pub trait Probe {
    /// How well a recommender with these sizes does.
    ///
    /// # Errors
    /// What training and ranking report.
    fn run(&mut self, sizes: &Sizes) -> Result<Outcome>;

    /// The same for each of several, which do not depend on each other and may be tried side by side.
    ///
    /// # Errors
    /// The first that a probe reports.
    fn run_all(&mut self, sizes: &[Sizes]) -> Result<Vec<Outcome>> {
        sizes.iter().map(|sizes| self.run(sizes)).collect()
    }

    /// The sizes that the segment really had.
    fn deployed(&self) -> &Sizes;
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Mean of Recall@20 and NDCG@20.
    pub quality: f64,
    /// Mean of all user rows after training, missing dims as zero: `d_max` values.
    pub user_mean: Vec<f32>,
    /// The same of the items, without biases.
    pub item_mean: Vec<f32>,
}
