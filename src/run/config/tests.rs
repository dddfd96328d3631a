#[cfg(feature = "serde")]
mod drawn;

use super::*;
use crate::models::ModelOptions;
use crate::sizing::{CommonOption, PolicyOptions};

#[test]
fn the_defaults_are_those_of_the_parts() {
    let (ours, options) = (Config::default(), crate::ScallOptions::new(Config::default().budget()));
    let theirs = Config::default().scall_options().unwrap();
    assert_eq!((theirs.model, theirs.steps, theirs.probe), (options.model, options.steps, options.probe));
    assert_eq!(
        (theirs.train_share, theirs.replay, theirs.exclude),
        (options.train_share, options.replay, options.exclude)
    );
    assert_eq!((theirs.late_seconds, theirs.early_stop), (options.late_seconds, options.early_stop));
    assert_eq!((theirs.evaluate_users, theirs.cutoffs), (options.evaluate_users, options.cutoffs));
    assert_eq!((theirs.coherence, options.coherence), (false, false));
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
            |c| (c.model.sampling, c.model.block_share) = ("blocks".into(), Some(1.5)),
            "`model.block_share`: expected from 0 to 1, found 1.5",
        ),
        (
            |c| c.model.block_share = Some(0.5),
            "`model.block_share`: expected nothing, as only sampling by blocks would use it, found it with log",
        ),
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
        (|c| c.model.sampling = "all".into(), r#"`model.sampling`: expected one of log, users, blocks, found "all""#),
        (|c| c.policy.user_share = Some(1.5), "`policy.user_share`: expected from 0 to 1, found 1.5"),
        (|c| c.policy.alpha = Some(-1.0), "`policy.alpha`: expected in 0.001..=1000000 for power-law, found -1"),
        (|c| c.policy.proposals_at_once = Some(0), "`policy.proposals_at_once`: expected from 1 to 1000, found 0"),
        (|c| c.policy.probes = Some(2), "`policy.probes`: expected from 3 to 10000, found 2"),
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
        (
            |c| c.data.format = Some("xml".into()),
            r#"`data.format`: expected dat, csv, tsv, semicolon, inter, u.data, json or parquet, found "xml""#,
        ),
        (|c| c.data.min_rating = Some(f64::INFINITY), "`data.min_rating`: expected finite, found inf"),
        (|c| c.data.clicks = Some(f64::NAN), "`data.clicks`: expected finite, found NaN"),
        (|c| c.data.k_core = Some(0), "`data.k_core`: expected at least 1, found 0"),
        (
            |c| (c.data.format, c.data.columns.header) = (Some("dat".into()), false),
            "`data.columns`: expected nothing for a file of the format dat, whose columns are fixed, found columns",
        ),
        (|c| c.train_share = 1.5, "`train_share`: expected from 0 to 1, found 1.5"),
        (|c| c.evaluate_users = Some(1), "`evaluate_users`: expected at least 2, found 1"),
        (
            |c| c.cutoffs = Cutoffs::new([5, 101]).unwrap(),
            "`cutoffs`: expected list lengths from 1 to 100, found 5,101",
        ),
        (|c| c.replay = Replay::Sample { share: f64::NAN }, "`replay`: expected from 0 to 1, found NaN"),
        (
            |c| c.exclude = Exclude::Kept,
            "`exclude`: expected ever: without `replay` recent=COUNT no row is forgotten, found kept",
        ),
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
    let mut unknown = Config::default();
    unknown.model.name = "svd".into();
    let names = ModelOptions::NAMES.join(", ");
    let said = format!(r#"config: `model.name`: expected one of {names}, found "svd""#);
    assert_eq!(unknown.check().unwrap_err().to_string(), said);
    let mut unused = Config::default().with_policy("grow").unwrap();
    unused.policy.alpha = Some(1.0);
    let users = PolicyOptions::with(CommonOption::Alpha(1.0)).join(", ");
    let said = format!("config: `policy.alpha`: expected nothing, as only {users} would use it, found it with grow");
    assert_eq!(unused.check().unwrap_err().to_string(), said);
    let unknown = Config::default().with_policy("best").unwrap_err().to_string();
    assert!(unknown.starts_with("config: `policy.name`: expected one of uniform, random"), "{unknown}");
}

#[test]
fn another_policy_keeps_the_options_that_it_has() {
    let mut config = Config::default();
    config.policy.alpha = Some(2.0);
    config.policy.probes = Some(5);
    config.policy.proposals_at_once = Some(4);
    for name in PolicyOptions::NAMES {
        let other = config.with_policy(name).unwrap();
        other.check().unwrap();
        let has = |option| PolicyOptions::with(option).contains(name);
        assert_eq!(other.policy.alpha.is_some(), has(CommonOption::Alpha(2.0)), "{name}");
        assert_eq!(other.policy.probes.is_some(), has(CommonOption::Probes(5)), "{name}");
        let at_once = other.policy.proposals_at_once;
        assert_eq!(at_once.is_some(), has(CommonOption::ProposalsAtOnce(4)), "{name}");
        assert_eq!((other.policy.name.as_str(), &other.model), (*name, &config.model));
    }
}

#[cfg(feature = "serde")]
mod files {
    use proptest::prelude::*;

    use super::*;
    use crate::Result;
    use crate::stream::Column;

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
        fn whatever_is_drawn_is_read_as_the_same(config in drawn::config()) {
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
        assert_eq!(config.data.columns, Columns { user, timestamp, header: false, ..Columns::default() });
        assert_eq!(config.early_stop, Some(EarlyStop { every: 5, ..EarlyStop::default() }));
    }

    #[test]
    fn data_is_described_as_by_flags() {
        let text = r#"
            [data]
            path = ["2023/", "2024-*.csv.gz"]
            encoding = "latin1"
            time_unit = "ms"
            min_rating = 4
            clicks = 7.5
            where = ["event=buy", "event=cart"]
            k_core = 5
            dedup = "first"
            skip_bad = 10
        "#;
        let data = Config::from_toml(text).unwrap().data;
        assert_eq!(data.path, ["2023/", "2024-*.csv.gz"].map(std::path::PathBuf::from));
        assert_eq!((data.encoding.name(), data.time_unit.name()), ("windows-1252", "ms"));
        assert_eq!((data.min_rating, data.k_core, data.skip_bad), (Some(4.0), Some(5), 10));
        assert_eq!(data.clicks, Some(7.5));
        assert_eq!((data.r#where.len(), data.dedup.to_string().as_str()), (2, "first"));
        let one = Config::from_toml("data.path = \"a.csv\"\n").unwrap();
        assert_eq!(one.data.path, [std::path::PathBuf::from("a.csv")]);
        assert!(one.to_toml().unwrap().contains("path = \"a.csv\""));
        through_both(&one).unwrap();
        for (text, said) in [
            ("path = 3", "`data.path`: expected a path or a list of paths, found integer `3`"),
            ("time_unit = \"min\"", "`data.time_unit`: expected s, ms, us, ns or auto, found \"min\""),
            ("where = [\"buy\"]", "`data.where[0]`: expected column=value, such as event=buy, found \"buy\""),
            ("dedup = \"last\"", "`data.dedup`: expected first or all, found \"last\""),
        ] {
            let error = Config::from_toml(&format!("[data]\n{text}\n")).unwrap_err().to_string();
            assert_eq!(error, format!("config:2: {said}"));
        }
    }

    #[test]
    fn errors_of_a_text_name_line_and_key() {
        let keys = "expected one of `device`, `seed`, `replay`, `exclude`, `train_share`, `late_seconds`, \
                    `evaluate_users`, `cutoffs`, `coherence`, `data`, `budget`, `policy`, `model`, `probe`, \
                    `early_stop`, found the key `sede`";
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
                ":1: `replay`: expected \"all\", \"recent=COUNT\" or a number from 0 to 1, found string \"none\""
                    .into(),
            ),
            ("\ncutoffs = [5, 0]\n", ":2: `cutoffs`: expected one or more list lengths of at least 1, found 0".into()),
            ("cutoffs = \"5,10\"\n", ":1: `cutoffs`: expected a list, found string \"5,10\"".into()),
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
