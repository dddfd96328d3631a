//! Readbacks that are awaited: each ends, and none spins.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use scall_gpu::device::{Buffer, Device, GpuOptions};
use scall_gpu::{Error, wgpu};

/// Wakes a thread, and counts how often.
struct Counted {
    thread: Thread,
    wakes: AtomicU32,
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// The outcome of a future, and how often it was polled and its task woken up for it.
fn counted<F: Future>(future: F) -> (F::Output, u32, u32) {
    let counted = Arc::new(Counted { thread: thread::current(), wakes: AtomicU32::new(0) });
    let waker = Waker::from(counted.clone());
    let (mut future, mut polls) = (pin!(future), 0);
    loop {
        polls += 1;
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, polls, counted.wakes.load(Ordering::SeqCst));
        }
        thread::park();
    }
}

fn noop() -> Device {
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
    Device::from_wgpu(device, queue)
}

/// One that runs nothing, and of those that tests run on the GPU, each its own: some are lost.
fn gpus() -> Vec<Device> {
    let real = common::devices().into_iter().filter(|device| device.as_gpu().is_some());
    let own = real.map(|device| {
        let name_contains = Some(device.as_gpu().unwrap().info().name.clone());
        Device::gpu(&GpuOptions { name_contains, ..GpuOptions::default() }).unwrap()
    });
    [noop()].into_iter().chain(own).collect()
}

fn encoder(device: &Device) -> wgpu::CommandEncoder {
    device.as_gpu().unwrap().device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

fn submit(device: &Device, encoder: wgpu::CommandEncoder) {
    device.as_gpu().unwrap().queue().submit([encoder.finish()]);
}

#[test]
fn a_read_wakes_its_task_once() {
    for device in gpus() {
        let values: Vec<u32> = (0..1 << 20).collect();
        let buffer = Buffer::from_slice(&device, &values).unwrap();
        let (read, polls, wakes) = counted(buffer.read_async());
        assert!(read.unwrap() == values);
        assert!(polls <= 2 && wakes <= 1, "{polls} polls, {wakes} wakes");
    }
}

/// The task sleeps from its first poll on, however long the submission takes to come.
#[test]
fn a_recorded_read_sleeps_until_it_is_submitted() {
    for device in gpus() {
        let buffer = Buffer::from_slice(&device, &[1u32, 2, 3]).unwrap();
        let mut commands = encoder(&device);
        let read = buffer.record_read(&mut commands).unwrap();
        let (read, polls, wakes) = thread::scope(|scope| {
            let waiting = scope.spawn(|| counted(read));
            // Not a duration that anything depends on: the other thread should wait by then.
            thread::sleep(Duration::from_millis(50));
            submit(&device, commands);
            waiting.join().unwrap()
        });
        assert_eq!(read.unwrap(), [1, 2, 3]);
        assert!(polls <= 2 && wakes <= 1, "{polls} polls, {wakes} wakes");
    }
}

#[test]
fn reads_end_in_any_order() {
    for device in gpus() {
        let buffers: Vec<_> = (0..20u32).map(|k| Buffer::from_slice(&device, &[k; 7]).unwrap()).collect();
        let reads: Vec<_> = buffers.iter().map(|buffer| buffer.read_async()).collect();
        for (k, read) in reads.into_iter().enumerate().rev() {
            assert_eq!(pollster::block_on(read).unwrap(), [k as u32; 7]);
        }
        // Given up before it is there, while another waits.
        let kept = buffers[3].read_async();
        drop(buffers[4].read_async());
        assert_eq!(pollster::block_on(kept).unwrap(), [3; 7]);
    }
}

#[test]
fn a_read_whose_commands_are_dropped_is_an_error() {
    for device in gpus() {
        let buffer = Buffer::from_slice(&device, &[1u32]).unwrap();
        let never = |read: Result<Vec<u32>, Error>| match read {
            Err(Error::Gpu { message }) => assert!(message.contains("without being submitted"), "{message}"),
            other => panic!("{other:?}"),
        };
        // Before it is awaited: the encoder, or what was made of it.
        let mut commands = encoder(&device);
        let read = buffer.record_read(&mut commands).unwrap();
        drop(commands);
        never(pollster::block_on(read));
        let mut commands = encoder(&device);
        let read = buffer.record_read(&mut commands).unwrap();
        drop(commands.finish());
        never(pollster::block_on(read));
        // And while it is.
        let mut commands = encoder(&device);
        let read = buffer.record_read(&mut commands).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| pollster::block_on(read));
            thread::sleep(Duration::from_millis(20));
            drop(commands);
            never(waiting.join().unwrap());
        });
        // The device goes on.
        assert_eq!(buffer.read().unwrap(), [1]);
    }
}

/// With the encoder kept, so that nothing else ends the wait.
#[test]
fn a_recorded_read_ends_with_the_loss_of_its_device() {
    let lost = |read: Result<Vec<u32>, Error>| assert!(matches!(read, Err(Error::DeviceLost { .. })), "{read:?}");
    // Lost before the future is awaited, and while it is; our own devices and borrowed ones.
    for awaited_before in [false, true] {
        for device in gpus() {
            let raw = device.as_gpu().unwrap();
            let borrowed = Device::from_wgpu(raw.device().clone(), raw.queue().clone());
            let buffers = [&device, &borrowed].map(|device| Buffer::from_slice(device, &[1u32, 2, 3]).unwrap());
            let mut commands = encoder(&device);
            let reads = buffers.each_ref().map(|buffer| buffer.record_read(&mut commands).unwrap());
            thread::scope(|scope| {
                let wait = |read| scope.spawn(move || pollster::block_on(read));
                let waiting = if awaited_before {
                    let waiting = reads.map(wait);
                    thread::sleep(Duration::from_millis(20));
                    raw.device().destroy();
                    waiting
                } else {
                    raw.device().destroy();
                    reads.map(wait)
                };
                waiting.into_iter().for_each(|waiting| lost(waiting.join().unwrap()));
            });
            drop(commands);
        }
    }
}
