//! Kernels whose dispatches are made once: what they do, and what a recording of them costs.

mod common;

use common::devices;
use scall_gpu::device::{Buffer, Change, Device, Gpu, Kernel, Pass, Prepared, Recorder};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::rank::log_triples::SampleLogTriples;
use scall_gpu::kernels::table::optimizer::{Optimizer, UpdateRule};
use scall_gpu::kernels::table::update_all::UpdateAll;
use scall_gpu::rows::{Format, Layout, Rows, StateSize};
use scall_gpu::table::{Account, Occurrences, RaggedTable, TableOptions};
use scall_gpu::{Error, wgpu};

const BATCH: u32 = 100;

/// A log of interactions, and room for a batch of its triples.
struct Log {
    columns: [Buffer<u32>; 4],
    triples: Buffer<u32>,
}

impl Log {
    fn new(device: &Device) -> Self {
        let users: Vec<u32> = (0..50).map(|k| k * k % 7).collect();
        let items: Vec<u32> = (0..50).map(|k| k * 5 % 11).collect();
        let touched: Vec<Vec<u32>> = (0..7)
            .map(|user| {
                let mut own: Vec<u32> =
                    users.iter().zip(&items).filter(|(of, _)| **of == user).map(|(_, item)| *item).collect();
                own.sort_unstable();
                own.dedup();
                own
            })
            .collect();
        let offsets = touched.iter().scan(0, |end, own| {
            *end += own.len() as u32;
            Some(*end)
        });
        let offsets: Vec<u32> = [0].into_iter().chain(offsets).collect();
        let columns =
            [users, items, offsets, touched.concat()].map(|words| Buffer::from_slice(device, &words).unwrap());
        Self { columns, triples: Buffer::zeroed(device, 3 * BATCH as usize).unwrap() }
    }

    fn sample(&mut self, step: u32, seed: u64) -> SampleLogTriples<'_> {
        let [users, items, touched_offsets, touched] = &self.columns;
        let triples = &mut self.triples;
        SampleLogTriples {
            users,
            items,
            touched_offsets,
            touched,
            window: 20,
            step,
            steps: 1,
            seed,
            batch: BATCH,
            first: 0,
            count: BATCH,
            triples,
        }
    }

    /// What a launch of its own gives.
    fn wanted(&mut self, device: &Device, step: u32, seed: u64) -> Vec<u32> {
        self.sample(step, seed).run(device).unwrap();
        self.triples.read().unwrap()
    }
}

fn limits(immediates: bool) -> wgpu::DeviceDescriptor<'static> {
    let (required_features, max_immediate_size) =
        if immediates { (wgpu::Features::IMMEDIATES, 128) } else { (wgpu::Features::empty(), 0) };
    let required_limits = wgpu::Limits { max_immediate_size, ..wgpu::Limits::default() };
    wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() }
}

fn noop(immediates: bool) -> Device {
    let (device, queue) = wgpu::Device::noop(&limits(immediates));
    Device::from_wgpu(device, queue)
}

/// The GPU that tests run on, with parameters as immediates and as uniforms.
fn real() -> Vec<Device> {
    let Some(name) = devices().iter().find_map(|device| Some(device.as_gpu()?.info().name.clone())) else {
        return Vec::new();
    };
    let all = pollster::block_on(wgpu::Instance::default().enumerate_adapters(wgpu::Backends::all()));
    let adapter = all.into_iter().find(|adapter| adapter.get_info().name == name).unwrap();
    let has_immediates = adapter.features().contains(wgpu::Features::IMMEDIATES);
    let start = |immediates| {
        let (device, queue) = pollster::block_on(adapter.request_device(&limits(immediates))).unwrap();
        Device::from_wgpu(device, queue)
    };
    [false, true].into_iter().filter(|immediates| has_immediates || !immediates).map(start).collect()
}

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device().create_command_encoder(&Default::default())
}

fn replay(gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, prepared: &mut Prepared) {
    let mut pass = encoder.begin_compute_pass(&Default::default());
    Pass::new(gpu, &mut pass).replay(prepared).unwrap();
}

