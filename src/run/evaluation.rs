//! The test part of a segment, laid out to be ranked.

use super::options::AnyOptions;
use super::report::Sampled;
use crate::eval::{CatalogueMetrics, CoherenceReport, Cutoffs, Metrics, RankedUser, StandardErrors, coherence};
use crate::kernels::rank::top_k::MAX_K;
use crate::models::baselines::Baseline;
use crate::models::{Embeddings, RankRequest, Rankings, Recommender, rank, rank_both};
use crate::rng::{Philox, Purpose};
use crate::stream::{Interactions, Segment, UserItems, item_counts, replay};
use crate::{Error, Result};

/// That lists can be as long as these cutoffs want.
pub(super) fn check_cutoffs(op: &'static str, cutoffs: &Cutoffs) -> Result<()> {
    if cutoffs.longest() <= MAX_K {
        return Ok(());
    }
    let (arg, limit) = ("cutoffs", "longest list that is ranked");
    Err(Error::Limit { op, arg, limit, allowed: MAX_K.into(), requested: cutoffs.longest().into() })
}

/// Whatever gives lists.
pub(super) trait Lists {
    fn lists(&mut self, request: RankRequest<'_>) -> Result<Rankings>;

    /// Among a part of the candidates, and among all.
    fn both(&mut self, request: RankRequest<'_>, part: &[u32]) -> Result<[Rankings; 2]> {
        Ok([request.among(part, |of_part| self.lists(of_part))?, self.lists(request)?])
    }
}

impl Lists for dyn Recommender + '_ {
    fn lists(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
        rank(self, request)
    }

    fn both(&mut self, request: RankRequest<'_>, part: &[u32]) -> Result<[Rankings; 2]> {
        rank_both(self, request, part)
    }
}

impl Lists for dyn Baseline + '_ {
    fn lists(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
        self.rank(request)
    }
}

/// How well was ranked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quality {
    pub test_candidates: Metrics,
    pub all_candidates: Metrics,
    pub test_catalogue: CatalogueMetrics,
    pub all_catalogue: CatalogueMetrics,
    pub sampled: Option<Sampled>,
    /// The lists among the items of the test part.
    pub test_lists: Rankings,
}

/// Whom to rank what for, and what would be right (`docs/method.md` section 6).
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    users: Vec<u32>,
    /// How many there are where they are a sample.
    of: usize,
    relevant: UserItems,
    /// What users were shown and did not take, as far as they had not touched it before.
    declined: UserItems,
    candidates: Vec<u32>,
    items: u32,
    /// Rows before the test part.
    seen_end: usize,
}

impl Evaluation {
    /// The rows of `test` whose user and item were seen before row `seen_end`; a non-click is not relevant, nor is an
    /// item in the user's `history`.
    pub fn new(data: &Interactions, test: &Segment, seen_end: usize, history: &UserItems) -> Result<Self> {
        let (users, items) = (data.users_seen(seen_end), data.items_seen(seen_end));
        let is_known = |(user, item)| user < users && item < items;
        let known = test.rows.clone().filter(|&row| is_known(data.pair(row)));
        let mut candidates: Vec<u32> = data.pairs(known.clone()).map(|(_, item)| item).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let new = |clicked: bool| {
            let rows = data.pairs(known.clone().filter(move |&row| data.clicked(row) == clicked));
            UserItems::new(users, rows.filter(|&(user, item)| !history.contains(user, item)))
        };
        let (relevant, declined) = (new(true)?, new(false)?);
        let users: Vec<u32> = (0..users).filter(|&user| !relevant.row(user).is_empty()).collect();
        Ok(Self { of: users.len(), users, relevant, declined, candidates, items, seen_end })
    }

    /// For as many of the users as the options say, drawn by seed and segment.
    pub fn sampled(mut self, options: &AnyOptions, segment: usize) -> Self {
        if let Some(most) = options.evaluate_users {
            let mut rng = Philox::substream(options.seed, Purpose::Evaluate, segment as u32);
            let drawn = replay(..self.users.len(), most as usize, &mut rng);
            self.users = drawn.into_iter().map(|at| self.users[at]).collect();
        }
        self
    }

    /// Whom to rank for, ascending: users with something relevant.
    pub fn users(&self) -> &[u32] {
        &self.users
    }

    /// What is relevant to each user.
    pub fn relevant(&self) -> &UserItems {
        &self.relevant
    }

    /// What each user was shown and did not take.
    pub fn declined(&self) -> &UserItems {
        &self.declined
    }

