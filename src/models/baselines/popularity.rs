//! What many have taken.

use std::ops::Range;

use super::{Baseline, Past, better, sorted};
use crate::Result;
use crate::check;
use crate::models::{RankRequest, Rankings};
use crate::stream::{Interactions, decayed_counts, item_counts};

/// Ranks by the number of clicks of an item so far: all its rows, unless the stream has non-clicks.
#[derive(Clone, Debug, Default)]
pub struct Popularity {
    rows: Vec<f64>,
}

/// Ranks by the number of clicks of an item in the current segment's training part, without replay.
#[derive(Clone, Debug, Default)]
pub struct RecentPopularity {
    rows: Vec<f64>,
}

/// Ranks by the number of clicks of an item so far, each weighing half as much for every half-life since
/// ([`decayed_counts`]).
#[derive(Clone, Debug)]
pub struct DecayedPopularity {
    /// Rows of the stream after which a row counts half; above 0.
    pub half_life: f64,
    rows: Vec<f64>,
}

impl DecayedPopularity {
    /// Knows nothing yet.
    pub fn new(half_life: f64) -> Self {
        Self { half_life, rows: Vec::new() }
    }
}

fn count(data: &Interactions, rows: Range<usize>) -> Vec<f64> {
    item_counts(data, rows).into_iter().map(f64::from).collect()
}

/// One order for all users; each list is its first `k` without the exclusions.
fn rank(counts: &[f64], request: RankRequest<'_>) -> Result<Rankings> {
    let count = |id: u32| counts.get(id as usize).copied().unwrap_or(0.0);
    let mut order: Vec<(f64, u32)> = request.candidates.iter().map(|&id| (count(id), id)).collect();
    order.sort_unstable_by(better);
    let lists = request.users.iter().map(|&user| {
        let excluded = sorted((request.excluded)(user));
        let allowed = order.iter().map(|&(_, id)| id).filter(|id| excluded.binary_search(id).is_err());
        allowed.take(request.k as usize).collect::<Vec<u32>>()
    });
    Rankings::from_lists(request.k, lists)
}

impl Baseline for Popularity {
    fn name(&self) -> &'static str {
        "popularity"
    }

    fn learn(&mut self, past: Past<'_>) -> Result<()> {
        self.rows = count(past.data, 0..past.segment.end);
        Ok(())
    }

    fn rank(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
        rank(&self.rows, request)
    }
}

impl Baseline for RecentPopularity {
    fn name(&self) -> &'static str {
        "recent popularity"
    }

    fn learn(&mut self, past: Past<'_>) -> Result<()> {
        self.rows = count(past.data, past.segment);
        Ok(())
    }

    fn rank(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
        rank(&self.rows, request)
    }
}

impl Baseline for DecayedPopularity {
    fn name(&self) -> &'static str {
        "decayed popularity"
    }

    fn learn(&mut self, past: Past<'_>) -> Result<()> {
        let half_life = self.half_life;
        check::domain("DecayedPopularity", "half_life", half_life, half_life > 0.0, "above 0")?;
        self.rows = decayed_counts(past.data, past.segment.end, self.half_life);
        Ok(())
    }

    fn rank(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
        rank(&self.rows, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::UserItems;

    #[test]
    fn by_hand() {
        let items = ["a", "a", "b", "a", "b", "c", "c", "b", "c", "d"];
        let rows = items.iter().enumerate().map(|(row, item)| (format!("u{row}"), item, row as i64));
        let data = Interactions::from_rows(rows).unwrap();
        let history = UserItems::new(1, []).unwrap();
        // All so far: a 3, b 2, c 1. The segment: a 1, b 1, c 1; d has not happened.
        let past = Past { data: &data, segment: 3..6, history: &history };
        let excluded = |user: u32| if user == 1 { &[9, 0][..] } else { &[][..] };
        let request = RankRequest {
            users: &[0, 1],
            candidates: &[0, 1, 2, 3],
            excluded: &excluded,
            k: 3,
            item_biases: None,
            scores: false,
        };
        let mut popularity = Popularity::default();
        popularity.learn(past.clone()).unwrap();
        let lists = popularity.rank(request).unwrap();
        assert_eq!((lists.user(0), lists.user(1)), (&[0, 1, 2][..], &[1, 2, 3][..]));

        let mut recent = RecentPopularity::default();
        recent.learn(Past { segment: 4..7, ..past.clone() }).unwrap();
        // c 2, b 1, and none of a and d.
        let lists = recent.rank(request).unwrap();
        assert_eq!((lists.user(0), lists.user(1)), (&[2, 1, 0][..], &[2, 1, 3][..]));
        // A row weighs more than all before it: the last of a, b, c is c, then b.
        let mut decayed = DecayedPopularity::new(0.5);
        decayed.learn(Past { segment: 3..6, ..past }).unwrap();
        let lists = decayed.rank(request).unwrap();
        assert_eq!((lists.user(0), lists.user(1)), (&[2, 1, 0][..], &[2, 1, 3][..]));
        assert!(recent.rank(RankRequest { k: 0, ..request }).is_err());
    }
}
