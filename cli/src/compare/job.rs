//! One run: a policy under a budget with a seed, or a baseline.

use std::time::Instant;

use scall_gpu::device::Device;
use scall_gpu::eval::Cutoffs;
use scall_gpu::models::baselines::{Baseline, DecayedPopularity, ItemKnn, Popularity, RecentPopularity};
use scall_gpu::rows::Format;
use scall_gpu::run::Config;
use scall_gpu::sizing::{Amount, Population, Uniform};
use scall_gpu::stream::{Interactions, Segment};
use scall_gpu::{Error, Phase, Replay, Result, Scall, SegmentReport, Summary, follow};
use serde::{Deserialize, Serialize};

use crate::common::Interrupt;

/// What a run was and found: a line of the CSV file. A baseline has no budget, seed, values, model or bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub policy: String,
    pub budget: String,
    pub seed: Option<u64>,
    /// How values are stored, and which earlier rows are kept.
    pub values: String,
    pub replay: String,
    pub model: String,
    pub recall_5: f64,
    pub recall_10: f64,
    pub recall_20: f64,
    pub ndcg_5: f64,
    pub ndcg_10: f64,
    pub ndcg_20: f64,
    pub recall_all_5: f64,
    pub recall_all_10: f64,
    pub recall_all_20: f64,
    pub ndcg_all_5: f64,
    pub ndcg_all_10: f64,
    pub ndcg_all_20: f64,
    /// Bytes of what the budget counts, and of everything: means of the segments that quality is the mean of.
    pub counted_bytes: Option<u64>,
    pub held_bytes: Option<u64>,
    /// With those of the rows that are kept.
    pub total_bytes: Option<u64>,
    /// Largest of all segments.
    pub peak_bytes: Option<u64>,
    pub working_bytes: Option<u64>,
    pub probes: Option<u32>,
    pub seconds: f64,
    pub seconds_search: Option<f64>,
    pub seconds_size: Option<f64>,
    pub seconds_resize: Option<f64>,
    pub seconds_train: Option<f64>,
    pub seconds_evaluate: Option<f64>,
    /// All else that was in force, as `name=value; name=value`.
    pub settings: String,
}

/// What sets a run apart from the others of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    Policy { policy: String, budget: Amount, variant: Variant, seed: u64 },
    Baseline(Counting),
}

/// What is compared next to policies and budgets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    pub format: Format,
    pub replay: Replay,
}

/// Rankings without embeddings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Counting {
    Popularity,
    Recent,
    Decayed,
    Knn,
}

impl Counting {
    pub const ALL: [Self; 4] = [Self::Popularity, Self::Recent, Self::Decayed, Self::Knn];

    /// Half-life of [`DecayedPopularity`] in rows, where `--half-life` gives none: of 1000, 2000, 4000 and 16000 the
    /// only one within 5 % of the best NDCG@20 on the sample, on MovieTweetings 100K and on the UCI Online Retail
    /// purchases.
    pub const HALF_LIFE: f64 = 2000.0;

    pub fn build(self, half_life: f64) -> Box<dyn Baseline> {
        match self {
            Self::Popularity => Box::new(Popularity::default()),
            Self::Recent => Box::new(RecentPopularity::default()),
            Self::Decayed => Box::new(DecayedPopularity::new(half_life)),
            Self::Knn => Box::new(ItemKnn::default()),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::Recent => "recent popularity",
            Self::Decayed => "decayed popularity",
            Self::Knn => "item knn",
        }
    }
}

impl Job {
    pub fn name(&self) -> String {
        match self {
            Self::Policy { policy, .. } => policy.clone(),
            Self::Baseline(counting) => counting.name().to_owned(),
        }
    }

    /// The budget as the file has it: nothing for a baseline.
    pub fn budget(&self) -> String {
        match self {
            Self::Policy { budget, .. } => budget.to_string(),
            Self::Baseline(_) => String::new(),
        }
    }

