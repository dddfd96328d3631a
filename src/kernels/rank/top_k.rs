//! The k best candidates of each query by inner product, over a list that is never dense in memory.
//!
//! `score = b_c + <q, e_c>`, best first, ties to the smaller position. Candidates come tile by tile. Each call merges a
//! tile into the lists that earlier calls left, in any order of tiles, with the same result as one large tile. So a
//! caller holds the queries, one tile and the lists, and never all candidates at full width.
//!
//! # Shapes
//! `queries [U, D]`, `candidates [M, S]` with `S = D`, or `D + 1` with `item_bias` (the bias stands first);
//! `best_scores` and `best_positions` `[U, k]`. Positions count from the whole list's start: the tile's candidate c has
//! `candidate_base + c`. A place that no candidate fills has position u32::MAX and score -inf. A NaN score is never
//! listed; -inf is, after all others. A zero score is stored as +0.
//!
//! Rows of different sizes, padded with zeros, say by [`Ragged`] how wide each is, and each candidate's position. Rows
//! in the order of their width, widest first, then multiply few zeros ([`MultiplyAdds`]), and the lists are the same.
//!
//! # Numerics
//! The bias comes first, then the products in order (possibly fused). Scores that are exact in f32 give the same
//! positions on both devices; others agree within `eps * (D + 2) * (sum of the terms' sizes)`. With widths, no finite
//! score changes a bit: what is not multiplied is a zero. But an infinity in one row beyond the width of another gives
//! NaN where it is multiplied by that zero and nothing where it is not, as the widths of neighbouring rows have it.
//!
//! # Cost
//! A workgroup takes 16 queries (8 for k past 40) through the candidates, 256 (512) at a time, so the candidates are
//! read `U / 16` times. With widths it goes through the dims that both its widest query and the tile's widest candidate
//! have. One dispatch for every few thousand candidates. Fewer than some 4,000 queries would not fill a
//! large GPU. Up to 64 parts of the candidates then get lists of their own, at most 4 MB in addition to the arguments,
//! and a second dispatch joins them.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::rank::top_k::TopK;
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let (mut scores, mut positions) = (Buffer::zeroed(&device, 4)?, Buffer::zeroed(&device, 4)?);
//! TopK {
//!     queries: &Buffer::from_slice(&device, &[1.0, 0.0, 0.0, 1.0])?, // two of two dims
//!     query_count: 2,
//!     candidates: &Buffer::from_slice(&device, &[2.0, 0.0, 0.0, 5.0, 3.0, 1.0])?, // three
//!     candidate_count: 3,
//!     candidate_base: 0,
//!     dims: 2,
//!     item_bias: false,
//!     ragged: None,
//!     excluded_offsets: &Buffer::from_slice(&device, &[0, 1, 1])?, // the first query leaves out the third candidate
//!     excluded: &Buffer::from_slice(&device, &[2])?,
//!     k: 2,
//!     fresh: true,
//!     best_scores: &mut scores,
//!     best_positions: &mut positions,
//! }
//! .run(&device)?;
//! assert_eq!(positions.read()?, [0, 1, 1, 2]); // [2, k]
//! assert_eq!(scores.read()?, [2.0, 0.0, 5.0, 1.0]);
//! # Ok(()) }
//! ```

mod cpu;
mod work;

pub use work::MultiplyAdds;

