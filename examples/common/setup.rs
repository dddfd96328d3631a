//! The flags that say what is run.

use std::path::PathBuf;

use scall_gpu::sizing::{Amount, Budget, Distribution};
use scall_gpu::stream::Cut;
use scall_gpu::table::Counts;
use scall_gpu::{EarlyStop, ProbeOptions, Replay, ScallOptions};

use super::device::DeviceChoice;
use super::model::{Bias, Model, Sampled};

/// Flags that every example has.
#[derive(clap::Args, Debug)]
pub struct Setup {
    /// Interactions to stream [default: the embedded sample, a year of grocery purchases]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,

    /// How the file is written: `dat` for user::item::rating::seconds, `csv` or `tsv` with a header [default: by the
    /// file's extension].
    ///
    /// White space of any kind, byte order marks and other characters that cannot be seen are trimmed around every
    /// field. Within an id white space is text, and the others are an error, as control characters are everywhere. In a
    /// CSV quotes are those of RFC 4180, and a line break may stand in quotes in a column that is not read; in a TSV
    /// quotes are text, but around a whole field.
    #[arg(long, value_name = "dat|csv|tsv")]
    pub format: Option<String>,

    /// Columns of a CSV or TSV file as user,item,timestamp: names, or positions from 0 [default: the usual names].
    ///
    /// A name that the header has twice is an error, for a position to decide.
    #[arg(long, value_name = "U,I,T", value_parser = parse_columns)]
    pub columns: Option<[String; 3]>,

    /// The file has no header line (columns by position)
    #[arg(long, requires = "columns")]
    pub no_header: bool,

    /// Where to run: a hardware GPU or else the CPU, the best GPU there is (software included), or the CPU
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,

    /// The paper's constants wherever no flag says otherwise: `--model lightgcn --sampling users --replay 0.2 --bias
    /// none --batch 10000 --l2 0.0001 --early-stop --steps 4000 --max-size 256 --segments new=15000`, probes that start
    /// from new rows, and for `scall` shapes on a linear scale, proposals by the actor alone, its mean action deployed,
    /// and at most 31 probes a segment
    #[arg(long)]
    pub paper: bool,

    /// Recommender: matrix factorisation, rows propagated over the graph of users and items, or users made of their
    /// items [default: mf]
    #[arg(long, value_enum)]
    pub model: Option<Model>,

    /// A budget in bytes counts the optimizer's state too
    #[arg(long)]
    pub count_optimizer: bool,

    /// A budget in bytes leaves the row directory out
    #[arg(long)]
    pub ignore_metadata: bool,

    /// Largest row [default: 64]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub max_size: Option<u32>,

    /// Smallest row; 0 lets a fixed budget survive any number of entities
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1))]
    pub min_size: u32,

    /// Where to cut: equal=10 (that number of segments of one length) or new=15000 (after more new users and items than
    /// that)
    /// [default: equal=10]
    #[arg(long, value_parser = parse_cut)]
    pub segments: Option<Cut>,

    /// Family of size profiles, for `ranked`, `random` and `scall` [default: power-law]
    #[arg(long, value_parser = |text: &str| text.parse::<Distribution>().map_err(|e| e.to_string()))]
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

    /// Weight of the squared embeddings [default: 0.02 for mf, 0.015 for fism, 0.001 for lightgcn]
    #[arg(long, value_parser = parse_at_least_0)]
    pub l2: Option<f32>,

    /// Where an item's bias, one of its parameters, comes from [default: counted]
    #[arg(long, value_enum)]
    pub bias: Option<Bias>,

    /// Rows after which a row counts half in a counted bias and in decayed popularity [default: for a bias chosen in
    /// each segment by its last training rows, for decayed popularity 2000]
    #[arg(long, value_name = "ROWS", value_parser = parse_positive)]
    pub half_life: Option<f64>,

    /// What is left of a learned bias when a segment begins, 0 to 1 [default: 0]
    #[arg(long, value_parser = |text: &str| parse_share(text).map(|share| share as f32))]
    pub keep_bias: Option<f32>,

    /// How triples are drawn: rows of the log with negatives of their time, or users first [default: log]
    #[arg(long, value_enum)]
    pub sampling: Option<Sampled>,

    /// Rows before and after a positive that its negative comes from, for `log` [default: 5000, for fism 20000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub window: Option<u32>,

    /// Earlier rows that are trained on again, as a part of a segment's rows [default: all]
    #[arg(long, value_parser = parse_share)]
    pub replay: Option<f64>,
}

impl Setup {
    /// Where the stream is cut.
    pub fn cut(&self) -> Cut {
        self.segments.unwrap_or(match self.paper {
            true => Cut::NewEntities { entities: 15_000 },
            false => Cut::Equal { segments: 10 },
        })
    }

