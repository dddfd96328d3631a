//! Numbers to and from files, a piece at a time, with a checksum of all of them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::file::atomic::Pending;
use crate::{Error, Result};

/// Bytes that are on their way at once: a multiple of every number's.
const PIECE: usize = 256 * 1024;

/// FNV-1a over 32-bit words, the last of a stretch filled with zeros. Catches damage, not malice: each step is a
/// bijection, so one word that differs is always seen.
struct Checksum(u64);

impl Checksum {
    fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        for &word in words.iter().chain((!rest.is_empty()).then_some(&last)) {
            self.0 = (self.0 ^ u64::from(u32::from_le_bytes(word))).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// Low word, high word.
    fn words(&self) -> [u32; 2] {
        [self.0 as u32, (self.0 >> 32) as u32]
    }
}

/// A file that is being written.
pub(super) struct Writer<'a> {
    file: &'a mut Pending,
    sum: Checksum,
    piece: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub fn new(file: &'a mut Pending) -> Self {
        Self { file, sum: Checksum::new(), piece: vec![0; PIECE] }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.sum.add(bytes);
        self.file.put(bytes)
    }

    pub fn numbers<T: Copy, const N: usize>(&mut self, numbers: &[T], bytes: fn(T) -> [u8; N]) -> Result<()> {
        for numbers in numbers.chunks(PIECE / N) {
            let piece = &mut self.piece[..numbers.len() * N];
            piece.as_chunks_mut().0.iter_mut().zip(numbers).for_each(|(to, &number)| *to = bytes(number));
            self.sum.add(piece);
            self.file.put(piece)?;
        }
        Ok(())
    }

    /// Of all that was written.
    pub fn checksum(&self) -> [u32; 2] {
        self.sum.words()
    }
}

/// A file that is being read.
pub(super) struct Reader<'a> {
    path: &'a Path,
    file: File,
    /// Bytes not read yet.
    left: u64,
    sum: Checksum,
    piece: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub fn open(path: &'a Path) -> Result<Self> {
        let failed = |source| Error::Io { file: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let left = file.metadata().map_err(failed)?.len();
        Ok(Self { path, file, left, sum: Checksum::new(), piece: vec![0; PIECE] })
    }

    /// Bytes that were not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next `len` bytes; at most those that are [`left`](Self::left).
    pub fn bytes(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `len` numbers; at most those that are [`left`](Self::left).
    pub fn numbers<T, const N: usize>(&mut self, len: usize, of: fn([u8; N]) -> T) -> Result<Vec<T>> {
        let mut numbers = Vec::with_capacity(len);
        let mut piece = std::mem::take(&mut self.piece);
        while numbers.len() < len {
            let piece = &mut piece[..N * (len - numbers.len()).min(PIECE / N)];
            self.fill(piece)?;
            numbers.extend(piece.as_chunks().0.iter().map(|&bytes| of(bytes)));
        }
        self.piece = piece;
        Ok(numbers)
    }

    /// Of all that was read.
    pub fn checksum(&self) -> [u32; 2] {
        self.sum.words()
    }

    /// An error that names the file. What is found may come from it, so it is cut and made printable.
    pub fn bad(&self, expected: &str, found: &str) -> Error {
        let found = found.chars().take(160).flat_map(char::escape_debug).collect();
        Error::BadFile { file: self.path.to_owned(), expected: expected.to_owned(), found }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|source| Error::Io { file: self.path.to_owned(), source })?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.sum.add(bytes);
        Ok(())
    }
}
