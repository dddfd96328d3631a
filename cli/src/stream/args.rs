//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use scall_gpu::Result;
use scall_gpu::eval::Cutoffs;
use scall_gpu::run::Config;
use scall_gpu::sizing::{Amount, PolicyOptions};

use super::against::Rival;
use crate::common::{Setup, described, parse};

/// Streams interactions through a recommender whose embeddings live in ragged tables inside a fixed budget, and prints
/// for each segment what is held and how well it ranks.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub setup: Setup,

    /// Who gets which size [default: ranked]
    #[arg(long, value_parser = policies())]
    pub policy: Option<String>,

    /// What both tables may hold together: mean=8 (parameters an entity), params=N, bytes=10MB [default: mean=8]
    #[arg(long, value_parser = parse::<Amount>)]
    pub budget: Option<Amount>,

    /// Seed of everything that is drawn [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,

    /// List lengths that metrics are reported at, from 1 to 100; 20 is always reported too [default: 5,10,20]
    #[arg(long, value_name = "LIST", value_parser = parse::<Cutoffs>)]
    pub cutoffs: Option<Cutoffs>,

    /// Where to write the JSON report
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Print where the time went, by phase and by kernel (on a GPU by its own timestamps; probes side by side count in
    /// full each), and what a GPU was asked in each phase. `counts` leaves out the kernels, whose timestamps take time
    /// of their own
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "times")]
    pub profile: Option<Profile>,

    /// Where to write a plot (SVG) of bytes, quality and sizes over the segments
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,

    /// Where to write a page of its own (HTML) with quality, bytes, and sizes by frequency rank after each segment
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Compare with the same run by other policies' sizes, or with rankings without embeddings. Each takes the stream
    /// from its beginning once this run is done, and needs the time of a run of its own: with uniform sizes that of one
    /// without a search. `none` leaves it out [default: with --html uniform,decayed-popularity, else none]
    #[arg(long, value_name = "NAMES", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Rival::flags()))]
    pub against: Option<Vec<String>>,

    /// Where to write a trace of phases and kernels, as it happens, for ui.perfetto.dev (on a GPU kernels by its own
    /// timestamps, which take time of their own). About 100 bytes a kernel
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Folder that keeps all that was learned, the last two times it was saved: to go on with --resume, and for
    /// `scall recommend`, `similar`, `export` and `serve`
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,

    /// Segments between two checkpoints; the last segment is always saved
    #[arg(long, value_name = "SEGMENTS", default_value_t = 1, requires = "checkpoint",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,

    /// Go on where the last checkpoint was saved, to the bits of a run that was not interrupted. The run's own
    /// configuration is in the checkpoint; other flags may be left out, and have to agree with it. A folder without a
    /// checkpoint begins at the beginning
    #[arg(long, requires = "checkpoint")]
    pub resume: bool,

    /// A line of JSON for each segment and for every so many training steps, written as they are done
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// What a profile has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Phases and kernels
    Times,
    /// Phases alone
    Counts,
}

/// The policies that there are in this build.
fn policies() -> PossibleValuesParser {
    let options: Vec<_> = PolicyOptions::NAMES.iter().filter_map(|name| PolicyOptions::from_name(name).ok()).collect();
    described(options.iter().map(|options| (options.name(), options.summary())))
}

impl Args {
    /// The run that the flags describe.
    ///
    /// # Errors
    /// Those of [`Setup::config`], and for a policy that there is not.
    pub fn config(&self) -> Result<Config> {
        self.over(self.setup.config()?)
    }

    /// The run that the flags make of one that was kept.
    ///
    /// # Errors
    /// Those of [`config`](Self::config).
    pub fn over_kept(&self, kept: &Config) -> Result<Config> {
        match &self.setup.config {
            Some(_) => self.config(),
            None => self.over(self.setup.over(kept.clone())?),
        }
    }

    fn over(&self, mut config: Config) -> Result<Config> {
        if let Some(policy) = &self.policy {
            config = config.with_policy(policy)?;
        }
        config.budget.amount = self.budget.unwrap_or(config.budget.amount);
        config.seed = self.seed.unwrap_or(config.seed);
        if let Some(cutoffs) = &self.cutoffs {
            config.cutoffs = cutoffs.clone();
        }
        Ok(config)
    }
}
