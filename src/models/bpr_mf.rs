//! Matrix factorisation trained with BPR, on ragged rows.

use super::training::{Batch, MAX_BATCH, run_steps};
use super::{
    DEFAULT_WORKING_BYTES, Embeddings, EmbeddingsOptions, ItemBias, RankCandidates, RankRequest, Rankings, Recommender,
    Sampling, TrainingData, TrainingSet,
};
use crate::Result;
use crate::check;
use crate::device::{Commands, Device};
use crate::kernels::rank::bpr::{Bpr, UserRows};
use crate::kernels::table::update::{Optimizer, UpdateRule};
use crate::rows::Layout;
use crate::table::{Account, Occurrences};

/// How [`BprMf`] learns.
#[derive(Clone, Copy, Debug)]
pub struct BprMfOptions {
    /// How rows move (default: Adagrad at 0.5 with an epsilon of 1e-3, the size of a frequent row's gradient: rare rows then
    /// take small steps instead of steps of the full rate on little evidence).
    pub rule: UpdateRule,
    /// Triples a step (default 4,096: a step is short and its launches still cost little).
    pub batch: u32,
    /// Weight of the squared embeddings of the batch's rows, a triple (default 0.02).
    pub l2: f32,
    /// Weight of the squared biases (default 0: a bias is one number and hard to overfit).
    pub l2_bias: f32,
    /// Whether an item row begins with a bias, one more parameter an item, and where it comes from (default: counted).
    pub item_bias: ItemBias,
    /// How triples are drawn (default: rows of the log, negatives from at most 5,000 rows before or after).
    pub sampling: Sampling,
    /// Standard deviation of new values (default 0.01, `docs/method.md` section 4).
    pub init_std: f32,
    /// Seed of the triples and of new values (default 0).
    pub seed: u64,
    /// How the rows of both tables lie in memory (default: f32, packed).
    pub layout: Layout,
}

