//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use scall_gpu::kernels::table::update::Optimizer;
use scall_gpu::models::{BprMfOptions, FismOptions, ItemBias, LightGcnOptions, ModelOptions, RateSchedule, Sampling};
use scall_gpu::sizing::{
    Amount, Bet, Distribution, FrequencyRanked, GrowOnly, LinUcb, MagnitudeCut, MixedDimensions, Random, SizePolicy,
    Uniform,
};
use scall_gpu::stream::{Column, Columns, Cut, Format};
use scall_gpu::{Error, Result};

/// Streams interactions through a recommender whose embeddings live in ragged tables inside a fixed budget, and prints
/// for each segment what is held and how well it ranks.
#[derive(Parser, Debug)]
#[command(version, allow_negative_numbers = true)]
pub struct Args {
    /// Interactions to stream [default: the embedded sample, a year of grocery purchases]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,

    /// How the file is written: `dat` for user::item::rating::seconds, `csv` or `tsv` with a header [default: by the
    /// file's extension]
    #[arg(long, value_name = "dat|csv|tsv")]
    pub format: Option<String>,

    /// Columns of a CSV or TSV file as user,item,timestamp: names, or positions from 0 [default: the usual names]
    #[arg(long, value_name = "U,I,T", value_parser = parse_columns)]
    pub columns: Option<[String; 3]>,

    /// The file has no header line (columns by position)
    #[arg(long, requires = "columns")]
    pub no_header: bool,

    /// Where to run: a hardware GPU or else the CPU, the best GPU there is (software included), or the CPU
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,

    /// Recommender: matrix factorisation, or rows propagated over the graph of users and items
    #[arg(long, value_enum, default_value = "mf")]
    pub model: Model,

    /// Who gets which size
    #[arg(long, value_enum, default_value = "ranked")]
    pub policy: Policy,

    /// What both tables may hold together: mean=8 (parameters an entity), params=N, bytes=10MB
    #[arg(long, default_value = "mean=8", value_parser = |text: &str| text.parse::<Amount>().map_err(|e| e.to_string()))]
    pub budget: Amount,

    /// A budget in bytes counts the optimizer's state too
    #[arg(long)]
    pub count_optimizer: bool,

    /// A budget in bytes leaves the row directory out
    #[arg(long)]
    pub ignore_metadata: bool,

    /// Largest row
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub max_size: u32,

