//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ArgAction;
use scall_gpu::Replay;
use scall_gpu::rows::Format;
use scall_gpu::sizing::{Amount, PolicyOptions};

use crate::common::{Json, Setup, parse};

/// Runs size policies at budgets over seeds on one stream, and compares how well they rank and what they hold.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub setup: Setup,

    /// Policies to compare, or all
    #[arg(long, value_name = "LIST", default_value = DEFAULT_POLICIES, value_parser = parse_policies,
        long_help = format!("Policies to compare: {}, or all", PolicyOptions::NAMES.join(", ")))]
    pub policies: List<String>,

    /// Budgets: mean=8, params=N, bytes=10MB
    ///
    /// What the tables may hold together; mean is the parameters that an entity has on average. A number may end with
    /// k, M or G.
    #[arg(long, value_name = "LIST", default_value = "mean=8", value_parser = parse_list::<Amount>)]
    pub budgets: List<Amount>,

    /// Formats of values to compare: f32, f16, bf16, i8 [default: that of --values]
    #[arg(long, value_name = "LIST", value_parser = parse_list::<Format>)]
    pub formats: Option<List<Format>>,

    /// Kept rows to compare: all, recent=COUNT, 0 to 1 [default: that of --replay]
    ///
    /// Fewer rows leave room for larger tables: `--totals` plots what both take together.
    #[arg(long, value_name = "LIST", value_parser = parse_list::<Replay>)]
    pub replays: Option<List<Replay>>,

    /// Seeds of each: 0 to one below this
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,

    /// Whether rankings without embeddings are compared too
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1,
        action = ArgAction::Set, hide_possible_values = true)]
    pub baselines: bool,

    /// Where finished runs are kept, a line each
    ///
    /// Runs that the file holds already are not run again, so the same command goes on where it was interrupted.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Where to write a plot (SVG) of NDCG@20 against bytes
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,

    /// The plot is against all bytes held, kept rows included
    #[arg(long, requires = "plot")]
    pub totals: bool,

    #[command(flatten)]
    pub json: Json,
}

#[cfg(feature = "search")]
const DEFAULT_POLICIES: &str = "uniform,random,ranked,scall";
#[cfg(not(feature = "search"))]
const DEFAULT_POLICIES: &str = "uniform,random,ranked";

/// Distinct values in the order given.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<T>);

impl<T: PartialEq> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut distinct = Vec::new();
        for value in values {
            if !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        Self(distinct)
    }
}

fn parse_policies(text: &str) -> Result<List<String>, String> {
    let names = PolicyOptions::NAMES;
    if text == "all" {
        return Ok(names.iter().map(|&name| name.to_owned()).collect());
    }
    let parse = |name: &str| match names.contains(&name.trim()) {
        true => Ok(name.trim().to_owned()),
        false => Err(format!("expected some of {}, or all, found {name:?}", names.join(", "))),
    };
    text.split(',').map(parse).collect()
}

fn parse_list<T>(text: &str) -> Result<List<T>, String>
where
    T: PartialEq + FromStr<Err = scall_gpu::Error>,
{
    text.split(',').map(|part| parse(part.trim())).collect()
}