impl Default for BprMfOptions {
    fn default() -> Self {
        Self {
            rule: Optimizer::Adagrad { learning_rate: 0.5, epsilon: 1e-3 }.into(),
            batch: 4096,
            l2: 0.02,
            l2_bias: 0.0,
            item_bias: ItemBias::default(),
            sampling: Sampling::Log { window: 5000 },
            init_std: 0.01,
            seed: 0,
            layout: Layout::default(),
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
    options: BprMfOptions,
    embeddings: Embeddings,
    set: Option<TrainingSet>,
    step: u32,
    working_bytes: u64,
}

/// Steps recorded into one submission: enough to hide its cost, few enough for progress to be seen.
const STEPS_A_SUBMISSION: u32 = 16;

impl BprMf {
    /// A model without rows. Both tables draw from `account`.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain;
    /// [`Error::OverBudget`](crate::Error::OverBudget) for an account with no room at all.
    pub fn new(device: &Device, options: BprMfOptions, account: &Account) -> Result<Self> {
        let op = "BprMf::new";
        let batch = options.batch;
        check::domain(op, "batch", batch, (1..=MAX_BATCH).contains(&batch), &format!("from 1 to {MAX_BATCH}"))?;
        for (arg, value) in [("l2", options.l2), ("l2_bias", options.l2_bias), ("init_std", options.init_std)] {
            check::domain(op, arg, value, value.is_finite() && value >= 0.0, "finite and not negative")?;
        }
        let BprMfOptions { rule, init_std, item_bias, seed, layout, .. } = options;
        let item_bias = item_bias.exists();
        let embeddings = Embeddings::new(
            device,
            EmbeddingsOptions { rule, init_std: [init_std; 2], item_bias, seed, layout },
            account,
        )?;
        Ok(Self { options, embeddings, set: None, step: 0, working_bytes: 0 })
    }

    fn record_step(&mut self, commands: &mut Commands, set: &TrainingSet, scratch: &mut Batch) -> Result<()> {
        let BprMfOptions { batch, seed, l2, l2_bias, item_bias, .. } = self.options;
        let [user_dims, item_dims] = scratch.dims;
        let (users, items) = self.embeddings.tables_mut();
        set.record_triples(commands, self.step, seed, &mut scratch.triples)?;
        commands.run(Bpr {
            triples: &scratch.triples,
            users: UserRows::Ragged(users.as_rows()),
            items: items.as_rows(),
            item_bias: item_bias.in_training(),
            l2,
            l2_bias,
            user_dims,
            item_dims,
            loss: &mut scratch.loss,
            user_gradients: &mut scratch.user_gradients,
            item_gradients: &mut scratch.item_gradients,
            workspace: &mut scratch.workspace,
        })?;
        let (triples, workspace) = (&scratch.triples, &mut scratch.workspace);
        let (gradients, dims) = ((&scratch.user_gradients).into(), user_dims);
        let occurrences = Occurrences { ids: triples, first: 0, count: batch, gradients, dims };
        users.record_update(commands, occurrences, workspace)?;
        let (gradients, dims) = ((&scratch.item_gradients).into(), item_dims);
        let occurrences = Occurrences { ids: triples, first: batch, count: 2 * batch, gradients, dims };
        items.record_update(commands, occurrences, workspace)?;
        self.step += 1;
        Ok(())
    }
}

impl Recommender for BprMf {
    fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    fn embeddings_mut(&mut self) -> &mut Embeddings {
        &mut self.embeddings
    }

    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>> {
        let embeddings = self.embeddings.duplicate(account)?;
        Ok(Box::new(Self { options: self.options, embeddings, set: None, step: self.step, working_bytes: 0 }))
    }

    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
        self.set = match data.rows.is_empty() {
            true => None,
            false => Some(TrainingSet::new(self.embeddings.device(), data, self.options.sampling)?),
        };
        Ok(())
    }

    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32> {
        let Some(set) = self.set.take() else {
            return Ok(0.0);
        };
        let device = self.embeddings.device().clone();
        let (user_dims, item_dims) = self.embeddings.widths();
        let rows = (UserRows::Ragged(self.embeddings.users().as_rows()), self.embeddings.items().as_rows());
        let mut scratch = Batch::new(&device, self.options.batch, [user_dims, item_dims], rows)?;
        self.working_bytes = scratch.bytes() + set.bytes();
        let done = run_steps(&device, (steps, STEPS_A_SUBMISSION), progress, |commands| {
            self.record_step(commands, &set, &mut scratch)
        });
        self.set = Some(set);
        done?;
        scratch.mean_loss(steps, &mut self.embeddings)
    }

    fn rank(&mut self, request: RankRequest<'_>) -> Result<Rankings> {
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
        .run(tables.device())
    }

    fn working_bytes(&self) -> u64 {
        self.working_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::testing::{LEARNED, World, prepare, values};
    use crate::rows::Format;
    use crate::testing::{assert_same, devices, layouts};

    /// What is gathered from pages is what lies in one: losses, steps and lists are the same in every bit.
    #[test]
    fn the_number_of_pages_changes_no_bit() {
        for device in devices() {
            for &format in Format::ALL {
                let [whole, pages] = [None, layouts(16)[1].page_bytes].map(|page_bytes| {
                    let layout = Layout { format, page_bytes, ..Layout::default() };
                    let options =
                        BprMfOptions { batch: 64, init_std: 0.5, item_bias: LEARNED, layout, ..Default::default() };
                    let world = World::new(40, 70);
                    let mut model = BprMf::new(&device, options, &Account::unlimited()).unwrap();
                    world.resize(&mut model);
                    assert_eq!(model.embeddings().items().as_rows().pages().len() > 1, page_bytes.is_some());
                    prepare(&mut model, &world.history, &world.history);
                    let before = values(&model);
                    let loss = model.train(5, &mut |_| {}).unwrap();
                    assert_ne!(values(&model), before);
                    let candidates: Vec<u32> = (0..70).collect();
                    let request =
                        RankRequest { users: &[0, 7, 39], candidates: &candidates, excluded: &|_| &[], k: 10 };
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
