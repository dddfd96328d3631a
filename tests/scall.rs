//! The streaming loop as a whole, on a small stream whose taste moves.

mod common;
#[path = "common/recorded.rs"]
mod recorded;

use common::devices;
use rand::Rng;
use recorded::recorded;
use scall_gpu::device::Device;
use scall_gpu::models::{ItemBias, ModelOptions, Sampling};
use scall_gpu::rng::{Philox, Purpose};
use scall_gpu::rows::{Format as RowFormat, Layout};
use scall_gpu::sizing::{Amount, Budget, FrequencyRanked, Random, SizePolicy, Uniform};
use scall_gpu::stream::{Cut, Format, Interactions, Segment, cut};
use scall_gpu::{EarlyStop, Error, Replay, Scall, ScallOptions, SegmentReport, Summary};

/// Interactions of users and items that keep arriving; in each of four seasons other items are in fashion, and half of
/// the users like even items, half odd ones.
fn stream(rows: u32) -> Interactions {
    let mut rng = Philox::new(11, Purpose::User);
    let mut draw = |n: u32| rng.next_u32() % n.max(1);
    let rows = (0..rows).map(|row| {
        let (season, known) = (row * 4 / rows, 40 + row / 8);
        let user = draw(known);
        let fashion = season * 25 + draw(25);
        let item = if draw(3) == 0 { draw(100 + row / 10) } else { fashion };
        (format!("u{user}"), format!("i{}", item / 2 * 2 + user % 2), i64::from(row))
    });
    Interactions::from_rows(rows.collect::<Vec<_>>()).unwrap()
}

/// A model of small batches, the rest its defaults.
fn small(name: &str) -> ModelOptions {
    let mut model = ModelOptions::from_name(name).unwrap();
    model.training_mut().batch = 256;
    model
}

fn options(amount: Amount) -> ScallOptions {
    let budget = Budget { d_min: 0, d_max: 16, ..Budget::new(amount) };
    let model = small("mf");
    ScallOptions { model, steps: 40, seed: 5, ..ScallOptions::new(budget) }
}

fn run(device: &Device, policy: Box<dyn SizePolicy>, options: ScallOptions) -> Vec<SegmentReport> {
    let data = stream(4000);
    let segments = cut(&data, Cut::Equal { segments: 4 }).unwrap();
    let mut scall = Scall::over(device, data, segments, policy, options).unwrap();
    let mut reports = Vec::new();
    while let Some(report) = scall.step(|_| {}).unwrap() {
        assert_eq!(scall.model().embeddings().users().rows(), report.users);
        assert_eq!(scall.model().embeddings().items().rows(), report.items);
        reports.push(report);
    }
    reports
}

#[test]
fn the_counted_bytes_never_pass_the_budget_while_entities_arrive() {
    for device in devices() {
        let reports = run(&device, Box::new(FrequencyRanked::default()), options(Amount::Bytes(9000)));
        assert_eq!(reports.len(), 4);
        for (report, next) in reports.iter().zip(&reports[1..]) {
            assert!(next.users > report.users && next.items > report.items);
            assert!(next.params < report.params, "a larger directory leaves less for values");
        }
        for report in &reports {
            assert!(report.counted_bytes <= 9000 && report.budget_bytes == 9000, "{report:?}");
            assert_eq!(report.params, report.budget_params);
            let memory = report.memory;
            assert_eq!(report.counted_bytes, memory.values_bytes + memory.metadata_bytes);
            assert!(memory.peak_bytes >= memory.total_bytes());
        }
        // Rows thin out as entities arrive, and still some grow.
        assert!(reports[1..].iter().all(|r| r.resized.shrunk_rows > 0));
        assert!(reports[2..].iter().all(|r| r.resized.grown_rows > 0), "{reports:?}");
    }
}

