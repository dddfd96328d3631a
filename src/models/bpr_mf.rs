//! Matrix factorisation trained with BPR, on ragged rows.

use super::{DEFAULT_WORKING_BYTES, RankCandidates, Rankings, TrainingSet};
use crate::device::{Buffer, Commands, Device, Kernel};
use crate::kernels::check;
use crate::kernels::prim::reduce::{Operator, Reduce};
use crate::kernels::rank::bpr::Bpr;
use crate::kernels::rank::triples::SampleTriples;
use crate::kernels::table::lookup::Lookup;
use crate::kernels::table::update::{Optimizer, Update};
use crate::sizing::Sizes;
use crate::table::{Account, MemoryReport, Occurrences, RaggedTable, ResizePlan, TableOptions};
use crate::{Error, Result};

/// How [`BprMf`] learns.
#[derive(Clone, Copy, Debug)]
pub struct BprMfOptions {
    /// Optimizer (default: Adagrad at 0.5 with an epsilon of 1e-3, the size of a frequent row's gradient: rare rows then
    /// take small steps instead of steps of the full rate on little evidence).
    pub optimizer: Optimizer,
    /// Triples a step (default 4,096: a step is short and its launches still cost little).
    pub batch: u32,
    /// Weight of the squared embeddings of the batch's rows, a triple (default 0.02).
    pub l2: f32,
    /// Weight of the squared biases (default 0: a bias is one number and hard to overfit).
    pub l2_bias: f32,
    /// Whether an item row begins with a bias, one more parameter an item (default: yes, popularity is most of what can
    /// be known of a new item).
    pub item_bias: bool,
    /// Standard deviation of new values (default 0.01, `docs/method.md` section 5).
    pub init_std: f32,
    /// Seed of the triples and of new values (default 0).
    pub seed: u64,
}

impl Default for BprMfOptions {
    fn default() -> Self {
        Self {
            optimizer: Optimizer::Adagrad { learning_rate: 0.5, epsilon: 1e-3 },
            batch: 4096,
            l2: 0.02,
            l2_bias: 0.0,
            item_bias: true,
            init_std: 0.01,
            seed: 0,
        }
    }
}

/// Scores `b_i + <e_u, e_i>` over the dims that both rows have; the loss of a triple (u, p, n) is
/// `softplus(s_n - s_p) + l2 * (|e_u|^2 + |e_p|^2 + |e_n|^2)`.
///
/// A training step stays on the device: triples are drawn, gradients computed, summed exactly over duplicates, and both
/// tables updated, several steps a submission.
///
/// Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009; `docs/method.md` section 5.
#[derive(Debug)]
pub struct BprMf {
    device: Device,
    options: BprMfOptions,
    users: RaggedTable,
    items: RaggedTable,
    step: u32,
    peak_bytes: u64,
}

/// Largest batch: its buffers are dense, three rows a triple.
const MAX_BATCH: u32 = 1 << 20;

/// Steps recorded into one submission: enough to hide its cost, few enough for progress to be seen.
const STEPS_A_SUBMISSION: u32 = 16;

impl BprMf {
    /// A model without rows; [`resize`](Self::resize) gives it some. Both tables draw from `account`.
    ///
    /// # Errors
    /// [`Error::Argument`] for options outside their domain; [`Error::OverBudget`] for an account with no room at all.
    pub fn new(device: &Device, options: BprMfOptions, account: &Account) -> Result<Self> {
        let op = "BprMf::new";
        let batch = options.batch;
        check::domain(op, "batch", batch, (1..=MAX_BATCH).contains(&batch), &format!("from 1 to {MAX_BATCH}"))?;
        for (arg, value) in [("l2", options.l2), ("l2_bias", options.l2_bias), ("init_std", options.init_std)] {
            check::domain(op, arg, value, value.is_finite() && value >= 0.0, "finite and not negative")?;
        }
        let table = |side: u64, zero_dims| {
            let BprMfOptions { optimizer, init_std, seed, .. } = options;
            // The side in the key's top bits: users and items draw different values from one seed.
            let options = TableOptions { optimizer, init_std, zero_dims, seed: seed ^ (side << 62) };
            RaggedTable::new(device, &[], options, account)
        };
        Ok(Self {
            device: device.clone(),
            options,
            users: table(1, 0)?,
            items: table(2, u32::from(options.item_bias))?,
            step: 0,
            peak_bytes: 0,
        })
    }

