//! Lists for users.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use scall_gpu::run::{RecommendOptions, Recommendations};
use scall_gpu::{Error, Result};
use serde_json::Value;

use crate::common::{Interrupt, List, Output, Progress, Source};

/// Lists the best items for users, with their scores.
///
/// Somebody whom the recommender does not know gets what is popular now; the list says so.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// Users to list for
    #[arg(value_name = "USER", required_unless_present_any = ["users", "all"])]
    user: Vec<String>,

    /// A file with a user on each line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// All users that have a row
    #[arg(long, conflicts_with_all = ["user", "users"])]
    all: bool,

    /// Items in a list
    #[arg(long, short = 'k', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    top: u32,

    /// The only items that may be listed
    #[arg(long, value_name = "ITEM,..", value_delimiter = ',')]
    among: Option<Vec<String>>,

    /// Items that are not listed
    #[arg(long, value_name = "ITEM,..", value_delimiter = ',')]
    without: Vec<String>,

    /// List items that the user has touched, too
    #[arg(long)]
    known_items: bool,

    #[command(flatten)]
    output: Output,
}

/// Users that are ranked for at once.
const BATCH: usize = 4096;

pub fn run(args: &Args) -> Result<ExitCode> {
    let interrupt = Interrupt::listen("Ends after these users, and writes nothing");
    let written = write(args, interrupt);
    interrupt.end(written, "nothing is written")
}

fn write(args: &Args, interrupt: Interrupt) -> Result<()> {
    let mut users = args.user.clone();
    if let Some(path) = &args.users {
        users.extend(lines(path)?);
    }
    let scall = args.source.load()?;
    if args.all {
        let rows = scall.model().embeddings().users().rows() as usize;
        users = scall.data().user_names().iter().take(rows).map(str::to_owned).collect();
    }
    let (among, without) = (args.among.as_deref().map(texts), texts(&args.without));
    let options =
        RecommendOptions { k: args.top, among: among.as_deref(), without: &without, known_items: args.known_items };
    let mut lists = Vec::new();
    let progress = Progress::new(users.len() as u64);
    for users in users.chunks(BATCH) {
        interrupt.check()?;
        progress.show(lists.len() as u64, "users");
        let names = texts(users);
        for (of, Recommendations { known, items: entries }) in users.iter().zip(scall.recommend_batch(&names, options)?)
        {
            let note = (!known).then_some(("known", Value::Bool(false)));
            lists.push(List { of, note, entries });
        }
    }
    drop(progress);
    interrupt.check()?;
    args.output.write("user", "item", &lists)
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// The lines of a file that say something.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = match path.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(path),
    };
    let text = text.map_err(|source| Error::Io { file: path.to_owned(), source })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
