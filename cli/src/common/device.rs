//! The device.

use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use scall_gpu::Result;
use scall_gpu::device::Device;
use scall_gpu::run::DeviceChoice;

use super::voice::note;

/// The names that a flag takes.
pub fn choices() -> impl TypedValueParser<Value = DeviceChoice> {
    PossibleValuesParser::new(DeviceChoice::ALL.iter().map(|choice| choice.name())).try_map(|name| name.parse())
}

/// Threads of the CPU, for every program that measures or trains.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Threads {
    /// Threads of the CPU [default: all]
    ///
    /// Results are the same for any number.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

impl Threads {
    /// Starts them, before anything else needs one.
    pub fn start(self) {
        if let Some(threads) = self.threads {
            let built = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
            built.expect("the first use of the pool");
        }
    }
}

/// Opens a device, and explains what a layer of Mesa says on the way.
///
/// # Errors
/// Where a GPU is asked for and there is none.
pub fn open(choice: DeviceChoice) -> Result<Device> {
    let device = choice.open();
    if let (DeviceChoice::Cpu | DeviceChoice::Gpu, Ok(device)) = (choice, &device) {
        // A device that is found by itself says so.
        tracing::info!("device: {}", device.describe());
    }
    if choice != DeviceChoice::Cpu && says_error() {
        note(
            "note: a layer of Mesa's looks for a screen, and says above that XDG_RUNTIME_DIR is not set; no harm, \
             nothing is shown. NODEVICE_SELECT=1 leaves it out.",
        );
    }
    device
}

/// Whether listing the GPUs makes a layer of Mesa print `error: XDG_RUNTIME_DIR is invalid`, which reads as if it came
/// from us. (It could be switched off by a variable of our own process, but setting one is unsafe code.)
fn says_error() -> bool {
    let layer = "vulkan/implicit_layer.d/VkLayer_MESA_device_select.json";
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "linux")
        && !is_set("XDG_RUNTIME_DIR")
        && !is_set("NODEVICE_SELECT")
        && ["/usr/share", "/usr/local/share", "/etc"].iter().any(|root| Path::new(root).join(layer).exists())
}
