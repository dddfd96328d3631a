//! The streaming loop: segment after segment, search, sizes, resize, train, evaluate, report.
//!
//! Source: `docs/method.md` sections 2 to 7. The test rows of a segment are used once for its report; once the next segment
//! has begun they are past, and a search may probe on them.

mod bias;
mod evaluation;
mod follow;
mod live;
mod probe;
mod report;
mod training;

use std::time::Instant;

use crate::device::Device;
use crate::kernels::rank::top_k::MAX_DIMS;
use crate::models::{ItemBias, ModelOptions, Recommender};
use crate::rng::{Philox, Purpose};
use crate::sizing::{Budget, Population, SizePolicy, SizingContext, Uniform};
use crate::stream::{Interactions, Segment, UserItems, replay};
use crate::table::Account;
use crate::{Error, Result};

use bias::BiasCounter;
use evaluation::Evaluation;
pub use follow::{Followed, follow};
pub use probe::ProbeOptions;
use probe::{LastSegment, Setup, Trial, rows};
pub use report::{Phase, Seconds, SegmentReport, Summary};
pub use training::EarlyStop;

/// How the loop runs.
#[derive(Clone, Debug)]
pub struct ScallOptions {
    /// What the two tables may hold.
    pub budget: Budget,
    /// Which recommender, and how it learns.
    pub model: ModelOptions,
    /// Training steps a segment (default 300), the most of them where training can end early.
    pub steps: u32,
    /// When training ends before that (default: never).
    pub early_stop: Option<EarlyStop>,
    /// How a searching policy tries sizes.
    pub probe: ProbeOptions,
    /// Part of a segment's rows that is trained on; the rest is test (default 0.8, `docs/method.md` section 2).
    pub train_share: f64,
    /// Earlier rows that are trained on again (default: all of them; drawing is free and taste lasts).
    pub replay: Replay,
    /// How many seconds a row that is observed may lie before the latest one (default 3,600: what queues and clocks of several producers
    /// are behind each other, and less than a log of yesterday that is fed in by mistake).
    pub late_seconds: u32,
    /// Seed of everything that is drawn (default 0).
    pub seed: u64,
}

impl ScallOptions {
    /// The defaults, for a budget.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            model: ModelOptions::default(),
            steps: 300,
            early_stop: None,
            probe: ProbeOptions::default(),
            train_share: 0.8,
            replay: Replay::All,
            late_seconds: 3600,
            seed: 0,
        }
    }
}

/// SCALL's part of earlier rows, which frequencies are counted over even when training takes all.
const REPLAY_SHARE: f64 = 0.2;

/// Earlier rows that are trained on again with a segment's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Replay {
    /// A uniform sample of them, as large as this part of the segment's rows, from 0 to 1 (SCALL: 0.2).
    Sample {
        /// The part.
        share: f64,
    },
    /// All.
    All,
}

/// A recommender that follows a stream inside a budget.
///
/// A recorded stream is followed with [`over`](Self::over) and [`step`](Self::step), segment by segment. A live one begins
/// with [`new`](Self::new), takes what happens with [`observe`](Self::observe), and closes a segment with `step` whenever it
/// is time to learn.
///
/// ```
/// use scall_gpu::device::Device;
/// use scall_gpu::sizing::{Amount, Budget, FrequencyRanked};
/// use scall_gpu::{Scall, ScallOptions};
///
/// # fn main() -> scall_gpu::Result<()> {
/// let options = ScallOptions::new(Budget::new(Amount::MeanSize(4.0)));
/// let mut scall = Scall::new(&Device::cpu(), Box::new(FrequencyRanked::default()), options)?;
/// scall.observe([("ann", "tea", 1), ("bob", "tea", 2), ("bob", "jam", 3), ("cy", "jam", 4), ("ann", "oats", 5)])?;
/// scall.step(|_| {})?;
/// scall.observe([("cy", "rye", 6)])?; // rye has a row from now on
/// assert_eq!(scall.recommend("ann", 2)?.len(), 2); // jam and rye: she knows the others
/// assert!(scall.recommend("dee", 2)?.len() == 2); // nobody knows her: what sells
/// # Ok(()) }
/// ```
pub struct Scall {
    device: Device,
    options: ScallOptions,
    data: Interactions,
    /// Those that are done, then those that are given.
    segments: Vec<Segment>,
    policy: Box<dyn SizePolicy>,
    model: Box<dyn Recommender>,
    account: Account,
    /// All rows that were trained on or lie before one.
    history: UserItems,
    /// Rows that the history holds.
    learned: usize,
    /// Rows that the biases are counted over, where they are.
    counted: usize,
    /// How often users and items occurred in the last training rows.
    frequencies: [Vec<u32>; 2],
    /// Where biases are counted.
    bias: Option<BiasCounter>,
    last: Option<LastSegment>,
    reports: Vec<SegmentReport>,
}

