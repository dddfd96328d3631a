//! Training triples drawn on the device: a user, one of the user's positives, a negative the user never touched.
//!
//! Triple `b` of step `s` takes the words `philox((b, s, 0, Purpose::Triples), seed)`. Word 0 picks a user of the list,
//! and word 1 one of that user's positives. Word 2 picks the r-th of the `m - h` items that the user, who touched h of
//! the m items, did not touch. With touched positions `t_0 < t_1 < ..` that item stands at `r + #{i : t_i - i <= r}`,
//! which is found by bisection, since `t_i - i` does not fall.
//!
//! Why not draw until an untouched item comes: a user who touched nearly everything would need thousands of tries. A
//! bound on them would bias the draw or end in a scan, and neighbouring threads would wait. Here every user takes one
//! draw, and it is uniform.
//!
//! # Shapes
//! `triples` is three blocks of `batch` ids a step: users, positives, negatives. u32::MAX stands for a positive when
//! the user has none, and for a negative when the user touched every item; [`Bpr`](super::bpr::Bpr) skips such triples.
//!
//! # Numerics
//! Integers, the same on both devices. The chance of an index below n is off uniform by less than `n / 2^32` of itself.
//!
//! # Cost
//! One dispatch with one thread a triple. A thread makes `log2(h)` dependent reads and writes 12 bytes.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::rank::triples::SampleTriples;
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut triples = Buffer::zeroed(&device, 3 * 4)?;
//! SampleTriples {
//!     users: &Buffer::from_slice(&device, &[0, 1])?,
//!     positive_offsets: &Buffer::from_slice(&device, &[0, 1, 2])?, // user 0 took item 5, user 1 item 6
//!     positives: &Buffer::from_slice(&device, &[5, 6])?,
//!     items: &Buffer::from_slice(&device, &[5, 6, 7])?,
//!     touched_offsets: &Buffer::from_slice(&device, &[0, 1, 3])?, // positions: user 0 touched 5, user 1 both
//!     touched: &Buffer::from_slice(&device, &[0, 0, 1])?,
//!     step: 0,
//!     steps: 1,
//!     seed: 7,
//!     batch: 4,
//!     triples: &mut triples,
//! }
//! .run(&device)?;
//! let triples = triples.read()?; // [3, 4]
//! let (users, (positives, negatives)) = (&triples[..4], triples[4..].split_at(4));
//! for b in 0..4 {
//!     assert_eq!(positives[b], 5 + users[b]);
//!     assert!(if users[b] == 0 { [6, 7].contains(&negatives[b]) } else { negatives[b] == 7 });
//! }
//! # Ok(()) }
//! ```

use super::draw::{Draw, DrawParams, Part, Slice, WORKGROUP, check_triples, draw_changes, draw_parts};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Changes, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::rng::{Purpose, below, key, philox};

pub(crate) static SHADER: Shader = Shader {
    name: "rank/triples",
    source: include_str!("../../../shaders/rank/triples.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry::of("sample", &[reads(1), reads(2), reads(3), reads(4), reads(5), reads(6), writes(7)])
        .with_threads(WORKGROUP)],
};

params! {
    struct Params {
        draw: DrawParams,
        users: u32,
        items: u32,
    }
}

/// Draws a batch of triples. See the [module](self).
#[derive(Debug)]
pub struct SampleTriples<'a> {
    /// Ids of the `nu` users to draw from, at least one.
    pub users: &'a Buffer<u32>,
    /// `nu + 1` offsets into the positives, row i for `users[i]`; monotone, the last at most their length.
    pub positive_offsets: &'a Buffer<u32>,
    /// Item ids. One that stands twice is drawn twice as often.
    pub positives: &'a Buffer<u32>,
    /// Ids of the items to draw negatives from, at least one, distinct.
    pub items: &'a Buffer<u32>,
    /// `nu + 1` offsets into `touched`, row i for `users[i]`; monotone, the last at most its length.
    pub touched_offsets: &'a Buffer<u32>,
    /// POSITIONS in `items` of what each user ever touched, ascending and distinct within a row.
    pub touched: &'a Buffer<u32>,
    /// Training step: every step draws other triples.
    pub step: u32,
    /// How many steps' triples are drawn, from that one on: one, or more ahead.
    pub steps: u32,
    /// Seed of the stream.
    pub seed: u64,
    /// Triples to draw a step.
    pub batch: u32,
    /// `3 * batch` ids a step; every one is written.
    pub triples: &'a mut Buffer<u32>,
}

impl SampleTriples<'_> {
    fn draw(&self) -> Draw {
        let &Self { batch, steps, step, seed, .. } = self;
        Draw { batch, slice: Slice::all(batch), steps, step, seed, purpose: Purpose::Triples }
    }
}

impl Kernel for SampleTriples<'_> {
    const NAME: &'static str = "rank/triples";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        check::at_least(op, "users", self.users.len(), 1)?;
        check::at_least(op, "items", self.items.len(), 1)?;
        let rows = self.users.len() as u64 + 1;
        check::indexable(op, "users", rows)?;
        check::indexable(op, "items", self.items.len() as u64)?;
        check::len(op, "positive_offsets", self.positive_offsets.len(), rows)?;
        check::len(op, "touched_offsets", self.touched_offsets.len(), rows)?;
        check_triples(op, self.triples, self.draw())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let draw = self.draw();
        Launch {
            shader: &SHADER,
            entry: "sample",
            codecs: &[],
            constants: &[],
            params: Params { draw: draw.params(), users: self.users.len() as u32, items: self.items.len() as u32 }
                .words(),
            bindings: &[
                self.users.binding("users"),
                self.positive_offsets.binding("positive_offsets"),
                self.positives.binding("positives"),
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
        let positive_offsets = self.positive_offsets.host(op, "positive_offsets")?;
        let positives = self.positives.host(op, "positives")?;
        let touched_offsets = self.touched_offsets.host(op, "touched_offsets")?;
        let touched = self.touched.host(op, "touched")?;
        let key = key(self.seed);
        let draw_one = |step: u32, b: u32| -> Result<[u32; 3]> {
            let words = philox([b, step, 0, Purpose::Triples as u32], key);
            let slot = below(words[0], users.len() as u32) as usize;
            let positives = check::stretch(op, "positive_offsets", positive_offsets, slot, positives)?;
            let positive = positives.get(below(words[1], positives.len() as u32) as usize);
            let touched = check::stretch(op, "touched_offsets", touched_offsets, slot, touched)?;
            let negative = untouched(touched, items.len() as u32, words[2]).map(|position| items[position as usize]);
            Ok([users[slot], positive.copied().unwrap_or(u32::MAX), negative.unwrap_or(u32::MAX)])
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

/// The position that `word` picks among the untouched ones of `items`, or none when all are touched.
fn untouched(touched: &[u32], items: u32, word: u32) -> Option<u32> {
    let free = items.checked_sub(touched.len() as u32).filter(|free| *free > 0)?;
    let r = below(word, free);
    let (mut low, mut high) = (0, touched.len() as u32);
    while low < high {
        let middle = (low + high) / 2;
        if touched[middle as usize] - middle <= r {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Some(r + low)
}

#[cfg(test)]
mod tests;