/// Recordings with parameters of their own in one encoder, in several that are submitted in another order, and around
/// one that never is.
#[test]
fn each_recording_sees_its_own_parameters() {
    for device in real() {
        let gpu = device.as_gpu().unwrap();
        let mut log = Log::new(&device);
        let wanted: Vec<_> = (0..12).map(|step| log.wanted(&device, step, 7)).collect();
        let other_seed = log.wanted(&device, 3, 1 << 40);
        assert!(wanted[0] != wanted[1] && wanted[3] != other_seed);
        let mut prepared = log.sample(0, 7).prepare(gpu).unwrap();
        let copied: Vec<Buffer<u32>> = (0..12).map(|_| Buffer::zeroed(&device, log.triples.len()).unwrap()).collect();
        let record = |prepared: &mut Prepared, encoder: &mut wgpu::CommandEncoder, step: usize| {
            prepared.set(Change::Step(step as u32)).unwrap();
            replay(gpu, encoder, prepared);
            let (from, to) = (log.triples.as_wgpu().unwrap(), copied[step].as_wgpu().unwrap());
            encoder.copy_buffer_to_buffer(from, 0, to, 0, None);
        };
        let check = |steps: std::ops::Range<usize>| {
            for step in steps {
                assert!(copied[step].read().unwrap() == wanted[step], "step {step} on {}", device.describe());
            }
        };
        let mut one = encoder(gpu);
        (0..6).for_each(|step| record(&mut prepared, &mut one, step));
        gpu.queue().submit([one.finish()]);
        check(0..6);
        // The second is submitted before the first, and one is dropped between their recordings.
        let (mut first, mut second, mut dropped) = (encoder(gpu), encoder(gpu), encoder(gpu));
        (6..8).for_each(|step| record(&mut prepared, &mut first, step));
        (0..6).for_each(|step| record(&mut prepared, &mut dropped, step));
        drop(dropped);
        (8..12).for_each(|step| record(&mut prepared, &mut second, step));
        gpu.queue().submit([second.finish()]);
        check(8..12);
        gpu.queue().submit([first.finish()]);
        check(6..8);
        // The seed, in our own commands, and nothing at all.
        prepared.set(Change::Step(3)).unwrap();
        prepared.set(Change::Seed(1 << 40)).unwrap();
        for _ in 0..2 {
            let mut commands = device.commands();
            commands.replay(&mut prepared).unwrap();
            commands.submit().unwrap();
            assert!(log.triples.read().unwrap() == other_seed);
        }
    }
}

#[test]
fn a_recording_makes_nothing() {
    for (device, immediates) in [(noop(true), true), (noop(false), false)] {
        let gpu = device.as_gpu().unwrap();
        let mut prepared = Log::new(&device).sample(0, 7).prepare(gpu).unwrap();
        let mut steps = 0..;
        let mut submit = |recordings: usize| {
            let mut encoder = encoder(gpu);
            for step in steps.by_ref().take(recordings) {
                prepared.set(Change::Step(step)).unwrap();
                replay(gpu, &mut encoder, &mut prepared);
            }
            gpu.queue().submit([encoder.finish()]);
            gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        };
        // As many at once as there will be.
        submit(20);
        submit(20);
        let before = gpu.counts();
        for _ in 0..50 {
            submit(20);
        }
        let did = gpu.counts() - before;
        assert_eq!((did.dispatches, did.submissions, did.waits), (1000, 0, 0));
        assert_eq!((did.buffers, did.bind_groups, did.pipelines), (0, 0, 0));
        assert_eq!(did.bytes_uploaded, if immediates { 0 } else { 1000 * 256 });
    }
}

/// Without a change nothing is written either, whatever the device.
#[test]
fn an_unchanged_recording_writes_nothing() {
    for device in [noop(true), noop(false)] {
        let gpu = device.as_gpu().unwrap();
        let mut values = Buffer::from_slice(&device, &vec![1u32; 5000]).unwrap();
        let mut workspace = Buffer::zeroed(&device, Scan::workspace_len(5000)).unwrap();
        let scan = Scan { values: &mut values, count: 5000, inclusive: true, workspace: &mut workspace };
        let mut prepared = scan.prepare(gpu).unwrap();
        assert_eq!(prepared.name(), "prim/scan");
        let before = gpu.counts();
        let mut encoder = encoder(gpu);
        (0..10).for_each(|_| replay(gpu, &mut encoder, &mut prepared));
        gpu.queue().submit([encoder.finish()]);
        let did = gpu.counts() - before;
        assert_eq!((did.dispatches, did.buffers, did.bind_groups, did.bytes_uploaded), (30, 0, 0, 0));
        // A scan has no step.
        let error = prepared.set(Change::Step(1)).unwrap_err();
        assert!(matches!(error, Error::Argument { op: "prim/scan", arg: "step", .. }), "{error}");
        // The buffers may go before it.
        drop((values, workspace));
        let mut commands = device.commands();
        commands.replay(&mut prepared).unwrap();
        commands.submit().unwrap();
        device.wait().unwrap();
    }
}