    fn seed(&self) -> Option<u64> {
        match self {
            Self::Policy { seed, .. } => Some(*seed),
            Self::Baseline(_) => None,
        }
    }

    /// Its name, and for a policy budget and seed.
    pub fn describe(&self) -> String {
        match self {
            Self::Policy { seed, variant: Variant { format, replay }, .. } => {
                let kept = if *replay == Replay::All { String::new() } else { format!(", replay {replay}") };
                format!("{}, {}, {}{kept}, seed {seed}", self.name(), self.budget(), format.name())
            }
            Self::Baseline(_) => self.name(),
        }
    }

    /// Whether `run` is this job's.
    pub fn is_done_by(&self, run: &Run) -> bool {
        let [values, replay] = self.variant();
        let is_same = run.policy == self.name() && run.budget == self.budget() && run.seed == self.seed();
        is_same && run.values == values && run.replay == replay
    }

    /// Values and replay as the file has them: nothing for a baseline.
    pub fn variant(&self) -> [String; 2] {
        match self {
            Self::Policy { variant: Variant { format, replay }, .. } => [format.name().to_owned(), replay.to_string()],
            Self::Baseline(_) => Default::default(),
        }
    }
}

/// A run of what they have in common: by a policy, under a budget, with a seed, with values and rows kept as a variant
/// has them.
///
/// # Errors
/// For a policy that there is not.
pub fn config_of(common: &Config, policy: &str, budget: Amount, variant: Variant, seed: u64) -> Result<Config> {
    let mut config = common.with_policy(policy)?;
    (config.budget.amount, config.seed) = (budget, seed);
    (config.model.format, config.replay) = (Some(variant.format), variant.replay);
    Ok(config)
}

/// What all runs have in common.
pub struct Bench<'a> {
    pub config: &'a Config,
    /// Of decayed popularity.
    pub half_life: f64,
    pub device: &'a Device,
    pub data: &'a Interactions,
    pub segments: &'a [Segment],
    /// For the file.
    pub settings: &'a str,
    /// A run is given up where it comes, at the end of a segment.
    pub interrupt: Interrupt,
}

