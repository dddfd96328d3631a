//! A planned training step of both tables: what two [updates](crate::kernels::table::update) do, of the users' rows by
//! the first B gradients and of the items' by the other `2 B`, without sorting anything.
//!
//! For every row r of either table that the step's triples name, with `g_j` the sum over its occurrences of their
//! gradients' dim j, for `j < min(d_r, D)`: one step of the [optimizer](crate::kernels::table::optimizer). The
//! occurrences come from a [plan](super::plan).
//!
//! # Shapes
//! `order` is what [`PlanSteps`](super::plan::PlanSteps) wrote for the same [`Plan`]. Gradients are `[B, D]` for users
//! and `[2 B, D]` for items, positives first, as [`Bpr`](super::bpr::Bpr) writes them; each side has a width of its
//! own.
//!
//! # Numerics
//! Sums, steps and what becomes of numbers that are not finite are those of two updates of the same occurrences, bit
//! for bit: a row's sum depends on nothing but its own occurrences and their order. (That holds for the steps as far
//! as a GPU's compiler fuses the same products in both.)
//!
//! # Cost
//! On a GPU two dispatches: one for the rows that occur at most 32 times, of both tables, together with the partial
//! sums of the others, and one for those. Users and items share them where each lies in one page, both in one format
//! and at the same step, the optimizer keeps at most one number a value and takes each value by itself (there is no
//! clipping, and no state of rows), gradients are at most 4,096 wide, and those of both sides lie in one buffer: the
//! users' from its beginning, the items' from the next multiple of 64 values on
//! ([`Buffer::from_wgpu_range`](crate::device::Buffer::from_wgpu_range)). So all that is bound are 8 buffers. Else
//! there are two dispatches a page of each table, with the same result. Moves what two updates move.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::rank::plan::{Plan, PlanSteps};
//! use scall_gpu::kernels::rank::sides::{Side, UpdateSides};
//! use scall_gpu::kernels::table::update::Optimizer;
//! use scall_gpu::rows::{Layout, Rows};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut users = Rows::zeroed(&device, &[2], Layout::default(), Default::default())?;
//! let mut items = Rows::zeroed(&device, &[1, 1], Layout::default(), Default::default())?;
//! // One step of two triples: user 0, items 0 and 1, and the same again.
//! let plan = Plan { batch: 2, steps: 1, users: 1, items: 2 };
//! let triples = Buffer::from_slice(&device, &[0, 0, 0, 0, 1, 1])?;
//! let mut order = Buffer::zeroed(&device, plan.order_len([2, 1]))?;
//! PlanSteps { plan, triples: &triples, order: &mut order }.run(&device)?;
//!
//! let of_users = Buffer::from_slice(&device, &[1.0, 2.0, 3.0, 4.0])?; // [2, 2]
//! let of_items = Buffer::from_slice(&device, &[1.0, 1.0, -2.0, 0.5])?; // [4, 1]
//! UpdateSides {
//!     users: Side { rows: &mut users, gradients: &of_users, dims: 2, step: 1, seed: 0 },
//!     items: Side { rows: &mut items, gradients: &of_items, dims: 1, step: 1, seed: 0 },
//!     plan,
//!     number: 0,
//!     order: &mut order,
//!     rule: Optimizer::Sgd { learning_rate: 0.5 }.into(),
//!     counter: None,
//! }
//! .run(&device)?;
//! assert_eq!(users.read()?, [-2.0, -3.0]);
//! assert_eq!(items.read()?, [-1.0, 0.75]);
//! # Ok(()) }
//! ```

use super::plan::Plan;
use crate::check;
use crate::device::{Access, Binding, Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::table::optimizer::{Constants, StepParams, UpdateRule};
use crate::kernels::table::update::{
    CHUNK, LONG_LANES, SortedSide, TILE, chunk, most_occurrences, partials_len, step_sorted,
};
use crate::rng;
use crate::rows::{PageParams, Rows};
use crate::{Error, Result};

pub(crate) static SHADER: Shader = Shader {
    name: "rank/sides",
    source: include_str!("../../../shaders/rank/sides.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of(
            "short_runs",
            &[TABLES[0], TABLES[1], TABLES[2], TABLES[3], TABLES[4], TABLES[5], reads(7), writes(8)],
        )
        .with_overrides(OVERRIDES),
        Entry::of(
            "long_runs",
            &[TABLES[0], TABLES[1], TABLES[2], TABLES[3], TABLES[4], TABLES[5], writes(8), writes(9)],
        )
        .with_overrides(OVERRIDES),
    ],
};

