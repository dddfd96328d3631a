//! The flags that say what is run.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use scall_gpu::models::{ItemBias, ModelOptions, Sampling};
use scall_gpu::run::{Config, DeviceChoice};
use scall_gpu::sizing::Distribution;
use scall_gpu::{Replay, Result};

use super::data_flags::DataFlags;
use super::device::{Threads, choices};
use super::load::load;

/// Flags that every example has.
#[derive(clap::Args, Debug)]
pub struct Setup {
    /// A run described in a file: TOML, or JSON by its name, as a report has it. Flags win over it
    #[arg(long, value_name = "FILE", conflicts_with = "paper")]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    pub data: DataFlags,

    /// Where to run: a hardware GPU or else the CPU, the best GPU there is (software included), or the CPU [default:
    /// auto]
    #[arg(long, value_parser = choices())]
    pub device: Option<DeviceChoice>,

    #[command(flatten)]
    pub threads: Threads,

    /// The paper's constants wherever no flag says otherwise: `--model lightgcn --sampling users --replay 0.2 --bias
    /// none --batch 10000 --l2 0.0001 --early-stop --steps 4000 --max-size 256 --segments new=15000`, probes that start
    /// from new rows, and for `scall` shapes on a linear scale, proposals by the actor alone, its mean action deployed,
    /// and at most 31 probes a segment
    #[arg(long)]
    pub paper: bool,

    /// Recommender: matrix factorisation, rows propagated over the graph of users and items, or users made of their
    /// items [default: mf]
    #[arg(long, value_parser = models())]
    pub model: Option<String>,

    /// A budget in bytes counts the optimizer's state too
    #[arg(long)]
    pub count_optimizer: bool,

    /// A budget in bytes leaves the row directory out
    #[arg(long)]
    pub ignore_metadata: bool,

    /// Largest row [default: 64]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub max_size: Option<u32>,

    /// Smallest row; 0 lets a fixed budget survive any number of entities [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1))]
    pub min_size: Option<u32>,

    /// Family of size profiles, for `ranked`, `random` and `scall` [default: power-law]
    #[arg(long, value_parser = parse::<Distribution>)]
    pub distribution: Option<Distribution>,

    /// Shape of the profile of `ranked` and `random` [default: 1 for the power law, else the middle of the published
    /// range]
    #[arg(long, value_parser = parse_at_least_0)]
    pub alpha: Option<f32>,

    /// Part of the parameters that goes to the users, for `ranked` and `random` [default: their part of the entities]
    #[arg(long, value_parser = parse_share)]
    pub user_share: Option<f64>,

    /// Most probes a segment for policies that search: of the sizes in use, for scall of uniform sizes and the mean
    /// action, and of what is proposed [default: 8 for bet and linucb, 15 for scall]
    #[arg(long, value_parser = clap::value_parser!(u32).range(3..=10_000))]
    pub probes: Option<u32>,

    /// Proposals that `scall` draws before it learns from any of them, and that are probed side by side [default: 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub proposals_at_once: Option<u32>,

    /// Training steps a segment, the most of them with --early-stop [default: 300 for mf, 200 for lightgcn and fism]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,

    /// Hold the last fifth of a segment's training rows out, rank for it every 200 steps, end when three rankings in a
    /// row were no better and the loss hardly fell, and keep the best values
    #[arg(long)]
    pub early_stop: bool,

    /// Triples a step [default: 4096, for fism 2048]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub batch: Option<u32>,

    /// Step size: Adagrad's, or Adam's at the first step of a segment [default: 0.5 for mf, 0.3 for fism, 0.03 for
    /// lightgcn]
    #[arg(long, value_parser = |text: &str| parse_positive(text).map(|rate| rate as f32))]
    pub learning_rate: Option<f32>,

    /// Adagrad's epsilon, for mf and fism [default: 0.001]
    #[arg(long, value_parser = |text: &str| parse_positive(text).map(|epsilon| epsilon as f32))]
    pub epsilon: Option<f32>,

    /// Weight of the squared embeddings [default: chosen in each segment by the last of its training rows, from 0.02 for
    /// mf, 0.015 for fism, 0.001 for lightgcn]
    #[arg(long, value_parser = parse_at_least_0)]
    pub l2: Option<f32>,

    /// Where an item's bias, one of its parameters, comes from [default: counted]
    #[arg(long, value_parser = biases())]
    pub bias: Option<String>,

    /// Rows after which a row counts half in a counted bias and in decayed popularity [default: for a bias chosen in
    /// each segment by its last training rows, for decayed popularity 2000]
    #[arg(long, value_name = "ROWS", value_parser = parse_positive)]
    pub half_life: Option<f64>,

    /// What is left of a learned bias when a segment begins, 0 to 1 [default: 0]
    #[arg(long, value_parser = |text: &str| parse_share(text).map(|share| share as f32))]
    pub keep_bias: Option<f32>,

