//! Sparse update of ragged rows: gradient reduction and optimizer step in one pass over each row.
//!
//! For every row r that occurs in `ids`, with `g_j = sum over its occurrences b of gradients[b, j]` for
//! `j < min(d_r, D)`: one step of the [optimizer](super::optimizer).
//!
//! With bags ([`Gradients::Bags`]), `gradients[b, j]` is what the pooled row of b's bag k passes on: `w_b * g[k, j]`
//! for the sum, that over the number of ids for the mean, and for the max `g[k, j]` where b won dim j, else 0. It is
//! never written out.
//!
//! Values of f16 are stepped in f32 and rounded to one of the two f16 next to them, the nearer one as much more often
//! as it is nearer, by noise of (seed, row, dim, step): a step that is far smaller than the distance between f16 is
//! right on average, where rounding to the nearest would lose it (Gupta et al., "Deep learning with limited numerical
//! precision", ICML 2015). So it is with the other formats; of [`I8`](crate::rows::Format::I8) the distance is that of
//! the word that a value shares with three others.
//!
//! Values beyond `min(d_r, D)` and rows that do not occur are never touched, nor is their state. (Values of `I8` in a
//! word with others that step are rounded with them where the word's exponent rises.) An id past the table is left out.
//!
//! # Numerics
//! Duplicates are exact: the occurrences are sorted by row (stable), summed in the order of the batch, and the
//! optimizer steps once. The sum of a row that occurs more often than a chunk (32 times, more in batches of millions)
//! is the sum of its first chunk, plus that of the next, and so on. Chunks are counted from the row's first occurrence,
//! so a sum depends on the row's own occurrences and on nothing that is sorted with them. Both devices sum in this
//! order: the sums agree bit for bit (of bags, but for fused products), the steps within `8 * eps`, and a row's sum of
//! squares (of a clipped gradient, or for row-wise state) within `32 * eps` (a GPU may fuse products and round its root
//! otherwise). The order of those squares follows from `D`, or from the largest size that a table
//! [expects](crate::table::RaggedTable::expect_sizes).
//!
//! # Cost
//! On the GPU a [sort](crate::kernels::prim::sort) of the ids (one dispatch for up to 8,192), a dispatch, and two more
//! a page. Moves `4 * B * D` bytes of gradients once and the touched rows (and their state) once in each
//! direction; with bags `4 * bags * D` bytes of gradients, once for each id. Row-wise state reads the gradients once
//! more where a lane has more than one value of a row, and so does clipping. On the CPU all threads share the sort; a
//! hot row is summed by all of them.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::table::update::{Optimizer, Update};
//! use scall_gpu::rows::{Layout, Rows};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut rows = Rows::zeroed(&device, &[2, 1], Layout::default(), Default::default())?;
//! Update {
//!     rows: &mut rows,
//!     ids: &Buffer::from_slice(&device, &[1, 0, 1])?, // row 1 occurs twice
//!     first: 0,
//!     count: 3,
//!     gradients: (&Buffer::from_slice(&device, &[1.0, 1.0, 1.0, 4.0, 2.0, 2.0])?).into(), // [3, 2]
//!     dims: 2,
//!     rule: Optimizer::Sgd { learning_rate: 0.5 }.into(),
//!     step: 1,
//!     seed: 0,
//!     workspace: &mut Buffer::zeroed(&device, Update::workspace_len(3, 2))?,
//!     counter: None,
//! }
//! .run(&device)?;
//! assert_eq!(rows.read()?, [-0.5, -2.0, -1.5]); // row 1 has one dim, and steps along 1 + 2
//! # Ok(()) }
//! ```

use crate::check;
use crate::device::{Access, Binding, Buffer, Changes, Dispatches, Entry, Gpu, Shader, params, reads, writes};
use crate::kernels::MAX_TRIPS;
use crate::kernels::count::{Count, Countable};
use crate::kernels::prim::scan::Region;
use crate::kernels::prim::sort::{Keys, Sort, Sorting, bits_below};
use crate::kernels::table::bags::Pooling;
use crate::kernels::table::lookup::lanes_of_fours;
use crate::kernels::table::optimizer::{StepParams, step_overrides};
use crate::rows::{PageLaunch, PageParams, Rows, with_codec};
use crate::{Error, Result};

pub use crate::kernels::table::optimizer::{Optimizer, UpdateRule};

mod cpu;
mod sorted;

pub(in crate::kernels) use cpu::step_sorted;
use sorted::SortedRuns;
pub(in crate::kernels) use sorted::SortedSide;

