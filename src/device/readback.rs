//! Copies of a buffer on their way to the host.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::element::{Element, bytes_of};
use super::gpu::Gpu;
use super::stretch::Stretch;
use super::waiter::{Outcome, Sender, Signal};
use crate::Result;

/// A copy that is submitted, or will be with the caller's encoder.
pub(super) struct Readback<T> {
    gpu: Gpu,
    staging: wgpu::Buffer,
    mapped: Arc<Signal>,
    len: usize,
    element: PhantomData<fn() -> T>,
}

impl<T: Element> Readback<T> {
    /// Submits the copy.
    pub fn start(from: &Stretch, len: usize) -> Result<Self> {
        let gpu = from.gpu();
        let mut encoder = gpu.encoder("read")?;
        let readback = Self::record("Buffer::read", from, len, &mut encoder)?;
        gpu.submit(encoder)?;
        Ok(readback)
    }

    /// Records the copy, to be mapped when the encoder is submitted.
    pub fn record(op: &'static str, from: &Stretch, len: usize, encoder: &mut wgpu::CommandEncoder) -> Result<Self> {
        from.check_usage(op, "self", wgpu::BufferUsages::COPY_SRC)?;
        let gpu = from.gpu();
        gpu.check()?;
        let size = bytes_of::<T>(len).next_multiple_of(4).max(4);
        let staging = gpu.guarded(|| {
            gpu.counters().bytes_read.add(size);
            Ok(gpu.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }))
        })?;
        // What a lost device gives is invalid, and would be an error of the caller's submission.
        gpu.check_alive()?;
        if len > 0 {
            encoder.copy_buffer_to_buffer(from.buffer(), from.offset(), &staging, 0, size);
        }
        let (sender, mapped) = Sender::new();
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
            sender.give(result.map_err(|error| error.to_string()));
        });
        Ok(Self { gpu: gpu.clone(), staging, mapped, len, element: PhantomData })
    }

    /// Blocks until the copy, which is submitted, is there.
    pub fn wait(self) -> Result<Vec<T>> {
        // An earlier wait may have found it.
        if let Some(outcome) = self.mapped.within(Duration::ZERO) {
            return self.finish(outcome);
        }
        loop {
            self.gpu.wait()?;
            // Another thread's poll may still be running the callback.
            if let Some(outcome) = self.mapped.within(Duration::from_millis(10)) {
                return self.finish(outcome);
            }
        }
    }

    fn finish(&self, outcome: Outcome) -> Result<Vec<T>> {
        outcome.map_err(|message| self.gpu.explain(message))?;
        let view = self.staging.get_mapped_range(..).map_err(|error| self.gpu.explain(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..self.len * size_of::<T>()]))
    }
}

/// What [`Buffer::read_async`](super::Buffer::read_async) gives.
pub(super) enum ReadFuture<T> {
    Ready(Option<Result<Vec<T>>>),
    Pending { readback: Readback<T>, is_watched: bool },
}

impl<T> From<Readback<T>> for ReadFuture<T> {
    fn from(readback: Readback<T>) -> Self {
        Self::Pending { readback, is_watched: false }
    }
}

impl<T: Element> ReadFuture<T> {
    /// Blocks until the elements are there.
    pub fn wait(self) -> Result<Vec<T>> {
        match self {
            Self::Ready(value) => value.expect("a future polled after its end"),
            Self::Pending { readback, .. } => readback.wait(),
        }
    }
}

impl<T: Element> Future for ReadFuture<T> {
    type Output = Result<Vec<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (readback, is_watched) = match self.get_mut() {
            Self::Ready(value) => return Poll::Ready(value.take().expect("a future polled after its end")),
            Self::Pending { readback, is_watched } => (readback, is_watched),
        };
        // What is done by now needs no other thread.
        if !*is_watched && let Err(error) = readback.gpu.poll(wgpu::PollType::Poll) {
            return Poll::Ready(Err(error));
        }
        match readback.mapped.poll(context.waker()) {
            Poll::Ready(outcome) => Poll::Ready(readback.finish(outcome)),
            Poll::Pending => {
                if !std::mem::replace(is_watched, true)
                    && let Err(error) = readback.gpu.watch(readback.mapped.clone())
                {
                    return Poll::Ready(Err(error));
                }
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Readback<T> {
    fn drop(&mut self) {
        self.mapped.forget();
    }
}
