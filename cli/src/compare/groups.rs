//! The runs that differ in their seed alone, and what they say together.

use super::job::{Job, Run};

/// Runs of one policy under one budget, or the run of a baseline.
pub struct Group {
    pub name: String,
    /// Empty for a baseline.
    pub budget: String,
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
            let (name, budget) = (job.name(), job.budget());
            match groups.iter_mut().find(|group| group.name == name && group.budget == budget) {
                Some(group) => group.runs.push(run.clone()),
                None => groups.push(Self { name, budget, runs: vec![run.clone()] }),
            }
        }
        groups
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
