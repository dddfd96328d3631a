//! Size profiles: `K` of them, each the mean of `R` sorted random draws of `n` values, as weights of the ranks.
//!
//! With `E_1..E_{n+1}` independent exponentials and `S_k` their running sums, the `S_k / S_{n+1}` are the order
//! statistics of `n` uniforms. Let `v_k = S_k / S_{n+1}` and `u_k = 1 - v_k`, which falls with `k`. Then
//! `x_k = F^-1(u_k)` are draws of the distribution `F` in falling order, without a sort:
//! ```text
//! weights[k] = mean over the draws of x_k / (sum over j of x_j)
//! ```
//! with `E = -ln U` and `U` from the Philox counter `(rank / 4, draw, stream, Purpose::Sizes)`. The formulas of `F^-1`
//! are at [`Distribution`].
//!
//! Row k takes stream `first_stream + k / profiles_per_stream`. Profiles of one stream are drawn with common random
//! numbers, so the difference between their rows comes from the profiles alone. A search then compares actions with
//! less noise, and the numbers are generated once for up to eight profiles.
//!
//! # Shapes
//! `out` is `[K, n]`. A row depends on its profile, `n`, `R`, the seed and its stream, and on nothing else, so a batch
//! may be split between streams.
//!
//! # Numerics
//! f32. `U` has 23 bits and is never 0 or 1. `u_k` is summed from its own end, never as `1 - v_k`. Draws below 1e-30 of
//! the draw's scale are raised to that. On either device a weight `w` lies within `4e-5 * w + 1e-6 / n` of the formulas
//! in f64, and `4e-5 / n` more for the two normal families, whose quantiles come from a table. Rounding could put a
//! weight an ulp above its neighbour, so each row ends with a running minimum: it never rises, exactly. Each row sums
//! to 1 within 1e-5. The order of every sum is fixed, so a run that is repeated on one device gives the same bits,
//! whatever the number of threads.
//!
//! # Cost
//! `K * R * n` draws. On a GPU the spacings of a stream are generated once, once more for each family, and once more
//! for every eight profiles of it; nothing of size `R * n` is stored. On the CPU they are generated once: two draws a
//! thread are under way, and each holds `4n` bytes, or `8n` where a stream has several profiles. 6 dispatches, and for
//! each family one, and one for each 64 draws.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::sizing::sample::{Distribution, Profile, Sample};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let profiles = [0.5, 8.0].map(|alpha| Profile { distribution: Distribution::PowerLaw, alpha });
//! let mut weights = Buffer::zeroed(&device, 2 * 5)?;
//! Sample {
//!     profiles: &profiles,
//!     entities: 5,
//!     draws: 100,
//!     seed: 1,
//!     first_stream: 0,
//!     profiles_per_stream: 2,
//!     out: &mut weights,
//!     workspace: &mut Buffer::zeroed(&device, Sample::workspace_len(2, 5, 100))?,
//! }
//! .run(&device)?;
//! let weights = weights.read()?; // [2, 5]
//! for row in weights.chunks(5) {
//!     assert!(row.is_sorted_by(|a, b| a >= b) && (row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
//! }
//! assert!(weights[0] > 0.4 && weights[5] < 0.25); // a small shape is steep, a large one nearly even
//! # Ok(()) }
//! ```
//!
//! # Source
//! Qu et al., CIKM 2024, arXiv 2407.15411 (profiles); order statistics by spacings: Devroye, "Non-Uniform Random
//! Variate Generation" (1986), V.3; common random numbers: Glasserman and Yao, "Some guidelines and guarantees for
//! common random numbers", Management Science 38 (1992).

use std::ops::Range;

