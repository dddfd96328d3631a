//! Streams real interactions through a recommender that lives inside a memory budget.
//!
//! ```text
//! scall stream
//! scall stream --data ratings.dat --budget bytes=1MB --report out.json
//! scall stream --policy scall --plot out.svg
//! ```

mod against;
mod args;
mod log;
mod output;
mod plot;
mod profile;
mod recording;
mod repeat;
mod report;
mod running;
mod trace;

use std::process::ExitCode;
use std::time::Instant;

use against::Rival;
use log::Log;
use recording::Recording;
use repeat::Repeated;
use running::Running;
use scall_gpu::run::Config;
use scall_gpu::text::printable;
use scall_gpu::{Phase, Result, Summary};

pub use against::Against;
pub use args::Args;
pub use plot::Profile;
pub use report::Segment;
#[cfg(feature = "serve")]
pub use report::repeatable;

use crate::common::{
    Files, Interrupt, Words, check_used, ended, inputs, kernel_times, print, print_json, shown, width, wrapped, write,
};
use crate::compare::Counting;
use crate::page;

pub fn run(args: &Args) -> Result<ExitCode> {
    let json = args.json.asked();
    args.setup.threads.start();
    let (config, kept) = Running::config(args)?;
    let rivals = Rival::asked(args, &config)?;
    let decays = rivals.contains(&Rival::Counting(Counting::Decayed));
    check_used(&args.setup, &config, std::slice::from_ref(&config.policy.name), decays)?;
    let (report, plot, html) = (args.report.as_deref(), args.plot.as_deref(), args.html.as_deref());
    let repeated = report.map(|report| Repeated::next_to(report, &config)).transpose()?.flatten();
    let files = config.files()?;
    let inputs = &inputs(args.setup.config.as_deref(), &files);
    let own = ("--report (with .toml for its end)", repeated.as_ref().map(|of| &*of.path));
    let outputs = &[("--report", report), own, ("--plot", plot), ("--html", html)];
    let growing = &[("--log", args.log.as_deref()), ("--trace", args.trace.as_deref())];
    Files { inputs, outputs, kept: growing }.check("stream")?;
    config.check()?;
    // Before anything is printed: it checks all options.
    let goes_on = args.resume && kept.as_ref().is_some_and(|(_, kept)| kept.is_some());
    let recording = Recording::begin(args, goes_on)?;
    // From the same moment on.
    let kernels = args.profile.filter(|what| *what == args::Profile::Times).map(|_| kernel_times());
    let mut running = Running::begin(args, config.clone(), kept)?;
    recording.run_begins(&running.device)?;
    let listener = args.profile.map(|_| profile::Listener::new(&running.device, kernels));
    let (resumed, _) = running.scall.progress();
    let log = args.log.as_deref().map(|path| Log::open(path, running.scall.report())).transpose()?;
    let interrupt = Interrupt::listen(match args.checkpoint {
        Some(_) => "The run ends after this segment and is saved",
        None => "The run ends after this segment",
    });
    let words = Words::of(&config)?;
    print_head(&running, &words)?;
    let non_clicks = running.scall.data().has_non_clicks();
    let columns = output::columns(width(), non_clicks);
    let left_out = columns.left_out("in --report, --json, and a pipe");
    print(&left_out.map_or(String::new(), |words| format!("\n{}", wrapped(&words, width()))));
    print(&columns.head());

    running.scall.report().iter().for_each(|report| print(&columns.row(&output::row(report, non_clicks))));
    let progress = output::Run::new(running.scall.progress(), config.steps()?, probes(&config)?);
    let start = Instant::now();
    let mut interrupted = false;
    while !interrupted {
        let (t, _) = running.scall.progress();
        let hear = |phase| {
            progress.show(t, phase);
            if !matches!(phase, Phase::Train { done: 1.., .. }) {
                tracing::debug!(segment = t, "{phase:?}");
            }
            listener.iter().for_each(|listener| listener.hear(phase));
            log.iter().for_each(|log| log.hear(t, phase));
        };
        let report = match running.scall.step(hear) {
            Ok(Some(report)) => report,
            Ok(None) => break,
            Err(error) => {
                // The checkpoint before is written still. What went wrong there may be why this did.
                running.saved().unwrap_or_else(|error| eprintln!("error: {}", shown(&error.to_string())));
                return Err(error);
            }
        };
        listener.iter().for_each(profile::Listener::segment_ends);
        print(&columns.row(&output::row(&report, non_clicks)));
        let (bytes, quality) = (report.counted_bytes, report.test_candidates.at(20).ndcg);
        tracing::info!(counted_bytes = bytes, ndcg_20 = quality, "segment {t} is done");
        log.as_ref().map_or(Ok(()), |log| log.segment(&report))?;
        let (done, all) = running.scall.progress();
        interrupted = interrupt.asked() && done < all;
        running.segment_ends(args.every, interrupted)?;
        recording.flush()?;
    }
    running.saved()?;
    drop(progress);
    let (whole, reports) = (start.elapsed().as_secs_f64(), running.scall.report());

    let summary = Summary::of(reports);
    if let Some(summary) = &summary {
        print(&wrapped(&output::means(summary, width()), width()));
    }
    if let Some(coherence) = output::coherence(reports, width()) {
        print(&wrapped(&coherence, width()));
    }
    print(&wrapped(&output::most_held(reports), width()));
    if let Some(listener) = &listener {
        listener.report(&reports[resumed..], whole);
    }
    let rivals = if interrupted { Vec::new() } else { rivals };
    let (against, compared) = against::all(args, &running, &rivals, &interrupt);
    if let Some(path) = plot {
        let (policy, budget, name) = (&config.policy.name, config.budget.amount, &running.data);
        let title = format!("{policy} sizes, budget {budget}, {name}");
        let figure = plot::figure(&title, &words.headline(), reports, &running.profiles);
        write(path, figure.svg().as_bytes())?;
    }
    if let Some(path) = html {
        let state = page::state(&config, &running.scall, &running.profiles);
        write(path, page::written(state, &running.data, &against).as_bytes())?;
    }
    let found = report::Report::of(&running, &words, summary.as_ref(), against)?;
    if let Some(path) = report {
        write(path, found.json().as_bytes())?;
    }
    repeated.map_or(Ok(()), |repeated| repeated.write())?;
    if json {
        print_json(&found);
    }
    recording.finish()?;
    if interrupted {
        let (done, all) = running.scall.progress();
        let kept = match &args.checkpoint {
            Some(folder) => {
                format!("saved; to go on: scall stream --resume --checkpoint {}", printable(folder))
            }
            None => "without --checkpoint nothing goes on from there".to_owned(),
        };
        return Ok(ended(&format!("{done} of {all} segments are done; {kept}")));
    }
    compared
}

/// Most probes of a segment's search, and the steps of each.
fn probes(config: &Config) -> Result<[u32; 2]> {
    let most = if config.policy()?.searches() { config.policy_options()?.most_probes() } else { None };
    Ok([most.unwrap_or(0), config.probe.steps])
}

/// What stands over the table.
fn print_head(running: &Running, words: &Words) -> Result<()> {
    let Running { config, headline, device, scall, .. } = running;
    let say = |line: &str| print(&wrapped(line, width()));
    say(&format!("device   {}", device.describe()));
    say(headline);
    say(&words.headline());
    let (policy, budget) = (&config.policy.name, config.budget.amount);
    say(&format!("policy   {policy}, budget {budget}, {}, seed {}", words.sizes(), config.seed));
    let [most, _] = probes(config)?;
    if most > 0 {
        say(&format!("search   {}, at most {most} a segment", words.probes()));
    }
    if let (done @ 1.., all) = scall.progress() {
        say(&format!("resumed  {done} of {all} segments are done"));
    }
    Ok(())
}
