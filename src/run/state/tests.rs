//! Loops that are kept and restored, at every moment of their lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::eval::Cutoffs;
use crate::file::Numbers;
use crate::models::{ItemBias, ModelOptions, RateSchedule, Sampling};
use crate::run::options::AnyOptions;
use crate::run::step::tests::Failing;
use crate::run::{EarlyStop, Exclude, ProbeOptions, Replay};
use crate::sizing::{Amount, Bet, BetOptions, Budget, FrequencyRanked, GrowOnly, LinUcb, LinUcbOptions};
use crate::stream::{Cut, Interactions, cut};
use crate::testing::devices;
use crate::{Error, Result};

type MakePolicy = fn() -> Box<dyn SizePolicy>;

fn rows(range: std::ops::Range<i64>) -> impl Iterator<Item = (String, String, i64)> {
    range.map(|n| (format!("u{}", n * 7 % (15 + n / 30)), format!("i{}", n * n % (20 + n / 20)), n))
}

/// Models, policies and options, each of which appears with some others.
fn cases() -> Vec<(ScallOptions, MakePolicy)> {
    let policies: [MakePolicy; 4] = [
        || Box::new(FrequencyRanked { draws: 3, ..FrequencyRanked::default() }),
        || Box::new(GrowOnly::default()),
        || Box::new(LinUcb::new(LinUcbOptions { probes: 3, ..LinUcbOptions::default() })),
        || Box::new(Bet::new(BetOptions { probes: 3, draws: 2, ..BetOptions::default() })),
    ];
    let mut cases = Vec::new();
    for (i, name) in ModelOptions::NAMES.iter().enumerate() {
        let mut model = ModelOptions::from_name(name).unwrap();
        model.training_mut().batch = 48;
        let options = ScallOptions {
            model,
            steps: 5,
            probe: ProbeOptions { steps: 3, ..ProbeOptions::default() },
            ..ScallOptions::new(Budget::new(Amount::MeanSize(5.0)))
        };
        let mut other = options.clone();
        other.model.training_mut().item_bias = ItemBias::Learned { keep: 0.5 };
        other.model.training_mut().rate = RateSchedule::Falling { factor: 0.5, every: 2, least: 1e-6 };
        other.replay = Replay::Sample { share: 0.5 };
        other.early_stop = Some(EarlyStop { every: 2, patience: 1, ..EarlyStop::default() });
        other.budget.amount = Amount::Bytes(6_000);
        other.budget.d_min = 0;
        other.evaluate_users = Some(4);
        other.choose_l2 = true;
        other.cutoffs = Cutoffs::new([1, 25]).unwrap();
        other.coherence = true;
        cases.push((options, policies[i]));
        cases.push((other, policies[(i + 2) % 4]));
    }
    // Streams that forget: with a model of rows alone and with one of histories, with a search and without.
    for (case, rows, exclude) in [(0, 70, Exclude::Ever), (0, 0, Exclude::Kept), (2, 40, Exclude::Kept)] {
        let (options, _) = cases[case].clone();
        let replay = Replay::Recent { rows };
        cases.push((ScallOptions { replay, exclude, ..options }, policies[3 - case % 3]));
    }
    #[cfg(feature = "search")]
    {
        use crate::agent::AgentOptions;
        use crate::sizing::{ScallPolicy, ScallPolicyOptions};
        let policy: MakePolicy = || {
            let agent = AgentOptions { hidden: 8, warm_up: 2, ..AgentOptions::default() };
            let options = ScallPolicyOptions { agent, groups: 4, draws: 2, probes: 3, ..ScallPolicyOptions::default() };
            Box::new(ScallPolicy::new(options))
        };
        cases.push((cases[0].0.clone(), policy));
    }
    cases
}

fn restored(scall: &Scall, policy: MakePolicy) -> Result<Scall> {
    Scall::restore(&scall.device, policy(), scall.options.clone(), scall.state().unwrap())
}

/// All but how long it took.
fn timeless(scall: &Scall) -> State {
    let mut state = scall.state().unwrap();
    state.remove("reports/seconds").unwrap();
    state
}

