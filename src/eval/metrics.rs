//! Metrics of lists with binary relevance.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Cutoffs;
use super::at_cutoff::{at_cutoff, found_at, mean_at_each};

at_cutoff! {
    /// Each metric of a user's list at one cutoff k, as a mean over users; in [`StandardErrors`] the error of each.
    ///
    /// `R` is how many items are relevant. Ranks count from 1. A list with fewer than k places is taken as if misses
    /// followed. ranx 0.3.21 and RecBole 1.2.1 give the same numbers, but for one: ranx divides MAP by `R`.
    AtCutoff: 6 {
        /// Hits among the first k over `R`.
        recall,
        /// The sum of `1 / log2(rank + 1)` over the hits among the first k, over the same sum for a list that begins
        /// with `min(k, R)` hits.
        ndcg,
        /// 1 with a hit among the first k, else 0.
        hit_rate,
        /// `1 / rank` of the first hit, 0 where none is among the first k. Its mean is the mean reciprocal rank.
        mrr,
        /// Hits among the first k over k, also where the list is shorter.
        precision,
        /// The sum, over the hits among the first k, of the precision at their rank, over `min(k, R)`: the average
        /// precision, which the best possible list has at 1. Its mean over users is MAP.
        map,
    }
}

/// Ranking quality, averaged over the users who have a relevant item, at each of the [`Cutoffs`].
///
/// [`AtCutoff`] has the formulas. Users are added in their order in f64 and the logarithm is software's, so a report
/// has the same bits everywhere.
///
/// ```
/// use scall_gpu::eval::{Cutoffs, Metrics};
/// // The user's one relevant item stands second.
/// let metrics = Metrics::mean(&Cutoffs::new([1, 3])?, [(&[4, 7, 1][..], &[7][..])]);
/// assert_eq!((metrics.at(1).recall, metrics.at(3).recall), (0.0, 1.0));
/// assert!((metrics.at(3).ndcg - 1.0 / 3f64.log2()).abs() < 1e-12);
/// assert_eq!((metrics.at(3).mrr, metrics.at(3).map, metrics.at(3).precision), (0.5, 0.5, 1.0 / 3.0));
/// # Ok::<(), scall_gpu::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// All metrics by cutoff.
    pub by_cutoff: BTreeMap<u32, AtCutoff>,
    /// Users who count. Without any, all metrics are 0.
    pub users: usize,
}

/// How far [`Metrics`] of a sample of users may lie from those of all users: the standard deviation of what other
/// samples of this size would give, about `0.3 / sqrt(n)` for Recall.
///
/// `sqrt(v / n * (1 - n / N))`, where v is the sample's variance, with `n - 1` below, n its users and N all users. So
/// it is 0 where the sample has all users, and also where it has fewer than two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandardErrors {
    /// Of all metrics by cutoff.
    pub by_cutoff: BTreeMap<u32, AtCutoff>,
}

impl Metrics {
    /// The cutoff that [`quality`](Self::quality) is taken at. The loop's reports always have it.
    pub const QUALITY_CUTOFF: u32 = 20;

