//! The JSON report.

use std::collections::BTreeMap;

use scall_gpu::SegmentReport;
use scall_gpu::eval::{AtCutoff, CatalogueAtCutoff, CatalogueMetrics, CoherenceReport, Exposures, Metrics, UserGroup};
use scall_gpu::run::{self, Config, Sampled};
use scall_gpu::{Result, Summary};
use serde::Serialize;

use super::against::Against;
use super::running::Running;
use crate::common::{Made, Words};

/// A metric by cutoff: `{"5": .., "10": .., "20": ..}`.
type ByCutoff = BTreeMap<u32, f64>;

#[derive(Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub made: Made,
    pub data: String,
    pub model: String,
    /// All else that was in force.
    pub settings: BTreeMap<&'static str, String>,
    pub policy: String,
    pub budget: String,
    pub max_size: u32,
    pub min_size: u32,
    pub steps: u32,
    pub seed: u64,
    /// All of that as `--config` takes it.
    pub config: Config,
    pub segments: Vec<Segment>,
    /// The metrics averaged over t >= 1, segments without a test user left out; none before segment 1.
    pub mean: Option<Quality>,
    /// The mean over t >= 1 of the segments that have some; none without non-clicks.
    #[serde(skip_serializing_if = "Option::is_none")]
    exposures: Option<Exposed>,
    /// What was compared with, on the same stream. A ranking without embeddings ranks for all test users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<Against>,
}

/// Bytes held of everything, and all but names and what is given back.
#[derive(Serialize)]
pub struct Held {
    total: u64,
    values: u64,
    optimizer: u64,
    directory: u64,
    samples: u64,
    layers: u64,
    history: u64,
    stream: u64,
    names: u64,
    working: u64,
}

impl From<run::Held> for Held {
    fn from(of: run::Held) -> Self {
        let run::Held { values, optimizer, directory, samples, layers, history, stream, names, working } = of;
        Self { total: of.total(), values, optimizer, directory, samples, layers, history, stream, names, working }
    }
}

#[derive(Serialize)]
pub struct Segment {
    t: usize,
    users: u32,
    items: u32,
    interactions: usize,
    action: Option<Action>,
    probes: u32,
    params: u64,
    budget_params: u64,
    budget_bytes: u64,
    counted_bytes: u64,
    table_bytes: u64,
    optimizer_bytes: u64,
    metadata_bytes: u64,
    peak_bytes: u64,
    working_bytes: u64,
    layer_bytes: u64,
    held: Held,
    grown_rows: u32,
    shrunk_rows: u32,
    new_rows: u64,
    steps: u32,
    loss: f32,
    /// Weight of squared rows in the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    l2: Option<f32>,
    /// Ranked for.
    test_users: usize,
    /// Of whom these were drawn, and how far the metrics may lie from those of all; where not all were ranked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn_of: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_errors: Option<Quality>,
    #[serde(flatten)]
    quality: Quality,
    /// Where a test user has clicks and non-clicks.
    #[serde(skip_serializing_if = "Option::is_none")]
    exposures: Option<Exposed>,
    /// By how coherent a user's items are, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    coherence: Option<Coherence>,
    seconds: Seconds,
}

/// Whether clicks of the test part score above non-clicks.
#[derive(Serialize)]
struct Exposed {
    auc: f64,
    users: usize,
}

impl From<Exposures> for Exposed {
    fn from(Exposures { auc, users }: Exposures) -> Self {
        Self { auc, users }
    }
}

#[derive(Serialize)]
struct Action {
    distribution: String,
    user_share: f64,
    alpha_users: f32,
    alpha_items: f32,
}

/// Quality among the items of the test part by quartiles of users, lowest first.
#[derive(Serialize)]
pub struct Coherence {
    by_surprise: [Group; 4],
    by_conditional_surprise: [Group; 4],
    /// Users of fewer than two items, who have no coherence.
    too_few_items: Group,
}

#[derive(Serialize)]
struct Group {
    /// The least and the largest value in it, in bits.
    bounds: [f64; 2],
    users: usize,
    mean_user_dims: f64,
    mean_item_dims: f64,
    #[serde(flatten)]
    quality: Quality,
}

impl From<&CoherenceReport> for Coherence {
    fn from(report: &CoherenceReport) -> Self {
        Self {
            by_surprise: report.by_surprise.each_ref().map(Group::from),
            by_conditional_surprise: report.by_conditional.each_ref().map(Group::from),
            too_few_items: Group::from(&report.too_few),
        }
    }
}

impl From<&UserGroup> for Group {
    fn from(group: &UserGroup) -> Self {
        let &UserGroup { bounds, ref metrics, mean_user_dims, mean_item_dims } = group;
        let mut quality = Quality::default();
        quality.put_metrics(metrics, "");
        Self { bounds, users: metrics.users, mean_user_dims, mean_item_dims, quality }
    }
}

/// Each metric, by the names of [`AtCutoff`] and [`CatalogueAtCutoff`] where the items of the test part are ranked, and
/// with `_all` after the name where all items with a row are.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub struct Quality(BTreeMap<String, ByCutoff>);

