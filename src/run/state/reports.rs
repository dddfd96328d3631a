//! Reports as columns of numbers, one entry each.

use crate::Result;
use crate::eval::{CUTOFFS, Metrics, StandardErrors};
use crate::file::State;
use crate::models::Resized;
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
    ("test.recall", |of| of.test_candidates.recall.to_vec()),
    ("test.ndcg", |of| of.test_candidates.ndcg.to_vec()),
    ("all.recall", |of| of.all_candidates.recall.to_vec()),
    ("all.ndcg", |of| of.all_candidates.ndcg.to_vec()),
    ("seconds", |of| {
        let Seconds { search, size, resize, regularize, train, evaluate } = of.seconds;
        vec![search, size, resize, regularize, train, evaluate]
    }),
];

/// There where a sample of users was ranked for: of how many they are, 0 for all, and the errors.
const SAMPLED: [&str; 2] = ["sampled.of", "sampled.errors"];

pub(super) fn save(reports: &[SegmentReport]) -> State {
    let mut state = State::default();
    for (name, of) in COUNTS {
        state.put(*name, reports.iter().map(of).collect::<Vec<u64>>());
    }
    for (name, of) in NUMBERS {
        state.put(*name, reports.iter().flat_map(of).collect::<Vec<f64>>());
    }
    if reports.iter().any(|of| of.sampled.is_some()) {
        let sampled = || reports.iter().map(|of| of.sampled.unwrap_or_default());
        let errors = |of: Sampled| [of.test_candidates, of.all_candidates].map(|of| [of.recall, of.ndcg]);
        state.put(SAMPLED[0], sampled().map(|sampled| sampled.of as u64).collect::<Vec<u64>>());
        state.put(SAMPLED[1], sampled().flat_map(errors).flatten().flatten().collect::<Vec<f64>>());
    }
    state
}

pub(super) fn restored(state: &State) -> Result<Vec<SegmentReport>> {
    let names = COUNTS.iter().map(|(name, _)| *name).chain(NUMBERS.iter().map(|(name, _)| *name));
    state.only(&names.chain(SAMPLED).collect::<Vec<_>>())?;
    let reports = state.numbers::<u64>("users")?.len();
    (0..reports).map(|t| Row { state, reports, t }.report()).collect()
}

/// One report in its columns.
#[derive(Clone, Copy)]
struct Row<'a> {
    state: &'a State,
    reports: usize,
    t: usize,
}

impl Row<'_> {
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
            resized: Resized {
                grown_rows: small("grown_rows")?,
                shrunk_rows: small("shrunk_rows")?,
                new_rows: count("new_rows")?,
            },
            steps: small("steps")?,
            loss: self.numbers::<1>("loss")?[0] as f32,
            l2: self.numbers::<1>("l2")?.map(|l2| (l2 >= 0.0).then_some(l2 as f32))[0],
            test_candidates: self.metrics(["test.recall", "test.ndcg", "test.users"])?,
            all_candidates: self.metrics(["all.recall", "all.ndcg", "all.users"])?,
            sampled: self.sampled()?,
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

    fn metrics(self, [recall, ndcg, users]: [&str; 3]) -> Result<Metrics> {
        const LEN: usize = CUTOFFS.len();
        let users = self.count(users)? as usize;
        Ok(Metrics { recall: self.numbers::<LEN>(recall)?, ndcg: self.numbers::<LEN>(ndcg)?, users })
    }

    fn sampled(self) -> Result<Option<Sampled>> {
        if !SAMPLED.iter().any(|name| self.state.has(name)) {
            return Ok(None);
        }
        let (of, errors) = (self.count(SAMPLED[0])? as usize, self.numbers::<{ 4 * CUTOFFS.len() }>(SAMPLED[1])?);
        let part = |at: usize| std::array::from_fn(|c| errors[at * CUTOFFS.len() + c]);
        let errors = |at: usize| StandardErrors { recall: part(at), ndcg: part(at + 1) };
        Ok((of > 0).then(|| Sampled { of, test_candidates: errors(0), all_candidates: errors(2) }))
    }

    fn count(self, name: &str) -> Result<u64> {
        Ok(self.state.exactly::<u64>(name, self.reports)?[self.t])
    }

    fn small(self, name: &str) -> Result<u32> {
        let count = self.count(name)?;
        u32::try_from(count).map_err(|_| self.state.wrong(name, "counts of 32 bits", &count.to_string()))
    }

    fn numbers<const N: usize>(self, name: &str) -> Result<[f64; N]> {
        let numbers = self.state.exactly::<f64>(name, self.reports.saturating_mul(N))?;
        Ok(std::array::from_fn(|i| numbers[self.t * N + i]))
    }
}