impl Scall {
    /// A loop at the beginning of a live stream.
    ///
    /// # Errors
    /// [`Error::Argument`] for options outside their domain.
    pub fn new(device: &Device, policy: Box<dyn SizePolicy>, options: ScallOptions) -> Result<Self> {
        Self::over(device, Interactions::default(), Vec::new(), policy, options)
    }

    /// A loop at the beginning of a recorded stream that is cut into `segments`.
    ///
    /// # Errors
    /// [`Error::Argument`] for options of the loop, the model or the policy outside their domain, for segments that overlap, run backwards or pass the last row.
    pub fn over(
        device: &Device,
        data: Interactions,
        segments: Vec<Segment>,
        policy: Box<dyn SizePolicy>,
        mut options: ScallOptions,
    ) -> Result<Self> {
        let share = |arg, value: f64| {
            if (0.0..=1.0).contains(&value) {
                return Ok(());
            }
            Err(Error::Argument { op: "Scall::new", arg, expected: "from 0 to 1".into(), got: value.to_string() })
        };
        share("train_share", options.train_share)?;
        if let Replay::Sample { share: part } = options.replay {
            share("replay", part)?;
        }
        if let Some(stop) = options.early_stop {
            stop.check()?;
        }
        match options.model.training().item_bias {
            ItemBias::Learned { keep } => share("keep", keep.into())?,
            ItemBias::Counted { half_life: Some(half_life) } if half_life.is_nan() || half_life <= 0.0 => {
                let (expected, got) = ("above 0".into(), half_life.to_string());
                return Err(Error::Argument { op: "Scall::new", arg: "half_life", expected, got });
            }
            _ => {}
        }
        if options.budget.d_max > MAX_DIMS {
            return Err(Error::Limit {
                op: "Scall::new",
                arg: "budget.d_max",
                limit: "widest row that is ranked",
                allowed: MAX_DIMS.into(),
                requested: options.budget.d_max.into(),
            });
        }
        policy.check()?;
        Segment::check_all("Scall::new", &segments, data.len())?;
        options.model = options.model.with_seed(options.seed);
        let bias = match options.model.training().item_bias {
            ItemBias::Counted { half_life } => Some(BiasCounter::new(half_life)),
            _ => None,
        };
        // Without rows the tables hold their directories' ends; the first segment sets the real capacity.
        let account = Account::new(u64::MAX, options.budget.counts);
        Ok(Self {
            device: device.clone(),
            model: options.model.build(device, &account)?,
            options,
            data,
            segments,
            policy,
            account,
            history: UserItems::new(0, [])?,
            learned: 0,
            counted: 0,
            frequencies: Default::default(),
            bias,
            last: None,
            reports: Vec::new(),
        })
    }

    /// The recommender.
    pub fn model(&self) -> &dyn Recommender {
        &*self.model
    }

    /// How often each user and each item occurred in the training rows of the last segment and SCALL's sample of earlier ones: what
    /// sizes went by. Those who came since have no entry.
    pub fn frequencies(&self) -> (&[u32], &[u32]) {
        (&self.frequencies[0], &self.frequencies[1])
    }

    /// The stream so far.
    pub fn data(&self) -> &Interactions {
        &self.data
    }

