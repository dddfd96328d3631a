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
use std::process::ExitCode;

use against::Record;
use bandwidth::Copier;
use scall_gpu::run::DeviceChoice;
use scall_gpu::{Error, Result};
use serde::Serialize;
use timing::Timer;
use torch::Peer;

use crate::cases::{self, Case, Meter};
use crate::common::{
    Column, Columns, Files, Interrupt, Made, Progress, Threads, choices, ended, hush, open, print, print_json, width,
    wrapped, write,
};

/// Measures the copy bandwidth of a device, then every kernel at three sizes or at those named.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to run
    ///
    /// A hardware GPU or else the CPU (auto), the best GPU there is, software included (gpu), or the CPU.
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

    /// Write everything as JSON, to a file too or to standard output alone
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,

    /// Compare with a report that was written as JSON
    ///
    /// Fails where a case takes longer than the tolerance allows.
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
    columns: &'a Columns,
    one_line: bool,
    interrupt: Interrupt,
}

impl Meter for Lines<'_> {
    fn measure(
        &mut self,
        case: Case<'_>,
        run: &mut dyn FnMut() -> Result<()>,
        naive: Option<&mut dyn FnMut()>,
    ) -> Result<()> {
        self.interrupt.check()?;
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
        row.print(self.columns, self.one_line);
        self.rows.push(row);
        Ok(())
    }
}

/// Characters of the column of cases. A longer one has a line of its own, so that numbers stay in their columns.
const CASE: usize = 50;

/// Characters of a line of the legend, where no terminal sets them.
const LEGEND: usize = 110;

/// Characters of the column of kernels.
const KERNEL: usize = 18;

/// The columns of numbers. Where they and the case do not fit one line, each case has a line of its own.
fn columns(width: Option<usize>) -> (Columns, bool) {
    let heads = ["ms", "kernel ms", "GB/s", "copy GB/s", "of limit", "x naive", "x torch"];
    let ranks = [0, 4, 1, 5, 2, 3, 6];
    let all: Vec<Column> = heads.into_iter().zip(ranks).map(|(head, rank)| Column::new(head, 9, rank)).collect();
    let one_line = width.is_none_or(|width| width > KERNEL + 1 + CASE + 10 * heads.len());
    (Columns::fit(all, 1, width.map(|width| width - 2)), one_line)
}

impl Row {
    fn print(&self, columns: &Columns, one_line: bool) {
        let or_none = |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        let device = self.kernel_seconds.unwrap_or(self.seconds);
        let times = |other: Option<f64>| or_none(other.map(|other| other / device), 2);
        let numbers = columns.row(&[
            format!("{:.3}", self.seconds * 1e3),
            or_none(self.kernel_seconds.map(|seconds| seconds * 1e3), 3),
            format!("{:.2}", self.bytes as f64 / device / 1e9),
            format!("{:.1}", self.copy_bandwidth / 1e9),
            format!("{:.3}", self.of_limit),
            times(self.naive_seconds),
            times(self.torch_seconds),
        ]);
        let name = format!("{:<KERNEL$} {:<CASE$}", self.kernel, self.case);
        let fits = one_line && self.case.chars().count() <= CASE;
        let indent = if one_line { KERNEL + 1 + CASE } else { 1 };
        match fits {
            true => print(&format!("{name} {numbers}")),
            false => {
                print(&wrapped(name.trim_end(), width()));
                print(&format!("{:indent$} {numbers}", ""));
            }
        }
    }
}

/// What a record says it is.
const SCHEMA: &str = "scall-gpu/kernel_report/1";

pub fn run(args: &Args) -> Result<ExitCode> {
    let to_standard_output = args.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if to_standard_output {
        hush();
    }
    args.threads.start();
    let device = open(args.device)?;
    let wanted = |name: &str| args.only.as_ref().is_none_or(|part| name.contains(part));
    if !cases::ALL.iter().any(|family| wanted(family.name)) {
        let expected = format!("a part of one of {}", cases::ALL.map(|family| family.name).join(", "));
        let got = args.only.clone().unwrap_or_default();
        return Err(Error::Argument { op: "kernel_report", arg: "--only", expected, got });
    }
    let json = args.json.as_deref().filter(|_| !to_standard_output);
    let against = args.against.as_deref();
    let (inputs, outputs) = (&[("--torch", args.torch.as_deref()), ("--against", against)], &[("--json", json)]);
    Files { inputs, outputs, ..Default::default() }.check("kernel_report")?;
    let record = against.map(|path| Record::read(path, SCHEMA)).transpose()?;
    let timer = Timer { seconds: args.seconds, gpu: device.as_gpu().is_some() };
    let mut copier = Copier::new(&device)?;
    let mut torch = args.torch.as_deref().map(|python| Peer::start(python, &device)).transpose()?;
    let interrupt = Interrupt::listen("Ends after this case");
    let made = Made::now(SCHEMA, &device);
    let say = |words: &str| print(&wrapped(words, width()));
    say(&format!("device   {}", made.device));
    if args.threads.threads.is_some() && device.as_gpu().is_some() {
        say("threads  not used: they are those of the CPU");
    }
    torch.iter().for_each(|peer| say(&format!("torch    {}", peer.describe())));
    let (columns, one_line) = columns(width());
    let left_out = columns.left_out("in --json and a pipe");
    say(&left_out.map_or(String::new(), |words| format!("\n{words}")));
    let head = format!("{:<KERNEL$} {:<CASE$}", "kernel", "case");
    match one_line {
        true => print(&format!("{head} {}", columns.head())),
        false => print(&format!("{}\n  {}", head.trim_end(), columns.head())),
    }
    let mut rows = Vec::new();
    let families: Vec<_> = cases::ALL.into_iter().filter(|family| wanted(family.name)).collect();
    let progress = Progress::new((families.len() * args.sizes.len()) as u64);
    let mut done = 0;
    for family in families {
        for &size in &args.sizes {
            progress.show(done, format!("{}, {size}", family.name));
            let copy_bandwidth = copier.bandwidth()?;
            let (kernel, timer, torch) = (family.name, &timer, torch.as_mut());
            let columns = &columns;
            let mut lines =
                Lines { kernel, timer, copy_bandwidth, torch, rows: &mut rows, columns, one_line, interrupt };
            let measured = (family.run)(&device, &mut lines, size as usize);
            if interrupt.asked() {
                drop(progress);
                return Ok(ended("what was measured is above; nothing is written"));
            }
            measured?;
            done += 1;
        }
    }
    drop(progress);
    let legend = "kernel ms: between the GPU's timestamps; GB/s: bytes that the operator has to move a second, by \
                  those where there are any; copy GB/s: what a copy reads and writes, measured just before; of limit: \
                  the one over the other, above 1 where caches hold the data; x naive: times the speed of a plain loop \
                  (of top_k: of a bare matrix product on all threads); x torch: of torch";
    print(&format!("\n{}", wrapped(legend, Some(width().unwrap_or(LEGEND)))));
    let compared = record.map_or(Ok(()), |record| record.compare(&made.device, &rows, args.tolerance));
    let report = Report { made, torch: torch.map(|peer| peer.describe().to_owned()), options: args.options(), rows };
    if to_standard_output {
        print_json(&report);
    }
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report).expect("numbers and strings only");
        write(path, (text + "\n").as_bytes())?;
    }
    compared.map(|()| ExitCode::SUCCESS)
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
