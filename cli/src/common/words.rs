//! What is printed of a run's configuration.

use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::models::{ItemBias, ModelOptions, RateSchedule, Sampling, TrainingOptions};
use scall_gpu::rows::Format;
use scall_gpu::run::{Config, Exclude};
use scall_gpu::sizing::FrequencyRanked;
use scall_gpu::{Replay, Result};

/// A run's configuration, and the model that follows from it.
pub struct Words<'a> {
    config: &'a Config,
    model: ModelOptions,
    steps: u32,
    /// Formats and kept rows where several are compared.
    compared: [Option<String>; 2],
}

impl<'a> Words<'a> {
    /// # Errors
    /// For a model that there is not.
    pub fn of(config: &'a Config) -> Result<Self> {
        Ok(Self { config, model: config.model_options()?, steps: config.steps()?, compared: Default::default() })
    }

    /// The same of a comparison of formats and kept rows, where there are several.
    pub fn comparing(mut self, formats: &[Format], replays: &[Replay]) -> Self {
        let list = |names: Vec<String>| (names.len() > 1).then(|| names.join(" and "));
        self.compared = [
            list(formats.iter().map(|format| format.name().to_owned()).collect()),
            list(replays.iter().map(Replay::to_string).collect()),
        ];
        self
    }

    /// All that is in force apart from device, data, policy, budget and seed, as (name, value).
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let (config, training) = (self.config, self.model.training());
        let counts = match (config.budget.count_optimizer, config.budget.ignore_metadata) {
            (false, false) => "values and directory",
            (false, true) => "values",
            (true, false) => "values, directory and optimizer",
            (true, true) => "values and optimizer",
        };
        let mut settings = vec![
            ("model", self.model.name().to_owned()),
            ("steps", self.steps()),
            ("batch", training.batch.to_string()),
            ("l2", self.l2()),
            ("sampling", sampling(training.sampling)),
            ("rate", rate(training)),
            ("bias", bias(training.item_bias)),
            ("replay", self.replay()),
            ("segments", config.data.segments.to_string()),
            ("sizes", format!("{} to {}", config.budget.min_size, config.budget.max_size)),
            ("values", training.layout.format.name().to_owned()),
            ("counted", counts.to_owned()),
            ("profile", self.profile()),
            ("probes", config.policy.probes.map_or("by policy".to_owned(), |probes| probes.to_string())),
            ("probe", self.probes()),
            ("constants", if config.policy.published { "the paper's" } else { "ours" }.to_owned()),
        ];
        settings.extend(config.policy.proposals_at_once.map(|count| ("proposals_at_once", count.to_string())));
        settings.extend(config.evaluate_users.map(|users| ("evaluated", format!("{users} test users"))));
        settings
    }

    /// What a table stands under: the model and how it learns.
    pub fn headline(&self) -> String {
        let training = self.model.training();
        let paper = if self.config.policy.published { ", the paper's constants" } else { "" };
        let values = match (&self.compared[0], training.layout.format) {
            (Some(formats), _) => format!(", values of {formats}"),
            (None, Format::F32) => String::new(),
            (None, format) => format!(", values of {}", format.name()),
        };
        let sample = self.config.evaluate_users.map_or(String::new(), |n| format!(", ranked for {n} test users"));
        format!(
            "model    {}: {} steps a segment of {} triples, {}, l2 {}\n         \
             bias {}, sampling {}, replay {}, segments {}{values}{paper}{sample}",
            self.model.name(),
            self.steps(),
            training.batch,
            rate(training),
            self.l2(),
            bias(training.item_bias),
            sampling(training.sampling),
            self.compared[1].clone().unwrap_or_else(|| self.replay()),
            self.config.data.segments,
        )
    }

    /// The weight of squared rows, or where the stream begins to choose it.
    fn l2(&self) -> String {
        let l2 = self.model.training().l2;
        match self.config.model.l2 {
            Some(_) => l2.to_string(),
            None => format!("chosen from {l2}"),
        }
    }

    /// The bounds of a row's size, for a table's head.
    pub fn sizes(&self) -> String {
        format!("sizes {} to {}", self.config.budget.min_size, self.config.budget.max_size)
    }

    /// What a probe is.
    pub fn probes(&self) -> String {
        let probe = self.config.probe;
        format!("probes of {} steps from {} rows", probe.steps, if probe.warm { "old" } else { "new" })
    }

    fn steps(&self) -> String {
        let most = if self.config.early_stop.is_some() { "at most " } else { "" };
        format!("{most}{}", self.steps)
    }

    fn replay(&self) -> String {
        match self.config.replay {
            Replay::Sample { share } => format!("{share} of a segment"),
            Replay::All => "all".into(),
            Replay::Recent { rows } => match self.config.exclude {
                Exclude::Ever => format!("the latest {rows}"),
                Exclude::Kept => format!("the latest {rows} and no history before"),
            },
        }
    }

    fn profile(&self) -> String {
        let policy = &self.config.policy;
        let distribution = policy.distribution.unwrap_or_default();
        let [usual, _] = FrequencyRanked { distribution, ..FrequencyRanked::default() }.alphas();
        let alpha = policy.alpha.unwrap_or(usual);
        let share = policy.user_share.map_or("by entities".to_owned(), |share| share.to_string());
        format!("{distribution} with alpha {alpha}, user share {share}")
    }
}

fn rate(training: &TrainingOptions) -> String {
    let optimizer = training.rule.optimizer;
    let start = optimizer.learning_rate();
    let words = match optimizer {
        Optimizer::Adagrad { epsilon, .. } => format!("Adagrad at {start} (epsilon {epsilon})"),
        Optimizer::RowWiseAdagrad { epsilon, .. } => format!("row-wise Adagrad at {start} (epsilon {epsilon})"),
        Optimizer::Adam { .. } => format!("Adam at {start}"),
        other => other.to_string(),
    };
    match training.rate {
        RateSchedule::Falling { least, .. } => format!("{words} falling to {least}"),
        _ => words,
    }
}

fn bias(bias: ItemBias) -> String {
    match bias {
        ItemBias::Counted { half_life: Some(half_life) } => format!("counted with half-life {half_life}"),
        ItemBias::Counted { half_life: None } => "counted".into(),
        ItemBias::Learned { keep } => format!("learned, {keep} kept"),
        _ => "none".into(),
    }
}

fn sampling(sampling: Sampling) -> String {
    match sampling {
        Sampling::Log { window } => format!("log with window {window}"),
        Sampling::Blocks { share, window } => format!("{share} from blocks, else log with window {window}"),
        _ => "users".into(),
    }
}
