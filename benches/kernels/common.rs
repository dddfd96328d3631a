//! What the benches run on.

use scall_gpu::device::{Device, GpuOptions};

/// The CPU, and a GPU where there is one, by the names that bench ids carry.
pub fn devices() -> Vec<(&'static str, Device)> {
    let mut devices = vec![("cpu", Device::cpu())];
    if let Ok(gpu) = Device::gpu(&GpuOptions::default()) {
        devices.push(("gpu", gpu));
    }
    devices.iter().for_each(|(name, device)| println!("{name}: {}", device.describe()));
    devices
}