/// A model says how its rows lie in memory: bytes of f16 hold twice the values, and aligned rows still fit.
#[test]
fn bytes_are_those_of_the_models_layout() {
    let params = |format, aligned| {
        let layout = Layout { format, aligned, page_bytes: None };
        let mut model = small("mf");
        model.training_mut().layout = layout;
        let budget = Budget { d_min: 0, ..Budget::new(Amount::Bytes(20_000)) };
        let options = ScallOptions { budget, model, steps: 2, ..options(Amount::Bytes(0)) };
        let reports = run(&Device::cpu(), Box::new(FrequencyRanked::default()), options);
        assert!(reports.iter().all(|report| report.counted_bytes <= 20_000 && report.budget_bytes == 20_000));
        assert!(reports.iter().all(|report| report.params == report.budget_params));
        let entities = |report: &SegmentReport| u64::from(report.users + report.items);
        reports.iter().map(|report| (report.params, entities(report))).collect::<Vec<_>>()
    };
    let (packed, halves, aligned) =
        (params(RowFormat::F32, false), params(RowFormat::F16, false), params(RowFormat::F32, true));
    for (((packed, entities), (halves, _)), (aligned, _)) in packed.into_iter().zip(halves).zip(aligned) {
        // Each row of f16 may leave a value unused, each aligned one three.
        assert!((2 * packed - entities..=2 * packed + 1).contains(&halves), "{packed} then {halves}");
        assert_eq!(aligned, packed - 3 * entities);
    }
    params(RowFormat::F16, true);
}

#[test]
fn sizes_follow_frequency_both_ways() {
    let data = stream(4000);
    let segments = cut(&data, Cut::Equal { segments: 4 }).unwrap();
    let rows = data.clone();
    let frequency = |t: usize, item: u32| {
        let (train, _) = segments[t].split(0.8).unwrap();
        rows.pairs(train.rows).filter(|&(_, i)| i == item).count()
    };
    let policy = Box::new(FrequencyRanked::default());
    let options = ScallOptions { replay: Replay::Sample { share: 0.0 }, ..options(Amount::MeanSize(4.0)) };
    let mut scall = Scall::over(&Device::cpu(), data, segments.clone(), policy, options).unwrap();
    let mut sizes: Vec<Vec<u32>> = Vec::new();
    while scall.step(|_| {}).unwrap().is_some() {
        sizes.push(scall.model().embeddings().items().sizes().collect());
    }
    let moved = |larger: bool| {
        (0..sizes[1].len() as u32).any(|item| {
            let (before, after) = (frequency(1, item), frequency(2, item));
            let (size_before, size_after) = (sizes[1][item as usize], sizes[2][item as usize]);
            if larger { after > before && size_after > size_before } else { after < before && size_after < size_before }
        })
    };
    assert!(moved(true), "no item whose frequency rose grew");
    assert!(moved(false), "no item whose frequency fell shrank");
}

#[test]
fn one_seed_gives_one_result_on_each_device() {
    for device in devices() {
        let quality = |seed| {
            let options = ScallOptions { seed, ..options(Amount::MeanSize(4.0)) };
            let reports = run(&device, Box::new(Random::default()), options);
            reports.into_iter().map(|r| (r.loss.to_bits(), r.test_candidates, r.all_candidates)).collect::<Vec<_>>()
        };
        assert_eq!(quality(5), quality(5), "{}", device.describe());
        assert_ne!(quality(5), quality(6));
    }
}

/// Half of the catalogue is not to a user's taste: a recommender that learns it ranks well above chance.
#[test]
fn the_recommender_learns() {
    for device in devices() {
        let options = ScallOptions { steps: 150, ..options(Amount::MeanSize(6.0)) };
        let reports = run(&device, Box::new(Uniform), options);
        let last = reports.last().unwrap();
        let chance = 20.0 / f64::from(last.items);
        let recall = last.all_candidates.at(20).recall;
        assert!(recall > 3.0 * chance, "{}: Recall@20 {recall}, chance {chance}", device.describe());
        assert!(last.test_candidates.at(20).recall >= recall, "fewer candidates cannot rank worse");
        assert!(last.loss < 0.5, "{}: loss {}", device.describe(), last.loss);
    }
}

#[test]
fn training_ends_early_with_the_best_values() {
    let stop = EarlyStop { every: 10, patience: 2, loss_fall: 1.0, ..EarlyStop::default() };
    let [_, fism] = graph_models();
    for device in devices() {
        for model in [options(Amount::MeanSize(4.0)).model, fism] {
            let first = |steps| {
                let options = ScallOptions { model, steps, early_stop: Some(stop), ..options(Amount::MeanSize(4.0)) };
                run(&device, Box::new(Uniform), options).swap_remove(0)
            };
            let stopped = first(1000);
            assert!(stopped.steps < 1000 && stopped.steps % 10 == 0, "{}: {} steps", model.name(), stopped.steps);
            // Two rankings in a row were no better: as if training had ended before.
            let shorter = first(stopped.steps - 20);
            assert_eq!(shorter.steps, stopped.steps - 20);
            assert_eq!(shorter.test_candidates, stopped.test_candidates, "{}", model.name());
            assert_eq!(shorter.all_candidates, stopped.all_candidates, "{}", model.name());
        }
    }
}

