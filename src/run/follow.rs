//! A recorded stream, followed by a ranking without embeddings.

use super::evaluation::{Evaluation, Quality};
use super::report::Summary;
use crate::Result;
use crate::eval::Metrics;
use crate::models::baselines::{Baseline, Past};
use crate::stream::{Interactions, Segment, UserItems};

/// How well a baseline ranked after each segment's training part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    /// Ranking among the items of the test part, a segment each (`docs/method.md` section 6).
    pub test_candidates: Vec<Metrics>,
    /// Ranking among all items seen.
    pub all_candidates: Vec<Metrics>,
}

impl Followed {
    /// The mean over segments, as [`Summary::of`] takes it.
    pub fn summary(&self) -> Option<Summary> {
        let both = self.test_candidates.iter().zip(&self.all_candidates);
        Summary::mean(both.enumerate().map(|(t, (test, all))| (t, test, all)))
    }
}

/// Takes a baseline through a recorded stream, on the same rows, relevant items and candidates as
/// [`Scall`](super::Scall)
/// with this `train_share` (its default is 0.8). All test users are ranked for.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for a share outside 0..=1, for segments that overlap, run backwards or
/// pass the last
/// row; those of the baseline.
pub fn follow(
    data: &Interactions,
    segments: &[Segment],
    train_share: f64,
    baseline: &mut dyn Baseline,
) -> Result<Followed> {
    Segment::check_all("follow", segments, data.len())?;
    let mut history = UserItems::new(0, [])?;
    let mut learned = 0;
    let mut followed = Followed::default();
    for segment in segments {
        let (train, test) = segment.split(train_share)?;
        let end = train.rows.end;
        history.extend(data.users_seen(end), data.pairs(learned..end))?;
        learned = end;
        baseline.learn(Past { data, segment: train.rows, history: &history })?;
        let evaluation = Evaluation::new(data, &test, end, &history)?;
        let Quality { test_candidates, all_candidates, .. } = evaluation.among_both(baseline, &history)?;
        followed.test_candidates.push(test_candidates);
        followed.all_candidates.push(all_candidates);
    }
    Ok(followed)
}
