//! The test part of a segment, laid out to be ranked.

use crate::Result;
use crate::eval::{CUTOFFS, Metrics};
use crate::models::baselines::Baseline;
use crate::models::{RankRequest, Rankings, Recommender, rank, rank_both};
use crate::stream::{Interactions, Segment, UserItems};

/// Places of a list that count.
const LONGEST: usize = CUTOFFS[CUTOFFS.len() - 1];

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

/// Whom to rank what for, and what would be right (`docs/method.md` section 6).
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    users: Vec<u32>,
    relevant: UserItems,
    candidates: Vec<u32>,
    items: u32,
}

impl Evaluation {
    /// The rows of `test` whose user and item were seen before row `seen_end`; an item in the user's `history` is not
    /// relevant.
    pub fn new(data: &Interactions, test: &Segment, seen_end: usize, history: &UserItems) -> Result<Self> {
        let (users, items) = (data.users_seen(seen_end), data.items_seen(seen_end));
        let pairs = data.pairs(test.rows.clone()).filter(|&(user, item)| user < users && item < items);
        let mut candidates: Vec<u32> = pairs.clone().map(|(_, item)| item).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let new = pairs.filter(|&(user, item)| !history.contains(user, item));
        let relevant = UserItems::new(users, new)?;
        let users = (0..users).filter(|&user| !relevant.row(user).is_empty()).collect();
        Ok(Self { users, relevant, candidates, items })
    }

    /// Whether there is nobody to rank for.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Quality among the items of the test part.
    pub fn among_test_items(&self, model: &mut (impl Lists + ?Sized), history: &UserItems) -> Result<Metrics> {
        let excluded = |user: u32| history.row(user);
        Ok(self.metrics(&model.lists(self.request(&self.candidates, &excluded))?))
    }

    /// Quality among the items of the test part, and among all items.
    pub fn among_both(&self, model: &mut (impl Lists + ?Sized), history: &UserItems) -> Result<[Metrics; 2]> {
        let everything: Vec<u32> = (0..self.items).collect();
        let excluded = |user: u32| history.row(user);
        let rankings = model.both(self.request(&everything, &excluded), &self.candidates)?;
        Ok(rankings.map(|rankings| self.metrics(&rankings)))
    }

    fn request<'a>(&'a self, candidates: &'a [u32], excluded: &'a dyn Fn(u32) -> &'a [u32]) -> RankRequest<'a> {
        RankRequest { users: &self.users, candidates, excluded, k: LONGEST as u32, item_biases: None }
    }

    fn metrics(&self, rankings: &Rankings) -> Metrics {
        let lists = rankings.iter().zip(&self.users);
        Metrics::mean(lists.map(|(ranked, &user)| (ranked, self.relevant.row(user))))
    }
}
