//! The order of training steps, found ahead: for each of S steps, which rows its triples name, and where.
//!
//! The occurrences of a step are the `3 B` ids of its triples, in their order: users, positives, negatives. With U
//! users and I items, the key of an occurrence is `(step << bits) | row`, where `row` is the user's id, or `U +` the
//! item's; `bits` is as many as `U + I` needs. All occurrences are sorted by their keys, and those of one key stay in
//! order. So the sorted occurrences of step s are the `3 B` from `3 B s` on, users before items, and a row's follow
//! each other as they do in the batch. Ids past their table come last in their step.
//!
//! Which triples a step takes does not depend on the weights, nor does their order. Sorted for 64 steps at once, they
//! cost a step a fraction of a launch instead of several.
//!
//! # Shapes
//! `triples` is a batch behind another, as [`SampleTriples`](super::triples::SampleTriples) draws them for several
//! steps. `order` is `3 B S` keys, then as many occurrences, numbered from 0 within their step, then room:
//! [`Plan::order_len`] words.
//!
//! # Numerics
//! Integers, the same on both devices.
//!
//! # Cost
//! On a GPU one dispatch and a [sort](crate::kernels::prim::sort); `12 B S` bytes of triples are read, `24 B S` are
//! written and sorted, and as many are needed beside them for that. [`Plan::most_steps`] is what fits 16 MiB.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::rank::plan::{Plan, PlanSteps};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let plan = Plan { batch: 2, steps: 2, users: 3, items: 4 };
//! // Of each step two users, two positives, two negatives; the last triple has no negative.
//! let triples = Buffer::from_slice(&device, &[1, 0, 3, 3, 0, 3, /* second step */ 2, 2, 1, 0, 1, u32::MAX])?;
//! let mut order = Buffer::zeroed(&device, plan.order_len([8, 8]))?;
//! PlanSteps { plan, triples: &triples, order: &mut order }.run(&device)?;
//! let order = order.read()?;
//! let (keys, occurrences) = (&order[..12], &order[12..24]);
//! // Users 0 and 1, item 0, and item 3 three times; then, past 1 << 3, user 2 twice, items 0 and 1, and nothing.
//! assert_eq!(keys, [0, 1, 3, 6, 6, 6, 8 + 2, 8 + 2, 8 + 3, 8 + 4, 8 + 4, 8 + 7]);
//! assert_eq!(occurrences, [1, 0, 4, 2, 3, 5, 0, 1, 3, 2, 4, 5]);
//! # Ok(()) }
//! ```

