//! What goes with what the user has.

use rayon::prelude::*;

use super::{Baseline, Past, better, sorted};
use crate::Result;
use crate::models::{RankRequest, Rankings};
use crate::stream::UserItems;

/// Ranks by the sum of cosines between an item and the user's items.
///
/// With `U_i` the users of item `i` and `H_u` the items of user `u`, in all rows so far, each pair once:
/// ```text
/// score(u, i) = sum over j in H_u of |U_i and U_j| / sqrt(|U_i| |U_j|)
///             = 1 / sqrt(|U_i|) * sum over v with i in H_v of s_v
///   s_v       = sum over j in H_u and H_v of 1 / sqrt(|U_j|)
/// ```
/// The second form needs no matrix of items by items: once through the columns of the user's items, once through the
/// rows of the users met there. Cosines count all neighbours, there is no cut to the nearest.
///
/// # Numerics
/// f64, summed in one order: the same bits whatever the number of threads.
///
/// # Cost
/// A user costs `sum over j in H_u of |U_j|`, and `|H_v|` for each user `v` met. Holds the pairs twice, by user and by
/// item, and 8 bytes for each user and item a thread.
///
/// # Source
/// Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001; Deshpande and Karypis,
/// "Item-based top-N recommendation algorithms", TOIS 2004.
#[derive(Clone, Debug)]
pub struct ItemKnn {
    by_user: UserItems,
    by_item: UserItems,
}

impl Default for ItemKnn {
    fn default() -> Self {
        let none = || UserItems::new(0, []).expect("no pairs are not too many");
        Self { by_user: none(), by_item: none() }
    }
}

/// What a thread adds up in; zero between users.
struct Scratch {
    users: Vec<f64>,
    met: Vec<u32>,
    items: Vec<f64>,
}

impl ItemKnn {
    /// One over the length of an item's column.
    fn scale(&self, item: u32) -> f64 {
        1.0 / (self.by_item.row(item).len() as f64).sqrt()
    }

    /// Leaves the sums over users of a user's candidates in `scratch.items`.
    fn score(&self, user: u32, scratch: &mut Scratch) {
        scratch.items.fill(0.0);
        scratch.met.clear();
        for &item in self.by_user.row(user) {
            let scale = self.scale(item);
            for &other in self.by_item.row(item) {
                let overlap = &mut scratch.users[other as usize];
                if *overlap == 0.0 {
                    scratch.met.push(other);
                }
                *overlap += scale;
            }
        }
        for &other in &scratch.met {
            let overlap = std::mem::take(&mut scratch.users[other as usize]);
            self.by_user.row(other).iter().for_each(|&item| scratch.items[item as usize] += overlap);
        }
    }

    fn list(&self, user: u32, request: &RankRequest<'_>, excluded: &[u32], scratch: &mut Scratch) -> Vec<u32> {
        self.score(user, scratch);
        let score = |id: u32| match scratch.items.get(id as usize) {
            Some(&sum) if sum > 0.0 => sum * self.scale(id),
            _ => 0.0,
        };
        let allowed = request.candidates.iter().filter(|id| excluded.binary_search(id).is_err());
        let mut scored: Vec<(f64, u32)> = allowed.map(|&id| (score(id), id)).collect();
        let k = request.k as usize;
        if scored.len() > k {
            scored.select_nth_unstable_by(k, better);
            scored.truncate(k);
        }
        scored.sort_unstable_by(better);
        scored.into_iter().map(|(_, id)| id).collect()
    }
}

impl Baseline for ItemKnn {
    fn name(&self) -> &'static str {
        "item knn"
    }

    fn learn(&mut self, past: Past<'_>) -> Result<()> {
        let items = past.history.items().iter().max().map_or(0, |&item| item + 1);
        self.by_item = UserItems::new(items, past.history.pairs().map(|(user, item)| (item, user)))?;
        self.by_user = past.history.clone();
        Ok(())
    }

    fn rank(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
        // The request's exclusions need not be shared between threads: they are copied here.
        let users: Vec<(u32, Vec<u32>)> =
            request.users.iter().map(|&user| (user, sorted((request.excluded)(user)))).collect();
        let RankRequest { users: ids, candidates, k, .. } = request;
        let scratch = || Scratch {
            users: vec![0.0; self.by_user.users() as usize],
            met: Vec::new(),
            items: vec![0.0; self.by_item.users() as usize],
        };
        let lists: Vec<Vec<u32>> = users
            .par_iter()
            .map_init(scratch, |scratch, (user, excluded)| {
                let request =
                    RankRequest { users: ids, candidates, excluded: &|_| &[], k, item_biases: None, scores: false };
                self.list(*user, &request, excluded, scratch)
            })
            .collect();
        Rankings::from_lists(k, lists)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Interactions;

    #[test]
    fn by_hand() {
        let rows = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (4, 0), (4, 3), (5, 4)];
        let history = UserItems::new(7, rows).unwrap();
        let data = Interactions::default();
        let mut knn = ItemKnn::default();
        knn.learn(Past { data: &data, segment: 0..0, history: &history }).unwrap();
        // Columns: 0 has users 0 1 4, 1 has 0 1 2, 2 has 1 2, 3 has 3 4, 4 has 5.
        // User 0 has 0 and 1: item 2 scores 1/sqrt(6) + 2/sqrt(6), item 3 1/sqrt(6), item 4 nothing.
        // User 3 has 3: item 0 scores 1/sqrt(6), the others nothing: by id. User 6 has nothing at all.
        let mut scratch = Scratch { users: vec![0.0; 7], met: Vec::new(), items: vec![0.0; 5] };
        knn.score(0, &mut scratch);
        for (item, expected) in [(2, 3.0 / 6f64.sqrt()), (3, 1.0 / 6f64.sqrt()), (4, 0.0)] {
            assert!((scratch.items[item as usize] * knn.scale(item) - expected).abs() < 1e-12, "item {item}");
        }
        let excluded = |user: u32| history.row(user);
        let request = RankRequest {
            users: &[0, 3, 6],
            candidates: &[0, 1, 2, 3, 4, 9],
            excluded: &excluded,
            k: 4,
            item_biases: None,
            scores: false,
        };
        let lists = knn.rank(request).unwrap();
        assert_eq!(lists.user(0), [2, 3, 4, 9]);
        assert_eq!(lists.user(1), [0, 1, 2, 4]);
        assert_eq!(lists.user(2), [0, 1, 2, 3]);
    }
}
