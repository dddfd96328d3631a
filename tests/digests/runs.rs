//! Short whole runs: the first rows of the embedded sample through the streaming loop, with every model and policy.

use std::path::Path;
use std::sync::OnceLock;

use crate::api::*;
use crate::record::{Digest, Digests};

const SAMPLE: &[u8] = include_bytes!("../../examples/data/completejourney.csv.zst");

/// Rows of the sample that are streamed, and segments that they are cut into.
const ROWS: usize = 4000;
const SEGMENTS: usize = 3;

pub fn results(device: &Device, digests: &mut Digests) {
    for (name, model) in models() {
        for (policy_name, policy) in policies() {
            run(device, &format!("run/{name}/{policy_name}"), policy, options(model), digests);
        }
    }
    for (name, options) in variants() {
        run(device, &format!("run/{name}"), Box::new(FrequencyRanked::default()), options, digests);
    }
    baselines(digests);
}

fn data() -> Interactions {
    static DATA: OnceLock<Interactions> = OnceLock::new();
    DATA.get_or_init(|| {
        let unpacked = zstd::Decoder::new(SAMPLE).unwrap();
        let all = read_from(unpacked, Path::new("sample"), FileFormat::Csv).unwrap();
        let row = |row: usize| {
            let (user, item) = (all.users()[row], all.items()[row]);
            (format!("u{user}"), format!("i{item}"), all.timestamps()[row])
        };
        Interactions::from_rows((0..ROWS).map(row)).unwrap()
    })
    .clone()
}

const MF: TrainingOptions = TrainingOptions {
    rule: UpdateRule::new(Optimizer::Adagrad { learning_rate: 0.5, epsilon: 1e-3 }),
    rate: RateSchedule::Constant,
    batch: 256,
    l2: 0.02,
    item_bias: ItemBias::Counted { half_life: None },
    sampling: Sampling::Log { window: 500 },
    user_init_std: 0.1,
    item_init_std: 0.1,
    seed: 0,
    layout: Layout { format: Format::F32, aligned: false, page_bytes: None },
};

