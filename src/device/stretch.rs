//! A stretch of a wgpu buffer: the whole of it, or a range that is aligned so that it can be bound.

use std::borrow::Cow;
use std::ops::Range;

use super::element::bytes_of;
use super::gpu::Gpu;
use crate::{Error, Result};

/// Bytes of a buffer on a GPU.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    gpu: Gpu,
    buffer: wgpu::Buffer,
    offset: u64,
    size: u64,
}

impl Stretch {
    /// All of a buffer.
    pub fn whole(gpu: &Gpu, buffer: wgpu::Buffer) -> Self {
        Self { gpu: gpu.unlabeled(), offset: 0, size: buffer.size(), buffer }
    }

    /// Some elements of a caller's buffer. That the device takes it is tried out, so that a buffer of another device,
    /// or one that is destroyed, is refused here and not amid a caller's pass.
    pub fn of<T>(op: &'static str, gpu: &Gpu, buffer: wgpu::Buffer, elements: Range<usize>) -> Result<Self> {
        let wrong = |expected, got| Err(Error::Buffer { op, arg: "buffer", expected, got });
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return wrong("a buffer with STORAGE usage", format!("{:?}", buffer.usage()));
        }
        let has = buffer.size().checked_div(size_of::<T>() as u64).unwrap_or(0);
        if elements.start > elements.end || elements.end as u64 > has {
            let expected = format!("a range within {has} elements of {} bytes", size_of::<T>());
            return Err(Error::Argument { op, arg: "elements", expected, got: format!("{elements:?}") });
        }
        let (offset, size) = (bytes_of::<T>(elements.start), bytes_of::<T>(elements.len()));
        if size == 0 || !size.is_multiple_of(4) {
            let got = format!("{} elements of {} bytes", elements.len(), size_of::<T>());
            return wrong("one 32-bit word at least, and no part of another", got);
        }
        let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment);
        if !offset.is_multiple_of(alignment) {
            let expected = format!("a multiple of min_storage_buffer_offset_alignment, which is {alignment} bytes");
            let got = format!("element {}, byte {offset}", elements.start);
            return Err(Error::Argument { op, arg: "elements.start", expected, got });
        }
        gpu.check_size(size)?;
        let stretch = Self { gpu: gpu.unlabeled(), buffer, offset, size };
        stretch.check_bindable()?;
        Ok(stretch)
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Where it begins, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: &self.buffer, offset: self.offset, size: wgpu::BufferSize::new(self.size) }
    }

    /// Whether the device takes it: a caller may have destroyed the buffer.
    pub fn check_bindable(&self) -> Result<()> {
        self.gpu.check_bindable(self.binding())
    }

    /// Writes its first bytes before the next submission. The last word is filled up with zeros.
    pub fn write(&self, op: &'static str, bytes: &[u8]) -> Result<()> {
        self.check_usage(op, "self", wgpu::BufferUsages::COPY_DST)?;
        let mut padded = Cow::Borrowed(bytes);
        if !bytes.len().is_multiple_of(4) {
            padded.to_mut().resize(bytes.len().next_multiple_of(4), 0);
        }
        self.gpu.guarded(|| {
            self.gpu.counters().bytes_uploaded.add(bytes.len() as u64);
            self.gpu.queue().write_buffer(&self.buffer, self.offset, &padded);
            Ok(())
        })?;
        self.gpu.check_alive()
    }

    pub fn check_usage(&self, op: &'static str, arg: &'static str, usage: wgpu::BufferUsages) -> Result<()> {
        if self.buffer.usage().contains(usage) {
            return Ok(());
        }
        let expected = match usage {
            wgpu::BufferUsages::COPY_SRC => "a buffer with COPY_SRC usage",
            wgpu::BufferUsages::COPY_DST => "a buffer with COPY_DST usage",
            _ => "a buffer with another usage",
        };
        Err(Error::Buffer { op, arg, expected, got: format!("{:?}", self.buffer.usage()) })
    }
}
