//! How a training step and a resize grow with the number of rows: the step, whose batch is fixed, should not; the
//! resize moves every row.
//!
//! ```text
//! scall scaling --device cpu --plot scaling.svg
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use scall_gpu::Result;
use scall_gpu::device::Device;
use scall_gpu::models::{BprMf, BprMfOptions, Recommender, TrainingData};
use scall_gpu::rng::philox;
use scall_gpu::run::DeviceChoice;
use scall_gpu::sizing::Sizes;
use scall_gpu::stream::UserItems;
use scall_gpu::table::Account;
use serde::Serialize;

use crate::common::{
    Axis, Column, Columns, Dash, Figure, Files, Interrupt, Json, Made, Marker, Panel, Point, Progress, Series, Threads,
    choices, ended, open, print, print_json, width, wrapped, write,
};

/// Times a step of matrix factorisation and a resize of its tables, with ever more rows.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to run
    ///
    /// A hardware GPU or else the CPU (auto), the best GPU there is, software included (gpu), or the CPU.
    #[arg(long, value_parser = choices(), default_value = "auto")]
    device: DeviceChoice,

    #[command(flatten)]
    threads: Threads,

    /// The most rows, of both tables together
    ///
    /// 10,000 and every power of ten up to it are measured.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(10_000..=100_000_000))]
    rows: u32,

    /// Where to write a plot (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

    #[command(flatten)]
    json: Json,
}

/// Rows have 1 to 15 values, other ones after a resize.
const MEAN: u32 = 8;
const STEPS: u32 = 64;
const BATCH: u32 = 4096;
/// Interactions to learn from: the same number for every number of rows, spread over all of them.
const INTERACTIONS: u32 = 1_000_000;

/// Milliseconds of a step and of a resize.
#[derive(Serialize)]
struct Found {
    rows: u32,
    step_ms: f64,
    resize_ms: f64,
}

/// What was found, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    made: Made,
    rows: &'a [Found],
}

/// Parts of a measurement, for progress.
const PARTS: u32 = 4;

pub fn run(args: &Args) -> Result<ExitCode> {
    let json = args.json.asked();
    let plot = args.plot.as_deref();
    Files { outputs: &[("--plot", plot)], ..Default::default() }.check("scaling")?;
    args.threads.start();
    let device = open(args.device)?;
    let interrupt = Interrupt::listen("Ends after this measurement");
    print(&format!("device   {}", device.describe()));
    let words = format!("matrix factorisation, {BATCH} triples, Adagrad; rows of 1 to {} values", 2 * MEAN - 1);
    print(&wrapped(&format!("step     {words}\n"), width()));
    let heads = ["rows", "step ms", "resize ms", "ns a row"];
    let columns = heads.into_iter().zip([0, 1, 2, 3]).map(|(head, rank)| Column::new(head, 12, rank)).collect();
    let columns = Columns::fit(columns, 1, width());
    print(&columns.head());
    let mut all = Vec::new();
    let counts: Vec<u32> = [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000].into();
    let counts: Vec<u32> = counts.into_iter().filter(|&rows| rows <= args.rows).collect();
    // A measurement takes time for the interactions, and for the rows.
    let cost = |rows: u32| u64::from(rows) + u64::from(INTERACTIONS);
    let progress = Progress::new(u64::from(PARTS) * counts.iter().map(|&rows| cost(rows)).sum::<u64>());
    let mut done = 0;
    for rows in counts {
        let found = measure(&device, rows, &mut |part| {
            progress.show(done + u64::from(part) * cost(rows), format!("{rows} rows"));
            interrupt.check()
        });
        if found.is_err() && interrupt.asked() {
            break;
        }
        let found = found?;
        done += u64::from(PARTS) * cost(rows);
        let a_row = 1e6 * found.resize_ms / f64::from(rows);
        let cells = [found.step_ms, found.resize_ms].map(|ms| format!("{ms:.3}"));
        print(&columns.row(&[&[rows.to_string()], &cells[..], &[format!("{a_row:.1}")]].concat()));
        all.push(found);
    }
    drop(progress);
    if json {
        print_json(&Report { made: Made::now("scall-gpu/scaling/1", &device), rows: &all });
    }
    if interrupt.asked() {
        return Ok(ended("what was measured is above; no plot is written"));
    }
    plot.map_or(Ok(()), |path| write(path, figure(&device, &all).svg().as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

/// Measures with a number of rows. `begin` hears of each part that begins, and may end it.
fn measure(device: &Device, rows: u32, begin: &mut dyn FnMut(u32) -> Result<()>) -> Result<Found> {
    begin(0)?;
    let (users, items) = (rows / 2, rows - rows / 2);
    let draw = |i: u32, n: u32| ((u64::from(philox([i, 0, 0, 0], [n, 7])[0]) * u64::from(n)) >> 32) as u32;
    let interactions: Vec<_> = (0..INTERACTIONS).map(|i| (draw(i, users), draw(i, items))).collect();
    let history = UserItems::new(users, interactions.iter().copied())?;
    let mut options = BprMfOptions::default();
    options.training.batch = BATCH;
    let mut model = BprMf::new(device, options, &Account::unlimited())?;
    let sizes = |salt: u32| {
        let side = |rows: u32| (0..rows).map(|row| draw(row ^ salt, 2 * MEAN - 1) + 1).collect();
        Sizes { users: side(users), items: side(items), action: None }
    };
    let [one, other] = [sizes(0), sizes(1)];
    model.embeddings_mut().resize(&one)?;
    model.prepare(TrainingData { rows: &interactions, history: &history, blocks: None })?;

    let mut step = f64::INFINITY;
    let mut resize = f64::INFINITY;
    for (part, sizes) in (1..PARTS).zip([&other, &one, &other]) {
        begin(part)?;
        model.train(STEPS, &mut |_| {})?;
        let start = Instant::now();
        model.train(STEPS, &mut |_| {})?;
        step = step.min(1e3 * start.elapsed().as_secs_f64() / f64::from(STEPS));
        let start = Instant::now();
        model.embeddings_mut().resize(sizes)?;
        resize = resize.min(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(Found { rows, step_ms: step, resize_ms: resize })
}

fn figure(device: &Device, all: &[Found]) -> Figure {
    let panel = |title: &str, zero: bool, value: fn(&Found) -> f64| Panel {
        title: title.to_owned(),
        x: Axis { logarithmic: true, ..Axis::new("rows") },
        y: Axis { zero, logarithmic: !zero, ..Axis::new("ms") },
        series: vec![Series {
            name: "measured".into(),
            color: (0x33, 0x22, 0x88),
            dash: Dash::Solid,
            marker: Marker::Circle,
            points: all.iter().map(|found| Point::new(f64::from(found.rows), value(found))).collect(),
            level: None,
        }],
    };
    Figure {
        title: "Time against the number of rows".into(),
        notes: vec![device.describe()],
        panels: vec![
            panel("a training step of a fixed batch", true, |found| found.step_ms),
            panel("a resize of all rows", false, |found| found.resize_ms),
        ],
        shared_legend: false,
    }
}
