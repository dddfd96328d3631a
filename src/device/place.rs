//! The CPU or a GPU.

use std::fmt::Display;

use super::adapter::GpuOptions;
use super::gpu::Gpu;
use crate::Result;

/// A place where kernels run. Cloning is cheap and gives the same device.
#[derive(Clone, Debug)]
pub enum Device {
    /// The CPU twins, on rayon's current thread pool.
    Cpu,
    /// A GPU, hardware or software.
    Gpu(Gpu),
}

impl Device {
    /// A hardware GPU where there is one, else the CPU. Blocks while the GPU starts.
    ///
    /// A software Vulkan adapter is not taken: the CPU twins are faster. Why no GPU was taken is logged at `info`.
    pub fn auto() -> Self {
        let options = GpuOptions { hardware_only: true, ..GpuOptions::default() };
        let device = match Gpu::start_best(&options) {
            Ok(gpu) => Self::Gpu(gpu),
            Err(error) => {
                tracing::info!("{error}; using the CPU");
                Self::Cpu
            }
        };
        tracing::info!("device: {}", device.describe());
        device
    }

    /// The CPU.
    pub fn cpu() -> Self {
        Self::Cpu
    }

    /// The best GPU there is, software included. Blocks while it starts.
    ///
    /// # Errors
    /// [`Error::NoGpu`](crate::Error::NoGpu) with the adapters that were seen.
    pub fn gpu(options: &GpuOptions) -> Result<Self> {
        Gpu::start_best(options).map(Self::Gpu)
    }

    /// A device the caller already has. Its error handlers stay the caller's; only its own limits are used.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self::Gpu(Gpu::from_wgpu(device, queue))
    }

    /// The GPU behind this device, if it is one.
    pub fn as_gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => Some(gpu),
        }
    }

    /// The same device, whose buffers and commands are labeled so: what debuggers and profilers of GPUs show, and
    /// wgpu's messages. Labels follow each other, as in `users/values/0`.
    ///
    /// ```
    /// use scall_gpu::device::{Buffer, Device};
    /// # fn main() -> scall_gpu::Result<()> {
    /// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
    /// # let device = Device::from_wgpu(device, queue);
    /// let users = device.labeled("users");
    /// let gradients = Buffer::<f32>::zeroed(&users.labeled("gradients"), 8)?; // users/gradients
    /// # Ok(()) }
    /// ```
    pub fn labeled(&self, label: impl Display) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Gpu(gpu) => Self::Gpu(gpu.labeled(label)),
        }
    }

    /// The same device without a label.
    pub(crate) fn unlabeled(&self) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Gpu(gpu) => Self::Gpu(gpu.unlabeled()),
        }
    }

    /// Whether both are one device, whatever their labels: a buffer of one is a buffer of the other.
    ///
    /// ```
    /// use scall_gpu::device::Device;
    /// # let (wgpu_device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
    /// let device = Device::from_wgpu(wgpu_device.clone(), queue.clone());
    /// assert!(device.is_same(&Device::from_wgpu(wgpu_device, queue)) && device.is_same(&device.labeled("users")));
    /// assert!(!device.is_same(&Device::cpu()) && Device::cpu().is_same(&Device::cpu()));
    /// ```
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cpu, Self::Cpu) => true,
            (Self::Gpu(gpu), Self::Gpu(other)) => gpu.is_same(other),
            _ => false,
        }
    }

    /// One line for a person: adapter, kind, backend and driver, or the CPU's threads.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu => format!("CPU, {} threads", rayon::current_num_threads()),
            Self::Gpu(gpu) => gpu.describe(),
        }
    }

    /// Blocks until all submitted work is done.
    ///
    /// # Errors
    /// What the GPU reported since the last check: [`Error::DeviceLost`](crate::Error::DeviceLost) or
    /// [`Error::Gpu`](crate::Error::Gpu).
    pub fn wait(&self) -> Result<()> {
        match self {
            Self::Cpu => Ok(()),
            Self::Gpu(gpu) => gpu.wait(),
        }
    }
}
