//! A year of purchases, streamed through a recommender whose embedding rows live in a fixed budget: who gets how many
//! dims is searched for anew as users and items arrive.
//!
//! ```text
//! cargo run --release --example stream
//! cargo run --release --example stream -- run.toml
//! ```
//!
//! The second form runs what a [configuration](scall_gpu::run::Config) says, on the file that it names. The program
//! `scall` does the same with flags, reports and plots.

#[path = "common/exit.rs"]
mod exit;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use scall_gpu::device::Device;
use scall_gpu::models::baselines::{Baseline, DecayedPopularity, ItemKnn, Popularity, RecentPopularity};
use scall_gpu::run::Config;
use scall_gpu::stream::{Interactions, read_from};
use scall_gpu::{Error, Result, Scall, Summary, follow};

/// Of `examples/data`, whose README says where it comes from.
const SAMPLE: &[u8] = include_bytes!("data/completejourney.csv.zst");

fn main() -> ExitCode {
    exit::exit(run())
}

fn run() -> Result<()> {
    let config = match std::env::args_os().nth(1) {
        Some(path) => Config::load(Path::new(&path))?,
        None => searched()?,
    };
    config.check()?;
    let data = read(&config)?;
    let device = config.device.open()?;
    println!("device   {}", device.describe());
    println!("data     {} interactions, {} users, {} items", data.len(), data.user_count(), data.item_count());
    println!("budget   {} in rows of at most {} dims\n", config.budget.amount, config.budget.max_size);

    let found = stream(&config, &device, &data)?;
    let uniform = stream(&config.with_policy("uniform")?, &device, &data)?;
    let (name, without) = best_without_rows(&config, &data)?;

    let policy = &config.policy.name;
    println!("\nNDCG@20 over all segments but the first, among the items that were sold in the test part:");
    println!("  {policy:<20} {found:.4}");
    println!(
        "  uniform sizes        {uniform:.4}   the same bytes, every row of one size: {}",
        percent(found, uniform)
    );
    println!("  {name:<20} {without:.4}   the best ranking without embeddings: {}", percent(found, without));
    Ok(())
}

/// SCALL's own policy, where it is built in.
fn searched() -> Result<Config> {
    Config::default().with_policy(if cfg!(feature = "search") { "scall" } else { "ranked" })
}

fn read(config: &Config) -> Result<Interactions> {
    if !config.data.path.is_empty() {
        return config.read();
    }
    let name = Path::new("completejourney.csv.zst");
    let unpacked = zstd::Decoder::new(SAMPLE).map_err(|source| Error::Io { file: name.into(), source })?;
    read_from(unpacked, name, &config.read_options()?)
}

/// Segment after segment: search, sizes, resize, train, evaluate. Returns the mean NDCG@20.
fn stream(config: &Config, device: &Device, data: &Interactions) -> Result<f64> {
    println!("{}", config.policy.name);
    println!("  segment   users   items      bytes of budget   grown  shrunk     new  NDCG@20 seconds");
    let segments = config.segments(data)?;
    let mut scall = Scall::over(device, data.clone(), segments, config.policy()?, config.scall_options()?)?;
    loop {
        let begin = Instant::now();
        let Some(report) = scall.step(|_| {})? else { break };
        println!(
            "  {:>7} {:>7} {:>7} {:>10} {:>9} {:>7} {:>7} {:>7}   {:.4} {:>7.2}",
            report.t,
            report.users,
            report.items,
            report.counted_bytes,
            report.budget_bytes,
            report.resized.grown_rows,
            report.resized.shrunk_rows,
            report.resized.new_rows,
            report.test_candidates.at(20).ndcg,
            begin.elapsed().as_secs_f64(),
        );
    }
    Ok(Summary::of(scall.report()).map_or(0.0, |mean| mean.test_candidates.at(20).ndcg))
}

/// The best of four rankings that count, and what it finds.
fn best_without_rows(config: &Config, data: &Interactions) -> Result<(&'static str, f64)> {
    let segments = config.segments(data)?;
    let mut best = ("", 0.0);
    for (name, mut baseline) in [
        ("popularity", Box::new(Popularity::default()) as Box<dyn Baseline>),
        ("recent popularity", Box::new(RecentPopularity::default())),
        ("decayed popularity", Box::new(DecayedPopularity::new(2000.0))),
        ("item knn", Box::new(ItemKnn::default())),
    ] {
        let summary = follow(data, &segments, config.train_share, &config.cutoffs, &mut *baseline)?.summary();
        let ndcg = summary.map_or(0.0, |mean| mean.test_candidates.at(20).ndcg);
        if ndcg > best.1 {
            best = (name, ndcg);
        }
    }
    Ok(best)
}

fn percent(found: f64, other: f64) -> String {
    format!("{:+.1} %", 100.0 * (found / other - 1.0))
}
