//! What the operators that draw triples have in common.

use rayon::prelude::*;

use crate::Result;
use crate::check;
use crate::device::{Buffer, Change, Changes, param_group};
use crate::rng::{Purpose, key};

param_group! {
    /// What a draw depends on but for its lists: `shaders/common/draw_params.wgsl`.
    "draw", struct DrawParams {
        batch: u32,
        first: u32,
        count: u32,
        steps: u32,
        step: u32,
        seed_low: u32,
        seed_high: u32,
        purpose: u32,
    }
}

/// Threads of a workgroup. They share nothing, so groups are small: these start and end sooner.
pub(super) const WORKGROUP: u32 = 64;

/// Triples a CPU task draws.
const TASK_TRIPLES: usize = 1024;

/// The triples of a batch that are drawn: `count` from `first` on.
#[derive(Clone, Copy)]
pub(super) struct Slice {
    pub first: u32,
    pub count: u32,
}

impl Slice {
    /// All of a batch.
    pub fn all(batch: u32) -> Self {
        Self { first: 0, count: batch }
    }
}

/// Where the batches of some steps stand in their stream of random numbers.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    pub batch: u32,
    /// Of each step.
    pub slice: Slice,
    pub steps: u32,
    /// The first of them.
    pub step: u32,
    pub seed: u64,
    pub purpose: Purpose,
}

impl Draw {
    /// The shader's parameters.
    pub fn params(self) -> DrawParams {
        let [seed_low, seed_high] = key(self.seed);
        let Self { batch, slice: Slice { first, count }, steps, step, purpose, .. } = self;
        DrawParams { batch, first, count, steps, step, seed_low, seed_high, purpose: purpose as u32 }
    }

    /// Workgroups, of a thread a triple.
    pub fn groups(self) -> u64 {
        (u64::from(self.slice.count) * u64::from(self.steps)).div_ceil(WORKGROUP.into())
    }
}

/// Whether there is room for the three blocks of each batch, and no more, and what is drawn is a part of each.
pub(super) fn check_triples(op: &'static str, triples: &Buffer<u32>, of: Draw) -> Result<()> {
    let Draw { batch, slice: Slice { first, count }, steps, .. } = of;
    let is_part = first.checked_add(count).is_some_and(|end| end <= batch);
    let drawn = format!("{count} from {first} on");
    check::domain(op, "count", drawn, is_part, &format!("a part of the batch of {batch}"))?;
    check::matrix(op, "triples", triples.len(), 3 * u64::from(steps), batch)
}

/// How the parameters of a prepared operator follow its step and seed.
pub(super) fn draw_changes() -> Changes {
    Box::new(|change, params| {
        match change {
            Change::Step(step) => params.set("step", step),
            Change::Seed(seed) => {
                let [low, high] = key(seed);
                params.set("seed_low", low);
                params.set("seed_high", high);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// Users, positives and negatives of neighbouring triples.
pub(super) struct Part<'a> {
    /// Their step.
    pub step: u32,
    /// Number of the first of them, within the step.
    pub first: u32,
    pub users: &'a mut [u32],
    pub positives: &'a mut [u32],
    pub negatives: &'a mut [u32],
}

/// Draws on the CPU, step after step, parts of a batch side by side.
pub(super) fn draw_parts(
    op: &'static str,
    triples: &mut Buffer<u32>,
    of: Draw,
    draw: impl Fn(Part<'_>) -> Result<()> + Sync,
) -> Result<()> {
    let (batch, first) = (of.batch as usize, of.slice.first as usize);
    let steps = triples.host_mut(op, "triples")?.chunks_exact_mut(3 * batch.max(1));
    for (number, triples) in (0..of.steps).zip(steps) {
        let step = of.step.wrapping_add(number);
        let (users, rest) = triples.split_at_mut(batch);
        let (positives, negatives) = rest.split_at_mut(batch);
        let [users, positives, negatives] =
            [users, positives, negatives].map(|ids| &mut ids[first..first + of.slice.count as usize]);
        users
            .par_chunks_mut(TASK_TRIPLES)
            .zip(positives.par_chunks_mut(TASK_TRIPLES))
            .zip(negatives.par_chunks_mut(TASK_TRIPLES))
            .enumerate()
            .try_for_each(|(task, ((users, positives), negatives))| {
                draw(Part { step, first: (first + task * TASK_TRIPLES) as u32, users, positives, negatives })
            })?;
    }
    Ok(())
}