/// Arena, directory and state of users, and of items.
const TABLES: [(u32, Access); 6] = [writes(1), reads(2), writes(3), writes(4), reads(5), writes(6)];

const OVERRIDES: &[&str] = &["chunk", "clamps", "counts", "decay", "lanes", "optimizer", "state_per_value"];

params! {
    struct Params {
        user: PageParams,
        item: PageParams,
        batch: u32,
        count: u32,
        user_dims: u32,
        item_dims: u32,
        first_key: u32,
        keys: u32,
        occurrences: u32,
        partials: u32,
        faults: u32,
        step: StepParams,
        item_key_low: u32,
        item_key_high: u32,
    }
}

/// One of the two tables, and what it steps along.
#[derive(Debug)]
pub struct Side<'a> {
    /// The rows, with the state that the rule's optimizer keeps; as many as the plan says.
    pub rows: &'a mut Rows,
    /// A gradient for each of the side's occurrences.
    pub gradients: &'a Buffer<f32>,
    /// Gradient width `D`.
    pub dims: u32,
    /// The table's step, from 1 on; Adam and its kin use it, and the noise that rounds f16.
    pub step: u32,
    /// Key of that noise.
    pub seed: u64,
}

/// Steps the rows of both tables that a planned step names. See the [module](self).
#[derive(Debug)]
pub struct UpdateSides<'a> {
    /// The users' side, with B gradients.
    pub users: Side<'a>,
    /// The items' side, with `2 B`.
    pub items: Side<'a>,
    /// What was planned.
    pub plan: Plan,
    /// Which of its steps this is, from 0 on.
    pub number: u32,
    /// What [`PlanSteps`](super::plan::PlanSteps) wrote, at least [`Plan::order_len`] words for these widths; what lies
    /// behind keys and occurrences afterwards is not specified.
    pub order: &'a mut Buffer<u32>,
    /// How rows move.
    pub rule: UpdateRule,
    /// Two words, of users and of items: the number of dims whose step was left out, or whose gradient was replaced,
    /// since it was not finite, is added (modulo 2^32). See [what is not
    /// finite](crate::kernels::table::optimizer#what-is-not-finite).
    pub counter: Option<&'a mut Buffer<u32>>,
}

/// The widest gradients that both sides take together: in wider ones a lane would make too many trips.
const WIDEST: u32 = 4096;

/// Where things stand in the order of a plan.
#[derive(Clone, Copy)]
struct Places {
    first_key: u32,
    keys: u32,
    occurrences: u32,
    partials: u32,
    faults: u32,
}