    /// The mean over users, each given as `(ranked, relevant)`: item ids best first, and the relevant ids in any order.
    /// Users without a relevant item are left out. A place that holds u32::MAX is no hit.
    ///
    /// An item counts once: in a list that names it again, the later places are no hits, and a relevant item is one
    /// however often it is given. So no metric passes 1.
    ///
    /// ```
    /// use scall_gpu::eval::{Cutoffs, Metrics};
    /// let metrics = Metrics::mean(&Cutoffs::default(), [(&[7, 7, 1][..], &[7, 9, 7][..])]);
    /// assert_eq!(metrics.at(5).recall, 0.5);
    /// ```
    ///
    /// # Cost
    /// A binary search for each place that counts; a sort of the relevant ids where they do not ascend.
    pub fn mean<'a>(cutoffs: &Cutoffs, users: impl IntoIterator<Item = (&'a [u32], &'a [u32])>) -> Self {
        Self::mean_of_sample(cutoffs, users, 0).0
    }

    /// The [mean](Self::mean) over users that were drawn from `of` users, each of them equally likely and none twice,
    /// and how far it may lie from the mean over all of these.
    ///
    /// ```
    /// use scall_gpu::eval::{Cutoffs, Metrics};
    /// // Two of three users: one hit and one miss.
    /// let sample = [(&[7][..], &[7][..]), (&[4], &[5])];
    /// let (metrics, errors) = Metrics::mean_of_sample(&Cutoffs::default(), sample, 3);
    /// assert_eq!((metrics.at(5).recall, metrics.users), (0.5, 2));
    /// // The variance is 1/2, over two users, of which a third is open.
    /// assert!((errors.at(5).recall - f64::sqrt(0.5 / 2.0 / 3.0)).abs() < 1e-12);
    /// ```
    pub fn mean_of_sample<'a>(
        cutoffs: &Cutoffs,
        users: impl IntoIterator<Item = (&'a [u32], &'a [u32])>,
        of: usize,
    ) -> (Self, StandardErrors) {
        let longest = cutoffs.longest() as usize;
        let mut discounts = Vec::new();
        let mut sums = vec![([0.0; AtCutoff::NAMES.len()], [0.0; AtCutoff::NAMES.len()]); cutoffs.iter().len()];
        let mut counted = 0;
        for (ranked, relevant) in users.into_iter().filter(|(_, relevant)| !relevant.is_empty()) {
            let relevant = distinct(relevant);
            let ranked = &ranked[..ranked.len().min(longest)];
            let hits = |(place, &id): (usize, &u32)| {
                id != u32::MAX && relevant.binary_search(&id).is_ok() && !ranked[..place].contains(&id)
            };
            let hit: Vec<bool> = ranked.iter().enumerate().map(hits).collect();
            let needed = longest.min(ranked.len().max(relevant.len()));
            discounts.extend((discounts.len()..needed).map(|rank| 1.0 / libm::log2((rank + 2) as f64)));
            for (cutoff, (sums, squares)) in cutoffs.iter().zip(&mut sums) {
                let values = of_user(&hit, relevant.len(), cutoff as usize, &discounts).values();
                for ((sum, square), value) in sums.iter_mut().zip(squares).zip(values) {
                    *sum += value;
                    *square += value * value;
                }
            }
            counted += 1;
        }
        let (n, open) = (counted as f64, of.saturating_sub(counted) as f64 / of.max(1) as f64);
        let error = |square: f64, mean: f64| {
            // Sums of numbers that are all alike may end below 0.
            let variance = ((square - n * mean * mean) / (n - 1.0).max(1.0)).max(0.0);
            (variance / n.max(1.0) * open).sqrt()
        };
        let (mut metrics, mut errors) = (Self { users: counted, ..Self::default() }, StandardErrors::default());
        for (cutoff, (sums, squares)) in cutoffs.iter().zip(sums) {
            let means = sums.map(|sum| sum / n.max(1.0));
            metrics.by_cutoff.insert(cutoff, means.into());
            let errors_of = std::array::from_fn::<f64, { AtCutoff::NAMES.len() }, _>(|i| error(squares[i], means[i]));
            errors.by_cutoff.insert(cutoff, errors_of.into());
        }
        (metrics, errors)
    }

    /// All metrics at one cutoff.
    ///
    /// # Panics
    /// For a cutoff that they were not asked for at.
    #[track_caller]
    pub fn at(&self, cutoff: u32) -> AtCutoff {
        found_at(&self.by_cutoff, cutoff)
    }

    /// The quality that training and search compare: the mean of Recall@20 and NDCG@20.
    ///
    /// # Panics
    /// Where 20 is none of the cutoffs.
    #[track_caller]
    pub fn quality(&self) -> f64 {
        let AtCutoff { recall, ndcg, .. } = self.at(Self::QUALITY_CUTOFF);
        (recall + ndcg) / 2.0
    }

    /// The mean over segments at the cutoffs that all of them have, with the users of all.
    pub(crate) fn mean_of(segments: &[&Self]) -> Self {
        let by_cutoff = mean_at_each(segments.iter().map(|of| &of.by_cutoff), AtCutoff::values);
        Self { by_cutoff, users: segments.iter().map(|of| of.users).sum() }
    }
}

impl StandardErrors {
    /// Those of all metrics at one cutoff.
    ///
    /// # Panics
    /// For a cutoff that they were not asked for at.
    #[track_caller]
    pub fn at(&self, cutoff: u32) -> AtCutoff {
        found_at(&self.by_cutoff, cutoff)
    }
}

