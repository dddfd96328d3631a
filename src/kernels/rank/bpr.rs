//! Bayesian personalised ranking (BPR) on ragged rows: loss and gradients of (user, positive, negative) triples.
//!
//! For each triple b, `x = <e_u, e_p - e_n> + b_p - b_n` over the common dims, and `loss_b = softplus(-x)`. The
//! gradients are those of the mean over the B triples of
//! `softplus(-x) + l2 * (|e_u|^2 + |e_p|^2 + |e_n|^2) + l2_bias * (b_p^2 + b_n^2)`. Each occurrence has its own: with
//! `c = sigmoid(-x)`,
//!
//! * user: `(-c (e_p - e_n) + 2 l2 e_u) / B`
//! * positive: `(-c e_u + 2 l2 e_p) / B`, its bias `(-c + 2 l2_bias b_p) / B`
//! * negative: `(c e_u + 2 l2 e_n) / B`, its bias `(c + 2 l2_bias b_n) / B`
//!
//! A user's row may be dense and contain the rows of the user's items, each with the weight `w_u`. Models that make
//! users of their histories have such rows. The positive is then left out, `x = <e_u - w_u e_p, e_p - e_n>`, so that no
//! item learns to predict itself. The positive's gradient gains `c w_u (e_p - e_n) / B`. The part that goes back
//! through `e_u` to the items is left to the caller, and `l2` does not decay such a row.
//!
//! # Shapes
//! The triples are three blocks of `B` ids, from `first` on: users, positives, negatives. With a bias an item row of
//! size s is `[bias, e_0 .. e_(s-2)]`, and an empty row has bias 0. A fixed bias counts as 0 in x, and its gradient is
//! 0. A row longer than its output width counts as if it were cut to that width. A triple with an id past its table
//! (u32::MAX says that there is no such item) has loss 0 and gradients 0, and counts in `B`. A gradient is 0 past its
//! row's size.
//!
//! # Numerics
//! The terms of x are summed in eight partial sums, of every eighth dim each, and these as a tree: in one order
//! whatever the widths are. Each device is within `eps * (dims + 4) * m` of x, `m` the sum of the terms' sizes; c and
//! the loss follow, plus `20 * eps` for exp and log. `|x|` may be as large as f32 goes.
//!
//! # Cost
//! One dispatch. The rows are read twice, the second time from a cache, and `4 * B * (1 + user_dims + 2 * item_dims)`
//! bytes are written. On a GPU a table in several pages takes one more dispatch for each page. These copy the rows of
//! the batch to a workspace of `4 * B * (3 + user_dims + 2 * item_dims)` bytes (less where one of the tables lies in
//! one page), which is then read in place of the table.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::rank::bpr::{BiasUse, Bpr, UserRows};
//! use scall_gpu::rows::{Layout, Rows};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let (mut users, mut items) = (rows(&device, &[2])?, rows(&device, &[2, 1])?);
//! users.write(&[1.0, 1.0])?;
//! items.write(&[2.0, 1.0, 3.0])?; // [2, 1] and [3]
//! let triples = Buffer::from_slice(&device, &[0, 0, 1])?; // one: user 0 took item 0, and not item 1
//! let (mut loss, mut of_users) = (Buffer::zeroed(&device, 1)?, Buffer::zeroed(&device, 2)?);
//! let mut of_items = Buffer::zeroed(&device, 2 * 2)?;
//! let sides = UserRows::Ragged(&users);
//! let mut workspace = Buffer::zeroed(&device, Bpr::workspace_len(1, sides, &items, [2, 2]))?;
//! Bpr {
//!     triples: &triples,
//!     first: 0,
//!     users: sides,
//!     items: &items,
//!     item_bias: BiasUse::None,
//!     l2: 0.0,
//!     l2_bias: 0.0,
//!     user_dims: 2,
//!     item_dims: 2,
//!     loss: &mut loss,
//!     user_gradients: &mut of_users,
//!     item_gradients: &mut of_items,
//!     workspace: &mut workspace,
//! }
//! .run(&device)?;
//! // x = (2 - 3) + (1 - 0) = 0, so the loss is ln 2 and c is 1/2.
//! let near = |found: Vec<f32>, wanted: &[f32]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
//! assert!(near(loss.read()?, &[0.693_147_2]));
//! assert!(near(of_users.read()?, &[0.5, -0.5])); // [1, 2]
//! assert!(near(of_items.read()?, &[-0.5, -0.5, 0.5, 0.0])); // [2, 2]: item 0, then item 1, which has one dim
//! # Ok(()) }
//! # fn rows(device: &Device, sizes: &[u32]) -> scall_gpu::Result<Rows> {
//! #     Rows::zeroed(device, sizes, Layout::default(), Default::default())
//! # }
//! ```
//!
//! Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.

