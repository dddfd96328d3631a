//! What was found while files were read.

use std::fmt;
use std::path::PathBuf;

use super::rows::{Counted, times};
use super::{Format, ReadOptions};
use crate::stream::builder::Kept;
use crate::text::printable;

/// What was found while files were read: what was told by the files themselves, and how many rows were left out.
///
/// Its text has a line for each thing that a person should know, and is fit for a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadReport {
    /// The files, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// The format of each.
    pub formats: Vec<Format>,
    /// What times were, in words: `milliseconds (told by their size)`.
    pub times: String,
    /// By what files were packed, each once.
    pub packed: Vec<&'static str>,
    /// Bad lines that were left out.
    pub bad: u64,
    /// What was wrong with the first of them.
    pub first_bad: Vec<String>,
    /// Rows without the rating or the values that were asked for.
    pub filtered: u64,
    /// Rows whose user and item had one before.
    pub repeated: u64,
    /// Rows of users and items with too few of them.
    pub outside_core: u64,
    /// Rows that are kept as non-clicks, for their rating.
    pub non_clicks: u64,
}

impl ReadReport {
    pub(super) fn new(
        files: Vec<PathBuf>,
        formats: Vec<Format>,
        mut packed: Vec<&'static str>,
        options: &ReadOptions,
        kept: &Kept,
        counted: Counted,
    ) -> Self {
        packed.sort_unstable();
        packed.dedup();
        let Counted { told, bad, first_bad, filtered } = counted;
        let times = times(told, options.time_unit);
        let &Kept { repeated, outside_core, ref data } = kept;
        let non_clicks = data.non_click_count() as u64;
        Self { files, formats, times, packed, bad, first_bad, filtered, repeated, outside_core, non_clicks }
    }

    /// What was left out, in a line; empty for nothing.
    pub fn left_out(&self) -> String {
        let counts = [
            (self.bad, "bad lines"),
            (self.filtered, "rows by rating or value"),
            (self.repeated, "rows of a user and an item that had one"),
            (self.outside_core, "rows of users and items with too few"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        counts.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for ReadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Files that are named.
        const NAMED: usize = 8;
        let mut formats: Vec<&str> = self.formats.iter().map(|format| format.name()).collect();
        formats.dedup();
        let packed = if self.packed.is_empty() { String::new() } else { format!(" in {}", self.packed.join(", ")) };
        write!(f, "format {}{packed}, times in {}", formats.join(", "), self.times)?;
        if self.files.len() > 1 {
            let names: Vec<String> = self.files.iter().take(NAMED).map(printable).collect();
            let more = self.files.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            write!(f, "\n{} files: {}{more}", self.files.len(), names.join(", "))?;
        }
        if self.non_clicks > 0 {
            write!(f, "\n{} rows are non-clicks by their rating", self.non_clicks)?;
        }
        let left_out = self.left_out();
        if !left_out.is_empty() {
            write!(f, "\nleft out {left_out}")?;
        }
        for bad in &self.first_bad {
            write!(f, "\nbad line {bad}")?;
        }
        Ok(())
    }
}
