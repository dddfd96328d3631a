//! Configurations drawn at random.

use std::path::PathBuf;

use proptest::option;
use proptest::prelude::*;

use crate::eval::Cutoffs;
use crate::kernels::table::optimizer::{NonFinite, Optimizer};
use crate::models::{ItemBias, ModelOptions, RateSchedule, Sampling};
use crate::rows::Format;
use crate::run::config::*;
use crate::sizing::{Amount, Distribution, PolicyOptions};
use crate::stream::{Column, Columns, Cut, Dedup, Filter, TimeUnit};

/// A share, its ends among them.
fn share() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..1.0]
}

fn positive() -> impl Strategy<Value = f32> {
    prop_oneof![Just(f32::MIN_POSITIVE), Just(1.0), 1e-9f32..1e9]
}

fn columns() -> impl Strategy<Value = Columns> {
    let column = || {
        let named = prop_oneof!["[a-z0-9 \"\\\\]{0,6}", any::<String>()].prop_map(Column::Name);
        prop_oneof![Just(Column::Usual), named, (0usize..99).prop_map(Column::Position)]
    };
    (column(), column(), column(), column(), any::<bool>())
        .prop_map(|(user, item, timestamp, rating, header)| Columns { user, item, timestamp, rating, header })
}

fn data() -> impl Strategy<Value = DataConfig> {
    let cut = prop_oneof![
        (1usize..1 << 31).prop_map(|segments| Cut::Equal { segments }),
        (1u32..).prop_map(|entities| Cut::NewEntities { entities }),
    ];
    let format = prop_oneof![Just("csv"), Just("tsv")].prop_map(str::to_owned);
    let paths = proptest::collection::vec("[a-z/\"*]{1,9}".prop_map(PathBuf::from), 0..3);
    let filter = ("[a-z]{1,4}", "[a-z=]{0,4}").prop_map(|(column, value)| Filter { column, value });
    let encoding = proptest::sample::select(&["utf-8", "latin1", "gbk"][..]).prop_map(|name| name.parse().unwrap());
    let rows = (
        option::of(-9.0..9.0f64),
        option::of(-9.0..9.0f64),
        proptest::collection::vec(filter, 0..3),
        option::of(1u32..),
        proptest::sample::select(&[Dedup::All, Dedup::First][..]),
        any::<u32>(),
    );
    let unit = proptest::sample::select(TimeUnit::ALL);
    (paths, format, columns(), encoding, unit, rows, cut).prop_map(
        |(
            path,
            format,
            columns,
            encoding,
            time_unit,
            (min_rating, clicks, r#where, k_core, dedup, skip_bad),
            segments,
        )| {
            let format = Some(format);
            DataConfig {
                path,
                format,
                columns,
                encoding,
                time_unit,
                min_rating,
                clicks,
                r#where,
                k_core,
                dedup,
                skip_bad,
                segments,
            }
        },
    )
}

fn budget() -> impl Strategy<Value = BudgetConfig> {
    let amount = prop_oneof![
        (1e-6f64..1e6).prop_map(Amount::MeanSize),
        any::<u64>().prop_map(Amount::Params),
        any::<u64>().prop_map(Amount::Bytes),
    ];
    let bounds = (1u32..=8192).prop_flat_map(|most| (0..=most, Just(most)));
    (amount, bounds, any::<bool>(), any::<bool>()).prop_map(
        |(amount, (min_size, max_size), count_optimizer, ignore_metadata)| BudgetConfig {
            amount,
            min_size,
            max_size,
            count_optimizer,
            ignore_metadata,
        },
    )
}

/// Options that the policy does not have are left out afterwards, by [`Config::with_policy`].
fn policy() -> impl Strategy<Value = PolicyConfig> {
    let family = proptest::sample::select(&Distribution::ALL[..]);
    let alpha = family.prop_flat_map(|family| {
        let (least, most) = family.alpha_domain();
        (Just(family), option::of(least..most))
    });
    (
        proptest::sample::select(PolicyOptions::NAMES),
        any::<bool>(),
        option::of(alpha),
        option::of(share()),
        option::of(3u32..=10_000),
        option::of(1u32..=1000),
    )
        .prop_map(|(name, published, shape, user_share, probes, proposals_at_once)| PolicyConfig {
            name: name.to_owned(),
            published,
            distribution: shape.map(|(family, _)| family),
            alpha: shape.and_then(|(_, alpha)| alpha),
            user_share,
            probes,
            proposals_at_once,
        })
}

fn model() -> impl Strategy<Value = ModelConfig> {
    let rate = prop_oneof![
        Just(RateSchedule::Constant),
        (1e-3f32..=1.0, 1u32.., 0f32..1e-9).prop_map(|(factor, every, least)| RateSchedule::Falling {
            factor,
            every,
            least
        }),
    ];
    let names: Vec<&str> = Optimizer::names().collect();
    let optimizer = (proptest::sample::select(names), 1e-3f32..1.0)
        .prop_map(|(name, rate)| name.parse::<Optimizer>().unwrap().with_learning_rate(rate));
    let numbers =
        (option::of(any::<u32>()), option::of(1u32..1 << 20), option::of(1e-3f32..10.0), option::of(positive()));
    let rule = (
        option::of(optimizer),
        option::of(positive()),
        option::of(rate),
        option::of(positive()),
        option::of(proptest::sample::select(NonFinite::ALL)),
    );
    let bias = (proptest::sample::select(ItemBias::NAMES), 1e-3f64..1e9, share());
    let sampling = (proptest::sample::select(Sampling::NAMES), 1u32.., share());
    let rows = (option::of(positive()), option::of(positive()), option::of(proptest::sample::select(Format::ALL)));
    (proptest::sample::select(ModelOptions::NAMES), numbers, rule, bias, sampling, rows).prop_map(
        |(
            name,
            (steps, batch, learning_rate, l2),
            rule,
            (bias, half_life, keep),
            (sampling, window, block_share),
            rows,
        )| {
            let (optimizer, epsilon, rate, max_norm, non_finite) = rule;
            let usual = *ModelOptions::from_name(name).unwrap().training();
            let adagrad = matches!(optimizer.unwrap_or(usual.rule.optimizer), Optimizer::Adagrad { .. });
            ModelConfig {
                name: name.to_owned(),
                steps,
                batch,
                optimizer,
                learning_rate,
                epsilon: epsilon.filter(|_| adagrad),
                rate,
                weight_decay: None,
                max_norm,
                non_finite,
                l2,
                bias: bias.to_owned(),
                half_life: (bias == "counted").then_some(half_life),
                keep_bias: (bias == "learned").then_some(keep as f32),
                sampling: sampling.to_owned(),
                window: (sampling != "users").then_some(window),
                block_share: (sampling == "blocks").then_some(block_share as f32),
                user_init_std: rows.0,
                item_init_std: rows.1,
                format: rows.2,
            }
        },
    )
}

/// Any configuration that passes its checks.
pub fn config() -> impl Strategy<Value = Config> {
    let ever = |replay| (replay, Exclude::Ever);
    let replay = prop_oneof![
        Just(ever(Replay::All)),
        share().prop_map(move |share| ever(Replay::Sample { share })),
        (any::<u64>(), proptest::sample::select(&Exclude::ALL))
            .prop_map(|(rows, exclude)| (Replay::Recent { rows }, exclude)),
    ];
    let early_stop = (0.0..0.99f64, 1u32.., 1u32.., -1f32..1.0)
        .prop_map(|(share, every, patience, loss_fall)| EarlyStop { share, every, patience, loss_fall });
    let probe = (any::<u32>(), any::<bool>(), 0usize..99).prop_map(|(steps, warm, at_once)| ProbeOptions {
        steps,
        warm,
        at_once,
    });
    let reports = (proptest::collection::vec(1..=100u32, 1..4), any::<bool>());
    let loop_numbers = (
        proptest::sample::select(DeviceChoice::ALL),
        0..=i64::MAX as u64,
        replay,
        share(),
        any::<u32>(),
        option::of(2u32..),
        reports,
    );
    (loop_numbers, data(), budget(), policy(), model(), probe, option::of(early_stop)).prop_map(
        |(
            (device, seed, (replay, exclude), train_share, late_seconds, evaluate_users, (cutoffs, coherence)),
            data,
            budget,
            policy,
            model,
            probe,
            early_stop,
        )| {
            let name = policy.name.clone();
            let config = Config {
                device,
                seed,
                replay,
                exclude,
                train_share,
                late_seconds,
                evaluate_users,
                cutoffs: Cutoffs::new(cutoffs).unwrap(),
                coherence,
                data,
                budget,
                policy,
                model,
                probe,
                early_stop,
            };
            config.with_policy(&name).unwrap()
        },
    )
}
