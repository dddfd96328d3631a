//! Rankings without embeddings: what a recommender has to beat.
//!
//! They count, so they hold what happened, not a budget: memory grows with the stream.

mod item_knn;
mod popularity;

use std::cmp::Ordering;
use std::ops::Range;

use super::{RankRequest, Rankings};
use crate::Result;
use crate::stream::{Interactions, UserItems};

pub use item_knn::ItemKnn;
pub use popularity::{DecayedPopularity, Popularity, RecentPopularity};

/// What a baseline may look at.
#[derive(Clone, Debug)]
pub struct Past<'a> {
    /// The stream; rows from the end of `segment` on have not happened yet.
    pub data: &'a Interactions,
    /// The training rows of the current segment. All rows before them have happened too.
    pub segment: Range<usize>,
    /// The items of each user in all rows that have happened, non-clicks included.
    pub history: &'a UserItems,
}

/// Ranks by counting.
pub trait Baseline {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Takes in what has happened, all of it: nothing is kept from one call to the next.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) past 2^32 pairs.
    fn learn(&mut self, past: Past<'_>) -> Result<()>;

    /// The best `k` of the candidates for each user, ties to the smaller id.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a `k` outside 1 to
    /// [`MAX_K`](crate::kernels::rank::top_k::MAX_K).
    fn rank(&mut self, request: RankRequest<'_>) -> Result<Rankings>;
}

/// Larger scores first, ties to the smaller id.
fn better<S: PartialOrd>(a: &(S, u32), b: &(S, u32)) -> Ordering {
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

/// Sorted, to be searched: a request's exclusions come in any order.
fn sorted(ids: &[u32]) -> Vec<u32> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}