    /// Whether there is nobody to rank for.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// [Quality](Metrics::quality) among the items of the test part.
    pub fn among_test_items(&self, model: &mut (impl Lists + ?Sized), history: &UserItems) -> Result<f64> {
        let (cutoffs, lists) = self.test_lists(model, history)?;
        Ok(self.metrics(&cutoffs, &lists).0.quality())
    }

    /// The same, and that of each user in their order.
    pub fn of_each_user(&self, model: &mut (impl Lists + ?Sized), history: &UserItems) -> Result<(f64, Vec<f32>)> {
        let (cutoffs, lists) = self.test_lists(model, history)?;
        let of_user = |(ranked, &user)| Metrics::mean(&cutoffs, [(ranked, self.relevant.row(user))]).quality() as f32;
        let of_users = lists.iter().zip(&self.users).map(of_user).collect();
        Ok((self.metrics(&cutoffs, &lists).0.quality(), of_users))
    }

    /// The lists that quality is taken of, and its cutoff.
    fn test_lists(&self, model: &mut (impl Lists + ?Sized), history: &UserItems) -> Result<(Cutoffs, Rankings)> {
        let excluded = |user: u32| history.row(user);
        let cutoffs = Cutoffs::new([Metrics::QUALITY_CUTOFF])?;
        let lists = model.lists(self.request(&self.candidates, &excluded, &cutoffs))?;
        Ok((cutoffs, lists))
    }

    /// All metrics among the items of the test part, and among all items, at these cutoffs and at that of
    /// [quality](Metrics::quality). An item is as popular as it has rows in `data` before the test part.
    pub fn among_both(
        &self,
        model: &mut (impl Lists + ?Sized),
        history: &UserItems,
        data: &Interactions,
        cutoffs: &Cutoffs,
    ) -> Result<Quality> {
        let cutoffs = &cutoffs.with(Metrics::QUALITY_CUTOFF);
        let everything: Vec<u32> = (0..self.items).collect();
        let excluded = |user: u32| history.row(user);
        let rankings = model.both(self.request(&everything, &excluded, cutoffs), &self.candidates)?;
        let [(test_candidates, of_test), (all_candidates, of_all)] =
            [0, 1].map(|protocol| self.metrics(cutoffs, &rankings[protocol]));
        let popularity = item_counts(data, 0..self.seen_end);
        let catalogue = |protocol: usize, candidates: u32| {
            CatalogueMetrics::of(cutoffs, rankings[protocol].iter(), candidates, &popularity)
        };
        let (test_catalogue, all_catalogue) = (catalogue(0, self.candidates.len() as u32)?, catalogue(1, self.items)?);
        let sampled = (self.users.len() < self.of).then_some(Sampled {
            of: self.of,
            test_candidates: of_test,
            all_candidates: of_all,
        });
        let [test_lists, _] = rankings;
        Ok(Quality { test_candidates, all_candidates, test_catalogue, all_catalogue, sampled, test_lists })
    }

    /// How well these lists are right for users of like coherence, by the rows of `tables`.
    pub fn by_coherence(
        &self,
        lists: &Rankings,
        cutoffs: &Cutoffs,
        history: &UserItems,
        tables: &Embeddings,
    ) -> Result<CoherenceReport> {
        let cutoffs = &cutoffs.with(Metrics::QUALITY_CUTOFF);
        let bias = u32::from(tables.item_bias());
        let user_dims: Vec<u32> = tables.users().sizes().collect();
        let item_dims: Vec<u32> = tables.items().sizes().map(|size| size.saturating_sub(bias)).collect();
        let of_user = |((ranked, &user), coherence)| {
            let items = history.row(user);
            let dims: u64 = items.iter().map(|&item| u64::from(item_dims[item as usize])).sum();
            RankedUser {
                coherence,
                ranked,
                relevant: self.relevant.row(user),
                user_dims: user_dims[user as usize],
                item_dims: dims as f64 / items.len().max(1) as f64,
            }
        };
        let found = coherence(history, self.items, &self.users)?;
        let users: Vec<RankedUser<'_>> = lists.iter().zip(&self.users).zip(found).map(of_user).collect();
        Ok(CoherenceReport::of(cutoffs, &users))
    }

