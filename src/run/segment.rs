//! What is kept of the segment that has begun and of the one before, and what policies see of the loop.

use super::evaluation::Evaluation;
use super::options::AnyOptions;
use crate::device::Device;
use crate::models::Recommender;
use crate::sizing::{CurrentRows, Sizes, SizingContext};
use crate::stream::Blocks;

/// What is done of a segment that has not come to its end: a step that is repeated does not do it again.
#[derive(Default)]
pub(super) struct Begun {
    /// Probes that the policy made, once its search is over.
    pub probes: Option<u32>,
    /// The recommender as it was before the segment, for a policy that searches.
    pub before: Option<Box<dyn Recommender>>,
    /// Whether learned biases have faded.
    pub faded: bool,
}

/// A segment that has ended, kept for the search.
pub(super) struct LastSegment {
    pub segment: usize,
    pub frequencies: [Vec<u32>; 2],
    pub dims: u64,
    pub sizes: Sizes,
    /// The (user, item) rows it was trained on.
    pub rows: Vec<(u32, u32)>,
    /// The feedback blocks, where the stream has non-clicks.
    pub blocks: Option<Blocks>,
    /// The biases that were counted for it, where biases are counted.
    pub biases: Option<Vec<f32>>,
    pub evaluation: Evaluation,
    /// The recommender before it was resized for the segment.
    pub before: Box<dyn Recommender>,
}

impl LastSegment {
    /// The context that the segment was sized in.
    pub fn context<'a>(&'a self, frame: SizingContext<'a>) -> SizingContext<'a> {
        SizingContext {
            segment: self.segment,
            users: &self.frequencies[0],
            items: &self.frequencies[1],
            dims: self.dims,
            rows: Some(rows(&*self.before)),
            ..frame
        }
    }
}

/// The tables of a recommender, as a sizing policy sees them.
pub(super) fn rows(model: &dyn Recommender) -> CurrentRows<'_> {
    let tables = model.embeddings();
    CurrentRows { users: tables.users(), items: tables.items(), item_bias: tables.item_bias() }
}

/// A sizing context that only knows what never changes.
pub(super) fn frame<'a>(device: &'a Device, options: &AnyOptions) -> SizingContext<'a> {
    SizingContext {
        device,
        segment: 0,
        seed: options.seed,
        users: &[],
        items: &[],
        dims: 0,
        d_min: options.budget.d_min,
        d_max: options.budget.d_max,
        rows: None,
    }
}
