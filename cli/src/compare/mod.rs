//! Compares size policies under the same budgets on one stream.
//!
//! ```text
//! scall compare
//! scall compare --policies all --budgets mean=4,mean=8 --csv runs.csv --plot runs.svg
//! scall compare --policies uniform --formats f32,i8 --replays recent=10000,all --plot runs.svg --totals
//! ```

mod args;
mod groups;
mod job;
mod plot;
mod progress;
mod store;
mod table;

use std::process::ExitCode;

use groups::Group;
use job::{Bench, Job, Run, Variant, config_of};
use progress::{Runs, Weight};
use scall_gpu::eval::Cutoffs;
use scall_gpu::run::{Config, DataConfig, DeviceChoice, Exclude};
use scall_gpu::sizing::Amount;
use scall_gpu::stream::Interactions;
use scall_gpu::text::printable;
use scall_gpu::{Phase, Replay, Result};
use serde::Serialize;
use store::Store;

pub use args::Args;
pub use job::Counting;

use crate::common::{
    Files, Interrupt, Made, Words, check_used, ended, helped, inputs, open, print, print_json, read, width, wrapped,
    write,
};

pub fn run(args: &Args) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let json = args.json.asked();
    args.setup.threads.start();
    let mut config = args.setup.config()?;
    // The columns of the file are at these; a configuration of `scall stream` may have others.
    config.cutoffs = Cutoffs::default();
    check_used(&args.setup, &config, &args.policies.0, args.baselines)?;
    let (csv, plot) = (args.csv.as_deref(), args.plot.as_deref());
    let files = config.files()?;
    let inputs = &inputs(args.setup.config.as_deref(), &files);
    Files { inputs, outputs: &[("--plot", plot)], kept: &[("--csv", csv)] }.check("compare")?;
    let variants = variants(args, &config)?;
    let jobs = jobs(args, &variants);
    let weights = jobs.iter().map(|job| weight(&config, job)).collect::<Result<Vec<_>>>()?;

    let data = read(&config)?;
    let (headline, name, data) = (data.headline(), data.name, data.rows);
    let device = open(config.device)?;
    let segments = config.segments(&data)?;
    let head = head(args, &config, &device.describe(), &headline, segments.len())?;
    let half_life = args.setup.training.half_life.or(config.model.half_life).unwrap_or(Counting::HALF_LIFE);
    let settings = settings(args, &config, half_life, &device.describe(), &name, &data)?;
    let interrupt = Interrupt::listen("The comparison ends after this segment");
    let (config, device, data, segments) = (&config, &device, &data, &segments[..]);
    let bench = Bench { config, half_life, device, data, segments, settings: &settings, interrupt };
    bench.check(&args.budgets.0, &variants).map_err(helped)?;
    let (mut store, mut runs) = match csv {
        Some(path) => Store::open(path, &settings).map(|(store, runs)| (Some(store), runs))?,
        None => (None, Vec::new()),
    };
    print(&wrapped(&head, width()));

    let weighed = jobs.iter().cloned().zip(weights);
    let (done, todo): (Vec<_>, Vec<_>) = weighed.partition(|(job, _)| runs.iter().any(|run| job.is_done_by(run)));
    let finished: Vec<&Run> = done.iter().filter_map(|(job, _)| runs.iter().find(|run| job.is_done_by(run))).collect();
    let mut progress = Runs::new([&done[..], &todo].concat(), &finished, segments.len());
    for (job, _) in &todo {
        if interrupt.asked() {
            break;
        }
        progress.show(0, Phase::Size);
        let run = match bench.run(job, |t, phase| progress.show(t, phase)) {
            Err(_) if interrupt.asked() => break,
            run => run.map_err(|error| format!("{}: {error}", job.describe()))?,
        };
        tracing::info!(ndcg_20 = run.ndcg_20, seconds = run.seconds, "run is done: {}", job.describe());
        if let Some(store) = &mut store {
            store.append(&run)?;
        }
        progress.finish_run(&run);
        runs.push(run);
    }
    drop(progress);

    let groups = Group::all(&jobs, &runs);
    if !groups.is_empty() {
        print(&format!("\n{}", table::table(&groups, width())));
    }
    if json {
        print_json(&Comparison { made: Made::now("scall-gpu/compare/1", device), data: name, config, runs: &runs });
    }
    let done = jobs.iter().filter(|job| runs.iter().any(|run| job.is_done_by(run))).count();
    if done < jobs.len() {
        let kept = csv.map_or("without --csv none is kept".to_owned(), |path| {
            format!("they are in {}, and the same command goes on", printable(path))
        });
        return Ok(ended(&format!("{done} of {} runs are done; {kept}", jobs.len())));
    }
    if let Some(path) = plot {
        // Without the device, which says nothing about quality, and without the names of the lines.
        let notes = head.lines().skip(1).map(|line| line.get(9..).unwrap_or(line).to_owned());
        write(path, plot::figure(&groups, notes.collect(), args.totals).svg().as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A comparison as JSON.
#[derive(Serialize)]
struct Comparison<'a> {
    #[serde(flatten)]
    made: Made,
    data: String,
    /// What all runs have in common, as `--config` takes it.
    config: &'a Config,
    /// As the lines of `--csv` have them.
    runs: &'a [Run],
}

/// The formats and rows kept that are compared.
fn variants(args: &Args, config: &Config) -> Result<Vec<Variant>> {
    let format = config.model_options()?.training().layout.format;
    let formats = args.formats.as_ref().map_or(vec![format], |list| list.0.clone());
    let replays = args.replays.as_ref().map_or(vec![config.replay], |list| list.0.clone());
    Ok(formats.iter().flat_map(|&format| replays.iter().map(move |&replay| Variant { format, replay })).collect())
}

/// All runs, in the order of the table: budgets, within them policies, within them variants, within them seeds;
/// baselines last.
fn jobs(args: &Args, variants: &[Variant]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &budget in &args.budgets.0 {
        for policy in &args.policies.0 {
            for &variant in variants {
                jobs.extend((0..args.seeds).map(|seed| Job::Policy { policy: policy.clone(), budget, variant, seed }));
            }
        }
    }
    if args.baselines {
        jobs.extend(Counting::ALL.map(Job::Baseline));
    }
    jobs
}

/// What a job costs, roughly: a probe is a training run of its own. Its options are checked on the way.
fn weight(common: &Config, job: &Job) -> Result<Weight> {
    let Job::Policy { policy, budget, variant, seed } = job else {
        return Ok(Weight { rest: 0.3, search: 0.0, probes: 0 });
    };
    let config = config_of(common, policy, *budget, *variant, *seed)?;
    config.check()?;
    let probes = config.policy_options()?.most_probes().unwrap_or(0);
    let search = f64::from(probes) * f64::from(config.probe.steps) / f64::from(config.steps()?.max(1));
    Ok(Weight { rest: 1.0, search, probes })
}

/// What stands over the table, so that it can stand alone.
fn head(args: &Args, config: &Config, device: &str, data: &str, segments: usize) -> Result<String> {
    let formats = args.formats.as_ref().map_or(&[][..], |list| &list.0);
    let replays = args.replays.as_ref().map_or(&[][..], |list| &list.0);
    let words = Words::of(config)?.comparing(formats, replays);
    let seeds = match args.seeds {
        1 => "seed 0".to_owned(),
        seeds => format!("seeds 0 to {}", seeds - 1),
    };
    Ok(format!(
        "device   {device}\n\
         {data}\n\
         {}\n\
         runs     {}, {seeds}, {}, mean of segments 1 to {}",
        words.headline(),
        words.sizes(),
        words.probes(),
        segments.saturating_sub(1),
    ))
}

/// What two runs have to share to stand in one table, as `name=value; name=value`.
fn settings(
    args: &Args,
    config: &Config,
    half_life: f64,
    device: &str,
    name: &str,
    data: &Interactions,
) -> Result<String> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let mut pairs = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("device", device.to_owned()),
        ("data", file.to_owned()),
        ("rows", data.len().to_string()),
        ("users", data.user_count().to_string()),
        ("items", data.item_count().to_string()),
        ("checksum", format!("{:016x}", checksum(data))),
    ];
    // These differ from run to run, and have columns of their own.
    pairs.extend(Words::of(config)?.settings().into_iter().filter(|(name, _)| !["values", "replay"].contains(name)));
    if config.exclude != Exclude::Ever {
        pairs.push(("exclude", config.exclude.name().to_owned()));
    }
    pairs.push(("decay", half_life.to_string()));
    if args.setup.config.is_some() {
        // A file may set more than these words say. What is above, or differs from run to run, is left out.
        let mut rest = config.with_policy("uniform")?;
        (rest.budget.amount, rest.seed) = (Amount::MeanSize(1.0), 0);
        (rest.model.format, rest.replay, rest.exclude) = (None, Replay::All, Exclude::Ever);
        rest.data = DataConfig::default();
        rest.device = DeviceChoice::Auto;
        pairs.push(("config", rest.to_json()?.split_whitespace().collect()));
    }
    // A name could hold what separates settings or lines.
    let clean = |value: String| value.replace(|c: char| c == ';' || c.is_control(), ",");
    Ok(pairs.into_iter().map(|(name, value)| format!("{name}={}", clean(value))).collect::<Vec<_>>().join("; "))
}

/// A hash of the columns, after FNV-1a: equal for the same rows in the same order.
fn checksum(data: &Interactions) -> u64 {
    let ids = data.users().iter().zip(data.items()).map(|(&user, &item)| u64::from(user) << 32 | u64::from(item));
    let times = data.timestamps().iter().map(|&time| time as u64);
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    ids.chain(times).fold(0xcbf2_9ce4_8422_2325, mix)
}
