//! What every recommender can do.

use super::{Embeddings, ItemBias, RankRequest, Rankings, TrainingData};
use crate::file::State;
use crate::table::Account;
use crate::{Error, Result};

/// A recommender on ragged tables: one of [`ModelOptions`](super::ModelOptions), or your own.
///
/// [`Scall`](crate::Scall) makes it by a [`ModelBuilder`](super::ModelBuilder), and takes it through each segment:
///
/// 1. [`duplicate`](Self::duplicate), where the size policy searches: probes begin with the copy.
/// 2. [`Embeddings::resize`] gives rows their sizes.
/// 3. The item biases are set or faded, as [`item_bias`](Self::item_bias) says.
/// 4. [`prepare`](Self::prepare), then [`train`](Self::train), once or in parts with [`rank`](Self::rank) between them.
/// 5. [`rank_both`](Self::rank_both) for the test rows.
///
/// Probes do the same with other sizes, outside the budget and from several threads. [`rank`](Self::rank) also gives
/// the lists of [`Scall::recommend`](crate::Scall::recommend), at any time.
///
/// The budget holds for any model: the loop looks at where its rows draw their bytes from, and only
/// [`Embeddings::resize`] changes sizes. What a model holds next to its rows is no part of the budget; it is
/// [reported](Self::working_bytes). A loop of one seed repeats its bits where the model does.
///
/// An error of the model ends the [step](crate::Scall::step) and comes out as it is. The step can be repeated then.
///
/// # Example
/// Matrix factorisation that learns by a hinge loss, `max(0, 1 - (s_p - s_n))`, with the gradient on the host: few
/// lines rather than fast ones.
/// ```
/// use scall_gpu::device::{Buffer, Device};
/// use scall_gpu::file::State;
/// use scall_gpu::kernels::table::optimizer::Optimizer;
/// use scall_gpu::models::*;
/// use scall_gpu::sizing::{Amount, Budget, FrequencyRanked};
/// use scall_gpu::table::Account;
/// use scall_gpu::{Result, Scall, ScallOptions};
///
/// struct Hinge {
///     embeddings: Embeddings,
///     set: Option<TrainingSet>,
///     step: u32,
/// }
///
/// impl Recommender for Hinge {
///     fn embeddings(&self) -> &Embeddings {
///         &self.embeddings
///     }
///
///     fn embeddings_mut(&mut self) -> &mut Embeddings {
///         &mut self.embeddings
///     }
///
///     fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>> {
///         Ok(Box::new(Self { embeddings: self.embeddings.duplicate(account)?, set: None, step: self.step }))
///     }
///
///     fn save(&self) -> Result<State> {
///         let mut state = self.embeddings.state()?;
///         state.put("step", [self.step]);
///         Ok(state)
///     }
///
///     fn restore(&mut self, state: &State) -> Result<()> {
///         let (step, mut rows) = (state.one("step")?, state.clone());
///         rows.remove("step");
///         self.embeddings.restore_state(&rows)?;
///         (self.set, self.step) = (None, step);
///         Ok(())
///     }
///
///     fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
///         let device = self.embeddings.device();
///         let set = || TrainingSet::new(device, data, Sampling::Log { window: 1000 });
///         self.set = if data.rows.is_empty() { None } else { Some(set()?) };
///         Ok(())
///     }
///
///     fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32> {
///         let Some(set) = &self.set else { return Ok(0.0) };
///         let device = self.embeddings.device().clone();
///         let (mut triples, mut loss) = (Buffer::zeroed(&device, 3 * 64)?, 0.0);
///         let TablesMut { mut users, mut items } = self.embeddings.tables_mut();
///         // Dims beyond the widest row of the shorter side meet nothing.
///         let dims = users.widest().min(items.widest());
///         for _ in 0..steps {
///             let mut commands = device.commands();
///             set.record_triples(&mut commands, self.step, 7, &mut triples)?;
///             commands.submit()?;
///             let ids = triples.read()?;
///             let whole = (0..64).filter(|b| ids[128 + b] != u32::MAX);
///             let [u, p, n] = [0, 64, 128].map(|at| whole.clone().map(|b| ids[at + b]).collect::<Vec<u32>>());
///             let rows = [users.lookup(&u, dims)?, items.lookup(&p, dims)?, items.lookup(&n, dims)?];
///             let [of_u, of_p, of_n] = [rows[0].read()?, rows[1].read()?, rows[2].read()?];
///
///             let mut gradients = [(); 3].map(|()| vec![0.0; of_u.len()]);
///             loss = 0.0;
///             for b in 0..u.len() {
///                 let row = b * dims as usize..(b + 1) * dims as usize;
///                 let margin: f32 = row.clone().map(|j| of_u[j] * (of_p[j] - of_n[j])).sum();
///                 loss += (1.0 - margin).max(0.0) / u.len() as f32;
///                 for j in row.filter(|_| margin < 1.0) {
///                     let of_loss = [of_n[j] - of_p[j], -of_u[j], of_u[j]];
///                     (0..3).for_each(|at| gradients[at][j] = of_loss[at] / u.len() as f32);
///                 }
///             }
///             // Duplicates are summed, and the optimizer steps each row once a table.
///             let [for_u, for_p, for_n] = gradients;
///             users.apply_gradients(&u, &Buffer::from_vec(&device, for_u)?, dims)?;
///             items.apply_gradients(&[p, n].concat(), &Buffer::from_vec(&device, [for_p, for_n].concat())?, dims)?;
///             self.step += 1;
///             progress(1);
///         }
///         Ok(loss)
///     }
///
///     fn rank(&self, request: RankRequest<'_>) -> Result<Rankings> {
///         let (users, items) = (self.embeddings.users(), self.embeddings.items());
///         let (dims, working_bytes) = (users.widest().min(items.widest()), DEFAULT_WORKING_BYTES);
///         let (users, items) = (users.as_rows(), items.as_rows());
///         let ranking = RankCandidates { users, items, item_bias: false, dims, request, working_bytes };
///         ranking.run(self.embeddings.device())
///     }
///
///     fn working_bytes(&self) -> u64 {
///         self.set.as_ref().map_or(0, TrainingSet::bytes)
///     }
/// }
///
/// struct HingeOptions {
///     learning_rate: f32,
/// }
///
/// impl ModelBuilder for HingeOptions {
///     fn name(&self) -> &str {
///         "hinge"
///     }
///
///     fn build(&self, device: &Device, account: &Account, seed: u64) -> Result<Box<dyn Recommender>> {
///         let options = EmbeddingsOptions {
///             rule: Optimizer::Adagrad { learning_rate: self.learning_rate, epsilon: 1e-3 }.into(),
///             init_std: [0.1; 2],
///             item_bias: false,
///             seed,
///             layout: Default::default(),
///         };
///         Ok(Box::new(Hinge { embeddings: Embeddings::new(device, options, account)?, set: None, step: 0 }))
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let budget = Budget { d_min: 0, ..Budget::new(Amount::Bytes(2000)) };
/// let options = ScallOptions::new(budget).with_model(HingeOptions { learning_rate: 0.3 });
/// let mut scall = Scall::new(&Device::cpu(), Box::new(FrequencyRanked::default()), options)?;
/// // Two tastes: users and items of one parity go together.
/// let taste = |row: u32| (format!("u{}", row % 8), format!("i{}", 2 * (row * 5 % 9) + row % 2), i64::from(row));
/// scall.observe((0..80).map(taste))?;
/// let report = scall.step(|_| {})?.expect("there are rows");
/// assert!(report.loss < 0.5 && report.counted_bytes <= 2000);
/// # Ok(()) }
/// ```
pub trait Recommender: Send + Sync {
    /// The rows. They are always the same tables, whose sizes only [`Embeddings::resize`] and
    /// [`restore`](Self::restore) change.
    fn embeddings(&self) -> &Embeddings;