    /// How triples are drawn: rows of the log with negatives of their time, or users first [default: log]
    #[arg(long, value_parser = PossibleValuesParser::new(Sampling::NAMES))]
    pub sampling: Option<String>,

    /// Rows before and after a positive that its negative comes from, for `log` [default: 5000, for fism 20000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub window: Option<u32>,

    /// Earlier rows that are trained on again, as a part of a segment's rows [default: all]
    #[arg(long, value_parser = parse_share)]
    pub replay: Option<f64>,

    /// Test users of a segment that are ranked for, drawn by seed and segment [default: all]
    #[arg(long, value_name = "USERS", value_parser = clap::value_parser!(u32).range(2..))]
    pub evaluate_users: Option<u32>,
}

impl Setup {
    /// The run that a file and the flags describe. A budget, a policy and a seed are the program's own flags.
    ///
    /// # Errors
    /// For a file that cannot be read or is no configuration.
    pub fn config(&self) -> Result<Config> {
        self.over(match &self.config {
            Some(path) => load(path)?,
            None if self.paper => Config::published(),
            None => Config::default(),
        })
    }

    /// What the flags make of a configuration.
    ///
    /// # Errors
    /// For values that do not go together.
    pub fn over(&self, mut config: Config) -> Result<Config> {
        let (data, budget, policy, model) =
            (&mut config.data, &mut config.budget, &mut config.policy, &mut config.model);
        set(&mut config.device, self.device);
        self.data.put(data);
        budget.count_optimizer |= self.count_optimizer;
        budget.ignore_metadata |= self.ignore_metadata;
        set(&mut budget.max_size, self.max_size);
        set(&mut budget.min_size, self.min_size);
        some(&mut policy.distribution, &self.distribution);
        some(&mut policy.alpha, &self.alpha);
        some(&mut policy.user_share, &self.user_share);
        some(&mut policy.probes, &self.probes);
        some(&mut policy.proposals_at_once, &self.proposals_at_once);
        set(&mut model.name, self.model.clone());
        some(&mut model.steps, &self.steps);
        some(&mut model.batch, &self.batch);
        some(&mut model.learning_rate, &self.learning_rate);
        some(&mut model.epsilon, &self.epsilon);
        some(&mut model.l2, &self.l2);
        set(&mut model.bias, self.bias.clone());
        set(&mut model.sampling, self.sampling.clone());
        // A half-life may be meant for a baseline alone, and a file's numbers for the choices that a flag replaces.
        some(&mut model.half_life, &self.half_life);
        some(&mut model.keep_bias, &self.keep_bias);
        some(&mut model.window, &self.window);
        model.half_life = model.half_life.filter(|_| model.bias == "counted");
        model.keep_bias = model.keep_bias.filter(|_| model.bias == "learned");
        model.window = model.window.filter(|_| model.sampling == "log");
        set(&mut config.replay, self.replay.map(|share| Replay::Sample { share }));
        some(&mut config.evaluate_users, &self.evaluate_users);
        if self.early_stop {
            config.early_stop.get_or_insert_default();
        }
        Ok(config)
    }
}

/// Takes a flag's value where there is one.
fn set<T>(field: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *field = value;
    }
}

/// The same where the field may be left open.
fn some<T: Clone>(field: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        field.clone_from(flag);
    }
}

/// Names with a few words about each, for a flag.
pub fn described<'a>(names: impl IntoIterator<Item = (&'static str, &'a str)>) -> PossibleValuesParser {
    let value =
        |(name, words): (&'static str, &str)| PossibleValue::new(name).help(words.trim_end_matches('.').to_owned());
    PossibleValuesParser::new(names.into_iter().map(value).collect::<Vec<_>>())
}

/// The recommenders that there are.
fn models() -> PossibleValuesParser {
    let options: Vec<_> = ModelOptions::NAMES.iter().filter_map(|name| ModelOptions::from_name(name).ok()).collect();
    described(options.iter().map(|options| (options.name(), options.summary())))
}

/// Where a bias may come from.
fn biases() -> PossibleValuesParser {
    let biases: Vec<_> = ItemBias::NAMES.iter().filter_map(|name| ItemBias::from_name(name).ok()).collect();
    described(biases.iter().map(|bias| (bias.name(), bias.summary())))
}

/// What the library reads.
pub fn parse<T: std::str::FromStr<Err = scall_gpu::Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: scall_gpu::Error| error.to_string())
}

/// Above 0 as f32 too, which most of these numbers become.
fn parse_positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number as f32 > 0.0 && (number as f32).is_finite() => Ok(number),
        _ => Err(format!("expected a number above 0, found {text:?}")),
    }
}

fn parse_at_least_0(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err(format!("expected a number of at least 0, found {text:?}")),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("expected a number from 0 to 1, found {text:?}")),
    }
}