use crate::Result;
use crate::check;
use crate::device::{Access, Binding, Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::MAX_TRIPS;

pub use super::distribution::{Distribution, Profile};
pub use cpu::{Draws, sample};

mod cpu;

const SCRATCH: &[(u32, Access)] = &[writes(3)];
const SPACINGS: &[(u32, Access)] = SCRATCH;
const DRAWS: &[(u32, Access)] = &[reads(1), reads(2), writes(3), reads(5)];
const AVERAGE: &[(u32, Access)] = &[reads(1), reads(2), writes(3), writes(4), reads(5)];
const MINIMA: &[(u32, Access)] = &[writes(3), writes(4)];

pub(crate) static SHADER: Shader = Shader {
    name: "sizing/sample",
    source: include_str!("../../../shaders/sizing/sample.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("tile_spacings", SPACINGS),
        Entry::of("carries", SCRATCH),
        Entry::of("tile_draws", DRAWS).with_overrides(&["kind", "most"]),
        Entry::of("factors", SCRATCH),
        Entry::of("average", AVERAGE).with_overrides(&["kind", "most"]),
        Entry::of("tile_minima", MINIMA),
        Entry::of("minima", SCRATCH),
        Entry::of("descend", MINIMA),
    ],
};

params! {
    struct Params {
        entities: u32,
        profiles: u32,
        streams: u32,
        draws: u32,
        tiles: u32,
        seed_low: u32,
        seed_high: u32,
        first_stream: u32,
        first_block: u32,
        blocks: u32,
        first_draw: u32,
        last_draw: u32,
    }
}

/// Ranks of a workgroup.
const TILE: u32 = 256 * 8;
/// Profiles of one family and stream whose sums a thread keeps.
const BLOCK: usize = 8;
/// Draws that one dispatch averages.
const WINDOW: u32 = 64;
const _: () = assert!(WINDOW * 16 <= MAX_TRIPS);
/// Least draw, and its logarithm: above the subnormal numbers, which devices treat differently.
const LEAST: f32 = 1e-30;
const LEAST_EXPONENT: f32 = -69.0;

/// Samples size profiles. See the [module](self).
#[derive(Debug)]
pub struct Sample<'a> {
    /// The `K` profiles.
    pub profiles: &'a [Profile],
    /// Entities `n` of each.
    pub entities: u32,
    /// Draws `R` to average, at least 1. The paper takes 100.
    pub draws: u32,
    /// Seed of the random stream.
    pub seed: u64,
    /// Stream of the first profile's random numbers, so that separate calls can draw separate ones.
    pub first_stream: u32,
    /// Neighbouring profiles that share a stream, at least 1. With 1 every profile has its own, with `K` or more all
    /// have the same.
    pub profiles_per_stream: u32,
    /// `K * n` weights; every one is written.
    pub out: &'a mut Buffer<f32>,
    /// At least [`Sample::workspace_len`] values; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<f32>,
}

impl Sample<'_> {
    /// Values of workspace that `profiles` profiles of `entities` with `draws` draws need.
    pub fn workspace_len(profiles: usize, entities: u32, draws: u32) -> usize {
        let each = 3 * tiles(entities) as usize + 3;
        profiles.saturating_mul(draws as usize).saturating_mul(each)
    }
}

/// Tiles of `entities` ranks and one more spacing.
fn tiles(entities: u32) -> u32 {
    entities / TILE + 1
}

