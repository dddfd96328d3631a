//! Matrix factorisation trained with BPR, on ragged rows.

use super::training::{Batch, Clock, Steps, Trainer, plan, run_steps};
use super::{
    DEFAULT_WORKING_BYTES, Embeddings, ItemBias, RankCandidates, RankRequest, Rankings, Recommender, TablesMut,
    TrainingData, TrainingOptions, TrainingSet,
};
use crate::Result;
use crate::check;
use crate::device::{Commands, Device};
use crate::file::State;
use crate::kernels::rank::bpr::{Bpr, UserRows};
use crate::kernels::rank::sides::{Side, UpdateSides};
use crate::kernels::table::update::Optimizer;
use crate::table::{Account, NextStep, Occurrences};

/// How [`BprMf`] learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BprMfOptions {
    /// What all models have. Defaults of this one: Adagrad at 0.5 with an epsilon of 1e-3, the size of a frequent row's
    /// gradient, so that rare rows take small steps instead of steps of the full rate on little evidence; 4,096 triples
    /// a step, since a step is short and its launches still cost little; `l2` 0.02.
    pub training: TrainingOptions,
    /// Weight of the squared biases (default 0: a bias is one number and hard to overfit).
    pub l2_bias: f32,
}

impl Default for BprMfOptions {
    fn default() -> Self {
        let rule = Optimizer::Adagrad { learning_rate: 0.5, epsilon: 1e-3 }.into();
        Self { training: TrainingOptions::usual(rule, 4096, 0.02), l2_bias: 0.0 }
    }
}

impl BprMfOptions {
    /// That its own numbers are within their domain.
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        let l2_bias = self.l2_bias;
        check::domain(op, "l2_bias", l2_bias, l2_bias.is_finite() && l2_bias >= 0.0, "finite and not negative")
    }
}

/// Scores `b_i + <e_u, e_i>` over the dims that both rows have; the loss of a triple (u, p, n) is
/// `softplus(s_n - s_p) + l2 * (|e_u|^2 + |e_p|^2 + |e_n|^2)`.
///
/// A training step stays on the device: triples are drawn, gradients computed, summed exactly over duplicates, and both
/// tables updated, several steps a submission. A GPU draws and sorts the triples of up to 64 steps at once
/// ([`rank::plan`](crate::kernels::rank::plan)), which takes 60 bytes a triple, and 28 MB at most but for the largest
/// batches.
///
/// # Example
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::models::{BprMf, BprMfOptions, RankRequest, Recommender, TrainingData};
/// use scall_gpu::sizing::Sizes;
/// use scall_gpu::stream::UserItems;
/// use scall_gpu::table::Account;
/// # fn main() -> scall_gpu::Result<()> {
/// // Users 0 and 1 take the first two items, users 2 and 3 the last two.
/// let rows = [(0, 0), (0, 1), (1, 0), (2, 2), (2, 3), (3, 3)];
/// let history = UserItems::new(4, rows)?;
/// let mut model = BprMf::new(&Device::cpu(), BprMfOptions::default(), &Account::unlimited())?;
/// model.embeddings_mut().resize(&Sizes { users: vec![4; 4], items: vec![4, 2, 2, 4], action: None })?;
/// model.prepare(TrainingData { rows: &rows, history: &history, blocks: None })?;
/// let before = model.train(1, &mut |_| {})?;
/// assert!(model.train(100, &mut |_| {})? < before);
///
/// let excluded = |user| history.row(user); // what they have already
/// let request = RankRequest {
///     users: &[1, 3],
///     candidates: &[0, 1, 2, 3],
///     excluded: &excluded,
///     k: 1,
///     item_biases: None, scores: false,
/// };
/// let lists = model.rank(request)?;
/// assert_eq!((lists.user(0), lists.user(1)), (&[1][..], &[2][..])); // what the other user of the pair took
/// # Ok(()) }
/// ```
///
/// Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009; `docs/method.md`
/// section 5.
#[derive(Debug)]
pub struct BprMf {
    trainer: Trainer,
    l2_bias: f32,
    embeddings: Embeddings,
}

impl BprMf {
    /// A model without rows. Both tables draw from `account`.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain;
    /// [`Error::OverBudget`](crate::Error::OverBudget) for an account with no room at all.
    pub fn new(device: &Device, options: BprMfOptions, account: &Account) -> Result<Self> {
        let op = "BprMf::new";
        Self::of(op, options, options.training.embeddings(op, device, account)?)
    }

    /// A model of tables that exist already, such as [loaded](Embeddings::from_tables) ones: it ranks as they are, and
    /// learns on. From here on they move by the rule of the options; what their optimizer remembers stays, and new rows
    /// begin as the tables' own options say.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain, and for tables that differ from
    /// what these ask for: in their optimizer, in how values lie in memory, in whether items have a bias.
    pub fn with_embeddings(options: BprMfOptions, embeddings: Embeddings) -> Result<Self> {
        Self::of("BprMf::with_embeddings", options, embeddings)
    }

