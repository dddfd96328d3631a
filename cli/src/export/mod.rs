//! Embeddings, for other programs.

mod mark;
mod rows;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use scall_gpu::text::printable;
use scall_gpu::{Error, Result};
use serde_json::json;

use self::mark::Marks;
use self::rows::{Rows, Watched};
use crate::common::{Files, Interrupt, Json, Progress, Source, print, print_json};

/// Writes the embeddings of all items, or of all users, with their ids.
///
/// With --mark and --since it writes those alone that have changed since an earlier export.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// Whose embeddings
    #[arg(value_enum, default_value = "items")]
    side: Side,

    /// How to write them [default: by the name of --out]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Where to write them: FILE.npy, .safetensors or .jsonl
    ///
    /// The ids of the first two stand in FILE.ids.txt, a line a row.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Rows as long as they are, not padded with zeros
    ///
    /// Without it, a .npy file and JSON lines have all rows padded to the widest.
    #[arg(long)]
    ragged: bool,

    /// Where to keep what this export holds, for --since of the next
    ///
    /// It is replaced when the export is on the disk.
    #[arg(long, value_name = "FILE")]
    mark: Option<PathBuf>,

    /// Only rows that have changed since the export of this mark
    ///
    /// The ids that are gone since stand in JSON lines as {"id": .., "deleted": true}, else in FILE.removed.txt.
    #[arg(long, value_name = "MARK")]
    since: Option<PathBuf>,

    #[command(flatten)]
    json: Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Side {
    Items,
    Users,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// NumPy: a matrix of f32, a row for each id; ragged, all values in one row, and FILE.offsets.npy next to it
    Npy,
    /// The table's own file, which this library and NumPy read (docs/table-file.md), and FILE.ids.txt
    Safetensors,
    /// {"id": .., "vector": [..], "bias": ..} on each line, as vector stores take it
    Jsonl,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let json = args.json.asked();
    let interrupt = Interrupt::listen("Ends without the file that is being written");
    let written = write(args, json, interrupt);
    interrupt.end(written, "the file is not written")
}

fn write(args: &Args, json: bool, interrupt: Interrupt) -> Result<()> {
    let format = args.format()?;
    args.check_files(format)?;
    let kept = args.source.open()?;
    let marks = Marks::open(args, format, &kept)?;
    let scall = args.source.restore(kept)?;
    let tables = scall.model().embeddings();
    let (table, names, bias) = match args.side {
        Side::Items => (tables.items(), scall.data().item_names(), usize::from(tables.item_bias())),
        Side::Users => (tables.users(), scall.data().user_names(), 0),
    };
    let ids: Vec<&str> = names.iter().take(table.rows() as usize).collect();
    let progress = Progress::new(table.rows().into());
    progress.show(0, "rows");
    let rows = Rows::of(table, &ids, bias, format, args.ragged, Watched { progress, interrupt })?;
    let delta = marks.compare(&rows)?;
    rows.write(&args.out, &delta.chosen, delta.removed.as_deref())?;
    // Not before: until then the next export has to begin where this one did.
    if let (Some(file), Some(mark)) = (&args.mark, &delta.mark) {
        mark.save(file)?;
    }
    drop(rows);
    let (all, out) = (table.rows(), printable(&args.out));
    print(&match &delta.removed {
        None => format!("{all} rows of {} values in {out}", table.len()),
        Some(removed) => format!("{} of {all} rows changed, {} removed, in {out}", delta.chosen.len(), removed.len()),
    });
    if json {
        let (written, removed) = (delta.chosen.len(), delta.removed.as_ref().map(Vec::len));
        print_json(&json!({"file": out, "rows": all, "values": table.len(), "written": written, "removed": removed}));
    }
    Ok(())
}

impl Args {
    fn format(&self) -> Result<Format> {
        match (self.format, self.out.extension().and_then(|of| of.to_str())) {
            (Some(format), _) => Ok(format),
            (None, Some("npy")) => Ok(Format::Npy),
            (None, Some("safetensors")) => Ok(Format::Safetensors),
            (None, Some("jsonl")) => Ok(Format::Jsonl),
            _ => {
                let expected = "a file named .npy, .safetensors or .jsonl, or --format".to_owned();
                Err(Error::Argument { op: "export", arg: "--out", expected, got: printable(&self.out) })
            }
        }
    }

    /// That no file is another one, apart from the mark, which may take the place of the one before.
    fn check_files(&self, format: Format) -> Result<()> {
        let more = |used: bool, more: &str| used.then(|| with_suffix(&self.out, more));
        let ids = more(format != Format::Jsonl, IDS);
        let offsets = more(format == Format::Npy && self.ragged, OFFSETS);
        let removed = more(format != Format::Jsonl && self.since.is_some(), REMOVED);
        let outputs = [
            ("--out", Some(&*self.out)),
            ("the ids of --out", ids.as_deref()),
            ("the offsets of --out", offsets.as_deref()),
            ("the removed ids of --out", removed.as_deref()),
        ];
        let with_mark: Vec<_> = outputs.into_iter().chain([("--mark", self.mark.as_deref())]).collect();
        Files { outputs: &with_mark, ..Files::default() }.check("export")?;
        let inputs = &[("--since", self.since.as_deref())];
        Files { inputs, outputs: &outputs, ..Files::default() }.check("export")
    }
}

const IDS: &str = "ids.txt";
const OFFSETS: &str = "offsets.npy";
const REMOVED: &str = "removed.txt";

/// `FILE.more`.
fn with_suffix(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(more);
    name.into()
}