use crate::Result;
use crate::check;
use crate::device::{Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::rows::{Format, PageParams, Rows, with_codec};

mod cpu;

pub(crate) static SHADER: Shader = Shader {
    name: "rank/bpr",
    source: include_str!("../../../shaders/rank/bpr.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("gradients", &[reads(1), reads(2), reads(3), reads(4), reads(5), writes(6), writes(7), writes(8)])
            .with_overrides(&["user_gathered", "item_gathered"]),
        Entry::of("gather", &[reads(1), reads(2), reads(3), writes(9)]).with_overrides(&["user_gathered"]),
    ],
};

params! {
    #[derive(Default)]
    struct Params {
        count: u32,
        user: PageParams,
        item: PageParams,
        users: u32,
        items: u32,
        user_dims: u32,
        item_dims: u32,
        bias: u32,
        learned: u32,
        dense: u32,
        l2: f32,
        l2_bias: f32,
        user_values: u32,
        item_values: u32,
        triples_at: u32,
        first: u32,
        occurrences: u32,
    }
}

/// Threads that share a triple.
const LANES: u32 = 8;

/// What the first value of an item row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BiasUse {
    /// The first dim of the embedding.
    #[default]
    None,
    /// A bias that is learned.
    Learned,
    /// A bias that is set by other means: loss and gradients leave it out.
    Fixed,
}

/// What the users' rows are.
#[derive(Clone, Copy, Debug)]
pub enum UserRows<'a> {
    /// Rows of a table.
    Ragged(&'a Rows),
    /// Dense, with the rows of a user's items among their sum.
    History {
        /// `users * user_dims` values.
        values: &'a Buffer<f32>,
        /// The weight `w_u` of each of the `users`.
        weights: &'a Buffer<f32>,
    },
}

impl UserRows<'_> {
    fn rows(&self) -> u32 {
        match self {
            Self::Ragged(rows) => rows.len(),
            Self::History { weights, .. } => weights.len() as u32,
        }
    }

    fn format(&self) -> Format {
        match self {
            Self::Ragged(rows) => rows.layout().format,
            Self::History { .. } => Format::F32,
        }
    }

    /// The table, if it lies in several pages.
    fn paged(&self) -> Option<&Rows> {
        match self {
            Self::Ragged(rows) => paged(rows),
            Self::History { .. } => None,
        }
    }
}

fn paged(rows: &Rows) -> Option<&Rows> {
    (rows.pages().len() > 1).then_some(rows)
}

/// Loss and gradients of a batch of triples. See the [module](self).
#[derive(Debug)]
pub struct Bpr<'a> {
    /// The ids: from the first on users, then positives, then negatives, `B` each.
    pub triples: &'a Buffer<u32>,
    /// First of the ids to use.
    pub first: u32,
    /// The users' rows.
    pub users: UserRows<'a>,
    /// The items' rows.
    pub items: &'a Rows,
    /// What the first value of an item row is.
    pub item_bias: BiasUse,
    /// Weight of the squared embeddings.
    pub l2: f32,
    /// Weight of the squared biases.
    pub l2_bias: f32,
    /// Width of a user's gradient; longer rows are cut to it.
    pub user_dims: u32,
    /// Width of an item's gradient, its bias included; longer rows are cut to it.
    pub item_dims: u32,
    /// `B` losses; every one is written.
    pub loss: &'a mut Buffer<f32>,
    /// `B * user_dims` values; every one is written.
    pub user_gradients: &'a mut Buffer<f32>,
    /// `2 * B * item_dims` values, positives first; every one is written.
    pub item_gradients: &'a mut Buffer<f32>,
    /// At least [`Bpr::workspace_len`] words; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<u32>,
}

/// Where gathered rows lie in the workspace.
struct Gathered {
    user_values: u64,
    item_values: u64,
    end: u64,
}

impl Gathered {
    fn new(batch: u64, users: Option<u32>, items: Option<u32>) -> Self {
        // Saturating, since the widths are checked only once the workspace is there.
        let values = |rows: u64, dims: Option<u32>| rows.saturating_mul(dims.unwrap_or(0).into());
        let user_values = if users.or(items).is_some() { 3 * batch } else { 0 };
        let item_values = user_values.saturating_add(values(batch, users));
        Self { user_values, item_values, end: item_values.saturating_add(values(2 * batch, items)) }
    }
}