    fn of(op: &'static str, options: BprMfOptions, mut embeddings: Embeddings) -> Result<Self> {
        options.check(op)?;
        let BprMfOptions { training, l2_bias } = options;
        Ok(Self { trainer: Trainer::new(op, training, &mut embeddings)?, l2_bias, embeddings })
    }
}

/// All that a step reads and writes.
struct Step<'a> {
    options: &'a TrainingOptions,
    l2_bias: f32,
    set: &'a TrainingSet,
    clock: &'a mut Clock,
    tables: &'a mut Embeddings,
    scratch: &'a mut Batch,
}

impl Steps for Step<'_> {
    fn record(&mut self, commands: &mut Commands) -> Result<()> {
        let Self { options, l2_bias, set, clock, tables, scratch } = self;
        let first = scratch.record_triples(commands, clock, (set, options))?;
        let &TrainingOptions { batch, l2, item_bias, .. } = *options;
        let [user_dims, item_dims] = scratch.dims;
        clock.set_rate(options, tables)?;
        let TablesMut { mut users, mut items } = tables.tables_mut();
        commands.run(Bpr {
            triples: &scratch.triples,
            first,
            users: UserRows::Ragged(users.as_rows()),
            items: items.as_rows(),
            item_bias: item_bias.in_training(),
            l2,
            l2_bias: *l2_bias,
            user_dims,
            item_dims,
            loss: &mut scratch.loss,
            user_gradients: &mut scratch.user_gradients,
            item_gradients: &mut scratch.item_gradients,
            workspace: &mut scratch.workspace,
        })?;
        if let Some(planned) = &mut scratch.planned {
            let NextStep { rows, rule, step, seed } = users.next_step();
            let of_users = Side { rows, gradients: &scratch.user_gradients, dims: user_dims, step, seed };
            let NextStep { rows, step, seed, .. } = items.next_step();
            let of_items = Side { rows, gradients: &scratch.item_gradients, dims: item_dims, step, seed };
            commands.run(UpdateSides {
                users: of_users,
                items: of_items,
                plan: planned.plan,
                number: planned.next,
                order: &mut planned.order,
                rule,
                counter: Some(&mut planned.counter),
            })?;
            users.count_step();
            items.count_step();
            planned.next += 1;
        } else {
            let (triples, workspace) = (&scratch.triples, &mut scratch.workspace);
            let (gradients, dims) = ((&scratch.user_gradients).into(), user_dims);
            let occurrences = Occurrences { ids: triples, first: 0, count: batch.into(), gradients, dims };
            users.record_update(commands, occurrences, workspace)?;
            let (gradients, dims) = ((&scratch.item_gradients).into(), item_dims);
            let occurrences = Occurrences { ids: triples, first: batch, count: (2 * batch).into(), gradients, dims };
            items.record_update(commands, occurrences, workspace)?;
        }
        clock.tick();
        Ok(())
    }

    /// Rows and their state are read twice and written, and so are gradients; occurrences are sorted.
    fn bytes(&self) -> u64 {
        8 * self.scratch.step_bytes()
    }

    fn batch(&self) -> &Batch {
        self.scratch
    }

    fn tables(&mut self) -> &mut Embeddings {
        self.tables
    }
}

impl BprMf {
    fn ranking<'r>(&self, request: RankRequest<'r>) -> RankCandidates<'_, 'r> {
        let tables = &self.embeddings;
        let (user_dims, item_dims) = tables.widths();
        RankCandidates {
            users: tables.users().as_rows(),
            items: tables.items().as_rows(),
            item_bias: tables.item_bias(),
            // Dims beyond the shorter side's widest row meet nothing.
            dims: user_dims.min(item_dims - u32::from(tables.item_bias())),
            request,
            working_bytes: DEFAULT_WORKING_BYTES,
        }
    }
}

impl Recommender for BprMf {
    fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    fn embeddings_mut(&mut self) -> &mut Embeddings {
        &mut self.embeddings
    }

    fn item_bias(&self) -> ItemBias {
        self.trainer.options.item_bias
    }

    fn l2(&self) -> Option<f32> {
        Some(self.trainer.options.l2)
    }

    fn set_l2(&mut self, l2: f32) {
        self.trainer.options.l2 = l2;
    }

    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>> {
        let embeddings = self.embeddings.duplicate(account)?;
        Ok(Box::new(Self { trainer: self.trainer.duplicate(), l2_bias: self.l2_bias, embeddings }))
    }

