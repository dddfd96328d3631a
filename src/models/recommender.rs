//! What every recommender can do, and the choice of one.

use super::{
    BprMf, BprMfOptions, Embeddings, Fism, FismOptions, ItemBias, LightGcn, LightGcnOptions, RankRequest, Rankings,
    TrainingData,
};
use crate::Result;
use crate::device::Device;
use crate::sizing::Shape;
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

    /// What a budget in bytes has to know of its rows: that of the [`Embeddings`] that it will have.
    pub fn shape(&self) -> Shape {
        let (layout, optimizer) = match self {
            Self::BprMf(options) => (options.layout, options.rule.optimizer),
            Self::LightGcn(options) => (options.layout, options.optimizer()),
            Self::Fism(options) => (options.layout, options.rule.optimizer),
        };
        Shape { layout, state: optimizer.state_size(), item_bias: self.item_bias().exists() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::table::optimizer::Optimizer;
    use crate::rows::{Format, Layout};
    use crate::sizing::{Amount, Budget, Population, Sizes};
    use crate::table::Counts;

    fn all(layout: Layout, item_bias: ItemBias) -> Vec<ModelOptions> {
        let rule = Optimizer::RowWiseAdam { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }.into();
        vec![
            ModelOptions::BprMf(BprMfOptions { layout, item_bias, ..BprMfOptions::default() }),
            ModelOptions::BprMf(BprMfOptions { layout, item_bias, rule, ..BprMfOptions::default() }),
            ModelOptions::LightGcn(LightGcnOptions { layout, item_bias, ..LightGcnOptions::default() }),
            ModelOptions::Fism(FismOptions { layout, item_bias, ..FismOptions::default() }),
        ]
    }

    /// The parameters that these bytes give to a model, which its tables then really hold within them.
    fn held(model: &ModelOptions, counts: Counts, bytes: u64) -> u64 {
        const POPULATION: Population = Population { users: 70, items: 50 };
        let budget = Budget { d_min: 0, counts, ..Budget::new(Amount::Bytes(bytes)) };
        let resolved = budget.resolve(POPULATION, &model.shape()).unwrap();
        let account = Account::new(resolved.bytes, counts);
        let mut built = model.build(&Device::cpu(), &account).unwrap();
        assert_eq!(built.embeddings().shape(), model.shape(), "{model:?}");
        // Odd sizes first: each row of f16 then leaves half a word.
        let mut left = resolved.dims;
        let mut sizes = [POPULATION.users, POPULATION.items].map(|rows| vec![0u32; rows as usize]);
        for size in sizes.iter_mut().flatten() {
            *size = left.min(7) as u32;
            left -= u64::from(*size);
        }
        for size in sizes.iter_mut().flatten() {
            let more = left.min(u64::from(budget.d_max - *size)) as u32;
            *size += more;
            left -= u64::from(more);
        }
        assert_eq!(left, 0, "{model:?}");
        let [users, items] = sizes;
        built.embeddings_mut().resize(&Sizes { users, items, action: None }).unwrap();
        assert!(account.used_bytes() <= bytes, "{model:?}, {counts:?}");
        resolved.params
    }

    #[test]
    fn what_a_budget_in_bytes_gives_fits_whatever_the_layout() {
        for item_bias in [ItemBias::None, ItemBias::default()] {
            for (optimizer, metadata) in [(false, false), (false, true), (true, false), (true, true)] {
                let counts = Counts { optimizer, metadata };
                let params = |format, aligned| {
                    let layout = Layout { format, aligned, page_bytes: None };
                    all(layout, item_bias).iter().map(|model| held(model, counts, 12_000)).collect::<Vec<_>>()
                };
                let (packed, halves) = (params(Format::F32, false), params(Format::F16, false));
                let aligned = params(Format::F32, true);
                for ((&packed, &halves), &aligned) in packed.iter().zip(&halves).zip(&aligned) {
                    // A row of f16 may leave one value unused, an aligned one three.
                    assert!(optimizer || (2 * packed - 122..=2 * packed).contains(&halves), "{packed} then {halves}");
                    assert!(!optimizer || halves > packed, "{packed} then {halves}");
                    assert!((packed - 3 * 120..packed).contains(&aligned), "{packed} then {aligned}");
                }
                params(Format::F16, true);
            }
        }
    }
}
