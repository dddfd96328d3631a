//! Sizes that only grow.

use super::recipe::Recipe;
use crate::Result;
use crate::check::domain;
use crate::file::State;
use crate::sizing::weighted::{sides, weighted};
use crate::sizing::{SizePolicy, Sizes, SizingContext};

/// How rows grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrowOnlyOptions {
    /// Candidate sizes, ascending (default 2, 4, 8, 16, 32, 64: the paper's, up to the default `d_max`). A row may have
    /// the largest that is not above its number of occurrences so far, and the first in any case.
    pub candidates: Vec<u32>,
    /// Whether growth ends at the budget (default). Otherwise rows get what the rule says, and what passes the budget
    /// is refused with [`Error::OverBudget`](crate::Error::OverBudget).
    pub cut: bool,
}

impl Default for GrowOnlyOptions {
    fn default() -> Self {
        Self { candidates: vec![2, 4, 8, 16, 32, 64], cut: true }
    }
}

/// Rows that move up a ladder of candidate sizes as they occur more often, and never down.
///
/// In the paper a learned controller for each entity says stay or enlarge; here an occurrence earns a dim, which keeps
/// what the comparison is about: sizes follow the frequency ever seen, and only grow. Occurrences are those of the
/// training parts that it was asked about, replayed rows included. The rule knows no budget. Cut to one (ours), rows
/// grow in the order of their occurrences, ties by index and users first, until it is used; what is left when all have
/// their candidate lets them climb further, one candidate a round, in the same order. So sizes add up to the dims there
/// are. A row shrinks only where the dims there are do not hold all sizes reached and the newcomers at `d_min`; then
/// all shrink in proportion. Under a budget that is fixed and used up, newcomers stay at `d_min`: that is what growing
/// only comes to.
///
/// # Cost
/// A sort of all rows on the host. Holds 8 bytes a row, and the same of the segment before.
///
/// # Source
/// After Liu et al., "Automated Embedding Size Search in Deep Recommender Systems" (ESAPN), SIGIR 2020.
#[derive(Clone, Debug, Default)]
pub struct GrowOnly {
    options: GrowOnlyOptions,
    /// The segment that was decided last.
    segment: Option<usize>,
    before: Ladder,
    now: Ladder,
}

/// Occurrences and sizes of users and of items.
#[derive(Clone, Debug, Default)]
struct Ladder {
    occurrences: [Vec<u64>; 2],
    sizes: [Vec<u32>; 2],
}

impl Ladder {
    const SIDES: [&str; 2] = ["users", "items"];

    fn save(&self) -> State {
        let mut state = State::default();
        for (side, name) in Self::SIDES.into_iter().enumerate() {
            state.put(format!("{name}.occurrences"), &self.occurrences[side][..]);
            state.put(format!("{name}.sizes"), &self.sizes[side][..]);
        }
        state
    }

    fn restored(state: &State) -> Result<Self> {
        state.only(&["users.occurrences", "users.sizes", "items.occurrences", "items.sizes"])?;
        let mut ladder = Self::default();
        for (side, name) in Self::SIDES.into_iter().enumerate() {
            let counts = format!("{name}.occurrences");
            let occurrences = state.numbers::<u64>(&counts)?;
            // So far that no sum of what comes passes 64 bits.
            state.check(&counts, occurrences, |count| count <= u64::MAX / 2, "counts below 2^63")?;
            ladder.occurrences[side] = occurrences.to_vec();
            ladder.sizes[side] = state.numbers(&format!("{name}.sizes"))?.to_vec();
        }
        Ok(ladder)
    }
}

