//! The loop's parts, and how it begins.

use std::sync::OnceLock;

use super::bias::BiasCounter;
use super::options::{AnyOptions, ScallOptions};
use super::regularize::L2Chooser;
use super::report::SegmentReport;
use super::segment::{Begun, LastSegment};
use crate::device::Device;
use crate::models::{ItemBias, ModelBuilder, Recommender};
use crate::sizing::SizePolicy;
use crate::stream::{Interactions, Segment, UserItems};
use crate::table::Account;
use crate::{Error, Result, check};

/// A recommender that follows a stream inside a budget.
///
/// A recorded stream is followed with [`over`](Self::over) and [`step`](Self::step), segment by segment. A live one
/// begins with [`new`](Self::new), takes what happens with [`observe`](Self::observe), and closes a segment with `step`
/// whenever it is time to learn.
///
/// The model is one of [`ModelOptions`](crate::models::ModelOptions), or one of your own: see [`Recommender`].
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
/// assert!(scall.recommend("dee", 2)?.len() == 2); // a stranger: what sells
/// # Ok(()) }
/// ```
pub struct Scall {
    pub(super) device: Device,
    pub(super) options: AnyOptions,
    pub(super) data: Interactions,
    /// Those that are done, then those that are given.
    pub(super) segments: Vec<Segment>,
    pub(super) policy: Box<dyn SizePolicy>,
    pub(super) model: Box<dyn Recommender>,
    pub(super) account: Account,
    /// All rows that were trained on or lie before one; of those that are kept where
    /// [`Exclude`](super::Exclude) says so.
    pub(super) history: UserItems,
    /// Rows that the history holds.
    pub(super) learned: usize,
    /// Rows that the biases are counted over, where they are.
    pub(super) counted: usize,
    /// How often users and items occurred in the last training rows.
    pub(super) frequencies: [Vec<u32>; 2],
    /// Where biases are counted.
    pub(super) bias: Option<BiasCounter>,
    /// Where the weight of squared rows is chosen.
    pub(super) l2: Option<L2Chooser>,
    /// Biases of all rows so far, once a list was asked for.
    pub(super) served: OnceLock<Vec<f32>>,
    pub(super) last: Option<LastSegment>,
    pub(super) begun: Begun,
    pub(super) reports: Vec<SegmentReport>,
}

impl Scall {
    /// A loop at the beginning of a live stream.
    ///
    /// # Errors
    /// Those of [`over`](Self::over).
    pub fn new<M: ModelBuilder + 'static>(
        device: &Device,
        policy: Box<dyn SizePolicy>,
        options: ScallOptions<M>,
    ) -> Result<Self> {
        Self::over(device, Interactions::default(), Vec::new(), policy, options)
    }

    /// A loop at the beginning of a recorded stream that is cut into `segments`.
    ///
    /// # Errors
    /// [`Error::Argument`] for options of the loop, the model or the policy outside their domain, for segments that
    /// overlap, run backwards or pass the last row, for a stream that has forgotten rows, and for a model that does not
    /// draw from the account that it was given or that says of its biases what its rows do not have; [`Error::Shape`]
    /// for one with more rows than the stream knows users or items; what building the model reports.
    pub fn over<M: ModelBuilder + 'static>(
        device: &Device,
        data: Interactions,
        segments: Vec<Segment>,
        policy: Box<dyn SizePolicy>,
        options: ScallOptions<M>,
    ) -> Result<Self> {
        data.check_whole("Scall::new")?;
        Self::begin(device, data, segments, policy, options)
    }

    /// The same, whatever the stream has forgotten.
    pub(super) fn begin<M: ModelBuilder + 'static>(
        device: &Device,
        data: Interactions,
        segments: Vec<Segment>,
        policy: Box<dyn SizePolicy>,
        options: ScallOptions<M>,
    ) -> Result<Self> {
        options.check()?;
        options.model.check()?;
        policy.check()?;
        Segment::check_all("Scall::new", &segments, data.len())?;
        // Without rows the tables hold their directories' ends; the first segment sets the real capacity.
        let account = Account::new(u64::MAX, options.budget.counts);
        let mut model = options.model.build(device, &account, options.seed)?;
        check_model(&*model, &account, &data)?;
        model.embeddings_mut().expect_sizes(options.budget.d_max);
        let bias = match model.item_bias() {
            ItemBias::Counted { half_life } => Some(BiasCounter::new(half_life)),
            _ => None,
        };
        let l2 = model.l2().filter(|&l2| options.choose_l2 && l2 > 0.0).map(L2Chooser::new);
        Ok(Self {
            device: device.clone(),
            model,
            options: options.any(),
            data,
            segments,
            policy,
            account,
            history: UserItems::new(0, [])?,
            learned: 0,
            counted: 0,
            frequencies: Default::default(),
            bias,
            l2,
            served: OnceLock::new(),
            last: None,
            begun: Begun::default(),
            reports: Vec::new(),
        })
    }

    /// The recommender.
    pub fn model(&self) -> &dyn Recommender {
        &*self.model
    }

    /// How often each user and each item occurred in the training rows of the last segment and SCALL's sample of
    /// earlier ones: what sizes went by. Those who came since have no entry.
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
}

/// That the loop can take this recommender, which was built to draw from `account`, through this stream.
fn check_model(model: &dyn Recommender, account: &Account, data: &Interactions) -> Result<()> {
    let (op, tables) = ("Scall::new", model.embeddings());
    let drawn = [tables.users(), tables.items()].map(|table| table.account().is_same(account));
    check::domain(op, "model", "another account", drawn == [true; 2], "one that draws from the account it is given")?;
    let bias = model.item_bias();
    bias.check(op)?;
    let expected = format!("one whose `item_bias`, {bias:?}, is that of its embeddings");
    let held = if tables.item_bias() { "a bias" } else { "none" };
    check::domain(op, "model", held, bias.exists() == tables.item_bias(), &expected)?;
    for (arg, table, known) in
        [("model.users", tables.users(), data.user_count()), ("model.items", tables.items(), data.item_count())]
    {
        if table.rows() > known {
            return Err(Error::Shape { op, arg, expected: known.into(), got: table.rows().into() });
        }
    }
    Ok(())
}
