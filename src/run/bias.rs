//! Counted item biases, and the half-life that the stream itself chooses.

use super::evaluation::Evaluation;
use crate::Result;
use crate::file::State;
use crate::models::baselines::{Baseline, DecayedPopularity, Past};
use crate::stream::{Interactions, Segment, UserItems, decayed_counts};

/// Added to a count before its logarithm: what has not sold lately still ranks by taste. (An item that sold once just
/// now stands
/// three units above it.)
const SMOOTHING: f64 = 0.05;

/// What a segment's verdict on the half-lives weighs in the next one's: one segment's last rows are few.
const MEMORY: f64 = 0.5;

/// Half-lives that are tried, in rows.
const HALF_LIVES: [f64; 9] = [250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 32000.0, 64000.0];

/// Counts biases with one half-life, given or chosen.
#[derive(Clone, Debug)]
pub(super) struct BiasCounter {
    given: Option<f64>,
    /// Quality of each of [`HALF_LIVES`] over the segments so far, old ones faded.
    quality: [f64; HALF_LIVES.len()],
}

impl BiasCounter {
    pub fn new(given: Option<f64>) -> Self {
        Self { given, quality: [0.0; HALF_LIVES.len()] }
    }

    /// What it goes by.
    pub fn quality(&self) -> [f64; HALF_LIVES.len()] {
        self.quality
    }

    /// Takes that in.
    pub fn restore(&mut self, state: &State, name: &str) -> Result<()> {
        let quality = state.array(name)?;
        state.check(name, &quality, |quality: f64| quality.is_finite() && quality >= 0.0, "finite and not negative")?;
        self.quality = quality;
        Ok(())
    }

    /// The half-life in use.
    pub fn half_life(&self) -> f64 {
        let best = |best: usize, k| if self.quality[k] > self.quality[best] { k } else { best };
        self.given.unwrap_or_else(|| HALF_LIVES[(1..HALF_LIVES.len()).fold(0, best)])
    }

    /// Ranks the last fifth of a segment's training rows by counts alone, with each half-life. `history` is what users
    /// had
    /// touched before row `learned`.
    pub fn validate(
        &mut self,
        data: &Interactions,
        train: &Segment,
        history: &UserItems,
        learned: usize,
    ) -> Result<()> {
        if self.given.is_some() {
            return Ok(());
        }
        let (fit, validation) = train.split(0.8)?;
        let end = fit.rows.end;
        let mut history = history.clone();
        history.extend(data.users_seen(end).max(history.users()), data.pairs(learned.min(end)..end))?;
        let evaluation = Evaluation::new(data, &validation, end, &history)?;
        for (quality, half_life) in self.quality.iter_mut().zip(HALF_LIVES) {
            let mut counts = DecayedPopularity::new(half_life);
            counts.learn(Past { data, segment: fit.rows.clone(), history: &history })?;
            let counts: &mut dyn Baseline = &mut counts;
            *quality = MEMORY * *quality + evaluation.among_test_items(counts, &history)?;
        }
        Ok(())
    }

    /// The biases of the first `items` items after row `row_end`.
    pub fn biases(&self, data: &Interactions, row_end: usize, items: u32) -> Vec<f32> {
        let mut counts = decayed_counts(data, row_end, self.half_life());
        counts.resize(items as usize, 0.0);
        counts.into_iter().map(|count| libm::log(count + SMOOTHING) as f32).collect()
    }
}