impl Bpr<'_> {
    /// Words of workspace for a batch, with users' and items' gradients of these widths: 0 where all rows lie in one
    /// page.
    pub fn workspace_len(batch: u32, users: UserRows<'_>, items: &Rows, [user_dims, item_dims]: [u32; 2]) -> usize {
        let (users, items) = (users.paged().map(|_| user_dims), paged(items).map(|_| item_dims));
        Gathered::new(batch.into(), users, items).end as usize
    }

    fn gathered(&self) -> Gathered {
        let (users, items) = (self.users.paged(), paged(self.items));
        Gathered::new(self.loss.len() as u64, users.map(|_| self.user_dims), items.map(|_| self.item_dims))
    }

    /// Copies the rows that the ids from `first` on name to the workspace, where they begin at `values`.
    fn gather(
        &self,
        (gpu, list): (&Gpu, &mut Dispatches),
        rows: &Rows,
        (first, occurrences): (u32, u32),
        (values, dims): (u64, u32),
    ) -> Result<()> {
        for page in rows.pages() {
            let [arena, directory] = page.bindings();
            Launch {
                shader: &SHADER,
                entry: "gather",
                codecs: &[page.codec(), Format::F32.source()],
                constants: &[],
                params: Params {
                    user: page.params(),
                    user_dims: dims,
                    user_values: values as u32,
                    triples_at: self.first,
                    first,
                    occurrences,
                    ..Params::default()
                }
                .words(),
                bindings: &[self.triples.binding("triples"), arena, directory, self.workspace.binding("workspace")],
                groups: u64::from(occurrences).div_ceil(u64::from(256 / LANES)),
            }
            .record(gpu, list)?;
        }
        Ok(())
    }
}

impl Kernel for Bpr<'_> {
    const NAME: &'static str = "rank/bpr";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        let batch = self.loss.len() as u64;
        check::at_least(op, "triples", self.triples.len(), u64::from(self.first) + 3 * batch)?;
        check::indexable(op, "triples", self.triples.len() as u64)?;
        if let UserRows::History { values, weights } = self.users {
            check::matrix(op, "users.values", values.len(), weights.len() as u64, self.user_dims)?;
        }
        check::dims(op, self.user_dims)?;
        check::dims(op, self.item_dims)?;
        for (arg, value) in [("l2", self.l2), ("l2_bias", self.l2_bias)] {
            check::domain(op, arg, value, value.is_finite() && value >= 0.0, "finite and not negative")?;
        }
        let (users, items) = (batch * u64::from(self.user_dims), 2 * batch * u64::from(self.item_dims));
        check::indexable(op, "user_gradients", users)?;
        check::indexable(op, "item_gradients", items)?;
        check::len(op, "user_gradients", self.user_gradients.len(), users)?;
        check::len(op, "item_gradients", self.item_gradients.len(), items)?;
        if self.loss.as_wgpu().is_some() {
            let words = self.gathered().end;
            check::workspace(op, self.workspace.len(), words)?;
        }
        Ok(())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let count = self.loss.len() as u32;
        let at = self.gathered();
        let nothing = PageParams::default();
        let workspace = || self.workspace.binding("workspace");
        if let Some(rows) = self.users.paged() {
            self.gather((gpu, &mut *list), rows, (0, count), (at.user_values, self.user_dims))?;
        }
        let (user, [user_arena, user_directory], user_format) = match self.users {
            UserRows::Ragged(rows) => match rows.pages() {
                [page] => (page.params(), page.bindings(), page.format()),
                _ => (nothing, [workspace(), workspace()], Format::F32),
            },
            UserRows::History { values, weights } => {
                (nothing, [values.binding("users.values"), weights.binding("users.weights")], Format::F32)
            }
        };
        if let Some(rows) = paged(self.items) {
            self.gather((gpu, &mut *list), rows, (count, 2 * count), (at.item_values, self.item_dims))?;
        }
        let (item, [item_arena, item_directory], item_format) = match self.items.pages() {
            [page] => (page.params(), page.bindings(), page.format()),
            _ => (nothing, [workspace(), workspace()], Format::F32),
        };
        let flag = |on: bool| f64::from(u32::from(on));
        Launch {
            shader: &SHADER,
            entry: "gradients",
            codecs: &[user_format.source(), item_format.source()],
            constants: &[
                ("user_gathered", flag(self.users.paged().is_some())),
                ("item_gathered", flag(paged(self.items).is_some())),
            ],
            params: Params {
                count,
                users: self.users.rows(),
                items: self.items.len(),
                user,
                item,
                user_dims: self.user_dims,
                item_dims: self.item_dims,
                bias: u32::from(self.item_bias != BiasUse::None),
                learned: u32::from(self.item_bias == BiasUse::Learned),
                dense: u32::from(matches!(self.users, UserRows::History { .. })),
                l2: self.l2,
                l2_bias: self.l2_bias,
                user_values: at.user_values as u32,
                item_values: at.item_values as u32,
                triples_at: self.first,
                ..Params::default()
            }
            .words(),
            bindings: &[
                self.triples.binding("triples"),
                user_arena,
                user_directory,
                item_arena,
                item_directory,
                self.loss.binding("loss"),
                self.user_gradients.binding("user_gradients"),
                self.item_gradients.binding("item_gradients"),
            ],
            groups: u64::from(count).div_ceil(u64::from(256 / LANES)),
        }
        .record(gpu, list)
    }

    fn twin(self) -> Result<()> {
        with_codec!(self.users.format(), U => with_codec!(self.items.layout().format, I => self.twin_of::<U, I>()))
    }
}

#[cfg(test)]
mod tests;
