//! A loop that serves: lists while it is shared, and after steps that failed.

mod common;

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use common::devices;
use scall_gpu::device::Device;
use scall_gpu::models::{BprMfOptions, FismOptions, ItemBias, LightGcnOptions, ModelOptions, RankRequest};
use scall_gpu::rows::{Format, Layout};
use scall_gpu::sizing::{Amount, Budget, FrequencyRanked};
use scall_gpu::stream::decayed_counts;
use scall_gpu::{Scall, ScallOptions};

const HALF_LIFE: f64 = 30.0;

fn models() -> Vec<ModelOptions> {
    let mut models: Vec<ModelOptions> =
        vec![BprMfOptions::default().into(), LightGcnOptions::default().into(), FismOptions::default().into()];
    for model in &mut models {
        let training = model.training_mut();
        training.batch = 64;
        training.item_bias = ItemBias::Counted { half_life: Some(HALF_LIFE) };
    }
    // Biases that are rounded to the format of the rows.
    let mut half = models[0];
    half.training_mut().layout = Layout { format: Format::F16, ..Layout::default() };
    models.push(half);
    models
}

fn rows(range: std::ops::Range<i64>) -> impl Iterator<Item = (String, String, i64)> {
    range.map(|n| (format!("u{}", n * 7 % 23), format!("i{}", n * n % 31), n))
}

fn scall(device: &Device, model: ModelOptions) -> Scall {
    let options = ScallOptions { model, steps: 6, ..ScallOptions::new(Budget::new(Amount::MeanSize(6.0))) };
    let mut scall = Scall::new(device, Box::new(FrequencyRanked::default()), options).unwrap();
    scall.observe(rows(0..200)).unwrap();
    scall.step(|_| {}).unwrap().unwrap();
    scall
}

fn values(scall: &Scall) -> Vec<u32> {
    let tables = scall.model().embeddings();
    let values = [tables.users(), tables.items()].map(|table| table.read().unwrap()).concat();
    values.into_iter().map(f32::to_bits).collect()
}

fn lists(scall: &Scall) -> Vec<Vec<String>> {
    let names = (0..25).map(|n| format!("u{n}"));
    let list = |user: String| scall.recommend(&user, 8).unwrap().into_iter().map(str::to_owned).collect();
    names.map(list).collect()
}

/// Biases count what came since the tables were trained, as if they had been stored there; and asking changes nothing.
#[test]
fn lists_know_what_sold_last_and_leave_the_tables_alone() {
    for device in devices() {
        for model in models() {
            let what = format!("{} on {}", model.name(), device.describe());
            let mut scall = scall(&device, model);
            for end in [200, 210, 260] {
                if end > 200 {
                    // What came last is one item.
                    scall.observe((end - 10..end).map(|n| (format!("u{}", n % 23), "i3".to_owned(), n))).unwrap();
                }
                let before = values(&scall);
                let served = lists(&scall);
                assert_eq!(values(&scall), before, "{what}");

                let mut stored = scall.model().duplicate(&scall_gpu::table::Account::unlimited()).unwrap();
                let counts = decayed_counts(scall.data(), scall.data().len(), HALF_LIFE);
                let biases: Vec<f32> = counts.iter().map(|count| libm::log(count + 0.05) as f32).collect();
                stored.embeddings_mut().set_biases(&biases).unwrap();
                let candidates: Vec<u32> = (0..stored.embeddings().items().rows()).collect();
                for (n, served) in served.iter().enumerate() {
                    let user = scall.data().user_id(&format!("u{n}"));
                    let of_user = scall.data().pairs(0..scall.data().len()).filter(|pair| Some(pair.0) == user);
                    let touched: Vec<u32> = of_user.map(|(_, item)| item).collect();
                    let request = RankRequest {
                        users: &[user.unwrap_or(u32::MAX)],
                        candidates: &candidates,
                        excluded: &|_| &touched,
                        k: 8,
                        item_biases: None,
                        scores: false,
                    };
                    let ranked = stored.rank(request).unwrap();
                    let names = ranked.user(0).iter().map(|&item| scall.data().item_names().get(item).unwrap());
                    assert_eq!(&names.map(str::to_owned).collect::<Vec<_>>(), served, "{what}, u{n}");
                }
            }
        }
    }
}

#[test]
fn a_loop_is_shared_by_threads_that_ask_while_another_learns() {
    fn may_change_threads<T: Send + Sync>(_: &T) {}
    for device in devices() {
        for model in models().into_iter().take(3) {
            let shared = RwLock::new(scall(&device, model));
            may_change_threads(&shared);
            let alone = lists(&shared.read().unwrap());
            // Many readers at once, all of them the first to ask.
            std::thread::scope(|scope| {
                let readers: Vec<_> = (0..4).map(|_| scope.spawn(|| lists(&shared.read().unwrap()))).collect();
                readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), alone));
            });
            // And while another thread feeds and trains.
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            assert_eq!(shared.read().unwrap().recommend("stranger", 5).unwrap().len(), 5);
                            std::thread::yield_now();
                        }
                    });
                }
                for t in 0..3 {
                    shared.write().unwrap().observe(rows(200 + 50 * t..250 + 50 * t)).unwrap();
                    shared.write().unwrap().step(|_| {}).unwrap().unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            // Nobody asked in a loop that did the same: asking leaves no trace.
            let mut quiet = scall(&device, model);
            for t in 0..3 {
                quiet.observe(rows(200 + 50 * t..250 + 50 * t)).unwrap();
                quiet.step(|_| {}).unwrap().unwrap();
            }
            let shared = shared.into_inner().unwrap();
            assert_eq!(values(&shared), values(&quiet));
            assert_eq!(lists(&shared), lists(&quiet));
        }
    }
}
