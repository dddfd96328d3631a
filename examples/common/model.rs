//! The choice of a recommender.

use clap::ValueEnum;
use scall_gpu::kernels::table::update::{Optimizer, UpdateRule};
use scall_gpu::models::{BprMfOptions, FismOptions, ItemBias, LightGcnOptions, ModelOptions, RateSchedule, Sampling};

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
    /// The recommender. Another one is a variant of [`Model`] and an arm here.
    pub fn chosen(&self) -> Chosen {
        let item_bias = self.item_bias();
        let (batch, l2) = (self.batch.or(self.paper.then_some(10_000)), self.l2.or(self.paper.then_some(1e-4)));
        let settle = |default: (u32, f32)| (batch.unwrap_or(default.0), l2.unwrap_or(default.1));
        match self.model() {
            Model::Mf => {
                let default = BprMfOptions::default();
                let (batch, l2) = settle((default.batch, default.l2));
                let (sampling, (rule, rate)) = (self.sampled(default.sampling), self.adagrad(0.5));
                let options = BprMfOptions { rule, batch, l2, item_bias, sampling, ..default };
                Chosen { options: ModelOptions::BprMf(options), batch, rate, l2, sampling }
            }
            Model::Lightgcn => {
                let default = LightGcnOptions::default();
                let (batch, l2) = settle((default.batch, default.l2));
                let sampling = self.sampled(default.sampling);
                let start = self.learning_rate.unwrap_or(default.rate.start);
                let rate = RateSchedule { start, least: default.rate.least.min(start), ..default.rate };
                let options = LightGcnOptions { rate, batch, l2, item_bias, sampling, ..default };
                let rate = format!("Adam at {start} falling to {}", rate.least);
                Chosen { options: ModelOptions::LightGcn(options), batch, rate, l2, sampling }
            }
            Model::Fism => {
                let default = FismOptions::default();
                let (batch, l2) = settle((default.batch, default.l2));
                let (sampling, (rule, rate)) = (self.sampled(default.sampling), self.adagrad(0.3));
                let options = FismOptions { rule, batch, l2, item_bias, sampling, ..default };
                Chosen { options: ModelOptions::Fism(options), batch, rate, l2, sampling }
            }
        }
    }

    /// How rows move, and in words.
    fn adagrad(&self, default: f32) -> (UpdateRule, String) {
        let (learning_rate, epsilon) = (self.learning_rate.unwrap_or(default), self.epsilon.unwrap_or(1e-3));
        let words = format!("Adagrad at {learning_rate} (epsilon {epsilon})");
        (Optimizer::Adagrad { learning_rate, epsilon }.into(), words)
    }

    pub(super) fn model(&self) -> Model {
        self.model.unwrap_or(if self.paper { Model::Lightgcn } else { Model::Mf })
    }

    /// Training steps a segment, or the most of them.
    pub fn steps(&self) -> u32 {
        self.steps.or(self.paper.then_some(4000)).unwrap_or(match self.model() {
            Model::Mf => 300,
            Model::Lightgcn | Model::Fism => 200,
        })
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
