//! The two tables of a recommender, under one account.

mod existing;

use super::tables::{TableMut, TablesMut};
use crate::check;
use crate::device::{Buffer, Device, Kernel};
use crate::file::State;
use crate::kernels::rank::bpr::BiasUse;
use crate::kernels::table::store::Store;
use crate::kernels::table::update::UpdateRule;
use crate::rows::{Layout, Values};
use crate::sizing::{Shape, Sizes};
use crate::table::{Account, MemoryReport, RaggedTable, ResizePlan, TableOptions};
use crate::{Error, Result};

/// Where the bias of an item comes from, the first value of its row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ItemBias {
    /// There is none.
    None,
    /// It is learned like the embedding.
    Learned {
        /// What is left of it when a segment begins: 0 learns anew what sells, 1 forgets nothing.
        keep: f32,
    },
    /// It is counted: `ln(c + 0.05)`, c the rows of the item, each weighing half as much for each half-life that has
    /// passed since (`docs/method.md` section 5). Training passes it over.
    Counted {
        /// Rows of the stream after which a row counts half; none lets each segment choose by its last training rows.
        half_life: Option<f64>,
    },
}

impl Default for ItemBias {
    /// Counted with the half-life that each segment chooses: what sells moves faster than an embedding learns.
    fn default() -> Self {
        Self::Counted { half_life: None }
    }
}

impl ItemBias {
    /// The names that [`from_name`](Self::from_name) takes.
    pub const NAMES: &'static [&'static str] = &["counted", "learned", "none"];

    /// By name: `counted` with the half-life that each segment chooses, `learned` again in each segment, or `none`.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        let all = [Self::Counted { half_life: None }, Self::Learned { keep: 0.0 }, Self::None];
        check::named("ItemBias::from_name", "name", &all, Self::name, name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counted { .. } => "counted",
            Self::Learned { .. } => "learned",
            Self::None => "none",
        }
    }

    /// What it is, in a few words.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Counted { .. } => "What sold lately, counted.",
            Self::Learned { .. } => "Learned like the embedding.",
            Self::None => "Without.",
        }
    }

    /// Whether an item row begins with a bias.
    pub fn exists(self) -> bool {
        self != Self::None
    }

    /// That its numbers are within their domain.
    pub(crate) fn check(self, op: &'static str) -> Result<()> {
        match self {
            Self::Learned { keep } => check::domain(op, "keep", keep, (0.0..=1.0).contains(&keep), "from 0 to 1"),
            Self::Counted { half_life: Some(half_life) } => {
                check::domain(op, "half_life", half_life, half_life > 0.0, "above 0")
            }
            Self::None | Self::Counted { half_life: None } => Ok(()),
        }
    }

    /// What training makes of it.
    pub(super) fn in_training(self) -> BiasUse {
        match self {
            Self::None => BiasUse::None,
            Self::Learned { .. } => BiasUse::Learned,
            Self::Counted { .. } => BiasUse::Fixed,
        }
    }
}

/// How the tables of a recommender start and move.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingsOptions {
    /// How the rows of both tables move.
    pub rule: UpdateRule,
    /// Standard deviation of new values in user rows and in item rows.
    pub init_std: [f32; 2],
    /// Whether an item row begins with a bias, one more parameter an item.
    pub item_bias: bool,
    /// Seed of new values.
    pub seed: u64,
    /// How rows lie in memory.
    pub layout: Layout,
}

/// The rows of all users and all items. With an item bias, element 0 of each item row is it: held, resized and counted
/// by the budget like any value.
#[derive(Debug)]
pub struct Embeddings {
    device: Device,
    users: RaggedTable,
    items: RaggedTable,
    item_bias: bool,
    peak_bytes: u64,
}

/// What a resize did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resized {
    /// Known entities that got more dims.
    pub grown_rows: u32,
    /// Known entities that got fewer.
    pub shrunk_rows: u32,
    /// Entities that got their first row.
    pub new_rows: u64,
}

/// The values of both tables at one moment, without optimizer state.
#[derive(Debug)]
pub struct Snapshot {
    values: [Vec<Values>; 2],
}

