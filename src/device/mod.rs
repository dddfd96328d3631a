//! Where kernels run: the CPU, or any GPU that wgpu reaches.
//!
//! [`Device::auto`] takes a hardware GPU, else the CPU. The choice is visible ([`Device::describe`]) and never changes
//! in mid-run. A [`Buffer`] lives on one device; [`Commands`] collects kernel launches for it.

mod buffer;
mod commands;
mod element;
mod faults;
mod gpu;
mod host;
mod pipeline;
mod profile;
mod readback;
pub(crate) mod shader;
mod stretch;
mod waiter;

pub use buffer::Buffer;
pub use commands::{Commands, Kernel};
pub use element::Element;
pub use gpu::{Gpu, GpuOptions};
pub use pipeline::Dispatches;
pub(crate) use pipeline::{Binding, Launch, check_distinct};
pub use profile::KERNEL_TIMES;
pub(crate) use shader::{Access, CodecSource, Entry, Shader, param_group, params};

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
        let device = match Gpu::new(&options) {
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
        Gpu::new(options).map(Self::Gpu)
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

    /// One line for a person: adapter, kind, backend and driver, or the CPU's threads.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu => format!("CPU, {} threads", rayon::current_num_threads()),
            Self::Gpu(gpu) => gpu.describe(),
        }
    }

    /// Starts a list of kernel launches. On the CPU each runs at once; on a GPU they run when submitted.
    pub fn commands(&self) -> Commands {
        Commands::new(self)
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