fn models() -> [(&'static str, ModelOptions); 3] {
    let sampling = MF.sampling;
    let (mut fism, mut light_gcn) = (FismOptions::default(), LightGcnOptions::default());
    fism.training = TrainingOptions { batch: 256, sampling, ..fism.training };
    light_gcn.training = TrainingOptions { batch: 256, sampling, ..light_gcn.training };
    light_gcn.layers = 2;
    [("mf", mf(MF)), ("fism", ModelOptions::Fism(fism)), ("lightgcn", ModelOptions::LightGcn(light_gcn))]
}

fn mf(training: TrainingOptions) -> ModelOptions {
    ModelOptions::BprMf(BprMfOptions { training, l2_bias: 0.0 })
}

fn policies() -> Vec<(&'static str, Box<dyn SizePolicy>)> {
    vec![
        ("uniform", Box::new(Uniform)),
        ("random", Box::new(Random::default())),
        ("ranked", Box::new(FrequencyRanked::default())),
        ("mde", Box::new(MixedDimensions::default())),
        ("magnitude", Box::new(MagnitudeCut::default())),
        ("grow", Box::new(GrowOnly::default())),
        ("bet", Box::new(Bet::new(BetOptions { probes: 3, draws: 20, ..BetOptions::default() }))),
        ("linucb", Box::new(LinUcb::new(LinUcbOptions { probes: 3, ..LinUcbOptions::default() }))),
        ("lints", Box::new(LinTs::new(LinTsOptions { probes: 3, ..LinTsOptions::default() }))),
    ]
}

fn options(model: ModelOptions) -> ScallOptions {
    let budget = Budget { d_max: 24, ..Budget::new(Amount::MeanSize(5.0)) };
    let probe = ProbeOptions { steps: 4, ..ProbeOptions::default() };
    ScallOptions { model, steps: 8, probe, seed: 9, ..ScallOptions::new(budget) }
}

/// What the options change, one or two of them at a time.
fn variants() -> Vec<(&'static str, ScallOptions)> {
    let of = |training| options(mf(training));
    let in_pages = |format| Layout { format, aligned: true, page_bytes: Some(8192) };
    let budget = |amount| Budget { d_min: 0, d_max: 24, ..Budget::new(amount) };
    let learned = TrainingOptions { item_bias: ItemBias::Learned { keep: 0.5 }, ..MF };
    let learned = BprMfOptions { training: learned, l2_bias: 0.01 };
    let stop = EarlyStop { every: 3, patience: 1, ..EarlyStop::default() };
    let adam = Optimizer::Adam { learning_rate: 0.02, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    vec![
        ("mf-adam-pages", of(TrainingOptions { rule: adam.into(), layout: in_pages(Format::F32), ..MF })),
        ("mf-f16-pages", of(TrainingOptions { layout: in_pages(Format::F16), ..MF })),
        ("mf-learned-bias", options(ModelOptions::BprMf(learned))),
        ("mf-users-no-bias", of(TrainingOptions { item_bias: ItemBias::None, sampling: Sampling::Users, ..MF })),
        ("mf-half-life", of(TrainingOptions { item_bias: ItemBias::Counted { half_life: Some(300.0) }, ..MF })),
        ("mf-bytes", ScallOptions { budget: budget(Amount::Bytes(60_000)), ..of(MF) }),
        ("mf-early-stop", ScallOptions { early_stop: Some(stop), steps: 30, ..of(MF) }),
        ("mf-replay", ScallOptions { replay: Replay::Sample { share: 0.3 }, train_share: 0.7, ..of(MF) }),
    ]
}

fn run(device: &Device, name: &str, policy: Box<dyn SizePolicy>, options: ScallOptions, digests: &mut Digests) {
    let data = data();
    let segments = cut(&data, Cut::Equal { segments: SEGMENTS }).unwrap();
    let mut scall = Scall::over(device, data, segments, policy, options).unwrap();
    while let Some(report) = scall.step(|_| {}).unwrap() {
        let t = report.t;
        let tables = [scall.model().embeddings().users(), scall.model().embeddings().items()];
        let sizes = tables.map(|table| table.sizes().collect::<Vec<_>>());
        digests.add(format!("{name}/{t}/sizes"), Digest::of(&sizes[0]).and(&sizes[1]));
        digests.add(format!("{name}/{t}/bytes"), bytes(&report));
        let values = tables.map(|table| table.read().unwrap());
        digests.add(format!("{name}/{t}/values"), Digest::of(&values[0]).and(&values[1]));
        digests.add(format!("{name}/{t}/metrics"), metrics(&report));
    }
}

/// What the budget allows and what is held of it.
fn bytes(report: &SegmentReport) -> Digest {
    let memory = report.memory;
    Digest::of(&[
        report.params,
        report.budget_params,
        report.budget_bytes,
        report.counted_bytes,
        memory.values_bytes,
        memory.optimizer_bytes,
        memory.metadata_bytes,
        memory.peak_bytes,
    ])
}

fn metrics(report: &SegmentReport) -> Digest {
    let resized = report.resized;
    let action = report
        .action
        .map_or([0.0; 3], |action| [action.user_share, f64::from(action.alpha_users), f64::from(action.alpha_items)]);
    of_metrics(&report.test_candidates)
        .and(&bits(&of_all(&report.all_candidates)))
        .and(&[report.users, report.items, report.probes, report.steps, report.loss.to_bits()])
        .and(&[resized.grown_rows.into(), resized.shrunk_rows.into(), resized.new_rows])
        .and(&bits(&action))
}

fn of_all(metrics: &Metrics) -> Vec<f64> {
    let at_each = |part: fn(&AtCutoff) -> f64| metrics.by_cutoff.values().map(part).collect::<Vec<f64>>();
    [at_each(|of| of.recall), at_each(|of| of.ndcg), vec![metrics.users as f64]].concat()
}

fn of_metrics(metrics: &Metrics) -> Digest {
    Digest::of(&bits(&of_all(metrics)))
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Rankings without embeddings, which are the same on every device.
fn baselines(digests: &mut Digests) {
    let data = data();
    let segments = cut(&data, Cut::Equal { segments: SEGMENTS }).unwrap();
    let mut add = |name: &str, followed: Followed| {
        let both = followed.test_candidates.iter().chain(&followed.all_candidates);
        let all: Vec<u64> = both.flat_map(|metrics| bits(&of_all(metrics))).collect();
        digests.add(format!("run/baseline/{name}"), Digest::of(&all));
    };
    add("popularity", follow(&data, &segments, 0.8, &Cutoffs::default(), &mut DecayedPopularity::new(300.0)).unwrap());
    add("item-knn", follow(&data, &segments, 0.8, &Cutoffs::default(), &mut ItemKnn::default()).unwrap());
}