/// Equal in every entry but for the time that was taken.
#[track_caller]
fn same_but_for_time(one: &Scall, other: &Scall) {
    let (one, other) = (timeless(one), timeless(other));
    let names = |state: &State| state.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for ((name, one), (_, other)) in one.iter().zip(other.iter()) {
        assert!(one == other, "{name}: {:?} and {:?}", one.to_le_bytes(), other.to_le_bytes());
    }
}

#[test]
fn non_clicks_are_kept() {
    let mut data = Interactions::from_rows(rows(0..120)).unwrap();
    data.mark_non_clicks((0..120).filter(|row| row % 7 == 3)).unwrap();
    assert_eq!(data::restored(&data::save(&data)).unwrap(), data);
    let mut state = data::save(&data);
    state.put("non_clicks", [5u64, 120]);
    let error = data::restored(&state).unwrap_err().to_string();
    assert!(error.contains("non_clicks") && error.contains("some of the 120 rows"), "{error}");

    data.forget(70);
    assert_eq!(data::restored(&data::save(&data)).unwrap(), data);
    assert!(!data.clicked(73) && data.clicked(74) && data.has_non_clicks());
    assert!(data.mark_non_clicks([69]).unwrap_err().to_string().contains("from 70 on, the rows that are kept, got 69"));
}

fn lists(scall: &Scall) -> Vec<Vec<String>> {
    let list = |n: i64| scall.recommend(&format!("u{n}"), 6).unwrap().into_iter().map(str::to_owned).collect();
    (0..30).map(list).collect()
}

#[test]
fn a_live_loop_goes_on_bit_for_bit() {
    for device in devices() {
        for (options, policy) in cases() {
            let mut scall = Scall::new(&device, policy(), options.clone()).unwrap();
            let what = format!("{} of {} on {}", options.model.name(), scall.policy.name(), device.describe());
            for t in 0..4 {
                // In the middle of a segment, and at its end.
                for half in [0, 1] {
                    let mut other = restored(&scall, policy).unwrap();
                    assert_eq!(other.state().unwrap(), scall.state().unwrap(), "{what}, segment {t}");
                    assert_eq!(lists(&other), lists(&scall), "{what}, segment {t}");
                    let from = 120 * t + 60 * half;
                    for loops in [&mut scall, &mut other] {
                        loops.observe(rows(from..from + 60)).unwrap();
                        if half == 1 {
                            loops.step(|_| {}).unwrap().unwrap();
                        }
                    }
                    assert_eq!(timeless(&other), timeless(&scall), "{what}, segment {t}");
                    assert_eq!(lists(&other), lists(&scall), "{what}, segment {t}");
                    if (t + half) % 3 == 2 {
                        scall = other;
                    }
                }
            }
            assert!(scall.reports.iter().any(|report| report.test_candidates.users > 0), "{what}");
        }
    }
}

#[test]
fn a_recorded_stream_goes_on_bit_for_bit() {
    let mut exposed = 0;
    let both = cases().into_iter().flat_map(|(options, policy)| [false, true].map(|of| (of, options.clone(), policy)));
    for (non_clicks, mut options, policy) in both {
        let mut data = Interactions::from_rows(rows(0..500)).unwrap();
        if non_clicks {
            data.mark_non_clicks((0..500).filter(|row| row % 3 == 2)).unwrap();
            options.model.training_mut().sampling = Sampling::Blocks { share: 0.5, window: 50 };
        }
        let segments = cut(&data, Cut::Equal { segments: 4 }).unwrap();
        let mut scall = Scall::over(&Device::cpu(), data, segments, policy(), options).unwrap();
        loop {
            let mut other = restored(&scall, policy).unwrap();
            assert_eq!(other.progress(), scall.progress());
            let done = scall.step(|_| {}).unwrap().is_none();
            assert_eq!(other.step(|_| {}).unwrap().is_none(), done);
            same_but_for_time(&other, &scall);
            if done {
                break;
            }
        }
        let has_exposures = scall.report().iter().any(|report| report.exposures.is_some());
        assert!(non_clicks || !has_exposures);
        exposed += u32::from(has_exposures);
        // What is observed then makes a live stream of it.
        let mut other = restored(&scall, policy).unwrap();
        for loops in [&mut scall, &mut other] {
            loops.observe([("new", "i1", 500), ("u1", "fresh", 501)]).unwrap();
        }
        assert_eq!(lists(&other), lists(&scall));
    }
    assert!(exposed > 2);
}

