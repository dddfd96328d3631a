//! Size profiles: `K` of them, each the mean of `R` sorted random draws of `n` values, as weights of the ranks.
//!
//! With `E_1..E_{n+1}` independent exponentials and `S_k` their running sums, the `S_k / S_{n+1}` are the order
//! statistics of `n` uniforms. Let `v_k = S_k / S_{n+1}` and `u_k = 1 - v_k`, which falls with `k`. Then
//! `x_k = F^-1(u_k)` are draws of the distribution `F` in falling order, without a sort:
//! ```text
//! weights[k] = mean over the draws of x_k / (sum over j of x_j)
//! ```
//! with `E = -ln U` and `U` from the Philox counter `(rank / 4, draw, action, Purpose::Sizes)`. The formulas of `F^-1`
//! stand at [`Distribution`].
//!
//! # Shapes
//! `out` is `[K, n]`; row `k` is a function of its profile, `n`, `R`, the seed and `first_action + k`, and of nothing
//! else: a batch may be split.
//!
//! # Numerics
//! f32. `U` has 23 bits and is never 0 or 1. `u_k` is summed from its own end, never as `1 - v_k`. Draws below 1e-30 of
//! the draw's scale are raised to it. On either device a weight `w` lies within `4e-5 * w + 1e-6 / n` of the formulas
//! in f64, and `4e-5 / n` more for the two normal families, whose quantiles come from a table. Rounding could put a
//! weight an ulp above its neighbour, so the rows end in a running minimum: they never rise, exactly. Each row sums to 1
//! within 1e-5. The order of every sum is fixed: a run repeated on one device gives the same bits, whatever the number
//! of threads.
//!
//! # Cost
//! `K * R * n` draws, each generated three times on a GPU (nothing of size `R * n` is stored) and once on the CPU
//! (which holds `4n` bytes for each of twice as many draws as there are threads). 7 dispatches and one for each 64 draws.
//!
//! # Source
//! Qu et al., CIKM 2024, arXiv 2407.15411 (profiles); order statistics by spacings: Devroye,
//! "Non-Uniform Random Variate Generation" (1986), V.3.

use crate::Result;
use crate::device::{Access, Binding, Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::{MAX_TRIPS, check};

pub use super::distribution::{Distribution, Profile};
pub use cpu::{Draws, sample};

mod cpu;

const SCRATCH: &[(u32, Access)] = &[(3, Access::Write)];
const SPACINGS: &[(u32, Access)] = SCRATCH;
const DRAWS: &[(u32, Access)] = &[(1, Access::Read), (2, Access::Read), (3, Access::Write)];
const AVERAGE: &[(u32, Access)] = &[(1, Access::Read), (2, Access::Read), (3, Access::Write), (4, Access::Write)];
const MINIMA: &[(u32, Access)] = &[(3, Access::Write), (4, Access::Write)];

pub(crate) static SHADER: Shader = Shader {
    name: "sizing/sample",
    source: include_str!("../../../shaders/sizing/sample.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry { name: "tile_spacings", workgroup: 256, bindings: SPACINGS },
        Entry { name: "carries", workgroup: 256, bindings: SCRATCH },
        Entry { name: "tile_draws", workgroup: 256, bindings: DRAWS },
        Entry { name: "factors", workgroup: 256, bindings: SCRATCH },
        Entry { name: "average", workgroup: 256, bindings: AVERAGE },
        Entry { name: "tile_minima", workgroup: 256, bindings: MINIMA },
        Entry { name: "minima", workgroup: 256, bindings: SCRATCH },
        Entry { name: "descend", workgroup: 256, bindings: MINIMA },
    ],
};

params! {
    struct Params {
        entities: u32,
        profiles: u32,
        draws: u32,
        tiles: u32,
        seed_low: u32,
        seed_high: u32,
        first_action: u32,
        first_draw: u32,
        last_draw: u32,
    }
}

/// Ranks of a workgroup.
const TILE: u32 = 256 * 16;
/// Draws that one dispatch averages: about 150 loop trips each.
const WINDOW: u32 = 64;
const _: () = assert!(WINDOW * 200 <= MAX_TRIPS);
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
    /// Index of the first profile in the stream, so that separate calls can draw separate numbers.
    pub first_action: u32,
    /// `K * n` weights; every one is written.
    pub out: &'a mut Buffer<f32>,
    /// At least [`Sample::workspace_len`] values; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<f32>,
}

impl Sample<'_> {
    /// Values of workspace that `profiles` profiles of `entities` with `draws` draws need.
    pub fn workspace_len(profiles: usize, entities: u32, draws: u32) -> usize {
        profiles * draws as usize * (3 * tiles(entities) as usize + 3)
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
        self.profiles.iter().try_for_each(|profile| profile.check(Self::NAME))?;
        check::len(Self::NAME, "out", self.out.len(), self.profiles.len() as u64 * u64::from(self.entities))?;
        if self.out.as_wgpu().is_some() {
            let needed = Self::workspace_len(self.profiles.len(), self.entities, self.draws) as u64;
            check::indexable(Self::NAME, "out", self.out.len() as u64)?;
            check::indexable(Self::NAME, "workspace", needed)?;
            check::at_least(Self::NAME, "workspace", self.workspace.len(), needed)?;
        }
        Ok(())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let words: Vec<u32> = self.profiles.iter().flat_map(|p| p.constants(self.entities).words()).collect();
        let profiles = gpu.create_filled(Self::NAME, wgpu::BufferUsages::STORAGE, bytemuck::cast_slice(&words));
        let tiles = tiles(self.entities);
        let count = self.profiles.len() as u64;
        let pairs = count * u64::from(self.draws);
        let mut launch = |entry, groups: u64, first_draw, last_draw| {
            let bindings = SHADER.entry(entry).bindings.iter().map(|(binding, _)| match binding {
                1 => Binding { arg: "profiles", gpu: Some((gpu, &profiles)) },
                2 => Binding { arg: "normal_table", gpu: Some((gpu, gpu.normal_table())) },
                3 => self.workspace.binding("workspace"),
                _ => self.out.binding("out"),
            });
            Launch {
                shader: &SHADER,
                entry,
                constants: &[],
                params: Params {
                    entities: self.entities,
                    profiles: self.profiles.len() as u32,
                    draws: self.draws,
                    tiles,
                    seed_low: self.seed as u32,
                    seed_high: (self.seed >> 32) as u32,
                    first_action: self.first_action,
                    first_draw,
                    last_draw,
                }
                .words(),
                bindings: &bindings.collect::<Vec<_>>(),
                groups,
            }
            .record(gpu, list)
        };
        let tiles = u64::from(tiles);
        launch("tile_spacings", pairs * tiles, 0, 0)?;
        launch("carries", pairs, 0, 0)?;
        launch("tile_draws", pairs * tiles, 0, 0)?;
        launch("factors", pairs, 0, 0)?;
        for first in (0..self.draws).step_by(WINDOW as usize) {
            launch("average", count * tiles, first, self.draws.min(first.saturating_add(WINDOW)))?;
        }
        launch("tile_minima", count * tiles, 0, 0)?;
        launch("minima", count, 0, 0)?;
        launch("descend", count * tiles, 0, 0)
    }

    fn twin(self) -> Result<()> {
        let draws =
            Draws { entities: self.entities, draws: self.draws, seed: self.seed, first_action: self.first_action };
        sample(self.profiles, draws, self.out.host_mut(Self::NAME, "out")?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
