//! Training triples drawn from a log of interactions, with negatives from the same time: a row of the log, and the item
//! of another row nearby that its user never touched.
//!
//! Triple `b` of step `s` takes the words `philox((b, s, k, Purpose::LogTriples), seed)`. Word 0 of `k = 0` picks one
//! of the n rows, which gives the user and the positive. The other words of `k = 0` and those of `k = 1`, in order,
//! each pick one of the rows at most `window` before or after it. The first of these whose item the user never touched
//! gives the negative.
//!
//! Why from the same time: the number of an item's rows nearby is its popularity at that time. So positives and
//! negatives are equally popular, at any time, and what is left to learn is taste. Popularity moves, and can be counted
//! instead of learned.
//!
//! # Shapes
//! `triples` is three blocks of `batch` ids a step: users, positives, negatives. Only `count` triples of each step are
//! written, those from `first` on: other kernels may draw the rest of the batch. A negative is u32::MAX when the user
//! touched the items of all seven tries; [`Bpr`](super::bpr::Bpr) skips such triples.
//!
//! # Numerics
//! Integers, the same on both devices. The chance of an index below n is off uniform by less than `n / 2^32` of itself.
//!
//! # Cost
//! One dispatch with one thread a triple. A thread makes at most seven searches, each of `log2(h)` dependent reads for
//! a user who touched h items, and writes 12 bytes.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::rank::log_triples::SampleLogTriples;
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut triples = Buffer::zeroed(&device, 3 * 4)?;
//! SampleLogTriples {
//!     users: &Buffer::from_slice(&device, &[0, 1, 1, 0])?, // four rows: (0, 0), (1, 1), (1, 2), (0, 2)
//!     items: &Buffer::from_slice(&device, &[0, 1, 2, 2])?,
//!     touched_offsets: &Buffer::from_slice(&device, &[0, 2, 4])?, // user 0 touched 0 and 2, user 1 touched 1 and 2
//!     touched: &Buffer::from_slice(&device, &[0, 2, 1, 2])?,
//!     window: 3,
//!     step: 0,
//!     steps: 1,
//!     seed: 7,
//!     batch: 4,
//!     first: 0,
//!     count: 4,
//!     triples: &mut triples,
//! }
//! .run(&device)?;
//! let triples = triples.read()?; // [3, 4]
//! let (users, (positives, negatives)) = (&triples[..4], triples[4..].split_at(4));
//! for b in 0..4 {
//!     assert!([(0, 0), (1, 1), (1, 2), (0, 2)].contains(&(users[b], positives[b])));
//!     assert!([1 - users[b], u32::MAX].contains(&negatives[b])); // item 1 for user 0, item 0 for user 1, or none
//! }
//! # Ok(()) }
//! ```
//!
//! Source: ours; sampling negatives by popularity goes back to Mikolov et al., "Distributed representations of words
//! and phrases and their compositionality", NIPS 2013.

use super::draw::{Draw, DrawParams, Part, Slice, WORKGROUP, check_triples, draw_changes, draw_parts};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Changes, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::rng::{BLOCKS, Purpose, below, key, philox_blocks};

pub(crate) static SHADER: Shader = Shader {
    name: "rank/log_triples",
    source: include_str!("../../../shaders/rank/log_triples.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry::of("sample", &[reads(1), reads(2), reads(3), reads(4), writes(5)]).with_threads(WORKGROUP)],
};

params! {
    struct Params {
        draw: DrawParams,
        rows: u32,
        users: u32,
        window: u32,
    }
}

/// Draws a batch of triples. See the [module](self).
#[derive(Debug)]
pub struct SampleLogTriples<'a> {
    /// The user of each of the n rows, at least one, in time order.
    pub users: &'a Buffer<u32>,
    /// The item of each row.
    pub items: &'a Buffer<u32>,
    /// `nu + 1` offsets into `touched`, by user id; monotone, the last at most its length. A user past them touched
    /// nothing.
    pub touched_offsets: &'a Buffer<u32>,
    /// Item ids that each user ever touched, ascending within a user.
    pub touched: &'a Buffer<u32>,
    /// How many rows before and after the positive's a negative may come from, at least 1.
    pub window: u32,
    /// Training step: every step draws other triples.
    pub step: u32,
    /// How many steps' triples are drawn, from that one on: one, or more ahead.
    pub steps: u32,
    /// Seed of the stream.
    pub seed: u64,
    /// Triples of a step.
    pub batch: u32,
    /// The first triple of each step that is drawn: 0, or more where another kernel draws those before.
    pub first: u32,
    /// How many are drawn from that one on; `first + count` is at most `batch`.
    pub count: u32,
    /// `3 * batch` ids a step. Those of other triples than the `count` ones stay as they are.
    pub triples: &'a mut Buffer<u32>,
}

