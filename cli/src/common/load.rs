//! A run's configuration from a file.

use std::path::Path;

use scall_gpu::run::Config;
use scall_gpu::{Error, Result};

/// Reads a configuration, or that of a run whose report this is.
///
/// # Errors
/// For a file that cannot be read, and for one that is no configuration.
pub fn load(path: &Path) -> Result<Config> {
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io { file: path.to_owned(), source })?;
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(report) if json && report.get("schema").is_some() && report.get("config").is_some() => {
            Config::from_json(&report["config"].to_string())
        }
        _ => Config::load(path),
    }
}
