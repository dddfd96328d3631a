//! The flags that say what is run.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::models::{ItemBias, ModelOptions, Sampling};
use scall_gpu::rows::Format;
use scall_gpu::run::{Config, DeviceChoice, Exclude};
use scall_gpu::sizing::Distribution;
use scall_gpu::{Replay, Result};

use super::data_flags::DataFlags;
use super::device::{Threads, choices};
use super::load::load;

/// Flags that every command which runs has. Those that stand in no group are the ones that matter most.
#[derive(clap::Args, Debug)]
pub struct Setup {
    #[command(flatten)]
    pub data: DataFlags,

    /// Recommender [default: mf]
    ///
    /// Matrix factorisation, rows propagated over the graph of users and items, or users made of their items.
    #[arg(long, value_parser = models())]
    pub model: Option<String>,

    /// Where to run [default: auto]
    ///
    /// A hardware GPU or else the CPU (auto), the best GPU there is, software included (gpu), or the CPU.
    #[arg(long, value_parser = choices())]
    pub device: Option<DeviceChoice>,

    /// Run described in a file, TOML or a report; flags win over it
    ///
    /// JSON by its name: a configuration, or the report of a run. What a file may hold is in the docs of `run::Config`.
    /// `scall stream --report out.json` writes one, out.toml.
    #[arg(long, value_name = "FILE", conflicts_with = "paper")]
    pub config: Option<PathBuf>,

    /// Constants of the paper where no flag says otherwise
    ///
    /// `--model lightgcn --sampling users --replay 0.2 --bias none --batch 10000 --l2 0.0001 --early-stop --steps 4000
    /// --max-size 256 --segments new=15000`, probes that start from new rows, and for `scall` shapes on a linear scale,
    /// proposals by the actor alone, its mean action deployed, and at most 31 probes a segment.
    #[arg(long)]
    pub paper: bool,

    #[command(flatten)]
    pub sizes: SizeFlags,

    #[command(flatten)]
    pub training: TrainingFlags,

    /// Test users that are ranked for, drawn [default: all]
    ///
    /// Of each segment, by seed and segment. The report has the standard errors of the metrics.
    #[arg(long, value_name = "USERS", value_parser = clap::value_parser!(u32).range(2..))]
    pub evaluate_users: Option<u32>,

    #[command(flatten)]
    pub threads: Threads,
}

/// Flags of budgets, sizes, and the search for these.
#[derive(clap::Args, Debug)]
pub struct SizeFlags {
    /// Largest row [default: 64]
    #[arg(long, value_name = "DIMS", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub max_size: Option<u32>,

    /// Smallest row, 0 or 1 [default: 1]
    ///
    /// 0 lets a fixed budget survive any number of entities.
    #[arg(long, value_name = "DIMS", value_parser = clap::value_parser!(u32).range(0..=1))]
    pub min_size: Option<u32>,

    /// Count the optimizer's state in a budget of bytes
    #[arg(long)]
    pub count_optimizer: bool,

    /// Leave the row directory out of a budget of bytes
    #[arg(long)]
    pub ignore_metadata: bool,

    /// Family of size profiles [default: power-law]
    #[arg(long, value_name = "NAME", value_parser = parse::<Distribution>, long_help = distribution_help())]
    pub distribution: Option<Distribution>,

    /// Shape of a profile [default: by its family]
    ///
    /// For `ranked` and `random`. 1 for the power law, else the middle of the published range.
    #[arg(long, value_name = "NUMBER", value_parser = parse_at_least_0)]
    pub alpha: Option<f32>,

    /// Users' part of the parameters, 0 to 1 [default: by entities]
    ///
    /// For `ranked` and `random`. By default their part of the entities.
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub user_share: Option<f64>,

    /// Most probes a segment, for a search [default: by policy]
    ///
    /// Of the sizes in use, for scall of uniform sizes and the mean action, and of what is proposed. 8 for bet,
    /// linucb and lints, 15 for scall.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(3..=10_000))]
    pub probes: Option<u32>,

    /// Proposals that `scall` draws at once [default: 1]
    ///
    /// Before it learns from any of them; they are probed side by side.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub proposals_at_once: Option<u32>,
}

/// Flags of how a recommender learns.
#[derive(clap::Args, Debug)]
pub struct TrainingFlags {
    /// Steps a segment [default: by model]
    ///
    /// The most of them with --early-stop. 300 for mf, 200 for lightgcn and fism.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,

    /// End a segment's training when it gets no better
    ///
    /// Hold the last fifth of a segment's training rows out, rank for it every 200 steps, end when three rankings in a
    /// row were no better and the loss hardly fell, and keep the best values.
    #[arg(long)]
    pub early_stop: bool,

    /// Triples a step [default: 4096, for fism 2048]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub batch: Option<u32>,

    /// Step size of the optimizer [default: by model]
    ///
    /// Adagrad's, or Adam's at the first step of a segment. 0.5 for mf, 0.3 for fism, 0.03 for lightgcn.
    #[arg(long, value_name = "RATE", value_parser = |text: &str| parse_positive(text).map(|rate| rate as f32))]
    pub learning_rate: Option<f32>,