/// Rows whose users and items are all known after the first 40, and who touch no more than 30 of 40; some rows have
/// another item.
fn rows_with(changed: std::ops::Range<u32>) -> Interactions {
    let item = |row: u32| if changed.contains(&row) { row * 7 % 40 } else { row * 3 % 40 };
    let rows = (0..500).map(|row| (format!("u{}", row % 13), format!("i{}", item(row)), i64::from(row)));
    Interactions::from_rows(rows.collect::<Vec<_>>()).unwrap()
}

/// Values of both tables, and the loss, after one segment that is `rows_with` the first changed and with the others.
fn after_one_segment(device: &Device, changed: std::ops::Range<u32>, options: &ScallOptions) -> (Vec<u32>, u32) {
    let segments = vec![Segment { rows: 0..500 }];
    let mut scall = Scall::over(device, rows_with(changed), segments, Box::new(Uniform), options.clone()).unwrap();
    let loss = scall.step(|_| {}).unwrap().unwrap().loss;
    let tables = scall.model().embeddings();
    let values = [tables.users(), tables.items()].map(|table| table.read().unwrap()).concat();
    (values.into_iter().map(f32::to_bits).collect(), loss.to_bits())
}

#[test]
fn nothing_is_learned_from_test_rows() {
    for device in devices() {
        for model in [options(Amount::MeanSize(4.0)).model].into_iter().chain(graph_models()) {
            let options = ScallOptions { model, ..options(Amount::MeanSize(4.0)) };
            let learned = after_one_segment(&device, 0..0, &options);
            assert!(after_one_segment(&device, 400..500, &options) == learned, "{}", model.name());
            assert!(after_one_segment(&device, 399..400, &options) != learned, "{}", model.name());
        }
    }
}

#[test]
fn nothing_is_learned_from_rows_that_are_held_out() {
    // Without biases, which are counted over all rows once training has ended.
    let mut model = small("mf");
    model.training_mut().item_bias = ItemBias::None;
    let stop = EarlyStop { share: 0.25, every: 40, ..EarlyStop::default() };
    let options = ScallOptions { model, early_stop: Some(stop), ..options(Amount::MeanSize(4.0)) };
    for device in devices() {
        // One ranking, after all steps: whatever it says, its values are taken.
        let learned = after_one_segment(&device, 0..0, &options);
        assert!(after_one_segment(&device, 300..400, &options) == learned);
        assert!(after_one_segment(&device, 299..300, &options) != learned);
    }
}

#[test]
fn segments_that_are_none_are_errors() {
    let over = |segments: &[(usize, usize)]| {
        let segments = segments.iter().map(|&(start, end)| Segment { rows: start..end }).collect();
        let options = options(Amount::MeanSize(4.0));
        Scall::over(&Device::cpu(), rows_with(0..0), segments, Box::new(Uniform), options).map(drop)
    };
    over(&[(0, 100), (100, 100), (120, 500)]).unwrap();
    for (wrong, text) in [
        (&[(0, 1000)][..], "rows from 0 to at most 500 in segment 0, got 0..1000"),
        (&[(0, 100), (99, 200)], "rows from 100 to at most 500 in segment 1, got 99..200"),
    ] {
        let error = over(wrong).unwrap_err().to_string();
        assert!(error.starts_with("Scall::new: `segments` must be") && error.ends_with(text), "{error}");
    }
}

#[test]
fn without_anybody_to_hold_out_training_takes_all_its_steps() {
    let rows = (0..10).map(|row| (format!("u{row}"), format!("i{row}"), row));
    let data = Interactions::from_rows(rows.collect::<Vec<_>>()).unwrap();
    let options = ScallOptions { early_stop: Some(EarlyStop::default()), ..options(Amount::MeanSize(4.0)) };
    let segments = vec![Segment { rows: 0..10 }];
    let mut scall = Scall::over(&Device::cpu(), data, segments, Box::new(Uniform), options).unwrap();
    let report = scall.step(|_| {}).unwrap().unwrap();
    assert_eq!((report.steps, report.users), (40, 8));
}

