//! The files that are streamed.

use std::path::{Path, PathBuf};

use scall_gpu::run::Config;
use scall_gpu::stream::{self, Interactions};
use scall_gpu::text::printable;
use scall_gpu::{Error, Result};

use super::files::Flag;
use super::progress::Progress;

/// A year of grocery purchases; see `examples/data/README.md`.
const SAMPLE: &[u8] = include_bytes!("../../../examples/data/completejourney.csv.zst");
const SAMPLE_NAME: &str = "completejourney.csv.zst (embedded)";

/// A stream, and what a person should know of it.
pub struct Data {
    /// The names of its files as they can be shown.
    pub name: String,
    pub rows: Interactions,
    /// What was found in the files, a line each under the headline's.
    found: String,
}

impl Data {
    /// What stands over a table.
    pub fn headline(&self) -> String {
        headline(&self.name, &self.rows) + &self.found
    }
}

/// The same without what was found in the files.
pub fn headline(name: &str, rows: &Interactions) -> String {
    let (rows, users, items) = (rows.len(), rows.user_count(), rows.item_count());
    format!("data     {name}: {rows} interactions, {users} users, {items} items")
}

/// The user's files, or the embedded sample.
///
/// # Errors
/// For a file that cannot be read.
pub fn read(config: &Config) -> Result<Data> {
    let paths = &config.data.path;
    if paths.is_empty() {
        let name = Path::new(SAMPLE_NAME);
        let unreadable = |source| Error::Io { file: name.to_owned(), source };
        let unpacked = zstd::Decoder::new(SAMPLE).map_err(unreadable)?;
        let rows = stream::read_from(unpacked, name, &config.read_options()?)?;
        return Ok(Data { name: SAMPLE_NAME.to_owned(), rows, found: String::new() });
    }
    let (rows, report) = {
        let _progress = reading(config)?;
        config.read_and_report()?
    };
    let shown = |path: &PathBuf| if path.as_os_str() == "-" { "standard input".to_owned() } else { printable(path) };
    let name = match paths.as_slice() {
        [first, second, _, ..] => format!("{}, {} and {} more", shown(first), shown(second), paths.len() - 2),
        paths => paths.iter().map(shown).collect::<Vec<_>>().join(", "),
    };
    let found = report.to_string().lines().map(|line| format!("\n         {line}")).collect();
    Ok(Data { name, rows, found })
}

/// Progress while files are read, which [`READ_PROGRESS`](stream::READ_PROGRESS) moves.
fn reading(config: &Config) -> Result<Progress> {
    let files = config.files()?;
    let is_parquet = |path: &Path| {
        let by_name = path.extension().is_some_and(|of| of.eq_ignore_ascii_case("parquet"));
        config.data.format.as_deref().map_or(by_name, |name| name == "parquet")
    };
    let length = |path: &PathBuf| std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|of| of.len());
    let bytes: Option<u64> = files.iter().map(|path| length(path).filter(|_| !is_parquet(path))).sum();
    let what = match files.as_slice() {
        [file] => format!("reading {}", printable(file)),
        files => format!("reading {} files", files.len()),
    };
    let progress = bytes.map_or_else(Progress::endless, Progress::of_bytes);
    progress.show(0, what);
    Ok(progress)
}

/// The files that a run reads, for [`Files`](super::Files).
pub fn inputs<'a>(config: Option<&'a Path>, data: &'a [PathBuf]) -> Vec<Flag<'a>> {
    let files = data.iter().filter(|path| path.as_os_str() != "-").map(|path| ("--data", Some(path.as_path())));
    std::iter::once(("--config", config)).chain(files).collect()
}
