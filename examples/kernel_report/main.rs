//! What the kernels give on this machine, against what its memory allows and against a plain loop.
//!
//! ```text
//! cargo run --release --example kernel_report
//! cargo run --release --example kernel_report -- --device cpu --threads 2 --json report.json
//! cargo run --release --example kernel_report -- --only table --torch python3
//! ```

mod bandwidth;
#[path = "../../benches/kernels/cases/mod.rs"]
mod cases;
#[path = "../../benches/kernels/data.rs"]
mod data;
#[path = "../common/device.rs"]
mod device;
#[path = "../../benches/kernels/kernel_times.rs"]
mod kernel_times;
mod timing;
mod torch;

use std::path::PathBuf;
use std::process::ExitCode;

use bandwidth::Copier;
use cases::{Case, Meter};
use clap::Parser;
use device::DeviceChoice;
use scall_gpu::{Error, Result};
use serde::Serialize;
use timing::Timer;
use torch::Peer;

/// Measures the copy bandwidth of a device, then every kernel at three sizes or at those named.
#[derive(Parser, Debug)]
struct Args {
    /// A hardware GPU or else the CPU, the best GPU there is (software included), or the CPU
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceChoice,

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

    /// Also time torch on the cases that have such a peer, by this Python
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,

    /// Write everything as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    device: String,
    torch: Option<String>,
    rows: Vec<Row>,
}

/// A kernel at one size.
#[derive(Serialize)]
struct Row {
    kernel: &'static str,
    case: String,
    /// Median of all runs.
    seconds: f64,
    /// Median between the GPU's timestamps, its kernels alone, where it keeps time.
    kernel_seconds: Option<f64>,
    /// What the operator has to move.
    bytes: u64,
    /// Bytes a second that a copy reads and writes, measured just before.
    copy_bandwidth: f64,
    /// The time that copying so many bytes takes, as a part of `kernel_seconds`, or else of `seconds`.
    of_limit: f64,
    /// Beside the CPU, median of a plain loop on one thread, where there is one; for top_k of a bare matrix product on all threads.
    naive_seconds: Option<f64>,
    /// Median of torch on the same device, where it was asked for.
    torch_seconds: Option<f64>,
}

/// The lines of a kernel, printed as they come.
struct Lines<'a> {
    kernel: &'static str,
    timer: &'a Timer,
    copy_bandwidth: f64,
    torch: Option<&'a mut Peer>,
    rows: &'a mut Vec<Row>,
}

impl Meter for Lines<'_> {
    fn measure(
        &mut self,
        case: Case<'_>,
        run: &mut dyn FnMut() -> Result<()>,
        naive: Option<&mut dyn FnMut()>,
    ) -> Result<()> {
        let Case { name, bytes, parts, torch } = case;
        let time = self.timer.median(run)?.part(parts);
        // A GPU is not measured against a thread of the CPU.
        let naive = naive.filter(|_| !self.timer.gpu);
        let row = Row {
            kernel: self.kernel,
            case: name,
            seconds: time.wall,
            kernel_seconds: time.kernels,
            bytes,
            copy_bandwidth: self.copy_bandwidth,
            of_limit: bytes as f64 / self.copy_bandwidth / time.device(),
            naive_seconds: naive.map(|naive| self.timer.naive(naive)).transpose()?,
            torch_seconds: self.torch.as_mut().zip(torch).map(|(peer, torch)| peer.seconds(torch)).transpose()?,
        };
        row.print();
        self.rows.push(row);
        Ok(())
    }
}

impl Row {
    fn print(&self) {
        let or_none = |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        let device = self.kernel_seconds.unwrap_or(self.seconds);
        let times = |other: Option<f64>| or_none(other.map(|other| other / device), 2);
        println!(
            "{:<18} {:<46} {:>9.3} {:>9} {:>9.2} {:>9.1} {:>9.3} {:>9} {:>9}",
            self.kernel,
            self.case,
            self.seconds * 1e3,
            or_none(self.kernel_seconds.map(|seconds| seconds * 1e3), 3),
            self.bytes as f64 / device / 1e9,
            self.copy_bandwidth / 1e9,
            self.of_limit,
            times(self.naive_seconds),
            times(self.torch_seconds),
        );
    }
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
    let device = args.device.open()?;
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
    let timer = Timer { seconds: args.seconds, gpu: device.as_gpu().is_some() };
    let mut copier = Copier::new(&device)?;
    let mut torch = args.torch.as_deref().map(|python| Peer::start(python, &device)).transpose()?;
    println!("device   {}", device.describe());
    torch.iter().for_each(|peer| println!("torch    {}", peer.describe()));
    println!();
    let titles = ["ms", "kernel ms", "GB/s", "copy GB/s", "of limit", "x naive", "x torch"];
    println!("{:<18} {:<46} {}", "kernel", "case", titles.map(|title| format!("{title:>9}")).join(" "));
    let mut rows = Vec::new();
    for family in cases::ALL {
        if !wanted(family.name) {
            continue;
        }
        for &size in &args.sizes {
            let copy_bandwidth = copier.bandwidth()?;
            let (kernel, timer, torch) = (family.name, &timer, torch.as_mut());
            let mut lines = Lines { kernel, timer, copy_bandwidth, torch, rows: &mut rows };
            (family.run)(&device, &mut lines, size as usize)?;
        }
    }
    println!(
        "\nkernel ms: between the GPU's timestamps; GB/s: bytes that the operator has to move a second, by those where there are any;\n\
         copy GB/s: what a copy reads and writes, measured just before; of limit: the one over the other, above 1 where caches hold the\n\
         data; x naive: times the speed of a plain loop (of top_k: of a bare matrix product on all threads); x torch: of torch"
    );
    if let Some(path) = &args.json {
        let report = Report { device: device.describe(), torch: torch.map(|peer| peer.describe().to_owned()), rows };
        let text = serde_json::to_string_pretty(&report).expect("numbers and strings only");
        std::fs::write(path, text + "\n").map_err(|source| io(path, source))?;
    }
    Ok(())
}
