//! From a model's name and numbers to its options.

use super::ModelConfig;
use super::check::keyed;
use crate::Result;
use crate::kernels::table::optimizer::{Optimizer, UpdateRule};
use crate::models::{ItemBias, ModelOptions, RateSchedule, Sampling, TrainingOptions};
use crate::rows::{Format, Layout};

impl ModelConfig {
    /// The model's options, numbers unchecked.
    pub(super) fn options(&self) -> Result<ModelOptions> {
        let mut options = ModelOptions::from_name(&self.name).map_err(keyed("model.name"))?;
        let default = *options.training();
        let rule = self.rule(self.usual_rule(default.rule));
        let layout = self.format.map_or(default.layout, |format| Layout { format, ..default.layout });
        *options.training_mut() = TrainingOptions {
            rule,
            rate: self.rate(default.rate, rule.optimizer.learning_rate()),
            batch: self.batch.unwrap_or(default.batch),
            l2: self.l2.unwrap_or(default.l2),
            item_bias: self.item_bias()?,
            sampling: self.sampling(default.sampling)?,
            user_init_std: self.user_init_std.unwrap_or(default.user_init_std),
            item_init_std: self.item_init_std.unwrap_or(default.item_init_std),
            seed: default.seed,
            layout,
        };
        Ok(options)
    }

    /// The model's own rule. Where values take a byte, Adagrad's four for each value would be most of a row, so its
    /// sums are those of rows.
    fn usual_rule(&self, default: UpdateRule) -> UpdateRule {
        match (self.format, default.optimizer) {
            (Some(Format::I8), Optimizer::Adagrad { learning_rate, epsilon }) => {
                UpdateRule { optimizer: Optimizer::RowWiseAdagrad { learning_rate, epsilon }, ..default }
            }
            _ => default,
        }
    }

    fn rule(&self, default: UpdateRule) -> UpdateRule {
        let mut optimizer = self.optimizer.unwrap_or(default.optimizer);
        if let Some(rate) = self.learning_rate {
            optimizer = optimizer.with_learning_rate(rate);
        }
        if let Optimizer::Adagrad { epsilon, .. } | Optimizer::RowWiseAdagrad { epsilon, .. } = &mut optimizer {
            *epsilon = self.epsilon.unwrap_or(*epsilon);
        }
        UpdateRule {
            optimizer,
            weight_decay: self.weight_decay.unwrap_or(default.weight_decay),
            max_norm: self.max_norm.unwrap_or(default.max_norm),
            non_finite: self.non_finite.unwrap_or(default.non_finite),
        }
    }

    /// The schedule that is given; else the model's, whose end is no higher than the start.
    fn rate(&self, default: RateSchedule, start: f32) -> RateSchedule {
        match self.rate.unwrap_or(default) {
            RateSchedule::Falling { factor, every, least } if self.rate.is_none() => {
                RateSchedule::Falling { factor, every, least: least.min(start) }
            }
            rate => rate,
        }
    }

    fn item_bias(&self) -> Result<ItemBias> {
        let mut bias = ItemBias::from_name(&self.bias).map_err(keyed("model.bias"))?;
        match &mut bias {
            ItemBias::Counted { half_life } => *half_life = self.half_life,
            ItemBias::Learned { keep } => *keep = self.keep_bias.unwrap_or(*keep),
            ItemBias::None => {}
        }
        Ok(bias)
    }

    /// How triples are drawn, for a model with this default.
    fn sampling(&self, default: Sampling) -> Result<Sampling> {
        let mut sampling = Sampling::from_name(&self.sampling).map_err(keyed("model.sampling"))?;
        if let Sampling::Log { window } | Sampling::Blocks { window, .. } = &mut sampling {
            *window = self.window.or(default.window()).unwrap_or(*window);
        }
        if let Sampling::Blocks { share, .. } = &mut sampling {
            *share = self.block_share.unwrap_or(*share);
        }
        Ok(sampling)
    }
}
