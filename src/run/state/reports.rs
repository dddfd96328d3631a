//! Reports as columns of numbers, one entry each. What has a value at each cutoff is all of the first one, then of the
//! next.

use std::collections::BTreeMap;

use crate::Result;
use crate::eval::{
    AtCutoff, CatalogueAtCutoff, CatalogueMetrics, CoherenceReport, Cutoffs, Exposures, Metrics, StandardErrors,
    UserGroup,
};
use crate::file::State;
use crate::models::Resized;
use crate::run::held::Held;
use crate::run::report::{Sampled, Seconds, SegmentReport};
use crate::sizing::{Action, Distribution};
use crate::table::MemoryReport;

/// A column of whole numbers.
type Counts = (&'static str, fn(&SegmentReport) -> u64);

/// A column of other numbers, several for each report.
type Numbers = (&'static str, fn(&SegmentReport) -> Vec<f64>);

const COUNTS: &[Counts] = &[
    ("users", |of| of.users.into()),
    ("items", |of| of.items.into()),
    ("interactions", |of| of.interactions as u64),
    // One more than its number among all families; 0 without an action.
    ("action.family", |of| of.action.map_or(0, |action| 1 + action.distribution as u64)),
    ("probes", |of| of.probes.into()),
    ("params", |of| of.params),
    ("budget_params", |of| of.budget_params),
    ("budget_bytes", |of| of.budget_bytes),
    ("counted_bytes", |of| of.counted_bytes),
    ("values_bytes", |of| of.memory.values_bytes),
    ("optimizer_bytes", |of| of.memory.optimizer_bytes),
    ("metadata_bytes", |of| of.memory.metadata_bytes),
    ("peak_bytes", |of| of.memory.peak_bytes),
    ("working_bytes", |of| of.working_bytes),
    ("layer_bytes", |of| of.layer_bytes),
    ("held.directory", |of| of.held.directory),
    ("held.samples", |of| of.held.samples),
    ("held.history", |of| of.held.history),
    ("held.stream", |of| of.held.stream),
    ("held.names", |of| of.held.names),
    ("held.working", |of| of.held.working),
    ("grown_rows", |of| of.resized.grown_rows.into()),
    ("shrunk_rows", |of| of.resized.shrunk_rows.into()),
    ("new_rows", |of| of.resized.new_rows),
    ("steps", |of| of.steps.into()),
    ("test.users", |of| of.test_candidates.users as u64),
    ("all.users", |of| of.all_candidates.users as u64),
];

const NUMBERS: &[Numbers] = &[
    ("action", |of| {
        let numbers = |action: Action| [action.user_share, action.alpha_users.into(), action.alpha_items.into()];
        of.action.map_or([0.0; 3], numbers).to_vec()
    }),
    ("loss", |of| vec![of.loss.into()]),
    // Below 0 where the model has none.
    ("l2", |of| vec![of.l2.map_or(-1.0, f64::from)]),
    ("test.metrics", |of| flat(&of.test_candidates.by_cutoff, AtCutoff::values)),
    ("all.metrics", |of| flat(&of.all_candidates.by_cutoff, AtCutoff::values)),
    ("test.catalogue", |of| flat(&of.test_catalogue.by_cutoff, CatalogueAtCutoff::values)),
    ("all.catalogue", |of| flat(&of.all_catalogue.by_cutoff, CatalogueAtCutoff::values)),
    ("seconds", |of| {
        let Seconds { search, size, resize, regularize, train, evaluate } = of.seconds;
        vec![search, size, resize, regularize, train, evaluate]
    }),
];

/// There where a sample of users was ranked for: of how many they are, 0 for all, and the errors.
const SAMPLED: [&str; 3] = ["sampled.of", "sampled.test", "sampled.all"];

/// There where a user had clicks and non-clicks: how many users did, 0 for none, and the AUC.
const EXPOSURES: [&str; 2] = ["exposures.users", "exposures.auc"];

/// There where quality by coherence was reported. Of each report 1 where it has it, and how many users each group has;
/// bounds and dims of each group; its metrics.
const COHERENCE: [&str; 3] = ["coherence.users", "coherence.numbers", "coherence.metrics"];

/// Groups of a report by coherence.
const GROUPS: usize = 9;

/// The values at each cutoff, in one row.
fn flat<T: Copy, const N: usize>(by_cutoff: &BTreeMap<u32, T>, values: fn(T) -> [f64; N]) -> Vec<f64> {
    by_cutoff.values().flat_map(|of| values(*of)).collect()
}

pub(super) fn save(reports: &[SegmentReport]) -> State {
    let mut state = State::default();
    for (name, of) in COUNTS {
        state.put(*name, reports.iter().map(of).collect::<Vec<u64>>());
    }
    for (name, of) in NUMBERS {
        state.put(*name, reports.iter().flat_map(of).collect::<Vec<f64>>());
    }
    if reports.iter().any(|of| of.sampled.is_some()) {
        let of = |report: &SegmentReport| report.sampled.as_ref().map_or(0, |sampled| sampled.of as u64);
        state.put(SAMPLED[0], reports.iter().map(of).collect::<Vec<u64>>());
        let parts: [fn(&Sampled) -> &StandardErrors; 2] = [|of| &of.test_candidates, |of| &of.all_candidates];
        for (name, part) in SAMPLED[1..].iter().zip(parts) {
            let errors = |report: &SegmentReport| match &report.sampled {
                Some(sampled) => flat(&part(sampled).by_cutoff, AtCutoff::values),
                None => vec![0.0; report.test_candidates.by_cutoff.len() * AtCutoff::NAMES.len()],
            };
            state.put(*name, reports.iter().flat_map(errors).collect::<Vec<f64>>());
        }
    }
    if reports.iter().any(|of| of.exposures.is_some()) {
        let of = || reports.iter().map(|of| of.exposures.unwrap_or_default());
        state.put(EXPOSURES[0], of().map(|of| of.users as u64).collect::<Vec<u64>>());
        state.put(EXPOSURES[1], of().map(|of| of.auc).collect::<Vec<f64>>());
    }
    if reports.iter().any(|of| of.coherence.is_some()) {
        save_coherence(reports, &mut state);
    }
    state
}

fn save_coherence(reports: &[SegmentReport], state: &mut State) {
    let (mut users, mut numbers, mut metrics) = (Vec::<u64>::new(), Vec::<f64>::new(), Vec::<f64>::new());
    for report in reports {
        let none = UserGroup::default();
        let groups = match &report.coherence {
            Some(coherence) => coherence.groups().collect(),
            None => vec![&none; GROUPS],
        };
        users.push(report.coherence.is_some().into());
        for group in groups {
            users.push(group.metrics.users as u64);
            numbers.extend(group.bounds);
            numbers.extend([group.mean_user_dims, group.mean_item_dims]);
            match report.coherence {
                Some(_) => metrics.extend(flat(&group.metrics.by_cutoff, AtCutoff::values)),
                None => metrics.extend(vec![0.0; report.test_candidates.by_cutoff.len() * AtCutoff::NAMES.len()]),
            }
        }
    }
    state.put(COHERENCE[0], users);
    state.put(COHERENCE[1], numbers);
    state.put(COHERENCE[2], metrics);
}

/// The reports of a loop with these cutoffs.
pub(super) fn restored(state: &State, cutoffs: &Cutoffs) -> Result<Vec<SegmentReport>> {
    let cutoffs = &cutoffs.with(Metrics::QUALITY_CUTOFF);
    let names = COUNTS.iter().map(|(name, _)| *name).chain(NUMBERS.iter().map(|(name, _)| *name));
    state.only(&names.chain(SAMPLED).chain(EXPOSURES).chain(COHERENCE).collect::<Vec<_>>())?;
    let reports = state.numbers::<u64>("users")?.len();
    (0..reports).map(|t| Row { state, cutoffs, reports, t }.report()).collect()
}

/// One report in its columns.
#[derive(Clone, Copy)]
struct Row<'a> {
    state: &'a State,
    cutoffs: &'a Cutoffs,
    reports: usize,
    t: usize,
}

impl<'a> Row<'a> {
    fn report(self) -> Result<SegmentReport> {
        let (count, small) = (|name| self.count(name), |name| self.small(name));
        let [search, size, resize, regularize, train, evaluate] = self.numbers("seconds")?;
        Ok(SegmentReport {
            t: self.t,
            users: small("users")?,
            items: small("items")?,
            interactions: count("interactions")? as usize,
            action: self.action()?,
            probes: small("probes")?,
            params: count("params")?,
            budget_params: count("budget_params")?,
            budget_bytes: count("budget_bytes")?,
            counted_bytes: count("counted_bytes")?,
            memory: MemoryReport {
                values_bytes: count("values_bytes")?,
                optimizer_bytes: count("optimizer_bytes")?,
                metadata_bytes: count("metadata_bytes")?,
                peak_bytes: count("peak_bytes")?,
            },
            working_bytes: count("working_bytes")?,
            layer_bytes: count("layer_bytes")?,
            held: Held {
                values: count("values_bytes")?,
                optimizer: count("optimizer_bytes")?,
                directory: count("held.directory")?,
                samples: count("held.samples")?,
                layers: count("layer_bytes")?,
                history: count("held.history")?,
                stream: count("held.stream")?,
                names: count("held.names")?,
                working: count("held.working")?,
            },
            resized: Resized {
                grown_rows: small("grown_rows")?,
                shrunk_rows: small("shrunk_rows")?,
                new_rows: count("new_rows")?,
            },
            steps: small("steps")?,
            loss: self.numbers::<1>("loss")?[0] as f32,
            l2: self.numbers::<1>("l2")?.map(|l2| (l2 >= 0.0).then_some(l2 as f32))[0],
            test_candidates: self.metrics("test.metrics", "test.users")?,
            all_candidates: self.metrics("all.metrics", "all.users")?,
            test_catalogue: CatalogueMetrics { by_cutoff: self.by_cutoff("test.catalogue")? },
            all_catalogue: CatalogueMetrics { by_cutoff: self.by_cutoff("all.catalogue")? },
            sampled: self.sampled()?,
            exposures: self.exposures()?,
            coherence: self.coherence()?,
            seconds: Seconds { search, size, resize, regularize, train, evaluate },
        })
    }

    fn action(self) -> Result<Option<Action>> {
        let family = self.count("action.family")?;
        let [user_share, alpha_users, alpha_items] = self.numbers("action")?;
        let (alpha_users, alpha_items) = (alpha_users as f32, alpha_items as f32);
        let Some(number) = family.checked_sub(1) else { return Ok(None) };
        match Distribution::ALL.get(usize::try_from(number).unwrap_or(usize::MAX)) {
            Some(&distribution) => Ok(Some(Action { distribution, user_share, alpha_users, alpha_items })),
            None => Err(self.state.wrong("action.family", "the number of a family", &family.to_string())),
        }
    }

    fn metrics(self, metrics: &str, users: &str) -> Result<Metrics> {
        Ok(Metrics { by_cutoff: self.by_cutoff(metrics)?, users: self.count(users)? as usize })
    }

    /// What [`flat`] has laid out.
    fn by_cutoff<T: From<[f64; N]>, const N: usize>(self, name: &str) -> Result<BTreeMap<u32, T>> {
        let numbers = self.some(name, N * self.cutoffs.iter().len())?;
        let (values, _) = numbers.as_chunks::<N>();
        Ok(self.cutoffs.iter().zip(values.iter().map(|values| (*values).into())).collect())
    }

    fn sampled(self) -> Result<Option<Sampled>> {
        if !SAMPLED.iter().any(|name| self.state.has(name)) {
            return Ok(None);
        }
        let errors = |name: &str| Ok(StandardErrors { by_cutoff: self.by_cutoff(name)? });
        let of = self.count(SAMPLED[0])? as usize;
        let (test_candidates, all_candidates) = (errors(SAMPLED[1])?, errors(SAMPLED[2])?);
        Ok((of > 0).then_some(Sampled { of, test_candidates, all_candidates }))
    }

    fn exposures(self) -> Result<Option<Exposures>> {
        if !EXPOSURES.iter().any(|name| self.state.has(name)) {
            return Ok(None);
        }
        let (users, [auc]) = (self.count(EXPOSURES[0])? as usize, self.numbers(EXPOSURES[1])?);
        Ok((users > 0).then_some(Exposures { auc, users }))
    }

    fn coherence(self) -> Result<Option<CoherenceReport>> {
        if !COHERENCE.iter().any(|name| self.state.has(name)) {
            return Ok(None);
        }
        let [users, numbers, metrics] = COHERENCE;
        let users = self.state.exactly::<u64>(users, self.reports.saturating_mul(1 + GROUPS))?;
        let users = &users[self.t * (1 + GROUPS)..][..1 + GROUPS];
        let (numbers, _) = self.some(numbers, 4 * GROUPS)?.as_chunks::<4>();
        let cutoffs = self.cutoffs.iter().len();
        let (metrics, _) = self.some(metrics, AtCutoff::NAMES.len() * cutoffs * GROUPS)?.as_chunks();
        let group = |group: usize| {
            let [least, most, mean_user_dims, mean_item_dims] = numbers[group];
            let values = metrics[group * cutoffs..][..cutoffs].iter().map(|of| AtCutoff::from(*of));
            let by_cutoff = self.cutoffs.iter().zip(values).collect();
            let metrics = Metrics { by_cutoff, users: users[1 + group] as usize };
            UserGroup { bounds: [least, most], metrics, mean_user_dims, mean_item_dims }
        };
        Ok((users[0] > 0).then(|| CoherenceReport::of_groups(std::array::from_fn(group))))
    }

    fn count(self, name: &str) -> Result<u64> {
        Ok(self.state.exactly::<u64>(name, self.reports)?[self.t])
    }

    fn small(self, name: &str) -> Result<u32> {
        let count = self.count(name)?;
        u32::try_from(count).map_err(|_| self.state.wrong(name, "counts of 32 bits", &count.to_string()))
    }

    fn numbers<const N: usize>(self, name: &str) -> Result<[f64; N]> {
        let numbers = self.some(name, N)?;
        Ok(std::array::from_fn(|i| numbers[i]))
    }

    /// The report's numbers in a column that has this many for each.
    fn some(self, name: &str, len: usize) -> Result<&'a [f64]> {
        let numbers = self.state.exactly::<f64>(name, self.reports.saturating_mul(len))?;
        Ok(&numbers[self.t * len..][..len])
    }
}
