//! What the agent sees: a vector of one length, whatever the number of users and items.

use super::options::wrong;
use crate::{Error, Result};

/// Which parts a state has: the paper's, and the variants that its authors studied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateVariant {
    /// Frequencies, last reward, users' part, mean embeddings, size ranges.
    #[default]
    Paper,
    /// The Gini coefficients of both frequency vectors in place of the size ranges.
    Gini,
    /// The paper's, without the mean embeddings.
    NoEmbeddings,
    /// The paper's, and the Gini coefficients at the end.
    Full,
}

impl StateVariant {
    fn embeddings(self) -> bool {
        self != Self::NoEmbeddings
    }

    fn size_ranges(self) -> bool {
        self != Self::Gini
    }

    fn gini(self) -> bool {
        matches!(self, Self::Gini | Self::Full)
    }
}

/// What a state is pooled from. The number of users and items is that of their frequencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateInput<'a> {
    /// How often each user occurs in the segment's training rows; 0 for those known but absent.
    pub user_frequencies: &'a [u32],
    /// The same for items.
    pub item_frequencies: &'a [u32],
    /// The last reward, before rescaling (0.5 at the start).
    pub last_reward: f32,
    /// The mean of all user embeddings, missing dims counted as zero: `d_max` values.
    pub user_mean: &'a [f32],
    /// The same for items.
    pub item_mean: &'a [f32],
    /// `b * (max w - min w) / (d_max - d_min)` for the users' weights w and their part b of the budget: the range of
    /// their sizes before bounds, 1 where it spans them.
    pub user_size_range: f32,
    /// The same for items.
    pub item_size_range: f32,
}

/// The layout of a state: how much is pooled, and which parts there are.
///
/// In this order, with F sorted descending after min-max scaling, (f - min) / (max - min), and all zero where all f are
/// equal:
/// 1. the users' F in G groups of ceil(n/G), the mean of each, 0 for a group without a user;
/// 2. the same for items;
/// 3. the last reward;
/// 4. |U| / (|U| + |V|), 0.5 where there is neither;
/// 5. the mean user embedding, the mean item embedding;
/// 6. the range of the users' sizes, of the items' sizes;
/// 7. in two variants, the Gini coefficient of the users' frequencies, of the items': sum over i = 1..n of
///    (2i - n - 1) f_i / (n * sum f) with f ascending; 0 where all f are 0.
///
/// # Numerics
/// Sums in f64, from the largest frequency to the smallest: the order of users and items makes no difference to any
/// bit.
///
/// # Cost
/// One sort of each side's frequencies.
///
/// # Example
/// ```
/// use scall_gpu::agent::{StateInput, StateLayout};
/// let layout = StateLayout { groups: 2, d_max: 1, ..StateLayout::default() };
/// let state = layout.pool(&StateInput {
///     user_frequencies: &[1, 5, 3],
///     item_frequencies: &[2],
///     last_reward: 0.5,
///     user_mean: &[0.25],
///     item_mean: &[-1.0],
///     user_size_range: 0.125,
///     item_size_range: 0.0,
/// })?;
/// assert_eq!(state, [0.75, 0.0, 0.0, 0.0, 0.5, 0.75, 0.25, -1.0, 0.125, 0.0]);
/// # Ok::<(), scall_gpu::Error>(())
/// ```
///
/// Source: `docs/method.md` section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateLayout {
    /// Groups G that each side's frequencies are pooled into (default 256, as in the paper).
    pub groups: usize,
    /// Largest embedding size, the length of a mean embedding (default 256, as in the paper).
    pub d_max: usize,
    /// The parts (default: the paper's).
    pub variant: StateVariant,
}

impl Default for StateLayout {
    fn default() -> Self {
        Self { groups: 256, d_max: 256, variant: StateVariant::Paper }
    }
}