    /// Adagrad's epsilon, row-wise or not [default: 0.001]
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| parse_positive(text).map(|epsilon| epsilon as f32))]
    pub epsilon: Option<f32>,

    /// Weight of the squared embeddings [default: chosen]
    ///
    /// By default each segment chooses it by the last of its training rows, beginning from 0.02 for mf, 0.015 for fism,
    /// 0.001 for lightgcn. A number stands.
    #[arg(long, value_name = "WEIGHT", value_parser = parse_at_least_0)]
    pub l2: Option<f32>,

    /// The optimizer, with its constants [default: by model]
    ///
    /// Such as adam:beta1=0.8. Adagrad for mf and fism, row-wise where values are i8, and Adam for lightgcn.
    #[arg(long, value_name = "NAME", value_parser = parse::<Optimizer>)]
    pub optimizer: Option<Optimizer>,

    /// Format of values [default: f32]
    ///
    /// In 4 bytes (f32), 2 (f16, bf16) or 1 (i8). Values of fewer bytes are rounded at random by every step. With i8
    /// the same bytes hold four times the values, which ranks better.
    #[arg(long, value_parser = formats())]
    pub values: Option<Format>,

    /// Item bias [default: counted]
    ///
    /// Where an item's bias, one of its parameters, comes from.
    #[arg(long, value_parser = biases())]
    pub bias: Option<String>,

    /// Rows after which a row counts half [default: chosen]
    ///
    /// In a counted bias, which chooses one in each segment by its last training rows, and in decayed popularity, which
    /// takes 2000.
    #[arg(long, value_name = "ROWS", value_parser = parse_positive)]
    pub half_life: Option<f64>,

    /// What is left of a learned bias in a new segment [default: 0]
    ///
    /// From 0 to 1.
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| parse_share(text).map(|share| share as f32))]
    pub keep_bias: Option<f32>,

    /// How triples are drawn: log, users, blocks [default: log]
    ///
    /// Rows of the log with negatives of their time (log), users first (users), or clicks against what the user turned
    /// down before them (blocks, which needs --clicks).
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Sampling::NAMES),
        hide_possible_values = true)]
    pub sampling: Option<String>,

    /// Rows around a positive for its negative [default: by model]
    ///
    /// For `--sampling log` and the rest of `blocks`: before it and after it each. 5000, for fism 20000.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    pub window: Option<u32>,

    /// Triples that come from blocks, 0 to 1 [default: 1]
    ///
    /// For `--sampling blocks`. More of them rank better among what users are shown, fewer among all items.
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| parse_share(text).map(|share| share as f32))]
    pub block_share: Option<f32>,

    /// Earlier rows learned again: all, recent=COUNT, 0 to 1 [default: all]
    ///
    /// recent=10000 keeps the latest 10,000 and forgets all before them, so that a stream that goes on for ever is
    /// learned in bounded memory. A number from 0 to 1 is a part of a segment's rows, drawn from all; 0 is none.
    #[arg(long, value_name = "WHICH", value_parser = parse::<Replay>)]
    pub replay: Option<Replay>,

    /// Known items once rows are forgotten: ever, kept [default: ever]
    ///
    /// With `--replay recent=COUNT`: what a user's lists leave out, all that the user ever touched, or what the rows
    /// that are kept have.
    #[arg(long, value_name = "WHICH", value_parser = parse::<Exclude>)]
    pub exclude: Option<Exclude>,
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
        let (sizes, training) = (&self.sizes, &self.training);
        set(&mut config.device, self.device);
        self.data.put(data);
        budget.count_optimizer |= sizes.count_optimizer;
        budget.ignore_metadata |= sizes.ignore_metadata;
        set(&mut budget.max_size, sizes.max_size);
        set(&mut budget.min_size, sizes.min_size);
        some(&mut policy.distribution, &sizes.distribution);
        some(&mut policy.alpha, &sizes.alpha);
        some(&mut policy.user_share, &sizes.user_share);
        some(&mut policy.probes, &sizes.probes);
        some(&mut policy.proposals_at_once, &sizes.proposals_at_once);
        set(&mut model.name, self.model.clone());
        some(&mut model.steps, &training.steps);
        some(&mut model.batch, &training.batch);
        some(&mut model.learning_rate, &training.learning_rate);
        some(&mut model.epsilon, &training.epsilon);
        some(&mut model.optimizer, &training.optimizer);
        some(&mut model.format, &training.values);
        some(&mut model.l2, &training.l2);
        set(&mut model.bias, training.bias.clone());
        set(&mut model.sampling, training.sampling.clone());
        // A half-life may be meant for a baseline alone, and a file's numbers for the choices that a flag replaces.
        some(&mut model.half_life, &training.half_life);
        some(&mut model.keep_bias, &training.keep_bias);
        some(&mut model.window, &training.window);
        some(&mut model.block_share, &training.block_share);
        model.half_life = model.half_life.filter(|_| model.bias == "counted");
        model.keep_bias = model.keep_bias.filter(|_| model.bias == "learned");
        model.window = model.window.filter(|_| model.sampling != "users");
        model.block_share = model.block_share.filter(|_| model.sampling == "blocks");
        set(&mut config.replay, training.replay);
        set(&mut config.exclude, training.exclude);
        some(&mut config.evaluate_users, &self.evaluate_users);
        if training.early_stop {
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
fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.iter().map(|format| format.name())).try_map(|name| parse::<Format>(&name))
}

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

fn distribution_help() -> String {
    let names = Distribution::ALL.map(|distribution| distribution.to_string());
    format!("Family of size profiles, for `ranked`, `random` and `scall`: {} [default: power-law]", names.join(", "))
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("expected a number from 0 to 1, found {text:?}")),
    }
}
