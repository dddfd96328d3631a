//! From an action to sizes: sample the profile, scale it to the budget, hand it out by rank.

use super::{Action, Profile, Sizes, SizingContext};
use crate::Result;
use crate::device::{Buffer, Device};
use crate::kernels::sizing::apportion::{Allotment, Apportion, apportion};
use crate::kernels::sizing::rank::Rank;
use crate::kernels::sizing::sample::Sample;

impl Action {
    /// The sizes that it gives: profiles averaged over so many draws, scaled to the dims there are, handed out by
    /// frequency.
    ///
    /// # Errors
    /// Those of [`SizingContext::split`]; what the device reports.
    pub fn sizes(&self, context: &SizingContext<'_>, draws: u32) -> Result<Sizes> {
        Ok(self.sizes_and_ranges(context, draws)?.0)
    }

    /// The sizes, and the largest minus the smallest of each side as they would be without bounds and rounding: b *
    /// (max w - min w).
    pub(crate) fn sizes_and_ranges(&self, context: &SizingContext<'_>, draws: u32) -> Result<(Sizes, [f32; 2])> {
        let [users, items] = profiles(context, self, draws)?;
        let ranges = [users.range, items.range];
        let sizes = Sizes {
            users: by_frequency(context, context.users, &users.sizes)?,
            items: by_frequency(context, context.items, &items.sizes)?,
            action: Some(*self),
        };
        Ok((sizes, ranges))
    }
}

/// The sizes of a side by rank, largest first, and how far the first would be from the last without bounds.
pub(super) struct ByRank {
    pub sizes: Vec<u32>,
    pub range: f32,
}

/// Both sides' sizes for an action: `docs/method.md` section 3, steps 1 to 3.
pub(super) fn profiles(context: &SizingContext<'_>, action: &Action, draws: u32) -> Result<[ByRank; 2]> {
    let (users, items) = context.split(action.user_share)?;
    let side = |index: u32, entities: usize, alpha: f32, dims: u64| {
        let (device, entities) = (context.device, entities as u32);
        let profiles = [Profile { distribution: action.distribution, alpha }];
        let mut weights = Buffer::zeroed(device, entities as usize)?;
        let mut workspace = scratch(device, || Sample::workspace_len(1, entities, draws))?;
        let mut commands = device.commands();
        commands.run(Sample {
            profiles: &profiles,
            entities,
            draws,
            seed: context.seed,
            // A stream of its own for each segment and side.
            first_stream: (context.segment as u32).wrapping_mul(2).wrapping_add(index),
            profiles_per_stream: 1,
            out: &mut weights,
            workspace: &mut workspace,
        })?;
        let mut sizes = Buffer::zeroed(device, entities as usize)?;
        let mut workspace = scratch(device, || Apportion::workspace_len(entities))?;
        commands.run(Apportion {
            weights: &weights,
            first: 0,
            allotment: allotment(context, dims),
            sizes: &mut sizes,
            workspace: &mut workspace,
        })?;
        commands.submit()?;
        let weights = weights.read()?;
        let range = weights.first().zip(weights.last()).map_or(0.0, |(most, least)| dims as f32 * (most - least));
        Ok(ByRank { sizes: sizes.read()?, range })
    };
    Ok([
        side(0, context.users.len(), action.alpha_users, users)?,
        side(1, context.items.len(), action.alpha_items, items)?,
    ])
}

/// Gives the k-th largest size to the k-th most frequent entity, ties by index: `docs/method.md` section 3, step 4.
fn by_frequency(context: &SizingContext<'_>, frequencies: &[u32], by_rank: &[u32]) -> Result<Vec<u32>> {
    let device = context.device;
    let mut order = Buffer::zeroed(device, frequencies.len())?;
    let mut workspace = scratch(device, || Rank::workspace_len(frequencies.len() as u32))?;
    let mut commands = device.commands();
    let frequencies = Buffer::from_slice(device, frequencies)?;
    commands.run(Rank { frequencies: &frequencies, order: &mut order, workspace: &mut workspace })?;
    commands.submit()?;
    let mut sizes = vec![0; by_rank.len()];
    for (&entity, &size) in order.read()?.iter().zip(by_rank) {
        sizes[entity as usize] = size;
    }
    Ok(sizes)
}

/// `dims` over `entities` rows evenly, the lowest ids first.
pub(super) fn even(context: &SizingContext<'_>, entities: usize, dims: u64) -> Result<Vec<u32>> {
    let mut sizes = vec![0; entities];
    apportion(&vec![1.0; entities], allotment(context, dims), &mut sizes)?;
    Ok(sizes)
}

fn allotment(context: &SizingContext<'_>, dims: u64) -> Allotment {
    // `split` has checked that a side fits 32 bits.
    Allotment { total: dims as u32, d_min: context.d_min, d_max: context.d_max }
}

/// Workspace on a GPU; the CPU twins need none.
fn scratch<T: crate::device::Element>(device: &Device, len: impl Fn() -> usize) -> Result<Buffer<T>> {
    Buffer::zeroed(device, device.as_gpu().map_or(0, |_| len()))
}
