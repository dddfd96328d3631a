//! Matrix factorisation with a pointwise logistic loss, written with nothing but what the crate makes public: gradients
//! and lists are made on the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use scall_gpu::device::{Buffer, Device};
use scall_gpu::file::State;
use scall_gpu::kernels::table::optimizer::{NonFinite, Optimizer, UpdateRule};
use scall_gpu::models::{
    Embeddings, EmbeddingsOptions, ModelBuilder, RankRequest, Rankings, Recommender, Sampling, TablesMut, TrainingData,
    TrainingSet,
};
use scall_gpu::table::Account;
use scall_gpu::{Error, Result};

/// How [`Pointwise`] learns, and when it fails.
pub struct PointwiseOptions {
    pub learning_rate: f32,
    /// Positives a step; as many negatives come with them.
    pub batch: usize,
    pub non_finite: NonFinite,
    /// The step whose gradients for items are NaN.
    pub poisoned_step: Option<u32>,
    /// How many calls of `train` fail from now on, those of copies included.
    pub failures: Arc<AtomicU32>,
}

impl Default for PointwiseOptions {
    fn default() -> Self {
        let failures = Arc::default();
        Self { learning_rate: 0.3, batch: 96, non_finite: NonFinite::Error, poisoned_step: None, failures }
    }
}

impl ModelBuilder for PointwiseOptions {
    fn name(&self) -> &str {
        "pointwise"
    }

    fn check(&self) -> Result<()> {
        if self.batch > 0 {
            return Ok(());
        }
        let (expected, got) = ("at least 1".into(), "0".into());
        Err(Error::Argument { op: "Pointwise", arg: "batch", expected, got })
    }

    fn build(&self, device: &Device, account: &Account, seed: u64) -> Result<Box<dyn Recommender>> {
        let optimizer = Optimizer::Adagrad { learning_rate: self.learning_rate, epsilon: 1e-3 };
        let options = EmbeddingsOptions {
            rule: UpdateRule { non_finite: self.non_finite, ..optimizer.into() },
            init_std: [0.1; 2],
            item_bias: false,
            seed,
            layout: Default::default(),
        };
        Ok(Box::new(Pointwise {
            embeddings: Embeddings::new(device, options, account)?,
            batch: self.batch,
            poisoned_step: self.poisoned_step,
            failures: self.failures.clone(),
            seed,
            set: None,
            step: 0,
        }))
    }
}

/// Scores `<e_u, e_i>`; the loss of a user and an item is `softplus(-s)` for one that the user took, `softplus(s)` for
/// one that the user never touched.
struct Pointwise {
    embeddings: Embeddings,
    batch: usize,
    poisoned_step: Option<u32>,
    failures: Arc<AtomicU32>,
    seed: u64,
    set: Option<TrainingSet>,
    step: u32,
}

