//! The runs that differ in their seed alone, and what they say together.

use super::job::{Job, Run};

/// Runs of one policy under one budget with values of one format and one replay, or the run of a baseline.
pub struct Group {
    pub name: String,
    /// Empty for a baseline.
    pub budget: String,
    /// Values and replay, empty for a baseline.
    pub variant: [String; 2],
    pub runs: Vec<Run>,
}

/// A mean over seeds and its standard deviation, none for a single seed.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub mean: f64,
    pub deviation: Option<f64>,
}

impl Group {
    /// Groups in the order of the jobs.
    pub fn all(jobs: &[Job], runs: &[Run]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for job in jobs {
            let Some(run) = runs.iter().find(|run| job.is_done_by(run)) else { continue };
            let (name, budget, variant) = (job.name(), job.budget(), job.variant());
            let is_this = |group: &&mut Self| group.name == name && group.budget == budget && group.variant == variant;
            match groups.iter_mut().find(is_this) {
                Some(group) => group.runs.push(run.clone()),
                None => groups.push(Self { name, budget, variant, runs: vec![run.clone()] }),
            }
        }
        groups
    }

    /// Whether values, and replay, differ among these.
    pub fn differ(groups: &[Self]) -> [bool; 2] {
        [0, 1].map(|part| {
            let mut parts = groups.iter().filter(|group| !group.is_baseline()).map(|group| &group.variant[part]);
            let first = parts.next();
            parts.any(|part| Some(part) != first)
        })
    }

    /// Its name, with values and replay where they `differ` from group to group.
    pub fn label(&self, differ: [bool; 2]) -> String {
        let shown = self.variant.iter().zip(differ).filter(|(part, differs)| *differs && !part.is_empty());
        std::iter::once(&*self.name).chain(shown.map(|(part, _)| &**part)).collect::<Vec<_>>().join(" ")
    }

    pub fn is_baseline(&self) -> bool {
        self.budget.is_empty()
    }

    pub fn of(&self, value: impl Fn(&Run) -> f64) -> Spread {
        let values: Vec<f64> = self.runs.iter().map(value).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Spread { mean, deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()) }
    }

    /// Mean bytes, none for a baseline.
    pub fn bytes(&self, value: impl Fn(&Run) -> Option<u64>) -> Option<f64> {
        let values: Vec<f64> = self.runs.iter().filter_map(value).map(|bytes| bytes as f64).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}
