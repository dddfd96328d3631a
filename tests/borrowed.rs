//! A borrowed device's owner never hears of our mistakes: whatever goes wrong is an error of ours, without handlers
//! (where anything that escapes is a panic) and with the owner's (which stay silent).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use scall_gpu::device::{Buffer, Device, Kernel};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::table::lookup::Lookup;

use scall_gpu::rows::{Layout, Rows, StateSize};
use scall_gpu::{Error, wgpu};

/// A device of the caller's, borrowed, and how often its handler was called.
struct Owned {
    device: wgpu::Device,
    borrowed: Device,
    heard: Arc<AtomicU32>,
}

impl Owned {
    fn of((device, queue): (wgpu::Device, wgpu::Queue), with_handlers: bool) -> Self {
        let heard = Arc::new(AtomicU32::new(0));
        if with_handlers {
            let count = heard.clone();
            device.on_uncaptured_error(Arc::new(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            }));
        }
        Self { borrowed: Device::from_wgpu(device.clone(), queue), device, heard }
    }

    fn gpu(&self) -> &scall_gpu::device::Gpu {
        self.borrowed.as_gpu().unwrap()
    }

    fn buffer(&self, words: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let descriptor = wgpu::BufferDescriptor { label: None, size: 4 * words, usage, mapped_at_creation: false };
        self.device.create_buffer(&descriptor)
    }

    fn wrapped(&self, usage: wgpu::BufferUsages) -> Buffer<u32> {
        Buffer::from_wgpu(self.gpu(), self.buffer(4, usage)).unwrap()
    }

    fn words(&self, words: &[u32]) -> Buffer<u32> {
        Buffer::from_slice(&self.borrowed, words).unwrap()
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }
}

/// All usages that we ask for.
fn usable() -> wgpu::BufferUsages {
    wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST
}

fn noop_adapter() -> wgpu::Adapter {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::NOOP,
        backend_options: wgpu::BackendOptions { noop: wgpu::NoopBackendOptions::enabled(), ..Default::default() },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap()
}

/// One that checks everything and runs nothing, and one that runs it where there is one.
fn adapters() -> Vec<wgpu::Adapter> {
    let real = common::devices().into_iter().find_map(|device| {
        let name = device.as_gpu()?.info().name.clone();
        let all = pollster::block_on(wgpu::Instance::default().enumerate_adapters(wgpu::Backends::all()));
        all.into_iter().find(|adapter| adapter.get_info().name == name)
    });
    [noop_adapter()].into_iter().chain(real).collect()
}

fn start(adapter: &wgpu::Adapter) -> (wgpu::Device, wgpu::Queue) {
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap()
}

/// Runs a case on a new device of each adapter, without handlers and with them, and then sees that these have heard
/// nothing.
fn on_each(case: impl Fn(&Owned)) {
    for adapter in adapters() {
        for with_handlers in [false, true] {
            let owned = Owned::of(start(&adapter), with_handlers);
            case(&owned);
            assert_eq!(owned.heard.load(Ordering::SeqCst), 0, "the owner's handler was called");
        }
    }
}

fn is_buffer_error<R>(result: Result<R, Error>, wanted: (&str, &str, &str)) {
    match result.err() {
        Some(Error::Buffer { op, arg, expected, .. }) => assert_eq!((op, arg, expected), wanted),
        other => panic!("{wanted:?}: {other:?}"),
    }
}

fn is_gpu_error<R>(result: Result<R, Error>) -> String {
    match result.err() {
        Some(Error::Gpu { message }) => message,
        other => panic!("{other:?}"),
    }
}

