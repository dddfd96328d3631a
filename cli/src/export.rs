//! Embeddings, for other programs.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use scall_gpu::file::atomic::{self, Pending};
use scall_gpu::text::printable;
use scall_gpu::{Error, Result};
use serde_json::json;

use crate::common::{Interrupt, Json, Progress, Source, print, print_json};

/// Writes the embeddings of all items, or of all users, with their ids.
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
    /// NumPy: a matrix of f32, a row for each id; ragged, all values in one row, and FILE.offsets.npy beside it
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
    let format = match (args.format, args.out.extension().and_then(|of| of.to_str())) {
        (Some(format), _) => format,
        (None, Some("npy")) => Format::Npy,
        (None, Some("safetensors")) => Format::Safetensors,
        (None, Some("jsonl")) => Format::Jsonl,
        _ => {
            let expected = "a file named .npy, .safetensors or .jsonl, or --format".to_owned();
            return Err(Error::Argument { op: "export", arg: "--out", expected, got: printable(&args.out) });
        }
    };
    let scall = args.source.load()?;
    let tables = scall.model().embeddings();
    let (table, names, bias) = match args.side {
        Side::Items => (tables.items(), scall.data().item_names(), usize::from(tables.item_bias())),
        Side::Users => (tables.users(), scall.data().user_names(), 0),
    };
    let ids: Vec<&str> = names.iter().take(table.rows() as usize).collect();
    let sizes = table.sizes().map(|size| size as usize).collect();
    let progress = Progress::new(table.rows().into());
    progress.show(0, "rows");
    let rows = Rows { values: table.read()?, sizes, bias, progress, interrupt };
    match format {
        Format::Safetensors => {
            table.save(&args.out)?;
            write_ids(&args.out, &ids)?;
        }
        Format::Npy => {
            rows.write_npy(&args.out, args.ragged)?;
            write_ids(&args.out, &ids)?;
        }
        Format::Jsonl => rows.write_lines(&args.out, &ids, args.ragged)?,
    }
    drop(rows);
    let (rows, values) = (table.rows(), table.len());
    print(&format!("{rows} rows of {values} values in {}", printable(&args.out)));
    if json {
        print_json(&json!({"file": printable(&args.out), "rows": rows, "values": values}));
    }
    Ok(())
}

/// Rows of a table.
struct Rows {
    values: Vec<f32>,
    sizes: Vec<usize>,
    /// Values in front of each that are no part of its embedding.
    bias: usize,
    progress: Progress,
    interrupt: Interrupt,
}

/// Rows between two looks at the clock and at Ctrl-C.
const CHUNK: usize = 4096;

impl Rows {
    fn iter(&self) -> impl Iterator<Item = &[f32]> {
        let mut rest = &self.values[..];
        self.sizes.iter().map(move |&size| {
            let (row, more) = rest.split_at(size);
            rest = more;
            row
        })
    }

    /// Writes something of each row, until it is interrupted.
    fn put_each<T>(
        &self,
        rows: impl Iterator<Item = T>,
        file: &mut Pending,
        mut put: impl FnMut(T, &mut Vec<u8>),
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for (k, row) in rows.enumerate() {
            if k % CHUNK == 0 {
                self.interrupt.check()?;
                self.progress.show(k as u64, "rows");
                file.put(&std::mem::take(&mut bytes))?;
            }
            put(row, &mut bytes);
        }
        file.put(&bytes)
    }

    /// The embeddings, without biases.
    fn embeddings(&self) -> impl Iterator<Item = &[f32]> {
        self.iter().map(|row| &row[self.bias.min(row.len())..])
    }

    fn widest(&self) -> usize {
        self.embeddings().map(<[f32]>::len).max().unwrap_or(0)
    }

    fn write_npy(&self, out: &Path, ragged: bool) -> Result<()> {
        let all: usize = self.embeddings().map(<[f32]>::len).sum();
        if ragged {
            let ends = self.embeddings().scan(0u64, |end, row| {
                *end += row.len() as u64;
                Some(*end)
            });
            write_npy(&beside(out, "offsets.npy"), "<u8", &[self.sizes.len() + 1], |file| {
                let offsets = std::iter::once(0).chain(ends);
                self.put_each(offsets, file, |offset, bytes| bytes.extend(offset.to_le_bytes()))
            })?;
        }
        let width = if ragged { 0 } else { self.widest() };
        let shape = if ragged { vec![all] } else { vec![self.sizes.len(), width] };
        write_npy(out, "<f4", &shape, |file| {
            self.put_each(self.embeddings(), file, |row, bytes| {
                bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
                bytes.resize(bytes.len() + 4 * width.saturating_sub(row.len()), 0);
            })
        })
    }

    fn write_lines(&self, out: &Path, ids: &[&str], ragged: bool) -> Result<()> {
        let width = if ragged { 0 } else { self.widest() };
        atomic::write(out, |file| {
            let rows = ids.iter().zip(self.iter()).zip(self.embeddings());
            self.put_each(rows, file, |((id, row), embedding), bytes| {
                let mut vector = embedding.to_vec();
                vector.resize(vector.len().max(width), 0.0);
                let mut line = json!({"id": id, "vector": vector});
                if self.bias > 0 {
                    line["bias"] = row.first().copied().unwrap_or(0.0).into();
                }
                bytes.extend(format!("{line}\n").into_bytes());
            })
        })
    }
}

/// `FILE.more`.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(more);
    name.into()
}

fn write_ids(out: &Path, ids: &[&str]) -> Result<()> {
    let text = ids.iter().fold(String::new(), |mut text, id| {
        writeln!(text, "{id}").expect("room in memory");
        text
    });
    atomic::write(&beside(out, "ids.txt"), |file| file.put(text.as_bytes()))
}

/// A NumPy file of version 1.0: magic, version, the header's length, the header, blanks to a multiple of 64, values.
fn write_npy(path: &Path, dtype: &str, shape: &[usize], values: impl FnOnce(&mut Pending) -> Result<()>) -> Result<()> {
    let shape: String = shape.iter().map(|len| format!("{len}, ")).collect();
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    // 10 bytes stand before it, and a line's end closes it.
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    atomic::write(path, |file| {
        file.put(b"\x93NUMPY\x01\x00")?;
        file.put(&(header.len() as u16).to_le_bytes())?;
        file.put(header.as_bytes())?;
        values(file)
    })
}