use crate::check;
use crate::device::{Binding, Buffer, Device, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::MAX_TRIPS;
use crate::{Error, Result};

pub(crate) static SHADER: Shader = Shader {
    name: "rank/top_k",
    source: include_str!("../../../shaders/rank/top_k.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("score", &[reads(1), reads(2), reads(3), reads(4), writes(5), writes(6), reads(9), reads(10)])
            .with_overrides(&["fours", "ragged"]),
        Entry::of("join", &[writes(5), writes(6), reads(7), reads(8)]).with_overrides(&["fours"]),
    ],
};

params! {
    struct Params {
        queries: u32,
        dims: u32,
        stride: u32,
        k: u32,
        base: u32,
        first: u32,
        last: u32,
        span: u32,
        segments: u32,
        fresh: u32,
    }
}

/// The longest list: of a query's 112 places in the shader it leaves some for new candidates.
pub const MAX_K: u32 = 100;

/// The widest query: with it a dispatch still makes several rounds of a tile.
pub const MAX_DIMS: u32 = 8192;

/// Workgroups that fill a large GPU, four for each of some 128 processors.
const MANY_GROUPS: u32 = 512;

/// The most segments: joining this number of lists stays within [`MAX_TRIPS`].
const MAX_SEGMENTS: u32 = 64;

/// Candidates that are worth a list of their own.
const SEGMENT: u32 = 1024;

/// How a workgroup's threads and memory are shared out, as in the shader.
struct Block {
    /// Queries, in fours.
    fours: u32,
    /// Candidates of a tile.
    tile: u32,
    /// Dims of a slice.
    depth: u32,
    /// Places of a query in addition to its list.
    room: u32,
}

impl Block {
    fn of(k: u32) -> Self {
        let fours = if k <= 40 { 4 } else { 2 };
        Self { fours, tile: 1024 / fours, depth: 2 * fours, room: 224 / fours - k }
    }

    /// The most candidates of a segment: whole tiles whose trips are within [`MAX_TRIPS`] even if every candidate
    /// enters the list.
    fn window(&self, dims: u32, excluded: usize) -> u32 {
        let search = excluded.checked_ilog2().map_or(0, |log2| log2 + 1);
        let merges = self.tile.div_ceil(self.room) + 1;
        // Slices, exclusions of a thread's 16 scores, and for each merge: what enters, the search in the list, and what
        // came since.
        let trips = 1 + dims.div_ceil(self.depth) + 16 * (1 + search) + merges * (1 + 16 + 7 + self.room);
        MAX_TRIPS / trips * self.tile
    }
}

/// How wide the rows of a tile are, which are padded with zeros, and where its candidates stand in the whole list.
///
/// The width of a row is how many of its `D` values count, the bias not among them; one past `D` counts as `D`. The
/// values behind it have to be zero. The order of queries and of candidates is free; what a block of them multiplies is
/// as wide as the widest in it ([`MultiplyAdds`]).
///
/// # Example
/// ```
/// use scall_gpu::device::{Buffer, Device, Kernel};
/// use scall_gpu::kernels::rank::top_k::{Ragged, TopK};
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// let (mut scores, mut positions) = (Buffer::zeroed(&device, 2)?, Buffer::zeroed(&device, 2)?);
/// TopK {
///     queries: &Buffer::from_slice(&device, &[1.0, 1.0])?,
///     query_count: 1,
///     candidates: &Buffer::from_slice(&device, &[2.0, 3.0, 4.0, 0.0])?, // the second is [4.0]
///     candidate_count: 2,
///     candidate_base: 10,
///     dims: 2,
///     item_bias: false,
///     ragged: Some(Ragged {
///         query_widths: &Buffer::from_slice(&device, &[2])?,
///         candidates: &Buffer::from_slice(&device, &[7, 2, 3, 1])?, // at 17 with two values, at 13 with one
///     }),
///     excluded_offsets: &Buffer::zeroed(&device, 2)?,
///     excluded: &Buffer::zeroed(&device, 0)?,
///     k: 2,
///     fresh: true,
///     best_scores: &mut scores,
///     best_positions: &mut positions,
/// }
/// .run(&device)?;
/// assert_eq!(positions.read()?, [17, 13]);
/// assert_eq!(scores.read()?, [5.0, 4.0]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Ragged<'a> {
    /// At least `U` widths.
    pub query_widths: &'a Buffer<u32>,
    /// At least `[M, 2]`: of each candidate its position, counted from `candidate_base`, and its width. Positions are
    /// distinct, and below u32::MAX with the base.
    pub candidates: &'a Buffer<u32>,
}

