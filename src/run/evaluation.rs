//! The test part of a segment, laid out to be ranked.

use crate::Result;
use crate::eval::{CUTOFFS, Metrics};
use crate::models::baselines::Baseline;
use crate::models::{RankRequest, Rankings, Recommender, rank};
use crate::stream::{Interactions, Segment, UserItems};

/// Places of a list that count.
const LONGEST: usize = CUTOFFS[CUTOFFS.len() - 1];

/// Whatever gives lists.
pub(super) trait Lists {
    fn lists(&mut self, request: RankRequest<'_>) -> Result<Rankings>;
}

impl Lists for dyn Recommender + '_ {
    fn lists(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
        rank(self, request)
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
        self.rank(model, history, &self.candidates)
    }

    /// Quality among all items.
    pub fn among_all_items(&self, model: &mut (impl Lists + ?Sized), history: &UserItems) -> Result<Metrics> {
        let everything: Vec<u32> = (0..self.items).collect();
        self.rank(model, history, &everything)
    }

    fn rank(&self, model: &mut (impl Lists + ?Sized), history: &UserItems, candidates: &[u32]) -> Result<Metrics> {
        let excluded = |user: u32| history.row(user);
        let k = LONGEST as u32;
        let rankings =
            model.lists(RankRequest { users: &self.users, candidates, excluded: &excluded, k, item_biases: None })?;
        let lists = rankings.iter().zip(&self.users);
        Ok(Metrics::mean(lists.map(|(ranked, &user)| (ranked, self.relevant.row(user)))))
    }
}
