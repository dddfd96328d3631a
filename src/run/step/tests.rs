//! Steps that fail and are repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::device::Device;
use crate::file::State;
use crate::models::{Embeddings, ModelOptions, RankRequest, Rankings, Recommender, TrainingData};
use crate::sizing::{Amount, Bet, BetOptions, Budget, FrequencyRanked};
use crate::stream::{BlockOptions, Blocks, Cut, Interactions, cut};
use crate::{Error, ProbeOptions, ScallOptions};

/// A recommender whose training fails so many times before it begins. Its copies, which probes are made of, do not.
pub(in crate::run) struct Failing {
    pub inner: Box<dyn Recommender>,
    pub failures: Arc<AtomicU32>,
}

impl Recommender for Failing {
    fn embeddings(&self) -> &Embeddings {
        self.inner.embeddings()
    }

    fn embeddings_mut(&mut self) -> &mut Embeddings {
        self.inner.embeddings_mut()
    }

    fn item_bias(&self) -> ItemBias {
        self.inner.item_bias()
    }

    fn l2(&self) -> Option<f32> {
        self.inner.l2()
    }

    fn set_l2(&mut self, l2: f32) {
        self.inner.set_l2(l2);
    }

    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>> {
        self.inner.duplicate(account)
    }

    fn save(&self) -> Result<State> {
        self.inner.save()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.inner.restore(state)
    }

    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
        self.inner.prepare(data)
    }

    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32> {
        let failures = self.failures.load(Ordering::Relaxed);
        if failures > 0 {
            self.failures.store(failures - 1, Ordering::Relaxed);
            return Err(Error::NoGpu { reason: "a device that fails".into() });
        }
        self.inner.train(steps, progress)
    }

    fn rank(&self, request: RankRequest<'_>) -> Result<Rankings> {
        self.inner.rank(request)
    }

    fn working_bytes(&self) -> u64 {
        self.inner.working_bytes()
    }

    fn sample_bytes(&self) -> u64 {
        self.inner.sample_bytes()
    }

    fn layer_bytes(&self) -> u64 {
        self.inner.layer_bytes()
    }
}

fn rows(t: i64) -> impl Iterator<Item = (String, String, i64)> {
    (120 * t..120 * (t + 1)).map(|n| (format!("u{}", n * 7 % (20 + n / 40)), format!("i{}", n * n % 31), n))
}

/// Values, steps and metrics of a few segments, whose training fails so many times each.
fn run(policy: Box<dyn SizePolicy>, item_bias: ItemBias, failures: u32) -> (Vec<u32>, String) {
    let mut model = ModelOptions::default();
    model.training_mut().item_bias = item_bias;
    model.training_mut().batch = 64;
    let options = ScallOptions {
        model,
        steps: 8,
        probe: ProbeOptions { steps: 4, ..ProbeOptions::default() },
        ..ScallOptions::new(Budget::new(Amount::MeanSize(6.0)))
    };
    let mut scall = Scall::new(&Device::cpu(), policy, options).unwrap();
    let fails = Arc::new(AtomicU32::new(0));
    let inner = scall.model.duplicate(&scall.account).unwrap();
    scall.model = Box::new(Failing { inner, failures: fails.clone() });
    let mut found = String::new();
    for t in 0..4 {
        scall.observe(rows(t)).unwrap();
        fails.store(failures, Ordering::Relaxed);
        for _ in 0..failures {
            assert!(matches!(scall.step(|_| {}), Err(Error::NoGpu { .. })));
        }
        let report = scall.step(|_| {}).unwrap().unwrap();
        let SegmentReport { action, probes, loss, test_candidates, all_candidates, params, .. } = report;
        found += &format!("{action:?} {probes} {loss} {test_candidates:?} {all_candidates:?} {params}\n");
    }
    found += &format!("{:?}", scall.bias.as_ref().map(|bias| bias.half_life()));
    let tables = scall.model.embeddings();
    let values = [tables.users(), tables.items()].map(|table| table.read().unwrap()).concat();
    (values.into_iter().map(f32::to_bits).collect(), found)
}

/// Neither biases fade twice, nor half-lives are tried twice, nor does a policy search twice.
#[test]
fn a_step_whose_training_fails_can_be_repeated() {
    let policies: [fn() -> Box<dyn SizePolicy>; 2] = [
        || Box::new(FrequencyRanked::default()),
        || Box::new(Bet::new(BetOptions { probes: 4, draws: 2, ..BetOptions::default() })),
    ];
    for policy in policies {
        for item_bias in [ItemBias::Learned { keep: 0.5 }, ItemBias::Counted { half_life: None }] {
            let (values, found) = run(policy(), item_bias, 0);
            for failures in [1, 2] {
                let (again, found_again) = run(policy(), item_bias, failures);
                assert_eq!(found_again, found, "{item_bias:?}");
                assert!(again == values, "{item_bias:?}: other values after {failures} failures");
            }
        }
    }
}

/// Non-clicks are touched, and count for sizes. Nothing learns them.
#[test]
fn non_clicks_are_touched_and_not_learned() {
    let mut data = Interactions::from_rows(rows(0).chain(rows(1))).unwrap();
    let declined = |row: &usize| row % 3 == 1;
    data.mark_non_clicks((0..data.len()).filter(declined)).unwrap();
    let segments = cut(&data, Cut::Equal { segments: 2 }).unwrap();
    for replay in [Replay::All, Replay::Sample { share: 0.5 }] {
        let options = ScallOptions { steps: 3, replay, ..ScallOptions::new(Budget::new(Amount::MeanSize(6.0))) };
        let policy = Box::new(FrequencyRanked::default());
        let mut scall = Scall::over(&Device::cpu(), data.clone(), segments.clone(), policy, options).unwrap();
        while scall.step(|_| {}).unwrap().is_some() {}
        let (train, _) = segments[1].split(0.8).unwrap();
        let (end, sampled) = (train.rows.end, scall.sampled_rows(1, &segments[1], &train));
        let rows = if replay == Replay::All { (0..end).collect() } else { sampled.clone() };
        assert!(rows.iter().any(declined));
        let clicks: Vec<(u32, u32)> = data.pairs(rows.into_iter().filter(|row| !declined(row))).collect();
        assert_eq!(scall.training_rows(end, &sampled), clicks, "{replay:?}");
        assert!(data.pairs(0..end).all(|(user, item)| scall.history.contains(user, item)));
        let blocks = scall.training_blocks(end, &sampled).unwrap().unwrap();
        let rows = if replay == Replay::All { (0..end).collect() } else { sampled.clone() };
        assert_eq!(blocks, Blocks::new(&data, rows, &BlockOptions::default()).unwrap());
        let [users, items] = [0, 1].map(|side| scall.frequencies[side].iter().sum::<u32>() as usize);
        assert_eq!((users, items), (sampled.len(), sampled.len()));
    }
}