#[test]
fn a_kernel_prepared_for_another_device_is_refused() {
    let (device, other) = (noop(true), noop(true));
    let mut prepared = Log::new(&other).sample(0, 7).prepare(other.as_gpu().unwrap()).unwrap();
    for refused in [device.commands().replay(&mut prepared), Device::cpu().commands().replay(&mut prepared)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Buffer { op: "rank/log_triples", arg: "prepared", .. }), "{error}");
    }
    // And one of arguments that are wrong is not made.
    let gpu = other.as_gpu().unwrap();
    let mut log = Log::new(&other);
    log.triples = Buffer::zeroed(&other, 3).unwrap();
    let error = log.sample(0, 7).prepare(gpu).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "rank/log_triples", arg: "triples", .. }), "{error}");
    let on_cpu = Log::new(&Device::cpu()).sample(0, 7).prepare(gpu).unwrap_err();
    assert!(matches!(on_cpu, Error::Buffer { op: "rank/log_triples", .. }), "{on_cpu}");
}

const SIZES: [u32; 5] = [3, 0, 5, 1, 4];

fn adam() -> UpdateRule {
    Optimizer::Adam { learning_rate: 0.05, beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }.into()
}

fn table(device: &Device, format: Format, rule: UpdateRule) -> RaggedTable {
    let layout = Layout { format, page_bytes: Some(48), ..Layout::default() };
    let options = TableOptions { rule, layout, init_std: 0.5, seed: 3, ..TableOptions::default() };
    RaggedTable::new(device, &SIZES, options, &Account::unlimited()).unwrap()
}

/// What a batch needs, with duplicates and an id past the table.
struct Batch {
    ids: Buffer<u32>,
    gradients: Buffer<f32>,
    all: Buffer<f32>,
    found: Buffer<f32>,
    workspace: Buffer<u32>,
}

impl Batch {
    fn new(device: &Device, table: &RaggedTable) -> Self {
        let numbers = |count: u32| (0..count).map(|k| (k as f32 / 7.0).sin()).collect::<Vec<_>>();
        Self {
            ids: Buffer::from_slice(device, &[2, 0, 9, 2, 4, 4]).unwrap(),
            gradients: Buffer::from_slice(device, &numbers(30)).unwrap(),
            all: Buffer::from_slice(device, &numbers(25)).unwrap(),
            found: Buffer::zeroed(device, 30).unwrap(),
            workspace: Buffer::zeroed(device, table.update_workspace_len(6, 5)).unwrap(),
        }
    }

    fn occurrences(&self) -> Occurrences<'_> {
        Occurrences { ids: &self.ids, first: 0, count: 6.into(), gradients: (&self.gradients).into(), dims: 5 }
    }
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

/// Steps and their noise, a rate that changes, and lookups in between: the bits that launches of their own leave.
#[test]
fn a_table_trains_by_prepared_updates() {
    for device in real() {
        for format in [Format::F32, Format::F16] {
            let mut plain = table(&device, format, adam());
            let mut batch = Batch::new(&device, &plain);
            let mut prepared = table(&device, format, adam());
            let mut other = Batch::new(&device, &prepared);
            let mut lookup = prepared.prepare_lookup(&other.ids, 5, &mut other.found).unwrap();
            let Batch { ids, gradients, workspace, .. } = &mut other;
            let occurrences = Occurrences { ids, first: 0, count: 6.into(), gradients: (&*gradients).into(), dims: 5 };
            let mut update = prepared.prepare_update(occurrences, workspace).unwrap();
            let mut update_all = prepared.prepare_update_all(&other.all, 5).unwrap();
            for round in 0..4 {
                if round == 2 {
                    plain.set_learning_rate(0.5).unwrap();
                    prepared.set_learning_rate(0.5).unwrap();
                }
                let mut commands = device.commands();
                let mut workspace = Buffer::zeroed(&device, plain.update_workspace_len(6, 5)).unwrap();
                plain.record_update(&mut commands, batch.occurrences(), &mut workspace).unwrap();
                plain.record_update_all(&mut commands, &batch.all, 5).unwrap();
                plain.record_lookup(&mut commands, &batch.ids, 5, &mut batch.found).unwrap();
                commands.submit().unwrap();
                let mut commands = device.commands();
                for each in [&mut update, &mut update_all, &mut lookup] {
                    prepared.record_prepared(&mut commands, each).unwrap();
                }
                commands.submit().unwrap();
                assert_eq!(bits(other.found.read().unwrap()), bits(batch.found.read().unwrap()), "round {round}");
            }
            assert_eq!((plain.steps(), prepared.steps()), (8, 8));
            assert_eq!(bits(prepared.read().unwrap()), bits(plain.read().unwrap()), "{format:?}");
        }
    }
}

