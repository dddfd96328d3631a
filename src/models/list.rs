//! The models that there are: their names, options and builders, in one list.

use super::{
    BprMf, BprMfOptions, Embeddings, Fism, FismOptions, LightGcn, LightGcnOptions, Recommender, TrainingOptions,
};
use crate::Result;
use crate::check;
use crate::device::Device;
use crate::sizing::Shape;
use crate::table::Account;

/// Makes [`ModelOptions`] of the list below. A model's options have a `Default`, a field `training`, and a method
/// `check` of what else they hold; a model has a `new` and a `with_embeddings`.
macro_rules! models {
    ($($(#[doc = $summary:literal])+ $variant:ident($options:ident): $name:literal, $steps:literal steps;)+) => {
        /// Which recommender, and how it learns.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum ModelOptions {
            $($(#[doc = $summary])+ $variant($options),)+
        }

        impl ModelOptions {
            /// The names of all models.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The model of a name with its defaults.
            ///
            /// # Errors
            /// [`Error::Argument`](crate::Error::Argument) for a name that no model has.
            pub fn from_name(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok(Self::$variant($options::default())),)+
                    _ => Err(check::unknown("ModelOptions::from_name", Self::NAMES, name)),
                }
            }

            /// Its name, for reports.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                }
            }

            /// What it is, in a few words.
            pub fn summary(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => concat!($($summary),+).trim_ascii(),)+
                }
            }

            /// Training steps a segment that suit it, with its defaults otherwise.
            pub fn usual_steps(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => $steps,)+
                }
            }

            /// What all models have in common of the options.
            pub fn training(&self) -> &TrainingOptions {
                match self {
                    $(Self::$variant(options) => &options.training,)+
                }
            }

            /// The same, to be changed.
            pub fn training_mut(&mut self) -> &mut TrainingOptions {
                match self {
                    $(Self::$variant(options) => &mut options.training,)+
                }
            }

            /// A recommender without rows.
            ///
            /// # Errors
            /// [`Error::Argument`](crate::Error::Argument) for options outside their domain.
            pub fn build(&self, device: &Device, account: &Account) -> Result<Box<dyn Recommender>> {
                match *self {
                    $(Self::$variant(options) => Ok(Box::new($variant::new(device, options, account)?)),)+
                }
            }

            /// A recommender of tables that exist already, such as loaded ones: see
            /// [`BprMf::with_embeddings`].
            ///
            /// # Errors
            /// [`Error::Argument`](crate::Error::Argument) for options outside their domain, and for tables that differ
            /// from what these ask for.
            pub fn with_embeddings(&self, embeddings: Embeddings) -> Result<Box<dyn Recommender>> {
                match *self {
                    $(Self::$variant(options) => Ok(Box::new($variant::with_embeddings(options, embeddings)?)),)+
                }
            }

            /// That all numbers are within their domain; errors name `op`.
            fn check_for(&self, op: &'static str) -> Result<()> {
                self.training().check(op)?;
                match self {
                    $(Self::$variant(options) => options.check(op),)+
                }
            }
        }

        $(
            impl From<$options> for ModelOptions {
                fn from(options: $options) -> Self {
                    Self::$variant(options)
                }
            }
        )+
    };
}

// Another model is a line here, its module with its options and tests, and its names in `mod.rs`.
models! {
    /// Matrix factorisation.
    BprMf(BprMfOptions): "mf", 300 steps;
    /// Rows propagated over the graph of users and items.
    LightGcn(LightGcnOptions): "lightgcn", 200 steps;
    /// Factored item similarity: users made of the items that they took.
    Fism(FismOptions): "fism", 200 steps;
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self::BprMf(BprMfOptions::default())
    }
}

impl ModelOptions {
    /// That all numbers are within their domain, before anything is built.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for the first that is not.
    pub fn check(&self) -> Result<()> {
        self.check_for("ModelOptions::check")
    }

    /// What a budget in bytes has to know of its rows: the shape of the [`Embeddings`](super::Embeddings) that it will
    /// have.
    pub fn shape(&self) -> Shape {
        let TrainingOptions { layout, rule, item_bias, .. } = *self.training();
        Shape { layout, state: rule.optimizer.state_size(), item_bias: item_bias.exists() }
    }

    /// The same with another seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.training_mut().seed = seed;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::table::optimizer::Optimizer;
    use crate::models::testing::{World, prepare};
    use crate::models::{ItemBias, RateSchedule, Sampling};
    use crate::rows::{Format, Layout};
    use crate::sizing::{Amount, Budget, Population, Sizes};
    use crate::table::Counts;

    fn by_name() -> Vec<ModelOptions> {
        ModelOptions::NAMES.iter().map(|name| ModelOptions::from_name(name).unwrap()).collect()
    }

    #[test]
    fn models_are_found_by_their_names() {
        for (model, &name) in by_name().iter().zip(ModelOptions::NAMES) {
            assert_eq!((model.name(), model.check().is_ok()), (name, true));
            assert!(!model.summary().is_empty() && model.usual_steps() > 0, "{name}");
        }
        assert_eq!(by_name()[0], ModelOptions::default());
        assert_eq!(
            ModelOptions::from_name("svd").unwrap_err().to_string(),
            r#"ModelOptions::from_name: `name` must be one of mf, lightgcn, fism, got "svd""#
        );
    }