impl Bench<'_> {
    /// Refuses what no run could finish, before the first begins: too few segments, a budget too small for the last
    /// one.
    pub fn check(&self, budgets: &[Amount], variants: &[Variant]) -> Result<()> {
        if self.segments.len() < 2 {
            return Err(Error::Argument {
                op: "compare",
                arg: "--segments",
                expected: "at least 2 segments, quality being the mean of all but the first".into(),
                got: self.segments.len().to_string(),
            });
        }
        for (&amount, &variant) in budgets.iter().flat_map(|amount| variants.iter().map(move |of| (amount, of))) {
            // It checks all options, and holds nothing.
            let options = config_of(self.config, "uniform", amount, variant, 0)?.scall_options()?;
            Scall::new(self.device, Box::new(Uniform), options.clone())?;
            for segment in self.segments {
                let end = segment.split(options.train_share)?.0.rows.end;
                let population = Population { users: self.data.users_seen(end), items: self.data.items_seen(end) };
                options.budget.resolve_in_groups(population, &options.model.shape())?;
            }
        }
        Ok(())
    }

    /// Runs a job; `progress` hears of the segment and what happens in it.
    pub fn run(&self, job: &Job, progress: impl FnMut(usize, Phase)) -> Result<Run> {
        match job {
            Job::Policy { policy, budget, variant, seed } => {
                let config = config_of(self.config, policy, *budget, *variant, *seed)?;
                self.policy(job, &config, progress)
            }
            Job::Baseline(counting) => self.baseline(job, *counting),
        }
    }

    fn policy(&self, job: &Job, config: &Config, mut progress: impl FnMut(usize, Phase)) -> Result<Run> {
        let model = config.model_options()?.name();
        let mut scall = config.build_on(self.device, self.data.clone())?;
        loop {
            self.interrupt.check()?;
            let (t, _) = scall.progress();
            if scall.step(|phase| progress(t, phase))?.is_none() {
                break;
            }
        }
        let reports = scall.report();
        let summary = Summary::of(reports).ok_or_else(no_one_to_rank_for)?;
        let counted: Vec<&SegmentReport> =
            reports.iter().filter(|report| report.t > 0 && report.test_candidates.users > 0).collect();
        let mean = |bytes: fn(&SegmentReport) -> u64| {
            let sum: f64 = counted.iter().map(|report| bytes(report) as f64).sum();
            Some((sum / counted.len() as f64).round() as u64)
        };
        let most = |bytes: fn(&SegmentReport) -> u64| reports.iter().map(bytes).max();
        let seconds = |phase: fn(&SegmentReport) -> f64| reports.iter().map(phase).sum::<f64>();
        Ok(Run {
            model: model.to_owned(),
            counted_bytes: mean(|report| report.counted_bytes),
            held_bytes: mean(|report| report.memory.total_bytes()),
            total_bytes: mean(|report| report.held.total()),
            peak_bytes: most(|report| report.memory.peak_bytes),
            working_bytes: most(|report| report.working_bytes),
            probes: Some(reports.iter().map(|report| report.probes).sum()),
            seconds_search: Some(seconds(|report| report.seconds.search)),
            seconds_size: Some(seconds(|report| report.seconds.size)),
            seconds_resize: Some(seconds(|report| report.seconds.resize)),
            seconds_train: Some(seconds(|report| report.seconds.train)),
            seconds_evaluate: Some(seconds(|report| report.seconds.evaluate)),
            ..self.found(job, &summary, seconds(|report| report.seconds.total()))
        })
    }

    fn baseline(&self, job: &Job, counting: Counting) -> Result<Run> {
        let start = Instant::now();
        let baseline = &mut *counting.build(self.half_life);
        let followed = follow(self.data, self.segments, self.config.train_share, &self.config.cutoffs, baseline)?;
        let summary = followed.summary().ok_or_else(no_one_to_rank_for)?;
        Ok(self.found(job, &summary, start.elapsed().as_secs_f64()))
    }

    /// A run's quality and time, the rest left out.
    fn found(&self, job: &Job, summary: &Summary, seconds: f64) -> Run {
        let [test, all] = [&summary.test_candidates, &summary.all_candidates]
            .map(|metrics| Cutoffs::default().iter().map(|cutoff| metrics.at(cutoff)).collect::<Vec<_>>());
        let [values, replay] = job.variant();
        Run {
            policy: job.name(),
            budget: job.budget(),
            seed: job.seed(),
            values,
            replay,
            model: String::new(),
            recall_5: test[0].recall,
            recall_10: test[1].recall,
            recall_20: test[2].recall,
            ndcg_5: test[0].ndcg,
            ndcg_10: test[1].ndcg,
            ndcg_20: test[2].ndcg,
            recall_all_5: all[0].recall,
            recall_all_10: all[1].recall,
            recall_all_20: all[2].recall,
            ndcg_all_5: all[0].ndcg,
            ndcg_all_10: all[1].ndcg,
            ndcg_all_20: all[2].ndcg,
            counted_bytes: None,
            held_bytes: None,
            total_bytes: None,
            peak_bytes: None,
            working_bytes: None,
            probes: None,
            seconds,
            seconds_search: None,
            seconds_size: None,
            seconds_resize: None,
            seconds_train: None,
            seconds_evaluate: None,
            settings: self.settings.to_owned(),
        }
    }
}

fn no_one_to_rank_for() -> Error {
    Error::Argument {
        op: "compare",
        arg: "--data",
        expected: "a segment after the first with a user to rank for".into(),
        got: "none: everybody in a test part is new, or bought nothing new".into(),
    }
}
