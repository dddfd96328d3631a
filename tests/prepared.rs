//! Kernels whose dispatches are made once: what they do, and what a recording of them costs.

mod common;

use common::devices;
use scall_gpu::device::{Buffer, Change, Device, Gpu, Kernel, Pass, Prepared, Recorder};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::rank::log_triples::SampleLogTriples;
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
        SampleLogTriples { users, items, touched_offsets, touched, window: 20, step, seed, batch: BATCH, triples }
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

/// Recordings with parameters of their own in one encoder, in several that are submitted in another order, and around one that never is.
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
