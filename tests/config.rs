//! A run from a configuration is the run that is built by hand, in every digit.

use scall_gpu::device::Device;
use scall_gpu::eval::Cutoffs;
use scall_gpu::kernels::table::optimizer::{NonFinite, Optimizer, UpdateRule};
use scall_gpu::models::{FismOptions, ItemBias, LightGcnOptions, ModelOptions, RateSchedule, Sampling};
use scall_gpu::rows::{Format, Layout};
use scall_gpu::run::{Config, DeviceChoice};
use scall_gpu::sizing::{Amount, Bet, BetOptions, Budget, Distribution, FrequencyRanked, SizePolicy};
use scall_gpu::stream::{Cut, Interactions, cut};
use scall_gpu::table::Counts;
use scall_gpu::{EarlyStop, ProbeOptions, Replay, Scall, ScallOptions, Seconds, SegmentReport};

/// Users and items that keep arriving.
fn stream() -> Interactions {
    let rows = (0u32..1500).map(|row| {
        let mixed = row.wrapping_mul(0x9E37_79B9) >> 8;
        let (user, item) = (mixed % (30 + row / 10), (mixed >> 9) % (20 + row / 20));
        (format!("u{user}"), format!("i{}", (item + user) % (20 + row / 20)), i64::from(row))
    });
    Interactions::from_rows(rows).unwrap()
}

/// All reports, but for the time that was taken, and all that can be kept of it.
fn run(mut scall: Scall) -> (Vec<SegmentReport>, Vec<(String, Vec<u8>)>) {
    let mut reports = Vec::new();
    while let Some(report) = scall.step(|_| {}).unwrap() {
        reports.push(SegmentReport { seconds: Seconds::default(), ..report });
    }
    let state = scall.state().unwrap();
    let numbers = state.iter().filter(|(name, _)| !name.ends_with("seconds"));
    (reports, numbers.map(|(name, numbers)| (name.to_owned(), numbers.to_le_bytes().into_owned())).collect())
}

fn by_hand(segments: Cut, policy: Box<dyn SizePolicy>, options: ScallOptions) -> Scall {
    let data = stream();
    let segments = cut(&data, segments).unwrap();
    Scall::over(&Device::cpu(), data, segments, policy, options).unwrap()
}

fn assert_same(config: &Config, by_hand: Scall) {
    let (built, wanted) = (run(config.build(stream()).unwrap()), run(by_hand));
    assert_eq!(format!("{:?}", built.0), format!("{:?}", wanted.0));
    for (built, wanted) in built.1.iter().zip(&wanted.1) {
        assert!(built == wanted, "{} and {}", built.0, wanted.0);
    }
    assert!(built.0.len() > 2 && built.1.len() == wanted.1.len());
}

#[test]
fn the_default_with_a_few_steps() {
    let mut config = Config { device: DeviceChoice::Cpu, ..Config::default() };
    config.model.steps = Some(5);
    // A configuration without an `l2` has it chosen.
    let options = ScallOptions { steps: 5, choose_l2: true, ..ScallOptions::new(Budget::new(Amount::MeanSize(8.0))) };
    assert_same(&config, by_hand(Cut::Equal { segments: 10 }, Box::new(FrequencyRanked::default()), options));
}

#[test]
fn everything_is_said() {
    let config = Config::from_toml(
        r#"
        device = "cpu"
        seed = 9
        replay = 0.5
        train_share = 0.7
        late_seconds = 60
        evaluate_users = 500
        cutoffs = [30, 3]
        coherence = true

        [data]
        segments = "new=60"

        [budget]
        amount = "bytes=9kB"
        min_size = 0
        max_size = 24
        count_optimizer = true
        ignore_metadata = true

        [policy]
        name = "ranked"
        distribution = "log-normal"
        alpha = 0.25
        user_share = 0.6

        [model]
        name = "fism"
        steps = 12
        batch = 64
        optimizer = "row_wise_adam:beta1=0.8"
        learning_rate = 0.02
        rate = "falling:factor=0.5,every=4,least=0.001"
        weight_decay = 0.001
        max_norm = 2.0
        non_finite = "clip"
        l2 = 0.003
        bias = "learned"
        keep_bias = 0.5
        sampling = "log"
        window = 70
        user_init_std = 0.02
        item_init_std = 0.03
        format = "f16"

        [early_stop]
        share = 0.3
        every = 4
        patience = 2
        loss_fall = 0.1
        "#,
    )
    .unwrap();
    let optimizer = Optimizer::RowWiseAdam { learning_rate: 0.02, beta1: 0.8, beta2: 0.999, epsilon: 1e-8 };
    let mut model = FismOptions::default();
    let training = &mut model.training;
    training.rule = UpdateRule { optimizer, weight_decay: 0.001, max_norm: 2.0, non_finite: NonFinite::Clip };
    training.rate = RateSchedule::Falling { factor: 0.5, every: 4, least: 0.001 };
    (training.batch, training.l2) = (64, 0.003);
    (training.item_bias, training.sampling) = (ItemBias::Learned { keep: 0.5 }, Sampling::Log { window: 70 });
    (training.user_init_std, training.item_init_std) = (0.02, 0.03);
    training.layout = Layout { format: Format::F16, ..Layout::default() };
    let counts = Counts { optimizer: true, metadata: false };
    let options = ScallOptions {
        model: ModelOptions::from(model),
        steps: 12,
        early_stop: Some(EarlyStop { share: 0.3, every: 4, patience: 2, loss_fall: 0.1 }),
        train_share: 0.7,
        replay: Replay::Sample { share: 0.5 },
        late_seconds: 60,
        evaluate_users: Some(500),
        cutoffs: Cutoffs::new([3, 30]).unwrap(),
        coherence: true,
        seed: 9,
        ..ScallOptions::new(Budget { counts, d_min: 0, d_max: 24, ..Budget::new(Amount::Bytes(9000)) })
    };
    let policy = FrequencyRanked {
        distribution: Distribution::LogNormal,
        alpha_users: Some(0.25),
        alpha_items: Some(0.25),
        user_share: Some(0.6),
        ..FrequencyRanked::default()
    };
    assert_same(&config, by_hand(Cut::NewEntities { entities: 60 }, Box::new(policy), options));
}

#[test]
fn the_papers_constants_with_a_search() {
    let mut config = Config { device: DeviceChoice::Cpu, ..Config::published() }.with_policy("bet").unwrap();
    config.policy.probes = Some(3);
    (config.model.steps, config.model.batch) = (Some(3), Some(100));
    config.probe.steps = 2;
    config.data.segments = Cut::Equal { segments: 3 };
    let mut model = LightGcnOptions::default();
    let training = &mut model.training;
    (training.batch, training.l2) = (100, 1e-4);
    (training.item_bias, training.sampling) = (ItemBias::None, Sampling::Users);
    let options = ScallOptions {
        model: ModelOptions::from(model),
        steps: 3,
        early_stop: Some(EarlyStop::default()),
        replay: Replay::Sample { share: 0.2 },
        probe: ProbeOptions { steps: 2, warm: false, ..ProbeOptions::default() },
        ..ScallOptions::new(Budget { d_max: 256, ..Budget::new(Amount::MeanSize(8.0)) })
    };
    let policy = Bet::new(BetOptions { probes: 3, ..BetOptions::default() });
    assert_same(&config, by_hand(Cut::Equal { segments: 3 }, Box::new(policy), options));
}
