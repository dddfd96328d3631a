//! Probes: other sizes, tried on the segment that has just ended.

use rayon::prelude::*;

use super::options::AnyOptions;
use super::report::Phase;
use super::segment::{LastSegment, rows};
use crate::Result;
use crate::device::Device;
use crate::models::{ItemBias, Recommender, TrainingData};
use crate::sizing::{Budget, Outcome, Probe, Sizes, SizingContext, mean_row};
use crate::spans::{Here, span};
use crate::stream::UserItems;
use crate::table::Account;

/// What `one` gives for each of `some`, all side by side, numbered from `first`, within the caller's spans.
pub(super) fn side_by_side<T: Sync, R: Send>(some: &[T], first: usize, one: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let here = Here::now();
    some.par_iter().enumerate().map(|(k, of)| here.run(|| one(first + k, of))).collect()
}

/// What happens to the biases when a segment begins.
fn set_biases(model: &mut dyn Recommender, bias: ItemBias, counted: Option<&[f32]>) -> Result<()> {
    match (bias, counted) {
        (_, Some(biases)) => model.embeddings_mut().set_biases(biases),
        (ItemBias::Learned { keep }, None) => model.embeddings_mut().fade_biases(keep),
        (_, None) => Ok(()),
    }
}

/// What all probes of a segment share.
pub(super) struct Setup<'a> {
    pub device: &'a Device,
    pub options: &'a AnyOptions,
    pub last: &'a LastSegment,
    /// What users had touched when the segment was trained on.
    pub history: &'a UserItems,
    /// The weight of squared rows, where it is chosen.
    pub l2: Option<f32>,
}

impl Setup<'_> {
    /// Trains and ranks on the last segment.
    fn probe(&self, number: u32, sizes: &Sizes) -> Result<Outcome> {
        let _span = span!("probe", number = number);
        // Sizes come from a policy that divides the dims there are; what a probe holds is outside the budget.
        let account = Account::unlimited();
        let &AnyOptions { ref model, probe, budget, seed, .. } = self.options;
        let Budget { d_max, .. } = budget;
        let span = span!("resize");
        let mut model = match probe.warm {
            true => self.last.before.duplicate(&account)?,
            false => model.build(self.device, &account, seed)?,
        };
        if let Some(l2) = self.l2 {
            model.set_l2(l2);
        }
        model.embeddings_mut().expect_sizes(d_max);
        let shape = model.embeddings().shape();
        model.embeddings_mut().resize(&*budget.in_groups(sizes, &shape)?)?;
        let bias = model.item_bias();
        set_biases(&mut *model, bias, self.last.biases.as_deref())?;
        drop(span);
        let span = span!("train");
        let LastSegment { rows: of_last, blocks, .. } = self.last;
        model.prepare(TrainingData { rows: of_last, history: self.history, blocks: blocks.as_ref() })?;
        model.train(probe.steps, &mut |_| {})?;
        drop(span);
        let _span = span!("evaluate");
        let (quality, of_users) = self.last.evaluation.of_each_user(&mut *model, self.history)?;
        let rows = rows(&*model);
        Ok(Outcome {
            quality,
            of_users,
            user_mean: mean_row(rows.users, 0, d_max)?,
            item_mean: mean_row(rows.items, u32::from(rows.item_bias), d_max)?,
        })
    }
}

/// A search's probes, counted.
pub(super) struct Trial<'a> {
    pub setup: Setup<'a>,
    /// Who searches, and in what: probes have to fit it too.
    pub policy: &'static str,
    pub context: SizingContext<'a>,
    pub probes: u32,
    pub progress: &'a mut dyn FnMut(Phase),
}

impl Trial<'_> {
    /// Counts a probe that has gone well.
    fn count(&mut self, outcome: Result<Outcome>) -> Result<Outcome> {
        let outcome = outcome?;
        self.probes += 1;
        (self.progress)(Phase::Search { probes: self.probes });
        Ok(outcome)
    }
}

impl Probe for Trial<'_> {
    fn run(&mut self, sizes: &Sizes) -> Result<Outcome> {
        sizes.check_probe(self.policy, &self.context)?;
        let _span = span!("round", probes = 1u32);
        let outcome = self.setup.probe(self.probes, sizes);
        self.count(outcome)
    }

    fn run_all(&mut self, sizes: &[Sizes]) -> Result<Vec<Outcome>> {
        sizes.iter().try_for_each(|sizes| sizes.check_probe(self.policy, &self.context))?;
        let mut outcomes = Vec::with_capacity(sizes.len());
        for some in sizes.chunks(self.setup.options.probe.at_once.max(1)) {
            let _span = span!("round", probes = some.len());
            let setup = &self.setup;
            for outcome in side_by_side(some, self.probes as usize, |k, sizes| setup.probe(k as u32, sizes)) {
                outcomes.push(self.count(outcome)?);
            }
        }
        Ok(outcomes)
    }

    fn deployed(&self) -> &Sizes {
        &self.setup.last.sizes
    }
}
