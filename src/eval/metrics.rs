//! Recall and NDCG with binary relevance.

use std::borrow::Cow;

/// The list lengths that metrics are reported at.
pub const CUTOFFS: [usize; 3] = [5, 10, 20];

/// Ranking quality, averaged over the users who have a relevant item, at each of [`CUTOFFS`].
///
/// `Recall@k` is hits over the number of relevant items. `NDCG@k` is the sum of `1 / log2(rank + 1)` over the hits'
/// ranks, counted from 1, over the same sum for a list that begins with `min(k, relevant)` hits.
///
/// Users are added in their order in f64 and the logarithm is software's, so a report has the same bits everywhere.
///
/// ```
/// use scall_gpu::eval::Metrics;
/// // The user's one relevant item stands second.
/// let metrics = Metrics::mean([(&[4, 7, 1][..], &[7][..])]);
/// assert_eq!(metrics.recall, [1.0; 3]);
/// assert!((metrics.ndcg[0] - 1.0 / 3f64.log2()).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Recall at each cutoff.
    pub recall: [f64; 3],
    /// NDCG at each cutoff.
    pub ndcg: [f64; 3],
    /// Users who count. Without any, all metrics are 0.
    pub users: usize,
}

/// How far [`Metrics`] of a sample of users may lie from those of all users: the standard deviation of what other
/// samples of this size would give, about `0.3 / sqrt(n)` for Recall.
///
/// `sqrt(v / n * (1 - n / N))`, where v is the sample's variance, with `n - 1` below, n its users and N all users. So
/// it is 0 where the sample has all users, and also where it has fewer than two.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StandardErrors {
    /// Of Recall at each cutoff.
    pub recall: [f64; 3],
    /// Of NDCG at each cutoff.
    pub ndcg: [f64; 3],
}

impl Metrics {
    /// The mean over users, each given as `(ranked, relevant)`: item ids best first, and the relevant ids in any order.
    /// Users without a
    /// relevant item are left out. A place that holds u32::MAX is no hit.
    ///
    /// An item counts once: in a list that names it again, the later places are no hits, and a relevant item is one
    /// however often it is
    /// given. So no metric passes 1.
    ///
    /// ```
    /// use scall_gpu::eval::Metrics;
    /// let metrics = Metrics::mean([(&[7, 7, 1][..], &[7, 9, 7][..])]);
    /// assert_eq!(metrics.recall, [0.5; 3]);
    /// ```
    ///
    /// # Cost
    /// A binary search for each place that counts; a sort of the relevant ids where they do not ascend.
    pub fn mean<'a>(users: impl IntoIterator<Item = (&'a [u32], &'a [u32])>) -> Self {
        Self::mean_of_sample(users, 0).0
    }

    /// The [mean](Self::mean) over users that were drawn from `of` users, each of them equally likely and none twice,
    /// and how far it may lie from the mean over all of these.
    ///
    /// ```
    /// use scall_gpu::eval::Metrics;
    /// // Two of three users: one hit and one miss.
    /// let (metrics, errors) = Metrics::mean_of_sample([(&[7][..], &[7][..]), (&[4], &[5])], 3);
    /// assert_eq!((metrics.recall, metrics.users), ([0.5; 3], 2));
    /// // The variance is 1/2, over two users, of which a third is open.
    /// assert!((errors.recall[0] - f64::sqrt(0.5 / 2.0 / 3.0)).abs() < 1e-12);
    /// ```
    pub fn mean_of_sample<'a>(
        users: impl IntoIterator<Item = (&'a [u32], &'a [u32])>,
        of: usize,
    ) -> (Self, StandardErrors) {
        const LONGEST: usize = CUTOFFS[CUTOFFS.len() - 1];
        let discounts: [f64; LONGEST] = std::array::from_fn(|rank| 1.0 / libm::log2((rank + 2) as f64));
        let (mut sums, mut squares) = (Self::default(), StandardErrors::default());
        for (ranked, relevant) in users.into_iter().filter(|(_, relevant)| !relevant.is_empty()) {
            let relevant = distinct(relevant);
            let ranked = &ranked[..ranked.len().min(LONGEST)];
            let hits = |(place, &id): (usize, &u32)| {
                id != u32::MAX && relevant.binary_search(&id).is_ok() && !ranked[..place].contains(&id)
            };
            let hit: Vec<bool> = ranked.iter().enumerate().map(hits).collect();
            for (c, cutoff) in CUTOFFS.into_iter().enumerate() {
                let hits = hit.iter().zip(&discounts).take(cutoff).filter(|(hit, _)| **hit);
                let (count, gain) = hits.fold((0, 0.0), |(count, gain), (_, discount)| (count + 1, gain + discount));
                let recall = f64::from(count) / relevant.len() as f64;
                let ndcg = gain / discounts[..cutoff.min(relevant.len())].iter().sum::<f64>();
                sums.recall[c] += recall;
                sums.ndcg[c] += ndcg;
                squares.recall[c] += recall * recall;
                squares.ndcg[c] += ndcg * ndcg;
            }
            sums.users += 1;
        }
        let mean = |sum: f64| sum / sums.users.max(1) as f64;
        let metrics = Self { recall: sums.recall.map(mean), ndcg: sums.ndcg.map(mean), users: sums.users };
        let (n, open) = (sums.users as f64, of.saturating_sub(sums.users) as f64 / of.max(1) as f64);
        let error = |squares: [f64; 3], means: [f64; 3]| {
            std::array::from_fn(|c| {
                // Sums of numbers that are all alike may end below 0.
                let variance = ((squares[c] - n * means[c] * means[c]) / (n - 1.0).max(1.0)).max(0.0);
                (variance / n.max(1.0) * open).sqrt()
            })
        };
        let recall = error(squares.recall, metrics.recall);
        (metrics, StandardErrors { recall, ndcg: error(squares.ndcg, metrics.ndcg) })
    }

    /// The quality that training and search compare: the mean of Recall@20 and NDCG@20.
    pub fn quality(&self) -> f64 {
        (self.recall[2] + self.ndcg[2]) / 2.0
    }
}