    /// The users' table.
    pub fn users(&self) -> &RaggedTable {
        &self.users
    }

    /// The items' table; with a bias, element 0 of each row is it.
    pub fn items(&self) -> &RaggedTable {
        &self.items
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

    /// Gives every entity the dims that `sizes` says (a bias comes on top); entities past the rows there are get rows. The
    /// table that shrinks goes first, so that the account holds throughout.
    ///
    /// # Errors
    /// [`Error::OverBudget`] and [`Error::Limit`] before anything moves. Should the device fail while the second table
    /// moves, the first has its new sizes.
    pub fn resize(&mut self, sizes: &Sizes) -> Result<Resized> {
        let bias = u32::from(self.options.item_bias);
        let items: Vec<u32> = sizes.items.iter().map(|dims| dims.saturating_add(bias)).collect();
        let plans = [self.users.plan(&sizes.users)?, self.items.plan(&items)?];
        self.users.check_room(&plans[0])?;
        self.items.check_room(&plans[1])?;
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

    /// Multiplies every item bias by `factor`: popularity fades, taste stays.
    ///
    /// # Errors
    /// What the device reports.
    pub fn fade_bias(&mut self, factor: f32) -> Result<()> {
        let rows = self.items.rows();
        if !self.options.item_bias || factor == 1.0 || rows == 0 {
            return Ok(());
        }
        let ids = Buffer::from_vec(&self.device, (0..rows).collect())?;
        let mut biases = Buffer::zeroed(&self.device, rows as usize)?;
        let mut workspace = Buffer::zeroed(&self.device, self.items.update_workspace_len(rows, 1))?;
        let mut commands = self.device.commands();
        let (arena, offsets) = (self.items.values(), self.items.offsets());
        commands.run(Lookup { arena, offsets, ids: &ids, dims: 1, out: &mut biases })?;
        // w - (1 - factor) * w: an SGD step whose gradient is the bias itself.
        let optimizer = Optimizer::Sgd { learning_rate: 1.0 - factor };
        let (arena, offsets) = self.items.values_mut();
        commands.run(Update {
            arena,
            offsets,
            state: &mut [],
            ids: &ids,
            first: 0,
            count: rows,
            gradients: &biases,
            dims: 1,
            optimizer,
            step: 1,
            workspace: &mut workspace,
        })?;
        commands.submit()
    }

    /// Takes `steps` training steps; `progress` hears of the steps done. Returns the mean loss of the last batch.
    ///
    /// # Errors
    /// [`Error::Diverged`] when that loss is not finite; what the device reports.
    pub fn train(&mut self, set: &TrainingSet, steps: u32, mut progress: impl FnMut(u32)) -> Result<f32> {
        let mut scratch = Scratch::new(self)?;
        let mut done = 0;
        while done < steps {
            let now = STEPS_A_SUBMISSION.min(steps - done);
            let mut commands = self.device.commands();
            for _ in 0..now {
                self.record_step(&mut commands, set, &mut scratch)?;
            }
            commands.submit()?;
            // A queue that runs far ahead holds the parameters of every launch in it.
            self.device.wait()?;
            done += now;
            progress(now);
        }
        let mut sum = Buffer::zeroed(&self.device, Reduce::<f32>::out_len(self.options.batch))?;
        Reduce { input: &scratch.loss, operator: Operator::Sum, out: &mut sum }.run(&self.device)?;
        let loss = f32::from_bits(sum.read()?[0]) / self.options.batch as f32;
        if !loss.is_finite() {
            return Err(Error::Diverged { steps, loss });
        }
        Ok(loss)
    }

    /// The best `k` of the candidates for each user.
    ///
    /// # Errors
    /// Those of [`RankCandidates`].
    pub fn rank<'a>(&'a self, request: RankRequest<'a>) -> Result<Rankings> {
        let RankRequest { users, candidates, excluded, k } = request;
        let (user_dims, item_dims) = self.widths();
        RankCandidates {
            user_arena: self.users.values(),
            user_offsets: self.users.offsets(),
            item_arena: self.items.values(),
            item_offsets: self.items.offsets(),
            item_bias: self.options.item_bias,
            // Dims beyond the shorter side's widest row meet nothing.
            dims: user_dims.min(item_dims - u32::from(self.options.item_bias)),
            users,
            candidates,
            excluded,
            k,
            working_bytes: DEFAULT_WORKING_BYTES,
        }
        .run(&self.device)
    }

    /// Sizes of the widest user row and the widest item row, bias included.
    fn widths(&self) -> (u32, u32) {
        let widest = |table: &RaggedTable| table.sizes().max().unwrap_or(0);
        (widest(&self.users), widest(&self.items).max(u32::from(self.options.item_bias)))
    }

    fn record_step(&mut self, commands: &mut Commands, set: &TrainingSet, scratch: &mut Scratch) -> Result<()> {
        let BprMfOptions { batch, seed, l2, l2_bias, item_bias, .. } = self.options;
        let (user_dims, item_dims) = scratch.widths;
        commands.run(SampleTriples {
            users: &set.users,
            positive_offsets: &set.positive_offsets,
            positives: &set.positives,
            items: &set.items,
            touched_offsets: &set.touched_offsets,
            touched: &set.touched,
            step: self.step,
            seed,
            batch,
            triples: &mut scratch.triples,
        })?;
        commands.run(Bpr {
            triples: &scratch.triples,
            user_arena: self.users.values(),
            user_offsets: self.users.offsets(),
            item_arena: self.items.values(),
            item_offsets: self.items.offsets(),
            item_bias,
            l2,
            l2_bias,
            user_dims,
            item_dims,
            loss: &mut scratch.loss,
            user_gradients: &mut scratch.user_gradients,
            item_gradients: &mut scratch.item_gradients,
        })?;
        let (triples, workspace) = (&scratch.triples, &mut scratch.workspace);
        let (gradients, dims) = (&scratch.user_gradients, user_dims);
        let occurrences = Occurrences { ids: triples, first: 0, count: batch, gradients, dims };
        self.users.record_update(commands, occurrences, workspace)?;
        let (gradients, dims) = (&scratch.item_gradients, item_dims);
        let occurrences = Occurrences { ids: triples, first: batch, count: 2 * batch, gradients, dims };
        self.items.record_update(commands, occurrences, workspace)?;
        self.step += 1;
        Ok(())
    }
}

/// Whom to rank what for.
#[derive(Clone, Copy)]
pub struct RankRequest<'a> {
    /// Ids of the users.
    pub users: &'a [u32],
    /// Ids of the items to rank, ascending and distinct.
    pub candidates: &'a [u32],
    /// The item ids that a user's list leaves out.
    pub excluded: &'a dyn Fn(u32) -> &'a [u32],
    /// Length of a list.
    pub k: u32,
}

