//! How well scores part what users took from what they were shown and did not take.

/// The AUC among exposures: the chance that a click of a user scores above a non-click of the same user.
///
/// With the scores `P` of a user's clicks and `N` of the user's non-clicks:
/// ```text
/// AUC = (#{(p, n) : p > n} + #{(p, n) : p = n} / 2) / (|P| |N|)
/// ```
/// So 0.5 is chance, and 1 is every click above every non-click. Ranking metrics among all items
/// ([`Metrics`](super::Metrics)) ask what a user takes next of everything; this asks which of the things that the user
/// was shown anyway pleases. A model may be good at one and poor at the other.
///
/// Source: the area under the ROC curve as a rank statistic, Hanley and McNeil, "The meaning and use of the area under
/// a receiver operating characteristic (ROC) curve", Radiology 143, 1982; by user as in Rendle et al., "BPR", UAI 2009.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exposures {
    /// The mean over users of each user's AUC; 0 without a user.
    pub auc: f64,
    /// Users with a click and a non-click, over whom that is the mean.
    pub users: usize,
}

impl Exposures {
    /// The mean over users, each given as the scores of its clicks and of its non-clicks, in any order. Users without
    /// one of both do not count. A NaN is above all numbers, and as high as another.
    ///
    /// # Numerics
    /// Pairs are counted in whole numbers, users added in their order in f64: the same bits everywhere.
    ///
    /// # Cost
    /// A sort of each user's scores.
    ///
    /// ```
    /// use scall_gpu::eval::Exposures;
    /// // Of four pairs two are in order, and one is a tie.
    /// let user = (&[2.0, 1.0][..], &[1.0, 1.5][..]);
    /// let found = Exposures::mean([user, (&[7.0], &[])]);
    /// assert_eq!((found.auc, found.users), (0.625, 1));
    /// ```
    pub fn mean<P: AsRef<[f32]>, N: AsRef<[f32]>>(users: impl IntoIterator<Item = (P, N)>) -> Self {
        let aucs = users.into_iter().filter_map(|(clicks, others)| of_user(clicks.as_ref(), others.as_ref()));
        let (sum, users) = aucs.fold((0.0, 0), |(sum, users), auc| (sum + auc, users + 1));
        Self { auc: sum / users.max(1) as f64, users }
    }

    /// The mean over segments, with the users of all; none of none.
    pub(crate) fn mean_of(segments: &[Self]) -> Option<Self> {
        let sum: f64 = segments.iter().map(|of| of.auc).sum();
        let users = segments.iter().map(|of| of.users).sum();
        (!segments.is_empty()).then(|| Self { auc: sum / segments.len() as f64, users })
    }
}

fn of_user(clicks: &[f32], others: &[f32]) -> Option<f64> {
    if clicks.is_empty() || others.is_empty() {
        return None;
    }
    // The zeros are one number, and so are all NaNs.
    let plain = |score: f32| if score.is_nan() { f32::NAN } else { score + 0.0 };
    let of = |scores: &[f32], clicked: bool| scores.iter().map(|&s| (plain(s), clicked)).collect::<Vec<_>>();
    let mut all = [of(clicks, true), of(others, false)].concat();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the pairs in order, ties counting once.
    let (mut twice, mut below) = (0u64, 0u64);
    for equal in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let clicked = equal.iter().filter(|(_, clicked)| *clicked).count() as u64;
        let others = equal.len() as u64 - clicked;
        twice += clicked * (2 * below + others);
        below += others;
    }
    Some(twice as f64 / (2 * clicks.len() as u64 * others.len() as u64) as f64)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Every pair by itself.
    fn oracle(clicks: &[f32], others: &[f32]) -> f64 {
        let mut sum = 0.0;
        for click in clicks {
            for other in others {
                sum += if click > other { 1.0 } else { f64::from(u8::from(click == other)) / 2.0 };
            }
        }
        sum / (clicks.len() * others.len()) as f64
    }

    proptest! {
        /// Few different scores make ties, both zeros among them.
        #[test]
        fn pairs_are_counted(
            users in vec((vec(-2i8..3, 0..20), vec(-2i8..3, 0..20)), 0..6),
            scale in prop_oneof![Just(1.0f32), Just(-0.37), Just(0.0), Just(-1e30)],
        ) {
            let scores = |of: &[i8]| of.iter().map(|&score| f32::from(score) * scale).collect::<Vec<_>>();
            let users: Vec<_> = users.iter().map(|(clicks, others)| (scores(clicks), scores(others))).collect();
            let both: Vec<f64> = users
                .iter()
                .filter(|(clicks, others)| !clicks.is_empty() && !others.is_empty())
                .map(|(clicks, others)| oracle(clicks, others))
                .collect();
            let found = Exposures::mean(users);
            prop_assert_eq!(found.users, both.len());
            let wanted = both.iter().sum::<f64>() / both.len().max(1) as f64;
            prop_assert!((found.auc - wanted).abs() < 1e-12, "{} and {}", found.auc, wanted);
        }
    }

    #[test]
    fn order_and_infinities() {
        let auc = |clicks: &[f32], others: &[f32]| Exposures::mean([(clicks, others)]).auc;
        assert_eq!(auc(&[1.0, 3.0, 2.0], &[0.0, -1.0]), 1.0);
        assert_eq!(auc(&[0.0, -1.0], &[1.0, 3.0, 2.0]), 0.0);
        assert_eq!(auc(&[f32::INFINITY], &[f32::INFINITY, f32::MAX, f32::NEG_INFINITY]), 2.5 / 3.0);
        assert_eq!(auc(&[f32::NAN], &[f32::INFINITY, -f32::NAN]), 0.75);
        assert_eq!(Exposures::mean::<&[f32], &[f32]>([]), Exposures::default());
    }

    #[test]
    fn segments_count_alike() {
        let of = |auc, users| Exposures { auc, users };
        assert_eq!(Exposures::mean_of(&[of(0.5, 10), of(1.0, 1)]), Some(of(0.75, 11)));
        assert_eq!(Exposures::mean_of(&[]), None);
    }
}
