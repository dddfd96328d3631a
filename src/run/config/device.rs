//! The device by name.

use crate::device::{Device, GpuOptions};
use crate::{Result, check};

/// Where to run, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// `auto`: a hardware GPU, else the CPU.
    #[default]
    Auto,
    /// `gpu`: the best GPU there is, software included.
    Gpu,
    /// `cpu`: the CPU.
    Cpu,
}

impl DeviceChoice {
    /// Each of them.
    pub const ALL: &'static [Self] = &[Self::Auto, Self::Gpu, Self::Cpu];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
        }
    }

    /// The device.
    ///
    /// # Errors
    /// [`Error::NoGpu`](crate::Error::NoGpu) where a GPU is asked for and there is none.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Auto => Ok(Device::auto()),
            Self::Gpu => Device::gpu(&GpuOptions::default()),
            Self::Cpu => Ok(Device::cpu()),
        }
    }
}

check::by_name!(DeviceChoice, "DeviceChoice", "name");
