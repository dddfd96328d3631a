//! The devices that integration tests run on.

use scall_gpu::device::{Device, GpuOptions};

/// The CPU, and a GPU by the variable `SCALL_GPU`: `required` fails without one, `off` skips it, and `auto` (the
/// default) says loudly when there is none.
pub fn devices() -> Vec<Device> {
    let mode = std::env::var("SCALL_GPU").unwrap_or_else(|_| "auto".to_owned());
    let mut devices = vec![Device::cpu()];
    if mode == "off" {
        return devices;
    }
    match Device::gpu(&GpuOptions::default()) {
        Ok(gpu) => devices.push(gpu),
        Err(error) if mode == "required" => panic!("SCALL_GPU=required: {error}"),
        Err(error) => eprintln!("**** GPU TESTS DID NOT RUN: {error}. SCALL_GPU=required makes this a failure. ****"),
    }
    devices
}
