//! What the training loop asks of a GPU, counted on a device that runs nothing: exact numbers, where times would vary.

use scall_gpu::Error;
use scall_gpu::device::{Device, GpuCounts};
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::models::{
    BprMf, BprMfOptions, Fism, FismOptions, LightGcn, LightGcnOptions, Recommender, TrainingData, TrainingOptions,
};
use scall_gpu::sizing::Sizes;
use scall_gpu::stream::UserItems;
use scall_gpu::table::Account;

/// Users and items.
const ROWS: u32 = 5000;

/// A device that takes every command and does nothing, with parameters as immediates.
fn noop() -> Device {
    let required_limits = wgpu::Limits { max_immediate_size: 128, ..wgpu::Limits::default() };
    let required_features = wgpu::Features::IMMEDIATES;
    let (device, queue) =
        wgpu::Device::noop(&wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() });
    Device::from_wgpu(device, queue)
}

/// What is asked while a model trains, whose kernels have run before.
fn asked(device: &Device, model: &mut dyn Recommender, steps: u32) -> GpuCounts {
    let sizes = |offset: u32| (0..ROWS).map(|row| (row + offset) % 13).collect();
    model.embeddings_mut().resize(&Sizes { users: sizes(0), items: sizes(5), action: None }).unwrap();
    let rows: Vec<(u32, u32)> = (0..4 * ROWS).map(|row| (row % ROWS, (row * 7 + row / ROWS) % ROWS)).collect();
    let history = UserItems::new(ROWS, rows.clone()).unwrap();
    model.prepare(TrainingData { rows: &rows, history: &history, blocks: None }).unwrap();
    let gpu = device.as_gpu().unwrap();
    model.train(steps, &mut |_| {}).unwrap();
    let before = gpu.counts();
    model.train(steps, &mut |_| {}).unwrap();
    gpu.counts() - before
}

fn training(batch: u32, training: TrainingOptions) -> TrainingOptions {
    TrainingOptions { batch, ..training }
}

fn matrix_factorisation(device: &Device, batch: u32) -> BprMf {
    let options = BprMfOptions::default();
    let options = BprMfOptions { training: training(batch, options.training), ..options };
    BprMf::new(device, options, &Account::unlimited()).unwrap()
}

fn fism(device: &Device) -> Fism {
    let options = FismOptions::default();
    let options = FismOptions { training: training(4096, options.training), ..options };
    Fism::new(device, options, &Account::unlimited()).unwrap()
}

fn light_gcn(device: &Device) -> LightGcn {
    let options = LightGcnOptions::default();
    let options = LightGcnOptions { training: training(4096, options.training), ..options };
    LightGcn::new(device, options, &Account::unlimited()).unwrap()
}

/// What a call asks for besides its steps: the sum of the losses, of up to 4,096 at once.
const END: u64 = 1;

/// A plan for up to 64 steps, by which none of them draws or sorts: the triples, the keys, five passes of three
/// dispatches.
const PLAN: u64 = 2 + 5 * 3;

/// Losses; short runs and partial sums; long runs. And the plans.
#[test]
fn a_step_of_matrix_factorisation() {
    let device = noop();
    for (batch, plans, end) in [(4096, 5, END), (10_000, 7, 2 * END)] {
        let asked = asked(&device, &mut matrix_factorisation(&device, batch), 300);
        assert_eq!(asked.dispatches, 300 * 3 + plans * PLAN + end, "{batch}: {asked:?}");
        assert_eq!((asked.copies, asked.clears), (0, 0), "{asked:?}");
        assert!(plans * PLAN < 300 / 2, "at most half a dispatch a step");
    }
}

/// Two numbers of state a value are too many buffers for one launch: each table has its own.
#[test]
fn a_step_by_adam() {
    let device = noop();
    let options = BprMfOptions::default();
    let rule = Optimizer::Adam { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }.into();
    let training = TrainingOptions { rule, ..options.training };
    let mut model = BprMf::new(&device, BprMfOptions { training, ..options }, &Account::unlimited()).unwrap();
    let asked = asked(&device, &mut model, 300);
    assert_eq!(asked.dispatches, 300 * 5 + 5 * PLAN + END, "{asked:?}");
}

