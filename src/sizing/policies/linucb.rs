//! Sizes of frequency groups, learned as a linear bandit that forgets.

mod discounted;

use rand::Rng;

use crate::file::State;
use crate::rng::{Philox, Purpose, below};
use crate::sizing::weighted::weighted;
use crate::sizing::{Probe, SizePolicy, Sizes, SizingContext};
use crate::{Error, Result};
use discounted::{Discounted, FEATURES, Vector};

/// Sizes that a group can have, relative to the mean.
const LEVELS: [f32; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
/// The level of uniform sizes.
const MEAN: u8 = 2;
/// Groups of a side.
const GROUPS: usize = 10;

/// A level for each group, users first.
type Levels = [u8; 2 * GROUPS];

/// How the bandit explores and forgets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinUcbOptions {
    /// Probes a segment, that of the deployed sizes included (default 8).
    pub probes: u32,
    /// Actions that a probe is chosen from (default 64).
    pub actions: u32,
    /// What an observation weighs after one more, 0 to 1 (default 0.95: about the last 20 probes count).
    pub gamma: f64,
    /// Ridge of the least squares (default 1).
    pub ridge: f64,
    /// Weight of the confidence width against the expected reward (default 1; only probes take the risk).
    pub alpha: f64,
}

impl Default for LinUcbOptions {
    fn default() -> Self {
        Self { probes: 8, actions: 64, gamma: 0.95, ridge: 1.0, alpha: 1.0 }
    }
}

/// Discounted LinUCB over the sizes of groups of entities.
///
/// A group is a tenth of a side by frequency. An arm gives it a level `l`: 1/4, 1/2, 1, 2 or 4 times the mean size; the
/// weights of all rows are then scaled to the budget. An action is a level for every group, and its features are sums
/// over groups:
/// ```text
/// x = sum over a side's groups of (l, l^2, f l, f l^2)     l = log4(level), in -1..=1
/// ```
/// for both sides, where `f` is the group's mean `ln(1 + frequency)`, scaled so that the side's largest is 1 and none
/// is -1. The features are additive, so one probe, which sets all groups at once, tells about all of them, and the best
/// action is the best level of each group. The reward is `10 * (quality / quality of the deployed sizes - 1)` for the
/// difference of both actions' features. A probe is of the action with the largest `expected + alpha * width` among
/// some drawn around the deployed one, which is the paper's algorithm with an action set that changes; what is deployed
/// has no such bonus.
///
/// # Cost
/// On the host, a sort of all rows for each probe and decision; the model is 8 by 8.
///
/// # Errors
/// [`Error::Argument`] for a `gamma`, `ridge` or `alpha` outside its domain.
///
/// # Source
/// Russac, Vernade, Cappé, "Weighted Linear Bandits for Non-Stationary Environments", NeurIPS 2019 (arXiv 1909.09146),
/// which DESS builds on (He et al., "Dynamic Embedding Size Search with Minimum Regret for Streaming Recommender
/// System", CIKM 2023). Groups, features and reward are ours.
#[derive(Clone, Debug)]
pub struct LinUcb {
    options: LinUcbOptions,
    model: Discounted,
    /// Of the last decision.
    levels: Levels,
}

impl Default for LinUcb {
    fn default() -> Self {
        Self::new(LinUcbOptions::default())
    }
}

impl LinUcb {
    /// A bandit that has seen nothing: uniform sizes.
    pub fn new(options: LinUcbOptions) -> Self {
        let model = Discounted::new(options.gamma, options.ridge);
        Self { options, model, levels: [MEAN; 2 * GROUPS] }
    }

    /// The level of each group that is expected to earn most, the nearest to the mean among equals.
    fn best(&self, groups: &Groups) -> Levels {
        std::array::from_fn(|group| {
            let expected = |level: u8| self.model.expected(&groups.features_of(group, level));
            // Uniform first: only a level that promises more replaces it.
            [MEAN, 1, 3, 0, 4].into_iter().reduce(|a, b| if expected(b) > expected(a) { b } else { a }).unwrap_or(MEAN)
        })
    }

    /// The best action, and variants of the deployed one: each group keeps its level or draws another, evenly.
    fn actions(&self, groups: &Groups, rng: &mut Philox) -> Vec<Levels> {
        let mut actions = vec![self.best(groups)];
        actions.extend((1..self.options.actions).map(|_| {
            self.levels.map(|level| {
                let word = rng.next_u32();
                if word & 1 == 0 { level } else { below(word, LEVELS.len() as u32) as u8 }
            })
        }));
        actions
    }
}

