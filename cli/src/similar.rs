//! What is like an item, or a user.

use scall_gpu::Result;

use crate::common::{List, Output, Source};

/// Lists the items most like items, or the users most like users, by the cosine between their embeddings.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// Items to find the like of
    #[arg(value_name = "ITEM", required_unless_present = "user")]
    item: Vec<String>,

    /// Users to find the like of
    #[arg(long, value_name = "USER", conflicts_with = "item")]
    user: Vec<String>,

    /// Entries of a list
    #[arg(long, short = 'k', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    top: u32,

    #[command(flatten)]
    output: Output,
}

pub fn run(args: &Args) -> Result<()> {
    let scall = args.source.load()?;
    let list = |of, entries| List { of, note: None, entries };
    let of_items = args.item.iter().map(|item| Ok(list(item, scall.similar_items(item, args.top)?)));
    let of_users = args.user.iter().map(|user| Ok(list(user, scall.similar_users(user, args.top)?)));
    let lists = of_items.chain(of_users).collect::<Result<Vec<_>>>()?;
    match args.user.is_empty() {
        true => args.output.write("item", "similar", &lists),
        false => args.output.write("user", "similar", &lists),
    }
}
