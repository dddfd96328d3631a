//! The command line.

use std::path::PathBuf;

use clap::Parser;
use scall_gpu::sizing::Amount;

use crate::common::{Policy, Setup};

/// Streams interactions through a recommender whose embeddings live in ragged tables inside a fixed budget, and prints
/// for each segment what is held and how well it ranks.
#[derive(Parser, Debug)]
#[command(version, allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    pub setup: Setup,

    /// Who gets which size
    #[arg(long, value_enum, default_value = "ranked")]
    pub policy: Policy,

    /// What both tables may hold together: mean=8 (parameters an entity), params=N, bytes=10MB
    #[arg(long, default_value = "mean=8",
        value_parser = |text: &str| text.parse::<Amount>().map_err(|error| error.to_string()))]
    pub budget: Amount,

    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Where to write the JSON report
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Print where the time went, by phase and by kernel (on a GPU by its own timestamps; probes side by side count in
    /// full each)
    #[arg(long)]
    pub profile: bool,

    /// Where to write a plot (SVG) of bytes, quality and sizes over the segments
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}