impl UpdateSides<'_> {
    /// Where the items' gradients begin in a buffer that holds both sides'.
    ///
    /// ```
    /// use scall_gpu::kernels::rank::sides::UpdateSides;
    /// assert_eq!(UpdateSides::items_begin(100, 8), 832); // 800 and up to a multiple of 64
    /// ```
    pub fn items_begin(batch: u32, user_dims: u32) -> usize {
        (batch as usize * user_dims as usize).next_multiple_of(64)
    }

    /// Whether a step of so many triples with gradients so wide can be planned: a row's sum has to be that of an update
    /// alone, which in the largest batches sums larger chunks.
    pub fn takes(batch: u32, [user_dims, item_dims]: [u32; 2]) -> bool {
        let count = 3 * u64::from(batch);
        u32::try_from(count).is_ok_and(|count| chunk(count, user_dims.max(item_dims)) == CHUNK)
    }

    fn dims(&self) -> [u32; 2] {
        [self.users.dims, self.items.dims]
    }

    fn places(&self) -> Places {
        let (count, of_step) = (self.plan.count() as u32, self.plan.of_step() as u32);
        let [user_dims, item_dims] = self.dims();
        let keys = self.number * of_step;
        let partials = 2 * count;
        Places {
            // Of the first step 0, whatever the bits are.
            first_key: self.number.unbounded_shl(self.plan.bits()),
            keys,
            occurrences: count + keys,
            partials,
            faults: partials + partials_len(of_step, user_dims.max(item_dims)) as u32,
        }
    }

    /// The gradients of both sides, where one launch can take both.
    fn together<'a>(&'a self, gpu: &'a Gpu, stepping: Constants) -> Option<Binding<'a>> {
        let [users, items] = [&self.users, &self.items];
        let [user_pages, item_pages] = [users, items].map(|side| side.rows.pages().len());
        let one_by_one = !stepping.by_row() && self.rule.optimizer.state_size().per_value <= 1;
        let alike = users.rows.layout().format == items.rows.layout().format && users.step == items.step;
        let fits = user_pages == 1 && item_pages == 1 && users.dims.max(items.dims) <= WIDEST;
        if !(one_by_one && alike && fits) {
            return None;
        }
        let own = |buffer: &Buffer<f32>| buffer.device().as_gpu() == Some(gpu);
        let (of_users, of_items) = (users.gradients.as_wgpu_binding()?, items.gradients.as_wgpu_binding()?);
        let begin = 4 * Self::items_begin(self.plan.batch, users.dims) as u64;
        let joint = of_users.buffer == of_items.buffer && (of_users.offset, of_items.offset) == (0, begin);
        let bindable = of_users.buffer.size() <= gpu.limits().max_storage_buffer_binding_size;
        let sound = joint && bindable && own(users.gradients) && own(items.gradients);
        sound.then(|| Binding::whole("gradients", gpu, of_users.buffer))
    }

    /// Both sides in two dispatches.
    fn dispatch_both(
        &self,
        (gpu, list): (&Gpu, &mut Dispatches),
        stepping: Constants,
        gradients: Binding<'_>,
    ) -> Result<()> {
        let Places { first_key, keys, occurrences, partials, faults } = self.places();
        let [users, items] = [&self.users, &self.items];
        let [user_page, item_page] = [&users.rows.pages()[0], &items.rows.pages()[0]];
        let count = self.plan.of_step() as u32;
        let [item_key_low, item_key_high] = rng::key(items.seed);
        let params = Params {
            user: user_page.params(),
            item: item_page.params(),
            batch: self.plan.batch,
            count,
            user_dims: users.dims,
            item_dims: items.dims,
            first_key,
            keys,
            occurrences,
            partials,
            faults,
            step: stepping.params(),
            item_key_low,
            item_key_high,
        };
        let space = self.order.binding("order");
        // Untouched where there is none.
        let counter = self.counter.as_deref().map(|counter| counter.binding("counter"));
        let counting = counter.unwrap_or_else(|| space.shared());
        let tables = || {
            [user_page, item_page].into_iter().flat_map(|page| {
                let [arena, directory] = page.bindings();
                [arena, directory, page.state_binding(0)]
            })
        };
        let codecs = [user_page.codec(), item_page.codec()];
        let mut launch = |entry, lanes: u32, bindings: Vec<Binding<'_>>, groups: u32| {
            let own = [("lanes", f64::from(lanes)), ("chunk", f64::from(CHUNK))];
            let constants = stepping.overrides(own, counter.is_some());
            let (params, groups) = (params.words(), groups.into());
            let (codecs, constants, bindings) = (&codecs[..], &constants[..], &bindings[..]);
            Launch { shader: &SHADER, entry, codecs, constants, params, bindings, groups }.record(gpu, list)
        };
        let lanes = lanes(users, items);
        let windows = count.div_ceil(CHUNK);
        let bindings = tables().chain([gradients, space]).collect();
        launch("short_runs", lanes, bindings, count.div_ceil(TILE) + windows.div_ceil(256 / lanes))?;
        let bindings = tables().chain([space, counting]).collect();
        launch("long_runs", LONG_LANES, bindings, windows.div_ceil(256 / LONG_LANES))
    }

    /// Each side's pages by themselves.
    fn dispatch_each(&self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let Places { first_key, keys, occurrences, partials, .. } = self.places();
        let [users, items] = [&self.users, &self.items];
        for (side, word, first, first_row) in [(users, 0, 0, 0), (items, 1, self.plan.batch, self.plan.users)] {
            SortedSide {
                rows: side.rows,
                stepping: self.rule.constants(side.step, side.seed),
                count: self.plan.of_step() as u32,
                dims: side.dims,
                first,
                first_key: first_key + first_row,
                gradients: side.gradients,
                order: self.order,
                keys,
                occurrences,
                partials,
                counter: self.counter.as_deref().map(|counter| (counter, word)),
            }
            .record(gpu, list)?;
        }
        Ok(())
    }
}