impl StateLayout {
    /// Length of a state: 2G + 2 * d_max + 4 for the paper's.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        let variant = self.variant;
        let embeddings = if variant.embeddings() { self.d_max } else { 0 };
        let each = self.groups.saturating_add(embeddings).saturating_add(1);
        let each = each.saturating_add(usize::from(variant.size_ranges()) + usize::from(variant.gini()));
        each.saturating_mul(2)
    }

    /// That there are groups, and not too many of them; errors name `op`.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        if (1..=MOST_GROUPS).contains(&self.groups) {
            return Ok(());
        }
        Err(wrong(op, "groups", &format!("from 1 to {MOST_GROUPS}"), self.groups))
    }

    /// Pools what is known into a state of [`len`](Self::len) finite values.
    ///
    /// # Errors
    /// [`Error::Shape`] for a mean embedding of another length than `d_max`, whether the variant has it or not;
    /// [`Error::Argument`] for a value that is not finite, and for no groups.
    pub fn pool(&self, input: &StateInput<'_>) -> Result<Vec<f32>> {
        self.check(OP)?;
        for (arg, mean) in [("user_mean", input.user_mean), ("item_mean", input.item_mean)] {
            if mean.len() != self.d_max {
                let (expected, got) = (self.d_max as u64, mean.len() as u64);
                return Err(Error::Shape { op: OP, arg, expected, got });
            }
            if let Some(value) = mean.iter().find(|value| !value.is_finite()) {
                return Err(wrong(OP, arg, "finite", value));
            }
        }
        for (arg, value) in [
            ("last_reward", input.last_reward),
            ("user_size_range", input.user_size_range),
            ("item_size_range", input.item_size_range),
        ] {
            if !value.is_finite() {
                return Err(wrong(OP, arg, "finite", value));
            }
        }
        let [users, items] = [input.user_frequencies, input.item_frequencies].map(|frequencies| {
            let mut sorted = frequencies.to_vec();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            sorted
        });
        let mut state = Vec::with_capacity(self.len());
        self.push_groups(&mut state, &users);
        self.push_groups(&mut state, &items);
        state.push(input.last_reward);
        let entities = users.len() + items.len();
        state.push(if entities == 0 { 0.5 } else { (users.len() as f64 / entities as f64) as f32 });
        if self.variant.embeddings() {
            state.extend_from_slice(input.user_mean);
            state.extend_from_slice(input.item_mean);
        }
        if self.variant.size_ranges() {
            state.extend([input.user_size_range, input.item_size_range]);
        }
        if self.variant.gini() {
            state.extend([gini(&users) as f32, gini(&items) as f32]);
        }
        debug_assert_eq!(state.len(), self.len());
        Ok(state)
    }

    fn push_groups(&self, state: &mut Vec<f32>, descending: &[u32]) {
        let end = state.len() + self.groups;
        if let (Some(&max), Some(&min)) = (descending.first(), descending.last()) {
            let scale = if max > min { 1.0 / f64::from(max - min) } else { 0.0 };
            state.extend(descending.chunks(descending.len().div_ceil(self.groups)).map(|group| {
                let sum: f64 = group.iter().map(|&f| f64::from(f - min)).sum();
                (sum * scale / group.len() as f64) as f32
            }));
        }
        state.resize(end, 0.0);
    }
}

/// How unevenly the frequencies are spread: 0 where all are equal, towards 1 where one has everything.
fn gini(descending: &[u32]) -> f64 {
    let n = descending.len() as f64;
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (k, &f) in descending.iter().enumerate() {
        sum += f64::from(f);
        // The k-th largest of n is number n - k from below.
        weighted += f64::from(f) * (n - 2.0 * k as f64 - 1.0);
    }
    if sum > 0.0 { weighted / (n * sum) } else { 0.0 }
}

const OP: &str = "StateLayout::pool";

/// More groups than there are entities to pool have nothing in them.
const MOST_GROUPS: usize = 1 << 24;

#[cfg(test)]
mod tests;
