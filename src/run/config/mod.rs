//! A run described once: names and numbers that a file or a command line gives, and the way from them to a loop.

mod build;
mod check;
mod defaults;
mod device;
mod model;
#[cfg(feature = "serde")]
mod serial;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::{EarlyStop, Exclude, ProbeOptions, Replay};
use crate::eval::Cutoffs;
use crate::kernels::table::optimizer::{NonFinite, Optimizer};
use crate::models::RateSchedule;
use crate::rows::Format;
use crate::sizing::{Amount, Distribution};
use crate::stream::{Columns, Cut, Dedup, Encoding, Filter, TimeUnit};

pub use device::DeviceChoice;

/// All that a run over a recorded stream is made of: data, budget, policy, model, and how the loop goes.
///
/// Its fields have the names that a file's keys have. What is left out, in a file or as `None`, is what suits the model
/// or the policy. A [loop](super::Scall) follows from it by [`build`](Self::build), its parts by the other methods.
///
/// Options that one model or one policy alone has keep their defaults. A caller who needs others changes what
/// [`model_options`](Self::model_options) gives, or builds the policy's own options.
///
/// ```
/// use scall_gpu::run::{Config, DeviceChoice};
/// use scall_gpu::stream::{Cut, Interactions};
///
/// # fn main() -> scall_gpu::Result<()> {
/// let mut config = Config { device: DeviceChoice::Cpu, ..Config::default() };
/// config.model.name = "fism".into();
/// config.model.steps = Some(20);
/// config.budget.amount = "mean=4".parse()?;
/// config.data.segments = Cut::Equal { segments: 2 };
/// config.check()?;
///
/// let people = ["ann", "bob", "cy"];
/// let rows = (0..60).map(|row| (people[row % 3], format!("item {}", row * row % 7), row as i64));
/// let mut scall = config.build(Interactions::from_rows(rows)?)?;
/// while let Some(report) = scall.step(|_| {})? {
///     assert!(report.params <= 4 * u64::from(report.users + report.items));
/// }
/// assert_eq!(scall.report().len(), 2);
///
/// config.model.l2 = Some(-1.0);
/// let error = config.check().unwrap_err().to_string();
/// assert_eq!(error, "config: `model.l2`: expected finite and not negative, found -1");
/// # Ok(()) }
/// ```
///
/// # As a file
/// With the feature `serde` it is read from and written to TOML and JSON (`from_toml`, `from_json`, `load`):
#[cfg_attr(feature = "serde", doc = "```")]
#[cfg_attr(not(feature = "serde"), doc = "```ignore")]
/// use scall_gpu::run::Config;
/// let config = Config::from_toml(
///     r#"
///     policy.name = "grow"
///     budget.amount = "bytes=1MB"
///     model = { name = "lightgcn", optimizer = "adam:beta1=0.8", learning_rate = 0.01 }
///     "#,
/// )?;
/// assert_eq!(Config::from_toml(&config.to_toml()?)?, config);
/// # Ok::<(), scall_gpu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Config {
    /// Where to run (default: a hardware GPU, else the CPU).
    pub device: DeviceChoice,
    /// Seed of everything that is drawn (default 0).
    pub seed: u64,
    /// Earlier rows that are trained on again: `"all"` (default), a part of a segment's rows, from 0 to 1, or
    /// `"recent=COUNT"`, the latest so far, all before which are forgotten.
    pub replay: Replay,
    /// Which of a user's items are left out of lists once their rows are forgotten: `"ever"` (default), all that were
    /// touched, or `"kept"`, none.
    pub exclude: Exclude,
    /// Part of a segment's rows that is trained on; the rest is test (default 0.8).
    pub train_share: f64,
    /// How many seconds a row that is observed may lie before the latest one (default 3,600).
    pub late_seconds: u32,
    /// How many test users of a segment are ranked for, at least 2, drawn by seed and segment (default: all).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub evaluate_users: Option<u32>,
    /// The list lengths that metrics are reported at, from 1 to 100 (default: `[5, 10, 20]`; 20 is always reported
    /// too).
    #[cfg_attr(feature = "serde", serde(with = "serial::cutoffs", skip_serializing_if = "serial::cutoffs::are_usual"))]
    pub cutoffs: Cutoffs,
    /// Whether reports have quality by the coherence of users' items (default: no).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "std::ops::Not::not"))]
    pub coherence: bool,
    /// The stream, and where it is cut.
    pub data: DataConfig,
    /// What the tables may hold.
    pub budget: BudgetConfig,
    /// Who gets which size.
    pub policy: PolicyConfig,
    /// Which recommender, and how it learns.
    pub model: ModelConfig,
    /// How a policy that searches tries sizes.
    pub probe: ProbeOptions,
    /// When training ends before all steps are taken (default: never). In a file an empty table is the usual one.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub early_stop: Option<EarlyStop>,
}