fn is_lost<R>(result: Result<R, Error>) {
    match result.err() {
        Some(Error::DeviceLost { reason }) => assert!(!reason.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrapped_buffer_without_a_usage_is_refused_before_it_is_recorded() {
    on_each(|owned| {
        let mut bare = owned.wrapped(wgpu::BufferUsages::STORAGE);
        let (source, mut target) = (owned.words(&[1, 2, 3, 4]), owned.words(&[0; 4]));
        let (from, to) = ("a buffer with COPY_SRC usage", "a buffer with COPY_DST usage");
        let mut commands = owned.borrowed.commands();
        is_buffer_error(commands.clear(&mut bare), ("Commands::clear", "to", to));
        is_buffer_error(commands.copy(&source, &mut bare, 4), ("Commands::copy", "to", to));
        is_buffer_error(commands.copy(&bare, &mut target, 4), ("Commands::copy", "from", from));
        // What was not refused is carried out.
        commands.copy(&source, &mut target, 4).unwrap();
        commands.submit().unwrap();
        assert_eq!(target.read().unwrap(), [1, 2, 3, 4]);
        is_buffer_error(bare.write(&[1]), ("Buffer::write", "self", to));
        is_buffer_error(bare.read(), ("Buffer::read", "self", from));
        is_buffer_error(pollster::block_on(bare.read_async()), ("Buffer::read", "self", from));
        let mut encoder = owned.encoder();
        is_buffer_error(bare.record_read(&mut encoder), ("Buffer::record_read", "self", from));
        let _ = encoder.finish();
        let raw = owned.buffer(4, wgpu::BufferUsages::COPY_DST);
        let expected = "a buffer with STORAGE usage";
        is_buffer_error(Buffer::<u32>::from_wgpu(owned.gpu(), raw), ("Buffer::from_wgpu", "buffer", expected));
    });
}

#[test]
fn one_buffer_is_not_copied_onto_itself() {
    on_each(|owned| {
        let raw = owned.buffer(4, usable());
        let [from, mut to] = [(); 2].map(|()| Buffer::<u32>::from_wgpu(owned.gpu(), raw.clone()).unwrap());
        let copied = owned.borrowed.commands().copy(&from, &mut to, 2);
        is_buffer_error(copied, ("Commands::copy", "to", "a buffer of its own"));
    });
}

#[test]
fn a_destroyed_buffer_is_an_error() {
    on_each(|owned| {
        let (mut gone, mut other) = (owned.wrapped(usable()), owned.words(&[0; 4]));
        let raw = gone.as_wgpu().unwrap().clone();
        raw.destroy();
        let message = is_gpu_error(Buffer::<u32>::from_wgpu(owned.gpu(), raw));
        assert!(message.contains("destroyed"), "{message}");
        is_gpu_error(gone.write(&[1]));
        is_gpu_error(gone.read());
        is_gpu_error(pollster::block_on(gone.read_async()));
        let mut commands = owned.borrowed.commands();
        commands.clear(&mut gone).unwrap();
        is_gpu_error(commands.submit());
        let mut commands = owned.borrowed.commands();
        commands.copy(&other, &mut gone, 4).unwrap();
        is_gpu_error(commands.submit());
        let scan = Scan { values: &mut gone, count: 4, inclusive: true, workspace: &mut other };
        is_gpu_error(scan.run(&owned.borrowed));
        // The caller's encoder and pass are as they were.
        let mut encoder = owned.encoder();
        is_gpu_error(gone.record_read(&mut encoder));
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let scan = Scan { values: &mut gone, count: 4, inclusive: true, workspace: &mut other };
        is_gpu_error(scan.record(owned.gpu(), &mut pass));
        drop(pass);
        owned.gpu().queue().submit([encoder.finish()]);
        owned.borrowed.wait().unwrap();
    });
}

#[test]
fn an_empty_buffer_is_refused() {
    on_each(|owned| {
        let wrapped = Buffer::<u32>::from_wgpu(owned.gpu(), owned.buffer(0, usable()));
        let expected = "one 32-bit word at least, and no part of another";
        is_buffer_error(wrapped, ("Buffer::from_wgpu", "buffer", expected));
        // Ours may be: they have a word that nothing reads.
        let mut none = owned.words(&[]);
        none.write(&[]).unwrap();
        assert!(none.read().unwrap().is_empty());
        let mut commands = owned.borrowed.commands();
        commands.clear(&mut none).unwrap();
        commands.submit().unwrap();
    });
}

/// A table of one row, an id, and what is found.
fn lookup(device: &Device) -> (Rows, Buffer<u32>, Buffer<f32>) {
    let rows = Rows::zeroed(device, &[2], Layout::default(), StateSize::default()).unwrap();
    (rows, Buffer::from_slice(device, &[0]).unwrap(), Buffer::zeroed(device, 2).unwrap())
}

/// Of the same instance, and of others, whose devices and buffers wgpu does not tell apart.
#[test]
fn buffers_of_another_device_are_refused() {
    for adapter in adapters() {
        let owned = Owned::of(start(&adapter), false);
        let (sibling, stranger) = (Owned::of(start(&adapter), false), Owned::of(start(&noop_adapter()), false));
        let raw = sibling.buffer(4, usable());
        is_gpu_error(Buffer::<u32>::from_wgpu(owned.gpu(), raw));
        for other in [&sibling, &stranger] {
            assert!(owned.gpu() != other.gpu());
            let (rows, ids, mut out) = lookup(&owned.borrowed);
            let (other_rows, other_ids, mut other_out) = lookup(&other.borrowed);
            let expected = "a buffer of the device that records";
            let mut commands = owned.borrowed.commands();
            is_buffer_error(commands.copy(&other_ids, &mut owned.words(&[0]), 1), ("Commands::copy", "from", expected));
            is_buffer_error(commands.copy(&ids, &mut other.words(&[0]), 1), ("Commands::copy", "to", expected));
            is_buffer_error(commands.clear(&mut other_out), ("Commands::clear", "to", expected));
            let lookups = [
                (&other_rows, &ids, &mut out, "rows"),
                (&rows, &other_ids, &mut Buffer::zeroed(&owned.borrowed, 2).unwrap(), "ids"),
                (&rows, &ids, &mut other_out, "out"),
            ];
            for (rows, ids, out, arg) in lookups {
                let launched = commands.run(Lookup { rows, ids, dims: 2, out });
                is_buffer_error(launched, ("table/lookup", arg, expected));
            }
            commands.submit().unwrap();
        }
        // Another handle of the same device is none.
        let (device, queue) = (owned.device.clone(), owned.gpu().queue().clone());
        let again = Owned::of((device, queue), false);
        assert!(owned.gpu() == again.gpu());
        let (rows, ids, _) = lookup(&owned.borrowed);
        let mut out = Buffer::<f32>::zeroed(&again.borrowed, 2).unwrap();
        Lookup { rows: &rows, ids: &ids, dims: 2, out: &mut out }.run(&owned.borrowed).unwrap();
        assert_eq!(out.read().unwrap(), [0.0, 0.0]);
    }
}

/// Its owner alone is told of the loss, and still each call says so from then on.
#[test]
fn the_loss_of_a_borrowed_device_is_noticed() {
    on_each(|owned| {
        let (mut values, mut workspace) = (owned.words(&[1, 2, 3]), owned.words(&[0]));
        owned.borrowed.wait().unwrap();
        let recorded = {
            let mut commands = owned.borrowed.commands();
            commands.clear(&mut values).unwrap();
            commands
        };
        owned.device.destroy();
        is_lost(recorded.submit());
        is_lost(owned.borrowed.wait());
        is_lost(values.read());
        is_lost(pollster::block_on(values.read_async()));
        is_lost(Buffer::from_slice(&owned.borrowed, &[1u32]));
        is_lost(Buffer::<u32>::zeroed(&owned.borrowed, 1));
        is_lost(values.write(&[7]));
        let scan = Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace };
        is_lost(scan.run(&owned.borrowed));
    });
    // Each of these may be the first to find out.
    for first in 0..9 {
        on_each(|owned| {
            let (mut values, mut workspace) = (owned.words(&[1, 2, 3]), owned.words(&[0]));
            owned.device.destroy();
            match first {
                0 => is_lost(values.read()),
                1 => is_lost(pollster::block_on(values.read_async())),
                2 => is_lost(owned.borrowed.wait()),
                3 => is_lost(Buffer::from_slice(&owned.borrowed, &[1u32])),
                4 => is_lost(values.write(&[7])),
                5 => {
                    let scan = Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace };
                    is_lost(scan.run(&owned.borrowed));
                }
                6 => {
                    let scan = Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace };
                    is_lost(scan.prepare(owned.gpu()));
                }
                // The caller does not know yet either, and finishes and submits what it has.
                7 => {
                    let mut encoder = owned.encoder();
                    is_lost(values.record_read(&mut encoder));
                    owned.gpu().queue().submit([encoder.finish()]);
                }
                _ => {
                    let mut encoder = owned.encoder();
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    let scan = Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace };
                    is_lost(scan.record(owned.gpu(), &mut pass));
                    drop(pass);
                    owned.gpu().queue().submit([encoder.finish()]);
                }
            }
        });
    }
}
