//! How coherent a user's items are, and how well users of like coherence are ranked for.

use rayon::prelude::*;

use super::{Cutoffs, Metrics};
use crate::stream::UserItems;
use crate::{Error, Result};

/// Items of a user that [`Coherence::conditional`] compares with each other, at most: a word has a bit for each.
const COMPARED: usize = 32;

/// How far a user's items are from the popular, and how little they say of one another. Both in bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coherence {
    /// Mean surprise S, at least 0: small for a user of popular items.
    pub surprise: f64,
    /// Mean conditional surprise CS, at least 0: small for a user each of whose items lets expect the others. `S - CS`
    /// is what the items tell of one another.
    pub conditional: f64,
}

/// The coherence of users, by the items that each had so far; none for a user with fewer than two items.
///
/// With n the users who have any item, `c_i` those who have item i, `n_ij` those who have i and j, and `H_u` the items
/// of user u:
/// ```text
/// S(u)  = mean over i in H_u of -log2(c_i / n)
/// CS(u) = mean over ordered pairs i != j of H_u of -log2 p(i | j)
///         p(i | j) = (n_ij - 1 + c_i / n) / c_j
/// ```
/// The user is left out of both counts of p, `n_ij - 1` of `c_j - 1`, or every pair would explain itself. One user's
/// worth of what is known without j, a share `c_i / n`, is added to both, which keeps p of pairs that no one else has
/// above 0. Of more than 32 items CS takes 32, at even distances by id; S takes all.
///
/// # Numerics
/// f64, summed in the order of ids, and the logarithm is software's: the same bits everywhere, whatever the number of
/// threads.
///
/// # Cost
/// On the host, users side by side. A user costs `sum over j of c_j` for the items compared, and for each other user
/// met the pairs that both have. Holds the pairs a second time, by item, and 4 bytes a user for each thread meanwhile.
///
/// # Errors
/// [`Error::IdOutOfRange`] for an item of the history that is `items` or above.
///
/// # Example
/// ```
/// use scall_gpu::eval::coherence;
/// use scall_gpu::stream::UserItems;
/// // Three users have items 0 and 1, one has 2 and 3; user 4 has one item.
/// let pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 2), (3, 3), (4, 0)];
/// let found = coherence(&UserItems::new(5, pairs)?, 4, &[0, 3, 4])?;
/// let (common, own) = (found[0].unwrap(), found[1].unwrap());
/// // Item 0 has four of five users, item 1 three.
/// assert!((common.surprise - (-f64::log2(4.0 / 5.0) - f64::log2(3.0 / 5.0)) / 2.0).abs() < 1e-12);
/// // Two others of three who have item 0 have item 1, and the two of two who have item 1 have item 0.
/// let p = [(2.0 + 3.0 / 5.0) / 4.0, (2.0 + 4.0 / 5.0) / 3.0];
/// assert!((common.conditional - (-f64::log2(p[0]) - f64::log2(p[1])) / 2.0).abs() < 1e-12);
/// assert!(own.surprise > common.surprise && own.conditional > common.conditional && found[2].is_none());
/// # Ok::<(), scall_gpu::Error>(())
/// ```
///
/// # Source
/// Soumm, Fournier-Montgieux, Popescu, Delezoide, "Quantifying User Coherence: A Unified Framework for Analyzing
/// Recommender Systems Across Domains" (arXiv 2410.02453): both measures. *Ours:* the estimate of `p(i | j)`, which
/// leaves the user out and has a prior.
pub fn coherence(history: &UserItems, items: u32, users: &[u32]) -> Result<Vec<Option<Coherence>>> {
    if let Some(position) = history.items().iter().position(|&item| item >= items) {
        let (id, rows) = (history.items()[position], items.into());
        return Err(Error::IdOutOfRange { op: "eval::coherence", arg: "history", position, id, rows });
    }
    let by_item = UserItems::new(items, history.pairs().map(|(user, item)| (item, user)))?;
    let active = (0..history.users()).filter(|&user| !history.row(user).is_empty()).count();
    let counts = Counts { history, by_item: &by_item, active: active as f64 };
    let scratch = || Scratch { has: vec![0; history.users() as usize], met: Vec::new() };
    Ok(users.par_iter().map_init(scratch, |scratch, &user| counts.of(user, scratch)).collect())
}