/// `ln(1 + e^x)`.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Pointwise {
    /// Takes a step and gives its loss.
    fn learn(&mut self, triples: &mut Buffer<u32>) -> Result<f32> {
        let Self { embeddings, batch, set: Some(set), step, seed, .. } = self else { return Ok(0.0) };
        let device = embeddings.device().clone();
        let mut commands = device.commands();
        set.record_triples(&mut commands, *step, *seed, triples)?;
        commands.submit()?;
        let triples = triples.read()?;
        let (users, both) = triples.split_at(*batch);
        // A user with each of the two items; none where there was no negative.
        let pairs = users.iter().chain(users).copied().zip(both.iter().copied());
        let labels = (0..2 * *batch).map(|at| if at < *batch { 1.0f32 } else { 0.0 });
        let whole = pairs.zip(labels).filter(|((_, item), _)| *item != u32::MAX);
        let (pairs, labels): (Vec<(u32, u32)>, Vec<f32>) = whole.unzip();
        let (users, items): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();

        let TablesMut { users: mut user_rows, items: mut item_rows } = embeddings.tables_mut();
        let width = user_rows.widest().min(item_rows.widest());
        let (of_users, of_items) = (user_rows.lookup(&users, width)?.read()?, item_rows.lookup(&items, width)?.read()?);
        let mut gradients = [of_items.clone(), of_users.clone()];
        let (count, width) = (labels.len() as f32, width as usize);
        let mut loss = 0.0;
        for (at, label) in labels.iter().enumerate() {
            let row = at * width..(at + 1) * width;
            let score = dot(&of_users[row.clone()], &of_items[row.clone()]);
            loss += if *label > 0.5 { softplus(-score) } else { softplus(score) } / count;
            let slope = (1.0 / (1.0 + (-score).exp()) - label) / count;
            gradients.iter_mut().for_each(|of| of[row.clone()].iter_mut().for_each(|value| *value *= slope));
        }
        let [for_users, mut for_items] = gradients;
        if self.poisoned_step == Some(*step) {
            for_items[0] = f32::NAN;
        }
        user_rows.apply_gradients(&users, &Buffer::from_vec(&device, for_users)?, width as u32)?;
        item_rows.apply_gradients(&items, &Buffer::from_vec(&device, for_items)?, width as u32)?;
        self.step += 1;
        Ok(loss)
    }

    /// That all gradients were finite, or that the rule goes on.
    fn check_finite(&mut self) -> Result<()> {
        let TablesMut { mut users, mut items } = self.embeddings.tables_mut();
        for (table, rows) in [("users", &mut users), ("items", &mut items)] {
            rows.check_finite().map_err(|error| match error {
                Error::NonFinite { count, .. } => Error::NonFinite { op: "Pointwise::train", table, count },
                other => other,
            })?;
        }
        Ok(())
    }
}

impl Recommender for Pointwise {
    fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    fn embeddings_mut(&mut self) -> &mut Embeddings {
        &mut self.embeddings
    }

    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>> {
        let (embeddings, failures) = (self.embeddings.duplicate(account)?, self.failures.clone());
        Ok(Box::new(Self { embeddings, failures, set: None, ..*self }))
    }

    fn save(&self) -> Result<State> {
        let mut state = self.embeddings.state()?;
        state.put("step", [self.step]);
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let (step, mut rows) = (state.one("step")?, state.clone());
        rows.remove("step");
        self.embeddings.restore_state(&rows)?;
        (self.step, self.set) = (step, None);
        Ok(())
    }

    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
        self.set = match data.rows.is_empty() {
            true => None,
            false => Some(TrainingSet::new(self.embeddings.device(), data, Sampling::Users)?),
        };
        Ok(())
    }

    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(Error::other("the power is out"));
        }
        let mut triples = Buffer::zeroed(self.embeddings.device(), 3 * self.batch)?;
        let mut loss = 0.0;
        for _ in 0..steps {
            loss = self.learn(&mut triples)?;
            progress(1);
        }
        self.check_finite()?;
        Ok(loss)
    }

    fn rank(&self, request: RankRequest<'_>) -> Result<Rankings> {
        let (users, items) = (self.embeddings.users(), self.embeddings.items());
        let width = users.widest().min(items.widest());
        let rows = items.lookup(request.candidates, width)?.read()?;
        let list = |&user: &u32| -> Result<Vec<u32>> {
            // All candidates are alike to somebody without a row.
            let row = if user < users.rows() { users.lookup(&[user], width)?.read()? } else { Vec::new() };
            let excluded = (request.excluded)(user);
            let open = request.candidates.iter().enumerate().filter(|(_, item)| !excluded.contains(item));
            let width = width as usize;
            let score = |at: usize| dot(&row, &rows[at * width..(at + 1) * width]);
            let mut scored: Vec<(u32, f32)> = open.map(|(at, &item)| (item, score(at))).collect();
            // The sort is stable: ties go to the smaller id.
            scored.sort_by(|(_, a), (_, b)| b.total_cmp(a));
            Ok(scored.into_iter().map(|(item, _)| item).collect())
        };
        let lists: Vec<Vec<u32>> = request.users.iter().map(list).collect::<Result<_>>()?;
        Rankings::from_lists(request.k, lists)
    }

    fn working_bytes(&self) -> u64 {
        self.set.as_ref().map_or(0, TrainingSet::bytes)
    }
}
