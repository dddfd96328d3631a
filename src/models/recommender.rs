//! What every recommender can do, and the choice of one.

use super::{
    BprMf, BprMfOptions, Embeddings, Fism, FismOptions, ItemBias, LightGcn, LightGcnOptions, RankRequest, Rankings,
    TrainingData,
};
use crate::Result;
use crate::device::Device;
use crate::kernels::table::optimizer::StateSize;
use crate::table::Account;

/// A recommender on ragged tables.
///
/// A segment is learned by [`resize`](Embeddings::resize) of the tables, [`prepare`](Self::prepare), and any number of
/// calls of [`train`](Self::train); [`rank`](Self::rank) works at any time between. A search copies one from several threads.
pub trait Recommender: Send + Sync {
    /// The rows.
    fn embeddings(&self) -> &Embeddings;

    /// The rows, to be resized or restored.
    fn embeddings_mut(&mut self) -> &mut Embeddings;

    /// A copy, optimizer state included, that draws from another account: what a probe starts from.
    ///
    /// # Errors
    /// [`Error::OverBudget`](crate::Error::OverBudget) when that account has no room; what the device reports.
    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>>;

    /// Lays a segment's interactions out on the device. A segment without any is prepared too: training on it does nothing.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) past the device's largest binding.
    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()>;

    /// Takes `steps` training steps on the prepared interactions; `progress` hears of the steps done. Returns the mean loss
    /// of the last batch, 0 where there was nothing to learn.
    ///
    /// # Errors
    /// [`Error::Diverged`](crate::Error::Diverged) when that loss is not finite; [`Error::NonFinite`](crate::Error::NonFinite) when gradients
    /// were not, and the rule does not go on then; what the device reports.
    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32>;

    /// The best `k` of the candidates for each user.
    ///
    /// # Errors
    /// Those of [`RankCandidates`](super::RankCandidates).
    fn rank(&mut self, request: RankRequest<'_>) -> Result<Rankings>;

    /// Bytes of device memory that training and ranking hold besides the tables.
    fn working_bytes(&self) -> u64;

    /// Those of them that dense layers take: what a graph model, whose outputs are dense, holds beyond its ragged rows.
    fn layer_bytes(&self) -> u64 {
        0
    }
}

/// Which recommender, and how it learns.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ModelOptions {
    /// Matrix factorisation.
    BprMf(BprMfOptions),
    /// Rows propagated over the graph of users and items.
    LightGcn(LightGcnOptions),
    /// Factored item similarity.
    Fism(FismOptions),
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self::BprMf(BprMfOptions::default())
    }
}

impl ModelOptions {
    /// Its name, for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BprMf(_) => "mf",
            Self::LightGcn(_) => "lightgcn",
            Self::Fism(_) => "fism",
        }
    }

    /// A recommender without rows.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain.
    pub fn build(&self, device: &Device, account: &Account) -> Result<Box<dyn Recommender>> {
        match *self {
            Self::BprMf(options) => Ok(Box::new(BprMf::new(device, options, account)?)),
            Self::LightGcn(options) => Ok(Box::new(LightGcn::new(device, options, account)?)),
            Self::Fism(options) => Ok(Box::new(Fism::new(device, options, account)?)),
        }
    }

    /// Whether an item has a bias among its parameters, and where it comes from.
    pub fn item_bias(&self) -> ItemBias {
        match self {
            Self::BprMf(options) => options.item_bias,
            Self::LightGcn(options) => options.item_bias,
            Self::Fism(options) => options.item_bias,
        }
    }

    /// What its optimizer keeps.
    pub fn state_size(&self) -> StateSize {
        match self {
            Self::BprMf(options) => options.rule.optimizer.state_size(),
            Self::LightGcn(options) => options.optimizer().state_size(),
            Self::Fism(options) => options.rule.optimizer.state_size(),
        }
    }

    /// The same with another seed.
    pub fn with_seed(self, seed: u64) -> Self {
        match self {
            Self::BprMf(options) => Self::BprMf(BprMfOptions { seed, ..options }),
            Self::LightGcn(options) => Self::LightGcn(LightGcnOptions { seed, ..options }),
            Self::Fism(options) => Self::Fism(FismOptions { seed, ..options }),
        }
    }
}
