//! The weight of squared rows (`l2`), which the stream itself chooses.

use super::probe::side_by_side;
use super::report::Phase;
use super::scall::Scall;
use crate::Result;
use crate::file::State;
use crate::models::TrainingData;
use crate::sizing::Population;
use crate::spans::span;
use crate::stream::Segment;
use crate::table::Account;

/// Between two weights that are tried. Quality changes by a few parts in a hundred from one to the next.
const FACTOR: f32 = 2.0;

/// Weights that are tried: the model's own, [`DOWN`] steps below it and the others above.
const WEIGHTS: usize = 8;

/// Steps below the model's own weight.
const DOWN: usize = 4;

/// Part of a segment's training rows, the last of them, that weights are judged by.
const SHARE: f64 = 0.2;

/// What a segment's verdict weighs in the next one's: one segment's last rows are few.
const MEMORY: f64 = 0.5;

/// The gain that a larger weight needs. Of weights that rank about alike the smaller one is taken: with large ones rows
/// are pulled to zero, where all weights rank alike and nothing is learned any more.
const LEAST: f64 = 0.01;

/// Chooses among the weights `base * FACTOR^k` by climbing: each segment compares the weight in use with its two
/// neighbours, and goes to one of them where it has ranked better, this time and before taken together. One step a
/// segment, because few rows alone are ranked best by no taste at all: by weights that pull all rows to zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct L2Chooser {
    base: f32,
    /// Which of the weights is in use.
    at: usize,
    /// By how much more the next weight ranks than each, as a logarithm of their ratio, over the segments so far, old
    /// ones faded.
    gains: [f64; WEIGHTS - 1],
}

impl L2Chooser {
    /// Begins with the model's own weight, which has to be positive: no factor changes 0.
    pub fn new(base: f32) -> Self {
        Self { base, at: DOWN, gains: [0.0; WEIGHTS - 1] }
    }

    /// The weight in use.
    pub fn l2(&self) -> f32 {
        self.weight(self.at)
    }

    fn weight(&self, k: usize) -> f32 {
        self.base * FACTOR.powi(k as i32 - DOWN as i32)
    }

    /// The weight in use and its neighbours, lowest first.
    fn around(&self) -> std::ops::Range<usize> {
        self.at.saturating_sub(1)..(self.at + 2).min(WEIGHTS)
    }

    /// The weights that a segment compares.
    pub fn tried(&self) -> Vec<f32> {
        self.around().map(|k| self.weight(k)).collect()
    }

    /// Goes one step at most, by the qualities of the weights [tried](Self::tried).
    pub fn hear(&mut self, qualities: &[f64]) {
        // Where nothing was ranked right there is nothing to compare.
        if qualities.contains(&0.0) {
            return;
        }
        for (k, pair) in self.around().zip(qualities.windows(2)) {
            self.gains[k] = MEMORY * self.gains[k] + libm::log(pair[1] / pair[0]);
        }
        let up = self.gains.get(self.at).map_or(0.0, |gain| gain - LEAST);
        let down = self.at.checked_sub(1).map_or(0.0, |k| LEAST - self.gains[k]);
        if up > 0.0 && up >= down {
            self.at += 1;
        } else if down > 0.0 && self.at > 0 {
            self.at -= 1;
        }
    }

    /// What it goes by.
    pub fn save(&self, state: &mut State, name: &str) {
        let numbers: Vec<f64> = [self.at as f64].into_iter().chain(self.gains).collect();
        state.put(name, numbers);
    }

    /// Takes that in.
    pub fn restore(&mut self, state: &State, name: &str) -> Result<()> {
        let numbers = state.array::<f64, WEIGHTS>(name)?;
        let [at, ..] = numbers;
        state.check(name, &[at], |at: f64| at.fract() == 0.0 && (0.0..WEIGHTS as f64).contains(&at), "a weight")?;
        state.check(name, &numbers, f64::is_finite, "finite")?;
        self.at = at as usize;
        self.gains.copy_from_slice(&numbers[1..]);
        Ok(())
    }
}

