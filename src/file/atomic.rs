//! Files that are either whole or as they were before.
//!
//! The contents go to a temporary file with a name of its own, in the folder of the file that is meant. When they are
//! complete and on the disk, the temporary file is renamed over the other. So a reader sees the old file or the new
//! one, never a part of one. Of several writers, in one process or in several, the last one to finish wins, and its
//! file is whole. A writer that fails leaves the old file alone and removes its own. Only a process that is killed can
//! leave a temporary file, named `.scall-*.part`.
//!
//! [`write()`] does all of that around a closure. [`Pending`] is the same in steps.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::{Error, Result};

/// Writes a file as a whole: `contents` gets a writer, and what it wrote takes the place of `path` when it returns
/// `Ok`.
///
/// Returns what `contents` returns. When this is `Ok`, the file is on the disk, and on Unix so is its name in the
/// folder.
///
/// A symbolic link stays one: the file that it points to is replaced. A file that is replaced keeps its permissions.
/// Where `path` is a device or a pipe, such as `/dev/stdout`, nothing can be replaced, and what is written goes
/// straight there.
///
/// # Errors
/// Those of `contents`; [`Error::Io`] that names `path`. The file that was there is then as before. The one exception
/// is a folder that reports an error for its own sync, after the new file has taken its place.
///
/// # Example
/// ```
/// use scall_gpu::file::atomic;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("report.json");
/// atomic::write(&path, |file| file.put(b"{}\n"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "{}\n");
/// # Ok(()) }
/// ```
pub fn write<T>(path: &Path, contents: impl FnOnce(&mut Pending) -> Result<T>) -> Result<T> {
    let mut pending = Pending::create(path)?;
    let value = contents(&mut pending)?;
    pending.commit()?;
    Ok(value)
}

/// A file that is being written, and that nothing else sees until [`commit`](Self::commit). Dropped before that, it is
/// gone.
///
/// It is a buffered [`Write`]. [`put`](Self::put) is `write_all` with an error that names the file.
///
/// # Example
/// ```
/// use std::io::Write;
/// use scall_gpu::file::atomic::Pending;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("names.txt");
/// let mut file = Pending::create(&path)?;
/// writeln!(file, "ann")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "ann\n");
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "without `commit` nothing is kept"]
pub struct Pending {
    /// As the caller named it, for errors.
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// A temporary file that is to take the place of the path.
    Replaced { file: BufWriter<NamedTempFile>, place: PathBuf },
    /// What cannot be replaced, such as a pipe.
    Stream(BufWriter<File>),
}

/// Bytes that are collected before the system is asked to write them.
const BUFFER: usize = 64 * 1024;

impl Pending {
    /// Begins a file that will take the place of `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where no file can be written in that folder, where `path` is a folder, and for a file that is
    /// protected against writing.
    pub fn create(path: &Path) -> Result<Self> {
        let target = open(path).map_err(|source| Error::Io { file: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), target })
    }

    /// The path that it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of these bytes.
    ///
    /// # Errors
    /// [`Error::Io`] that names the file.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|source| self.error(source))
    }

    /// What the system said, with the file's name: for callers that use [`Write`].
    pub fn error(&self, source: io::Error) -> Error {
        Error::Io { file: self.path.clone(), source }
    }

    /// Waits until the contents are on the disk, then gives the file its name.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn commit(self) -> Result<()> {
        let Self { path, target } = self;
        target.commit().map_err(|source| Error::Io { file: path, source })
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.target {
            Target::Replaced { file, .. } => file.write(bytes),
            Target::Stream(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Replaced { file, .. } => file.flush(),
            Target::Stream(file) => file.flush(),
        }
    }
}

impl Target {
    fn commit(self) -> io::Result<()> {
        match self {
            Self::Stream(mut file) => file.flush(),
            Self::Replaced { file, place } => {
                // `into_inner` would keep the temporary file within its error; this way it is removed.
                let file = file.into_inner().map_err(|failed| failed.into_parts().0)?;
                // A rename may reach the disk before the contents do, unless these are there already.
                file.as_file().sync_all()?;
                file.persist(&place).map_err(|failed| failed.error)?;
                sync_folder(folder(&place))
            }
        }
    }
}

fn open(path: &Path) -> io::Result<Target> {
    let old = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(old) = &old {
        if old.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !old.is_file() {
            let stream = OpenOptions::new().write(true).open(path)?;
            return Ok(Target::Stream(BufWriter::new(stream)));
        }
        if old.permissions().readonly() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    let place = place(path)?;
    let file = temporary(folder(&place), old.as_ref())?;
    Ok(Target::Replaced { file: BufWriter::with_capacity(BUFFER, file), place })
}

/// The file that is meant: what a chain of symbolic links leads to, whether that is there or not.
fn place(path: &Path) -> io::Result<PathBuf> {
    /// The number that Linux follows.
    const MOST_LINKS: usize = 40;
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&place) {
            Ok(next) => place = folder(&place).join(next),
            Err(_) if place.file_name().is_some() => return Ok(place),
            Err(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path without a file name")),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str() != OsStr::new("") => folder,
        _ => Path::new("."),
    }
}

/// A new file in the folder, with the permissions of the file that it will replace, or those of any new file.
fn temporary(folder: &Path, old: Option<&Metadata>) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    // Of one length whatever the file is called: a long name would be too long with more in front of it.
    builder.prefix(".scall-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Less what the process's mask takes away, as always.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder)?;
    if let Some(old) = old {
        file.as_file().set_permissions(old.permissions())?;
    }
    Ok(file)
}

/// Waits until the folder's entries are on the disk: without that a new file's name may be lost with the power.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // A file system that has no such thing: there is nothing to wait for.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Other systems write a folder's entries by themselves.
#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
