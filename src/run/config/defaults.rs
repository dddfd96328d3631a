//! What a configuration says where nothing is said, and the paper's.

use super::{BudgetConfig, Config, DataConfig, DeviceChoice, ModelConfig, PolicyConfig};
use crate::eval::Cutoffs;
use crate::run::{EarlyStop, Exclude, ProbeOptions, Replay};
use crate::sizing::Amount;
use crate::stream::{Columns, Cut, Dedup, Encoding, TimeUnit};

impl Default for Config {
    fn default() -> Self {
        Self {
            device: DeviceChoice::Auto,
            seed: 0,
            replay: Replay::All,
            exclude: Exclude::Ever,
            train_share: 0.8,
            late_seconds: 3600,
            evaluate_users: None,
            cutoffs: Cutoffs::default(),
            coherence: false,
            data: DataConfig::default(),
            budget: BudgetConfig::default(),
            policy: PolicyConfig::default(),
            model: ModelConfig::default(),
            probe: ProbeOptions::default(),
            early_stop: None,
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        let (min_rating, clicks, k_core) = (None, None, None);
        Self {
            path: Vec::new(),
            format: None,
            columns: Columns::default(),
            encoding: Encoding::default(),
            time_unit: TimeUnit::Auto,
            min_rating,
            clicks,
            r#where: Vec::new(),
            k_core,
            dedup: Dedup::All,
            skip_bad: 0,
            segments: Cut::Equal { segments: 10 },
        }
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        let amount = Amount::MeanSize(8.0);
        Self { amount, min_size: 1, max_size: 64, count_optimizer: false, ignore_metadata: false }
    }
}

impl Default for PolicyConfig {
    fn default() -> Self {
        let name = "ranked".to_owned();
        let (distribution, alpha, user_share, probes, proposals_at_once) = Default::default();
        Self { name, published: false, distribution, alpha, user_share, probes, proposals_at_once }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            name: "mf".to_owned(),
            steps: None,
            batch: None,
            optimizer: None,
            learning_rate: None,
            epsilon: None,
            rate: None,
            weight_decay: None,
            max_norm: None,
            non_finite: None,
            l2: None,
            bias: "counted".to_owned(),
            half_life: None,
            keep_bias: None,
            sampling: "log".to_owned(),
            window: None,
            block_share: None,
            user_init_std: None,
            item_init_std: None,
            format: None,
        }
    }
}

impl Config {
    /// The paper's constants (`docs/method.md`): LightGCN of users first, without a bias, in at most 4,000 steps of
    /// 10,000 triples with an early stop; a fifth of a segment replayed; sizes 1 to 256; cuts after 15,000 new
    /// entities; probes that start from new rows; and the policy's own constants as published. Budget and policy are
    /// those of the default.
    pub fn published() -> Self {
        Self {
            replay: Replay::Sample { share: 0.2 },
            data: DataConfig { segments: Cut::NewEntities { entities: 15_000 }, ..DataConfig::default() },
            budget: BudgetConfig { max_size: 256, ..BudgetConfig::default() },
            policy: PolicyConfig { published: true, ..PolicyConfig::default() },
            model: ModelConfig {
                name: "lightgcn".to_owned(),
                steps: Some(4000),
                batch: Some(10_000),
                l2: Some(1e-4),
                bias: "none".to_owned(),
                sampling: "users".to_owned(),
                ..ModelConfig::default()
            },
            probe: ProbeOptions { warm: false, ..ProbeOptions::default() },
            early_stop: Some(EarlyStop::default()),
            ..Self::default()
        }
    }
}
