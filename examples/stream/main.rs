//! Streams real interactions through a recommender that lives inside a memory budget.
//!
//! ```text
//! cargo run --release --example stream
//! cargo run --release --example stream -- --data ratings.dat --budget bytes=1MB --report out.json
//! cargo run --release --example stream -- --policy scall --plot out.svg
//! ```

mod args;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../benches/kernels/kernel_times.rs"]
mod kernel_times;
mod output;
mod plot;
mod profile;
#[path = "../common/record.rs"]
mod record;
mod report;

use std::process::ExitCode;
use std::time::Instant;

use args::Args;
use clap::Parser;
use common::{Files, Words, check_used, exit, inputs, open, print, read, write};
use scall_gpu::{Result, Scall, Summary};

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    args.setup.threads.start();
    let config = args.config()?;
    check_used(&args.setup, &config, std::slice::from_ref(&config.policy.name), false)?;
    let (report, plot) = (args.report.as_deref(), args.plot.as_deref());
    let files = config.files()?;
    let inputs = &inputs(args.setup.config.as_deref(), &files);
    let outputs = &[("--report", report), ("--plot", plot)];
    Files { inputs, outputs, ..Files::default() }.check("stream")?;
    config.check()?;
    let (policy, words) = (config.policy()?, Words::of(&config)?);
    let (policy_name, budget) = (&config.policy.name, config.budget.amount);
    let data = read(&config)?;
    let (headline, name, data) = (data.headline(), data.name, data.rows);
    let device = open(config.device)?;
    let listener = args.profile.map(|what| profile::Listener::new(&device, what));
    let segments = config.segments(&data)?;
    let options = config.scall_options()?;
    let (steps, model_name, item_bias) = (options.steps, options.model.name(), options.model.shape().item_bias);
    let (searches, segment_count) = (policy.searches(), segments.len());
    // Before anything is printed: it checks all options.
    let mut scall = Scall::over(&device, data, segments, policy, options)?;
    print(&format!("device   {}", device.describe()));
    print(&headline);
    print(&words.headline());
    print(&format!("policy   {policy_name}, budget {budget}, {}, seed {}", words.sizes(), config.seed));
    if searches {
        let most = config.policy_options()?.most_probes().unwrap_or(0);
        print(&format!("search   {}, at most {most} a segment", words.probes()));
    }
    print(&format!("\n{}", output::HEAD));

    let progress = output::Progress::new(segment_count, steps);
    let (mut profiles, start) = (Vec::new(), Instant::now());
    loop {
        let (t, _) = scall.progress();
        let hear = |phase| {
            progress.show(t, steps, phase);
            listener.iter().for_each(|listener| listener.hear(phase));
        };
        let Some(report) = scall.step(hear)? else { break };
        listener.iter().for_each(profile::Listener::segment_ends);
        progress.line(&output::row(&report));
        if args.plot.is_some() {
            profiles.push(plot::Profile::of(&scall, item_bias));
        }
    }
    progress.finish();
    let whole = start.elapsed().as_secs_f64();

    let summary = Summary::of(scall.report());
    if let Some(Summary { test_candidates: test, all_candidates: all, .. }) = &summary {
        print(&format!(
            "\nmean of t >= 1: Recall@20 {:.4}, NDCG@20 {:.4} among the items of the test part,\n\
             {:16}Recall@20 {:.4}, NDCG@20 {:.4} among all items (R@20*, N@20*)",
            test.recall[2], test.ndcg[2], "", all.recall[2], all.ndcg[2]
        ));
    }
    print(&output::most_held(scall.report()));
    if let Some(listener) = &listener {
        listener.report(scall.report(), whole);
    }
    if let Some(path) = plot {
        let title = format!("{policy_name} sizes, budget {budget}, {name}");
        write(path, plot::figure(&title, &words.headline(), scall.report(), &profiles).svg().as_bytes())?;
    }
    if let Some(path) = report {
        let report = report::Report {
            made: record::Made::now("scall-gpu/stream/1", &device),
            data: name,
            model: model_name.to_owned(),
            settings: words.settings().into_iter().collect(),
            policy: policy_name.clone(),
            budget: budget.to_string(),
            max_size: config.budget.max_size,
            min_size: config.budget.min_size,
            steps,
            seed: config.seed,
            config: report::repeatable(&config),
            segments: scall.report().iter().map(report::Segment::from).collect(),
            mean: summary.map(|s| report::Quality::new(&s.test_candidates, &s.all_candidates)),
        };
        write(path, report.json().as_bytes())?;
    }
    Ok(())
}
