//! Lists of names with scores, as a table, CSV or JSON lines.

use std::path::{Path, PathBuf};

use scall_gpu::file::atomic;
use scall_gpu::run::Scored;
use scall_gpu::{Error, Result};
use serde_json::{Value, json};

use super::output::put;

/// How lists are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ListFormat {
    /// Columns for a person
    Table,
    /// A line for each entry, under a header
    Csv,
    /// A line of JSON for each list
    Jsonl,
}

/// Where lists go.
#[derive(clap::Args, Debug)]
pub struct Output {
    /// How to write lists [default: by the name of --out, or table]
    #[arg(long, value_enum)]
    pub format: Option<ListFormat>,

    /// Where to write them [default: standard output]
    ///
    /// FILE.jsonl is written as JSON lines, FILE.csv as CSV, any other as a table.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Write a line of JSON for each list, as --format jsonl does
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// A list.
pub struct List<'a> {
    /// Whose list it is.
    pub of: &'a str,
    /// What is said of it, in JSON and in the table.
    pub note: Option<(&'static str, Value)>,
    pub entries: Vec<Scored<'a>>,
}

impl Output {
    fn format(&self) -> ListFormat {
        let by_name = || match self.out.as_deref().and_then(Path::extension).and_then(|of| of.to_str()) {
            Some("jsonl") => ListFormat::Jsonl,
            Some("csv") => ListFormat::Csv,
            _ => ListFormat::Table,
        };
        if self.json { ListFormat::Jsonl } else { self.format.unwrap_or_else(by_name) }
    }

    /// Writes all lists. `of` and `entry` are the columns' heads, such as `user` and `item`.
    ///
    /// # Errors
    /// [`Error::Io`] that names the file, which is whole or as it was before.
    pub fn write(&self, of: &str, entry: &str, lists: &[List<'_>]) -> Result<()> {
        let text = match self.format() {
            ListFormat::Table => table(entry, lists),
            ListFormat::Csv => csv(of, entry, lists)?,
            ListFormat::Jsonl => jsonl(of, entry, lists),
        };
        match &self.out {
            Some(path) => atomic::write(path, |file| file.put(text.as_bytes())),
            None => {
                // What was asked for, so with --quiet too.
                put(text.trim_end());
                Ok(())
            }
        }
    }
}

fn table(entry: &str, lists: &[List<'_>]) -> String {
    let mut text = String::new();
    for List { of, note, entries } in lists {
        let note = note.as_ref().map_or(String::new(), |(name, value)| format!(" ({name}: {value})"));
        text += &format!("{of}{note}\n");
        for (place, Scored { name, score }) in (1..).zip(entries) {
            text += &format!("{place:>5}  {score:>9.4}  {name}\n");
        }
        if entries.is_empty() {
            text += &format!("       no {entry}\n");
        }
        text.push('\n');
    }
    text
}

fn csv(of: &str, entry: &str, lists: &[List<'_>]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut line = |fields: [&str; 4]| writer.write_record(fields).map_err(Error::other);
    line([of, "rank", entry, "score"])?;
    for list in lists {
        for (place, Scored { name, score }) in (1..).zip(&list.entries) {
            line([list.of, &i32::to_string(&place), name, &score.to_string()])?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(Error::other)
}

fn jsonl(of: &str, entry: &str, lists: &[List<'_>]) -> String {
    let line = |list: &List<'_>| {
        let entries: Vec<Value> =
            list.entries.iter().map(|scored| json!({entry: scored.name, "score": scored.score})).collect();
        let mut line = json!({of: list.of, "list": entries});
        if let Some((name, value)) = &list.note {
            line[*name] = value.clone();
        }
        format!("{line}\n")
    };
    lists.iter().map(line).collect()
}