/// Who has what.
struct Counts<'a> {
    history: &'a UserItems,
    by_item: &'a UserItems,
    /// Users who have anything.
    active: f64,
}

/// What a thread marks in; zero between users.
struct Scratch {
    /// Which of the compared items a user has, a bit each.
    has: Vec<u32>,
    met: Vec<u32>,
}

impl Counts<'_> {
    /// How many users have an item.
    fn of_item(&self, item: u32) -> f64 {
        self.by_item.row(item).len() as f64
    }

    fn of(&self, user: u32, scratch: &mut Scratch) -> Option<Coherence> {
        let all = self.history.row(user);
        if all.len() < 2 {
            return None;
        }
        let surprise = all.iter().map(|&item| -libm::log2(self.of_item(item) / self.active)).sum::<f64>();
        let compared = all.len().min(COMPARED);
        let items: Vec<u32> = (0..compared).map(|k| all[k * all.len() / compared]).collect();
        let both = self.both(&items, scratch);
        let counts: Vec<f64> = items.iter().map(|&item| self.of_item(item)).collect();
        let mut conditional = 0.0;
        for (i, c_i) in counts.iter().enumerate() {
            for (j, c_j) in counts.iter().enumerate().filter(|(j, _)| *j != i) {
                let others = f64::from(both[i.min(j)][i.max(j)] - 1);
                conditional -= libm::log2((others + c_i / self.active) / c_j);
            }
        }
        let pairs = (compared * (compared - 1)) as f64;
        Some(Coherence { surprise: surprise / all.len() as f64, conditional: conditional / pairs })
    }

    /// How many users have the i-th and the j-th of some items, for i < j.
    fn both(&self, items: &[u32], scratch: &mut Scratch) -> [[u32; COMPARED]; COMPARED] {
        for (bit, &item) in items.iter().enumerate() {
            for &user in self.by_item.row(item) {
                let has = &mut scratch.has[user as usize];
                if *has == 0 {
                    scratch.met.push(user);
                }
                *has |= 1 << bit;
            }
        }
        let mut both = [[0; COMPARED]; COMPARED];
        for user in scratch.met.drain(..) {
            let mut rest = std::mem::take(&mut scratch.has[user as usize]);
            while rest != 0 {
                let row = &mut both[rest.trailing_zeros() as usize];
                rest &= rest - 1;
                let mut later = rest;
                while later != 0 {
                    row[later.trailing_zeros() as usize] += 1;
                    later &= later - 1;
                }
            }
        }
        both
    }
}

/// What is known of a user who was ranked for.
#[derive(Clone, Copy, Debug)]
pub struct RankedUser<'a> {
    /// By the items that the user had.
    pub coherence: Option<Coherence>,
    /// Item ids best first.
    pub ranked: &'a [u32],
    /// The relevant ids.
    pub relevant: &'a [u32],
    /// Dims of the user's row.
    pub user_dims: u32,
    /// Mean dims of the rows of the items that the user had.
    pub item_dims: f64,
}

/// Users of like coherence: how well was ranked for them, and how large the rows are that did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserGroup {
    /// The least and the largest value in it of the measure that divides users; 0 without a user, and where nothing is
    /// measured.
    pub bounds: [f64; 2],
    /// Ranking for them, and how many there are. Users without a relevant item are none of them.
    pub metrics: Metrics,
    /// Mean dims of their rows.
    pub mean_user_dims: f64,
    /// Mean dims of their items' rows: of each user, then of users.
    pub mean_item_dims: f64,
}