#[derive(Serialize)]
struct Seconds {
    search: f64,
    size: f64,
    resize: f64,
    /// Choosing `l2`.
    regularize: f64,
    train: f64,
    evaluate: f64,
    total: f64,
}

/// What one set of candidates showed.
pub type Found<'a> = (&'a Metrics, &'a CatalogueMetrics);

impl Quality {
    /// Of rankings among the items of the test part, and among all.
    pub fn of(test: Found<'_>, all: Found<'_>) -> Self {
        let mut quality = Self::default();
        for ((metrics, catalogue), among) in [(test, ""), (all, "_all")] {
            quality.put_metrics(metrics, among);
            let listed = catalogue.by_cutoff.iter().map(|(&at, of)| (at, of.values()));
            quality.put(CatalogueAtCutoff::NAMES, listed, among);
        }
        quality
    }

    /// Of the mean over segments.
    pub fn of_mean(of: &Summary) -> Self {
        Self::of((&of.test_candidates, &of.test_catalogue), (&of.all_candidates, &of.all_catalogue))
    }

    /// How far metrics of a sample of users may lie from those of all.
    fn errors(sampled: &Sampled) -> Self {
        let mut errors = Self::default();
        for (of, among) in [(&sampled.test_candidates, ""), (&sampled.all_candidates, "_all")] {
            errors.put(AtCutoff::NAMES, of.by_cutoff.iter().map(|(&at, of)| (at, of.values())), among);
        }
        errors
    }

    fn put_metrics(&mut self, metrics: &Metrics, among: &str) {
        self.put(AtCutoff::NAMES, metrics.by_cutoff.iter().map(|(&at, of)| (at, of.values())), among);
    }

    /// Adds values by cutoff, in the order of their names.
    fn put<const N: usize>(&mut self, names: [&str; N], values: impl Iterator<Item = (u32, [f64; N])>, among: &str) {
        for (cutoff, values) in values {
            for (name, value) in names.iter().zip(values) {
                self.0.entry(format!("{name}{among}")).or_default().insert(cutoff, value);
            }
        }
    }
}

impl From<&SegmentReport> for Segment {
    fn from(report: &SegmentReport) -> Self {
        let seconds = report.seconds;
        Self {
            t: report.t,
            users: report.users,
            items: report.items,
            interactions: report.interactions,
            action: report.action.map(|action| Action {
                distribution: action.distribution.to_string(),
                user_share: action.user_share,
                alpha_users: action.alpha_users,
                alpha_items: action.alpha_items,
            }),
            probes: report.probes,
            params: report.params,
            budget_params: report.budget_params,
            budget_bytes: report.budget_bytes,
            counted_bytes: report.counted_bytes,
            table_bytes: report.memory.values_bytes,
            optimizer_bytes: report.memory.optimizer_bytes,
            metadata_bytes: report.memory.metadata_bytes,
            peak_bytes: report.memory.peak_bytes,
            working_bytes: report.working_bytes,
            layer_bytes: report.layer_bytes,
            held: report.held.into(),
            grown_rows: report.resized.grown_rows,
            shrunk_rows: report.resized.shrunk_rows,
            new_rows: report.resized.new_rows,
            steps: report.steps,
            loss: report.loss,
            l2: report.l2,
            test_users: report.test_candidates.users,
            drawn_of: report.sampled.as_ref().map(|sampled| sampled.of),
            standard_errors: report.sampled.as_ref().map(Quality::errors),
            quality: Quality::of(
                (&report.test_candidates, &report.test_catalogue),
                (&report.all_candidates, &report.all_catalogue),
            ),
            exposures: report.exposures.map(Exposed::from),
            coherence: report.coherence.as_ref().map(Coherence::from),
            seconds: Seconds {
                search: seconds.search,
                size: seconds.size,
                resize: seconds.resize,
                regularize: seconds.regularize,
                train: seconds.train,
                evaluate: seconds.evaluate,
                total: seconds.total(),
            },
        }
    }
}

/// The configuration as a file can hold it: without a path that is no text.
pub fn repeatable(config: &Config) -> Config {
    let mut config = config.clone();
    config.data.path.retain(|path| path.to_str().is_some());
    config
}

impl Report {
    /// Of the segments done.
    ///
    /// # Errors
    /// For a model that there is not.
    pub fn of(running: &Running, words: &Words<'_>, summary: Option<&Summary>, against: Vec<Against>) -> Result<Self> {
        let Running { config, data, device, scall, .. } = running;
        Ok(Self {
            made: Made::now("scall-gpu/stream/1", device),
            data: data.clone(),
            model: config.model.name.clone(),
            settings: words.settings().into_iter().collect(),
            policy: config.policy.name.clone(),
            budget: config.budget.amount.to_string(),
            max_size: config.budget.max_size,
            min_size: config.budget.min_size,
            steps: config.steps()?,
            seed: config.seed,
            config: repeatable(config),
            segments: scall.report().iter().map(Segment::from).collect(),
            against,
            mean: summary.map(Quality::of_mean),
            exposures: summary.and_then(|of| of.exposures).map(Exposed::from),
        })
    }

    /// The report as a file has it.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and strings only") + "\n"
    }
}