    #[test]
    fn numbers_outside_their_domain_are_errors_of_every_model() {
        type Spoil = fn(&mut TrainingOptions);
        let wrong: [(&str, Spoil); 17] = [
            ("`batch` must be from 1 to 1048576, got 0", |o| o.batch = 0),
            ("`batch` must be from 1 to 1048576, got 1048577", |o| o.batch = (1 << 20) + 1),
            ("`l2` must be finite and not negative, got -1", |o| o.l2 = -1.0),
            ("`l2` must be finite and not negative, got NaN", |o| o.l2 = f32::NAN),
            ("`user_init_std` must be finite", |o| o.user_init_std = f32::NAN),
            ("`item_init_std` must be finite", |o| o.item_init_std = f32::INFINITY),
            ("`sampling.window` must be at least 1", |o| o.sampling = Sampling::Log { window: 0 }),
            ("`sampling.window` must be at least 1", |o| o.sampling = Sampling::Blocks { share: 0.5, window: 0 }),
            ("`sampling.share` must be from 0 to 1", |o| o.sampling = Sampling::Blocks { share: 1.5, window: 9 }),
            ("`sampling.share` must be from 0 to 1", |o| o.sampling = Sampling::Blocks { share: f32::NAN, window: 9 }),
            ("`keep` must be from 0 to 1, got 1.5", |o| o.item_bias = ItemBias::Learned { keep: 1.5 }),
            ("`half_life` must be above 0", |o| o.item_bias = ItemBias::Counted { half_life: Some(f64::NAN) }),
            ("`learning_rate` must be finite", |o| o.rule = Optimizer::Sgd { learning_rate: f32::NAN }.into()),
            ("`learning_rate` must be not negative, got -1", |o| {
                o.rule = Optimizer::Sgd { learning_rate: -1.0 }.into();
            }),
            ("`rate.every` must be at least 1", |o| {
                o.rate = RateSchedule::Falling { factor: 0.5, every: 0, least: 0.0 };
            }),
            ("`rate.factor` must be above 0", |o| {
                o.rate = RateSchedule::Falling { factor: 0.0, every: 1, least: 0.0 };
            }),
            ("`rate.least` must be at most the learning rate of", |o| {
                o.rate = RateSchedule::Falling { factor: 0.5, every: 1, least: 9.0 };
            }),
        ];
        for (said, spoil) in wrong {
            for mut model in by_name() {
                spoil(model.training_mut());
                let built = model.build(&Device::cpu(), &Account::unlimited()).err().unwrap().to_string();
                for error in [model.check().unwrap_err().to_string(), built] {
                    assert!(error.contains(said), "{}: {error}", model.name());
                }
            }
        }
    }

    #[test]
    fn the_rate_of_every_model_falls_within_a_segment() {
        for mut model in by_name() {
            let options = model.training_mut();
            options.rule = options.rule.with_learning_rate(0.04);
            options.rate = RateSchedule::Falling { factor: 0.5, every: 2, least: 0.015 };
            let mut built = model.build(&Device::cpu(), &Account::unlimited()).unwrap();
            let world = World::new(20, 16);
            world.resize(&mut *built);
            for _ in 0..2 {
                prepare(&mut *built, &world.history, &world.history);
                for rate in [0.04, 0.02, 0.015] {
                    built.train(2, &mut |_| {}).unwrap();
                    let tables = [built.embeddings().users(), built.embeddings().items()];
                    assert_eq!(tables.map(|table| table.options().rule.optimizer.learning_rate()), [rate; 2]);
                }
            }
            assert_eq!(built.embeddings().users().steps(), 12, "{}", model.name());
        }
    }

    fn all(layout: Layout, item_bias: ItemBias) -> Vec<ModelOptions> {
        let mut all = by_name();
        let mut row_wise = all[0];
        let rule = Optimizer::RowWiseAdam { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }.into();
        row_wise.training_mut().rule = rule;
        all.push(row_wise);
        for model in &mut all {
            *model.training_mut() = TrainingOptions { layout, item_bias, ..*model.training() };
        }
        all
    }

    /// The parameters that these bytes give to a model, which its tables then really hold within them.
    fn held(model: &ModelOptions, counts: Counts, bytes: u64) -> u64 {
        const POPULATION: Population = Population { users: 70, items: 50 };
        // Room for all that a byte a value gives.
        let budget = Budget { d_min: 0, d_max: 256, counts, ..Budget::new(Amount::Bytes(bytes)) };
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
                    all(layout, item_bias).iter().map(|model| held(model, counts, 24_000)).collect::<Vec<_>>()
                };
                let packed = params(Format::F32, false);
                for &format in Format::ALL {
                    let (halves, aligned) = (params(format, false), params(format, true));
                    let per_word = 4 / format.bytes();
                    for ((&packed, &halves), &aligned) in packed.iter().zip(&halves).zip(&aligned) {
                        // A row leaves less than a word unused, an aligned one less than four; state is f32 whatever
                        // the values.
                        let most = per_word * packed;
                        let least = if optimizer { packed } else { most - (120 + 1) * (per_word - 1) };
                        assert!((least..most + per_word).contains(&halves), "{format:?}: {packed} then {halves}");
                        assert!(halves - aligned < 120 * 4 * per_word, "{format:?}: {halves} then {aligned}");
                        assert_eq!(format.bytes() < 4, halves > packed, "{format:?}: {packed} then {halves}");
                    }
                }
            }
        }
    }
}
