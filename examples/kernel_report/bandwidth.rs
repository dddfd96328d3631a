//! The limit: how fast a device copies.

use std::time::Instant;

use rayon::prelude::*;
use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device};

/// Far beyond what caches hold, and within the smallest binding.
const BYTES: usize = 128 << 20;

/// Copies a measurement takes the best of.
const COPIES: usize = 5;

/// Two buffers, and a copy from one to the other on all that the device has.
pub enum Copier {
    Cpu { from: Vec<u64>, to: Vec<u64> },
    Gpu { device: Device, from: Buffer<u32>, to: Buffer<u32> },
}

impl Copier {
    pub fn new(device: &Device) -> Result<Self> {
        let mut copier = match device {
            Device::Cpu => Self::Cpu { from: vec![1; BYTES / 8], to: vec![0; BYTES / 8] },
            Device::Gpu(_) => {
                let (from, to) = (Buffer::zeroed(device, BYTES / 4)?, Buffer::zeroed(device, BYTES / 4)?);
                Self::Gpu { device: device.clone(), from, to }
            }
        };
        // Fresh memory is slow the first time.
        copier.copy()?;
        Ok(copier)
    }

    fn copy(&mut self) -> Result<()> {
        match self {
            Self::Cpu { from, to } => {
                let part = (1 << 20) / 8;
                to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
                Ok(())
            }
            Self::Gpu { device, from, to } => {
                let mut commands = device.commands();
                commands.copy(from, to, BYTES / 4)?;
                commands.submit()?;
                device.wait()
            }
        }
    }

    /// Bytes a second that a large copy reads and writes at this moment: on a shared machine it changes by the minute.
    pub fn bandwidth(&mut self) -> Result<f64> {
        let mut best = f64::INFINITY;
        for _ in 0..COPIES {
            let start = Instant::now();
            self.copy()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(2.0 * BYTES as f64 / best)
    }
}
