//! The choice of a recommender.

use clap::ValueEnum;
use scall_gpu::kernels::table::update::Optimizer;
use scall_gpu::models::{ItemBias, ModelOptions, RateSchedule, Sampling, TrainingOptions};

use super::setup::Setup;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// Matrix factorisation
    Mf,
    /// LightGCN
    Lightgcn,
    /// Factored item similarity: users made of what they took
    Fism,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bias {
    /// What sold lately, counted
    Counted,
    /// Learned like the embedding
    Learned,
    /// Without
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sampled {
    Log,
    Users,
}

/// A recommender, and what of its options a reader of the results should know.
pub struct Chosen {
    pub options: ModelOptions,
    pub batch: u32,
    pub rate: String,
    pub l2: f32,
    pub sampling: Sampling,
}

impl Setup {
    /// The recommender. Another one is a variant of [`Model`].
    pub fn chosen(&self) -> Chosen {
        let name = self.model().to_possible_value().expect("no model is hidden");
        let mut options = ModelOptions::from_name(name.get_name()).expect("the library's names");
        let default = *options.training();
        let batch = self.batch.or(self.paper.then_some(10_000)).unwrap_or(default.batch);
        let l2 = self.l2.or(self.paper.then_some(1e-4)).unwrap_or(default.l2);
        let (sampling, item_bias) = (self.sampled(default.sampling), self.item_bias());
        let mut rule =
            default.rule.with_learning_rate(self.learning_rate.unwrap_or(default.rule.optimizer.learning_rate()));
        if let Optimizer::Adagrad { epsilon, .. } = &mut rule.optimizer {
            *epsilon = self.epsilon.unwrap_or(*epsilon);
        }
        let start = rule.optimizer.learning_rate();
        let rate = match default.rate {
            RateSchedule::Falling { factor, every, least } => {
                RateSchedule::Falling { factor, every, least: least.min(start) }
            }
            other => other,
        };
        let words = match (rule.optimizer, rate) {
            (Optimizer::Adagrad { epsilon, .. }, _) => format!("Adagrad at {start} (epsilon {epsilon})"),
            (_, RateSchedule::Falling { least, .. }) => format!("Adam at {start} falling to {least}"),
            (_, _) => format!("Adam at {start}"),
        };
        *options.training_mut() = TrainingOptions { rule, rate, batch, l2, item_bias, sampling, ..default };
        Chosen { options, batch, rate: words, l2, sampling }
    }

    pub(super) fn model(&self) -> Model {
        self.model.unwrap_or(if self.paper { Model::Lightgcn } else { Model::Mf })
    }

    /// Training steps a segment, or the most of them.
    pub fn steps(&self) -> u32 {
        self.steps.or(self.paper.then_some(4000)).unwrap_or_else(|| self.chosen().options.usual_steps())
    }

    pub(super) fn bias(&self) -> Bias {
        self.bias.unwrap_or(if self.paper { Bias::None } else { Bias::Counted })
    }

    pub(super) fn sampling(&self) -> Sampled {
        self.sampling.unwrap_or(if self.paper { Sampled::Users } else { Sampled::Log })
    }

    /// Where biases come from.
    fn item_bias(&self) -> ItemBias {
        match self.bias() {
            Bias::Counted => ItemBias::Counted { half_life: self.half_life },
            Bias::Learned => ItemBias::Learned { keep: self.keep_bias.unwrap_or(0.0) },
            Bias::None => ItemBias::None,
        }
    }

    /// How triples are drawn, for a model with this default.
    fn sampled(&self, default: Sampling) -> Sampling {
        let window = match (self.window, default) {
            (Some(window), _) | (None, Sampling::Log { window }) => window,
            _ => 5000,
        };
        match self.sampling() {
            Sampled::Log => Sampling::Log { window },
            Sampled::Users => Sampling::Users,
        }
    }

    pub(super) fn bias_text(&self) -> String {
        match self.item_bias() {
            ItemBias::Counted { half_life: Some(half_life) } => format!("counted with half-life {half_life}"),
            ItemBias::Counted { half_life: None } => "counted".into(),
            ItemBias::Learned { keep } => format!("learned, {keep} kept"),
            _ => "none".into(),
        }
    }
}

impl Chosen {
    pub fn sampling_text(&self) -> String {
        match self.sampling {
            Sampling::Log { window } => format!("log with window {window}"),
            _ => "users".into(),
        }
    }
}
