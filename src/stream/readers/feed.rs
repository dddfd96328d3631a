//! The bytes of an input in two buffers: whole lines that are at hand, and what is read meanwhile.

use std::io::{self, BufRead, BufReader, Read};

/// How much is read and parsed at once, in bytes. What is read does not depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The first bytes that are read together. They double as long as there are more.
    pub first: usize,
    /// The most.
    pub most: usize,
    /// Whole lines that one thread parses.
    pub chunk: usize,
}

impl Default for Sizes {
    /// Large enough that threads seldom wait for one another, small next to the rows of any file that is large.
    fn default() -> Self {
        Self { first: 1 << 16, most: 1 << 21, chunk: 1 << 16 }
    }
}

/// Bytes that are asked for at a time.
const PART: usize = 1 << 16;

/// An input of which whole lines can be looked at before they are read.
pub(super) struct Feed<'a> {
    source: Source<'a>,
    /// Bytes at hand, read up to `at`. They begin at byte `base` of the input.
    now: Vec<u8>,
    at: usize,
    base: u64,
    /// The bytes after them.
    next: Vec<u8>,
}

/// Where bytes come from.
pub(super) struct Source<'a> {
    input: BufReader<Box<dyn Read + 'a>>,
    sizes: Sizes,
    /// Whether the input may pause, as a pipe does. Then lines that came are not held back until more do.
    is_live: bool,
    /// Whether it came to less than was asked for.
    is_short: bool,
    ended: bool,
    /// What is said after the bytes before it.
    broken: Option<io::Error>,
}

impl Source<'_> {
    /// Adds bytes up to the number that is read at once, or until a live input pauses.
    pub fn fill(&mut self, bytes: &mut Vec<u8>) {
        bytes.reserve_exact(self.sizes.first.saturating_sub(bytes.len()));
        while !self.ended && bytes.len() < self.sizes.first {
            if self.is_live && self.is_short && bytes.contains(&b'\n') {
                break;
            }
            if let Err(error) = self.add(bytes) {
                (self.broken, self.ended) = (Some(error), true);
            }
        }
    }

    /// The same while other threads work on lines before; nothing where that could hold those back.
    pub fn fill_meanwhile(&mut self, bytes: &mut Vec<u8>) {
        if !(self.is_live && self.is_short) {
            self.fill(bytes);
        }
    }

    /// Adds what comes first, as much as there is.
    fn add(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let part = loop {
            match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                part => break part?,
            }
        };
        let count = part.len();
        bytes.extend_from_slice(part);
        self.input.consume(count);
        (self.is_short, self.ended) = (count < PART, self.ended || count == 0);
        Ok(())
    }
}

impl<'a> Feed<'a> {
    pub fn new(input: Box<dyn Read + 'a>, is_live: bool, sizes: Sizes) -> Self {
        let input = BufReader::with_capacity(PART, input);
        let source = Source { input, sizes, is_live, is_short: false, ended: false, broken: None };
        Self { source, now: Vec::new(), at: 0, base: 0, next: Vec::new() }
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Bytes at hand from the next one on, up to a position that whole lines had.
    pub fn text(&self, end: u64) -> &[u8] {
        &self.now[self.at..(end - self.base) as usize]
    }

    /// Brings whole lines to hand, if the next bytes are such, and says where they end.
    pub fn whole_lines(&mut self) -> Option<u64> {
        self.turn();
        if !self.now[self.at..].contains(&b'\n') {
            self.drop_read();
            self.source.fill(&mut self.now);
        }
        let end = self.at + self.now[self.at..].iter().rposition(|&byte| byte == b'\n')? + 1;
        self.next.extend_from_slice(&self.now[end..]);
        self.now.truncate(end);
        Some(self.base + end as u64)
    }

    /// The whole lines at hand, and what reads on meanwhile. More is read at once from now on.
    pub fn read_on(&mut self) -> (&[u8], &mut Source<'a>, &mut Vec<u8>) {
        let sizes = &mut self.source.sizes;
        sizes.first = (2 * sizes.first).min(sizes.most);
        (&self.now[self.at..], &mut self.source, &mut self.next)
    }

    /// Goes on to the bytes that were read meanwhile.
    fn turn(&mut self) {
        if self.at == self.now.len() && !self.next.is_empty() {
            self.base += self.at as u64;
            self.at = 0;
            self.now.clear();
            std::mem::swap(&mut self.now, &mut self.next);
        }
    }

    fn drop_read(&mut self) {
        self.now.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
    }
}

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Feed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.turn();
        if self.at == self.now.len() {
            self.drop_read();
            self.source.add(&mut self.now)?;
        }
        Ok(&self.now[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}