/// Ranking quality by quartiles of [coherence](fn@coherence): whom a model and its sizes serve.
///
/// Users in the order of a measure are cut into four groups, lowest first, whose numbers differ by one at most; equal
/// ones stay in the order in which they came. So group q has the users from place `q n / 4`, rounded down, to
/// `(q + 1) n / 4` of n.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoherenceReport {
    /// Quartiles of [surprise](Coherence::surprise).
    pub by_surprise: [UserGroup; 4],
    /// Quartiles of [conditional surprise](Coherence::conditional).
    pub by_conditional: [UserGroup; 4],
    /// Those who had fewer than two items: they have no coherence.
    pub too_few: UserGroup,
}

impl CoherenceReport {
    /// Of users in any order. One without a relevant item is left out, as [`Metrics::mean`] does.
    ///
    /// # Cost
    /// A sort of the users for each measure.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::eval::{Coherence, CoherenceReport, Cutoffs, RankedUser};
    /// let hit = RankedUser { coherence: None, ranked: &[7], relevant: &[7], user_dims: 8, item_dims: 2.5 };
    /// let of = |surprise: f64| Some(Coherence { surprise, conditional: -surprise });
    /// let users: Vec<_> = (0..8).map(|user| RankedUser { coherence: of(user as f64), ..hit }).collect();
    /// let report = CoherenceReport::of(&Cutoffs::default(), &users);
    /// assert_eq!((report.by_surprise[0].bounds, report.by_conditional[0].bounds), ([0.0, 1.0], [-7.0, -6.0]));
    /// assert_eq!((report.by_surprise[3].metrics.users, report.too_few.metrics.users), (2, 0));
    /// assert_eq!((report.by_surprise[3].mean_user_dims, report.by_surprise[3].mean_item_dims), (8.0, 2.5));
    /// ```
    pub fn of(cutoffs: &Cutoffs, users: &[RankedUser<'_>]) -> Self {
        let counted = users.iter().filter(|user| !user.relevant.is_empty());
        let (known, unknown): (Vec<&RankedUser<'_>>, Vec<_>) = counted.partition(|user| user.coherence.is_some());
        let quartiles = |measure: fn(Coherence) -> f64| {
            let mut users: Vec<(f64, &RankedUser<'_>)> =
                known.iter().filter_map(|user| Some((measure(user.coherence?), *user))).collect();
            users.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            std::array::from_fn(|q| group(cutoffs, &users[q * users.len() / 4..(q + 1) * users.len() / 4]))
        };
        Self {
            by_surprise: quartiles(|of| of.surprise),
            by_conditional: quartiles(|of| of.conditional),
            too_few: group(cutoffs, &unknown.into_iter().map(|user| (0.0, user)).collect::<Vec<_>>()),
        }
    }

    /// All groups: quartiles of surprise, quartiles of conditional surprise, those who had too few items.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &UserGroup> {
        self.by_surprise.iter().chain(&self.by_conditional).chain([&self.too_few])
    }

    /// Of [groups](Self::groups) in their order.
    pub(crate) fn of_groups(groups: [UserGroup; 9]) -> Self {
        let [a, b, c, d, e, f, g, h, too_few] = groups;
        Self { by_surprise: [a, b, c, d], by_conditional: [e, f, g, h], too_few }
    }
}

/// Some users, with their values of the measure ascending.
fn group(cutoffs: &Cutoffs, users: &[(f64, &RankedUser<'_>)]) -> UserGroup {
    let mean = |of: fn(&RankedUser<'_>) -> f64| {
        users.iter().map(|(_, user)| of(user)).sum::<f64>() / users.len().max(1) as f64
    };
    UserGroup {
        bounds: [users.first(), users.last()].map(|user| user.map_or(0.0, |(value, _)| *value)),
        metrics: Metrics::mean(cutoffs, users.iter().map(|(_, user)| (user.ranked, user.relevant))),
        mean_user_dims: mean(|user| f64::from(user.user_dims)),
        mean_item_dims: mean(|user| user.item_dims),
    }
}

#[cfg(test)]
mod tests;
