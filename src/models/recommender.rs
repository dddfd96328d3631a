//! What every recommender can do.

use super::{Embeddings, ItemBias, RankRequest, Rankings, TrainingData};
use crate::{Error, Result};
use crate::file::State;
use crate::table::Account;

/// A recommender on ragged tables.
///
/// A segment is learned by [`resize`](Embeddings::resize) of the tables, [`prepare`](Self::prepare), and any number of
/// calls of [`train`](Self::train); [`rank`](Self::rank) works at any time between. A search copies one from several
/// threads.
pub trait Recommender: Send + Sync {
    /// The rows.
    fn embeddings(&self) -> &Embeddings;

    /// The rows, to be resized or restored.
    fn embeddings_mut(&mut self) -> &mut Embeddings;

    /// Where the biases of items come from. By default they are learned like the embedding, and all of them stays when
    /// a segment begins; there are none where [`embeddings`](Self::embeddings) have none.
    fn item_bias(&self) -> ItemBias {
        match self.embeddings().item_bias() {
            true => ItemBias::Learned { keep: 1.0 },
            false => ItemBias::None,
        }
    }

    /// A copy, optimizer state included, that draws from another account: what a probe starts from.
    ///
    /// # Errors
    /// [`Error::OverBudget`](crate::Error::OverBudget) when that account has no room; what the device reports.
    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>>;

    /// All that it has learned, but for its options: the tables and how far it is. What was prepared is not among it.
    ///
    /// # Errors
    /// What the device reports.
    fn save(&self) -> Result<State>;

    /// Goes on where the recommender was that was [saved](Self::save), which had the same options: with the same bits,
    /// once it has been
    /// [prepared](Self::prepare) as that one was.
    ///
    /// # Errors
    /// [`Error::BadState`](crate::Error::BadState) for a state of something else;
    /// [`Error::OverBudget`](crate::Error::OverBudget) when the
    /// account has no room; what the device reports. A table may be restored already then and another not.
    fn restore(&mut self, state: &State) -> Result<()>;

    /// Lays a segment's interactions out on the device. A segment without any is prepared too: training on it does
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) past the device's largest binding.
    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()>;

    /// Takes `steps` training steps on the prepared interactions; `progress` hears of the steps done. Returns the mean
    /// loss of the last batch, 0 where there was nothing to learn.
    ///
    /// # Errors
    /// [`Error::Diverged`](crate::Error::Diverged) when that loss is not finite;
    /// [`Error::NonFinite`](crate::Error::NonFinite) when gradients were not, and the rule does not go on then; what
    /// the device reports.
    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32>;

    /// The best `k` of the candidates for each user.
    ///
    /// # Errors
    /// Those of [`RankCandidates`](super::RankCandidates).
    fn rank(&self, request: RankRequest<'_>) -> Result<Rankings>;

    /// Bytes of device memory that training and ranking hold besides the tables.
    fn working_bytes(&self) -> u64;

    /// Those of them that dense layers take: what a graph model, whose outputs are dense, holds beyond its ragged rows.
    fn layer_bytes(&self) -> u64 {
        0
    }
}

/// The lists that a recommender gives, one for each user, as it promises.
///
/// # Errors
/// [`Error::Shape`] for another number of lists; those of [`Recommender::rank`].
pub(crate) fn rank(model: &dyn Recommender, request: RankRequest<'_>) -> Result<Rankings> {
    let rankings = model.rank(request)?;
    let (expected, got) = (request.users.len() as u64, rankings.len() as u64);
    if expected != got {
        return Err(Error::Shape { op: "Recommender::rank", arg: "rankings", expected, got });
    }
    Ok(rankings)
}