    /// The rows, to be resized, to get biases, or to get back the values that ranked best. Rows may have changed
    /// between any two calls of other methods: what is made of them, such as dense layers, has to be made again after
    /// this.
    fn embeddings_mut(&mut self) -> &mut Embeddings;

    /// Where the biases of items come from; it never changes. By default they are learned like the embedding, and all
    /// of them stays when a segment begins; there are none where [`embeddings`](Self::embeddings) have none.
    ///
    /// The loop sets biases that are counted before [`prepare`](Self::prepare), and fades those that are learned when a
    /// segment begins. It refuses a model whose rows have a bias where this says none, or the other way round.
    fn item_bias(&self) -> ItemBias {
        match self.embeddings().item_bias() {
            true => ItemBias::Learned { keep: 1.0 },
            false => ItemBias::None,
        }
    }

    /// The weight of the squared rows in the loss, where the model has one that may be
    /// [chosen in the stream](crate::ScallOptions::choose_l2). By default it has none.
    fn l2(&self) -> Option<f32> {
        None
    }

    /// Sets that weight for the training that comes; copies have it too. Called only where [`l2`](Self::l2) gives one.
    fn set_l2(&mut self, _l2: f32) {}

    /// A copy, optimizer state included, that draws from another account: what a probe starts from. It ranks as this
    /// one does, and learns as this one would once it has been [prepared](Self::prepare) again.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when that account has no room; what the device reports.
    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>>;

