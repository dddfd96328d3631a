//! Streams that forget: what they hold, by an allocator that counts, and what they still know. Alone in its file, and
//! one test at a time: others would be counted too.

use std::sync::Mutex;

use peak_alloc::PeakAlloc;
use scall_gpu::device::Device;
use scall_gpu::models::ModelOptions;
use scall_gpu::run::{Exclude, Held, RecommendOptions};
use scall_gpu::sizing::{Amount, Bet, BetOptions, Budget, FrequencyRanked, SizePolicy, Uniform};
use scall_gpu::stream::{Cut, Interactions, cut};
use scall_gpu::{Replay, Scall, ScallOptions, SegmentReport};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const USERS: i64 = 400;
const ITEMS: i64 = 300;

/// Rows of the same users and items for ever. Every item is touched by many, and no user by all.
fn row(n: i64) -> (String, String, i64) {
    let mixed = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) as u64 >> 20) as i64;
    (format!("user {:04}", mixed % USERS), format!("item {:04}", (mixed / USERS + n % 7) % ITEMS), n)
}

fn options(model: &str, replay: Replay, exclude: Exclude) -> ScallOptions {
    let mut model = ModelOptions::from_name(model).unwrap();
    model.training_mut().batch = 64;
    let budget = Budget::new(Amount::MeanSize(8.0));
    ScallOptions { model, steps: 4, replay, exclude, ..ScallOptions::new(budget) }
}

fn live(model: &str, replay: Replay, exclude: Exclude) -> Scall {
    Scall::new(&Device::cpu(), Box::new(FrequencyRanked::default()), options(model, replay, exclude)).unwrap()
}

fn held(scall: &Scall) -> Held {
    scall.report().last().unwrap().held
}

#[test]
fn what_is_reported_is_what_an_allocator_counts() {
    let _alone = ONE_AT_A_TIME.lock();
    for model in ["mf", "fism"] {
        for replay in [Replay::All, Replay::Recent { rows: 3000 }] {
            // Threads and tables that are made once.
            let mut scall = live(model, replay, Exclude::Ever);
            scall.observe((0..600).map(row)).unwrap();
            scall.step(|_| {}).unwrap();
            drop(scall);
            let base = MEMORY.current_usage();
            let mut scall = live(model, replay, Exclude::Ever);
            for t in 0..4 {
                for start in (10_000 * t..10_000 * (t + 1)).step_by(1000) {
                    scall.observe((start..start + 1000).map(row)).unwrap();
                }
                scall.step(|_| {}).unwrap().unwrap();
            }
            let counted = (MEMORY.current_usage() - base) as f64;
            let held = held(&scall);
            let all = (held.total() + held.names) as f64;
            // Columns have room for rows to come, up to an eighth.
            let room = held.stream as f64 / 8.0;
            println!("{model}, {replay:?}: {all} reported of {counted} counted: {held:?}");
            assert!(
                counted > 0.95 * all && counted < 1.05 * all + room,
                "{model}, {replay:?}: {all} of {counted}: {held:?}"
            );
        }
    }
}

/// Ten times the rows, and no more bytes.
#[test]
fn a_stream_for_ever_needs_no_more() {
    let _alone = ONE_AT_A_TIME.lock();
    for model in ["mf", "fism", "lightgcn"] {
        let mut scall = live(model, Replay::Recent { rows: 2000 }, Exclude::Kept);
        for t in 0..30 {
            scall.observe((2000 * t..2000 * (t + 1)).map(row)).unwrap();
            scall.step(|_| {}).unwrap().unwrap();
            if t > 3 {
                let (third, now) = (scall.report()[3].held.total(), held(&scall).total());
                assert!(now.abs_diff(third) <= third / 50, "{model}, segment {t}: {third} and then {now}");
            }
        }
        assert_eq!((scall.data().len(), scall.data().kept()), (60_000, 56_000..60_000));
        assert!(scall.report()[29].test_candidates.users > 0);
    }
}

