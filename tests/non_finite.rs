//! Gradients that are not finite, in the loop: what stops it, with which words, and what goes on.

mod common;

use common::devices;
use scall_gpu::device::Device;
use scall_gpu::kernels::table::optimizer::{NonFinite, Optimizer, UpdateRule};
use scall_gpu::models::{ItemBias, ModelOptions, TrainingOptions};
use scall_gpu::sizing::{Amount, Budget, FrequencyRanked};
use scall_gpu::{Error, Scall, ScallOptions};

/// A weight of squared rows so large that its gradient overflows for rows of this size, and far from it for smaller
/// ones; the loss, which leaves it out, is finite. The rate is so small that no row moves.
fn options(name: &str, [user_init_std, item_init_std]: [f32; 2], non_finite: NonFinite) -> ScallOptions {
    let mut model = ModelOptions::from_name(name).unwrap();
    let rule = UpdateRule { non_finite, ..Optimizer::Sgd { learning_rate: 1e-37 }.into() };
    let training = model.training_mut();
    let (batch, item_bias) = (32, ItemBias::None);
    *training = TrainingOptions { rule, batch, item_bias, l2: 1e33, user_init_std, item_init_std, ..*training };
    training.rate = Default::default();
    ScallOptions { model, steps: 4, ..ScallOptions::new(Budget::new(Amount::MeanSize(4.0))) }
}

const LARGE: f32 = 1e10;
const SMALL: f32 = 1e-20;

fn rows(range: std::ops::Range<i64>) -> impl Iterator<Item = (String, String, i64)> {
    range.map(|row| (format!("u{}", row * 7 % 15), format!("i{}", row * row % 20), row))
}

fn scall(device: &Device, options: ScallOptions) -> Scall {
    let mut scall = Scall::new(device, Box::new(FrequencyRanked::default()), options).unwrap();
    scall.observe(rows(0..150)).unwrap();
    scall
}

fn values(scall: &Scall) -> Vec<f32> {
    let tables = scall.model().embeddings();
    [tables.users(), tables.items()].map(|table| table.read().unwrap()).concat()
}

#[test]
fn the_step_says_whose_gradients_they_were() {
    for device in devices() {
        for name in ModelOptions::NAMES {
            for (std, named) in [([LARGE, SMALL], "users"), ([SMALL, LARGE], "items"), ([LARGE; 2], "users and items")]
            {
                let mut scall = scall(&device, options(name, std, NonFinite::Error));
                // What is wrong stays wrong when the step is repeated; and nothing of it gets into the rows.
                for _ in 0..2 {
                    match scall.step(|_| {}) {
                        Err(error @ Error::NonFinite { op: "Recommender::train", table, count }) => {
                            assert!(table == named && count > 0, "{name} on {}: {named}, {error}", device.describe());
                            assert!(error.to_string().contains(&format!("dims of `{named}` had gradients")), "{error}");
                        }
                        other => panic!("{name}, {named}: {other:?}"),
                    }
                    assert!(values(&scall).iter().all(|value| value.is_finite()));
                }
                assert!(scall.report().is_empty());
            }
        }
    }
}

#[test]
fn a_rule_that_skips_them_goes_on() {
    for device in devices() {
        for name in ModelOptions::NAMES {
            let mut scall = scall(&device, options(name, [LARGE, SMALL], NonFinite::Skip));
            for t in 1..4 {
                let report = scall.step(|_| {}).unwrap().unwrap();
                assert!(report.loss.is_finite() && report.steps == 4, "{name}: {report:?}");
                assert!(values(&scall).iter().all(|value| value.is_finite()));
                scall.observe(rows(150 * t..150 * (t + 1))).unwrap();
            }
            assert!(!scall.recommend("u1", 5).unwrap().is_empty());
        }
    }
}