/// Merges a tile of candidates into each query's list. See the [module](self).
#[derive(Debug)]
pub struct TopK<'a> {
    /// At least `query_count * D` values.
    pub queries: &'a Buffer<f32>,
    /// How many of them are queries, `U`.
    pub query_count: u32,
    /// At least `candidate_count * S` values.
    pub candidates: &'a Buffer<f32>,
    /// How many candidates the tile has, `M`.
    pub candidate_count: u32,
    /// Position of the tile's first candidate in the whole list.
    pub candidate_base: u32,
    /// Values of a query, `D`, at most [`MAX_DIMS`].
    pub dims: u32,
    /// True: the first value of a candidate is its bias.
    pub item_bias: bool,
    /// How wide rows are that differ, and where candidates stand. None: all of `D` values, candidate c at
    /// `candidate_base + c`.
    pub ragged: Option<Ragged<'a>>,
    /// At least `U + 1` offsets into `excluded`, monotone, the last at most its length.
    pub excluded_offsets: &'a Buffer<u32>,
    /// POSITIONS in the whole list that a query's list leaves out, ascending for each query.
    pub excluded: &'a Buffer<u32>,
    /// Length of a list, 1 to [`MAX_K`].
    pub k: u32,
    /// True: the lists begin empty. False: as an earlier call left them.
    pub fresh: bool,
    /// At least `U * k` scores, best first.
    pub best_scores: &'a mut Buffer<f32>,
    /// At least `U * k` positions.
    pub best_positions: &'a mut Buffer<u32>,
}

impl TopK<'_> {
    fn stride(&self) -> u32 {
        self.dims + u32::from(self.item_bias)
    }

    pub(crate) fn check_sizes(k: u32, dims: u32) -> Result<()> {
        let op = Self::NAME;
        check::domain(op, "k", k, (1..=MAX_K).contains(&k), "from 1 to 100")?;
        if dims > MAX_DIMS {
            let (allowed, requested) = (MAX_DIMS.into(), dims.into());
            return Err(Error::Limit { op, arg: "dims", limit: "widest query", allowed, requested });
        }
        Ok(())
    }
}

