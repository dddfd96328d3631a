//! The choice of a recommender.

use clap::ValueEnum;
use scall_gpu::kernels::table::update::Optimizer;
use scall_gpu::models::{BprMfOptions, ItemBias, LightGcnOptions, ModelOptions, RateSchedule, Sampling};

use super::setup::Setup;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// Matrix factorisation
    Mf,
    /// LightGCN
    Lightgcn,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Bias {
    /// What sold lately, counted
    Counted,
    /// Learned like the embedding
    Learned,
    /// Without
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
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
}

impl Setup {
    /// The recommender. Another one is a variant of [`Model`] and an arm here.
    pub fn chosen(&self) -> Chosen {
        let (item_bias, sampling) = (self.item_bias(), self.sampled());
        let batch = self.batch.unwrap_or(if self.paper { 10_000 } else { 4096 });
        let l2 = self.l2.or(self.paper.then_some(1e-4));
        match self.model {
            Model::Mf => {
                let default = BprMfOptions::default();
                let l2 = l2.unwrap_or(default.l2);
                let (learning_rate, epsilon) = (self.learning_rate.unwrap_or(0.5), self.epsilon);
                let optimizer = Optimizer::Adagrad { learning_rate, epsilon };
                let options = BprMfOptions { optimizer, batch, l2, item_bias, sampling, ..default };
                let rate = format!("Adagrad at {learning_rate} (epsilon {epsilon})");
                Chosen { options: ModelOptions::BprMf(options), batch, rate, l2 }
            }
            Model::Lightgcn => {
                let default = LightGcnOptions::default();
                let l2 = l2.unwrap_or(default.l2);
                let start = self.learning_rate.unwrap_or(default.rate.start);
                let rate = RateSchedule { start, ..default.rate };
                let options = LightGcnOptions { rate, batch, l2, item_bias, sampling, ..default };
                let rate = format!("Adam at {start} falling to {}", rate.least);
                Chosen { options: ModelOptions::LightGcn(options), batch, rate, l2 }
            }
        }
    }

    /// Training steps a segment.
    pub fn steps(&self) -> u32 {
        self.steps.unwrap_or(match self.model {
            Model::Lightgcn => 200,
            _ => 300,
        })
    }

    /// Where biases come from.
    fn item_bias(&self) -> ItemBias {
        match self.bias.unwrap_or(if self.paper { Bias::None } else { Bias::Counted }) {
            Bias::Counted => ItemBias::Counted { half_life: self.half_life },
            Bias::Learned => ItemBias::Learned { keep: self.keep_bias },
            Bias::None => ItemBias::None,
        }
    }

    /// How triples are drawn.
    fn sampled(&self) -> Sampling {
        match self.sampling.unwrap_or(if self.paper { Sampled::Users } else { Sampled::Log }) {
            Sampled::Log => Sampling::Log { window: self.window },
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

    pub(super) fn sampling_text(&self) -> String {
        match self.sampled() {
            Sampling::Log { window } => format!("log with window {window}"),
            _ => "users".into(),
        }
    }
}
