//! How a training step and a resize grow with the number of rows: the step, whose batch is fixed, should not; the
//! resize moves every row.
//!
//! ```text
//! scall scaling --device cpu --plot scaling.svg
//! ```

use std::path::PathBuf;
use std::time::Instant;

use scall_gpu::Result;
use scall_gpu::device::Device;
use scall_gpu::models::{BprMf, BprMfOptions, Recommender, TrainingData};
use scall_gpu::rng::philox;
use scall_gpu::run::DeviceChoice;
use scall_gpu::sizing::Sizes;
use scall_gpu::stream::UserItems;
use scall_gpu::table::Account;

use crate::common::{Axis, Dash, Figure, Files, Marker, Panel, Point, Series, Threads, choices, open, write};

/// Times a step of matrix factorisation and a resize of its tables, with ever more rows.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A hardware GPU or else the CPU, the best GPU there is (software included), or the CPU
    #[arg(long, value_parser = choices(), default_value = "auto")]
    device: DeviceChoice,

    #[command(flatten)]
    threads: Threads,

    /// The most rows, of both tables together: 10,000 and every power of ten up to it are measured
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(10_000..=100_000_000))]
    rows: u32,

    /// Where to write a plot (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Rows have 1 to 15 values, other ones after a resize.
const MEAN: u32 = 8;
const STEPS: u32 = 64;
const BATCH: u32 = 4096;
/// Interactions to learn from: the same number for every number of rows, spread over all of them.
const INTERACTIONS: u32 = 1_000_000;

/// Milliseconds of a step and of a resize.
struct Found {
    rows: u32,
    step: f64,
    resize: f64,
}

pub fn run(args: &Args) -> Result<()> {
    let plot = args.plot.as_deref();
    Files { outputs: &[("--plot", plot)], ..Default::default() }.check("scaling")?;
    args.threads.start();
    let device = open(args.device)?;
    println!("device   {}", device.describe());
    println!("step     matrix factorisation, {BATCH} triples, Adagrad; rows of 1 to {} values\n", 2 * MEAN - 1);
    println!("{:>12} {:>12} {:>12} {:>14}", "rows", "step ms", "resize ms", "ns a row");
    let mut all = Vec::new();
    let mut rows = 10_000;
    while rows <= args.rows {
        let found = measure(&device, rows)?;
        let a_row = 1e6 * found.resize / f64::from(rows);
        println!("{rows:>12} {:>12.3} {:>12.3} {a_row:>14.1}", found.step, found.resize);
        all.push(found);
        rows *= 10;
    }
    plot.map_or(Ok(()), |path| write(path, figure(&device, &all).svg().as_bytes()))
}

fn measure(device: &Device, rows: u32) -> Result<Found> {
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
    model.prepare(TrainingData { rows: &interactions, history: &history })?;

    let mut step = f64::INFINITY;
    let mut resize = f64::INFINITY;
    for sizes in [&other, &one, &other] {
        model.train(STEPS, &mut |_| {})?;
        let start = Instant::now();
        model.train(STEPS, &mut |_| {})?;
        step = step.min(1e3 * start.elapsed().as_secs_f64() / f64::from(STEPS));
        let start = Instant::now();
        model.embeddings_mut().resize(sizes)?;
        resize = resize.min(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(Found { rows, step, resize })
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
            panel("a training step of a fixed batch", true, |found| found.step),
            panel("a resize of all rows", false, |found| found.resize),
        ],
        shared_legend: false,
    }
}
