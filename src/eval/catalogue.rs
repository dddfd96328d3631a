//! What part of a catalogue is listed, and how evenly.

use std::collections::BTreeMap;

use super::Cutoffs;
use super::at_cutoff::{at_cutoff, found_at, mean_at_each};
use crate::{Error, Result};

at_cutoff! {
    /// What the lists of all users, cut to k places, show of a catalogue of n items.
    ///
    /// Source: RecBole 1.2.1 (`ItemCoverage`, `AveragePopularity`, `GiniIndex`), whose n has one item more, the one
    /// that pads.
    CatalogueAtCutoff: 3 {
        /// Items that stand in at least one list, over n.
        coverage,
        /// How often an item occurred in training data, averaged over a user's list, and that over the users whose list
        /// has an item. In interactions.
        mean_popularity,
        /// The Gini index of `c`, how often each of the n items is listed, ascending:
        /// `sum_i (2 i - n - 1) c_i / (n sum_i c_i)` with i from 1. 0 where all are listed equally often, `1 - 1 / n`
        /// where a single one is; 0 too where no item is listed.
        gini,
    }
}

/// [`CatalogueAtCutoff`] at each of the [`Cutoffs`].
///
/// Sums are whole numbers but for the mean over users, who are added in their order in f64. So a report has the same
/// bits everywhere.
///
/// Fewer users have fewer lists: coverage and Gini index of a sample of users are those of the sample, and no estimate
/// of what all users would see.
///
/// ```
/// use scall_gpu::eval::{CatalogueMetrics, Cutoffs};
/// // Two lists over four items, which occurred 10, 4, 1 and 0 times.
/// let lists = [&[0, 1][..], &[0, 2][..]];
/// let metrics = CatalogueMetrics::of(&Cutoffs::new([1, 2])?, lists, 4, &[10, 4, 1, 0])?;
/// assert_eq!((metrics.at(1).coverage, metrics.at(2).coverage), (0.25, 0.75));
/// assert_eq!((metrics.at(1).mean_popularity, metrics.at(2).mean_popularity), (10.0, 6.25));
/// assert_eq!((metrics.at(1).gini, metrics.at(2).gini), (0.75, 0.375)); // listed 0, 0, 0, 2 times; 0, 1, 1, 2
/// # Ok::<(), scall_gpu::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CatalogueMetrics {
    /// By cutoff.
    pub by_cutoff: BTreeMap<u32, CatalogueAtCutoff>,
}

impl CatalogueMetrics {
    /// Of lists of item ids, best first, among a number of candidates; `popularity` has an entry for each id. A place
    /// that holds u32::MAX is none.
    ///
    /// # Cost
    /// The lists are run through once for each cutoff; 4 bytes for each entry of `popularity`.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that `popularity` has no entry for, and for fewer candidates than items that are
    /// listed.
    pub fn of<'a, L>(cutoffs: &Cutoffs, lists: L, candidates: u32, popularity: &[u32]) -> Result<Self>
    where
        L: IntoIterator<Item = &'a [u32], IntoIter: Clone>,
    {
        let op = "CatalogueMetrics::of";
        let lists = lists.into_iter();
        let (mut times, mut before, mut metrics) = (vec![0u32; popularity.len()], 0, Self::default());
        for cutoff in cutoffs.iter() {
            let (mut popular, mut users) = (0.0, 0u64);
            for (number, list) in lists.clone().enumerate() {
                let (mut sum, mut len) = (0u64, 0u32);
                for (place, &id) in list.iter().enumerate().take(cutoff as usize).filter(|(_, id)| **id != u32::MAX) {
                    let Some(&of) = popularity.get(id as usize) else {
                        let expected = format!("lists of items below {}, those with a popularity", popularity.len());
                        let got = format!("item {id} in list {number}");
                        return Err(Error::Argument { op, arg: "lists", expected, got });
                    };
                    sum += u64::from(of);
                    len += 1;
                    // Those of shorter cutoffs are counted.
                    times[id as usize] += u32::from(place >= before);
                }
                if len > 0 {
                    popular += sum as f64 / f64::from(len);
                    users += 1;
                }
            }
            before = cutoff as usize;
            let mut listed: Vec<u32> = times.iter().copied().filter(|&times| times > 0).collect();
            if listed.len() > candidates as usize {
                let expected = format!("at least the {} items that are listed", listed.len());
                return Err(Error::Argument { op, arg: "candidates", expected, got: candidates.to_string() });
            }
            listed.sort_unstable();
            let at = CatalogueAtCutoff {
                coverage: listed.len() as f64 / f64::from(candidates.max(1)),
                mean_popularity: popular / users.max(1) as f64,
                gini: gini(&listed, candidates),
            };
            metrics.by_cutoff.insert(cutoff, at);
        }
        Ok(metrics)
    }