pub(crate) static SHADER: Shader = Shader {
    name: "table/update",
    source: include_str!("../../../shaders/table/update.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("prepare", &[IDS, WORKSPACE, USED]).with_overrides(&["counted"]),
        Entry::of("prepare_bags", &[IDS, WORKSPACE, BAGS, WEIGHTS, USED]).with_overrides(&["counted", "source"]),
        Entry::of("short_runs", SHORT).with_overrides(step_overrides!(element_wise, "chunk", "source")),
        Entry::of("short_runs_by_row", SHORT).with_overrides(step_overrides!(by_row, "chunk", "source")),
        Entry::of("long_runs", LONG).with_overrides(step_overrides!(element_wise, "chunk")),
        Entry::of("long_runs_by_row", LONG).with_overrides(step_overrides!(by_row, "chunk")),
    ],
};

const ARENA: (u32, Access) = writes(1);
const DIRECTORY: (u32, Access) = reads(2);
const FIRST_STATE: (u32, Access) = writes(3);
const SECOND_STATE: (u32, Access) = writes(4);
const IDS: (u32, Access) = reads(5);
const GRADIENTS: (u32, Access) = reads(6);
const WORKSPACE: (u32, Access) = writes(7);
const BAGS: (u32, Access) = reads(8);
const WEIGHTS: (u32, Access) = reads(9);
const WINNERS: (u32, Access) = reads(10);
const COUNTER: (u32, Access) = writes(11);
const USED: (u32, Access) = reads(12);
const SHORT: &[(u32, Access)] = &[ARENA, DIRECTORY, FIRST_STATE, SECOND_STATE, GRADIENTS, WORKSPACE, WINNERS, COUNTER];
const LONG: &[(u32, Access)] = &[ARENA, DIRECTORY, FIRST_STATE, SECOND_STATE, WORKSPACE, COUNTER];

params! {
    struct Params {
        page: PageParams,
        table_rows: u32,
        count: u32,
        used: u32,
        dims: u32,
        first: u32,
        first_key: u32,
        keys: u32,
        occurrences: u32,
        partials: u32,
        sources: u32,
        weighted: u32,
        mean: u32,
        counter_at: u32,
        step: StepParams,
    }
}

/// Where the gradient of an occurrence comes from.
#[derive(Clone, Copy, Debug)]
pub enum Gradients<'a> {
    /// `B * D` values: every occurrence has its own.
    Each(&'a Buffer<f32>),
    /// That of the bag that it stands in.
    Bags(BagGradients<'a>),
}

/// The gradient of what [`LookupBags`](super::bags::LookupBags) gave, on its way back to the rows.
#[derive(Clone, Copy, Debug)]
pub struct BagGradients<'a> {
    /// `bags * D` values.
    pub gradients: &'a Buffer<f32>,
    /// `bags + 1` offsets into the ids, monotone, the last at most their number. An id in no bag is left out.
    pub bags: &'a Buffer<u32>,
    /// The factor of each id.
    pub weights: Option<&'a Buffer<f32>>,
    /// How the bags were pooled.
    pub pooling: Pooling,
    /// For the max, the `bags * D` winners of the lookup.
    pub winners: Option<&'a Buffer<u32>>,
}

/// The ids that an update uses, and the width of what it takes for each.
struct Stretch {
    first: u32,
    count: u32,
    dims: u32,
}

impl<'a> From<&'a Buffer<f32>> for Gradients<'a> {
    fn from(gradients: &'a Buffer<f32>) -> Self {
        Self::Each(gradients)
    }
}

impl<'a> Gradients<'a> {
    fn buffer(&self) -> &'a Buffer<f32> {
        match self {
            Self::Each(gradients) => gradients,
            Self::Bags(bags) => bags.gradients,
        }
    }

    fn bags(&self) -> Option<&BagGradients<'a>> {
        match self {
            Self::Each(_) => None,
            Self::Bags(bags) => Some(bags),
        }
    }

    fn check(&self, op: &'static str, of: Stretch) -> Result<()> {
        let Stretch { first, count, dims } = of;
        let Self::Bags(of) = self else {
            return check::matrix(op, "gradients", self.buffer().len(), count.into(), dims);
        };
        check::domain(op, "first", first, first == 0, "0 with bags")?;
        let bags = check::rows(op, "bags", of.bags.len())?;
        check::matrix(op, "gradients", of.gradients.len(), bags.into(), dims)?;
        let max = of.pooling == Pooling::Max;
        if let Some(weights) = of.weights {
            check::domain(op, "weights", "some", !max, "none for the max")?;
            check::at_least(op, "weights", weights.len(), count.into())?;
        }
        match of.winners {
            Some(winners) if max => check::matrix(op, "winners", winners.len(), bags.into(), dims),
            found => {
                let (words, expected) =
                    if max { ("none", "some for the max") } else { ("some", "none but for the max") };
                check::domain(op, "winners", words, found.is_some() == max, expected)
            }
        }
    }
}

