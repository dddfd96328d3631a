//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use scall_gpu::Result;
use scall_gpu::eval::Cutoffs;
use scall_gpu::run::Config;
use scall_gpu::sizing::{Amount, PolicyOptions};

use super::against::Rival;
use crate::common::{Json, Setup, described, parse};

/// Streams interactions through a recommender whose embeddings live in ragged tables inside a fixed budget, and prints
/// for each segment what is held and how well it ranks.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub setup: Setup,

    /// Who gets which size [default: ranked]
    #[arg(long, value_name = "NAME", value_parser = policies(), hide_possible_values = true, long_help = policy_help())]
    pub policy: Option<String>,

    /// What the tables may hold: mean=8, params=N, bytes=10MB [default: mean=8]
    ///
    /// Both together. mean is the parameters that an entity has on average. A number may end with k, M or G.
    #[arg(long, value_name = "AMOUNT", value_parser = parse::<Amount>)]
    pub budget: Option<Amount>,

    /// Seed of everything that is drawn [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,

    /// List lengths that metrics are reported at [default: 5,10,20]
    ///
    /// From 1 to 100; 20 is always reported too.
    #[arg(long, value_name = "LIST", value_parser = parse::<Cutoffs>)]
    pub cutoffs: Option<Cutoffs>,

    /// Report quality by how coherent a user's items are
    ///
    /// In quartiles of users by two measures: how far their items are from the popular (S), and how little these say of
    /// one another (CS), with the mean dims of the rows. Those of the last segment are printed; --report and --json
    /// have all.
    #[arg(long)]
    pub coherence: bool,

    /// Where to write all figures, as JSON
    ///
    /// The run's configuration, which `--config` takes, is written next to it as TOML: out.toml for out.json.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Where to write a page that shows the run
    ///
    /// A page of its own (HTML) with quality, bytes, and sizes by frequency rank after each segment.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Compare with other policies or rankings without embeddings
    #[arg(long, value_name = "NAMES", value_delimiter = ',', hide_possible_values = true,
        value_parser = PossibleValuesParser::new(Rival::flags()), long_help = against_help())]
    pub against: Option<Vec<String>>,

    /// Where to write a trace of phases and kernels, for ui.perfetto.dev
    ///
    /// It is written as things happen, about 100 bytes a kernel. On a GPU kernels have their own timestamps, which take
    /// time of their own.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Folder that keeps all that was learned
    ///
    /// The last two times it was saved: to go on with --resume, and for `scall recommend`, `similar`, `export` and
    /// `serve`.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,

    /// Go on where the last checkpoint was saved
    ///
    /// To the bits of a run that was not interrupted. The run's own configuration is in the checkpoint; other flags may
    /// be left out, and have to agree with it. A folder without a checkpoint begins at the beginning.
    #[arg(long, requires = "checkpoint")]
    pub resume: bool,

    /// Segments between two checkpoints; the last is always saved
    #[arg(long, value_name = "SEGMENTS", default_value_t = 1, requires = "checkpoint",
        value_parser = clap::value_parser!(u32).range(1..), help_heading = "Output")]
    pub every: u32,

    /// Where to write a plot (SVG) of bytes, quality and sizes
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub plot: Option<PathBuf>,

    /// Where to write lines of JSON while it runs
    ///
    /// One for each segment and for every 50 training steps, written as they are done.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub log: Option<PathBuf>,

    /// Print where the time went: times, or counts alone
    ///
    /// By phase and by kernel (on a GPU by its own timestamps; probes side by side count in full each), and what a GPU
    /// was asked in each phase. `counts` leaves out the kernels, whose timestamps take time of their own.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "times",
        hide_possible_values = true)]
    pub profile: Option<Profile>,

    #[command(flatten)]
    pub json: Json,
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

fn policy_help() -> String {
    let options = PolicyOptions::NAMES.iter().filter_map(|name| PolicyOptions::from_name(name).ok());
    let lines: String = options.map(|options| format!("- {}: {}\n", options.name(), options.summary())).collect();
    format!("Who gets which size [default: ranked]:\n{lines}")
}

fn against_help() -> String {
    format!(
        "Compare with the same run by other policies' sizes, or with rankings without embeddings, by names between \
         commas: {} [default: none, and uniform,decayed-popularity with --html].\n\nEach takes the stream from its \
         beginning once this run is done, and needs the time of a run of its own: with uniform sizes that of one \
         without a search.",
        Rival::flags().join(", ")
    )
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
        config.coherence |= self.coherence;
        Ok(config)
    }
}
