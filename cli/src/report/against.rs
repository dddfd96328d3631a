//! A report beside an earlier one.

use std::path::{Path, PathBuf};

use scall_gpu::{Error, Result};
use serde::Deserialize;

use super::Row;
use crate::common::{print, width, wrapped};

/// A report that was written before.
pub struct Record {
    path: PathBuf,
    written: Written,
}

/// What is read of it.
#[derive(Deserialize)]
struct Written {
    schema: String,
    device: String,
    date: String,
    rows: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kernel: String,
    case: String,
    seconds: f64,
    kernel_seconds: Option<f64>,
}

impl Record {
    /// # Errors
    /// [`Error::Io`] for a file that can't be read; [`Error::BadFile`] for one that is no such report.
    pub fn read(path: &Path, schema: &str) -> Result<Self> {
        let text = std::fs::read(path).map_err(|source| Error::Io { file: path.to_owned(), source })?;
        let bad = |found: String| {
            let expected = format!("a report that was written by --json ({schema})");
            Error::BadFile { file: path.to_owned(), expected, found }
        };
        let written: Written = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if written.schema != schema {
            return Err(bad(written.schema));
        }
        Ok(Self { path: path.to_owned(), written })
    }

    /// Prints how long each case takes beside the record: between a GPU's timestamps where both have these. What one of
    /// them lacks is not compared.
    ///
    /// # Errors
    /// [`Error::Other`] where nothing can be compared, and for cases that take longer than the tolerance allows.
    pub fn compare(&self, device: &str, rows: &[Row], tolerance: f64) -> Result<()> {
        let Self { path, written } = self;
        print(&format!("\nagainst {}, of {} on {}", path.display(), written.date, written.device));
        if written.device != device {
            print(&format!("The device is another: {device}"));
        }
        let (mut compared, mut slower) = (0, Vec::new());
        for row in rows {
            let is_it = |case: &&Case| case.kernel == row.kernel && case.case == row.case;
            let Some(before) = written.rows.iter().find(is_it) else { continue };
            let (now, before) = match (row.kernel_seconds, before.kernel_seconds) {
                (Some(now), Some(before)) => (now, before),
                _ => (row.seconds, before.seconds),
            };
            let ratio = now / before;
            compared += 1;
            let (case, ms) = (format!("{:<18} {:<60}", row.kernel, row.case), now * 1e3);
            print(&wrapped(&format!("{case} {ms:>9.3} ms, {:>9.3} before: {ratio:.2}", before * 1e3), width()));
            // A time of zero is none.
            if !ratio.is_finite() || ratio > 1.0 + tolerance {
                slower.push(format!("{} {} ({ratio:.2})", row.kernel, row.case));
            }
        }
        if compared == 0 {
            return Err(Error::other(format!("{}: no case of the record was measured", path.display())));
        }
        if slower.is_empty() {
            print(&format!("{compared} cases, none takes more than {:.2} times as long", 1.0 + tolerance));
            return Ok(());
        }
        let (count, list) = (slower.len(), slower.join("; "));
        Err(Error::other(format!(
            "{count} of {compared} cases take more than {:.2} times as long: {list}",
            1.0 + tolerance
        )))
    }
}
