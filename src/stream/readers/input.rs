//! The bytes of one file, as they are read: unpacked by what they begin with, and as UTF-8.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use super::encoding::Encoding;
use crate::{Error, Result};

/// Bytes that tell what a file is.
const KNOWN: usize = 10;

/// Files that are no text, by their first bytes, and what helps.
const FOREIGN: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"\xfd7zXZ\0", "xz data: unpack them first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"\x04\x22\x4d\x18", "lz4 data: unpack them first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file: write it as CSV first"),
    (b"PAR1", "a Parquet file: give its format (--format parquet)"),
];

/// Target of the events that say how much of a file has been read.
///
/// While a file is read, about each MiB of it is an event of the [`tracing`] crate, of level TRACE, whose field `bytes`
/// is the number of bytes read since the last one: of the file as it lies on the disk, packed or not. Their sum is the
/// length of the file, apart from Parquet, whose reader goes by the places of columns. Nothing is said of standard
/// input, whose end is not known.
pub const READ_PROGRESS: &str = "scall_gpu::read";

/// Bytes between two events: few enough for a display, and too many to cost anything.
const SAID_EVERY: u64 = 1 << 20;

/// A file that says how much of it has been read.
struct Said {
    file: File,
    /// Bytes since the last event.
    bytes: u64,
}

impl Read for Said {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes += read as u64;
        if self.bytes >= SAID_EVERY || (read == 0 && self.bytes > 0) {
            tracing::trace!(target: READ_PROGRESS, bytes = std::mem::take(&mut self.bytes));
        }
        Ok(read)
    }
}

/// An input, its name, and what was found of it.
pub(in crate::stream) struct Input<'a> {
    pub name: &'a Path,
    pub bytes: Box<dyn Read + 'a>,
    /// By what it is packed.
    pub packed: Option<&'static str>,
    pub encoding: Encoding,
    /// Whether the name leads to the same bytes again, which are not packed.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "only Parquet is read from its end"))]
    pub on_disk: bool,
    /// Whether it may pause, as a pipe does and a file does not.
    pub is_live: bool,
}

impl<'a> Input<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`], and those of [`new`](Self::new).
    pub fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Io { file: path.into(), source })?;
        let is_file = file.metadata().is_ok_and(|data| data.is_file());
        let input = Self::new(Said { file, bytes: 0 }, path)?;
        Ok(Self { on_disk: is_file && input.packed.is_none(), is_live: !is_file, ..input })
    }

    /// Looks at the first bytes of an input, and unpacks the rest while it is read.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadFile`] for what this build does not unpack.
    pub fn new(mut bytes: impl Read + 'a, name: &'a Path) -> Result<Self> {
        let mut first = Vec::with_capacity(KNOWN);
        let unreadable = |source| Error::Io { file: name.into(), source };
        bytes.by_ref().take(KNOWN as u64).read_to_end(&mut first).map_err(unreadable)?;
        let packed = packed(&first);
        let whole = Cursor::new(first).chain(bytes);
        let bytes = match packed {
            None => Box::new(whole),
            Some(kind) => unpacked(whole, kind).map_err(unreadable)?.ok_or_else(|| Error::BadFile {
                file: name.into(),
                expected: "a file that is not packed, as this build has no feature `files`".into(),
                found: format!("{kind} data"),
            })?,
        };
        Ok(Self { name, bytes, packed, encoding: Encoding::default(), on_disk: false, is_live: true })
    }

    /// The same for a reader of lines: as UTF-8, whatever the encoding.
    ///
    /// # Errors
    /// [`Error::BadFile`] for what is known to be no text.
    pub fn into_text(mut self, encoding: Encoding) -> Result<Self> {
        let mut first = Vec::with_capacity(KNOWN);
        let mut bytes = self.bytes;
        // What breaks here breaks again where the line is known.
        let broken = bytes.by_ref().take(KNOWN as u64).read_to_end(&mut first).err();
        if let Some(source) = broken {
            bytes = Box::new(Broken(Some(source)));
        }
        if let Some((_, kind)) = FOREIGN.iter().find(|(start, _)| first.starts_with(start)) {
            return Err(Error::BadFile { file: self.name.into(), expected: "text".into(), found: (*kind).into() });
        }
        self.bytes = Box::new(Cursor::new(first).chain(bytes));
        self.encoding = encoding;
        #[cfg(feature = "files")]
        if !encoding.is_utf8() {
            self.bytes = Box::new(super::encoding::Decoded::new(self.bytes, encoding));
        }
        Ok(self)
    }
}

/// An input that broke before its first line was read.
struct Broken(Option<std::io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// By what bytes are packed.
fn packed(first: &[u8]) -> Option<&'static str> {
    let bzip2 = || {
        let (head, block) = first.split_at_checked(4)?;
        let is_block = block == b"1AY&SY" || block == b"\x17rE8P\x90";
        (head.starts_with(b"BZh") && head[3].is_ascii_digit() && is_block).then_some("bzip2")
    };
    match first {
        [0x1f, 0x8b, 8, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some("zstd"),
        _ => bzip2(),
    }
}

/// What comes out of packed bytes; files that were packed apart and joined are read to the end.
#[cfg(feature = "files")]
fn unpacked<'a>(bytes: impl Read + 'a, kind: &str) -> std::io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(Some(match kind {
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        "zstd" => Box::new(zstd::Decoder::new(bytes)?),
        _ => Box::new(bzip2::read::MultiBzDecoder::new(bytes)),
    }))
}

#[cfg(not(feature = "files"))]
fn unpacked<'a>(_: impl Read + 'a, _: &str) -> std::io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(None)
}