/// Ids ascending, each once.
fn distinct(ids: &[u32]) -> Cow<'_, [u32]> {
    if ids.is_sorted_by(|a, b| a < b) {
        return Cow::Borrowed(ids);
    }
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    Cow::Owned(ids)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        let discount = |rank: f64| 1.0 / (rank + 1.0).log2();
        // Hits at ranks 2 and 7; one relevant item is not in the list.
        let ranked = [10, 4, 11, 12, 13, 14, 2, u32::MAX];
        let metrics = Metrics::mean([(&ranked[..], &[2, 4, 99][..])]);
        let ideal = discount(1.0) + discount(2.0) + discount(3.0);
        for (c, hits, gain) in [(0, 1.0, discount(2.0)), (1, 2.0, discount(2.0) + discount(7.0))] {
            assert!((metrics.recall[c] - hits / 3.0).abs() < 1e-12);
            assert!((metrics.ndcg[c] - gain / ideal).abs() < 1e-12);
        }
        assert_eq!((metrics.recall[1], metrics.ndcg[1]), (metrics.recall[2], metrics.ndcg[2]));
        assert!((metrics.quality() - (metrics.recall[2] + metrics.ndcg[2]) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn the_ideal_list_is_cut_too() {
        // More relevant items than places: a list of hits only is perfect by NDCG, not by Recall.
        let all: Vec<u32> = (0..40).collect();
        let metrics = Metrics::mean([(&all[..20], &all[..])]);
        assert_eq!(metrics.recall, [5.0 / 40.0, 10.0 / 40.0, 20.0 / 40.0]);
        metrics.ndcg.iter().for_each(|ndcg| assert!((ndcg - 1.0).abs() < 1e-12));
    }

    #[test]
    fn users_without_relevant_items_do_not_count() {
        let lists: [(&[u32], &[u32]); 3] = [(&[1], &[1]), (&[1], &[]), (&[], &[1])];
        let metrics = Metrics::mean(lists);
        assert_eq!(metrics, Metrics { recall: [0.5; 3], ndcg: [0.5; 3], users: 2 });
        assert_eq!(Metrics::mean([]), Metrics::default());
    }

    #[test]
    fn an_item_counts_once() {
        assert_eq!(Metrics::mean([(&[7, 7, 1][..], &[7][..])]).recall, [1.0; 3]);
        // Of a list with repeats, the first place counts: as if strangers stood in the others.
        let lists: [(&[u32], &[u32]); 2] = [(&[1, 4, 1, 4, 9, 2], &[2, 4]), (&[1, 4, 77, 78, 9, 2], &[2, 4])];
        assert_eq!(Metrics::mean([lists[0]]), Metrics::mean([lists[1]]));
        // Relevant ids in any order and number.
        assert_eq!(Metrics::mean([(lists[0].0, &[4, 2, 2, 4, 4][..])]), Metrics::mean([lists[0]]));
        let nothing = Metrics::mean([(&[u32::MAX, 3][..], &[u32::MAX][..])]);
        assert_eq!((nothing.recall, nothing.ndcg), ([0.0; 3], [0.0; 3]), "an empty place is no item");
    }

    /// The error that is said is the one that samples have.
    #[test]
    fn samples_scatter_as_their_errors_say() {
        let users: Vec<([u32; 2], [u32; 1])> = (0..400u32).map(|u| ([u % 3, 9], [u % 2])).collect();
        let lists = |of: &[usize]| -> (Metrics, StandardErrors) {
            Metrics::mean_of_sample(of.iter().map(|&u| (&users[u].0[..], &users[u].1[..])), users.len())
        };
        let all = lists(&(0..400).collect::<Vec<_>>());
        assert_eq!((all.0.users, all.1), (400, StandardErrors::default()));
        let mut rng = crate::rng::Philox::new(3, crate::rng::Purpose::User);
        let (mut squares, mut said) = (0.0, 0.0);
        for _ in 0..500 {
            let (metrics, errors) = lists(&crate::stream::replay(..400, 100, &mut rng));
            squares += (metrics.recall[1] - all.0.recall[1]).powi(2) / 500.0;
            said += errors.recall[1] / 500.0;
        }
        assert!((squares.sqrt() / said - 1.0).abs() < 0.1, "{} and {said}", squares.sqrt());
        for few in [&[][..], &[7]] {
            assert_eq!(lists(few).1, StandardErrors::default());
        }
    }

    proptest! {
        /// Whatever the lists: from 0 to 1, and what the sets of ids say.
        #[test]
        fn no_metric_passes_one(ranked in vec(0u32..12, 0..30), relevant in vec(0u32..12, 1..9)) {
            let metrics = Metrics::mean([(&ranked[..], &relevant[..])]);
            for (c, cutoff) in CUTOFFS.into_iter().enumerate() {
                let (top, relevant) = (&ranked[..cutoff.min(ranked.len())], distinct(&relevant));
                let hits = relevant.iter().filter(|&id| top.contains(id)).count();
                prop_assert_eq!(metrics.recall[c], hits as f64 / relevant.len() as f64);
                prop_assert!((0.0..=1.0 + 1e-12).contains(&metrics.ndcg[c]), "{}", metrics.ndcg[c]);
            }
        }
    }
}
