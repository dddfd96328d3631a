//! A recorded stream, followed by a ranking without embeddings.

use super::evaluation::{Evaluation, Quality, check_cutoffs};
use super::report::Summary;
use crate::Result;
use crate::eval::{CatalogueMetrics, Cutoffs, Metrics};
use crate::models::baselines::{Baseline, Past};
use crate::stream::{Interactions, Segment, UserItems};

/// How well a baseline ranked after each segment's training part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    /// Ranking among the items of the test part, a segment each (`docs/method.md` section 6).
    pub test_candidates: Vec<Metrics>,
    /// Ranking among all items seen.
    pub all_candidates: Vec<Metrics>,
    /// What the lists among the items of the test part show of these.
    pub test_catalogue: Vec<CatalogueMetrics>,
    /// What the lists among all items show of these.
    pub all_catalogue: Vec<CatalogueMetrics>,
}

impl Followed {
    /// The mean over segments, as [`Summary::of`] takes it.
    pub fn summary(&self) -> Option<Summary> {
        Summary::mean((0..self.test_candidates.len()).map(|t| {
            let test = (&self.test_candidates[t], &self.test_catalogue[t]);
            (t, test, (&self.all_candidates[t], &self.all_catalogue[t]))
        }))
    }
}

/// Takes a baseline through a recorded stream, on the same rows, relevant items and candidates as
/// [`Scall`](super::Scall) with this `train_share` (its default is 0.8), and at the same cutoffs: these and 20. All
/// test users are ranked for.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for a share outside 0..=1, for segments that overlap, run backwards or
/// pass the last row, or a stream that has forgotten rows; [`Error::Limit`](crate::Error::Limit) for a cutoff past
/// [`MAX_K`](crate::kernels::rank::top_k::MAX_K); those of the baseline.
pub fn follow(
    data: &Interactions,
    segments: &[Segment],
    train_share: f64,
    cutoffs: &Cutoffs,
    baseline: &mut dyn Baseline,
) -> Result<Followed> {
    data.check_whole("follow")?;
    Segment::check_all("follow", segments, data.len())?;
    check_cutoffs("follow", cutoffs)?;
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
        let found = evaluation.among_both(baseline, &history, data, cutoffs)?;
        let Quality { test_candidates, all_candidates, test_catalogue, all_catalogue, .. } = found;
        followed.test_candidates.push(test_candidates);
        followed.all_candidates.push(all_candidates);
        followed.test_catalogue.push(test_catalogue);
        followed.all_catalogue.push(all_catalogue);
    }
    Ok(followed)
}