use crate::Result;
use crate::check;
use crate::device::{Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::prim::scan::Region;
use crate::kernels::prim::sort::{Keys, Sort, Sorting, bits_below, sort_pairs};
use crate::kernels::table::update::{TILE, partials_len};

pub(crate) static SHADER: Shader = Shader {
    name: "rank/plan",
    source: include_str!("../../../shaders/rank/plan.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry::of("prepare", &[reads(1), writes(2)])],
};

params! {
    struct Params {
        batch: u32,
        count: u32,
        users: u32,
        items: u32,
        bits: u32,
        keys: u32,
        occurrences: u32,
    }
}

/// What is planned: so many steps of so many triples, of tables with so many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Triples a step: `B`.
    pub batch: u32,
    /// Steps: `S`.
    pub steps: u32,
    /// Rows of the users' table: `U`.
    pub users: u32,
    /// Rows of the items' table: `I`.
    pub items: u32,
}

/// Bytes that triples, keys and occurrences may take.
const MOST_BYTES: u64 = 16 << 20;

impl Plan {
    /// The most steps that are worth planning at once: 64, or as many as 16 MiB of triples, keys and occurrences hold,
    /// or fewer where keys of 32 bits have no room for more; at least one.
    ///
    /// ```
    /// use scall_gpu::kernels::rank::plan::Plan;
    /// assert_eq!([100, 10_000, 1_000_000].map(|batch| Plan::most_steps(batch, 1 << 20)), [64, 46, 1]);
    /// assert_eq!(Plan::most_steps(100, 1 << 30), 2); // a billion rows take 31 bits
    /// ```
    pub fn most_steps(batch: u32, rows: u32) -> u32 {
        let by_memory = MOST_BYTES / (36 * u64::from(batch.max(1)));
        let by_keys = 1u64 << 32u32.saturating_sub(row_bits(rows.into()));
        by_memory.min(by_keys).clamp(1, 64) as u32
    }

    /// Occurrences of a step.
    pub(super) fn of_step(self) -> u64 {
        3 * u64::from(self.batch)
    }

    /// Occurrences of all steps.
    pub(super) fn count(self) -> u64 {
        self.of_step() * u64::from(self.steps)
    }

    /// Bits of a row.
    pub(super) fn bits(self) -> u32 {
        row_bits(u64::from(self.users) + u64::from(self.items))
    }

    /// Words of the order: keys and occurrences, and behind them room for the sort, and for what
    /// [`UpdateSides`](super::sides::UpdateSides) sums with gradients of these widths, of users and of items.
    pub fn order_len(self, [user_dims, item_dims]: [u32; 2]) -> usize {
        let (count, of_step) = (self.count() as u32, self.of_step() as u32);
        let sums = partials_len(of_step, user_dims.max(item_dims)) + 2 * of_step.div_ceil(TILE) as usize;
        2 * count as usize + Sort::workspace_len(count).max(sums)
    }

    /// That it can be: keys of 32 bits, places that an index reaches.
    pub(super) fn check(self, op: &'static str) -> Result<()> {
        let (bits, steps) = (self.bits(), self.steps);
        let most = 32u32.saturating_sub(bits);
        check::domain(op, "plan.steps", steps, bits_below(steps) <= most, &format!("of at most {most} bits"))?;
        check::indexable(op, "plan.items", u64::from(self.users) + u64::from(self.items))?;
        check::indexable(op, "plan.steps", self.count().saturating_mul(5))
    }

    /// That an order has room for it.
    pub(super) fn check_order(self, op: &'static str, order: &Buffer<u32>, dims: [u32; 2]) -> Result<()> {
        check::at_least(op, "order", order.len(), self.order_len(dims) as u64)
    }
}

/// Bits of a row, or of the number behind the last.
fn row_bits(rows: u64) -> u32 {
    u64::BITS - rows.leading_zeros()
}

/// Sorts the occurrences of the triples of several steps. See the [module](self).
#[derive(Debug)]
pub struct PlanSteps<'a> {
    /// What is planned.
    pub plan: Plan,
    /// `3 * B` ids a step.
    pub triples: &'a Buffer<u32>,
    /// At least [`Plan::order_len`] words: the sorted keys, then their occurrences; what lies behind them afterwards is
    /// not specified.
    pub order: &'a mut Buffer<u32>,
}

impl Kernel for PlanSteps<'_> {
    const NAME: &'static str = "rank/plan";

    fn check(&self) -> Result<()> {
        let (op, plan) = (Self::NAME, self.plan);
        plan.check(op)?;
        check::matrix(op, "triples", self.triples.len(), 3 * u64::from(plan.steps), plan.batch)?;
        plan.check_order(op, self.order, [0, 0])
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let Plan { batch, steps, users, items } = self.plan;
        let (count, bits) = (self.plan.count() as u32, self.plan.bits());
        let keys = Keys::new(count, bits + bits_below(steps));
        let region = |base| Region::new("order", self.order).at(base);
        let sorting = Sorting { keys, home: [region(0), region(count)], space: region(2 * count) };
        let [keys, occurrences] = sorting.origin().map(|region| region.base);
        Launch {
            shader: &SHADER,
            entry: "prepare",
            codecs: &[],
            constants: &[],
            params: Params { batch, count, users, items, bits, keys, occurrences }.words(),
            bindings: &[self.triples.binding("triples"), self.order.binding("order")],
            groups: u64::from(count).div_ceil(256),
        }
        .record(gpu, list)?;
        sorting.record(gpu, list)
    }

    fn twin(self) -> Result<()> {
        let Plan { batch, steps, users, items } = self.plan;
        let (count, bits) = (self.plan.count() as usize, self.plan.bits());
        let triples = self.triples.host(Self::NAME, "triples")?;
        let pair = |i: usize| {
            let (step, occurrence) = (i as u64 / self.plan.of_step(), i as u64 % self.plan.of_step());
            let id = triples[i];
            let (rows, first) = if occurrence < batch.into() { (users, 0) } else { (items, users) };
            let row = if id < rows { first + id } else { users + items };
            [(step << bits) as u32 | row, occurrence as u32]
        };
        let mut space = vec![[0; 2]; 2 * count];
        let (home, away) = space.split_at_mut(count);
        let sorted = sort_pairs(pair, [home, away], bits + bits_below(steps));
        let (keys, rest) = self.order.host_mut(Self::NAME, "order")?.split_at_mut(count);
        for ((key, occurrence), pair) in keys.iter_mut().zip(rest).zip(sorted) {
            [*key, *occurrence] = *pair;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