    /// All that it has learned, but for its options: the tables and how far it is. What was prepared is not among it.
    ///
    /// # Errors
    /// What the device reports.
    fn save(&self) -> Result<State>;

    /// Goes on where the recommender was that was [saved](Self::save), which had the same options: with the same bits,
    /// once it has been [prepared](Self::prepare) as that one was. Whatever the state says is taken in or an error, and
    /// never a panic: it may come from a file.
    ///
    /// # Errors
    /// [`Error::BadState`] for a state of something else; [`Error::OverBudget`] when the account has no room; what the
    /// device reports. A table may be restored already then and another not.
    fn restore(&mut self, state: &State) -> Result<()>;

    /// Lays a segment's interactions out on the device, in the place of those that were prepared before. A segment
    /// without any is prepared too: training on it does nothing. All users and items of the data have rows, which may
    /// be of no values.
    ///
    /// # Errors
    /// [`Error::Limit`] past the device's largest binding.
    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()>;

    /// Takes `steps` training steps on the prepared interactions; `progress` hears of the steps done since it last did.
    /// Returns the mean loss of the last batch, 0 where there was nothing to learn. Two calls take the steps that one
    /// call with all of them would take.
    ///
    /// # Errors
    /// [`Error::Diverged`] when that loss is not finite; [`Error::NonFinite`] when gradients were not, and the rule
    /// does not go on then; what the device reports.
    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32>;

    /// The best `k` of the candidates for each user, best first: a list for each, also for a user past the rows, of
    /// whom nothing is known. Candidates have rows. Where the request has biases of its own, they stand for those of
    /// the rows: on a live stream, counted ones are newer than what the tables hold. Calls from several threads at once
    /// give the same lists as one after the other, and leave no trace.
    ///
    /// # Errors
    /// Those of [`RankCandidates`](super::RankCandidates).
    fn rank(&self, request: RankRequest<'_>) -> Result<Rankings>;

    /// The lists among `part` of the request's candidates, ids that ascend, and the lists among all of them: those of
    /// two calls of [`rank`](Self::rank), which is what this does by default. Where lists come from
    /// [`RankCandidates`](super::RankCandidates), [`run_both`](super::RankCandidates::run_both) goes through the
    /// candidates once.
    ///
    /// # Errors
    /// Those of [`rank`](Self::rank).
    fn rank_both(&self, request: RankRequest<'_>, part: &[u32]) -> Result<[Rankings; 2]> {
        Ok([request.among(part, |of_part| self.rank(of_part))?, self.rank(request)?])
    }

    /// Bytes of device memory that training and ranking hold besides the tables.
    fn working_bytes(&self) -> u64;

    /// Those of the [working bytes](Self::working_bytes) that the training data takes: the rows to learn, what their
    /// users touched, a graph of both. They stay until the next [`prepare`](Self::prepare), and grow with the rows.
    fn sample_bytes(&self) -> u64 {
        0
    }

    /// Those of them that dense layers take: what a graph model, whose outputs are dense, holds beyond its ragged rows.
    fn layer_bytes(&self) -> u64 {
        0
    }
}

/// The lists that a recommender gives, one for each user, as it promises.
///
/// # Errors
/// [`Error::Shape`] for another number of lists; those of [`Recommender::rank`].
pub(crate) fn rank(model: &dyn Recommender, request: RankRequest<'_>) -> Result<Rankings> {
    one_each(request.users, "Recommender::rank", model.rank(request)?)
}

/// The same among a part of the candidates and among all.
///
/// # Errors
/// [`Error::Shape`] for another number of lists; those of [`Recommender::rank_both`].
pub(crate) fn rank_both(model: &dyn Recommender, request: RankRequest<'_>, part: &[u32]) -> Result<[Rankings; 2]> {
    let op = "Recommender::rank_both";
    let [of_part, all] = model.rank_both(request, part)?;
    Ok([one_each(request.users, op, of_part)?, one_each(request.users, op, all)?])
}

fn one_each(users: &[u32], op: &'static str, rankings: Rankings) -> Result<Rankings> {
    let (expected, got) = (users.len() as u64, rankings.len() as u64);
    if expected != got {
        return Err(Error::Shape { op, arg: "rankings", expected, got });
    }
    Ok(rankings)
}
