//! Streams real interactions through a recommender that lives inside a memory budget.
//!
//! ```text
//! cargo run --release --example stream
//! cargo run --release --example stream -- --data ratings.dat --budget bytes=1MB --report out.json
//! ```

mod args;
mod output;
mod report;

use std::path::Path;
use std::process::ExitCode;

use args::{Args, DeviceChoice};
use clap::Parser;
use scall_gpu::device::{Device, GpuOptions};
use scall_gpu::sizing::Budget;
use scall_gpu::stream::{self, Interactions};
use scall_gpu::table::Counts;
use scall_gpu::{Error, Replay, Result, Scall, ScallOptions, Summary};

/// A year of grocery purchases; see `examples/data/README.md`.
const SAMPLE: &[u8] = include_bytes!("../data/completejourney.csv.zst");
const SAMPLE_NAME: &str = "completejourney.csv.zst (embedded)";

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if let Some(path) = &args.report {
        // A report that cannot be written is known before the run, not after it.
        std::fs::File::create(path).map_err(|source| Error::Io { file: path.clone(), source })?;
    }
    let (name, data) = load(args)?;
    let device = match args.device {
        DeviceChoice::Auto => Device::auto(),
        DeviceChoice::Gpu => Device::gpu(&GpuOptions::default())?,
        DeviceChoice::Cpu => Device::cpu(),
    };
    let segments = stream::cut(&data, args.segments)?;
    let options = options(args);
    let policy = args.policy();
    let policy_name = policy.name();
    let (users, items) = (data.user_count(), data.item_count());
    output::print(&format!("device   {}", device.describe()));
    output::print(&format!("data     {name}: {} interactions, {users} users, {items} items", data.len()));
    output::print(&format!(
        "policy   {policy_name}, budget {}, sizes {} to {}, seed {}\n\n{}",
        args.budget,
        args.min_size,
        args.max_size,
        args.seed,
        output::HEAD
    ));

    let progress = output::Progress::new(segments.len(), options.steps);
    let steps = options.steps;
    let mut scall = Scall::over(&device, data, segments, policy, options)?;
    loop {
        let (t, _) = scall.progress();
        let Some(report) = scall.step(|phase| progress.show(t, steps, phase))? else { break };
        progress.line(&output::row(&report));
    }
    progress.finish();

    let summary = Summary::of(scall.report());
    if let Some(Summary { test_candidates: test, all_candidates: all, .. }) = &summary {
        output::print(&format!(
            "\nmean of t >= 1: Recall@20 {:.4}, NDCG@20 {:.4} among the items of the test part,\n\
             {:16}Recall@20 {:.4}, NDCG@20 {:.4} among all items (R@20*, N@20*)",
            test.recall[2], test.ndcg[2], "", all.recall[2], all.ndcg[2]
        ));
    }
    if let Some(path) = &args.report {
        report::Report {
            device: device.describe(),
            data: name,
            policy: policy_name.to_owned(),
            budget: args.budget.to_string(),
            max_size: args.max_size,
            min_size: args.min_size,
            steps,
            seed: args.seed,
            segments: scall.report().iter().map(report::Segment::from).collect(),
            mean: summary.map(|s| report::Quality::new(&s.test_candidates, &s.all_candidates)),
        }
        .write(path)?;
    }
    Ok(())
}

/// The user's file, or the embedded sample.
fn load(args: &Args) -> Result<(String, Interactions)> {
    let format = args.format()?;
    match &args.data {
        Some(path) => Ok((path.display().to_string(), stream::read(path, &format)?)),
        None => {
            let name = Path::new(SAMPLE_NAME);
            let unreadable = |source| Error::Io { file: name.to_owned(), source };
            let unpacked = zstd::Decoder::new(SAMPLE).map_err(unreadable)?;
            Ok((SAMPLE_NAME.to_owned(), stream::read_from(unpacked, name, &format)?))
        }
    }
}

fn options(args: &Args) -> ScallOptions {
    let budget = Budget {
        counts: Counts { optimizer: args.count_optimizer, metadata: !args.ignore_metadata },
        d_min: args.min_size,
        d_max: args.max_size,
        ..Budget::new(args.budget)
    };
    let replay = args.replay.map_or(Replay::All, |share| Replay::Sample { share });
    let (model, steps) = (args.model(), args.steps());
    ScallOptions { model, steps, replay, seed: args.seed, ..ScallOptions::new(budget) }
}
