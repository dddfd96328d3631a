//! Hears what kernels say that they took: of a GPU, its own timestamps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use scall_gpu::device::KERNEL_TIMES;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Adds up by kernel.
#[derive(Default)]
pub struct KernelTimes(Mutex<BTreeMap<String, Times>>);

#[derive(Clone, Copy, Default)]
pub struct Times {
    pub launches: u64,
    pub nanoseconds: u64,
}

impl KernelTimes {
    /// What has been heard.
    pub fn heard(&self) -> BTreeMap<String, Times> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

/// Seconds of the kernels that `run` launches and waits for; none where the device keeps no time.
#[allow(dead_code, reason = "not of interest to everybody who listens")]
pub fn seconds_of(run: impl FnOnce()) -> Option<f64> {
    let times = Arc::new(KernelTimes::default());
    tracing::subscriber::with_default(times.clone(), run);
    let heard = times.heard();
    (!heard.is_empty()).then(|| heard.values().map(|times| times.nanoseconds as f64 / 1e9).sum())
}

/// The fields of a kernel's event.
#[derive(Default)]
struct Launch {
    kernel: String,
    nanoseconds: u64,
}

impl Visit for Launch {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "nanoseconds" {
            self.nanoseconds = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "kernel" {
            self.kernel = value.to_owned();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl Subscriber for KernelTimes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == KERNEL_TIMES
    }

    fn event(&self, event: &Event<'_>) {
        let mut launch = Launch::default();
        event.record(&mut launch);
        let mut kernels = self.0.lock().expect("nobody panics with it");
        let times = kernels.entry(launch.kernel).or_default();
        times.launches += 1;
        times.nanoseconds += launch.nanoseconds;
    }

    // Kernels tell events alone.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
