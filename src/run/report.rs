//! What the loop reports: where it is, what a segment was, and the mean of all.

use super::held::Held;
use crate::eval::{CatalogueMetrics, CoherenceReport, Exposures, Metrics, StandardErrors};
use crate::models::Resized;
use crate::sizing::Action;
use crate::table::MemoryReport;

/// Where the loop is within a segment, for a display of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The policy searches.
    Search {
        /// Probes done on the last segment.
        probes: u32,
    },
    /// The policy chooses sizes.
    Size,
    /// Rows move to their new sizes.
    Resize,
    /// The weight of squared rows is chosen ([`ScallOptions::choose_l2`](super::ScallOptions::choose_l2)).
    Regularize {
        /// Weights that were tried.
        probes: u32,
    },
    /// The recommender trains.
    Train {
        /// Steps done.
        done: u32,
        /// Steps in all.
        steps: u32,
    },
    /// Test users are ranked for.
    Evaluate,
}

/// Seconds by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// Probes on the last segment.
    pub search: f64,
    /// Choosing sizes.
    pub size: f64,
    /// Moving rows.
    pub resize: f64,
    /// Choosing the weight of squared rows.
    pub regularize: f64,
    /// Laying out the segment's rows and training.
    pub train: f64,
    /// Ranking by both protocols.
    pub evaluate: f64,
}

impl Seconds {
    /// All phases together.
    pub fn total(&self) -> f64 {
        self.search + self.size + self.resize + self.regularize + self.train + self.evaluate
    }
}

/// What happened in one segment.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// Number of the segment, from 0.
    pub t: usize,
    /// Users with a row: those seen in training data so far, or observed on a live stream.
    pub users: u32,
    /// Items with a row.
    pub items: u32,
    /// Rows of the stream in this segment, test rows included.
    pub interactions: usize,
    /// The policy's action; none for uniform sizes and for policies without actions.
    pub action: Option<Action>,
    /// Probes that the policy made before it chose.
    pub probes: u32,
    /// Values held by both tables, biases included.
    pub params: u64,
    /// Values that the budget allows.
    pub budget_params: u64,
    /// Bytes that the budget allows, for what it counts.
    pub budget_bytes: u64,
    /// Bytes held of what the budget counts.
    pub counted_bytes: u64,
    /// Bytes held, by what for.
    pub memory: MemoryReport,
    /// Bytes that training and ranking held on the device next to the tables: the copy of both that a policy which
    /// searches starts its probes from and the best values of an early stop among them.
    pub working_bytes: u64,
    /// Those of the working bytes that a graph model's dense layers take.
    pub layer_bytes: u64,
    /// Bytes held of everything, whether the budget counts it or not.
    pub held: Held,
    /// Rows that grew, shrank and appeared.
    pub resized: Resized,
    /// Training steps taken, those after the values that were kept included.
    pub steps: u32,
    /// Mean loss of the last training batch, as the model gives it: BPR without the squared rows that `l2` weighs, of
    /// those that there are.
    pub loss: f32,
    /// Weight of squared rows in the loss, where the model has one.
    pub l2: Option<f32>,
    /// Ranking among the items of the test part (`docs/method.md` section 6).
    pub test_candidates: Metrics,
    /// Ranking among all items with a row.
    pub all_candidates: Metrics,
    /// What the lists among the items of the test part show of these.
    pub test_catalogue: CatalogueMetrics,
    /// What the lists among all items with a row show of these.
    pub all_catalogue: CatalogueMetrics,
    /// What ranking for a sample of the test users leaves open; none where all were ranked for.
    pub sampled: Option<Sampled>,
    /// Whether clicks of the test part score above non-clicks: over the users ranked for who have both there, new to
    /// them; none where no one has.
    pub exposures: Option<Exposures>,
    /// Ranking among the items of the test part by how coherent a user's items were before it, where that is
    /// [asked for](super::ScallOptions::coherence). Dims are those of the segment's rows, without an item's bias.
    pub coherence: Option<CoherenceReport>,
    /// Where the time went.
    pub seconds: Seconds,
}

/// A sample of test users that stands for all of them
/// ([`ScallOptions::evaluate_users`](super::ScallOptions::evaluate_users)). How many it has, [`Metrics::users`] says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampled {
    /// All test users, of whom it was drawn.
    pub of: usize,
    /// How far the metrics among the items of the test part may lie from those of all test users.
    pub test_candidates: StandardErrors,
    /// The same among all items with a row.
    pub all_candidates: StandardErrors,
}

/// Mean quality over the segments t >= 1 that had a user to rank for (`docs/method.md` section 6).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Ranking among the items of the test parts.
    pub test_candidates: Metrics,
    /// Ranking among all items with a row.
    pub all_candidates: Metrics,
    /// What the lists among the items of the test parts show of these.
    pub test_catalogue: CatalogueMetrics,
    /// What the lists among all items with a row show of these.
    pub all_catalogue: CatalogueMetrics,
    /// Whether clicks score above non-clicks, over the segments where a user has both; none without such a segment.
    pub exposures: Option<Exposures>,
    /// Segments that count.
    pub segments: usize,
}

/// What one protocol found in a segment.
type Found<'a> = (&'a Metrics, &'a CatalogueMetrics);

impl Summary {
    /// The mean of these segments, at the cutoffs that all of them have; none where no segment counts. Its `users` are
    /// those of all segments together.
    pub fn of(reports: &[SegmentReport]) -> Option<Self> {
        let exposures: Vec<_> =
            reports.iter().filter(|report| report.t > 0).filter_map(|report| report.exposures).collect();
        let mean = Self::mean(reports.iter().map(|report| {
            let test = (&report.test_candidates, &report.test_catalogue);
            (report.t, test, (&report.all_candidates, &report.all_catalogue))
        }))?;
        Some(Self { exposures: Exposures::mean_of(&exposures), ..mean })
    }

    /// The same of segments given as number, ranking among test items, ranking among all.
    pub(super) fn mean<'a>(segments: impl IntoIterator<Item = (usize, Found<'a>, Found<'a>)>) -> Option<Self> {
        let counted = segments.into_iter().filter(|(t, test, _)| *t > 0 && test.0.users > 0);
        let (test, all): (Vec<_>, Vec<_>) = counted.map(|(_, test, all)| (test, all)).unzip();
        let mean = |found: Vec<Found<'_>>| {
            let (metrics, catalogues): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            (Metrics::mean_of(&metrics), CatalogueMetrics::mean_of(&catalogues))
        };
        let segments = test.len();
        let ((test_candidates, test_catalogue), (all_candidates, all_catalogue)) = (mean(test), mean(all));
        (segments > 0).then_some(Self {
            test_candidates,
            all_candidates,
            test_catalogue,
            all_catalogue,
            exposures: None,
            segments,
        })
    }
}