/// What [`BprMf::resize`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resized {
    /// Known entities that got more dims.
    pub grown_rows: u32,
    /// Known entities that got fewer.
    pub shrunk_rows: u32,
    /// Entities that got their first row.
    pub new_rows: u64,
}

/// Buffers of a training step, reused by all steps of one call.
struct Scratch {
    widths: (u32, u32),
    triples: Buffer<u32>,
    loss: Buffer<f32>,
    user_gradients: Buffer<f32>,
    item_gradients: Buffer<f32>,
    workspace: Buffer<u32>,
}

impl Scratch {
    fn new(model: &BprMf) -> Result<Self> {
        let (device, batch) = (&model.device, model.options.batch);
        let widths = model.widths();
        let workspace = match device {
            Device::Cpu => 0,
            Device::Gpu(_) => Update::workspace_len(batch, widths.0).max(Update::workspace_len(2 * batch, widths.1)),
        };
        Ok(Self {
            widths,
            triples: Buffer::zeroed(device, 3 * batch as usize)?,
            loss: Buffer::zeroed(device, batch as usize)?,
            user_gradients: Buffer::zeroed(device, batch as usize * widths.0 as usize)?,
            item_gradients: Buffer::zeroed(device, 2 * batch as usize * widths.1 as usize)?,
            workspace: Buffer::zeroed(device, workspace)?,
        })
    }
}