/// The models with dense layers.
fn graph_models() -> [ModelOptions; 2] {
    ["lightgcn", "fism"].map(small)
}

#[test]
fn a_graph_model_follows_the_stream() {
    for (device, model) in devices().iter().flat_map(|device| graph_models().map(|model| (device, model))) {
        let options = ScallOptions { model, ..options(Amount::Bytes(20_000)) };
        let reports = run(device, Box::new(FrequencyRanked::default()), options.clone());
        let last = reports.last().unwrap();
        let chance = 20.0 / f64::from(last.items);
        let recall = last.all_candidates.at(20).recall;
        let what = format!("{} on {}", model.name(), device.describe());
        assert!(recall > 2.0 * chance, "{what}: Recall@20 {recall}, chance {chance}");
        assert!(reports.iter().all(|r| r.counted_bytes <= 20_000 && r.working_bytes > 0), "{what}");
        // Newcomers have rows at once and no edges yet.
        let mut scall = Scall::new(device, Box::new(FrequencyRanked::default()), options).unwrap();
        scall.observe((0..400).map(|n: i64| (format!("u{}", n % 23), format!("i{}", n * n % 31), n))).unwrap();
        scall.step(|_| {}).unwrap().unwrap();
        scall.observe([("u99", "i1", 400), ("u3", "i99", 401)]).unwrap();
        assert_eq!(scall.recommend("u99", 5).unwrap().len(), 5);
        assert!(scall.recommend("nobody", 5).unwrap().len() == 5);
    }
}

#[test]
fn devices_agree_on_quality() {
    let [_, fism] = graph_models();
    let mut both = vec![options(Amount::MeanSize(6.0))];
    both.push(ScallOptions { model: fism, ..both[0].clone() });
    for options in both {
        let name = options.model.name();
        let qualities: Vec<f64> = devices()
            .iter()
            .map(|device| {
                let reports = run(device, Box::new(FrequencyRanked::default()), options.clone());
                reports[1..].iter().map(|r| r.all_candidates.quality()).sum::<f64>() / 3.0
            })
            .collect();
        for quality in &qualities {
            assert!((quality - qualities[0]).abs() < 0.1 * qualities[0], "{name}: {qualities:?}");
        }
    }
}

#[test]
fn a_budget_without_room_is_an_error_that_says_so() {
    let data = stream(400);
    let segments = cut(&data, Cut::Equal { segments: 2 }).unwrap();
    let options = options(Amount::Bytes(100));
    let mut scall = Scall::over(&Device::cpu(), data, segments, Box::new(Uniform), options).unwrap();
    let error = scall.step(|_| {}).unwrap_err();
    assert!(matches!(error, Error::Infeasible { unit: "bytes", budget: 100, .. }), "{error}");
    assert_eq!(scall.model().embeddings().users().rows(), 0);
}

#[test]
fn a_share_outside_its_range_is_an_error() {
    let data = stream(400);
    let options = ScallOptions { train_share: 1.5, ..options(Amount::MeanSize(4.0)) };
    let error = Scall::over(&Device::cpu(), data, Vec::new(), Box::new(Uniform), options).err().unwrap();
    assert_eq!(error.to_string(), "Scall::new: `train_share` must be from 0 to 1, got 1.5");
}

/// A stream whose segments are given by hand.
fn scripted(device: &Device, segments: &[&[(&str, &str)]], options: ScallOptions) -> Scall {
    let mut scall = Scall::new(device, Box::new(FrequencyRanked::default()), options).unwrap();
    for (t, rows) in segments.iter().enumerate() {
        scall.observe(rows.iter().map(|&(user, item)| (user, item, t as i64))).unwrap();
        scall.step(|_| {}).unwrap().unwrap();
    }
    scall
}

/// Rows of a and b only; then the same users go on without c.
const FIRST: &[(&str, &str)] = &[
    ("a", "w"),
    ("b", "x"),
    ("c", "w"),
    ("c", "y"),
    ("a", "x"),
    ("b", "z"),
    ("c", "z"),
    ("b", "w"),
    ("a", "y"),
    ("b", "y"),
];