/// Searched, faded and half trained: the step is repeated by the restored loop as by the one that failed.
#[test]
fn a_step_that_failed_is_repeated_by_the_restored_loop() {
    for (options, policy) in cases() {
        let mut scall = Scall::new(&Device::cpu(), policy(), options).unwrap();
        let failures = Arc::new(AtomicU32::new(0));
        let inner = scall.model.duplicate(&scall.account).unwrap();
        scall.model = Box::new(Failing { inner, failures: failures.clone() });
        for t in 0..3 {
            scall.observe(rows(120 * t..120 * (t + 1))).unwrap();
            failures.store(1, Ordering::Relaxed);
            assert!(matches!(scall.step(|_| {}), Err(Error::NoGpu { .. })));
            let mut other = restored(&scall, policy).unwrap();
            assert_eq!(other.state().unwrap(), scall.state().unwrap());
            for loops in [&mut scall, &mut other] {
                loops.step(|_| {}).unwrap().unwrap();
            }
            same_but_for_time(&other, &scall);
        }
    }
}

/// A loop with something in each of its entries.
fn rich(replay: Replay) -> (Scall, MakePolicy) {
    let policy: MakePolicy = || Box::new(Bet::new(BetOptions { probes: 4, draws: 2, ..BetOptions::default() }));
    let options = ScallOptions {
        steps: 2,
        replay,
        probe: ProbeOptions { steps: 2, ..ProbeOptions::default() },
        coherence: true,
        ..ScallOptions::new(Budget::new(Amount::MeanSize(4.0)))
    };
    let mut scall = Scall::new(&Device::cpu(), policy(), options).unwrap();
    for t in 0..3 {
        scall.observe(rows(60 * t..60 * (t + 1))).unwrap();
        let kept = scall.data.kept();
        scall.data.mark_non_clicks(kept.filter(|row| row % 3 == 2)).unwrap();
        scall.step(|_| {}).unwrap();
    }
    scall.observe(rows(180..200)).unwrap();
    (scall, policy)
}

#[test]
fn a_state_of_something_else_is_refused() {
    let (scall, policy) = rich(Replay::All);
    let state = scall.state().unwrap();
    let restore = |policy: MakePolicy, options: AnyOptions, state: &State| {
        Scall::restore(&Device::cpu(), policy(), options, state.clone()).map(drop).unwrap_err().to_string()
    };
    let options = || scall.options.clone();
    let other: MakePolicy = || Box::new(FrequencyRanked::default());
    assert_eq!(restore(other, options(), &state), "state `policy.name`: expected ranked, found bet");
    let fism = options().with_model(ModelOptions::from_name("fism").unwrap()).any();
    assert_eq!(restore(policy, fism, &state), "state `model.name`: expected fism, found mf");
    let seed = ScallOptions { seed: 5, ..options() };
    assert_eq!(restore(policy, seed, &state), "state `seed`: expected 5, found 0");
    let cutoffs = ScallOptions { cutoffs: Cutoffs::new([3, 10]).unwrap(), ..options() };
    assert_eq!(restore(policy, cutoffs, &state), "state `options`: expected cutoffs: 3,10, found cutoffs: 5,10,20");
    let steps = ScallOptions { steps: 7, ..options() };
    assert_eq!(
        restore(policy, steps, &state),
        format!("state `options`: expected steps: 7, found steps: {}", scall.options.steps)
    );
    assert_eq!(restore(policy, options(), &State::default()), "state `version`: expected numbers (u32), found none");
    for (name, numbers, said) in [
        ("version", Numbers::from([3u32]), "state `version`: expected 5, found 3"),
        ("more", [2u32].into(), "state `more`: expected nothing of this name, found 1 numbers (u32)"),
        ("data/timestamps", vec![0i64; 3].into(), "state `data/timestamps`: expected 200 numbers (i64), found 3"),
        ("segments", [0u64, 9, 3].into(), "state `segments`: expected begin and end of each, found 3 numbers"),
        ("segments", [0u64, 900].into(), "state `segments`: expected segments of the stream, found"),
        ("capacity", [10u64].into(), "state `capacity`: expected room, found over budget"),
        ("progress", [201u64, 0].into(), "state `progress`: expected at most the 200 rows there are, found 201"),
        ("bias", [-1.0; 9].into(), "state `bias`: expected finite and not negative, found -1"),
        (
            "model/users/steps",
            [1u64].into(),
            "state `model/users/steps`: expected numbers (u32), found 1 numbers (u64)",
        ),
    ] {
        let mut state = state.clone();
        state.put(name, numbers);
        let error = restore(policy, options(), &state);
        assert!(error.starts_with(said), "{error}");
    }
}

