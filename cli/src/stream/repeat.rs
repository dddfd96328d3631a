//! The run's own configuration, next to its report.

use std::path::{Path, PathBuf};

use scall_gpu::run::Config;
use scall_gpu::{Error, Result};

use super::report::repeatable;
use crate::common::{note, write};

/// The first line of each such file, by which it is known again.
const FIRST_LINE: &str = "# The run of the report next to this file, for `scall stream --config`.";

/// A configuration in TOML that gives a run again.
pub struct Repeated {
    pub path: PathBuf,
    text: String,
}

impl Repeated {
    /// Of the run whose report goes to a path: `out.toml` for `out.json`. None for a report that goes to no file, such
    /// as a pipe, and for a configuration that TOML cannot hold, which is said.
    ///
    /// # Errors
    /// [`Error::BadFile`] where another file has that name: it may be somebody's own.
    pub fn next_to(report: &Path, config: &Config) -> Result<Option<Self>> {
        let path = report.with_extension("toml");
        if std::fs::metadata(report).is_ok_and(|there| !there.is_file()) || path == report {
            return Ok(None);
        }
        let text = match repeatable(config).to_toml() {
            Ok(text) => format!("{FIRST_LINE}\n{text}"),
            // What is wrong for another reason is said later, by what reads it.
            Err(_) if config.check().is_err() => return Ok(None),
            Err(error) => {
                note(&format!("note: no {} is written: {error}", path.display()));
                return Ok(None);
            }
        };
        match std::fs::read(&path) {
            Ok(old) if !old.starts_with(FIRST_LINE.as_bytes()) => Err(Error::BadFile {
                file: path,
                expected: "no such file, or one that `scall stream --report` wrote: the run's configuration goes \
                           there, next to its report"
                    .to_owned(),
                found: "another".to_owned(),
            }),
            _ => Ok(Some(Self { path, text })),
        }
    }

    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self) -> Result<()> {
        write(&self.path, self.text.as_bytes())
    }
}