impl Embeddings {
    /// Tables without rows; [`resize`](Self::resize) gives them some. Both draw from `account`.
    ///
    /// # Errors
    /// [`Error::Argument`] for options outside their domain; [`Error::OverBudget`] for an account with no room at all.
    pub fn new(device: &Device, options: EmbeddingsOptions, account: &Account) -> Result<Self> {
        let EmbeddingsOptions { rule, init_std, item_bias, seed, layout } = options;
        let table = |label, side: u64, init_std, zero_dims| {
            // The side in the key's top bits: users and items draw different values from one seed.
            let options = TableOptions { rule, init_std, zero_dims, seed: seed ^ (side << 62), layout };
            RaggedTable::new(&device.labeled(label), &[], options, account)
        };
        let users = table("users", 1, init_std[0], 0)?;
        let items = table("items", 2, init_std[1], u32::from(item_bias))?;
        Ok(Self { device: device.clone(), users, items, item_bias, peak_bytes: 0 })
    }

    /// A copy, optimizer state included, that draws from another account.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when that account has no room for it; what the device reports.
    pub fn duplicate(&self, account: &Account) -> Result<Self> {
        Ok(Self {
            device: self.device.clone(),
            users: self.users.duplicate(account)?,
            items: self.items.duplicate(account)?,
            item_bias: self.item_bias,
            peak_bytes: 0,
        })
    }

    /// The device that they live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The users' table.
    pub fn users(&self) -> &RaggedTable {
        &self.users
    }

    /// The items' table; with a bias, element 0 of each row is it.
    pub fn items(&self) -> &RaggedTable {
        &self.items
    }

