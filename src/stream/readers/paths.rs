//! From a path to the files that it means.

use std::path::{Path, PathBuf};

use super::Format;
use crate::{Error, Result};

/// What standard input is called.
pub(super) const STANDARD_INPUT: &str = "standard input";

/// Whether a path stands for standard input.
pub(super) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The files that paths mean, in the order in which they are read.
///
/// - A file is itself, and `-` is standard input, which has no end of a name that would tell its format.
/// - A folder is the files in it whose names have an end that is known ([`Format::guess`]), in the order of their
///   names; folders within it are not looked at.
/// - A pattern such as `part-*.csv` or `**/*.json.gz` is the files whose names fit, in the order of their names (with
///   the feature `files`). A file that has such a name itself goes first.
///
/// # Errors
/// [`Error::BadFile`] for a folder or a pattern without files; [`Error::Io`] for a folder that cannot be read.
/// A file that is not there is an error when it is read.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// for name in ["b.csv", "a.csv.gz", "notes.txt"] {
///     std::fs::write(folder.path().join(name), "")?;
/// }
/// let files = scall_gpu::stream::files(&[folder.path()])?;
/// assert_eq!(files, [folder.path().join("a.csv.gz"), folder.path().join("b.csv")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn files(paths: &[impl AsRef<Path>]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        let path = path.as_ref();
        if is_standard_input(path) || path.is_file() {
            all.push(path.to_owned());
        } else if path.is_dir() {
            all.extend(of_folder(path)?);
        } else {
            match path.to_str().filter(|path| path.contains(['*', '?', '['])) {
                Some(pattern) if !path.exists() => all.extend(of_pattern(path, pattern)?),
                _ => all.push(path.to_owned()),
            }
        }
    }
    Ok(all)
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |source| Error::Io { file: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.is_file() && Format::guess(&path).is_ok() {
            files.push(path);
        }
    }
    in_order(folder, "a folder with files of interactions, named as their formats are (--format)", files)
}

#[cfg(feature = "files")]
fn of_pattern(path: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    // As a shell has it: names that begin with a dot are only meant where the pattern has one too.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    // What is no pattern is the name of a file.
    let Ok(found) = glob::glob_with(pattern, options) else { return Ok(vec![path.to_owned()]) };
    // What cannot be looked into is not there.
    in_order(path, "a pattern that fits files", found.flatten().filter(|path| path.is_file()).collect())
}

#[cfg(not(feature = "files"))]
fn of_pattern(path: &Path, _: &str) -> Result<Vec<PathBuf>> {
    Ok(vec![path.to_owned()])
}

fn in_order(path: &Path, expected: &str, mut files: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    files.sort();
    if files.is_empty() {
        return Err(Error::BadFile { file: path.to_owned(), expected: expected.into(), found: "none".into() });
    }
    Ok(files)
}
