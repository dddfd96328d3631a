//! Training triples drawn from feedback blocks: a click, and a non-click of the run that the same user turned down just
//! before.
//!
//! Triple `b` of step `s` takes the words `philox((b, s, 0, Purpose::Blocks), seed)`. Word 0 picks one of the K blocks,
//! word 1 one of its clicks P, and word 2 one of its non-clicks N. The loss of a triple with these is, in expectation,
//! the mean over blocks of
//! ```text
//! 1 / (|P| |N|) * sum over p in P, n in N of softplus(s_n - s_p)
//! ```
//! so each block weighs the same, however long it is: in SAROS each is one step.
//! [`Blocks`](crate::stream::Blocks) makes blocks of a stream.
//!
//! # Shapes
//! `triples` is three blocks of `batch` ids a step: users, positives, negatives. Only `count` triples of each step are
//! written, those from `first` on: other kernels may draw the rest of the batch. An empty side gives u32::MAX;
//! [`Bpr`](super::bpr::Bpr) skips such triples.
//!
//! # Numerics
//! Integers, the same on both devices. The chance of an index below n is off uniform by less than `n / 2^32` of itself.
//!
//! # Cost
//! One dispatch with one thread a triple, which reads 28 bytes and writes 12.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::rank::block_triples::SampleBlockTriples;
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut triples = Buffer::from_slice(&device, &[7; 3 * 4])?;
//! SampleBlockTriples {
//!     users: &Buffer::from_slice(&device, &[5, 6])?,
//!     positive_offsets: &Buffer::from_slice(&device, &[0, 1, 3])?, // user 5 took 0, user 6 took 1 and 2,
//!     positives: &Buffer::from_slice(&device, &[0, 1, 2])?,
//!     negative_offsets: &Buffer::from_slice(&device, &[0, 2, 3])?, // after 8 and 9, and after 0
//!     negatives: &Buffer::from_slice(&device, &[8, 9, 0])?,
//!     step: 0,
//!     steps: 1,
//!     seed: 7,
//!     batch: 4,
//!     first: 1,
//!     count: 3,
//!     triples: &mut triples,
//! }
//! .run(&device)?;
//! let triples = triples.read()?; // [3, 4]
//! let (users, (positives, negatives)) = (&triples[..4], triples[4..].split_at(4));
//! assert_eq!((users[0], positives[0], negatives[0]), (7, 7, 7)); // another kernel's
//! for b in 1..4 {
//!     let of_block = if users[b] == 5 { [(0, 8), (0, 9)] } else { [(1, 0), (2, 0)] };
//!     assert!(of_block.contains(&(positives[b], negatives[b])));
//! }
//! # Ok(()) }
//! ```
//!
//! Source: Burashnikova et al., "Learning over no-preferred and preferred sequence of items for robust recommendation"
//! (SAROS), JAIR 71, 2021. *Ours:* a batch draws pairs of blocks at random; there a step takes all pairs of one block,
//! blocks in the order of time.

use super::draw::{Draw, DrawParams, Part, Slice, WORKGROUP, check_triples, draw_changes, draw_parts};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Changes, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::rng::{Purpose, below, key, philox};

pub(crate) static SHADER: Shader = Shader {
    name: "rank/block_triples",
    source: include_str!("../../../shaders/rank/block_triples.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("sample", &[reads(1), reads(2), reads(3), reads(4), reads(5), writes(6)]).with_threads(WORKGROUP)
    ],
};

params! {
    struct Params {
        draw: DrawParams,
        blocks: u32,
    }
}

/// Draws a part of a batch of triples. See the [module](self).
#[derive(Debug)]
pub struct SampleBlockTriples<'a> {
    /// The user of each of the K blocks, at least one.
    pub users: &'a Buffer<u32>,
    /// `K + 1` offsets into the positives; monotone, the last at most their length.
    pub positive_offsets: &'a Buffer<u32>,
    /// Item ids of the clicks. One that stands twice in a block is drawn twice as often.
    pub positives: &'a Buffer<u32>,
    /// `K + 1` offsets into the negatives; monotone, the last at most their length.
    pub negative_offsets: &'a Buffer<u32>,
    /// Item ids of the non-clicks, as those of the clicks.
    pub negatives: &'a Buffer<u32>,
    /// Training step: every step draws other triples.
    pub step: u32,
    /// How many steps' triples are drawn, from that one on: one, or more ahead.
    pub steps: u32,
    /// Seed of the stream.
    pub seed: u64,
    /// Triples of a step.
    pub batch: u32,
    /// The first triple of each step that is drawn.
    pub first: u32,
    /// How many are drawn from that one on; `first + count` is at most `batch`.
    pub count: u32,
    /// `3 * batch` ids a step. Those of other triples than the `count` ones stay as they are.
    pub triples: &'a mut Buffer<u32>,
}

impl SampleBlockTriples<'_> {
    fn draw(&self) -> Draw {
        let &Self { batch, first, count, steps, step, seed, .. } = self;
        Draw { batch, slice: Slice { first, count }, steps, step, seed, purpose: Purpose::Blocks }
    }
}

impl Kernel for SampleBlockTriples<'_> {
    const NAME: &'static str = "rank/block_triples";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        check::at_least(op, "users", self.users.len(), 1)?;
        let rows = self.users.len() as u64 + 1;
        check::indexable(op, "users", rows)?;
        check::len(op, "positive_offsets", self.positive_offsets.len(), rows)?;
        check::len(op, "negative_offsets", self.negative_offsets.len(), rows)?;
        check_triples(op, self.triples, self.draw())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let draw = self.draw();
        Launch {
            shader: &SHADER,
            entry: "sample",
            codecs: &[],
            constants: &[],
            params: Params { draw: draw.params(), blocks: self.users.len() as u32 }.words(),
            bindings: &[
                self.users.binding("users"),
                self.positive_offsets.binding("positive_offsets"),
                self.positives.binding("positives"),
                self.negative_offsets.binding("negative_offsets"),
                self.negatives.binding("negatives"),
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
        let users = self.users.host(op, "users")?;
        let positive_offsets = self.positive_offsets.host(op, "positive_offsets")?;
        let positives = self.positives.host(op, "positives")?;
        let negative_offsets = self.negative_offsets.host(op, "negative_offsets")?;
        let negatives = self.negatives.host(op, "negatives")?;
        let key = key(self.seed);
        let draw_one = |step: u32, b: u32| -> Result<[u32; 3]> {
            let words = philox([b, step, 0, Purpose::Blocks as u32], key);
            let block = below(words[0], users.len() as u32) as usize;
            let clicks = check::stretch(op, "positive_offsets", positive_offsets, block, positives)?;
            let others = check::stretch(op, "negative_offsets", negative_offsets, block, negatives)?;
            let pick = |of: &[u32], word| of.get(below(word, of.len() as u32) as usize).copied().unwrap_or(u32::MAX);
            Ok([users[block], pick(clicks, words[1]), pick(others, words[2])])
        };
        let draw = self.draw();
        draw_parts(op, self.triples, draw, |Part { step, first, users, positives, negatives }| {
            for (b, ((user, positive), negative)) in (first..).zip(users.iter_mut().zip(positives).zip(negatives)) {
                [*user, *positive, *negative] = draw_one(step, b)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