/// Sums the gradients of each row and steps. See the [module](self).
#[derive(Debug)]
pub struct Update<'a> {
    /// The rows, with the state that the rule's optimizer keeps.
    pub rows: &'a mut Rows,
    /// Row ids.
    pub ids: &'a Buffer<u32>,
    /// First of the ids to use.
    pub first: u32,
    /// How many ids: `B`.
    pub count: u32,
    /// Gradients of the occurrences, or of the bags that they stand in.
    pub gradients: Gradients<'a>,
    /// Gradient width `D`.
    pub dims: u32,
    /// How rows move.
    pub rule: UpdateRule,
    /// The table's step, from 1 on; Adam and its kin use it, and the noise that rounds f16.
    pub step: u32,
    /// Key of that noise.
    pub seed: u64,
    /// At least [`Update::workspace_len`] words, with bags [`Update::bag_workspace_len`]; what it holds
    /// afterwards is not specified.
    pub workspace: &'a mut Buffer<u32>,
    /// One word: the number of dims whose step was left out, or whose gradient was replaced, since it was not finite,
    /// is added to it (modulo 2^32). See [what is not finite](super::optimizer#what-is-not-finite).
    pub counter: Option<&'a mut Buffer<u32>>,
}

/// Lanes that share a long run.
pub(in crate::kernels) const LONG_LANES: u32 = 64;

/// Sorted occurrences whose short runs a workgroup steps.
pub(in crate::kernels) const TILE: u32 = 64;

/// Occurrences summed at once on the GPU: small, so that a hot row spreads over many workgroups, but so large that the
/// loop over the chunks stays within the trips of one invocation.
pub(in crate::kernels) fn chunk(count: u32, dims: u32) -> u32 {
    let trips = u64::from(count) * u64::from(dims.div_ceil(256).max(1));
    (trips.div_ceil(u64::from(MAX_TRIPS)).next_power_of_two() as u32).max(CHUNK)
}

/// The smallest chunk: a run that is as long takes four loads after each other.
pub(in crate::kernels) const CHUNK: u32 = 32;

/// Words for the partial sums of `count` occurrences, of gradients this wide.
pub(in crate::kernels) fn partials_len(count: u32, dims: u32) -> usize {
    2 * count.div_ceil(chunk(count, dims)) as usize * dims as usize
}

/// Occurrences that the trips of an invocation suffice for, where each row is summed in so many passes. A lane sums
/// four dims of at least four occurrences at once; of the short runs of a tile it may meet a few single ones each.
pub(in crate::kernels) fn most_occurrences(rows: &Rows, dims: u32, passes: u32) -> u32 {
    let trips = [2 * MAX_TRIPS, 3 * MAX_TRIPS / 2, 9 * MAX_TRIPS / 8][passes as usize - 1];
    let fours = dims.div_ceil(4 * lanes_of(rows, dims)).max(1);
    let longest = 4 * (trips / fours - TILE);
    // The largest power of two up to there: what `chunk` may give.
    let chunk = 1u64 << longest.ilog2();
    u32::try_from(chunk * u64::from(MAX_TRIPS) / u64::from(dims.div_ceil(256).max(1))).unwrap_or(u32::MAX)
}

impl Update<'_> {
    /// Words of workspace for `count` ids with gradients of `dims`.
    pub fn workspace_len(count: u32, dims: u32) -> usize {
        2 * count as usize + Sort::workspace_len(count) + partials_len(count, dims)
    }

    /// The same with bags.
    pub fn bag_workspace_len(count: u32, dims: u32) -> usize {
        Self::workspace_len(count, dims) + 2 * count as usize
    }
}

