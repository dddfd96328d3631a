//! Streams real interactions through a recommender that lives inside a memory budget.
//!
//! ```text
//! scall stream
//! scall stream --data ratings.dat --budget bytes=1MB --report out.json
//! scall stream --policy scall --plot out.svg
//! ```

mod against;
mod args;
mod listen;
mod log;
mod output;
mod plot;
mod profile;
mod report;
mod running;
mod trace;

use std::process::ExitCode;
use std::time::Instant;

use against::Rival;
use listen::Listeners;
use log::Log;
use running::Running;
use scall_gpu::text::printable;
use scall_gpu::{Result, Summary};

pub use against::Against;
pub use args::Args;
pub use plot::Profile;
pub use report::Segment;
#[cfg(feature = "serve")]
pub use report::repeatable;

use crate::common::{Files, INTERRUPTED, Interrupt, Words, check_used, inputs, print, shown, write};
use crate::compare::Counting;
use crate::page;

pub fn run(args: &Args) -> Result<ExitCode> {
    args.setup.threads.start();
    let (config, kept) = Running::config(args)?;
    let rivals = Rival::asked(args, &config)?;
    let decays = rivals.contains(&Rival::Counting(Counting::Decayed));
    check_used(&args.setup, &config, std::slice::from_ref(&config.policy.name), decays)?;
    let (report, plot) = (args.report.as_deref(), args.plot.as_deref());
    let files = config.files()?;
    let inputs = &inputs(args.setup.config.as_deref(), &files);
    let html = args.html.as_deref();
    let outputs = &[("--report", report), ("--plot", plot), ("--html", html)];
    let growing = &[("--log", args.log.as_deref()), ("--trace", args.trace.as_deref())];
    Files { inputs, outputs, kept: growing }.check("stream")?;
    config.check()?;
    // Before anything is printed: it checks all options.
    let goes_on = args.resume && kept.as_ref().is_some_and(|(_, kept)| kept.is_some());
    let listeners = Listeners::begin(args, goes_on)?;
    let mut running = Running::begin(args, config.clone(), kept)?;
    listeners.run_begins(&running.device)?;
    let listener = args.profile.map(|_| profile::Listener::new(&running.device, listeners.kernels.clone()));
    let resumed = running.scall.progress().0;
    let log = args.log.as_deref().map(|path| Log::open(path, running.scall.report())).transpose()?;
    let what_happens = match args.checkpoint {
        Some(_) => "The run ends after this segment and is saved",
        None => "The run ends after this segment",
    };
    let interrupt = Interrupt::listen(what_happens);
    let words = Words::of(&config)?;
    let steps = config.steps()?;
    print_head(&running, &words)?;

    let progress = output::Progress::new(running.scall.progress().1, steps);
    running.scall.report().iter().for_each(|report| progress.line(&output::row(report)));
    let start = Instant::now();
    let mut interrupted = false;
    while !interrupted {
        let (t, _) = running.scall.progress();
        let hear = |phase| {
            progress.show(t, steps, phase);
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
        progress.line(&output::row(&report));
        log.as_ref().map_or(Ok(()), |log| log.segment(&report))?;
        let (done, all) = running.scall.progress();
        interrupted = interrupt.asked() && done < all;
        running.segment_ends(args.every, interrupted)?;
        listeners.flush()?;
    }
    running.saved()?;
    progress.finish();
    let (whole, reports) = (start.elapsed().as_secs_f64(), running.scall.report());

    let summary = Summary::of(reports);
    if let Some(summary) = &summary {
        print(&output::means(summary));
    }
    print(&output::most_held(reports));
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
    if let Some(path) = report {
        write(path, report::Report::of(&running, &words, summary.as_ref(), against)?.json().as_bytes())?;
    }
    listeners.finish()?;
    if interrupted {
        let (done, all) = running.scall.progress();
        print(&format!("\ninterrupted after {done} of {all} segments"));
        if let Some(folder) = &args.checkpoint {
            print(&format!("saved; to go on: scall stream --resume --checkpoint {}", printable(folder)));
        }
        return Ok(ExitCode::from(INTERRUPTED));
    }
    compared.map(|whole| if whole { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) })
}

/// What stands over the table.
fn print_head(running: &Running, words: &Words) -> Result<()> {
    let Running { config, headline, device, scall, .. } = running;
    print(&format!("device   {}", device.describe()));
    print(headline);
    print(&words.headline());
    let (policy, budget) = (&config.policy.name, config.budget.amount);
    print(&format!("policy   {policy}, budget {budget}, {}, seed {}", words.sizes(), config.seed));
    if config.policy()?.searches() {
        let most = config.policy_options()?.most_probes().unwrap_or(0);
        print(&format!("search   {}, at most {most} a segment", words.probes()));
    }
    if let (done @ 1.., all) = scall.progress() {
        print(&format!("resumed  {done} of {all} segments are done"));
    }
    print(&format!("\n{}", output::HEAD));
    Ok(())
}