/// The stream: which files, how they are written, which rows are kept, and where it is cut. What is read, and what the
/// words mean, is said by [`ReadOptions`](crate::stream::ReadOptions).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct DataConfig {
    /// The files of interactions: a path or a list of paths, each a file, a folder, a pattern such as `2024-*.csv.gz`,
    /// or `-` for standard input (default: none; whoever runs it brings them).
    #[cfg_attr(feature = "serde", serde(with = "serial::paths", skip_serializing_if = "Vec::is_empty"))]
    pub path: Vec<PathBuf>,
    /// How the files are written: the name of a [`Format`](crate::stream::Format) (default: by the names of files).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub format: Option<String>,
    /// Which columns hold what: names, or positions from 0 (default: the usual names).
    #[cfg_attr(feature = "serde", serde(with = "serial::ColumnsForm"))]
    pub columns: Columns,
    /// The encoding of text, such as `latin1` (default: UTF-8).
    pub encoding: Encoding,
    /// The unit of times that are numbers: `s`, `ms`, `us` or `ns` (default: `auto`, told by their size).
    pub time_unit: TimeUnit,
    /// Least rating of a row that is kept (default: any).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub min_rating: Option<f64>,
    /// Least rating of a click: rows with a lower one are kept as non-clicks (default: all rows are clicks).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub clicks: Option<f64>,
    /// Values that rows have to have, as `["event=buy"]`; several of one column are alternatives (default: none).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub r#where: Vec<Filter>,
    /// Least rows of each user and each item that are left (default: any number).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub k_core: Option<u32>,
    /// Which rows of one user and one item are kept: `all` (default) or `first`.
    pub dedup: Dedup,
    /// How many bad lines may be left out (default 0).
    pub skip_bad: u32,
    /// Where to cut: `equal=10` (default), or `new=15000` for a cut after more new entities than that.
    pub segments: Cut,
}

/// What both tables may hold together.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct BudgetConfig {
    /// How much: `mean=8` (parameters an entity, default), `params=100000` or `bytes=10MB`.
    pub amount: Amount,
    /// Smallest row (default 1; 0 lets a fixed budget survive any number of entities).
    pub min_size: u32,
    /// Largest row (default 64).
    pub max_size: u32,
    /// Whether a budget in bytes counts the optimizer's state too (default: no).
    pub count_optimizer: bool,
    /// Whether a budget in bytes leaves the row directory out (default: no).
    pub ignore_metadata: bool,
}

/// Who gets which size. An option that the policy does not have is an error.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct PolicyConfig {
    /// One of [`PolicyOptions::NAMES`](crate::sizing::PolicyOptions::NAMES) (default: `ranked`).
    pub name: String,
    /// Whether what is left out is as its paper has it, where our defaults are others (default: no).
    pub published: bool,
    /// Family of the size profiles.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub distribution: Option<Distribution>,
    /// Shape of both profiles.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub alpha: Option<f32>,
    /// Part of the parameters that goes to the users, from 0 to 1.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub user_share: Option<f64>,
    /// Most probes a segment, from 3 to 10,000.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub probes: Option<u32>,
    /// Proposals that are drawn from one state and probed side by side, from 1 to 1,000.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub proposals_at_once: Option<u32>,
}

/// Which recommender, and how it learns. A number that the choice of bias, sampling or optimizer has no use for is an
/// error.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct ModelConfig {
    /// One of [`ModelOptions::NAMES`](crate::models::ModelOptions::NAMES) (default: `mf`).
    pub name: String,
    /// Training steps a segment, the most of them with an early stop.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub steps: Option<u32>,
    /// Triples a step.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub batch: Option<u32>,
    /// The optimizer, with those constants that are not the usual ones: `adam:beta1=0.8`. Its usual learning rate is
    /// that of its recipe, not the model's.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub optimizer: Option<Optimizer>,
    /// The optimizer's step size, at the first step of a segment where it falls.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub learning_rate: Option<f32>,
    /// Adagrad's epsilon, row-wise or not. Other optimizers have theirs in `optimizer`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub epsilon: Option<f32>,
    /// How the learning rate moves within a segment: `constant`, or `falling:factor=0.95,every=200,least=0.001`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub rate: Option<RateSchedule>,
    /// L2 decay that the optimizer adds to gradients.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub weight_decay: Option<f32>,
    /// Norm to which a row's longer gradient is shortened.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub max_norm: Option<f32>,
    /// What becomes of gradients that are not finite: `error`, `skip` or `clip`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub non_finite: Option<NonFinite>,
    /// Weight of the squared embeddings (default: [chosen](crate::ScallOptions::choose_l2) in the stream, from the
    /// model's own).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub l2: Option<f32>,
    /// Where an item's bias comes from: one of [`ItemBias::NAMES`](crate::models::ItemBias::NAMES) (default:
    /// `counted`).
    pub bias: String,
    /// Rows after which a row counts half in a counted bias (default: each segment chooses).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub half_life: Option<f64>,
    /// What is left of a learned bias when a segment begins, 0 to 1 (default 0).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub keep_bias: Option<f32>,
    /// How triples are drawn: one of [`Sampling::NAMES`](crate::models::Sampling::NAMES) (default: `log`).
    pub sampling: String,
    /// Rows before and after a positive that its negative comes from, for `log`, and for the rest of `blocks`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub window: Option<u32>,
    /// Part of the triples that comes from feedback blocks, from 0 to 1, for `blocks` (default 1).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub block_share: Option<f32>,
    /// Standard deviation of new values in user rows.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub user_init_std: Option<f32>,
    /// Standard deviation of new values in item rows.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub item_init_std: Option<f32>,
    /// How values are stored: one of the names of [`Format`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none", with = "serial::format"))]
    pub format: Option<Format>,
}