impl Kernel for TopK<'_> {
    const NAME: &'static str = "rank/top_k";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        Self::check_sizes(self.k, self.dims)?;
        let queries = u64::from(self.query_count) * u64::from(self.dims);
        let candidates = u64::from(self.candidate_count) * u64::from(self.stride());
        let best = u64::from(self.query_count) * u64::from(self.k);
        check::indexable(op, "queries", queries)?;
        check::indexable(op, "candidates", candidates)?;
        check::indexable(op, "best_scores", best)?;
        // The last position, u32::MAX, means none.
        check::indexable(op, "candidate_base", u64::from(self.candidate_base) + u64::from(self.candidate_count))?;
        check::at_least(op, "queries", self.queries.len(), queries)?;
        check::at_least(op, "candidates", self.candidates.len(), candidates)?;
        if let Some(ragged) = self.ragged {
            check::at_least(op, "ragged.query_widths", ragged.query_widths.len(), self.query_count.into())?;
            let places = 2 * u64::from(self.candidate_count);
            check::indexable(op, "ragged.candidates", places)?;
            check::at_least(op, "ragged.candidates", ragged.candidates.len(), places)?;
        }
        check::at_least(op, "excluded_offsets", self.excluded_offsets.len(), u64::from(self.query_count) + 1)?;
        check::at_least(op, "best_scores", self.best_scores.len(), best)?;
        check::at_least(op, "best_positions", self.best_positions.len(), best)
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let block = Block::of(self.k);
        let blocks = self.query_count.div_ceil(4 * block.fours);
        let most = self.candidate_count.div_ceil(SEGMENT).clamp(1, MAX_SEGMENTS);
        let segments = (MANY_GROUPS / blocks.max(1)).clamp(1, most);
        let window = block.window(self.dims, self.excluded.len());
        let rounds = self.candidate_count.div_ceil(segments * window).max(1);
        let span = self.candidate_count.div_ceil(segments * rounds).next_multiple_of(block.tile);

        let joins = segments > 1;
        let len = if joins { (segments * self.query_count * self.k) as usize } else { 0 };
        let device = Device::Gpu(gpu.clone());
        let (scores, positions) = (Buffer::<f32>::zeroed(&device, len)?, Buffer::<u32>::zeroed(&device, len)?);
        let of_segments = || [scores.binding("segment_scores"), positions.binding("segment_positions")];
        let best = || [self.best_scores.binding("best_scores"), self.best_positions.binding("best_positions")];
        let constants = &[("fours", f64::from(block.fours))];
        let scoring = &[("fours", f64::from(block.fours)), ("ragged", f64::from(u32::from(self.ragged.is_some())))];
        let offsets = || self.excluded_offsets.binding("excluded_offsets");
        let score = |[scores, positions]: [Binding<'_>; 2], params, groups, list: &mut Dispatches| {
            let bindings = &[
                self.queries.binding("queries"),
                self.candidates.binding("candidates"),
                offsets(),
                self.excluded.binding("excluded"),
                scores,
                positions,
                self.ragged.map_or(offsets().shared(), |ragged| ragged.candidates.binding("ragged.candidates")),
                self.ragged.map_or(offsets().shared(), |ragged| ragged.query_widths.binding("ragged.query_widths")),
            ];
            let constants = scoring;
            Launch { shader: &SHADER, entry: "score", codecs: &[], constants, params, bindings, groups }
                .record(gpu, list)
        };
        let mut first = 0u32;
        loop {
            let last = first.saturating_add(segments * span).min(self.candidate_count);
            let fresh = self.fresh && first == 0;
            let params = |fresh: bool| {
                let (queries, dims, stride) = (self.query_count, self.dims, self.stride());
                let (k, base, fresh) = (self.k, self.candidate_base, u32::from(fresh));
                Params { queries, dims, stride, k, base, first, last, span, segments, fresh }.words()
            };
            if joins {
                // No groups: only what the caller bound is checked, all of it together.
                score(best(), params(fresh), 0, list)?;
                score(of_segments(), params(true), u64::from(blocks * segments), list)?;
                let ([scores, positions], [of_scores, of_positions]) = (best(), of_segments());
                let (params, bindings) = (params(fresh), &[scores, positions, of_scores, of_positions]);
                let groups = blocks.into();
                Launch { shader: &SHADER, entry: "join", codecs: &[], constants, params, bindings, groups }
                    .record(gpu, list)?;
            } else {
                score(best(), params(fresh), blocks.into(), list)?;
            }
            first = last;
            // An empty tile still empties fresh lists.
            if first == self.candidate_count {
                return Ok(());
            }
        }
    }

    fn twin(self) -> Result<()> {
        let op = Self::NAME;
        let tile = cpu::Tile {
            queries: self.queries.host(op, "queries")?,
            candidates: self.candidates.host(op, "candidates")?,
            candidate_count: self.candidate_count as usize,
            candidate_base: self.candidate_base,
            dims: self.dims as usize,
            bias: usize::from(self.item_bias),
            ragged: match self.ragged {
                None => None,
                Some(Ragged { query_widths, candidates }) => Some(cpu::HostRagged {
                    query_widths: query_widths.host(op, "ragged.query_widths")?,
                    candidates: candidates.host(op, "ragged.candidates")?.as_chunks().0,
                }),
            },
            excluded_offsets: self.excluded_offsets.host(op, "excluded_offsets")?,
            excluded: self.excluded.host(op, "excluded")?,
            k: self.k as usize,
            fresh: self.fresh,
        };
        check::offsets(op, "excluded_offsets", tile.excluded_offsets, tile.excluded.len())?;
        let len = self.query_count as usize * self.k as usize;
        let scores = &mut self.best_scores.host_mut(op, "best_scores")?[..len];
        let positions = &mut self.best_positions.host_mut(op, "best_positions")?[..len];
        tile.merge(scores, positions)
    }
}

#[cfg(test)]
mod tests;
