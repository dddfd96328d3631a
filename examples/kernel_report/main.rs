//! What the kernels give on this machine, against what its memory allows and against a plain loop.
//!
//! ```text
//! cargo run --release --example kernel_report
//! cargo run --release --example kernel_report -- --device cpu --threads 2 --json report.json
//! ```

mod bandwidth;
mod cases;
#[path = "../../benches/kernels/data.rs"]
mod data;
mod steps;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;

use bandwidth::Copier;
use clap::{Parser, ValueEnum};
use scall_gpu::device::{Device, GpuOptions};
use scall_gpu::{Error, Result};
use serde::Serialize;
use timing::Timer;

/// Measures the copy bandwidth of a device, then every kernel at three sizes or at those named.
#[derive(Parser, Debug)]
struct Args {
    /// A hardware GPU or else the CPU, the best GPU there is (software included), or the CPU
    #[arg(long, value_enum, default_value = "auto")]
    device: On,

    /// Threads of the CPU [default: all]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Only kernels whose name contains this, such as `table/` or `lookup`
    #[arg(long)]
    only: Option<String>,

    /// Rows, entities or keys of each case
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1000..=100_000_000),
        default_values_t = [10_000, 100_000, 1_000_000])]
    sizes: Vec<u32>,

    /// Seconds to spend on a case, at least
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,

    /// Write everything as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum On {
    Auto,
    Gpu,
    Cpu,
}

#[derive(Serialize)]
struct Report {
    device: String,
    rows: Vec<Row>,
}

/// A kernel at one size.
#[derive(Serialize)]
struct Row {
    kernel: &'static str,
    case: String,
    /// Median of all runs.
    seconds: f64,
    /// What the operator has to move.
    bytes: u64,
    /// Bytes a second that a copy reads and writes, measured just before.
    copy_bandwidth: f64,
    /// The time that copying so many bytes takes, as a part of `seconds`.
    of_limit: f64,
    /// Median of a plain loop on one thread, where there is one.
    naive_seconds: Option<f64>,
}

fn main() -> ExitCode {
    match report(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(args: &Args) -> Result<()> {
    if let Some(threads) = args.threads {
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
        built.expect("the first use of the pool");
    }
    let device = match args.device {
        On::Auto => Device::auto(),
        On::Gpu => Device::gpu(&GpuOptions::default())?,
        On::Cpu => Device::cpu(),
    };
    let wanted = |name: &str| args.only.as_ref().is_none_or(|part| name.contains(part));
    if !cases::ALL.iter().any(|family| wanted(family.name)) {
        let expected = format!("a part of one of {}", cases::ALL.map(|family| family.name).join(", "));
        let got = args.only.clone().unwrap_or_default();
        return Err(Error::Argument { op: "kernel_report", arg: "--only", expected, got });
    }
    let io = |path: &PathBuf, source| Error::Io { file: path.clone(), source };
    if let Some(path) = &args.json {
        // A file that cannot be written is known before the run.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|source| io(path, source))?;
    }
    let timer = Timer { seconds: args.seconds };
    let mut copier = Copier::new(&device)?;
    println!("device   {}\n", device.describe());
    let titles = ["ms", "GB/s", "copy GB/s", "of limit", "x naive"];
    println!("{:<18} {:<46} {}", "kernel", "case", titles.map(|title| format!("{title:>9}")).join(" "));
    let mut rows = Vec::new();
    for family in cases::ALL {
        if !wanted(family.name) {
            continue;
        }
        for &size in &args.sizes {
            let copy_bandwidth = copier.bandwidth()?;
            let mut add = |found: cases::Found| {
                let of_limit = found.bytes as f64 / copy_bandwidth / found.seconds;
                let naive = found.naive_seconds.map_or("-".to_owned(), |naive| format!("{:.2}", naive / found.seconds));
                println!(
                    "{:<18} {:<46} {:>9.3} {:>9.2} {:>9.1} {:>9.3} {naive:>9}",
                    family.name,
                    found.case,
                    found.seconds * 1e3,
                    found.bytes as f64 / found.seconds / 1e9,
                    copy_bandwidth / 1e9,
                    of_limit,
                );
                let cases::Found { case, seconds, bytes, naive_seconds } = found;
                rows.push(Row { kernel: family.name, case, seconds, bytes, copy_bandwidth, of_limit, naive_seconds });
            };
            (family.run)(&device, &timer, size as usize)?.into_iter().for_each(&mut add);
        }
    }
    println!(
        "\nGB/s: bytes that the operator has to move a second; copy GB/s: what a copy reads and writes, measured just before"
    );
    println!(
        "of limit: the one over the other, above 1 where caches hold the data; x naive: times the speed of a plain loop"
    );
    if let Some(path) = &args.json {
        let report = Report { device: device.describe(), rows };
        let text = serde_json::to_string_pretty(&report).expect("numbers and strings only");
        std::fs::write(path, text + "\n").map_err(|source| io(path, source))?;
    }
    Ok(())
}
