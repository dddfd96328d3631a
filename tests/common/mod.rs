//! The devices that integration tests run on.

use std::io::Write;
use std::sync::OnceLock;

use scall_gpu::device::{Device, GpuOptions};

/// The CPU, and a GPU by the variable `SCALL_GPU`: `required` takes the best adapter there is, a software one too, and
/// fails without any; `off` skips it; `auto` (the default) takes a hardware GPU and says loudly when there is none.
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
        // On a software adapter the tests take some ten times as long.
        let hardware_only = mode == "auto";
        match Device::gpu(&GpuOptions { hardware_only, ..GpuOptions::default() }) {
            Ok(gpu) => Some(gpu),
            Err(error) if mode == "required" => panic!("SCALL_GPU=required: {error}"),
            Err(error) => {
                // Not by a macro, whose output the test harness keeps to itself.
                let text = format!(
                    "**** GPU TESTS DID NOT RUN: {error}. SCALL_GPU=required takes a software adapter too, and fails \
                     without any. ****\n"
                );
                std::io::stderr().write_all(text.as_bytes()).unwrap();
                None
            }
        }
    });
    std::iter::once(Device::cpu()).chain(gpu.clone()).collect()
}
