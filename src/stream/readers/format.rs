//! Formats of interaction files, by name and by the names of files.

use std::path::Path;

use super::Format;
use crate::text::quoted;
use crate::{Error, Result};

/// Ends of the names of packed files. They only tell where the end before them begins: what is packed is told by its
/// first bytes.
const PACKED: [&str; 5] = [".gz", ".zst", ".zstd", ".bz2", ".bz"];

impl Format {
    /// Its name on command lines and in files of configurations.
    pub fn name(self) -> &'static str {
        self.reader().name()
    }

    /// A few words about it.
    pub fn summary(self) -> &'static str {
        self.reader().summary()
    }

    /// Whether a caller may say where its columns are; else they have their places.
    pub fn has_columns(self) -> bool {
        self.reader().has_columns()
    }

    /// All names, for an error or a help.
    pub fn names() -> String {
        listed(Self::ALL.iter().map(|format| format.name()))
    }

    /// The format of a [name](Self::name), or of an end of a file's name without its dot; case is ignored.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other name.
    ///
    /// ```
    /// use scall_gpu::stream::Format;
    /// assert_eq!(Format::from_name("jsonl")?, Format::Json);
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn from_name(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let is_meant = |format: &&Self| {
            let reader = format.reader();
            let ends = reader.endings().iter().filter_map(|end| end.strip_prefix('.'));
            reader.name() == lower || ends.into_iter().any(|end| end == lower)
        };
        Self::ALL.iter().find(is_meant).copied().ok_or_else(|| Error::Argument {
            op: "stream/format",
            arg: "name",
            expected: Self::names(),
            got: quoted(name.as_bytes()),
        })
    }

    /// The format by the end of a file's name, before `.gz`, `.zst` or `.bz2` where it has one of them.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other end.
    ///
    /// ```
    /// use scall_gpu::stream::Format;
    /// assert_eq!(Format::guess("data/ratings.csv.gz")?, Format::Csv);
    /// assert!(Format::guess("ratings").is_err());
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    pub fn guess(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let name = PACKED.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let is_meant = |format: &&Self| format.reader().endings().iter().any(|end| name.ends_with(end));
        Self::ALL.iter().find(is_meant).copied().ok_or_else(|| {
            let ends = listed(Self::ALL.iter().flat_map(|format| format.reader().endings()).copied());
            Error::Argument {
                op: "stream/format",
                arg: "path",
                expected: format!("a file named {ends}, or come with a format (--format {})", Self::names()),
                got: quoted(path.as_os_str().as_encoded_bytes()),
            }
        })
    }
}

/// `a, b or c`.
fn listed(names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}