impl Kernel for Sample<'_> {
    const NAME: &'static str = "sizing/sample";

    fn check(&self) -> Result<()> {
        check::domain(Self::NAME, "draws", self.draws, self.draws > 0, "at least 1")?;
        check::domain(Self::NAME, "entities", self.entities, self.entities < u32::MAX, "below 2^32 - 1")?;
        let shared = self.profiles_per_stream;
        check::domain(Self::NAME, "profiles_per_stream", shared, shared > 0, "at least 1")?;
        self.profiles.iter().try_for_each(|profile| profile.check(Self::NAME))?;
        check::len(Self::NAME, "out", self.out.len(), self.profiles.len() as u64 * u64::from(self.entities))?;
        if self.out.as_wgpu().is_some() {
            let needed = Self::workspace_len(self.profiles.len(), self.entities, self.draws) as u64;
            check::indexable(Self::NAME, "out", self.out.len() as u64)?;
            check::workspace(Self::NAME, self.workspace.len(), needed)?;
        }
        Ok(())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let batch = Batch::of(self.profiles, self.profiles_per_stream);
        let filled =
            |words: &[u32]| gpu.create_filled(Self::NAME, wgpu::BufferUsages::STORAGE, bytemuck::cast_slice(words));
        let words: Vec<u32> =
            batch.order.iter().flat_map(|&k| self.profiles[k].constants(self.entities).words(k as u32)).collect();
        let profiles = filled(&words)?;
        let all_blocks = filled(batch.blocks.as_flattened())?;
        let tiles = tiles(self.entities);
        let count = self.profiles.len() as u64;
        let streams = count.div_ceil(self.profiles_per_stream.into());
        let mut launch = |entry, groups: u64, constants: &[_], blocks: &Range<usize>, draws: Range<u32>| {
            let bindings = SHADER.entry(entry).bindings.iter().map(|(binding, _)| match binding {
                1 => Binding::whole("profiles", gpu, &profiles),
                2 => Binding::normals(),
                3 => self.workspace.binding("workspace"),
                4 => self.out.binding("out"),
                _ => Binding::whole("blocks", gpu, &all_blocks),
            });
            Launch {
                shader: &SHADER,
                entry,
                codecs: &[],
                constants,
                params: Params {
                    entities: self.entities,
                    profiles: self.profiles.len() as u32,
                    streams: streams as u32,
                    draws: self.draws,
                    tiles,
                    seed_low: self.seed as u32,
                    seed_high: (self.seed >> 32) as u32,
                    first_stream: self.first_stream,
                    first_block: blocks.start as u32,
                    blocks: blocks.len() as u32,
                    first_draw: draws.start,
                    last_draw: draws.end,
                }
                .words(),
                bindings: &bindings.collect::<Vec<_>>(),
                groups,
            }
            .record(gpu, list)
        };
        let (tiles, draws) = (u64::from(tiles), u64::from(self.draws));
        launch("tile_spacings", streams * draws * tiles, &[], &(0..0), 0..0)?;
        launch("carries", streams * draws, &[], &(0..0), 0..0)?;
        for family in &batch.families {
            let groups = family.runs.len() as u64 * draws * tiles;
            launch("tile_draws", groups, &family.constants(), &family.runs, 0..0)?;
        }
        launch("factors", count * draws, &[], &(0..0), 0..0)?;
        for family in &batch.families {
            for first in (0..self.draws).step_by(WINDOW as usize) {
                let window = first..self.draws.min(first.saturating_add(WINDOW));
                let groups = family.blocks.len() as u64 * tiles;
                launch("average", groups, &family.constants(), &family.blocks, window)?;
            }
        }
        launch("tile_minima", count * tiles, &[], &(0..0), 0..0)?;
        launch("minima", count, &[], &(0..0), 0..0)?;
        launch("descend", count * tiles, &[], &(0..0), 0..0)
    }

    fn twin(self) -> Result<()> {
        let Self { entities, draws, seed, first_stream, profiles_per_stream, .. } = self;
        let draws = Draws { entities, draws, seed, first_stream, profiles_per_stream };
        sample(self.profiles, draws, self.out.host_mut(Self::NAME, "out")?);
        Ok(())
    }
}

/// Profiles of a batch by family and stream.
struct Batch {
    /// Their rows.
    order: Vec<usize>,
    /// Those of one family and stream: where they begin among the rows, how many there are, and the stream.
    blocks: Vec<[u32; 3]>,
    families: Vec<Family>,
}

/// The blocks of a family, one for all profiles of a stream; and the same, cut to [`BLOCK`] at most.
struct Family {
    kind: u32,
    most: usize,
    runs: Range<usize>,
    blocks: Range<usize>,
}

impl Family {
    fn constants(&self) -> [(&'static str, f64); 2] {
        [("kind", f64::from(self.kind)), ("most", self.most as f64)]
    }
}

impl Batch {
    fn of(profiles: &[Profile], profiles_per_stream: u32) -> Self {
        let kind = |k: usize| profiles[k].distribution as u32;
        let stream = |k: usize| k as u32 / profiles_per_stream;
        let mut order: Vec<usize> = (0..profiles.len()).collect();
        order.sort_by_key(|&k| (kind(k), stream(k)));
        let (mut blocks, mut families, mut begin) = (Vec::new(), Vec::new(), 0);
        for family in order.chunk_by(|&a, &b| kind(a) == kind(b)) {
            let mut list = |most: usize| {
                let (start, mut first) = (blocks.len(), begin);
                for run in family.chunk_by(|&a, &b| stream(a) == stream(b)) {
                    for block in run.chunks(most) {
                        blocks.push([first, block.len() as u32, stream(block[0])]);
                        first += block.len() as u32;
                    }
                }
                start..blocks.len()
            };
            let (runs, parts) = (list(usize::MAX), list(BLOCK));
            let most = if runs.len() < family.len() { BLOCK } else { 1 };
            families.push(Family { kind: kind(family[0]), most, runs, blocks: parts });
            begin += family.len() as u32;
        }
        Self { order, blocks, families }
    }
}

#[cfg(test)]
mod tests;