impl SampleLogTriples<'_> {
    fn draw(&self) -> Draw {
        let &Self { batch, first, count, steps, step, seed, .. } = self;
        Draw { batch, slice: Slice { first, count }, steps, step, seed, purpose: Purpose::LogTriples }
    }
}

impl Kernel for SampleLogTriples<'_> {
    const NAME: &'static str = "rank/log_triples";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        check::at_least(op, "users", self.users.len(), 1)?;
        check::indexable(op, "users", self.users.len() as u64)?;
        check::len(op, "items", self.items.len(), self.users.len() as u64)?;
        check::domain(op, "window", self.window, self.window > 0, "at least 1")?;
        check::rows(op, "touched_offsets", self.touched_offsets.len())?;
        check_triples(op, self.triples, self.draw())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let draw = self.draw();
        Launch {
            shader: &SHADER,
            entry: "sample",
            codecs: &[],
            constants: &[],
            params: Params {
                draw: draw.params(),
                rows: self.users.len() as u32,
                users: self.touched_offsets.len() as u32 - 1,
                window: self.window,
            }
            .words(),
            bindings: &[
                self.users.binding("users"),
                self.items.binding("items"),
                self.touched_offsets.binding("touched_offsets"),
                self.touched.binding("touched"),
                self.triples.binding("triples"),
            ],
            groups: draw.groups(),
        }
        .record(gpu, list)
    }

    fn changes(&self) -> Changes {
        draw_changes()
    }

    fn twin(self) -> Result<()> {
        let op = Self::NAME;
        let (users, items) = (self.users.host(op, "users")?, self.items.host(op, "items")?);
        let offsets = self.touched_offsets.host(op, "touched_offsets")?;
        let touched = self.touched.host(op, "touched")?;
        let log = Log { users, items, offsets, touched, window: self.window, key: key(self.seed) };
        let draw = self.draw();
        draw_parts(op, self.triples, draw, |part| {
            let Part { step, mut first, users, positives, negatives } = part;
            let (users, positives) = (users.chunks_mut(GROUP), positives.chunks_mut(GROUP));
            for ((users, positives), negatives) in users.zip(positives).zip(negatives.chunks_mut(GROUP)) {
                log.draw(Part { step, first, users, positives, negatives })?;
                first += GROUP as u32;
            }
            Ok(())
        })
    }
}

/// Triples that are drawn together, step by step, since each step waits for memory.
const GROUP: usize = BLOCKS;

/// The log on the host.
struct Log<'a> {
    users: &'a [u32],
    items: &'a [u32],
    offsets: &'a [u32],
    touched: &'a [u32],
    window: u32,
    key: [u32; 2],
}

impl Log<'_> {
    /// Draws at most a group of triples.
    fn draw(&self, Part { step, first, users, positives, negatives }: Part<'_>) -> Result<()> {
        let rows = self.users.len() as u32;
        let constant = |word| [word; GROUP];
        let words = |k| {
            let numbers = std::array::from_fn(|b| first.wrapping_add(b as u32));
            philox_blocks([numbers, constant(step), constant(k), constant(Purpose::LogTriples as u32)], self.key)
        };
        let nearby = |row: u32, word: u32| {
            let (low, high) = (row.saturating_sub(self.window), row.saturating_add(self.window).min(rows - 1));
            self.items[(low + below(word, high - low + 1)) as usize]
        };
        let [picked, tries @ ..] = words(0);
        let picked = picked.map(|word| below(word, rows));
        for ((user, positive), &row) in users.iter_mut().zip(positives).zip(&picked) {
            (*user, *positive) = (self.users[row as usize], self.items[row as usize]);
        }
        let (mut histories, mut candidates): ([&[u32]; GROUP], _) = ([&[]; GROUP], [0; GROUP]);
        for (b, &user) in users.iter().enumerate() {
            histories[b] = self.history(user)?;
            candidates[b] = nearby(picked[b], tries[0][b]);
        }
        let mut more = None;
        for (b, negative) in negatives.iter_mut().enumerate() {
            let untouched = |item: &u32| histories[b].binary_search(item).is_err();
            let of_word = |words: &[u32; GROUP]| nearby(picked[b], words[b]);
            let found = std::iter::once(candidates[b]).chain(tries[1..].iter().map(of_word)).find(untouched);
            // Most triples never need the second block.
            let found = found.or_else(|| more.get_or_insert_with(|| words(1)).iter().map(of_word).find(untouched));
            *negative = found.unwrap_or(u32::MAX);
        }
        Ok(())
    }

    /// The items that a user touched.
    fn history(&self, user: u32) -> Result<&[u32]> {
        // A user past the offsets touched nothing.
        if user as usize >= self.offsets.len() - 1 {
            return Ok(&[]);
        }
        check::stretch(SampleLogTriples::NAME, "touched_offsets", self.offsets, user as usize, self.touched)
    }
}

#[cfg(test)]
mod tests;