    /// Lists as long as the longest cutoff.
    fn request<'a>(
        &'a self,
        candidates: &'a [u32],
        excluded: &'a dyn Fn(u32) -> &'a [u32],
        cutoffs: &Cutoffs,
    ) -> RankRequest<'a> {
        let k = cutoffs.longest();
        RankRequest { users: &self.users, candidates, excluded, k, item_biases: None, scores: false }
    }

    fn metrics(&self, cutoffs: &Cutoffs, rankings: &Rankings) -> (Metrics, StandardErrors) {
        let lists = rankings.iter().zip(&self.users);
        Metrics::mean_of_sample(cutoffs, lists.map(|(ranked, &user)| (ranked, self.relevant.row(user))), self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::run::report::SegmentReport;
    use crate::run::{Scall, ScallOptions};
    use crate::sizing::{Amount, Bet, BetOptions, Budget, FrequencyRanked, SizePolicy};

    fn rows() -> impl Iterator<Item = (String, String, i64)> {
        (0..900).map(|n| (format!("u{}", n * 7 % (40 + n / 40)), format!("i{}", n * n % 61), n))
    }

    fn options(evaluate_users: Option<u32>, seed: u64) -> ScallOptions {
        let mut options = ScallOptions::new(Budget::new(Amount::MeanSize(4.0)));
        (options.steps, options.probe.steps, options.evaluate_users, options.seed) = (3, 3, evaluate_users, seed);
        options.model.training_mut().batch = 64;
        options
    }

    fn reports(policy: Box<dyn SizePolicy>, evaluate_users: Option<u32>) -> Vec<SegmentReport> {
        reports_with(policy, options(evaluate_users, 5))
    }

    fn reports_with(policy: Box<dyn SizePolicy>, options: ScallOptions) -> Vec<SegmentReport> {
        let data = Interactions::from_rows(rows()).unwrap();
        let segments = crate::stream::cut(&data, crate::stream::Cut::Equal { segments: 3 }).unwrap();
        let mut scall = Scall::over(&Device::cpu(), data, segments, policy, options).unwrap();
        while scall.step(|_| {}).unwrap().is_some() {}
        scall.report().to_vec()
    }

    /// Longer lists and other cutoffs change nothing that is learned or searched, nor what is found at 20.
    #[test]
    fn cutoffs_are_for_reports_alone() {
        let policy = || Box::new(Bet::new(BetOptions { probes: 3, draws: 2, ..BetOptions::default() }));
        let usual = reports(policy(), None);
        let cutoffs = Cutoffs::new([1, 60]).unwrap();
        let other = reports_with(policy(), ScallOptions { cutoffs, ..options(None, 5) });
        for (usual, other) in usual.iter().zip(&other) {
            assert_eq!((usual.loss, usual.action, usual.probes), (other.loss, other.action, other.probes));
            assert!(other.all_candidates.by_cutoff.keys().eq(&[1, 20, 60]));
            assert_eq!(usual.test_candidates.at(20), other.test_candidates.at(20));
            assert_eq!(usual.all_catalogue.at(20), other.all_catalogue.at(20));
            assert!(other.all_candidates.at(60).recall > other.all_candidates.at(20).recall);
            // All lists of 60 of some 60 items hold what every user has not had.
            assert!(other.all_catalogue.at(60).coverage > 0.99);
        }
        let cutoffs = Cutoffs::new([101]).unwrap();
        let error = ScallOptions { cutoffs, ..options(None, 5) }.check().unwrap_err().to_string();
        assert_eq!(error, "Scall::new: `cutoffs` needs 101, the limit `longest list that is ranked` is 100");
    }

    /// It changes nothing else, and its groups are all test users, each in one group of each measure.
    #[test]
    fn coherence_is_for_reports_alone() {
        let policy = || Box::new(Bet::new(BetOptions { probes: 3, draws: 2, ..BetOptions::default() }));
        let with = |coherence, evaluate_users, policy| {
            reports_with(policy, ScallOptions { coherence, ..options(evaluate_users, 5) })
        };
        for evaluate_users in [None, Some(9)] {
            let usual = with(false, evaluate_users, policy());
            for (usual, other) in usual.iter().zip(with(true, evaluate_users, policy())) {
                let report = other.coherence.clone().unwrap();
                let plain = |of: &SegmentReport| {
                    format!("{:?}", SegmentReport { coherence: None, seconds: Default::default(), ..of.clone() })
                };
                assert!(usual.coherence.is_none() && plain(usual) == plain(&other));
                let all = &other.test_candidates;
                for groups in [&report.by_surprise, &report.by_conditional] {
                    let groups = || groups.iter().chain([&report.too_few]);
                    assert_eq!(groups().map(|of| of.metrics.users).sum::<usize>(), all.users);
                    let sum: f64 = groups().map(|of| of.metrics.at(20).ndcg * of.metrics.users as f64).sum();
                    assert!((sum / all.users as f64 - all.at(20).ndcg).abs() < 1e-12);
                    let bounds: Vec<f64> = groups().take(4).flat_map(|of| of.bounds).collect();
                    assert!(bounds[0] > 0.0 && bounds.is_sorted(), "{bounds:?}");
                }
            }
        }
        // Rows of one size: three dims, without the item's bias.
        let mut rows_of_three = ScallOptions { coherence: true, ..options(None, 5) };
        (rows_of_three.budget.d_min, rows_of_three.budget.d_max) = (3, 3);
        for report in reports_with(policy(), rows_of_three) {
            let report = report.coherence.unwrap();
            let some: Vec<_> = report.groups().filter(|of| of.metrics.users > 0).collect();
            assert!(some.len() >= 8);
            some.iter().for_each(|of| assert_eq!((of.mean_user_dims, of.mean_item_dims), (3.0, 3.0)));
        }
    }

    /// Training does not depend on it, probes and policies have the same users, and more than there are is all.
    #[test]
    fn a_sample_of_users_is_drawn_and_reported() {
        let all = reports(Box::new(FrequencyRanked::default()), None);
        let sample = reports(Box::new(FrequencyRanked::default()), Some(9));
        for (all, sample) in all.iter().zip(&sample) {
            assert_eq!((all.loss, &all.sampled), (sample.loss, &None));
            let sampled = sample.sampled.as_ref().unwrap();
            assert_eq!((sample.test_candidates.users, sample.all_candidates.users), (9, 9));
            assert_eq!(sampled.of, all.test_candidates.users);
            let errors = sampled.test_candidates.at(20).values();
            let (of_sample, of_all) = (sample.test_candidates.at(20).values(), all.test_candidates.at(20).values());
            for ((error, of_sample), of_all) in errors.iter().zip(of_sample).zip(of_all) {
                assert!(*error > 0.0 && (of_sample - of_all).abs() < 5.0 * error);
            }
        }
        let more = reports(Box::new(FrequencyRanked::default()), Some(5000));
        for (all, more) in all.iter().zip(&more) {
            assert_eq!((&all.test_candidates, &all.all_candidates), (&more.test_candidates, &more.all_candidates));
            assert_eq!((&all.all_catalogue, &more.sampled), (&more.all_catalogue, &None));
        }
        let searched =
            reports(Box::new(Bet::new(BetOptions { probes: 3, draws: 2, ..BetOptions::default() })), Some(9));
        assert!(searched.iter().all(|report| report.sampled.is_some() && report.test_candidates.users == 9));
    }

    #[test]
    fn non_clicks_are_candidates_that_are_not_relevant() {
        let mut data = Interactions::from_rows(rows()).unwrap();
        let (fit, test) = Segment { rows: 0..900 }.split(0.5).unwrap();
        let history = UserItems::new(data.user_count(), data.pairs(fit.rows.clone())).unwrap();
        let all = Evaluation::new(&data, &test, fit.rows.end, &history).unwrap();
        data.mark_non_clicks((0..900).filter(|row| row % 2 == 0)).unwrap();
        let some = Evaluation::new(&data, &test, fit.rows.end, &history).unwrap();
        assert_eq!(some.candidates, all.candidates);
        assert!(!some.relevant.is_empty() && some.relevant.len() < all.relevant.len());
        let clicks = UserItems::new(data.user_count(), data.pairs(test.rows.filter(|row| row % 2 == 1))).unwrap();
        for (user, item) in all.relevant.pairs() {
            assert_eq!(some.relevant.contains(user, item), clicks.contains(user, item));
        }
    }

    #[test]
    fn a_sample_goes_by_seed_and_segment_alone() {
        let data = Interactions::from_rows(rows()).unwrap();
        let (fit, test) = Segment { rows: 0..900 }.split(0.5).unwrap();
        let history = UserItems::new(data.user_count(), data.pairs(fit.rows.clone())).unwrap();
        let draw = |users: Option<u32>, seed: u64, segment: usize| {
            let evaluation = Evaluation::new(&data, &test, fit.rows.end, &history).unwrap();
            evaluation.sampled(&options(users, seed).any(), segment)
        };
        let (all, nine) = (draw(None, 1, 0), draw(Some(9), 1, 0));
        assert!(all.users.len() > 20 && all.of == all.users.len() && nine.of == all.of);
        assert!(nine.users.len() == 9 && nine.users.is_sorted() && nine.users.iter().all(|u| all.users.contains(u)));
        assert_eq!(nine.users, draw(Some(9), 1, 0).users);
        assert_ne!(nine.users, draw(Some(9), 2, 0).users);
        assert_ne!(nine.users, draw(Some(9), 1, 1).users);
        assert_eq!(draw(Some(u32::MAX), 1, 0).users, all.users);
    }
}
