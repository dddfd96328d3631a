//! What a GPU was asked to do, counted: costs that can be asserted, where a duration cannot.

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {
        /// What a [`Gpu`](super::Gpu) was asked to do since it was started. The difference of two says what was done in
        /// between; differences can be added up.
        ///
        /// ```
        /// use scall_gpu::device::{Buffer, Device, Kernel};
        /// use scall_gpu::kernels::prim::scan::Scan;
        /// # fn main() -> scall_gpu::Result<()> {
        /// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
        /// # let device = Device::from_wgpu(device, queue);
        /// # let gpu = device.as_gpu().expect("it is one");
        /// let mut values = Buffer::from_slice(&device, &[1u32, 2, 3])?;
        /// let mut workspace = Buffer::zeroed(&device, 1)?;
        /// let before = gpu.counts();
        /// Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace }.run(&device)?;
        /// let did = gpu.counts() - before;
        /// assert_eq!((did.dispatches, did.submissions, did.waits), (1, 1, 0));
        /// # Ok(()) }
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct GpuCounts {
            $($(#[$meta])* pub $name: u64),*
        }

        impl Sub for GpuCounts {
            type Output = Self;

            fn sub(self, before: Self) -> Self {
                Self { $($name: self.$name.wrapping_sub(before.$name)),* }
            }
        }

        impl Add for GpuCounts {
            type Output = Self;

            fn add(self, more: Self) -> Self {
                Self { $($name: self.$name.wrapping_add(more.$name)),* }
            }
        }

        /// The counters of a GPU.
        #[derive(Default)]
        pub(super) struct Counters {
            $(pub $name: Counter),*
        }

        impl Counters {
            pub fn read(&self) -> GpuCounts {
                GpuCounts { $($name: self.$name.0.load(Ordering::Relaxed)),* }
            }
        }
    };
}

counts! {
    /// Dispatches recorded, in commands of ours and in a caller's passes.
    dispatches,
    /// Compute passes opened in commands of ours.
    passes,
    /// Copies from buffer to buffer in commands of ours. Each ends a pass.
    copies,
    /// Buffers set to zero in commands of ours. Each ends a pass.
    clears,
    /// Submissions.
    submissions,
    /// Times that a thread of the caller's was blocked until submitted work was done.
    waits,
    /// Buffers made: those of callers, of readbacks, and of parameters where a device has no immediates.
    buffers,
    /// Bind groups made.
    bind_groups,
    /// Pipelines built.
    pipelines,
    /// Shader modules compiled.
    shader_modules,
    /// Bytes written into buffers from the host.
    bytes_uploaded,
    /// Bytes asked back by the host.
    bytes_read,
}

/// A number that only grows.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}
