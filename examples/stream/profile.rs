//! Where the time of a run went, by phase and by kernel.

use std::sync::Arc;

use scall_gpu::SegmentReport;

use crate::common::print;
use crate::kernel_times::{KernelTimes, Times};

/// Listens to all kernels from now on.
pub fn listen() -> Arc<KernelTimes> {
    let kernels = Arc::new(KernelTimes::default());
    tracing::subscriber::set_global_default(kernels.clone()).expect("this program has no other listener");
    kernels
}

/// Prints phases and kernels, the longest first. Kernels of probes that run side by side count in full each.
pub fn report(kernels: &KernelTimes, reports: &[SegmentReport], whole: f64) {
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
    let mut kernels: Vec<_> = kernels.heard().into_iter().collect();
    kernels.sort_by_key(|(_, times)| std::cmp::Reverse(times.nanoseconds));
    print(&format!("\n{:<20} {:>9} {:>9} {:>8}", "kernel", "launches", "seconds", "of all"));
    for (kernel, Times { launches, nanoseconds }) in kernels {
        print(&format!("{kernel:<20} {launches:>9} {}", part(nanoseconds as f64 / 1e9)));
    }
}
