//! What the linear bandits share: groups, a model of what levels earn, a search by probes. They differ in which action
//! a probe tries.

mod discounted;
mod groups;

use rand::Rng;

use crate::Result;
use crate::check::domain;
use crate::file::State;
use crate::rng::{Philox, Purpose, below};
use crate::sizing::{Probe, Sizes, SizingContext};
pub(super) use discounted::{Discounted, Vector, dot};
use groups::{Groups, LEVELS, Levels, MEAN, UNIFORM};

/// What a bandit has in common with others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// The policy, for errors.
    pub op: &'static str,
    /// What a kept state calls the levels: its own name for each policy, so that none takes in another's state.
    pub entry: &'static str,
    pub probes: u32,
    pub actions: u32,
    pub gamma: f64,
    pub ridge: f64,
}

/// Levels of groups, and what is known of others.
#[derive(Clone, Debug)]
pub(super) struct Bandit {
    setup: Setup,
    model: Discounted,
    /// Of the last decision.
    levels: Levels,
}

impl Bandit {
    /// Nothing seen: uniform sizes.
    pub fn new(setup: Setup) -> Self {
        Self { setup, model: Discounted::new(setup.gamma, setup.ridge), levels: UNIFORM }
    }

    /// Checks `gamma` and `ridge`.
    pub fn check(&self) -> Result<()> {
        let Setup { op, gamma, ridge, .. } = self.setup;
        domain(op, "gamma", gamma, (0.0..=1.0).contains(&gamma), "from 0 to 1")?;
        domain(op, "ridge", ridge, ridge.is_finite() && ridge > 0.0, "finite and above 0")
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
        actions.extend((1..self.setup.actions).map(|_| {
            self.levels.map(|level| {
                let word = rng.next_u32();
                if word & 1 == 0 { level } else { below(word, LEVELS.len() as u32) as u8 }
            })
        }));
        actions
    }

    /// Learns from probes. `scores` says how much each of some actions, whose features it gets less those of the
    /// deployed one, is worth a probe; the first of the largest is tried. It is asked once a probe, and what it draws
    /// comes after the draws of the actions.
    pub fn search(
        &mut self,
        last: &SizingContext<'_>,
        probe: &mut dyn Probe,
        scores: impl Fn(&Discounted, &[Vector], &mut Philox) -> Vec<f64>,
    ) -> Result<()> {
        let groups = Groups::of(last);
        let deployed = groups.features(&self.levels);
        let reference = probe.deployed().clone();
        let reference = probe.run(&reference)?.quality;
        if reference <= 0.0 {
            // No one to rank for: there is no telling better from worse.
            return Ok(());
        }
        let mut rng = Philox::substream(last.seed, Purpose::Actions, last.segment as u32);
        for _ in 1..self.setup.probes {
            let actions = self.actions(&groups, &mut rng);
            let difference = |levels: &Levels| -> Vector {
                let features = groups.features(levels);
                std::array::from_fn(|i| features[i] - deployed[i])
            };
            let differences: Vec<Vector> = actions.iter().map(difference).collect();
            let scores = scores(&self.model, &differences, &mut rng);
            let first_best = (0..actions.len()).reduce(|a, b| if scores[b] > scores[a] { b } else { a });
            let tried = first_best.expect("the best action at least");
            let quality = probe.run(&groups.sizes(last, &actions[tried])?)?.quality;
            self.model.observe(&differences[tried], 10.0 * ((quality / reference).min(2.0) - 1.0));
        }
        Ok(())
    }

    /// The sizes that are expected to earn most.
    pub fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        let groups = Groups::of(context);
        self.levels = self.best(&groups);
        groups.sizes(context, &self.levels)
    }

    /// Sizes by the levels of the last decision.
    pub fn admit(&self, context: &SizingContext<'_>) -> Result<Sizes> {
        Groups::of(context).sizes(context, &self.levels)
    }

    pub fn save(&self) -> State {
        let mut state = self.model.save();
        state.put(self.setup.entry, self.levels);
        state
    }

    /// Takes that in, or stays as it was.
    pub fn restore(&mut self, state: &State) -> Result<()> {
        let entry = self.setup.entry;
        let levels: Levels = state.array(entry)?;
        let known = |level: u8| usize::from(level) < LEVELS.len();
        state.check(entry, &levels, known, &format!("levels from 0 to {}", LEVELS.len() - 1))?;
        self.model.restore(state, entry)?;
        self.levels = levels;
        Ok(())
    }
}

/// What a policy that is a bandit leaves to it.
macro_rules! by_bandit {
    () => {
        fn searches(&self) -> bool {
            true
        }

        fn decide(&mut self, context: &$crate::sizing::SizingContext<'_>) -> $crate::Result<$crate::sizing::Sizes> {
            self.check()?;
            self.bandit.decide(context)
        }

        fn admit(&mut self, context: &$crate::sizing::SizingContext<'_>) -> $crate::Result<$crate::sizing::Sizes> {
            self.bandit.admit(context)
        }

        fn save(&self) -> $crate::Result<$crate::file::State> {
            Ok(self.bandit.save())
        }

        fn restore(&mut self, state: &$crate::file::State) -> $crate::Result<()> {
            self.bandit.restore(state)
        }
    };
}
pub(super) use by_bandit;