/// A training step in the caller's submission makes nothing at all.
#[test]
fn a_prepared_step_of_a_table_makes_nothing() {
    let device = noop(true);
    let gpu = device.as_gpu().unwrap();
    let mut table = table(&device, Format::F32, adam());
    let mut batch = Batch::new(&device, &table);
    let mut lookup = table.prepare_lookup(&batch.ids, 5, &mut batch.found).unwrap();
    let Batch { ids, gradients, workspace, .. } = &mut batch;
    let occurrences = Occurrences { ids, first: 0, count: 6.into(), gradients: (&*gradients).into(), dims: 5 };
    let mut update = table.prepare_update(occurrences, workspace).unwrap();
    let before = gpu.counts();
    for _ in 0..10 {
        let mut encoder = encoder(gpu);
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let mut recorder = Pass::new(gpu, &mut pass);
        table.record_prepared(&mut recorder, &mut lookup).unwrap();
        table.record_prepared(&mut recorder, &mut update).unwrap();
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
    }
    let did = gpu.counts() - before;
    let pages = table.as_rows().pages().len() as u64;
    // A lookup a page; of the update a dispatch, a sort, and two a page.
    assert_eq!(did.dispatches, 10 * (pages + 2 + 2 * pages));
    assert_eq!((did.buffers, did.bind_groups, did.bytes_uploaded), (0, 0, 0));
    assert_eq!((did.submissions, did.waits, did.pipelines), (0, 0, 0));
    assert_eq!(table.steps(), 10);
}

#[test]
fn what_was_prepared_for_other_pages_is_refused() {
    let device = noop(true);
    let mut table = table(&device, Format::F32, adam());
    let mut twin = table.duplicate(&Account::unlimited()).unwrap();
    let mut batch = Batch::new(&device, &table);
    let mut lookup = table.prepare_lookup(&batch.ids, 5, &mut batch.found).unwrap();
    let mut commands = device.commands();
    table.record_prepared(&mut commands, &mut lookup).unwrap();
    let refused = |result: Result<(), Error>| match result {
        Err(Error::Buffer { op: "RaggedTable::record_prepared", arg: "rows", got, .. }) => {
            assert_eq!(got, "table/lookup of other pages");
        }
        other => panic!("{other:?}"),
    };
    refused(twin.record_prepared(&mut commands, &mut lookup));
    commands.submit().unwrap();
    let plan = table.plan(&[4, 4, 4, 4, 4]).unwrap();
    table.resize(&plan).unwrap();
    refused(table.record_prepared(&mut device.commands(), &mut lookup));
    assert_eq!(table.steps(), 0);
    // A bad rate is refused where it is set, and a table on the CPU has nothing to prepare.
    let on_cpu = on_cpu();
    let mut out = Buffer::<f32>::zeroed(&Device::cpu(), 5).unwrap();
    let ids = Buffer::from_slice(&Device::cpu(), &[0u32]).unwrap();
    let error = on_cpu.prepare_lookup(&ids, 5, &mut out).unwrap_err().to_string();
    assert_eq!(error, "RaggedTable::prepare_lookup: `self` must be a table on a GPU, got a table on the CPU");
}

fn on_cpu() -> RaggedTable {
    table(&Device::cpu(), Format::F32, adam())
}

#[test]
fn values_out_of_a_domain_change_nothing() {
    let device = noop(true);
    let gpu = device.as_gpu().unwrap();
    let mut rows = Rows::zeroed(&device, &SIZES, Layout::default(), StateSize { per_value: 2, per_row: 0 }).unwrap();
    let gradients = Buffer::zeroed(&device, 25).unwrap();
    let update =
        UpdateAll { rows: &mut rows, gradients: &gradients, dims: 5, rule: adam(), step: 1, seed: 0, counter: None };
    let mut update = update.prepare(gpu).unwrap();
    let refused = |result: Result<(), Error>, wanted: &str| match result {
        Err(Error::Argument { op: "table/update_all", arg, .. }) => assert_eq!(arg, wanted),
        other => panic!("{other:?}"),
    };
    refused(update.set(Change::Step(0)), "step");
    refused(update.set(Change::LearningRate(f32::NAN)), "learning_rate");
    refused(update.set(Change::Count(1)), "count");
    update.set(Change::Step(2)).unwrap();
}