/// The metrics of a list with these hits, for one with a number of relevant items of at least 1.
fn of_user(hit: &[bool], relevant: usize, cutoff: usize, discounts: &[f64]) -> AtCutoff {
    let (mut hits, mut gain, mut precisions, mut mrr) = (0u32, 0.0, 0.0, 0.0);
    for (place, (_, discount)) in hit.iter().zip(discounts).enumerate().take(cutoff).filter(|(_, (hit, _))| **hit) {
        let rank = (place + 1) as f64;
        if hits == 0 {
            mrr = 1.0 / rank;
        }
        hits += 1;
        gain += discount;
        precisions += f64::from(hits) / rank;
    }
    let ideal = cutoff.min(relevant);
    AtCutoff {
        recall: f64::from(hits) / relevant as f64,
        ndcg: gain / discounts[..ideal].iter().sum::<f64>(),
        hit_rate: f64::from(hits.min(1)),
        mrr,
        precision: f64::from(hits) / cutoff as f64,
        map: precisions / ideal as f64,
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

    /// At 5, 10 and 20.
    fn mean<'a>(users: impl IntoIterator<Item = (&'a [u32], &'a [u32])>) -> Metrics {
        Metrics::mean(&Cutoffs::default(), users)
    }

    fn assert_close(found: AtCutoff, expected: AtCutoff) {
        for ((name, found), expected) in AtCutoff::NAMES.iter().zip(found.values()).zip(expected.values()) {
            assert!((found - expected).abs() < 1e-12, "{name}: {found} and {expected}");
        }
    }

    #[test]
    fn by_hand() {
        let discount = |rank: f64| 1.0 / (rank + 1.0).log2();
        // Hits at ranks 2 and 7; one relevant item is not in the list.
        let ranked = [10, 4, 11, 12, 13, 14, 2, u32::MAX];
        let cutoffs = Cutoffs::new([1, 2, 5, 10, 20]).unwrap();
        let metrics = Metrics::mean(&cutoffs, [(&ranked[..], &[2, 4, 99][..])]);
        let ideal = discount(1.0) + discount(2.0) + discount(3.0);
        assert_close(metrics.at(1), AtCutoff::default());
        assert_close(
            metrics.at(2),
            AtCutoff {
                recall: 1.0 / 3.0,
                ndcg: discount(2.0) / (discount(1.0) + discount(2.0)),
                hit_rate: 1.0,
                mrr: 0.5,
                precision: 0.5,
                map: 0.5 / 2.0,
            },
        );
        let at_5 = AtCutoff {
            recall: 1.0 / 3.0,
            ndcg: discount(2.0) / ideal,
            hit_rate: 1.0,
            mrr: 0.5,
            precision: 0.2,
            map: 0.5 / 3.0,
        };
        assert_close(metrics.at(5), at_5);
        let at_10 = AtCutoff {
            recall: 2.0 / 3.0,
            ndcg: (discount(2.0) + discount(7.0)) / ideal,
            precision: 0.2,
            map: (0.5 + 2.0 / 7.0) / 3.0,
            ..at_5
        };
        assert_close(metrics.at(10), at_10);
        // Misses follow a list that is shorter.
        assert_close(metrics.at(20), AtCutoff { precision: 0.1, ..at_10 });
        assert!((metrics.quality() - (at_10.recall + at_10.ndcg) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn the_ideal_list_is_cut_too() {
        // More relevant items than places: a list of hits only is perfect by all but Recall.
        let all: Vec<u32> = (0..40).collect();
        let metrics = mean([(&all[..20], &all[..])]);
        for (cutoff, recall) in [(5, 5.0 / 40.0), (10, 10.0 / 40.0), (20, 20.0 / 40.0)] {
            let perfect = AtCutoff { recall, ndcg: 1.0, hit_rate: 1.0, mrr: 1.0, precision: 1.0, map: 1.0 };
            assert_close(metrics.at(cutoff), perfect);
        }
        // However long the longest list may be, nothing is laid out for places that there are not.
        let longest = Metrics::mean(&Cutoffs::new([u32::MAX]).unwrap(), [(&all[..20], &all[..])]);
        assert_eq!(longest.at(u32::MAX).recall, 0.5);
    }

    #[test]
    fn users_without_relevant_items_do_not_count() {
        let lists: [(&[u32], &[u32]); 3] = [(&[1], &[1]), (&[1], &[]), (&[], &[1])];
        let metrics = mean(lists);
        assert_eq!(metrics.users, 2);
        for cutoff in [5, 10, 20] {
            let precision = 0.5 / f64::from(cutoff);
            let half = AtCutoff { recall: 0.5, ndcg: 0.5, hit_rate: 0.5, mrr: 0.5, precision, map: 0.5 };
            assert_close(metrics.at(cutoff), half);
        }
        let none = mean([]);
        assert_eq!((none.users, none.at(5), none.by_cutoff.len()), (0, AtCutoff::default(), 3));
    }

    #[test]
    fn an_item_counts_once() {
        assert_eq!(mean([(&[7, 7, 1][..], &[7][..])]).at(20).recall, 1.0);
        // Of a list with repeats, the first place counts: as if strangers stood in the others.
        let lists: [(&[u32], &[u32]); 2] = [(&[1, 4, 1, 4, 9, 2], &[2, 4]), (&[1, 4, 77, 78, 9, 2], &[2, 4])];
        assert_eq!(mean([lists[0]]), mean([lists[1]]));
        // Relevant ids in any order and number.
        assert_eq!(mean([(lists[0].0, &[4, 2, 2, 4, 4][..])]), mean([lists[0]]));
        let nothing = mean([(&[u32::MAX, 3][..], &[u32::MAX][..])]);
        assert_eq!(nothing.at(20), AtCutoff::default(), "an empty place is no item");
    }

    #[test]
    #[should_panic(expected = "nothing at the cutoff 7, but at 5, 10, 20")]
    fn a_cutoff_that_was_not_asked_for_is_no_zero() {
        mean([]).at(7);
    }

    #[test]
    fn a_mean_of_segments_has_what_all_have() {
        let of = |cutoffs: &str, ranked: &[u32]| Metrics::mean(&cutoffs.parse().unwrap(), [(ranked, &[1][..])]);
        let (hit, miss) = (of("1,5", &[1]), of("5,20", &[2]));
        let mean = Metrics::mean_of(&[&hit, &miss]);
        assert_eq!((mean.by_cutoff.len(), mean.users, mean.at(5).mrr), (1, 2, 0.5));
    }

    /// The error that is said is the one that samples have.
    #[test]
    fn samples_scatter_as_their_errors_say() {
        let users: Vec<([u32; 4], [u32; 1])> = (0..400u32).map(|u| ([8, u % 3, 9, u % 5], [u % 2])).collect();
        let lists = |of: &[usize]| -> (Metrics, StandardErrors) {
            let lists = of.iter().map(|&u| (&users[u].0[..], &users[u].1[..]));
            Metrics::mean_of_sample(&Cutoffs::default(), lists, users.len())
        };
        let all = lists(&(0..400).collect::<Vec<_>>());
        let none = |errors: &StandardErrors| errors.by_cutoff.values().all(|of| *of == AtCutoff::default());
        assert!(all.0.users == 400 && none(&all.1));
        let mut rng = crate::rng::Philox::new(3, crate::rng::Purpose::User);
        let (mut squares, mut said) = ([0.0; 6], [0.0; 6]);
        for _ in 0..500 {
            let (metrics, errors) = lists(&crate::stream::replay(..400, 100, &mut rng));
            for i in 0..6 {
                squares[i] += (metrics.at(10).values()[i] - all.0.at(10).values()[i]).powi(2) / 500.0;
                said[i] += errors.at(10).values()[i] / 500.0;
            }
        }
        for ((name, square), said) in AtCutoff::NAMES.iter().zip(squares).zip(said) {
            assert!((square.sqrt() / said - 1.0).abs() < 0.1, "{name}: {} and {said}", square.sqrt());
        }
        for few in [&[][..], &[7]] {
            assert!(none(&lists(few).1));
        }
    }

    proptest! {
        /// Whatever the lists: from 0 to 1, and what the sets of ids say.
        #[test]
        fn no_metric_passes_one(ranked in vec(0u32..12, 0..30), relevant in vec(0u32..12, 1..9)) {
            let metrics = mean([(&ranked[..], &relevant[..])]);
            let relevant = distinct(&relevant);
            for (&cutoff, of) in &metrics.by_cutoff {
                let top = &ranked[..ranked.len().min(cutoff as usize)];
                let hits = relevant.iter().filter(|&id| top.contains(id)).count() as f64;
                prop_assert_eq!(of.recall, hits / relevant.len() as f64);
                prop_assert_eq!(of.precision, hits / f64::from(cutoff));
                prop_assert_eq!(of.hit_rate, f64::from(u8::from(hits > 0.0)));
                let first = top.iter().position(|id| relevant.contains(id));
                prop_assert_eq!(of.mrr, first.map_or(0.0, |place| 1.0 / (place + 1) as f64));
                prop_assert!(of.values().iter().all(|value| (0.0..=1.0 + 1e-12).contains(value)), "{of:?}");
            }
        }
    }
}