/// Training builds no pipelines after a resize, where the tables know how large a row may get.
#[test]
fn other_sizes_need_no_other_pipelines() {
    let device = noop();
    let options = BprMfOptions::default();
    let by_rows = Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: 1e-8 };
    for rule in [options.training.rule, by_rows.into()] {
        let training = TrainingOptions { rule, ..options.training };
        let mut model = BprMf::new(&device, BprMfOptions { training, ..options }, &Account::unlimited()).unwrap();
        model.embeddings_mut().expect_sizes(64);
        asked(&device, &mut model, 20);
        for widest in [1, 3, 30, 64] {
            let sizes = |offset: u32| (0..ROWS).map(|row| (row + offset) % (widest + 1)).collect();
            model.embeddings_mut().resize(&Sizes { users: sizes(0), items: sizes(5), action: None }).unwrap();
            let before = device.as_gpu().unwrap().counts();
            model.train(20, &mut |_| {}).unwrap();
            let made = device.as_gpu().unwrap().counts() - before;
            assert_eq!(made.pipelines, 0, "{rule:?} with rows up to {widest}: {made:?}");
        }
    }
}

#[test]
fn a_step_of_models_on_the_graph() {
    let device = noop();
    for (mut model, [dispatches, copies, clears]) in
        [(Box::new(fism(&device)) as Box<dyn Recommender>, [14, 2, 3]), (Box::new(light_gcn(&device)), [37, 2, 4])]
    {
        let asked = asked(&device, &mut *model, 300);
        assert_eq!(asked.dispatches, 300 * dispatches + 5 * PLAN + END, "{asked:?}");
        assert_eq!((asked.copies, asked.clears), (300 * copies, 300 * clears), "{asked:?}");
    }
}

/// Steps make nothing, and the host neither waits for the device nor lets it wait.
#[test]
fn steps_are_submitted_without_a_wait() {
    let device = noop();
    let models: [Box<dyn Recommender>; 3] =
        [Box::new(matrix_factorisation(&device, 4096)), Box::new(fism(&device)), Box::new(light_gcn(&device))];
    for (mut model, groups) in models.into_iter().zip([3, 14, 37]) {
        let asked = asked(&device, &mut *model, 300);
        assert_eq!((asked.submissions, asked.waits, asked.pipelines), (5, 1, 0), "{asked:?}");
        // At most one for each dispatch of a step or a plan, and one for the losses.
        assert!(asked.bind_groups <= groups + PLAN + END, "{asked:?}");
        // Those of the batch, the reads, and the losses' sum.
        assert!(asked.buffers <= 18, "{asked:?}");
    }
}

/// From the ninth submission on there is a wait for each, so that what they hold goes.
#[test]
fn at_most_eight_submissions_are_under_way() {
    let device = noop();
    let mut model = matrix_factorisation(&device, 64);
    let asked = asked(&device, &mut model, 20 * 64);
    assert_eq!((asked.submissions, asked.waits), (20, 20 - 8 + 1), "{asked:?}");
    let mut told = Vec::new();
    model.train(20 * 64 + 5, &mut |steps| told.push(steps)).unwrap();
    assert_eq!(told, [vec![64; 20], vec![5]].concat());
}

#[test]
fn a_device_lost_in_mid_training_is_an_error() {
    let device = noop();
    let gpu = device.as_gpu().unwrap().device().clone();
    let mut model = matrix_factorisation(&device, 64);
    asked(&device, &mut model, 1);
    let mut told = 0;
    let end = model.train(64 * 64, &mut |steps| {
        told += steps;
        gpu.destroy();
    });
    assert!(matches!(end, Err(Error::DeviceLost { .. })), "{end:?}");
    assert_eq!(told, 64);
}