fn over(replay: Replay, policy: Box<dyn SizePolicy>) -> Vec<SegmentReport> {
    let data = Interactions::from_rows((0..6000).map(row)).unwrap();
    let segments = cut(&data, Cut::Equal { segments: 5 }).unwrap();
    let options = options("mf", replay, Exclude::Ever);
    let mut scall = Scall::over(&Device::cpu(), data, segments, policy, options).unwrap();
    while scall.step(|_| {}).unwrap().is_some() {}
    scall.report().to_vec()
}

/// Where nothing is old enough to be forgotten, all is as with all rows.
#[test]
fn the_latest_of_more_rows_than_there_are_is_all() {
    let _alone = ONE_AT_A_TIME.lock();
    let all = over(Replay::All, Box::new(Uniform));
    for (all, recent) in all.iter().zip(over(Replay::Recent { rows: 6000 }, Box::new(Uniform))) {
        assert_eq!((all.loss, &all.test_candidates, all.held), (recent.loss, &recent.test_candidates, recent.held));
    }
    let fewer = over(Replay::Recent { rows: 1000 }, Box::new(Uniform));
    assert_ne!(all[4].loss, fewer[4].loss);
    // What counts of an item's popularity is every row before, forgotten or not.
    assert_eq!(all[4].test_catalogue.at(20).coverage > 0.0, fewer[4].test_catalogue.at(20).coverage > 0.0);
    assert!(fewer[4].held.total() < all[4].held.total());
}

/// A search probes on the segment before, whose rows are there as long as it needs them.
#[test]
fn a_search_finds_the_rows_of_the_segment_before() {
    let _alone = ONE_AT_A_TIME.lock();
    let bet = || Box::new(Bet::new(BetOptions { probes: 3, draws: 2, ..BetOptions::default() }));
    for rows in [0, 500] {
        let reports = over(Replay::Recent { rows }, bet());
        assert!(reports[1..].iter().all(|report| report.probes > 0));
        let again = over(Replay::Recent { rows }, bet());
        assert!(reports.iter().zip(&again).all(|(one, other)| one.loss == other.loss && one.action == other.action));
    }
}

/// Items from rows that are forgotten are left out of lists for ever, or may come again.
#[test]
fn history_outlives_rows_or_goes_with_them() {
    let _alone = ONE_AT_A_TIME.lock();
    for (exclude, returns) in [(Exclude::Ever, false), (Exclude::Kept, true)] {
        let mut scall = live("mf", Replay::Recent { rows: 0 }, exclude);
        scall.observe([("ann", "tea", 0), ("bob", "jam", 0)]).unwrap();
        scall.observe((0..500).map(row)).unwrap();
        scall.step(|_| {}).unwrap();
        for t in 1..3 {
            scall.observe((500 * t..500 * (t + 1)).map(row)).unwrap();
            scall.observe([("bob", "jam", 500 * (t + 1))]).unwrap();
            scall.step(|_| {}).unwrap();
        }
        assert_eq!(scall.data().kept().start, 1003);
        let options = RecommendOptions { among: Some(&["tea", "jam"]), ..RecommendOptions::default() };
        let lists = scall.recommend_batch(&["ann"], options).unwrap();
        let names: Vec<_> = lists[0].items.iter().map(|item| item.name).collect();
        assert_eq!(names.contains(&"tea"), returns, "{exclude}: {names:?}");
        assert!(names.contains(&"jam"));
    }
}

#[test]
fn a_stream_with_forgotten_rows_is_no_beginning() {
    let _alone = ONE_AT_A_TIME.lock();
    let mut data = Interactions::from_rows((0..100).map(row)).unwrap();
    data.forget(10);
    let options = options("mf", Replay::Recent { rows: 10 }, Exclude::Ever);
    let error = Scall::over(&Device::cpu(), data, Vec::new(), Box::new(Uniform), options).err().unwrap();
    let said = "Scall::new: `data` must be a stream with all of its rows, got one without its first 10";
    assert_eq!(error.to_string(), said);
}