/// Lanes that share a row, each with four values at a time. As many whatever the widest row of the moment is, where the
/// tables know how large rows get.
fn lanes(users: &Side<'_>, items: &Side<'_>) -> u32 {
    let widest = [users, items].map(|side| side.dims.max(side.rows.largest_expected())).into_iter().max();
    if widest <= Some(256) { 8 } else { 16 }
}

impl Kernel for UpdateSides<'_> {
    const NAME: &'static str = "rank/sides";

    fn check(&self) -> Result<()> {
        let (op, plan) = (Self::NAME, self.plan);
        plan.check(op)?;
        check::domain(op, "number", self.number, self.number < plan.steps, &format!("below {}", plan.steps))?;
        let passes = self.rule.passes();
        for (side, [rows, gradients, dims], planned, count) in [
            (&self.users, ["users.rows", "users.gradients", "users.dims"], plan.users, u64::from(plan.batch)),
            (&self.items, ["items.rows", "items.gradients", "items.dims"], plan.items, 2 * u64::from(plan.batch)),
        ] {
            check::dims(op, side.dims)?;
            self.rule.check_rows(op, side.step, side.rows)?;
            check::len(op, rows, side.rows.len() as usize, planned.into())?;
            check::matrix(op, gradients, side.gradients.len(), count, side.dims)?;
            let allowed = most_occurrences(side.rows, side.dims, passes).into();
            let takes = Self::takes(plan.batch, self.dims());
            if !takes || side.rows.device().as_gpu().is_some() && plan.of_step() > allowed {
                let (limit, requested) = ("occurrences a batch", plan.of_step());
                return Err(Error::Limit { op, arg: dims, limit, allowed, requested });
            }
        }
        plan.check_order(op, self.order, self.dims())?;
        self.counter.as_ref().map_or(Ok(()), |counter| check::len(op, "counter", counter.len(), 2))
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let stepping = self.rule.constants(self.users.step, self.users.seed);
        match self.together(gpu, stepping) {
            Some(gradients) => self.dispatch_both((gpu, list), stepping, gradients),
            None => self.dispatch_each(gpu, list),
        }
    }

    fn twin(self) -> Result<()> {
        let op = Self::NAME;
        let (Places { first_key, keys, occurrences, .. }, count) = (self.places(), self.plan.of_step() as usize);
        let order = self.order.host(op, "order")?;
        let pairs = order[keys as usize..][..count].iter().zip(&order[occurrences as usize..][..count]);
        let Plan { batch, users, items, .. } = self.plan;
        // Of either side, its rows and occurrences by their numbers within it.
        let mut sides = [Vec::with_capacity(count), Vec::with_capacity(count)];
        for (&key, &occurrence) in pairs {
            let row = key.wrapping_sub(first_key);
            if row >= users + items {
                // Past the tables, like all that come after it.
                break;
            }
            let is_user = row < users;
            let pair = if is_user { [row, occurrence] } else { [row - users, occurrence.wrapping_sub(batch)] };
            let side = &mut sides[usize::from(!is_user)];
            let falls = side.last().is_some_and(|last: &[u32; 2]| last[0] > pair[0]);
            if falls || pair[1] >= batch * if is_user { 1 } else { 2 } {
                let (expected, got) = ("what `rank/plan` wrote for this plan", format!("{occurrence} of row {row}"));
                return Err(Error::Argument { op, arg: "order", expected: expected.into(), got });
            }
            side.push(pair);
        }
        let mut found = [0, 0];
        for ((found, side), pairs) in found.iter_mut().zip([self.users, self.items]).zip(&sides) {
            let constants = self.rule.constants(side.step, side.seed);
            *found = step_sorted(op, side.rows, (side.gradients.host(op, "gradients")?, side.dims), pairs, constants)?;
        }
        if let Some(counter) = self.counter {
            let words = counter.host_mut(op, "counter")?;
            words.iter_mut().zip(found).for_each(|(word, number)| *word = word.wrapping_add(number));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