impl Countable for Update<'_> {
    const OP: &'static str = "table/update";

    fn check_arguments(&self) -> Result<()> {
        let op = Self::OP;
        check::dims(op, self.dims)?;
        self.rule.check_rows(op, self.step, self.rows)?;
        check::at_least(op, "ids", self.ids.len(), u64::from(self.first) + u64::from(self.count))?;
        self.gradients.check(op, Stretch { first: self.first, count: self.count, dims: self.dims })?;
        if self.rows.device().as_gpu().is_some() {
            let allowed = most_occurrences(self.rows, self.dims, self.rule.passes());
            if self.count > allowed {
                let (limit, allowed) = ("occurrences a batch", allowed.into());
                return Err(Error::Limit { op, arg: "ids", limit, allowed, requested: self.count.into() });
            }
        }
        let needed = match self.gradients {
            Gradients::Each(_) => Self::workspace_len(self.count, self.dims) as u64,
            Gradients::Bags(_) => Self::bag_workspace_len(self.count, self.dims) as u64,
        };
        check::workspace(op, self.workspace.len(), needed)?;
        self.counter.as_ref().map_or(Ok(()), |counter| check::len(op, "counter", counter.len(), 1))
    }

    /// Its ids; with bags these, as an id in no bag has no gradient.
    fn room(&self) -> u32 {
        self.gradients.bags().map_or(self.count, |of| of.bags.len() as u32 - 1)
    }

    fn dispatch_first(self, gpu: &Gpu, list: &mut Dispatches, used: Count<'_>) -> Result<()> {
        let (count, dims, table_rows) = (self.count, self.dims, self.rows.len());
        let stepping = self.rule.constants(self.step, self.seed);
        let sort_base = 2 * count;
        let bags = self.gradients.bags();
        let workspace = &*self.workspace;
        // Unread where there are none; the ids have the right type.
        let winners = bags.and_then(|of| of.winners).unwrap_or(self.ids).binding("winners");
        let source = bags.map_or(0.0, |of| match (of.pooling, of.weights) {
            (Pooling::Sum, None) => 0.0,
            (Pooling::Max, _) => 2.0,
            _ => 1.0,
        });
        let keys = Keys::new(count, bits_below(table_rows + 1));
        let region = |base| Region::new("workspace", workspace).at(base);
        let sorting = Sorting { keys, home: [region(0), region(count)], space: region(sort_base) };
        let params = Params {
            page: self.rows.pages()[0].params(),
            table_rows,
            count,
            used: used.at_most(),
            dims,
            first: self.first,
            first_key: 0,
            keys: 0,
            occurrences: count,
            partials: sort_base + Sort::workspace_len(count) as u32,
            sources: Self::workspace_len(count, dims) as u32,
            weighted: u32::from(bags.is_some_and(|of| of.weights.is_some())),
            mean: u32::from(bags.is_some_and(|of| of.pooling == Pooling::Mean)),
            counter_at: 0,
            step: stepping.params(),
        };
        // Keys and occurrences are written where the sort begins; it leaves them in front.
        let [keys_at, occurrences_at] = sorting.origin().map(|region| region.base);
        let mut prepare = |entry, bindings: Vec<Binding<'_>>| {
            let params = Params { keys: keys_at, occurrences: occurrences_at, ..params }.words();
            let constants = vec![("source", source), used.counted()];
            let (shader, groups) = (&SHADER, count.div_ceil(256).into());
            let launch = PageLaunch { shader, entry, constants, params, bindings, groups };
            self.rows.pages()[0].launch(gpu, list, launch)
        };
        let (ids, space) = (self.ids.binding("ids"), workspace.binding("workspace"));
        match bags {
            None => prepare("prepare", vec![ids, space, used.binding(ids)])?,
            Some(of) => {
                // Unread where there are none; the gradients have the right type.
                let weights = of.weights.unwrap_or(of.gradients).binding("weights");
                prepare("prepare_bags", vec![ids, space, of.bags.binding("bags"), weights, used.binding(ids)])?;
            }
        }
        sorting.record(gpu, list)?;
        let gradients = self.gradients.buffer().binding("gradients");
        let counter = self.counter.as_deref().map(|counter| counter.binding("counter"));
        SortedRuns { rows: self.rows, stepping, params, source, gradients, space, winners, counter }.record(gpu, list)
    }

    fn twin_first(self, count: u32) -> Result<()> {
        with_codec!(self.rows.layout().format, V => cpu::update::<V>(self, count as usize))
    }

    fn other_changes(&self) -> Changes {
        self.rule.changes(Self::OP, self.step, self.seed)
    }
}

/// Lanes that share a row, each with four values at a time: enough for the largest that the rows expect, or for the
/// gradient where they expect none, so that rows may be resized without another pipeline.
pub(in crate::kernels) fn lanes_of(rows: &Rows, dims: u32) -> u32 {
    let dims = dims.max(rows.largest_expected());
    // A lane takes four words of one value or two of two, and of words of four one.
    let per_word = rows.layout().format.per_word();
    lanes_of_fours(if per_word == 4 { dims } else { dims.div_ceil(per_word) })
}

#[cfg(test)]
mod tests;