#[test]
fn the_embedding_of_an_absent_entity_survives() {
    let second: &[(&str, &str)] = &[("a", "z"), ("b", "v"), ("a", "v"), ("d", "w"), ("d", "v"), ("b", "w")];
    for device in devices() {
        // Every row keeps its size, and training that only knows the new rows leaves the others alone.
        let mut options = options(Amount::MeanSize(4.0));
        options.replay = Replay::Sample { share: 0.0 };
        let training = options.model.training_mut();
        (training.batch, training.sampling) = (64, Sampling::Users);
        let mut scall = Scall::new(&device, Box::new(Uniform), options).unwrap();
        let row = |scall: &Scall, side: usize, name: &str| {
            let tables = scall.model().embeddings();
            let (table, id) = match side {
                0 => (tables.users(), scall.data().user_id(name).unwrap()),
                _ => (tables.items(), scall.data().item_id(name).unwrap()),
            };
            let values = table.lookup(&[id], 16).unwrap().read().unwrap();
            // A bias in front is what sells, not what is learned.
            values[side..].to_vec()
        };
        scall.observe(FIRST.iter().map(|&(user, item)| (user, item, 0))).unwrap();
        scall.step(|_| {}).unwrap();
        let before = [row(&scall, 0, "c"), row(&scall, 1, "y"), row(&scall, 1, "w")];
        scall.observe(second.iter().map(|&(user, item)| (user, item, 1))).unwrap();
        scall.step(|_| {}).unwrap();
        let after = [row(&scall, 0, "c"), row(&scall, 1, "y"), row(&scall, 1, "w")];
        let common = |k: usize| before[k].iter().zip(&after[k]).filter(|(b, a)| **b != 0.0 && **a != 0.0);
        for k in [0, 1] {
            assert!(common(k).count() > 0 && common(k).all(|(b, a)| b == a), "{:?} became {:?}", before[k], after[k]);
        }
        assert!(common(2).any(|(b, a)| b != a), "what is bought learns");
    }
}

#[test]
fn segments_of_all_kinds_are_handled() {
    for device in devices() {
        let mut scall = scripted(&device, &[FIRST], options(Amount::MeanSize(4.0)));
        assert_eq!(scall.report()[0].users, 3);
        // Nothing new: there is no segment.
        assert!(scall.step(|_| {}).unwrap().is_none());
        scall.observe(Vec::<(&str, &str, i64)>::new()).unwrap();
        assert!(scall.step(|_| {}).unwrap().is_none());
        // One row, which is training; nobody to rank for.
        scall.observe([("a", "z", 5)]).unwrap();
        let report = scall.step(|_| {}).unwrap().unwrap();
        assert_eq!((report.interactions, report.test_candidates.users), (1, 0));
        // A single user, who by now has seen every item: no negative is left, nothing is recommended.
        let everything = ["w", "x", "y", "z", "w", "x"];
        scall.observe(everything.map(|item| ("a", item, 6))).unwrap();
        let report = scall.step(|_| {}).unwrap().unwrap();
        assert!(report.loss.is_finite() && report.test_candidates.users == 0, "{report:?}");
        assert!(scall.recommend("a", 3).unwrap().is_empty());
        assert_eq!(scall.report().len(), 3);
    }
}

#[test]
fn a_given_segment_without_rows_trains_nothing() {
    let data = stream(400);
    let segments = vec![Segment { rows: 0..200 }, Segment { rows: 200..200 }, Segment { rows: 200..400 }];
    let options = ScallOptions { replay: Replay::Sample { share: 0.2 }, ..options(Amount::MeanSize(4.0)) };
    let mut scall = Scall::over(&Device::cpu(), data, segments, Box::new(FrequencyRanked::default()), options).unwrap();
    let reports: Vec<SegmentReport> = std::iter::from_fn(|| scall.step(|_| {}).unwrap()).collect();
    assert_eq!(reports.iter().map(|r| r.interactions).collect::<Vec<_>>(), [200, 0, 200]);
    assert_eq!((reports[1].loss, reports[1].test_candidates.users), (0.0, 0));
    // Whoever came in the test part of the first segment has a row by now.
    assert!(reports[1].users > reports[0].users && reports[1].resized.new_rows > 0);
    assert_eq!(Summary::of(&reports).unwrap().segments, 1);
}