    /// Segments done, and given in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.reports.len(), self.segments.len())
    }

    /// What happened in each segment so far.
    pub fn report(&self) -> &[SegmentReport] {
        &self.reports
    }

    /// Takes the next segment through search, sizes, resize, training and evaluation: the next of those given, else the rows
    /// observed since the last. Gives `None` when there are no rows.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when the budget has no room for the entities, [`Error::Diverged`] when training leaves the
    /// finite numbers; what the device reports. The segment is then half done: begin anew rather than step again.
    pub fn step(&mut self, mut progress: impl FnMut(Phase)) -> Result<Option<SegmentReport>> {
        let t = self.reports.len();
        let segment = match self.segments.get(t) {
            Some(segment) => segment.clone(),
            None => Segment { rows: self.segments.last().map_or(0, |last| last.rows.end)..self.data.len() },
        };
        if segment.rows.is_empty() && t >= self.segments.len() {
            return Ok(None);
        }
        let (train, test) = segment.split(self.options.train_share)?;
        let sampled = self.sampled_rows(&segment, &train);
        let tables = self.model.embeddings();
        let population = Population {
            users: self.data.users_seen(train.rows.end).max(tables.users().rows()),
            items: self.data.items_seen(train.rows.end).max(tables.items().rows()),
        };
        let mut clock = Clock::start();
        let mut seconds = Seconds::default();

        let probes = self.search(&mut progress)?;
        seconds.search = clock.lap();

        progress(Phase::Size);
        let budget = self.options.budget.resolve(population, &self.model.embeddings().shape())?;
        let frequencies = self.count(&sampled, population);
        let context = SizingContext {
            segment: t,
            users: &frequencies[0],
            items: &frequencies[1],
            dims: budget.dims,
            rows: Some(rows(&*self.model)),
            ..frame(&self.device, &self.options)
        };
        // Nothing is known before the first segment: uniform sizes (`docs/method.md` section 3).
        let policy: &mut dyn SizePolicy = if t == 0 { &mut Uniform } else { &mut *self.policy };
        let sizes = policy.decide(&context)?;
        sizes.check_decision(policy, &context)?;
        seconds.size = clock.lap();

        progress(Phase::Resize);
        let before = match self.policy.searches() {
            true => Some(self.model.duplicate(&Account::unlimited())?),
            false => None,
        };
        let before_bytes = before.as_ref().map_or(0, |before| before.embeddings().memory().total_bytes());
        self.account.set_capacity(budget.bytes)?;
        let resized = self.model.embeddings_mut().resize(&sizes)?;
        if let ItemBias::Learned { keep } = self.options.model.training().item_bias {
            self.model.embeddings_mut().fade_biases(keep)?;
        }
        if let Some(bias) = &mut self.bias {
            bias.validate(&self.data, &train, &self.history, self.learned)?;
        }
        seconds.resize = clock.lap();

        progress(Phase::Train { done: 0, steps: self.options.steps });
        let trained = self.train(&train, &sampled, population, &mut progress)?;
        seconds.train = clock.lap();

        progress(Phase::Evaluate);
        let evaluation = Evaluation::new(&self.data, &test, train.rows.end, &self.history)?;
        let test_candidates = evaluation.among_test_items(&mut *self.model, &self.history)?;
        let all_candidates = evaluation.among_all_items(&mut *self.model, &self.history)?;
        seconds.evaluate = clock.lap();

        let tables = self.model.embeddings();
        let report = SegmentReport {
            t,
            users: population.users,
            items: population.items,
            interactions: segment.rows.len(),
            action: sizes.action,
            probes,
            params: tables.users().len() + tables.items().len(),
            budget_params: budget.params,
            budget_bytes: budget.bytes,
            counted_bytes: self.account.used_bytes(),
            memory: tables.memory(),
            working_bytes: self.model.working_bytes() + trained.snapshot_bytes + before_bytes,
            layer_bytes: self.model.layer_bytes(),
            resized,
            steps: trained.steps,
            loss: trained.loss,
            test_candidates,
            all_candidates,
            seconds,
        };
        self.last = before.map(|before| LastSegment {
            segment: t,
            frequencies: frequencies.clone(),
            dims: budget.dims,
            sizes,
            rows: trained.rows,
            biases: trained.biases,
            evaluation,
            before,
        });
        self.frequencies = frequencies;
        if t >= self.segments.len() {
            self.segments.push(segment);
        }
        self.reports.push(report.clone());
        Ok(Some(report))
    }

    /// Lets the policy probe on the last segment. Returns how often it did.
    fn search(&mut self, progress: &mut dyn FnMut(Phase)) -> Result<u32> {
        let Some(last) = self.last.take() else {
            return Ok(0);
        };
        let setup = Setup {
            device: &self.device,
            model: self.options.model,
            options: self.options.probe,
            d_max: self.options.budget.d_max,
            last: &last,
            history: &self.history,
        };
        let context = last.context(frame(&self.device, &self.options));
        let mut trial = Trial { setup, policy: self.policy.name(), context, probes: 0, progress };
        self.policy.search(&context, &mut trial)?;
        Ok(trial.probes)
    }

    /// A sample of the earlier rows and the segment's training part.
    fn sampled_rows(&self, segment: &Segment, train: &Segment) -> Vec<usize> {
        let share = match self.options.replay {
            Replay::Sample { share } => share,
            Replay::All => REPLAY_SHARE,
        };
        let capacity = (share * segment.rows.len() as f64).round() as usize;
        let mut rng = Philox::substream(self.options.seed, Purpose::Replay, self.reports.len() as u32);
        let mut rows = replay(..segment.rows.start, capacity, &mut rng);
        rows.extend(train.rows.clone());
        rows
    }

    /// How often each user and each item occurs in the training rows; 0 for those known but absent.
    fn count(&self, rows: &[usize], population: Population) -> [Vec<u32>; 2] {
        let mut users = vec![0; population.users as usize];
        let mut items = vec![0; population.items as usize];
        for &row in rows {
            users[self.data.users()[row] as usize] += 1;
            items[self.data.items()[row] as usize] += 1;
        }
        [users, items]
    }
}

/// A sizing context that only knows what never changes.
fn frame<'a>(device: &'a Device, options: &ScallOptions) -> SizingContext<'a> {
    SizingContext {
        device,
        segment: 0,
        seed: options.seed,
        users: &[],
        items: &[],
        dims: 0,
        d_min: options.budget.d_min,
        d_max: options.budget.d_max,
        rows: None,
    }
}

/// Times one phase after another.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        self.0 = Instant::now();
        seconds
    }
}
