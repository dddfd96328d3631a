//! Embeddings, for other programs.

mod mark;
mod rows;

use std::path::{Path, PathBuf};

use scall_gpu::text::printable;
use scall_gpu::{Error, Result};

use self::mark::Marks;
use self::rows::Rows;
use crate::common::{Files, Source, print};

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

    /// How to write them [default: by the extension of --out]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Where to write them. A .npy file has its ids next to it, in FILE.ids.txt, a line a row
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Rows as long as they are. Without it, a .npy file and JSON lines have all rows padded with zeros to the widest
    #[arg(long)]
    ragged: bool,

    /// Where to keep what this export holds, for --since of the next one. It is replaced when the export is on the disk
    #[arg(long, value_name = "FILE")]
    mark: Option<PathBuf>,

    /// Only rows that differ from those of the export that left this mark, and the ids that are gone since: in JSON
    /// lines as {"id": .., "deleted": true}, else in FILE.removed.txt
    #[arg(long, value_name = "MARK")]
    since: Option<PathBuf>,
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

pub fn run(args: &Args) -> Result<()> {
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
    let rows = Rows::of(table, &ids, bias, format, args.ragged)?;
    let delta = marks.compare(&rows)?;
    rows.write(&args.out, &delta.chosen, delta.removed.as_deref())?;
    // Not before: until then the next export has to begin where this one did.
    if let (Some(file), Some(mark)) = (&args.mark, &delta.mark) {
        mark.save(file)?;
    }
    let (all, out) = (table.rows(), printable(&args.out));
    print(&match &delta.removed {
        None => format!("{all} rows of {} values in {out}", table.len()),
        Some(removed) => format!("{} of {all} rows changed, {} removed, in {out}", delta.chosen.len(), removed.len()),
    });
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
