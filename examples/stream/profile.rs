//! Where the time of a run went, by phase and by kernel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use scall_gpu::SegmentReport;
use scall_gpu::device::KERNEL_TIMES;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::common::print;

/// Adds up what kernels say that they took.
#[derive(Default)]
pub struct Kernels(Mutex<BTreeMap<String, Times>>);

#[derive(Clone, Copy, Default)]
struct Times {
    launches: u64,
    nanoseconds: u64,
}

impl Kernels {
    /// Listens from now on.
    pub fn listen() -> Arc<Self> {
        let kernels = Arc::new(Self::default());
        tracing::subscriber::set_global_default(kernels.clone()).expect("nobody else listens in this program");
        kernels
    }

    /// Prints phases and kernels, the longest first.
    pub fn print(&self, reports: &[SegmentReport], whole: f64) {
        let sum = |of: fn(&SegmentReport) -> f64| reports.iter().map(of).sum::<f64>();
        let phases = [
            ("search", sum(|report| report.seconds.search)),
            ("size", sum(|report| report.seconds.size)),
            ("resize", sum(|report| report.seconds.resize)),
            ("train", sum(|report| report.seconds.train)),
            ("evaluate", sum(|report| report.seconds.evaluate)),
        ];
        let part = |seconds: f64| format!("{seconds:>9.3} {:>6.1} %", 100.0 * seconds / whole);
        print(&format!("\n{:<20} {:>9} {:>9} {:>8}", "phase", "", "seconds", "of all"));
        phases.iter().for_each(|(phase, seconds)| print(&format!("{phase:<20} {:>9} {}", "", part(*seconds))));
        let times = self.0.lock().expect("nobody panics with it");
        let mut kernels: Vec<_> = times.iter().collect();
        kernels.sort_by_key(|(_, times)| std::cmp::Reverse(times.nanoseconds));
        print(&format!("\n{:<20} {:>9} {:>9} {:>8}", "kernel", "launches", "seconds", "of all"));
        for (kernel, Times { launches, nanoseconds }) in kernels {
            print(&format!("{kernel:<20} {launches:>9} {}", part(*nanoseconds as f64 / 1e9)));
        }
    }
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

impl Subscriber for Kernels {
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