#[test]
fn newcomers_get_a_row_at_once_inside_the_budget() {
    for device in devices() {
        let mut options = options(Amount::Bytes(400));
        options.budget.d_min = 1;
        let mut scall =
            scripted(&device, &[FIRST, &[("a", "z"), ("c", "x"), ("b", "v"), ("c", "v"), ("a", "u")]], options);
        let used = |scall: &Scall| scall.model().embeddings().users().account().used_bytes();
        scall.observe([("e", "t", 7), ("f", "t", 8), ("e", "w", 9)]).unwrap();
        let tables = scall.model().embeddings();
        assert_eq!((tables.users().rows(), tables.items().rows()), (5, 7));
        assert!(tables.users().size(4) >= 1 && used(&scall) <= 400);
        let list = scall.recommend("f", 7).unwrap();
        assert_eq!(list.len(), 6, "all but t: {list:?}");
        assert_eq!(scall.recommend("nobody", 3).unwrap().len(), 3);
        // A wrong row takes none with it; one that is a little late is not wrong.
        for wrong in [("a", "w", 1_700_000_000_000), ("a", "w", -3), ("", "w", 12), ("a", "w\n", 12)] {
            let error = scall.observe([("e", "u", 9), wrong, ("a", "w", 11)]).unwrap_err();
            assert!(matches!(&error, Error::Argument { got, .. } if got.contains("in row 1 of 3")), "{error}");
        }
        assert_eq!(scall.data().len(), FIRST.len() + 5 + 3);
        scall.observe([("e", "u", 9), ("a", "w", 3)]).unwrap();
        assert_eq!(scall.data().timestamps().last(), Some(&9));
        scall.observe([("a", "w", 5_000)]).unwrap();
        assert!(scall.observe([("a", "w", 5_000 - 3_601)]).is_err());
        // Too many at once for the budget: the rows are kept, the tables stay as they are.
        let crowd: Vec<String> = (0..60).map(|n| format!("n{n}")).collect();
        let error = scall.observe(crowd.iter().map(|name| (name.as_str(), "t", 5_000))).unwrap_err();
        assert!(matches!(error, Error::Infeasible { .. }), "{error}");
        assert_eq!((scall.data().user_count(), scall.model().embeddings().users().rows()), (65, 5));
    }
}

#[test]
fn a_newcomer_without_a_row_is_told_what_sells() {
    // Everybody buys "hit" last; "dud" sold once, long ago.
    let mut rows = vec![("u0".to_owned(), "dud", 0)];
    for n in 0..40 {
        rows.push((format!("u{n}"), ["x", "y", "z"][n % 3], n as i64));
        rows.push((format!("u{n}"), "hit", n as i64));
    }
    let mut scall = Scall::new(&Device::cpu(), Box::new(Uniform), options(Amount::MeanSize(4.0))).unwrap();
    scall.observe(rows).unwrap();
    scall.step(|_| {}).unwrap();
    let list = scall.recommend("stranger", 5).unwrap();
    assert_eq!((list[0], list[4]), ("hit", "dud"), "{list:?}");
}

/// What frequency is worth on real data, at the example's defaults and the same bytes.
#[test]
fn sizes_by_frequency_beat_random_ones_on_movietweetings() {
    let Some(file) = recorded("movietweetings-100k/ratings.dat") else { return };
    let data = scall_gpu::stream::read(file, Format::DoubleColon).unwrap();
    let ndcg = |policy: fn() -> Box<dyn SizePolicy>, seed| {
        let segments = cut(&data, Cut::Equal { segments: 10 }).unwrap();
        let options = ScallOptions { seed, ..ScallOptions::new(Budget::new(Amount::MeanSize(8.0))) };
        let mut scall = Scall::over(&Device::cpu(), data.clone(), segments, policy(), options).unwrap();
        let reports: Vec<f64> = std::iter::from_fn(|| scall.step(|_| {}).unwrap())
            .map(|report| report.test_candidates.at(20).ndcg)
            .collect();
        reports[1..].iter().sum::<f64>() / 9.0
    };
    let mean = |policy| (0..3).map(|seed| ndcg(policy, seed)).sum::<f64>() / 3.0;
    let ranked = mean(|| Box::new(FrequencyRanked::default()));
    let random = mean(|| Box::new(Random::default()));
    assert!(ranked > random, "NDCG@20 of ranked {ranked}, of random {random}");
}
