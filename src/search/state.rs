//! What the agent sees: a vector of one length, whatever the number of users and items.

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
/// In this order, with F sorted descending after min-max scaling, (f - min) / (max - min), and all zero where all f are equal:
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
/// Sums in f64, from the largest frequency to the smallest: the order of users and items makes no difference to any bit.
///
/// # Cost
/// One sort of each side's frequencies.
///
/// # Example
/// ```
/// use scall_gpu::search::{StateInput, StateLayout};
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
        2 * self.groups
            + 2
            + 2 * self.d_max * usize::from(variant.embeddings())
            + 2 * usize::from(variant.size_ranges())
            + 2 * usize::from(variant.gini())
    }

    /// Pools what is known into a state of [`len`](Self::len) finite values.
    ///
    /// # Errors
    /// [`Error::Shape`] for a mean embedding of another length than `d_max`, whether the variant has it or not;
    /// [`Error::Argument`] for a value that is not finite, and for no groups.
    pub fn pool(&self, input: &StateInput<'_>) -> Result<Vec<f32>> {
        if self.groups == 0 {
            return Err(wrong("groups", "at least 1", 0));
        }
        for (arg, mean) in [("user_mean", input.user_mean), ("item_mean", input.item_mean)] {
            if mean.len() != self.d_max {
                let (expected, got) = (self.d_max as u64, mean.len() as u64);
                return Err(Error::Shape { op: OP, arg, expected, got });
            }
            if let Some(value) = mean.iter().find(|value| !value.is_finite()) {
                return Err(wrong(arg, "finite", value));
            }
        }
        for (arg, value) in [
            ("last_reward", input.last_reward),
            ("user_size_range", input.user_size_range),
            ("item_size_range", input.item_size_range),
        ] {
            if !value.is_finite() {
                return Err(wrong(arg, "finite", value));
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

fn wrong(arg: &'static str, expected: &str, got: impl ToString) -> Error {
    Error::Argument { op: OP, arg, expected: expected.to_owned(), got: got.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIANTS: [StateVariant; 4] =
        [StateVariant::Paper, StateVariant::Gini, StateVariant::NoEmbeddings, StateVariant::Full];

    /// Uneven, position-dependent, with ties and zeros.
    fn frequencies(n: usize, salt: usize) -> Vec<u32> {
        (0..n).map(|i| ((i * 7919 + salt * 31) % 1013) as u32 * ((i + salt) % 3) as u32).collect()
    }

    fn input<'a>(users: &'a [u32], items: &'a [u32], means: &'a [Vec<f32>; 2]) -> StateInput<'a> {
        StateInput {
            user_frequencies: users,
            item_frequencies: items,
            last_reward: 0.75,
            user_mean: &means[0],
            item_mean: &means[1],
            user_size_range: 0.3,
            item_size_range: 0.6,
        }
    }

    fn means(d_max: usize) -> [Vec<f32>; 2] {
        [1, 2].map(|salt| crate::testing::signed(d_max, salt))
    }

    /// Group by group as the formula reads, O(n * groups).
    fn plain_groups(frequencies: &[u32], groups: usize) -> Vec<f64> {
        let mut f: Vec<f64> = frequencies.iter().map(|&f| f64::from(f)).collect();
        f.sort_by(|a, b| b.total_cmp(a));
        let (max, min) = (f.first().copied().unwrap_or(0.0), f.last().copied().unwrap_or(0.0));
        let size = f.len().div_ceil(groups).max(1);
        let group = |g: usize| -> Vec<f64> {
            (g * size..(g + 1) * size).filter_map(|i| f.get(i)).map(|f| (f - min) / (max - min).max(1.0)).collect()
        };
        (0..groups).map(group).map(|g| g.iter().sum::<f64>() / g.len().max(1) as f64).collect()
    }

    /// The mean absolute difference of all pairs, relative to twice the mean, O(n^2).
    fn plain_gini(frequencies: &[u32]) -> f64 {
        let (n, sum) = (frequencies.len() as f64, frequencies.iter().map(|&f| f64::from(f)).sum::<f64>());
        let pairs = frequencies.iter().flat_map(|&a| frequencies.iter().map(move |&b| f64::from(a.abs_diff(b))));
        if sum > 0.0 { pairs.sum::<f64>() / (2.0 * n * sum) } else { 0.0 }
    }

    #[test]
    fn one_length_for_every_population() {
        let means = means(256);
        for variant in VARIANTS {
            let layout = StateLayout { variant, ..StateLayout::default() };
            for (users, items) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 10), (255, 256), (257, 513), (1000, 1_000_000)] {
                let (users, items) = (frequencies(users, 1), frequencies(items, 2));
                let state = layout.pool(&input(&users, &items, &means)).unwrap();
                assert_eq!(state.len(), layout.len());
                assert!(state.iter().all(|value| value.is_finite()), "{} users, {} items", users.len(), items.len());
            }
        }
        assert_eq!(StateLayout::default().len(), 1028);
    }

    #[test]
    fn parts_stand_in_order() {
        let means = means(5);
        for (users, items, groups) in [(0, 3, 4), (1, 2, 4), (4, 5, 4), (9, 7, 4), (1000, 97, 16), (97, 1, 1)] {
            let (users, items) = (frequencies(users, 3), frequencies(items, 4));
            let input = input(&users, &items, &means);
            let share = users.len() as f64 / (users.len() + items.len()) as f64;
            let pooled = [plain_groups(&users, groups), plain_groups(&items, groups), vec![0.75, share]].concat();
            let embeddings: Vec<f64> = means.iter().flatten().map(|&x| f64::from(x)).collect();
            let (ranges, gini) = (vec![0.3, 0.6], vec![plain_gini(&users), plain_gini(&items)]);
            for (variant, parts) in VARIANTS.into_iter().zip([
                vec![&embeddings, &ranges],
                vec![&embeddings, &gini],
                vec![&ranges],
                vec![&embeddings, &ranges, &gini],
            ]) {
                let state = StateLayout { groups, d_max: 5, variant }.pool(&input).unwrap();
                let expected: Vec<f64> = pooled.iter().chain(parts.into_iter().flatten()).copied().collect();
                assert_eq!(state.len(), expected.len());
                for (i, (got, expected)) in state.iter().zip(&expected).enumerate() {
                    assert!((f64::from(*got) - expected).abs() < 1e-6, "{variant:?}[{i}]: {got}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn equal_frequencies_pool_to_zero() {
        let means = means(1);
        let layout = StateLayout { groups: 3, d_max: 1, variant: StateVariant::Full };
        for f in [0, 1, u32::MAX] {
            let state = layout.pool(&input(&[f; 7], &[f], &means)).unwrap();
            assert_eq!(state[..6], [0.0; 6]);
            assert_eq!(state[12..], [0.0; 2], "equal shares have no Gini");
        }
    }

    #[test]
    fn order_of_entities_does_not_matter() {
        let (means, mut users) = (means(2), frequencies(1000, 5));
        let layout = StateLayout { groups: 7, d_max: 2, variant: StateVariant::Full };
        let before = layout.pool(&input(&users, &[1], &means)).unwrap();
        users.rotate_left(333);
        assert_eq!(layout.pool(&input(&users, &[1], &means)).unwrap(), before);
    }

    #[test]
    fn bad_input_is_named() {
        let means = means(2);
        let layout = StateLayout { groups: 2, d_max: 2, ..StateLayout::default() };
        let good = input(&[1], &[1], &means);
        let bad = [
            (layout, StateInput { user_mean: &[0.0], ..good }, "`user_mean` has length 1, expected 2"),
            (layout, StateInput { item_mean: &[0.0, f32::NAN], ..good }, "`item_mean` must be finite"),
            (layout, StateInput { last_reward: f32::INFINITY, ..good }, "`last_reward` must be finite"),
            (layout, StateInput { item_size_range: f32::NAN, ..good }, "`item_size_range` must be finite"),
            (StateLayout { groups: 0, ..layout }, good, "`groups` must be at least 1"),
        ];
        for (layout, input, message) in bad {
            let error = layout.pool(&input).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
