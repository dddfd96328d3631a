use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::Result;
use crate::models::{ItemBias, ModelOptions, Sampling};
use crate::sizing::{CommonOption, PolicyOptions};
use crate::stream::Column;

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
    (column(), column(), column(), any::<bool>()).prop_map(|(user, item, timestamp, header)| Columns {
        user,
        item,
        timestamp,
        header,
    })
}

fn data() -> impl Strategy<Value = DataConfig> {
    let cut = prop_oneof![
        (1usize..1 << 31).prop_map(|segments| Cut::Equal { segments }),
        (1u32..).prop_map(|entities| Cut::NewEntities { entities }),
    ];
    let format = prop_oneof![Just("csv"), Just("tsv")].prop_map(str::to_owned);
    (option::of("[a-z/\"]{1,9}"), format, columns(), cut).prop_map(|(path, format, columns, segments)| DataConfig {
        path: path.map(PathBuf::from),
        format: Some(format),
        columns,
        segments,
    })
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
    )
        .prop_map(|(name, published, shape, user_share, probes)| PolicyConfig {
            name: name.to_owned(),
            published,
            distribution: shape.map(|(family, _)| family),
            alpha: shape.and_then(|(_, alpha)| alpha),
            user_share,
            probes,
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
    let sampling = (proptest::sample::select(Sampling::NAMES), 1u32..);
    let rows = (option::of(positive()), option::of(positive()), option::of(proptest::sample::select(Format::ALL)));
    (proptest::sample::select(ModelOptions::NAMES), numbers, rule, bias, sampling, rows).prop_map(
        |(name, (steps, batch, learning_rate, l2), rule, (bias, half_life, keep), (sampling, window), rows)| {
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
                window: (sampling == "log").then_some(window),
                user_init_std: rows.0,
                item_init_std: rows.1,
                format: rows.2,
            }
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let replay = prop_oneof![Just(Replay::All), share().prop_map(|share| Replay::Sample { share })];
    let early_stop = (0.0..0.99f64, 1u32.., 1u32.., -1f32..1.0)
        .prop_map(|(share, every, patience, loss_fall)| EarlyStop { share, every, patience, loss_fall });
    let probe = (any::<u32>(), any::<bool>(), 0usize..99).prop_map(|(steps, warm, at_once)| ProbeOptions {
        steps,
        warm,
        at_once,
    });
    let loop_numbers =
        (proptest::sample::select(DeviceChoice::ALL), 0..=i64::MAX as u64, replay, share(), any::<u32>());
    (loop_numbers, data(), budget(), policy(), model(), probe, option::of(early_stop)).prop_map(
        |((device, seed, replay, train_share, late_seconds), data, budget, policy, model, probe, early_stop)| {
            let name = policy.name.clone();
            Config { device, seed, replay, train_share, late_seconds, data, budget, policy, model, probe, early_stop }
                .with_policy(&name)
                .unwrap()
        },
    )
}

#[test]
fn the_defaults_are_those_of_the_parts() {
    let (ours, options) = (Config::default(), crate::ScallOptions::new(Config::default().budget()));
    let theirs = Config::default().scall_options().unwrap();
    assert_eq!((theirs.model, theirs.steps, theirs.probe), (options.model, options.steps, options.probe));
    assert_eq!((theirs.train_share, theirs.replay), (options.train_share, options.replay));
    assert_eq!((theirs.late_seconds, theirs.early_stop), (options.late_seconds, options.early_stop));
    assert_eq!((theirs.budget, ours.budget()), (options.budget, crate::sizing::Budget::new(Amount::MeanSize(8.0))));
    assert_eq!(ours.policy_options().unwrap(), PolicyOptions::default());
    for name in ModelOptions::NAMES {
        let model = ModelConfig { name: (*name).to_owned(), ..ModelConfig::default() };
        assert_eq!(model.options().unwrap(), ModelOptions::from_name(name).unwrap());
    }
    Config::published().check().unwrap();
}

#[test]
fn what_is_wrong_is_named_by_its_key() {
    type Spoil = fn(&mut Config);
    let wrong: &[(Spoil, &str)] = &[
        (|c| c.model.name = "svd".into(), r#"`model.name`: expected one of mf, lightgcn, fism, found "svd""#),
        (|c| c.model.learning_rate = Some(f32::NAN), "`model.learning_rate`: expected finite, found NaN"),
        (|c| c.model.learning_rate = Some(-1.0), "`model.learning_rate`: expected not negative, found -1"),
        (
            |c| c.model.optimizer = Some(Optimizer::Sgd { learning_rate: -1.0 }),
            "`model.optimizer`: expected not negative, found -1",
        ),
        (|c| c.model.epsilon = Some(0.0), "`model.epsilon`: expected finite and above 0, found 0"),
        (|c| c.model.batch = Some(0), "`model.batch`: expected from 1 to 1048576, found 0"),
        (|c| c.model.l2 = Some(-0.5), "`model.l2`: expected finite and not negative, found -0.5"),
        (|c| c.model.max_norm = Some(f32::INFINITY), "`model.max_norm`: expected finite, found inf"),
        (|c| c.model.max_norm = Some(0.0), "`model.max_norm`: expected above 0, found 0"),
        (|c| c.model.weight_decay = Some(-1.0), "`model.weight_decay`: expected finite and not negative, found -1"),
        (
            |c| c.model.rate = Some(RateSchedule::Falling { factor: 2.0, every: 1, least: 0.0 }),
            "`model.rate`: expected above 0 and at most 1, found 2",
        ),
        (|c| c.model.half_life = Some(0.0), "`model.half_life`: expected above 0, found 0"),
        (|c| c.model.half_life = Some(f64::INFINITY), "`model.half_life`: expected finite, found inf"),
        (|c| c.model.window = Some(0), "`model.window`: expected at least 1, found 0"),
        (
            |c| (c.model.bias, c.model.keep_bias) = ("learned".into(), Some(1.5)),
            "`model.keep_bias`: expected from 0 to 1, found 1.5",
        ),
        (
            |c| c.model.keep_bias = Some(0.5),
            "`model.keep_bias`: expected nothing, as only a learned bias would use it, found it with counted bias",
        ),
        (
            |c| (c.model.name, c.model.epsilon) = ("lightgcn".into(), Some(0.5)),
            "`model.epsilon`: expected nothing, as only adagrad would use it, found it with adam",
        ),
        (|c| c.model.bias = "some".into(), r#"`model.bias`: expected one of counted, learned, none, found "some""#),
        (|c| c.model.sampling = "all".into(), r#"`model.sampling`: expected one of log, users, found "all""#),
        (|c| c.policy.user_share = Some(1.5), "`policy.user_share`: expected from 0 to 1, found 1.5"),
        (|c| c.policy.alpha = Some(-1.0), "`policy.alpha`: expected in 0.001..=1000000 for power-law, found -1"),
        (|c| c.policy.probes = Some(2), "`policy.probes`: expected from 3 to 10000, found 2"),
        (
            |c| (c.policy.name, c.policy.alpha) = ("grow".into(), Some(1.0)),
            "`policy.alpha`: expected nothing, as only random, ranked would use it, found it with grow",
        ),
        (
            |c| c.budget.amount = Amount::MeanSize(0.0),
            "`budget.amount`: expected a mean that is finite and above 0, found mean=0",
        ),
        (|c| c.budget.max_size = 0, "`budget.max_size`: expected from 1 to 8192, found 0"),
        (|c| c.budget.min_size = 65, "`budget.min_size`: expected at most max_size, which is 64, found 65"),
        (
            |c| c.data.segments = Cut::Equal { segments: 0 },
            "`data.segments`: expected a count of at least 1, found equal=0",
        ),
        (|c| c.data.format = Some("xml".into()), r#"`data.format`: expected dat, csv or tsv, found "xml""#),
        (
            |c| (c.data.format, c.data.columns.header) = (Some("dat".into()), false),
            "`data.columns`: expected nothing for a :: file, whose columns are fixed, found columns",
        ),
        (|c| c.train_share = 1.5, "`train_share`: expected from 0 to 1, found 1.5"),
        (|c| c.replay = Replay::Sample { share: f64::NAN }, "`replay`: expected from 0 to 1, found NaN"),
        (
            |c| c.early_stop = Some(EarlyStop { every: 0, ..EarlyStop::default() }),
            "`early_stop.every`: expected at least 1, found 0",
        ),
    ];
    for (spoil, said) in wrong {
        let mut config = Config::default();
        spoil(&mut config);
        assert_eq!(config.check().unwrap_err().to_string(), format!("config: {said}"));
    }
    let unknown = Config::default().with_policy("best").unwrap_err().to_string();
    assert!(unknown.starts_with("config: `policy.name`: expected one of uniform, random"), "{unknown}");
}

#[test]
fn another_policy_keeps_the_options_that_it_has() {
    let mut config = Config::default();
    config.policy.alpha = Some(2.0);
    config.policy.probes = Some(5);
    for name in PolicyOptions::NAMES {
        let other = config.with_policy(name).unwrap();
        other.check().unwrap();
        let has = |option| PolicyOptions::with(option).contains(name);
        assert_eq!(other.policy.alpha.is_some(), has(CommonOption::Alpha(2.0)), "{name}");
        assert_eq!(other.policy.probes.is_some(), has(CommonOption::Probes(5)), "{name}");
        assert_eq!((other.policy.name.as_str(), &other.model), (*name, &config.model));
    }
}

#[cfg(feature = "serde")]
mod files {
    use super::*;

    fn through_both(config: &Config) -> Result<()> {
        assert_eq!(&Config::from_toml(&config.to_toml()?)?, config, "{}", config.to_toml()?);
        assert_eq!(&Config::from_json(&config.to_json()?)?, config, "{}", config.to_json()?);
        Ok(())
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for config in [Config::default(), Config::published()] {
            through_both(&config).unwrap();
        }
        assert_eq!(Config::from_toml("").unwrap(), Config::default());
        assert_eq!(Config::from_json("{}").unwrap(), Config::default());
    }

    proptest! {
        #[test]
        fn whatever_is_drawn_is_read_as_the_same(config in config()) {
            through_both(&config).unwrap();
        }
    }

    #[test]
    fn three_lines_are_enough() {
        let text = "policy.name = \"grow\"\nbudget.amount = \"bytes=1MB\"\nmodel = { name = \"fism\", l2 = 0 }\n";
        let mut wanted = Config::default();
        wanted.policy.name = "grow".into();
        wanted.budget.amount = Amount::Bytes(1_000_000);
        (wanted.model.name, wanted.model.l2) = ("fism".into(), Some(0.0));
        assert_eq!(Config::from_toml(text).unwrap(), wanted);
        wanted.check().unwrap();
    }

    #[test]
    fn columns_are_names_or_positions() {
        let text = "[data.columns]\nuser = \"3\"\ntimestamp = 3\nheader = false\n\n[early_stop]\nevery = 5\n";
        let config = Config::from_toml(text).unwrap();
        let (user, timestamp) = (Column::Name("3".into()), Column::Position(3));
        assert_eq!(config.data.columns, Columns { user, item: Column::Usual, timestamp, header: false });
        assert_eq!(config.early_stop, Some(EarlyStop { every: 5, ..EarlyStop::default() }));
    }

    #[test]
    fn errors_of_a_text_name_line_and_key() {
        let keys = "expected one of `device`, `seed`, `replay`, `train_share`, `late_seconds`, `data`, `budget`, \
                    `policy`, `model`, `probe`, `early_stop`, found the key `sede`";
        let whole = "a whole number of at least 0 that is not too large";
        for (text, said) in [
            ("sede = 3\n", format!(":1: `sede`: {keys}")),
            ("seed = 1\n[model]\nname = 3\n", ":3: `model.name`: expected a string, found integer `3`".into()),
            ("[probe]\n\nsteps = -1\n", format!(":3: `probe.steps`: expected {whole}, found integer `-1`")),
            ("[model]\nl2 = \"0\"\n", ":2: `model.l2`: expected a number, found string \"0\"".into()),
            (
                "[data]\nsegments = \"equal=0\"\n",
                ":2: `data.segments`: expected equal=COUNT or new=COUNT, a count being at least 1, found \"equal=0\""
                    .into(),
            ),
            (
                "[budget]\namount = \"8\"\n",
                ":2: `budget.amount`: expected mean=NUMBER, params=COUNT or bytes=SIZE such as 10MB or 512KiB, found \
                 \"8\""
                    .into(),
            ),
            (
                "[data.columns]\nuser = 1.5\n",
                ":2: `data.columns.user`: expected a column's name, or its position from 0, found floating point `1.5`"
                    .into(),
            ),
            (
                "replay = \"none\"\n",
                ":1: `replay`: expected \"all\" or a number from 0 to 1, found string \"none\"".into(),
            ),
            ("model = 3\n", ":1: `model`: expected a table of keys, found integer `3`".into()),
            ("seed = 1\nseed = 2\n", ":2: expected well-formed TOML, found duplicate key".into()),
            ("seed 1\n", ":1: expected well-formed TOML, found key with no value, expected `=`".into()),
        ] {
            assert_eq!(Config::from_toml(text).unwrap_err().to_string(), format!("config{said}"));
        }
        for (text, said) in [
            ("{\"sede\": 3}", format!(":1: `sede`: {keys}")),
            ("{\n\"model\": {\"name\": 3}}", ":2: `model.name`: expected a string, found integer `3`".into()),
            ("{\"device\": \"tpu\"}", ":1: `device`: expected one of auto, gpu, cpu, found \"tpu\"".into()),
            ("{\"seed\": 1,\n\"seed\": 2}", ":2: expected well-formed JSON, found duplicate field `seed`".into()),
            ("{\"seed\": 1", ":1: expected well-formed JSON, found EOF while parsing an object".into()),
            ("{}\n{}", ":2: expected well-formed JSON, found trailing characters".into()),
        ] {
            assert_eq!(Config::from_json(text).unwrap_err().to_string(), format!("config{said}"));
        }
        let optimizer = Config::from_toml("[model]\noptimizer = \"adm\"\n").unwrap_err().to_string();
        assert!(optimizer.starts_with("config:2: `model.optimizer`: expected sgd, ") && optimizer.contains("\"adm\""));
        let deep = Config::from_toml("[model]\nstpes = 3\n").unwrap_err().to_string();
        assert!(deep.starts_with("config:2: `model.stpes`: expected one of `name`, `steps`, "), "{deep}");
    }

    #[test]
    fn a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (toml, json) = (write("run.toml", "seed = 7\n"), write("run.JSON", "{\"seed\": 7}"));
        for path in [&toml, &json] {
            assert_eq!(Config::load(path).unwrap(), Config { seed: 7, ..Config::default() });
        }
        let bad = write("bad.toml", "\nseed = \"7\"\n");
        let said = Config::load(&bad).unwrap_err().to_string();
        assert!(said.contains("bad.toml:2: `seed`: expected a whole number") && !said.starts_with("config"), "{said}");
        assert!(matches!(Config::load(folder.path().join("none")), Err(crate::Error::Io { .. })));
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let large = Config { seed: u64::MAX, ..Config::default() };
        assert_eq!(Config::from_json(&large.to_json().unwrap()).unwrap(), large);
        assert_eq!(
            large.to_toml().unwrap_err().to_string(),
            "config: `seed`: expected at most 9223372036854775807 in TOML, found 18446744073709551615"
        );
        let wrong = Config { train_share: f64::NAN, ..Config::default() };
        assert!(wrong.to_json().is_err() && wrong.to_toml().is_err());
    }
}
