//! Recommenders of a caller's own in the loop: one that is written with the public interface alone, ours in other
//! clothes, and what the loop does not let a model do.

#[path = "../common/mod.rs"]
mod common;
mod loaded;
mod pointwise;
mod stream;
mod wrapped;

use std::sync::atomic::Ordering;

use common::devices;
use pointwise::PointwiseOptions;
use scall_gpu::device::Device;
use scall_gpu::kernels::table::optimizer::NonFinite;
use scall_gpu::models::ModelBuilder;
use scall_gpu::sizing::{Amount, Bet, BetOptions, Budget, FrequencyRanked, SizePolicy};
use scall_gpu::{Error, ProbeOptions, Result, Scall, ScallOptions, SegmentReport, Summary};
use stream::{found, recorded, rows, values};

const BYTES: u64 = 4_000;

type MakePolicy = fn() -> Box<dyn SizePolicy>;

const POLICIES: [MakePolicy; 2] = [
    || Box::new(FrequencyRanked::default()),
    || Box::new(Bet::new(BetOptions { probes: 4, draws: 5, ..BetOptions::default() })),
];

fn options<M: ModelBuilder>(steps: u32, model: M) -> ScallOptions<M> {
    let budget = Budget { d_min: 0, d_max: 16, ..Budget::new(Amount::Bytes(BYTES)) };
    let probe = ProbeOptions { steps: 5, ..ProbeOptions::default() };
    ScallOptions { steps, probe, seed: 3, ..ScallOptions::new(budget) }.with_model(model)
}

/// Through a recorded stream; what each step says of the budget is checked.
fn followed(device: &Device, policy: MakePolicy, steps: u32) -> Vec<SegmentReport> {
    let (data, segments) = recorded();
    let options = options(steps, PointwiseOptions::default());
    let mut scall = Scall::over(device, data, segments, policy(), options).unwrap();
    while let Some(report) = scall.step(|_| {}).unwrap() {
        let account = scall.model().embeddings().users().account();
        assert!(report.counted_bytes <= BYTES && account.used_bytes() <= BYTES, "{report:?}");
        assert_eq!((account.capacity_bytes(), report.counted_bytes), (report.budget_bytes, account.used_bytes()));
        assert!(report.budget_bytes <= BYTES && report.params > BYTES / 5, "{report:?}");
    }
    scall.report().to_vec()
}

#[test]
fn it_learns_within_the_budget_whatever_the_policy() {
    for device in devices() {
        for (policy, searches) in POLICIES.into_iter().zip([false, true]) {
            let (trained, untrained) = (followed(&device, policy, 60), followed(&device, policy, 0));
            let what = format!("{} on {}", policy().name(), device.describe());
            // The first step's loss is about ln 2, that of knowing nothing.
            let first = followed(&device, policy, 1)[0].loss;
            let losses: Vec<f32> = trained.iter().map(|report| report.loss).collect();
            assert!(first > 0.6 && losses.iter().all(|loss| *loss < 0.5 * first), "{what}: {first}, {losses:?}");
            let ndcg = |reports: &[SegmentReport]| Summary::of(reports).unwrap().all_candidates.at(10).ndcg;
            assert!(ndcg(&trained) > 1.5 * ndcg(&untrained), "{what}: {} and {}", ndcg(&trained), ndcg(&untrained));
            assert!(trained[1..].iter().all(|report| (report.probes > 0) == searches), "{what}");
        }
    }
}

