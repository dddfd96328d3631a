//! The choice of a device.

use clap::ValueEnum;
use scall_gpu::Result;
use scall_gpu::device::{Device, GpuOptions};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DeviceChoice {
    Auto,
    Gpu,
    Cpu,
}

impl DeviceChoice {
    /// A hardware GPU or else the CPU; the best GPU there is, software included; or the CPU.
    ///
    /// # Errors
    /// Where a GPU is asked for and there is none.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Auto => Ok(Device::auto()),
            Self::Gpu => Device::gpu(&GpuOptions::default()),
            Self::Cpu => Ok(Device::cpu()),
        }
    }
}
