//! Random actions, the best of which is deployed.

use rand::Rng;

use super::Uniform;
use crate::Result;
use crate::check::domain;
use crate::file::State;
use crate::rng::{Philox, Purpose, below};
use crate::sizing::{Action, Distribution, Probe, SizePolicy, Sizes, SizingContext};

/// How actions are drawn and tried.
#[derive(Clone, Debug, PartialEq)]
pub struct BetOptions {
    /// Probes a segment, that of the deployed action included (default 8).
    pub probes: u32,
    /// Families to draw from (default: the published four, which are all but Pareto).
    pub distributions: Vec<Distribution>,
    /// Draws that a profile is averaged over (default 100, as in the paper).
    pub draws: u32,
}

impl Default for BetOptions {
    fn default() -> Self {
        let distributions = Distribution::ALL.into_iter().filter(|family| *family != Distribution::Pareto).collect();
        Self { probes: 8, distributions, draws: 100 }
    }
}

/// Budgeted random table actions: family, share and both shapes uniform at random, the best of so many probes deployed.
///
/// The first probe is of the deployed sizes, so a draw must beat them on the same segment to replace them; qualities of
/// different segments are never compared. Until a draw does, sizes are uniform. BET ranks many more draws by a learned
/// predictor of their fitness and probes the most promising; that predictor is not built here, and a probe is the
/// fitness itself. All probes of a segment are given at once, so they may run side by side; their sizes take 4 bytes a
/// row and probe.
///
/// # Source
/// Qu et al., "Budgeted Embedding Table For Recommender Systems", WSDM 2024 (arXiv 2310.14884), its table-level
/// actions.
#[derive(Clone, Debug, Default)]
pub struct Bet {
    options: BetOptions,
    /// The deployed action; none for uniform sizes.
    best: Option<Action>,
}

impl Bet {
    /// A policy that starts with uniform sizes.
    pub fn new(options: BetOptions) -> Self {
        Self { options, best: None }
    }

    fn draw(&self, rng: &mut Philox) -> Action {
        let mut unit = || (f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0;
        let (user_share, users, items) = (unit(), unit() as f32, unit() as f32);
        let families = &self.options.distributions;
        let distribution = families[below(rng.next_u32(), families.len() as u32) as usize];
        Action {
            distribution,
            user_share,
            alpha_users: distribution.alpha(users),
            alpha_items: distribution.alpha(items),
        }
    }
}

impl SizePolicy for Bet {
    fn name(&self) -> &'static str {
        "bet"
    }

    fn options(&self) -> String {
        format!("{:?}", self.options)
    }

    fn check(&self) -> Result<()> {
        domain("Bet", "draws", self.options.draws, self.options.draws > 0, "at least 1")
    }

    fn searches(&self) -> bool {
        true
    }

    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        if self.options.probes < 2 || self.options.distributions.is_empty() {
            return Ok(());
        }
        let mut rng = Philox::substream(last.seed, Purpose::Actions, last.segment as u32);
        let mut sizes = vec![probe.deployed().clone()];
        for _ in 1..self.options.probes {
            sizes.push(self.draw(&mut rng).sizes(last, self.options.draws)?);
        }
        let outcomes = probe.run_all(&sizes)?;
        let mut quality = outcomes[0].quality;
        for (outcome, sizes) in outcomes.iter().zip(&sizes).skip(1) {
            if outcome.quality > quality {
                (quality, self.best) = (outcome.quality, sizes.action);
            }
        }
        Ok(())
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        match self.best {
            Some(action) => action.sizes(context, self.options.draws),
            None => Uniform.decide(context),
        }
    }

    fn save(&self) -> Result<State> {
        Ok(self.best.map_or_else(State::default, |action| action.save()))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.best = Action::restored(state)?;
        Ok(())
    }
}