    fn save(&self) -> Result<State> {
        self.trainer.save(&self.embeddings)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.trainer.restore(&mut self.embeddings, state)
    }

    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
        self.trainer.prepare(self.embeddings.device(), data)
    }

    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32> {
        let Self { trainer, l2_bias, embeddings: tables } = self;
        let Trainer { options, set: Some(set), clock, scratch_bytes } = trainer else { return Ok(0.0) };
        let device = tables.device().clone();
        let (user_dims, item_dims) = tables.widths();
        let rows = (UserRows::Ragged(tables.users().as_rows()), tables.items().as_rows());
        // Both tables move by one rule then.
        let alike = tables.users().options().rule == tables.items().options().rule;
        let plan = plan(tables, options, steps, [user_dims, item_dims]).filter(|_| alike);
        let mut scratch = match (&device, plan) {
            (Device::Gpu(gpu), Some(plan)) => Batch::planned(gpu, plan, [user_dims, item_dims], rows)?,
            _ => Batch::new(&device, options.batch, [user_dims, item_dims], rows)?,
        };
        *scratch_bytes = scratch.bytes();
        let mut step = Step { options, l2_bias: *l2_bias, set, clock, tables, scratch: &mut scratch };
        run_steps(&device, steps, progress, &mut step)
    }

    fn rank(&self, request: RankRequest<'_>) -> Result<Rankings> {
        self.ranking(request).run(self.embeddings.device())
    }

    fn rank_both(&self, request: RankRequest<'_>, part: &[u32]) -> Result<[Rankings; 2]> {
        self.ranking(request).run_both(self.embeddings.device(), part)
    }

    /// The segment's rows, and what the last training had for scratch.
    fn working_bytes(&self) -> u64 {
        self.trainer.bytes()
    }

    fn sample_bytes(&self) -> u64 {
        self.trainer.sample_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::table::optimizer::UpdateRule;
    use crate::models::testing::{LEARNED, World, prepare, values};
    use crate::rows::{Format, Layout};
    use crate::testing::{assert_same, devices, layouts};

    /// Steps that are planned together are those that are drawn and sorted one by one.
    #[test]
    fn a_call_of_many_steps_is_many_calls() {
        let adam = Optimizer::Adam { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        for device in devices() {
            for rule in [BprMfOptions::default().training.rule, UpdateRule::new(adam)] {
                let [together, apart] = [&[70][..], &[1, 1, 66, 2]].map(|calls| {
                    let training = TrainingOptions { batch: 100, rule, ..BprMfOptions::default().training };
                    let options = BprMfOptions { training, ..BprMfOptions::default() };
                    let world = World::new(40, 70);
                    let mut model = BprMf::new(&device, options, &Account::unlimited()).unwrap();
                    world.resize(&mut model);
                    prepare(&mut model, &world.history, &world.history);
                    let losses: Vec<f32> =
                        calls.iter().map(|&steps| model.train(steps, &mut |_| {}).unwrap()).collect();
                    let steps = [model.embeddings().users().steps(), model.embeddings().items().steps()];
                    (values(&model), losses[losses.len() - 1], steps)
                });
                let what = format!("{rule:?}, {}", device.describe());
                assert_same(&what, &together.0, &apart.0);
                assert_eq!((together.1, together.2), (apart.1, [70, 70]), "{what}");
            }
        }
    }

    /// What is gathered from pages is what lies in one: losses, steps and lists are the same in every bit.
    #[test]
    fn the_number_of_pages_changes_no_bit() {
        for device in devices() {
            for &format in Format::ALL {
                let [whole, pages] = [None, layouts(16)[1].page_bytes].map(|page_bytes| {
                    let layout = Layout { format, page_bytes, ..Layout::default() };
                    let mut options = BprMfOptions::default();
                    let (batch, std) = (64, 0.5);
                    let training = TrainingOptions { batch, item_bias: LEARNED, layout, ..options.training };
                    options.training = TrainingOptions { user_init_std: std, item_init_std: std, ..training };
                    let world = World::new(40, 70);
                    let mut model = BprMf::new(&device, options, &Account::unlimited()).unwrap();
                    world.resize(&mut model);
                    assert_eq!(model.embeddings().items().as_rows().pages().len() > 1, page_bytes.is_some());
                    prepare(&mut model, &world.history, &world.history);
                    let before = values(&model);
                    let loss = model.train(5, &mut |_| {}).unwrap();
                    assert_ne!(values(&model), before);
                    let candidates: Vec<u32> = (0..70).collect();
                    let request = RankRequest {
                        users: &[0, 7, 39],
                        candidates: &candidates,
                        excluded: &|_| &[],
                        k: 10,
                        item_biases: None,
                        scores: false,
                    };
                    (values(&model), vec![loss], model.rank(request).unwrap())
                });
                let what = format!("{format:?}, {}", device.describe());
                assert_same(&what, &pages.0, &whole.0);
                assert_same(&what, &pages.1, &whole.1);
                assert_eq!(pages.2, whole.2, "{what}");
            }
        }
    }
}
