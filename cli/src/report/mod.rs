//! What the kernels give on this machine, against what its memory allows and against a plain loop.
//!
//! ```text
//! scall report
//! scall report --device cpu --threads 2 --json report.json
//! scall report --only table --torch python3
//! scall report --against report.json --tolerance 0.2
//! ```

mod against;
mod bandwidth;
mod timing;
mod torch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use against::Record;
use bandwidth::Copier;
use scall_gpu::run::DeviceChoice;
use scall_gpu::{Error, Result};
use serde::Serialize;
use timing::Timer;
use torch::Peer;

use crate::cases::{self, Case, Meter};
use crate::common::{Files, Made, Threads, choices, open, write};

/// Measures the copy bandwidth of a device, then every kernel at three sizes or at those named.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A hardware GPU or else the CPU, the best GPU there is (software included), or the CPU
    #[arg(long, value_parser = choices(), default_value = "auto")]
    device: DeviceChoice,

    #[command(flatten)]
    threads: Threads,

    /// Only kernels whose name contains this, such as `table/` or `lookup`
    #[arg(long)]
    only: Option<String>,

    /// Rows, entities or keys of each case
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "10000,100000,1000000",
        value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    sizes: Vec<u32>,

    /// Seconds to spend on a case, at least
    #[arg(long, default_value_t = 0.3, value_parser = parse_seconds)]
    seconds: f64,

    /// Also time torch on the cases that have such a peer, by this Python
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,

    /// Write everything as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Compare with a report that was written as JSON, and fail where a case takes longer than the tolerance allows
    #[arg(long, value_name = "RECORD")]
    against: Option<PathBuf>,

    /// By how much a case may take longer than in the record: 0.1 is ten percent
    #[arg(long, value_name = "PART", default_value_t = 0.1, requires = "against", value_parser = parse_tolerance)]
    tolerance: f64,
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if (0.0..=100.0).contains(&part) => Ok(part),
        _ => Err(format!("expected a number from 0 to 100, found {text:?}")),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("expected a number from 0 to 3600, found {text:?}")),
    }
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    made: Made,
    torch: Option<String>,
    /// What was asked for.
    options: BTreeMap<&'static str, String>,
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
    /// The time that copying this number of bytes takes, as a part of `kernel_seconds`, or else of `seconds`.
    of_limit: f64,
    /// Beside the CPU, median of a plain loop on one thread, where there is one; for top_k of a bare matrix product on
    /// all threads.
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

/// Characters of the column of cases. A longer one has a line of its own, so that numbers stay in their columns.
const CASE: usize = 50;

impl Row {
    fn print(&self) {
        let or_none = |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        let device = self.kernel_seconds.unwrap_or(self.seconds);
        let times = |other: Option<f64>| or_none(other.map(|other| other / device), 2);
        let mut name = format!("{:<18} {:<CASE$}", self.kernel, self.case);
        if self.case.chars().count() > CASE {
            println!("{name}");
            name = " ".repeat(18 + 1 + CASE);
        }
        println!(
            "{name} {:>9.3} {:>9} {:>9.2} {:>9.1} {:>9.3} {:>9} {:>9}",
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

/// What a record says it is.
const SCHEMA: &str = "scall-gpu/kernel_report/1";

pub fn run(args: &Args) -> Result<()> {
    args.threads.start();
    let device = open(args.device)?;
    let wanted = |name: &str| args.only.as_ref().is_none_or(|part| name.contains(part));
    if !cases::ALL.iter().any(|family| wanted(family.name)) {
        let expected = format!("a part of one of {}", cases::ALL.map(|family| family.name).join(", "));
        let got = args.only.clone().unwrap_or_default();
        return Err(Error::Argument { op: "kernel_report", arg: "--only", expected, got });
    }
    let json = args.json.as_deref();
    let against = args.against.as_deref();
    let (inputs, outputs) = (&[("--torch", args.torch.as_deref()), ("--against", against)], &[("--json", json)]);
    Files { inputs, outputs, ..Default::default() }.check("kernel_report")?;
    let record = against.map(|path| Record::read(path, SCHEMA)).transpose()?;
    let timer = Timer { seconds: args.seconds, gpu: device.as_gpu().is_some() };
    let mut copier = Copier::new(&device)?;
    let mut torch = args.torch.as_deref().map(|python| Peer::start(python, &device)).transpose()?;
    let made = Made::now(SCHEMA, &device);
    println!("device   {}", made.device);
    if args.threads.threads.is_some() && device.as_gpu().is_some() {
        println!("threads  not used: they are those of the CPU");
    }
    torch.iter().for_each(|peer| println!("torch    {}", peer.describe()));
    println!();
    let titles = ["ms", "kernel ms", "GB/s", "copy GB/s", "of limit", "x naive", "x torch"];
    println!("{:<18} {:<CASE$} {}", "kernel", "case", titles.map(|title| format!("{title:>9}")).join(" "));
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
        "\nkernel ms: between the GPU's timestamps; GB/s: bytes that the operator has to move a second, by those\n\
         where there are any; copy GB/s: what a copy reads and writes, measured just before; of limit: the one over\n\
         the other, above 1 where caches hold the data; x naive: times the speed of a plain loop (of top_k: of a bare\n\
         matrix product on all threads); x torch: of torch"
    );
    let compared = record.map_or(Ok(()), |record| record.compare(&made.device, &rows, args.tolerance));
    if let Some(path) = json {
        let torch = torch.map(|peer| peer.describe().to_owned());
        let text = serde_json::to_string_pretty(&Report { made, torch, options: args.options(), rows });
        write(path, (text.expect("numbers and strings only") + "\n").as_bytes())?;
    }
    compared
}

impl Args {
    /// What was asked for, defaults included, for the record.
    fn options(&self) -> BTreeMap<&'static str, String> {
        let sizes: Vec<String> = self.sizes.iter().map(u32::to_string).collect();
        let mut options = BTreeMap::from([("sizes", sizes.join(",")), ("seconds", self.seconds.to_string())]);
        options.extend(self.only.clone().map(|only| ("only", only)));
        options.extend(self.threads.threads.map(|threads| ("threads", threads.to_string())));
        options
    }
}