impl GrowOnly {
    /// A policy that has seen nothing.
    pub fn new(options: GrowOnlyOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Adds the context's frequencies to the occurrences `before`, and lets the rows of `sizes` grow.
    fn climb(&self, context: &SizingContext<'_>, before: &Ladder, sizes: &[Vec<u32>; 2]) -> Result<(Ladder, Sizes)> {
        self.check()?;
        let candidates = &self.options.candidates;
        let total = context.total()?;
        let occurrences = [context.users, context.items].map(|frequencies| frequencies.to_vec());
        let mut occurrences = occurrences.map(|side| side.into_iter().map(u64::from).collect::<Vec<_>>());
        for (side, before) in occurrences.iter_mut().zip(&before.occurrences) {
            side.iter_mut().zip(before).for_each(|(now, before)| *now += before);
        }
        let bounded = |size: u32| size.clamp(context.d_min, context.d_max);
        let held = |side: usize, entities: usize| {
            let held = &sizes[side];
            (0..entities).map(move |row| bounded(held.get(row).copied().unwrap_or(0)))
        };
        let mut all: Vec<u32> = held(0, context.users.len()).chain(held(1, context.items.len())).collect();
        let counts = occurrences.concat();
        let sum = |sizes: &[u32]| sizes.iter().map(|&size| u64::from(size)).sum::<u64>();
        let earned = |row: usize| {
            let below = candidates.partition_point(|&size| u64::from(size) <= counts[row]);
            bounded(candidates[below.saturating_sub(1)])
        };
        let chosen = if !self.options.cut {
            all.iter_mut().enumerate().for_each(|(row, size)| *size = earned(row).max(*size));
            sides(context, all)
        } else if sum(&all) > total {
            weighted(context, &all.iter().map(|&size| size as f32).collect::<Vec<_>>())?
        } else {
            let mut order: Vec<usize> = (0..all.len()).collect();
            order.sort_by_key(|&row| std::cmp::Reverse(counts[row]));
            let mut left = total - sum(&all);
            for &row in &order {
                grant(&mut all[row], earned(row), &mut left);
            }
            while left > 0 {
                for &row in &order {
                    let above = candidates.partition_point(|&size| size <= all[row]);
                    let next = candidates.get(above).map_or(context.d_max, |&size| bounded(size));
                    grant(&mut all[row], next, &mut left);
                }
            }
            sides(context, all)
        };
        let ladder = Ladder { occurrences, sizes: [chosen.users.clone(), chosen.items.clone()] };
        Ok((ladder, chosen))
    }
}

/// Raises a size to a higher one, as far as there is something left.
fn grant(size: &mut u32, higher: u32, left: &mut u64) {
    let more = u64::from(higher.saturating_sub(*size)).min(*left);
    *size += more as u32;
    *left -= more;
}

impl Recipe for GrowOnlyOptions {
    fn build(self) -> Box<dyn SizePolicy> {
        Box::new(GrowOnly::new(self))
    }
}

impl SizePolicy for GrowOnly {
    fn name(&self) -> &'static str {
        "grow"
    }

    fn options(&self) -> String {
        format!("{:?}", self.options)
    }

    fn check(&self) -> Result<()> {
        let candidates = &self.options.candidates;
        let ok = !candidates.is_empty() && candidates.is_sorted_by(|a, b| a < b);
        domain("GrowOnly", "candidates", format!("{candidates:?}"), ok, "ascending sizes, at least one")
    }

    fn is_exact(&self) -> bool {
        self.options.cut
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        // Asked again about one segment, it counts that once.
        let before = if self.segment == Some(context.segment) { &self.before } else { &self.now };
        let (now, sizes) = self.climb(context, before, &before.sizes)?;
        if self.segment.replace(context.segment) != Some(context.segment) {
            self.before = std::mem::take(&mut self.now);
        }
        self.now = now;
        Ok(sizes)
    }

    fn admit(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        let (now, sizes) = self.climb(context, &self.before, &self.now.sizes)?;
        // The rows since the decision are counted by the next one.
        self.now.sizes = now.sizes;
        Ok(sizes)
    }

    fn save(&self) -> Result<State> {
        let mut state = State::default();
        if let Some(segment) = self.segment {
            state.put("segment", [segment as u64]);
            state.put_state("before", self.before.save());
            state.put_state("now", self.now.save());
        }
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let mut state = state.clone();
        let (before, now) = (state.take_state("before"), state.take_state("now"));
        state.only(&["segment"])?;
        let segment = match state.has("segment") {
            true => Some(state.one::<u64>("segment")? as usize),
            false => None,
        };
        let ladder = |state: &State| match segment {
            Some(_) => Ladder::restored(state),
            None => state.only(&[]).map(|()| Ladder::default()),
        };
        let (before, now) = (ladder(&before)?, ladder(&now)?);
        (self.segment, self.before, self.now) = (segment, before, now);
        Ok(())
    }
}
