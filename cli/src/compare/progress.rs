//! Where a comparison is, and how long it will take.

use std::collections::HashMap;
use std::time::Instant;

use scall_gpu::Phase;

use super::job::{Job, Run};
use crate::common::{Progress, note};

/// What of a bar's length a full bar is.
const FULL: u64 = 1000;

/// What a job is expected to cost against one without search, before anything was measured.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// Of a segment's training, sizes and ranking, 1 for all policies.
    pub rest: f64,
    /// Of a segment's search.
    pub search: f64,
    /// Probes that the search takes at most.
    pub probes: u32,
}

/// Seconds of a job by the runs of its policy that are done, else by all runs that are done and the jobs' weights.
#[derive(Clone, Default)]
struct Estimates {
    by_name: HashMap<String, (f64, u32)>,
    seconds: f64,
    weight: f64,
}

impl Estimates {
    fn learn(&mut self, name: &str, weight: f64, seconds: f64) {
        let (sum, runs) = self.by_name.entry(name.to_owned()).or_default();
        (*sum, *runs) = (*sum + seconds, *runs + 1);
        self.seconds += seconds;
        self.weight += weight;
    }

    /// Expected seconds of a job; its bare weight where nothing is known.
    fn cost(&self, name: &str, weight: f64) -> f64 {
        match self.by_name.get(name) {
            Some((sum, runs)) => sum / f64::from(*runs),
            None if self.weight > 0.0 => weight * self.seconds / self.weight,
            None => weight,
        }
    }
}

/// Progress over all runs. On a standard error that is no terminal, a line for each run that ends.
pub struct Runs {
    bar: Progress,
    /// Name and weight of all jobs, those that are done first.
    jobs: Vec<(Job, Weight)>,
    done: usize,
    segments: usize,
    estimates: Estimates,
    start: Instant,
    run_start: Instant,
}

impl Runs {
    /// For jobs of which the first `finished` were run before.
    pub fn new(jobs: Vec<(Job, Weight)>, finished: &[&Run], segments: usize) -> Self {
        let bar = Progress::bare(FULL);
        let start = Instant::now();
        let estimates = Estimates::default();
        let mut progress = Self { bar, jobs, done: 0, segments, estimates, start, run_start: start };
        for run in finished {
            progress.learn(run);
        }
        progress
    }

    fn weight(&self, weight: Weight) -> f64 {
        let segments = self.segments as f64;
        // Nothing has ended before the first segment that a search could probe on.
        weight.rest * segments + weight.search * (segments - 1.0)
    }

    fn learn(&mut self, run: &Run) {
        let (job, weight) = &self.jobs[self.done];
        self.estimates.learn(&job.name(), self.weight(*weight), run.seconds);
        self.done += 1;
    }

    /// Shows where the current run is.
    pub fn show(&self, t: usize, phase: Phase) {
        let (job, weight) = &self.jobs[self.done];
        let search = if t > 0 { weight.search } else { 0.0 };
        let within = match phase {
            Phase::Search { probes } => search * (f64::from(probes) / f64::from(weight.probes)).min(1.0),
            Phase::Train { done, steps } => search + weight.rest * 0.8 * f64::from(done) / f64::from(steps.max(1)),
            Phase::Evaluate => search + weight.rest * 0.8,
            _ => search,
        };
        let before = weight.rest * t as f64 + weight.search * t.saturating_sub(1) as f64;
        let part = (before + within) / self.weight(*weight);
        let mut estimates = self.estimates.clone();
        let name = job.name();
        if part > 0.02 && !estimates.by_name.contains_key(&name) {
            // The first run of its policy: by its own pace.
            estimates.learn(&name, self.weight(*weight), self.run_start.elapsed().as_secs_f64() / part);
        }
        let cost = |(job, weight): &(Job, Weight)| estimates.cost(&job.name(), self.weight(*weight));
        let past: f64 = self.jobs[..self.done].iter().map(cost).sum();
        let now = cost(&self.jobs[self.done]);
        let later: f64 = self.jobs[self.done + 1..].iter().map(cost).sum();
        let finished = (past + part * now) / (past + now + later);
        let left = match estimates.seconds > 0.0 {
            true => format!("about {}", time((1.0 - part) * now + later)),
            false => "unknown".to_owned(),
        };
        let what = format!(
            "{} gone, {left} left: run {} of {}, {}, segment {t} of {}",
            time(self.start.elapsed().as_secs_f64()),
            self.done + 1,
            self.jobs.len(),
            job.describe(),
            self.segments,
        );
        self.bar.show((finished * FULL as f64) as u64, what);
    }

    /// A run has ended.
    pub fn finish_run(&mut self, run: &Run) {
        if self.bar.is_hidden() {
            let (job, of) = (self.jobs[self.done].0.describe(), self.jobs.len());
            let (done, quality, seconds) = (self.done + 1, run.ndcg_20, run.seconds);
            note(&format!("run {done} of {of}: {job}: NDCG@20 {quality:.4}, {seconds:.1} s"));
        }
        self.learn(run);
        self.run_start = Instant::now();
    }
}

/// Seconds for a person.
fn time(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
    }
}