    /// All of them at one cutoff.
    ///
    /// # Panics
    /// For a cutoff that they were not asked for at.
    #[track_caller]
    pub fn at(&self, cutoff: u32) -> CatalogueAtCutoff {
        found_at(&self.by_cutoff, cutoff)
    }

    /// The mean over segments at the cutoffs that all of them have.
    pub(crate) fn mean_of(segments: &[&Self]) -> Self {
        Self { by_cutoff: mean_at_each(segments.iter().map(|of| &of.by_cutoff), CatalogueAtCutoff::values) }
    }
}

/// The Gini index of counts that are given ascending; the other ones of the `items` counts are 0.
fn gini(counts: &[u32], items: u32) -> f64 {
    let (n, zeros) = (i128::from(items), i128::from(items) - counts.len() as i128);
    let total: i128 = counts.iter().map(|&count| i128::from(count)).sum();
    let weighed: i128 = (zeros + 1..).zip(counts).map(|(i, &count)| (2 * i - n - 1) * i128::from(count)).sum();
    weighed as f64 / (n * total).max(1) as f64
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of(cutoffs: &str, lists: &[&[u32]], candidates: u32, popularity: &[u32]) -> Result<CatalogueMetrics> {
        CatalogueMetrics::of(&cutoffs.parse()?, lists.iter().copied(), candidates, popularity)
    }

    #[test]
    fn equal_and_single_and_nothing() {
        let equal = of("2", &[&[0, 1], &[2, 3]], 4, &[5; 4]).unwrap().at(2);
        assert_eq!(equal, CatalogueAtCutoff { coverage: 1.0, mean_popularity: 5.0, gini: 0.0 });
        let single = of("2", &[&[3], &[3], &[3]], 4, &[0, 0, 0, 7]).unwrap().at(2);
        assert_eq!(single, CatalogueAtCutoff { coverage: 0.25, mean_popularity: 7.0, gini: 0.75 });
        let (empty, no_item): (&[u32], &[u32]) = (&[], &[u32::MAX]);
        for lists in [&[][..], &[empty], &[no_item]] {
            assert_eq!(of("2", lists, 4, &[5; 4]).unwrap().at(2), CatalogueAtCutoff::default());
        }
        assert_eq!(of("2", &[], 0, &[]).unwrap().at(2), CatalogueAtCutoff::default());
    }

    #[test]
    fn lists_that_are_shorter_count_with_what_they_have() {
        let found = of("1,3", &[&[0, 1, 2], &[1], &[]], 5, &[8, 4, 0]).unwrap();
        assert_eq!((found.at(1).coverage, found.at(1).mean_popularity), (0.4, 6.0));
        assert_eq!((found.at(3).coverage, found.at(3).mean_popularity), (0.6, 4.0));
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let error = of("1,2", &[&[0], &[1, 3]], 9, &[1; 3]).unwrap_err().to_string();
        assert!(error.ends_with("lists of items below 3, those with a popularity, got item 3 in list 1"), "{error}");
        let error = of("2", &[&[0, 1]], 1, &[1; 3]).unwrap_err().to_string();
        assert_eq!(error, "CatalogueMetrics::of: `candidates` must be at least the 2 items that are listed, got 1");
    }

    proptest! {
        /// The Gini index is half the mean difference of two counts over their mean.
        #[test]
        fn gini_is_the_mean_difference(mut counts in vec(0u32..9, 1..20)) {
            counts.sort_unstable();
            let differences = counts.iter().flat_map(|&a| counts.iter().map(move |&b| a.abs_diff(b))).sum::<u32>();
            let (n, total) = (counts.len() as f64, counts.iter().sum::<u32>());
            let expected = if total == 0 { 0.0 } else { f64::from(differences) / (2.0 * n * f64::from(total)) };
            let listed: Vec<u32> = counts.iter().copied().filter(|&count| count > 0).collect();
            let found = gini(&listed, counts.len() as u32);
            prop_assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
    }
}
