//! Typed buffers: a vector on the CPU, a storage buffer on a GPU.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::task::{Context, Poll};

use super::Device;
use super::gpu::Gpu;
use super::host::HostMemory;
use super::pipeline::Binding;
use crate::{Error, Result};

/// What a buffer may hold: plain old data.
pub trait Element: bytemuck::Pod + Send + Sync + Unpin {}
impl<T: bytemuck::Pod + Send + Sync + Unpin> Element for T {}

/// `len` values of one type on one device.
///
/// ```
/// use scall_gpu::device::{Buffer, Device};
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// let buffer = Buffer::from_slice(&device, &[1.0f32, 2.0, 3.0])?;
/// assert_eq!(buffer.read()?, [1.0, 2.0, 3.0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Buffer<T> {
    storage: Storage<T>,
    len: usize,
}

#[derive(Debug)]
enum Storage<T> {
    Cpu(HostMemory<T>),
    Gpu(Gpu, wgpu::Buffer, PhantomData<T>),
}

impl<T: Element> Buffer<T> {
    /// A copy of `values` on the device.
    ///
    /// # Errors
    /// [`Error::Limit`] when the device can't bind a buffer of this size.
    pub fn from_slice(device: &Device, values: &[T]) -> Result<Self> {
        let storage = match device {
            Device::Cpu => Storage::Cpu(HostMemory::from_slice(values)),
            Device::Gpu(gpu) => {
                check_size::<T>(gpu, values.len())?;
                let buffer = gpu.guarded(|| gpu.create_filled("buffer", USAGE, bytemuck::cast_slice(values)))?;
                Storage::Gpu(gpu.clone(), buffer, PhantomData)
            }
        };
        Ok(Self { storage, len: values.len() })
    }

