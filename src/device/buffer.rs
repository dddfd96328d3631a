//! Typed buffers: a vector on the CPU, a storage buffer on a GPU.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Range;

use super::element::{Element, bytes_of};
use super::gpu::Gpu;
use super::host::HostMemory;
use super::launch::Binding;
use super::place::Device;
use super::readback::{ReadFuture, Readback};
use super::stretch::Stretch;
use crate::{Error, Result};

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
    Gpu(Stretch, PhantomData<T>),
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
                gpu.check_size(bytes_of::<T>(values.len()))?;
                let buffer =
                    gpu.guarded(|| gpu.create_filled(gpu.label("buffer"), USAGE, bytemuck::cast_slice(values)))?;
                Storage::Gpu(Stretch::whole(gpu, buffer), PhantomData)
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
                gpu.check_size(bytes_of::<T>(len))?;
                // wgpu zeroes fresh buffers.
                let descriptor = wgpu::BufferDescriptor {
                    label: Some(gpu.label("buffer")),
                    size: bytes_of::<T>(len).next_multiple_of(4).max(4),
                    usage: USAGE,
                    mapped_at_creation: false,
                };
                let buffer = gpu.guarded(|| Ok(gpu.create_buffer(&descriptor)))?;
                gpu.check_alive()?;
                Storage::Gpu(Stretch::whole(gpu, buffer), PhantomData)
            }
        };
        Ok(Self { storage, len })
    }

    /// Wraps a caller's buffer; its whole length is used. The handle is shared, nothing is copied.
    ///
    /// The buffer has to be of the same device, and so of the same [`wgpu::Instance`]. A buffer of another device of
    /// the instance is an error. One of another instance is not noticed: wgpu knows a buffer by a number within its
    /// instance, so it panics, or takes another buffer.
    ///
    /// # Errors
    /// [`Error::Buffer`] when it lacks `STORAGE` usage, is empty, or its size is no multiple of the element's and of
    /// four bytes; [`Error::Limit`] when the device can't bind a buffer of this size; [`Error::Gpu`] when it is
    /// destroyed, or of another device.
    pub fn from_wgpu(gpu: &Gpu, buffer: wgpu::Buffer) -> Result<Self> {
        let op = "Buffer::from_wgpu";
        let len = buffer.size().checked_div(size_of::<T>() as u64).unwrap_or(0) as usize;
        if bytes_of::<T>(len) != buffer.size() {
            let got = format!("{} bytes for elements of {}", buffer.size(), size_of::<T>());
            return Err(Error::Buffer { op, arg: "buffer", expected: "a whole number of elements", got });
        }
        Ok(Self { storage: Storage::Gpu(Stretch::of::<T>(op, gpu, buffer, 0..len)?, PhantomData), len })
    }

    /// Wraps a range of a caller's buffer, counted in elements: kernels, copies, reads and writes see nothing else of
    /// it. Several ranges of one buffer may be wrapped, but a dispatch that writes one of them can't read another: wgpu
    /// knows a buffer's use as a whole.
    ///
    /// ```
    /// use scall_gpu::{device::Buffer, wgpu};
    /// # fn main() -> scall_gpu::Result<()> {
    /// # let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
    /// # let device = scall_gpu::device::Device::from_wgpu(device, queue);
    /// # let gpu = device.as_gpu().expect("it is one");
    /// // A buffer of the caller's for ids and gradients.
    /// let both = gpu.device().create_buffer(&wgpu::BufferDescriptor {
    ///     label: Some("step"),
    ///     size: 4 * (64 + 512),
    ///     usage: wgpu::BufferUsages::STORAGE,
    ///     mapped_at_creation: false,
    /// });
    /// let ids = Buffer::<u32>::from_wgpu_range(gpu, both.clone(), 0..64)?;
    /// let gradients = Buffer::<f32>::from_wgpu_range(gpu, both, 64..64 + 512)?;
    /// assert_eq!((ids.len(), gradients.len()), (64, 512));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`from_wgpu`](Self::from_wgpu); [`Error::Argument`] for a range past the buffer's end, or one that does
    /// not begin at a multiple of the device's `min_storage_buffer_offset_alignment` (at most 256 bytes).
    pub fn from_wgpu_range(gpu: &Gpu, buffer: wgpu::Buffer, elements: Range<usize>) -> Result<Self> {
        let len = elements.len();
        let stretch = Stretch::of::<T>("Buffer::from_wgpu_range", gpu, buffer, elements)?;
        Ok(Self { storage: Storage::Gpu(stretch, PhantomData), len })
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
        bytes_of::<T>(self.len)
    }

    /// The device it lives on.
    pub fn device(&self) -> Device {
        match &self.storage {
            Storage::Cpu(_) => Device::Cpu,
            Storage::Gpu(stretch, _) => Device::Gpu(stretch.gpu().clone()),
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

    /// The wgpu buffer, when it lives on a GPU. Of a wrapped range that is the whole buffer, see
    /// [`as_wgpu_binding`](Self::as_wgpu_binding).
    pub fn as_wgpu(&self) -> Option<&wgpu::Buffer> {
        match &self.storage {
            Storage::Cpu(_) => None,
            Storage::Gpu(stretch, _) => Some(stretch.buffer()),
        }
    }

    /// The bytes of the wgpu buffer that hold the elements, for a bind group of the caller's own, when it lives on a
    /// GPU.
    pub fn as_wgpu_binding(&self) -> Option<wgpu::BufferBinding<'_>> {
        match &self.storage {
            Storage::Cpu(_) => None,
            Storage::Gpu(stretch, _) => Some(stretch.binding()),
        }
    }

    /// Writes over the first elements: at once on the CPU; on a GPU before the next submission, and so before whatever
    /// is being recorded.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values` is longer than the buffer; [`Error::Argument`] when it ends within a 32-bit word
    /// before the buffer's end; [`Error::Buffer`] for a wrapped buffer without `COPY_DST` usage.
    pub fn write(&mut self, values: &[T]) -> Result<()> {
        let op = "Buffer::write";
        if values.len() > self.len {
            let (expected, got) = (self.len as u64, values.len() as u64);
            return Err(Error::Shape { op, arg: "values", expected, got });
        }
        check_words::<T>(op, values.len(), self.len)?;
        match &mut self.storage {
            Storage::Cpu(own) => own[..values.len()].copy_from_slice(values),
            Storage::Gpu(stretch, _) => stretch.write(op, bytemuck::cast_slice(values))?,
        }
        Ok(())
    }

    /// Reads all elements back. Blocks until the work submitted so far is done.
    ///
    /// # Errors
    /// [`Error::Buffer`] for a wrapped buffer without `COPY_SRC` usage; [`Error::DeviceLost`] or [`Error::Gpu`].
    pub fn read(&self) -> Result<Vec<T>> {
        match &self.storage {
            Storage::Cpu(values) => Ok(values.to_vec()),
            Storage::Gpu(stretch, _) => Readback::start(stretch, self.len)?.wait(),
        }
    }

    /// Reads all elements back without blocking. A thread of the device's polls it while the future waits, and wakes
    /// the task when the elements are there; nothing spins.
    pub fn read_async(&self) -> impl Future<Output = Result<Vec<T>>> + Send + use<T> {
        match &self.storage {
            Storage::Cpu(values) => ReadFuture::Ready(Some(Ok(values.to_vec()))),
            Storage::Gpu(stretch, _) => match Readback::start(stretch, self.len) {
                Ok(readback) => readback.into(),
                Err(error) => ReadFuture::Ready(Some(Err(error))),
            },
        }
    }

    /// Reads all elements back with the caller's own submission: the copy is recorded into `encoder`, which has to be
    /// of the same device, and mapped when that is submitted.
    ///
    /// The future is ready some time after the submission: a thread of the device's polls it while the future waits,
    /// and looks every 10 ms as long as nothing is submitted. It ends with an error when the encoder, or the command
    /// buffer made of it, is dropped without being submitted, and when the device is lost.
    ///
    /// # Errors
    /// [`Error::Buffer`] for a buffer of the CPU, or without `COPY_SRC` usage; [`Error::Gpu`] for one that is
    /// destroyed. Nothing has been recorded then.
    pub fn record_read(
        &self,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<impl Future<Output = Result<Vec<T>>> + Send + use<T>> {
        let op = "Buffer::record_read";
        match &self.storage {
            Storage::Cpu(_) => {
                let (expected, got) = ("a buffer on a GPU", "a CPU buffer".to_owned());
                Err(Error::Buffer { op, arg: "self", expected, got })
            }
            Storage::Gpu(stretch, _) => {
                stretch.check_bindable()?;
                Ok(ReadFuture::from(Readback::record(op, stretch, self.len, encoder)?))
            }
        }
    }

    pub(crate) fn binding(&self, arg: &'static str) -> Binding<'_> {
        match &self.storage {
            Storage::Cpu(_) => Binding::on_cpu(arg),
            Storage::Gpu(stretch, _) => Binding::new(arg, stretch.gpu(), stretch.binding()),
        }
    }

    pub(crate) fn host(&self, op: &'static str, arg: &'static str) -> Result<&[T]> {
        self.as_slice().ok_or_else(|| not_on_cpu(op, arg))
    }

    pub(crate) fn host_mut(&mut self, op: &'static str, arg: &'static str) -> Result<&mut [T]> {
        self.as_mut_slice().ok_or_else(|| not_on_cpu(op, arg))
    }

    /// Its bytes on the device that records.
    pub(super) fn on(&self, gpu: &Gpu, op: &'static str, arg: &'static str) -> Result<&Stretch> {
        match &self.storage {
            Storage::Gpu(stretch, _) if stretch.gpu() == gpu => Ok(stretch),
            _ => {
                let expected = "a buffer of the device that records";
                Err(Error::Buffer { op, arg, expected, got: self.device().describe() })
            }
        }
    }
}

const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

fn not_on_cpu(op: &'static str, arg: &'static str) -> Error {
    Error::Buffer { op, arg, expected: "a buffer on the CPU", got: "a GPU buffer".to_owned() }
}

/// A GPU moves 32-bit words: a stretch of smaller elements must end with one, or with the buffer.
pub(super) fn check_words<T>(op: &'static str, len: usize, end: usize) -> Result<()> {
    if len == end || bytes_of::<T>(len).is_multiple_of(4) {
        return Ok(());
    }
    Err(Error::Argument {
        op,
        arg: "len",
        expected: format!("a whole number of 32-bit words, or all {end} elements"),
        got: format!("{len} elements of {} bytes", size_of::<T>()),
    })
}