impl Scall {
    /// Chooses the weight of squared rows by the last of a segment's training rows, and sets it.
    pub(super) fn choose_l2(
        &mut self,
        train: &Segment,
        sampled: &[usize],
        population: Population,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<()> {
        let Some(mut chooser) = self.l2.clone().filter(|_| self.options.steps > 0) else { return Ok(()) };
        let (laid_out, evaluation) = self.hold_out(SHARE, train, sampled, population)?;
        if evaluation.is_empty() {
            return Ok(());
        }
        let (model, history, probe) = (&*self.model, &self.history, self.options.probe);
        let steps = probe.steps.min(self.options.steps);
        let quality = |number: usize, &l2: &f32| {
            let _span = span!("regularize", number = number);
            let mut model = model.duplicate(&Account::unlimited())?;
            model.set_l2(l2);
            model.prepare(TrainingData { rows: &laid_out.rows, history, blocks: laid_out.blocks.as_ref() })?;
            model.train(steps, &mut |_| {})?;
            evaluation.among_test_items(&mut *model, history)
        };
        let mut qualities = Vec::new();
        for some in chooser.tried().chunks(probe.at_once.max(1)) {
            for quality in side_by_side(some, qualities.len(), quality) {
                qualities.push(quality?);
                progress(Phase::Regularize { probes: qualities.len() as u32 });
            }
        }
        chooser.hear(&qualities);
        self.l2 = Some(chooser);
        self.set_l2();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::run::ScallOptions;
    use crate::sizing::{Amount, Budget, Uniform};

    /// Goes through segments where weights rank by `quality`.
    fn climb(chooser: &mut L2Chooser, segments: usize, quality: impl Fn(f32) -> f64) {
        for _ in 0..segments {
            let qualities: Vec<f64> = chooser.tried().into_iter().map(&quality).collect();
            chooser.hear(&qualities);
        }
    }

    /// A peak, `away` factors from the base.
    fn peak(away: f64) -> impl Fn(f32) -> f64 {
        move |l2| 0.1 / (1.0 + (f64::from(l2).log2() - away).powi(2))
    }

    #[test]
    fn it_climbs_a_step_a_segment_and_stays_at_the_best() {
        for (away, at) in [(0, 0), (1, 1), (3, 3), (-2, -2), (9, 3), (-9, -4)] {
            let mut chooser = L2Chooser::new(1.0);
            let steps = i32::abs(at) as usize;
            climb(&mut chooser, steps, peak(f64::from(away)));
            assert_eq!(chooser.l2(), f32::powi(2.0, at));
            climb(&mut chooser, 5, peak(f64::from(away)));
            assert_eq!(chooser.l2(), f32::powi(2.0, at));
        }
    }

    /// One segment against several is not believed; several are, in the end.
    #[test]
    fn what_earlier_segments_found_counts() {
        let mut chooser = L2Chooser::new(1.0);
        climb(&mut chooser, 4, peak(2.0));
        climb(&mut chooser, 1, |l2| peak(2.0)(l2) * if l2 < 4.0 { 2.5 } else { 1.0 });
        assert_eq!(chooser.l2(), 4.0);
        climb(&mut chooser, 8, peak(0.0));
        assert_eq!(chooser.l2(), 1.0);
    }

    #[test]
    fn without_a_ranking_it_stays_and_among_equals_it_goes_down() {
        let mut chooser = L2Chooser::new(0.5);
        assert_eq!(chooser.tried(), [0.25, 0.5, 1.0]);
        chooser.hear(&[0.0; 3]);
        assert_eq!(chooser.l2(), 0.5);
        chooser.hear(&[0.3; 3]);
        assert_eq!(chooser.l2(), 0.25);
    }

    /// A weight that leaves nothing of the rows comes down from segment to segment, and the model has it.
    #[test]
    fn a_loop_leaves_a_weight_that_is_too_large() {
        // Two tastes: users and items of one parity go together.
        let taste = |row: u32| (format!("u{}", row % 20), format!("i{}", 2 * (row * 7 % 31) + row % 2), i64::from(row));
        let mut options = ScallOptions::new(Budget::new(Amount::MeanSize(4.0)));
        (options.steps, options.probe.steps, options.choose_l2) = (20, 10, true);
        options.model.training_mut().batch = 64;
        options.model.training_mut().l2 = 100.0;
        let mut scall = Scall::new(&Device::cpu(), Box::new(Uniform), options.clone()).unwrap();
        let mut tried = 0;
        for t in 0..3 {
            scall.observe((200 * t..200 * (t + 1)).map(taste)).unwrap();
            let hear = |phase| tried += u32::from(matches!(phase, Phase::Regularize { probes: 1.. }));
            scall.step(hear).unwrap().unwrap();
        }
        let weights: Vec<f32> = scall.report().iter().map(|report| report.l2.unwrap()).collect();
        assert_eq!((weights, scall.model().l2()), (vec![50.0, 25.0, 12.5], Some(12.5)));
        assert_eq!(tried, 9);
        // Without the option, and without a weight to begin with, it stays.
        for (choose_l2, l2) in [(false, 100.0), (true, 0.0)] {
            options.choose_l2 = choose_l2;
            options.model.training_mut().l2 = l2;
            let mut scall = Scall::new(&Device::cpu(), Box::new(Uniform), options.clone()).unwrap();
            scall.observe((0..200).map(taste)).unwrap();
            assert_eq!(scall.step(|_| {}).unwrap().unwrap().l2, Some(l2));
        }
    }

    #[test]
    fn it_is_kept() {
        let mut chooser = L2Chooser::new(0.5);
        climb(&mut chooser, 3, peak(3.0));
        let mut state = State::default();
        chooser.save(&mut state, "l2");
        let mut other = L2Chooser::new(0.5);
        other.restore(&state, "l2").unwrap();
        assert_eq!(other, chooser);
        for at in [-1.0, 0.5, WEIGHTS as f64, f64::NAN] {
            state.put("l2", [at].into_iter().chain([0.0; WEIGHTS - 1]).collect::<Vec<f64>>());
            assert!(other.restore(&state, "l2").is_err(), "{at}");
        }
        assert_eq!(other, chooser);
    }
}