/// Every entry gone, short, or with one number replaced: an error, or a loop that goes on.
#[test]
fn damage_is_an_error_and_never_a_panic() {
    for replay in [Replay::All, Replay::Recent { rows: 30 }] {
        damage(replay);
    }
}

fn damage(replay: Replay) {
    let (scall, policy) = rich(replay);
    let state = scall.state().unwrap();
    let whole: Vec<(String, Numbers)> =
        state.iter().map(|(name, numbers)| (name.to_owned(), numbers.clone())).collect();
    let try_state = |state: State| {
        Scall::restore(&Device::cpu(), policy(), scall.options.clone(), state).and_then(|mut scall| {
            scall.recommend("u1", 3)?;
            scall.observe([("u1", "i1", 200), ("newcomer", "i99", 201)])?;
            scall.step(|_| {})
        })
    };
    assert!(try_state(state.clone()).is_ok());
    for (name, numbers) in &whole {
        // What a policy has not learned, what a loop has not started, and a stream of clicks have no entry.
        let may = name.starts_with("policy/") || name.starts_with("last/action/") || name == "data/non_clicks";
        let mut damaged = state.clone();
        damaged.remove(name);
        assert!(may || try_state(damaged).is_err(), "without {name}");
        let mut damaged = state.clone();
        damaged.put(name.clone(), [1u8, 2, 3]);
        assert!(try_state(damaged).is_err() || matches!(numbers, Numbers::U8(_)), "other numbers in {name}");
        for replacement in [0u64, 1, 6, 63, 200, u64::from(u32::MAX), u64::MAX] {
            for at in [0, numbers.len() / 2, numbers.len().saturating_sub(1)] {
                let mut damaged = state.clone();
                damaged.put(name.clone(), replaced(numbers, at, replacement));
                // Whatever it is, it is no panic.
                let _ = try_state(damaged);
            }
        }
    }
}

/// With one number replaced, or without the last where there is none at that place.
fn replaced(numbers: &Numbers, at: usize, by: u64) -> Numbers {
    fn set<T: Clone>(numbers: &[T], at: usize, by: T) -> Vec<T> {
        let mut numbers = numbers.to_vec();
        match numbers.get_mut(at) {
            Some(number) => *number = by,
            None => numbers.push(by),
        }
        numbers
    }
    match numbers {
        Numbers::U8(numbers) => set(numbers, at, by as u8).into(),
        Numbers::U16(numbers) => set(numbers, at, by as u16).into(),
        Numbers::U32(numbers) => set(numbers, at, by as u32).into(),
        Numbers::U64(numbers) => set(numbers, at, by).into(),
        Numbers::I64(numbers) => set(numbers, at, by as i64).into(),
        Numbers::F32(numbers) => set(numbers, at, f32::from_bits(by as u32)).into(),
        Numbers::F64(numbers) => set(numbers, at, f64::from_bits(by)).into(),
    }
}