    /// Both tables, to be trained: all of them may change but their sizes, so that what the account promises holds.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// use scall_gpu::models::{ModelOptions, TablesMut};
    /// use scall_gpu::sizing::Sizes;
    /// use scall_gpu::table::{Account, Counts};
    /// # fn main() -> scall_gpu::Result<()> {
    /// let (device, account) = (Device::cpu(), Account::new(200, Counts::default()));
    /// let mut model = ModelOptions::from_name("mf")?.build(&device, &account)?;
    /// let embeddings = model.embeddings_mut();
    /// embeddings.resize(&Sizes { users: vec![2, 1], items: vec![1, 3], action: None })?;
    /// let TablesMut { mut users, items } = embeddings.tables_mut();
    /// assert_eq!((users.len(), items.len()), (3, 6)); // an item has a bias too
    /// // Pretrained rows, by their ids.
    /// users.store_rows(&[1, 0], &Buffer::from_slice(&device, &[0.5, 0.0, 1.0, 2.0])?, 2)?;
    /// assert_eq!(users.read()?, [1.0, 2.0, 0.5]);
    /// # Ok(()) }
    /// ```
    pub fn tables_mut(&mut self) -> TablesMut<'_> {
        TablesMut { users: TableMut::new(&mut self.users), items: TableMut::new(&mut self.items) }
    }

    /// Whether an item row begins with a bias.
    pub fn item_bias(&self) -> bool {
        self.item_bias
    }

    /// What a budget in bytes has to know of the rows.
    pub fn shape(&self) -> Shape {
        let (layout, state) = (self.users.as_rows().layout(), self.users.as_rows().state_size());
        Shape { layout, state, item_bias: self.item_bias }
    }

    /// Sizes of the widest user row and the widest item row, bias included.
    pub fn widths(&self) -> (u32, u32) {
        (self.users.widest(), self.items.widest().max(u32::from(self.item_bias)))
    }

    /// Says how many dims an entity will ever have at most (a bias comes on top), as
    /// [`RaggedTable::expect_sizes`] does of a table.
    pub fn expect_sizes(&mut self, d_max: u32) {
        self.users.expect_sizes(d_max);
        self.items.expect_sizes(d_max.saturating_add(self.item_bias.into()));
    }

    /// Bytes that both tables hold; the peak is the most held at once while the last resize moved one after the other.
    pub fn memory(&self) -> MemoryReport {
        let (users, items) = (self.users.memory(), self.items.memory());
        MemoryReport {
            values_bytes: users.values_bytes + items.values_bytes,
            optimizer_bytes: users.optimizer_bytes + items.optimizer_bytes,
            metadata_bytes: users.metadata_bytes + items.metadata_bytes,
            peak_bytes: self.peak_bytes,
        }
    }

    /// Gives every entity the dims that `sizes` says (a bias comes on top); entities past the rows there are get rows.
    /// The table that shrinks goes first, so that the account holds throughout.
    ///
    /// # Errors
    /// [`Error::OverBudget`] and [`Error::Limit`] before anything moves. Should the device fail while the second table
    /// moves, the first has its new sizes.
    pub fn resize(&mut self, sizes: &Sizes) -> Result<Resized> {
        let bias = u32::from(self.item_bias);
        let items: Vec<u32> = sizes.items.iter().map(|dims| dims.saturating_add(bias)).collect();
        let plans = [self.users.plan(&sizes.users)?, self.items.plan(&items)?];
        let after = [self.users.counted_bytes_after(&plans[0]), self.items.counted_bytes_after(&plans[1])];
        let account = self.users.account();
        let needed = account.used_bytes() - self.users.used_bytes() - self.items.used_bytes() + after[0] + after[1];
        if needed > account.capacity_bytes() {
            return Err(Error::OverBudget { needed, budget: account.capacity_bytes(), unit: "bytes" });
        }
        let users_first = after[0] <= self.users.used_bytes();
        let mut tables = [(&mut self.users, &plans[0]), (&mut self.items, &plans[1])];
        if !users_first {
            tables.reverse();
        }
        let [(first, first_plan), (second, second_plan)] = tables;
        let waiting = second.memory().total_bytes();
        first.resize(first_plan)?;
        let moved = first.memory();
        second.resize(second_plan)?;
        self.peak_bytes = (moved.peak_bytes + waiting).max(moved.total_bytes() + second.memory().peak_bytes);
        let total = |part: fn(&ResizePlan) -> u32| part(&plans[0]) + part(&plans[1]);
        Ok(Resized {
            grown_rows: total(|plan| plan.grown_rows()),
            shrunk_rows: total(|plan| plan.shrunk_rows()),
            new_rows: plans[0].new_rows() + plans[1].new_rows(),
        })
    }

    /// Sets the bias of every item, where items have one.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of biases than items; what the device reports.
    pub fn set_biases(&mut self, biases: &[f32]) -> Result<()> {
        let rows = self.items.rows();
        if biases.len() != rows as usize {
            let (expected, got) = (u64::from(rows), biases.len() as u64);
            return Err(Error::Shape { op: "Embeddings::set_biases", arg: "biases", expected, got });
        }
        if !self.item_bias {
            return Ok(());
        }
        let ids = Buffer::from_vec(&self.device, (0..rows).collect())?;
        let values = Buffer::from_slice(&self.device, biases)?;
        Store { rows: self.items.rows_mut(), ids: &ids, values: &values, dims: 1 }.run(&self.device)
    }

    /// Biases as [`set_biases`](Self::set_biases) would store them: rounded to the format of the rows
    /// (one that shares a word with larger dims may be rounded more).
    pub(crate) fn as_stored(&self, biases: Vec<f32>) -> Vec<f32> {
        self.items.as_rows().layout().format.each_alone(biases)
    }

    /// Multiplies every item bias by `factor`: popularity fades, taste stays.
    ///
    /// # Errors
    /// What the device reports.
    pub fn fade_biases(&mut self, factor: f32) -> Result<()> {
        let rows = self.items.rows();
        if !self.item_bias || factor == 1.0 || rows == 0 {
            return Ok(());
        }
        let ids: Vec<u32> = (0..rows).collect();
        let mut biases = self.items.lookup(&ids, 1)?.read()?;
        biases.iter_mut().for_each(|bias| *bias *= factor);
        self.set_biases(&biases)
    }

    /// All of both tables: what [`restore_state`](Self::restore_state) takes.
    ///
    /// # Cost
    /// All of it is on the host then.
    ///
    /// # Errors
    /// What the device reports.
    pub fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put_state("users", self.users.state()?);
        state.put_state("items", self.items.state()?);
        Ok(state)
    }

    /// Makes both tables those whose [`state`](Self::state) that was.
    ///
    /// # Errors
    /// Those of [`RaggedTable::restore_state`]; the users' table is restored then, when it is the items' that are
    /// refused.
    pub fn restore_state(&mut self, state: &State) -> Result<()> {
        let mut state = state.clone();
        let (users, items) = (state.take_state("users"), state.take_state("items"));
        state.only(&[])?;
        self.users.restore_state(&users)?;
        self.items.restore_state(&items)?;
        self.peak_bytes = 0;
        Ok(())
    }

    /// Copies the values of both tables: as many bytes as they take, outside the account.
    ///
    /// # Errors
    /// What the device reports.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot { values: [self.users.as_rows().copy_values()?, self.items.as_rows().copy_values()?] })
    }

    /// Puts the values of a snapshot back; optimizer state stays as it is.
    ///
    /// # Errors
    /// [`Error::Shape`] for a snapshot taken before a resize.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        for (table, saved) in [(&self.users, &snapshot.values[0]), (&self.items, &snapshot.values[1])] {
            table.as_rows().check_copy("Embeddings::restore", saved)?;
        }
        self.users.rows_mut().restore_values(&snapshot.values[0])?;
        self.items.rows_mut().restore_values(&snapshot.values[1])
    }
}