/// In the middle of segments and at their ends, the loop that was restored goes on as the one that was kept.
#[test]
fn it_is_kept_and_goes_on_bit_for_bit() {
    for device in devices() {
        for policy in POLICIES {
            let options = || options(8, PointwiseOptions::default());
            let mut scall = Scall::new(&device, policy(), options()).unwrap();
            for t in 0..3 {
                for half in [0, 1] {
                    let mut other = Scall::restore(&device, policy(), options(), scall.state().unwrap()).unwrap();
                    for loops in [&mut scall, &mut other] {
                        loops.observe(rows(200 * t + 100 * half..200 * t + 100 * (half + 1))).unwrap();
                        if half == 1 {
                            loops.step(|_| {}).unwrap().unwrap();
                        }
                    }
                    assert_eq!(found(&other), found(&scall));
                    assert_eq!(values(&other), values(&scall));
                    assert_eq!(other.recommend("u3", 9).unwrap(), scall.recommend("u3", 9).unwrap());
                    scall = other;
                }
            }
            assert!(scall.report().iter().all(|report| report.loss > 0.0));
        }
    }
    let state = Scall::new(&Device::cpu(), POLICIES[0](), options(8, PointwiseOptions::default())).unwrap().state();
    let other = ScallOptions::new(Budget::new(Amount::Bytes(BYTES)));
    let error = Scall::restore(&Device::cpu(), POLICIES[0](), other, state.unwrap()).err().unwrap().to_string();
    assert_eq!(error, "state `model.name`: expected mf, found pointwise");
}

/// What the model reports is what the step reports; and the step that is repeated does what it would have done.
#[test]
fn an_error_of_the_model_comes_out_as_it_is_and_the_step_can_be_repeated() {
    for policy in POLICIES {
        let run = |failures: u32| {
            let (data, segments) = recorded();
            let model = PointwiseOptions::default();
            let fails = model.failures.clone();
            let mut scall = Scall::over(&Device::cpu(), data, segments, policy(), options(8, model)).unwrap();
            loop {
                // In a segment with a search, probes fail first.
                for failure in 0..failures {
                    fails.store(1, Ordering::Relaxed);
                    match scall.step(|_| {}) {
                        Err(Error::Other { source }) => assert_eq!(source.to_string(), "the power is out"),
                        Ok(None) => break,
                        other => panic!("failure {failure}: {other:?}"),
                    }
                }
                fails.store(0, Ordering::Relaxed);
                if scall.step(|_| {}).unwrap().is_none() {
                    // What moved, moved before the step that was repeated: of the reports, what was learned and found.
                    let learned = scall
                        .report()
                        .iter()
                        .map(|of| (of.loss, of.probes, of.test_candidates.clone(), of.all_candidates.clone()));
                    return (learned.collect::<Vec<_>>(), values(&scall));
                }
            }
        };
        let straight = run(0);
        assert_eq!(straight.0.len(), 4);
        assert_eq!(run(2), straight);
    }
}

/// A gradient that is no number ends the step, or is left out, as the rule of the model's tables has it.
#[test]
fn a_gradient_that_is_not_finite_is_an_error_or_skipped() {
    for device in devices() {
        for non_finite in [NonFinite::Error, NonFinite::Skip] {
            let model = PointwiseOptions { non_finite, poisoned_step: Some(3), ..PointwiseOptions::default() };
            let (data, segments) = recorded();
            let mut scall = Scall::over(&device, data, segments, POLICIES[0](), options(40, model)).unwrap();
            let first = scall.step(|_| {});
            if non_finite == NonFinite::Error {
                let error = first.unwrap_err();
                assert!(matches!(error, Error::NonFinite { op: "Pointwise::train", table: "items", .. }), "{error}");
                // The steps after it were taken, and the step is repeated from there.
                scall.step(|_| {}).unwrap().unwrap();
            } else {
                first.unwrap().unwrap();
            }
            while scall.step(|_| {}).unwrap().is_some() {}
            assert!(scall.report().iter().all(|report| report.loss < 0.4), "{:?}", scall.report());
            assert!(values(&scall).into_iter().all(|bits| f32::from_bits(bits).is_finite()));
        }
    }
}

/// Options of the model are checked before anything is built, and what cannot be built is the constructor's error.
#[test]
fn wrong_options_of_the_model_are_refused_when_the_loop_begins() {
    let refused = |model: PointwiseOptions| -> Result<()> {
        Scall::new(&Device::cpu(), POLICIES[0](), options(8, model)).map(drop)
    };
    let error = refused(PointwiseOptions { batch: 0, ..PointwiseOptions::default() }).unwrap_err().to_string();
    assert_eq!(error, "Pointwise: `batch` must be at least 1, got 0");
    let error = refused(PointwiseOptions { learning_rate: f32::NAN, ..PointwiseOptions::default() }).unwrap_err();
    assert!(matches!(error, Error::Argument { arg: "learning_rate", .. }), "{error}");
}