impl SizePolicy for LinUcb {
    fn name(&self) -> &'static str {
        "linucb"
    }

    fn options(&self) -> String {
        format!("{:?}", self.options)
    }

    fn check(&self) -> Result<()> {
        let LinUcbOptions { gamma, ridge, alpha, .. } = self.options;
        let domains = [
            ("gamma", gamma, (0.0..=1.0).contains(&gamma), "from 0 to 1"),
            ("ridge", ridge, ridge.is_finite() && ridge > 0.0, "finite and above 0"),
            ("alpha", alpha, alpha.is_finite() && alpha >= 0.0, "finite and at least 0"),
        ];
        match domains.into_iter().find(|(_, _, good, _)| !good) {
            None => Ok(()),
            Some((arg, value, _, expected)) => {
                Err(Error::Argument { op: "LinUcb", arg, expected: expected.to_owned(), got: value.to_string() })
            }
        }
    }

    fn searches(&self) -> bool {
        true
    }

    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        self.check()?;
        let groups = Groups::of(last);
        let deployed = groups.features(&self.levels);
        let reference = probe.deployed().clone();
        let reference = probe.run(&reference)?.quality;
        if reference <= 0.0 {
            // Nobody to rank for: there is no telling better from worse.
            return Ok(());
        }
        let mut rng = Philox::substream(last.seed, Purpose::Actions, last.segment as u32);
        for _ in 1..self.options.probes {
            let candidates = self.actions(&groups, &mut rng).into_iter().map(|levels| {
                let features = groups.features(&levels);
                let x: Vector = std::array::from_fn(|i| features[i] - deployed[i]);
                (self.model.expected(&x) + self.options.alpha * self.model.width(&x), levels, x)
            });
            let first_best = candidates.reduce(|a, b| if b.0 > a.0 { b } else { a });
            let (_, levels, x) = first_best.expect("the best action at least");
            let quality = probe.run(&groups.sizes(last, &levels)?)?.quality;
            self.model.observe(&x, 10.0 * ((quality / reference).min(2.0) - 1.0));
        }
        Ok(())
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.check()?;
        let groups = Groups::of(context);
        self.levels = self.best(&groups);
        groups.sizes(context, &self.levels)
    }

    fn admit(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        Groups::of(context).sizes(context, &self.levels)
    }

    fn save(&self) -> Result<State> {
        let mut state = self.model.save();
        state.put("levels", self.levels);
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let levels: Levels = state.array("levels")?;
        let known = |level: u8| usize::from(level) < LEVELS.len();
        state.check("levels", &levels, known, &format!("levels from 0 to {}", LEVELS.len() - 1))?;
        self.model.restore(state, "levels")?;
        self.levels = levels;
        Ok(())
    }
}

/// Who is in which group.
struct Groups {
    /// The group of each row, users first.
    of_row: Vec<u8>,
    /// How frequent each group is, -1 to 1; none for a group without rows.
    frequency: [Option<f64>; 2 * GROUPS],
}

impl Groups {
    fn of(context: &SizingContext<'_>) -> Self {
        let (users, items) = (context.users, context.items);
        let mut groups = Self { of_row: vec![0; users.len() + items.len()], frequency: [None; 2 * GROUPS] };
        for (side, (first, frequencies)) in [(0, users), (users.len(), items)].into_iter().enumerate() {
            let mut order: Vec<usize> = (0..frequencies.len()).collect();
            order.sort_by_key(|&row| std::cmp::Reverse(frequencies[row]));
            let (mut sums, mut counts) = ([0.0; GROUPS], [0u32; GROUPS]);
            for (rank, row) in order.into_iter().enumerate() {
                let group = rank * GROUPS / frequencies.len();
                groups.of_row[first + row] = (side * GROUPS + group) as u8;
                sums[group] += libm::log1p(f64::from(frequencies[row]));
                counts[group] += 1;
            }
            let mean = |group: usize| (counts[group] > 0).then(|| sums[group] / f64::from(counts[group]));
            let largest = (0..GROUPS).filter_map(mean).fold(0.0, f64::max);
            let scale = if largest > 0.0 { 2.0 / largest } else { 0.0 };
            for group in 0..GROUPS {
                groups.frequency[side * GROUPS + group] = mean(group).map(|mean| mean * scale - 1.0);
            }
        }
        groups
    }

    fn features_of(&self, group: usize, level: u8) -> Vector {
        let mut features = Vector::default();
        if let Some(f) = self.frequency[group] {
            let l = (f64::from(level) - f64::from(MEAN)) / f64::from(MEAN);
            let first = group / GROUPS * (FEATURES / 2);
            features[first..first + FEATURES / 2].copy_from_slice(&[l, l * l, f * l, f * l * l]);
        }
        features
    }

    fn features(&self, levels: &Levels) -> Vector {
        let mut sum = Vector::default();
        for (group, &level) in levels.iter().enumerate() {
            sum.iter_mut().zip(self.features_of(group, level)).for_each(|(sum, x)| *sum += x);
        }
        sum
    }

    fn sizes(&self, context: &SizingContext<'_>, levels: &Levels) -> Result<Sizes> {
        let weights: Vec<f32> =
            self.of_row.iter().map(|&group| LEVELS[usize::from(levels[usize::from(group)])]).collect();
        weighted(context, &weights)
    }
}
