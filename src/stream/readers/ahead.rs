//! Lines that are parsed before their turn, by all threads, and taken in their turn.
//!
//! A *round* is some megabytes of whole lines in *chunks*. Each thread parses a chunk: it splits and checks lines, and
//! looks names up among those that there were before the round. Then the chunks are taken one after the other, and the
//! few names that are new get their ids in the order of the file. So ids are the same for any number of threads.
//!
//! Parsing ahead is a mere attempt. A line that is bad, or that is part of a record of several lines, ends that of its
//! chunk: the record is read in its turn by the reader itself, which knows its line and what to say, and the rest of
//! the chunk is parsed after it. So errors are those of a reader that knows one line at a time.

use std::borrow::Cow;
use std::collections::VecDeque;

use rayon::prelude::*;

use super::fields::Place;
use super::lines::Lines;
use super::rows::{Checks, Rows, Take};
use crate::Result;
use crate::stream::parsed::{Known, Parsed};

/// What parses the lines of a format.
pub(super) trait Parse: Sync {
    /// Takes the record that a text of whole lines begins with, and says how many bytes and lines it has; `None` where
    /// it has to be read in its turn.
    fn record(&self, place: Place<'_>, text: &[u8], rows: &mut Ahead<'_, '_>) -> Option<(usize, u64)>;
}

/// Rows of a chunk.
pub(super) struct Ahead<'r, 'o> {
    pub checks: &'r Checks<'o>,
    pub rows: Known<'r>,
    pub filtered: u64,
}

impl Take for Ahead<'_, '_> {
    fn take<'f>(&mut self, place: Place<'_>, field: impl Fn(usize) -> Result<Cow<'f, [u8]>>) -> Result<()> {
        let Self { checks, rows, filtered } = self;
        let taken = checks.row(place, field, None, |user, item, micros, clicked| {
            let (user, item) = (rows.user(user), rows.item(item));
            if clicked {
                rows.push(user, item, micros)
            } else {
                rows.push_non_click(user, item, micros)
            }
            Ok(())
        })?;
        *filtered += u64::from(taken.is_none());
        Ok(())
    }
}

/// Whole lines by their place in the input.
#[derive(Default)]
struct Chunk {
    /// None once it was taken and something is left of it.
    start: Option<u64>,
    /// Where the first line stands that is not parsed.
    parsed: u64,
    end: u64,
    lines: u64,
    filtered: u64,
    rows: Parsed,
}

impl Chunk {
    fn parse(&mut self, place: Place<'_>, text: &[u8], parse: &impl Parse, rows: &Rows<'_>) {
        let start = self.end - text.len() as u64;
        (self.start, self.lines) = (Some(start), 0);
        let mut ahead = Ahead { checks: &rows.checks, rows: rows.builder.known(&mut self.rows), filtered: 0 };
        let mut at = 0;
        while at < text.len()
            && let Some((bytes, lines)) = parse.record(place, &text[at..], &mut ahead)
        {
            at += bytes;
            self.lines += lines;
        }
        self.filtered = ahead.filtered;
        ahead.rows.finish();
        self.parsed = start + at as u64;
    }
}

/// The chunks of a round that are not yet taken.
#[derive(Default)]
pub(super) struct Rounds {
    chunks: VecDeque<Chunk>,
    /// Chunks whose memory is used again.
    spare: Vec<Chunk>,
}

impl Rounds {
    /// Takes rows that can be parsed ahead, until there is a record that cannot.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit).
    pub fn take(&mut self, lines: &mut Lines<'_>, parse: &impl Parse, rows: &mut Rows<'_>) -> Result<()> {
        lines.end_line()?;
        // What times are is told by the first row, in its turn.
        while rows.checks.clock.told().is_some() {
            let Some(chunk) = self.chunks.front_mut() else {
                if self.begin(lines, parse, rows) { continue } else { break }
            };
            let (place, at) = (lines.place(), lines.feed().position());
            if at < chunk.end && chunk.start != Some(at) {
                chunk.parse(place, lines.feed().text(chunk.end), parse, rows);
            }
            if at < chunk.end {
                rows.builder.append(&mut chunk.rows)?;
                rows.filtered += chunk.filtered;
                lines.pass((chunk.parsed - at) as usize, chunk.lines);
                chunk.start = None;
                if chunk.parsed < chunk.end {
                    break;
                }
            }
            self.spare.extend(self.chunks.pop_front());
        }
        Ok(())
    }

    /// Parses the next round, and reads on meanwhile; `false` where there are no whole lines to parse.
    fn begin(&mut self, lines: &mut Lines<'_>, parse: &impl Parse, rows: &Rows<'_>) -> bool {
        if rows.sizes.most == 0 {
            return false;
        }
        let (size, place) = (rows.sizes.chunk, lines.place());
        let feed = lines.feed();
        let Some(end) = feed.whole_lines() else { return false };
        let mut start = feed.position();
        let (text, source, next) = feed.read_on();
        let mut rest = text;
        let mut texts = Vec::with_capacity(text.len() / size + 1);
        while !rest.is_empty() {
            let line_end = rest.iter().skip(size.max(1) - 1).position(|&byte| byte == b'\n');
            let (chunk, after) = rest.split_at(line_end.map_or(rest.len(), |at| at + size.max(1)));
            start += chunk.len() as u64;
            self.chunks.push_back(Chunk { end: start, ..self.spare.pop().unwrap_or_default() });
            texts.push(chunk);
            rest = after;
        }
        debug_assert_eq!(start, end);
        if let ([text], Some(chunk)) = (&texts[..], self.chunks.front_mut()) {
            chunk.parse(place, text, parse, rows);
            return true;
        }
        let chunks = self.chunks.make_contiguous();
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| {
                chunks
                    .par_iter_mut()
                    .zip(&texts)
                    .with_max_len(1)
                    .for_each(|(chunk, text)| chunk.parse(place, text, parse, rows));
            });
            source.fill_meanwhile(next);
        });
        true
    }
}

/// Parses lines that are records by themselves.
pub(super) fn line(text: &[u8], row: impl FnOnce(&[u8]) -> Result<()>) -> Option<(usize, u64)> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    let line = &text[..end];
    let is_blank = crate::text::blank_prefix(line, None) == line.len();
    if end >= super::lines::LONGEST_RECORD || !(is_blank || row(line).is_ok()) {
        return None;
    }
    Some((end + 1, 1))
}
