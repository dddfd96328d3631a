//! The device by name.

use std::fmt;
use std::str::FromStr;

use crate::device::{Device, GpuOptions};
use crate::{Error, Result, check};

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
    /// [`Error::NoGpu`] where a GPU is asked for and there is none.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Auto => Ok(Device::auto()),
            Self::Gpu => Device::gpu(&GpuOptions::default()),
            Self::Cpu => Ok(Device::cpu()),
        }
    }
}

/// Its name, as [`FromStr`] reads it.
impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|choice| choice.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|choice| choice.name()).collect();
            check::unknown("DeviceChoice", &names, text)
        })
    }
}
