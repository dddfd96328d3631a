//! The files that a program writes. None of them is touched before there is something to write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use scall_gpu::file::atomic::{self, Pending};
use scall_gpu::text::printable;
use scall_gpu::{Error, Result};

/// A flag, and the file that it was given.
pub type Flag<'a> = (&'static str, Option<&'a Path>);

/// Writes a file as a whole: what was there before stays until all of the new one is there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic::write(path, |file| file.put(bytes))
}

/// The files of a program.
#[derive(Default)]
pub struct Files<'a> {
    /// Those that are read.
    pub inputs: &'a [Flag<'a>],
    /// Those that are written as a whole when the program is done.
    pub outputs: &'a [Flag<'a>],
    /// Those that grow. Whether they can be written is for those to say who open them.
    pub kept: &'a [Flag<'a>],
}

impl Files<'_> {
    /// Refuses, before a run, outputs that could not be written after it, and those that would overwrite an input or
    /// each other, by whatever path or link. Touches none of them.
    pub fn check(&self, op: &'static str) -> Result<()> {
        let mut known: Vec<(&'static str, Place)> = Vec::new();
        for &(flag, path) in self.inputs {
            // One that is not there is an error when it is read.
            known.extend(path.and_then(|path| Place::of(path).ok().flatten()).map(|place| (flag, place)));
        }
        for &(arg, path) in self.kept.iter().chain(self.outputs) {
            let Some(path) = path else { continue };
            let place = Place::of(path).map_err(|source| Error::Io { file: path.to_owned(), source })?;
            let Some(place) = place else { continue };
            if let Some((other, _)) = known.iter().find(|(_, other)| other.is(&place)) {
                let expected = format!("another file than that of {other}");
                return Err(Error::Argument { op, arg, expected, got: printable(path) });
            }
            known.push((arg, place));
        }
        for path in self.outputs.iter().filter_map(|&(_, path)| path) {
            // A pipe must not be opened twice: its reader takes the first end for the end.
            if fs::metadata(path).map_or(true, |old| old.is_file() || old.is_dir()) {
                drop(Pending::create(path)?);
            }
        }
        Ok(())
    }
}

/// Where a file is, or will be.
struct Place {
    /// Without links.
    path: PathBuf,
    /// Device and number, where there is a file: hard links have them in common.
    number: Option<(u64, u64)>,
}

impl Place {
    /// None for what is no file, such as a pipe or a terminal: nothing is overwritten there.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let path = target(path);
        match fs::metadata(&path) {
            Ok(file) if file.is_file() => Ok(Some(Self { path: path.canonicalize()?, number: number(&file) })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (folder, name) = (folder(&path).canonicalize()?, path.file_name().unwrap_or_default());
                // Where case is not told apart, two names may become one file.
                let name = match cfg!(any(windows, target_os = "macos")) {
                    true => name.to_ascii_lowercase(),
                    false => name.to_owned(),
                };
                Ok(Some(Self { path: folder.join(name), number: None }))
            }
            Err(error) => Err(error),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.path == other.path || (self.number.is_some() && self.number == other.number)
    }
}

/// What a chain of links leads to, whether it is there or not.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // As many as Linux follows.
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(next) => path = folder(&path).join(next),
            Err(_) => break,
        }
    }
    path
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn number(file: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}
