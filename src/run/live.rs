//! A live stream: rows that come between segments, and recommendations.

use std::sync::OnceLock;

use super::scall::Scall;
use super::segment::{frame, rows};
use crate::Result;
use crate::models::{RankRequest, rank};
use crate::sizing::{Population, SizePolicy, SizingContext, Uniform};

impl Scall {
    /// Adds rows of (user, item, unix seconds) to the end of the stream. Once the first segment is done, users and
    /// items that are new get a row at once, of the size that the last decision gives them; the others make room for
    /// them.
    ///
    /// All rows are clicks. They count in the order in which they come. A time may lie up to
    /// [`late_seconds`](super::ScallOptions::late_seconds) before the latest one so far, since rows of several
    /// producers come a little out of order.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) with the first row that is wrong: a time further back than that or
    /// outside the years 1970 to 9999, an id that a file could not have
    /// ([`Interactions::append`](crate::stream::Interactions::append)). No row is added then.
    /// [`Error::Infeasible`](crate::Error::Infeasible) when the budget has no room for the newcomers: the rows are
    /// added, no table has changed.
    ///
    /// # Cost
    /// Without newcomers, that of keeping the rows. Newcomers resize both tables: give rows in batches. Counted biases
    /// follow with the next [`recommend`](Self::recommend), which then goes through the last rows once.
    pub fn observe<U: AsRef<str>, I: AsRef<str>>(
        &mut self,
        interactions: impl IntoIterator<Item = (U, I, i64)>,
    ) -> Result<()> {
        self.served = OnceLock::new();
        self.data.append(interactions, self.options.late_seconds)?;
        self.admit()
    }

    /// The biases of a live stream up to its last row, where its tables hold those of fewer rows.
    pub(super) fn served_biases(&self) -> Option<&[f32]> {
        let rows = self.data.len();
        // A recorded stream is known to its end; what sells later there is met in time.
        let bias = self.bias.as_ref().filter(|_| self.is_live() && self.counted < rows)?;
        let tables = self.model.embeddings();
        Some(self.served.get_or_init(|| tables.as_stored(bias.biases(&self.data, rows, tables.items().rows()))))
    }

    /// Whether all given segments are done, and at least one.
    fn is_live(&self) -> bool {
        !self.reports.is_empty() && self.reports.len() >= self.segments.len()
    }

    /// Gives rows to whom the stream knows and the tables do not.
    fn admit(&mut self) -> Result<()> {
        let (users, items) = (self.data.user_count(), self.data.item_count());
        let tables = self.model.embeddings();
        let known = users == tables.users().rows() && items == tables.items().rows();
        if known || !self.is_live() {
            return Ok(());
        }
        let [mut user_frequencies, mut item_frequencies] = self.frequencies.clone();
        user_frequencies.resize(users as usize, 0);
        item_frequencies.resize(items as usize, 0);
        for (user, item) in self.data.pairs(self.learned..self.data.len()) {
            user_frequencies[user as usize] += 1;
            item_frequencies[item as usize] += 1;
        }
        let shape = tables.shape();
        let budget = self.options.budget.resolve_in_groups(Population { users, items }, &shape)?;
        let context = SizingContext {
            segment: self.reports.len() - 1,
            users: &user_frequencies,
            items: &item_frequencies,
            dims: budget.dims,
            rows: Some(rows(&*self.model)),
            ..frame(&self.device, &self.options)
        };
        let policy: &mut dyn SizePolicy = if self.reports.len() == 1 { &mut Uniform } else { &mut *self.policy };
        let sizes = policy.admit(&context)?;
        sizes.check_decision(policy, &context)?;
        self.resize(&*self.options.budget.in_groups(&sizes, &shape)?, budget.bytes).map(drop)
    }

    /// The best `k` items for a user among all that have a row and that the user never touched, best first. Somebody
    /// without a row gets what the items' biases say.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) or [`Error::Argument`](crate::Error::Argument) for a `k` outside 1 to
    /// [`MAX_K`](crate::kernels::rank::top_k::MAX_K); what the device reports.
    pub fn recommend(&self, user: &str, k: u32) -> Result<Vec<&str>> {
        let tables = self.model.embeddings();
        let candidates: Vec<u32> = (0..tables.items().rows()).collect();
        let known = self.data.user_id(user);
        let mut touched =
            known.filter(|&u| u < self.history.users()).map_or(Vec::new(), |u| self.history.row(u).to_vec());
        if let Some(known) = known {
            let since = self.data.pairs(self.learned..self.data.len());
            touched.extend(since.filter(|&(user, _)| user == known).map(|(_, item)| item));
        }
        let row = known.filter(|&user| user < tables.users().rows()).unwrap_or(u32::MAX);
        let excluded = |_| touched.as_slice();
        let request = RankRequest {
            users: &[row],
            candidates: &candidates,
            excluded: &excluded,
            k,
            item_biases: self.served_biases(),
            scores: false,
        };
        let rankings = rank(&*self.model, request)?;
        Ok(rankings.user(0).iter().filter_map(|&item| self.data.item_names().get(item)).collect())
    }
}
