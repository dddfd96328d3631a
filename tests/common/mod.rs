//! The devices that integration tests run on.

use std::io::Write;
use std::sync::OnceLock;

use scall_gpu::device::{Device, GpuOptions};

/// The CPU, and a GPU by the variable `SCALL_GPU`: `required` fails without one, `off` skips it, and `auto` (the
/// default) says loudly when there is none.
pub fn devices() -> Vec<Device> {
    static GPU: OnceLock<Option<Device>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| {
        let mode = std::env::var("SCALL_GPU").unwrap_or_else(|_| "auto".to_owned());
        assert!(
            ["auto", "required", "off"].contains(&mode.as_str()),
            "SCALL_GPU must be auto, required or off, got {mode:?}"
        );
        if mode == "off" {
            return None;
        }
        match Device::gpu(&GpuOptions::default()) {
            Ok(gpu) => Some(gpu),
            Err(error) if mode == "required" => panic!("SCALL_GPU=required: {error}"),
            Err(error) => {
                // Not by a macro, whose output the test harness keeps to itself.
                let text =
                    format!("**** GPU TESTS DID NOT RUN: {error}. SCALL_GPU=required makes this a failure. ****\n");
                std::io::stderr().write_all(text.as_bytes()).unwrap();
                None
            }
        }
    });
    std::iter::once(Device::cpu()).chain(gpu.clone()).collect()
}