    /// Smallest row; 0 lets a fixed budget survive any number of entities
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1))]
    pub min_size: u32,

    /// Where to cut: equal=10 (so many segments of one length) or new=15000 (after so many new users and items)
    #[arg(long, default_value = "equal=10", value_parser = parse_cut)]
    pub segments: Cut,

    /// Family of size profiles, for `ranked` and `random`
    #[arg(long, default_value = "power-law", value_parser = |text: &str| text.parse::<Distribution>().map_err(|e| e.to_string()))]
    pub distribution: Distribution,

    /// Shape of the profile [default: 1 for the power law, else the middle of the published range]
    #[arg(long)]
    pub alpha: Option<f32>,

    /// Part of the parameters that goes to the users [default: their part of the entities]
    #[arg(long, value_parser = parse_share)]
    pub user_share: Option<f64>,

    /// Training steps a segment [default: 300 for mf, 200 for lightgcn]
    #[arg(long)]
    pub steps: Option<u32>,

    /// Triples a step
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub batch: u32,

    /// Step size: Adagrad's, or Adam's at the first step of a segment [default: 0.5 for mf, 0.03 for lightgcn]
    #[arg(long)]
    pub learning_rate: Option<f32>,

    /// Adagrad's epsilon (mf)
    #[arg(long, default_value_t = 1e-3)]
    pub epsilon: f32,

    /// Weight of the squared embeddings [default: 0.02 for mf, 0.001 for lightgcn]
    #[arg(long)]
    pub l2: Option<f32>,

    /// Where an item's bias, one of its parameters, comes from
    #[arg(long, value_enum, default_value = "counted")]
    pub bias: Bias,

    /// Rows after which a row counts half in a counted bias [default: chosen in each segment by its last training rows]
    #[arg(long, value_name = "ROWS")]
    pub half_life: Option<f64>,

    /// What is left of a learned bias when a segment begins, 0 to 1
    #[arg(long, default_value_t = 0.0)]
    pub keep_bias: f32,

    /// How triples are drawn: rows of the log with negatives of their time, or users first
    #[arg(long, value_enum, default_value = "log")]
    pub sampling: Sampled,

    /// Rows before and after a positive that its negative comes from, for `log`
    #[arg(long, default_value_t = 5000)]
    pub window: u32,

    /// Earlier rows that are trained on again, as a part of a segment's rows [default: all]
    #[arg(long, value_parser = parse_share)]
    pub replay: Option<f64>,

    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Where to write the JSON report
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DeviceChoice {
    Auto,
    Gpu,
    Cpu,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Model {
    /// Matrix factorisation
    Mf,
    /// LightGCN
    Lightgcn,
    /// Factored item similarity: users made of what they took
    Fism,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Policy {
    /// Every row the same size
    Uniform,
    /// A profile of sizes in random order
    Random,
    /// A profile of sizes, the most frequent entity gets the largest
    Ranked,
    /// Sizes by a power of frequency (mixed dimensions)
    Mde,
    /// Sizes by how many large values training left in a row
    Magnitude,
    /// Sizes that grow with all that was seen, and never shrink while there is room
    Grow,
    /// The best of random profiles, found by probes on the last segment
    Bet,
    /// Sizes of frequency groups, learned from probes by a bandit that forgets
    Linucb,
}

impl Args {
    /// How the data file is written.
    pub fn format(&self) -> Result<Format> {
        let mut format = match (&self.format, &self.data) {
            (Some(name), _) => Format::from_name(name)?,
            (None, Some(path)) => Format::guess(path)?,
            (None, None) => Format::Csv(Columns::default()),
        };
        if let Some(names) = &self.columns {
            let [user, item, timestamp] = names.clone().map(|name| match name.parse() {
                Ok(position) => Column::Position(position),
                Err(_) => Column::Name(name),
            });
            match &mut format {
                Format::Csv(columns) | Format::Tsv(columns) => {
                    *columns = Columns { user, item, timestamp, header: !self.no_header };
                }
                Format::DoubleColon => {
                    return Err(Error::Argument {
                        op: "stream",
                        arg: "--columns",
                        expected: "left out for a :: file, whose columns are fixed".into(),
                        got: names.join(","),
                    });
                }
            }
        }
        Ok(format)
    }

    /// Where biases come from.
    pub fn bias(&self) -> ItemBias {
        match self.bias {
            Bias::Counted => ItemBias::Counted { half_life: self.half_life },
            Bias::Learned => ItemBias::Learned { keep: self.keep_bias },
            Bias::None => ItemBias::None,
        }
    }

    /// How triples are drawn.
    pub fn sampling(&self) -> Sampling {
        match self.sampling {
            Sampled::Log => Sampling::Log { window: self.window },
            Sampled::Users => Sampling::Users,
        }
    }

    /// The recommender.
    pub fn model(&self) -> ModelOptions {
        let (item_bias, sampling) = (self.bias(), self.sampling());
        match self.model {
            Model::Mf => {
                let default = BprMfOptions::default();
                let learning_rate = self.learning_rate.unwrap_or(0.5);
                let optimizer = Optimizer::Adagrad { learning_rate, epsilon: self.epsilon };
                let l2 = self.l2.unwrap_or(default.l2);
                ModelOptions::BprMf(BprMfOptions { optimizer, batch: self.batch, l2, item_bias, sampling, ..default })
            }
            Model::Fism => {
                let default = FismOptions::default();
                let learning_rate = self.learning_rate.unwrap_or(0.3);
                let optimizer = Optimizer::Adagrad { learning_rate, epsilon: self.epsilon };
                let l2 = self.l2.unwrap_or(default.l2);
                ModelOptions::Fism(FismOptions { optimizer, l2, item_bias, ..default })
            }
            Model::Lightgcn => {
                let default = LightGcnOptions::default();
                let start = self.learning_rate.unwrap_or(default.rate.start);
                let rate = RateSchedule { start, ..default.rate };
                let l2 = self.l2.unwrap_or(default.l2);
                ModelOptions::LightGcn(LightGcnOptions { rate, batch: self.batch, l2, item_bias, sampling, ..default })
            }
        }
    }

    /// Training steps a segment.
    pub fn steps(&self) -> u32 {
        self.steps.unwrap_or(match self.model {
            Model::Mf => 300,
            Model::Lightgcn | Model::Fism => 200,
        })
    }

    /// The policy with its profile.
    pub fn policy(&self) -> Box<dyn SizePolicy> {
        let default_alpha = match self.distribution {
            Distribution::PowerLaw => FrequencyRanked::default().alpha_users,
            other => other.alpha(0.5),
        };
        let alpha = self.alpha.unwrap_or(default_alpha);
        let ranked = FrequencyRanked {
            distribution: self.distribution,
            alpha_users: alpha,
            alpha_items: alpha,
            user_share: self.user_share,
            ..FrequencyRanked::default()
        };
        match self.policy {
            Policy::Uniform => Box::new(Uniform),
            Policy::Random => Box::new(Random { profile: ranked }),
            Policy::Ranked => Box::new(ranked),
            Policy::Mde => Box::new(MixedDimensions::default()),
            Policy::Magnitude => Box::new(MagnitudeCut::default()),
            Policy::Grow => Box::new(GrowOnly::default()),
            Policy::Bet => Box::new(Bet::default()),
            Policy::Linucb => Box::new(LinUcb::default()),
        }
    }
}

fn parse_cut(text: &str) -> Result<Cut, String> {
    let wrong = || format!("expected equal=COUNT or new=COUNT, found {text:?}");
    let (kind, count) = text.split_once('=').ok_or_else(wrong)?;
    match kind {
        "equal" => count.parse().map(|segments| Cut::Equal { segments }).map_err(|_| wrong()),
        "new" => count.parse().map(|entities| Cut::NewEntities { entities }).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn parse_columns(text: &str) -> Result<[String; 3], String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    names
        .try_into()
        .map_err(|names: Vec<String>| format!("expected user,item,timestamp, found {} columns", names.len()))
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("expected a number from 0 to 1, found {text:?}")),
    }
}