    /// Largest row.
    pub fn max_size(&self) -> u32 {
        self.max_size.unwrap_or(if self.paper { 256 } else { 64 })
    }

    fn replay(&self) -> Replay {
        match self.replay.or(self.paper.then_some(0.2)) {
            Some(share) => Replay::Sample { share },
            None => Replay::All,
        }
    }

    fn probe(&self) -> ProbeOptions {
        ProbeOptions { warm: !self.paper, ..ProbeOptions::default() }
    }

    /// The loop's options under a budget.
    pub fn options(&self, amount: Amount, seed: u64) -> ScallOptions {
        let budget = Budget {
            counts: Counts { optimizer: self.count_optimizer, metadata: !self.ignore_metadata },
            d_min: self.min_size,
            d_max: self.max_size(),
            ..Budget::new(amount)
        };
        ScallOptions {
            model: self.chosen().options,
            steps: self.steps(),
            early_stop: self.stops_early().then(EarlyStop::default),
            replay: self.replay(),
            probe: self.probe(),
            seed,
            ..ScallOptions::new(budget)
        }
    }

    /// All that is in force apart from device, data, policy, budget and seed, as (name, value).
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let chosen = self.chosen();
        let counts = match (self.count_optimizer, self.ignore_metadata) {
            (false, false) => "values and directory",
            (false, true) => "values",
            (true, false) => "values, directory and optimizer",
            (true, true) => "values and optimizer",
        };
        vec![
            ("model", chosen.options.name().to_owned()),
            ("steps", self.steps_text()),
            ("batch", chosen.batch.to_string()),
            ("l2", chosen.l2.to_string()),
            ("sampling", chosen.sampling_text()),
            ("rate", chosen.rate),
            ("bias", self.bias_text()),
            ("replay", self.replay_text()),
            ("segments", self.cut_text()),
            ("sizes", format!("{} to {}", self.min_size, self.max_size())),
            ("counted", counts.to_owned()),
            ("profile", self.profile_text()),
            ("probes", self.probes.map_or("by policy".to_owned(), |probes| probes.to_string())),
            ("probe", self.probes_text()),
            ("constants", if self.paper { "the paper's" } else { "ours" }.to_owned()),
        ]
    }

    /// What a table stands under: the model and how it learns.
    pub fn headline(&self) -> String {
        let chosen = self.chosen();
        let paper = if self.paper { ", the paper's constants" } else { "" };
        format!(
            "model    {}: {} steps a segment of {} triples, {}, l2 {}\n         \
             bias {}, sampling {}, replay {}, segments {}{paper}",
            chosen.options.name(),
            self.steps_text(),
            chosen.batch,
            chosen.rate,
            chosen.l2,
            self.bias_text(),
            chosen.sampling_text(),
            self.replay_text(),
            self.cut_text(),
        )
    }

    /// The bounds of a row's size, for a table's head.
    pub fn sizes_text(&self) -> String {
        format!("sizes {} to {}", self.min_size, self.max_size())
    }

    fn stops_early(&self) -> bool {
        self.early_stop || self.paper
    }

    fn steps_text(&self) -> String {
        let most = if self.stops_early() { "at most " } else { "" };
        format!("{most}{}", self.steps())
    }

    /// What a probe is.
    pub fn probes_text(&self) -> String {
        let ProbeOptions { steps, warm, .. } = self.probe();
        format!("probes of {steps} steps from {} rows", if warm { "old" } else { "new" })
    }

    fn replay_text(&self) -> String {
        match self.replay() {
            Replay::Sample { share } => format!("{share} of a segment"),
            Replay::All => "all".into(),
        }
    }

    fn cut_text(&self) -> String {
        match self.cut() {
            Cut::Equal { segments } => format!("equal={segments}"),
            Cut::NewEntities { entities } => format!("new={entities}"),
        }
    }
}

fn parse_cut(text: &str) -> Result<Cut, String> {
    let wrong = || format!("expected equal=COUNT or new=COUNT, a count being at least 1, found {text:?}");
    let (kind, count) = text.split_once('=').ok_or_else(wrong)?;
    match (kind, count.parse::<u32>()) {
        ("equal", Ok(segments @ 1..)) => Ok(Cut::Equal { segments: segments as usize }),
        ("new", Ok(entities @ 1..)) => Ok(Cut::NewEntities { entities }),
        _ => Err(wrong()),
    }
}

fn parse_columns(text: &str) -> Result<[String; 3], String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    names
        .try_into()
        .map_err(|names: Vec<String>| format!("expected user,item,timestamp, found {} columns", names.len()))
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