    /// `values` on the device; on the CPU they are moved, not copied.
    ///
    /// # Errors
    /// [`Error::Limit`] when the device can't bind a buffer of this size.
    pub fn from_vec(device: &Device, values: Vec<T>) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self { len: values.len(), storage: Storage::Cpu(HostMemory::from_vec(values)) }),
            Device::Gpu(_) => Self::from_slice(device, &values),
        }
    }

    /// `len` zeros on the device.
    ///
    /// # Errors
    /// [`Error::Limit`] when the device can't bind a buffer of this size.
    pub fn zeroed(device: &Device, len: usize) -> Result<Self> {
        let storage = match device {
            Device::Cpu => Storage::Cpu(HostMemory::zeroed(len)),
            Device::Gpu(gpu) => {
                check_size::<T>(gpu, len)?;
                // wgpu zeroes fresh buffers.
                let descriptor = wgpu::BufferDescriptor {
                    label: Some("buffer"),
                    size: bytes::<T>(len).next_multiple_of(4).max(4),
                    usage: USAGE,
                    mapped_at_creation: false,
                };
                let buffer = gpu.guarded(|| gpu.device().create_buffer(&descriptor))?;
                Storage::Gpu(gpu.clone(), buffer, PhantomData)
            }
        };
        Ok(Self { storage, len })
    }

    /// Wraps a caller's buffer; its whole length is used. The handle is shared, nothing is copied.
    ///
    /// # Errors
    /// [`Error::Buffer`] when it lacks `STORAGE` usage or its size is no multiple of the element's.
    pub fn from_wgpu(gpu: &Gpu, buffer: wgpu::Buffer) -> Result<Self> {
        let wrong = |expected, got| Error::Buffer { op: "Buffer::from_wgpu", arg: "buffer", expected, got };
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(wrong("a buffer with STORAGE usage", format!("{:?}", buffer.usage())));
        }
        if !buffer.size().is_multiple_of(size_of::<T>() as u64) || !buffer.size().is_multiple_of(4) {
            let got = format!("{} bytes for elements of {}", buffer.size(), size_of::<T>());
            return Err(wrong("a whole number of elements and of 32-bit words", got));
        }
        let len = (buffer.size() / size_of::<T>() as u64) as usize;
        check_size::<T>(gpu, len)?;
        Ok(Self { storage: Storage::Gpu(gpu.clone(), buffer, PhantomData), len })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when it holds no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its elements.
    pub fn size_bytes(&self) -> u64 {
        bytes::<T>(self.len)
    }

    /// The device it lives on.
    pub fn device(&self) -> Device {
        match &self.storage {
            Storage::Cpu(_) => Device::Cpu,
            Storage::Gpu(gpu, ..) => Device::Gpu(gpu.clone()),
        }
    }

    /// The elements, when it lives on the CPU.
    pub fn as_slice(&self) -> Option<&[T]> {
        match &self.storage {
            Storage::Cpu(values) => Some(values),
            Storage::Gpu(..) => None,
        }
    }

    /// The elements for writing, when it lives on the CPU.
    pub fn as_mut_slice(&mut self) -> Option<&mut [T]> {
        match &mut self.storage {
            Storage::Cpu(values) => Some(values),
            Storage::Gpu(..) => None,
        }
    }

    /// The wgpu buffer, when it lives on a GPU.
    pub fn as_wgpu(&self) -> Option<&wgpu::Buffer> {
        match &self.storage {
            Storage::Cpu(_) => None,
            Storage::Gpu(_, buffer, _) => Some(buffer),
        }
    }

    /// Writes over the first elements: at once on the CPU; on a GPU before the next submission, and so before whatever
    /// is being recorded.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values` is longer than the buffer; [`Error::Argument`] when it ends within a 32-bit word
    /// before the buffer's end.
    pub fn write(&mut self, values: &[T]) -> Result<()> {
        if values.len() > self.len {
            return Err(Error::Shape {
                op: "Buffer::write",
                arg: "values",
                expected: self.len as u64,
                got: values.len() as u64,
            });
        }
        check_words::<T>("Buffer::write", values.len(), self.len)?;
        match &mut self.storage {
            Storage::Cpu(own) => own[..values.len()].copy_from_slice(values),
            Storage::Gpu(gpu, buffer, _) => {
                let mut bytes = bytemuck::cast_slice(values).to_vec();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                gpu.guarded(|| gpu.queue().write_buffer(buffer, 0, &bytes))?;
            }
        }
        Ok(())
    }

    /// Reads all elements back. Blocks until the work submitted so far is done.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] or [`Error::Gpu`].
    pub fn read(&self) -> Result<Vec<T>> {
        match &self.storage {
            Storage::Cpu(values) => Ok(values.to_vec()),
            Storage::Gpu(gpu, buffer, _) => {
                let pending = Readback::start(gpu, buffer, self.len)?;
                gpu.wait()?;
                // Another thread's poll may still be running the callback.
                pending.finish(pending.mapped.recv().ok())
            }
        }
    }

    /// Reads all elements back without blocking: the future polls the device each time it is polled.
    pub fn read_async(&self) -> impl Future<Output = Result<Vec<T>>> + Send + use<T> {
        match &self.storage {
            Storage::Cpu(values) => ReadFuture::Ready(Some(Ok(values.to_vec()))),
            Storage::Gpu(gpu, buffer, _) => match Readback::start(gpu, buffer, self.len) {
                Ok(pending) => ReadFuture::Pending(pending),
                Err(error) => ReadFuture::Ready(Some(Err(error))),
            },
        }
    }

    /// Reads all elements back with the caller's own submission: the copy is recorded into `encoder` and mapped when that is submitted.
    /// The future polls the device each time it is polled, and is never ready before the submission.
    ///
    /// # Errors
    /// [`Error::Buffer`] for a buffer of the CPU, or without `COPY_SRC` usage.
    pub fn record_read(
        &self,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<impl Future<Output = Result<Vec<T>>> + Send + use<T>> {
        let (op, arg, expected) = ("Buffer::record_read", "self", "a buffer on a GPU");
        match &self.storage {
            Storage::Cpu(_) => Err(Error::Buffer { op, arg, expected, got: "a CPU buffer".to_owned() }),
            Storage::Gpu(gpu, buffer, _) => Ok(ReadFuture::Pending(Readback::record(gpu, buffer, self.len, encoder)?)),
        }
    }

    pub(crate) fn binding(&self, arg: &'static str) -> Binding<'_> {
        Binding {
            arg,
            gpu: match &self.storage {
                Storage::Cpu(_) => None,
                Storage::Gpu(gpu, buffer, _) => Some((gpu, buffer)),
            },
        }
    }

    pub(crate) fn host(&self, op: &'static str, arg: &'static str) -> Result<&[T]> {
        self.as_slice().ok_or_else(|| not_on_cpu(op, arg))
    }

    pub(crate) fn host_mut(&mut self, op: &'static str, arg: &'static str) -> Result<&mut [T]> {
        self.as_mut_slice().ok_or_else(|| not_on_cpu(op, arg))
    }

    pub(super) fn on(&self, gpu: &Gpu, arg: &'static str) -> Result<&wgpu::Buffer> {
        match &self.storage {
            Storage::Gpu(owner, buffer, _) if owner == gpu => Ok(buffer),
            _ => Err(Error::Buffer {
                op: "copy",
                arg,
                expected: "a buffer of the device that records",
                got: self.device().describe(),
            }),
        }
    }
}

const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

fn bytes<T>(len: usize) -> u64 {
    len as u64 * size_of::<T>() as u64
}

fn not_on_cpu(op: &'static str, arg: &'static str) -> Error {
    Error::Buffer { op, arg, expected: "a buffer on the CPU", got: "a GPU buffer".to_owned() }
}

/// A GPU moves 32-bit words: a stretch of smaller elements must end with one, or with the buffer.
pub(super) fn check_words<T>(op: &'static str, len: usize, end: usize) -> Result<()> {
    if len == end || bytes::<T>(len).is_multiple_of(4) {
        return Ok(());
    }
    Err(Error::Argument {
        op,
        arg: "len",
        expected: format!("a whole number of 32-bit words, or all {end} elements"),
        got: format!("{len} elements of {} bytes", size_of::<T>()),
    })
}

fn check_size<T>(gpu: &Gpu, len: usize) -> Result<()> {
    let limits = gpu.limits();
    let limit =
        |limit, allowed| Error::Limit { op: "Buffer", arg: "bytes", limit, allowed, requested: bytes::<T>(len) };
    let binding = limits.max_storage_buffer_binding_size;
    if bytes::<T>(len) > binding {
        return Err(limit("max_storage_buffer_binding_size", binding));
    }
    if bytes::<T>(len) > limits.max_buffer_size {
        return Err(limit("max_buffer_size", limits.max_buffer_size));
    }
    Ok(())
}

/// A copy on its way to the host.
struct Readback<T> {
    gpu: Gpu,
    staging: wgpu::Buffer,
    mapped: Receiver<Result<(), wgpu::BufferAsyncError>>,
    len: usize,
    element: PhantomData<fn() -> T>,
}

impl<T: Element> Readback<T> {
    fn start(gpu: &Gpu, buffer: &wgpu::Buffer, len: usize) -> Result<Self> {
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let readback = Self::record(gpu, buffer, len, &mut encoder)?;
        gpu.submit(encoder.finish())?;
        Ok(readback)
    }

    /// Records the copy, to be mapped when the encoder is submitted.
    fn record(gpu: &Gpu, buffer: &wgpu::Buffer, len: usize, encoder: &mut wgpu::CommandEncoder) -> Result<Self> {
        if !buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::Buffer {
                op: "Buffer::read",
                arg: "self",
                expected: "a buffer with COPY_SRC usage",
                got: format!("{:?}", buffer.usage()),
            });
        }
        gpu.check()?;
        let size = bytes::<T>(len).next_multiple_of(4).max(4);
        let staging = gpu.guarded(|| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })?;
        if len > 0 {
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
        }
        let (sender, mapped) = mpsc::channel();
        // The receiver is gone when the read was given up; then nobody wants to know.
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        Ok(Self { gpu: gpu.clone(), staging, mapped, len, element: PhantomData })
    }

    /// The elements, after the map's outcome: `None` when its callback was dropped.
    fn finish(&self, outcome: Option<Result<(), wgpu::BufferAsyncError>>) -> Result<Vec<T>> {
        let failed = |message: String| Error::Gpu { message };
        match outcome {
            Some(Ok(())) => {}
            Some(Err(error)) => return self.gpu.check().and(Err(failed(error.to_string()))),
            None => return self.gpu.check().and(Err(failed("the readback was given up".to_owned()))),
        }
        let view = self.staging.get_mapped_range(..).map_err(|e| failed(e.to_string()))?;
        let size = self.len * size_of::<T>();
        Ok(bytemuck::pod_collect_to_vec(&view[..size]))
    }
}

enum ReadFuture<T> {
    Ready(Option<Result<Vec<T>>>),
    Pending(Readback<T>),
}

impl<T: Element> Future for ReadFuture<T> {
    type Output = Result<Vec<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(value) => Poll::Ready(value.take().expect("a future polled after its end")),
            Self::Pending(readback) => {
                // Mapping is reported from inside a device poll, so ask to be polled again until it is.
                if let Err(error) = readback.gpu.device().poll(wgpu::PollType::Poll) {
                    return Poll::Ready(Err(Error::Gpu { message: error.to_string() }));
                }
                match readback.mapped.try_recv() {
                    Ok(outcome) => return Poll::Ready(readback.finish(Some(outcome))),
                    Err(TryRecvError::Disconnected) => return Poll::Ready(readback.finish(None)),
                    Err(TryRecvError::Empty) => {}
                }
                std::thread::yield_now();
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
