//! Where the time of a run went, by phase and by kernel, and what a GPU was asked.

use std::cell::Cell;
use std::sync::Arc;

use scall_gpu::device::{Device, GpuCounts};
use scall_gpu::{Phase, SegmentReport};

use crate::common::{Column, Columns, bytes, print, width, wrapped};
use crate::kernel_times::{KernelTimes, Times};

/// The phases of a segment, in their order.
const PHASES: [&str; 6] = ["search", "size", "resize", "l2", "train", "evaluate"];

/// Listens to a run.
pub struct Listener {
    device: Device,
    kernels: Option<Arc<KernelTimes>>,
    /// What the GPU was asked in each phase, up to the last change from one to another.
    asked: [Cell<GpuCounts>; PHASES.len()],
    /// The phase there is, and what had been asked before it.
    now: Cell<(usize, GpuCounts)>,
}

impl Listener {
    /// Listens from now on, to all kernels too if these are heard. A segment begins with the search.
    pub fn new(device: &Device, kernels: Option<Arc<KernelTimes>>) -> Self {
        let now = Cell::new((0, counts(device)));
        Self { device: device.clone(), kernels, asked: Default::default(), now }
    }

    /// Hears where the run is.
    pub fn hear(&self, phase: Phase) {
        self.turn(match phase {
            Phase::Search { .. } => 0,
            Phase::Size => 1,
            Phase::Resize => 2,
            Phase::Regularize { .. } => 3,
            Phase::Train { .. } => 4,
            Phase::Evaluate => 5,
            _ => return,
        });
    }

    /// Hears that a segment is at its end.
    pub fn segment_ends(&self) {
        self.turn(0);
    }

    fn turn(&self, to: usize) {
        let (phase, before) = self.now.get();
        if phase != to {
            let now = counts(&self.device);
            self.asked[phase].set(self.asked[phase].get() + (now - before));
            self.now.set((to, now));
        }
    }

    /// Prints phases, what was asked in each, and kernels, the longest first. Kernels of probes that run side by side
    /// count in full each.
    pub fn report(&self, reports: &[SegmentReport], whole: f64) {
        let sum = |of: fn(&SegmentReport) -> f64| reports.iter().map(of).sum::<f64>();
        let seconds = [
            sum(|report| report.seconds.search),
            sum(|report| report.seconds.size),
            sum(|report| report.seconds.resize),
            sum(|report| report.seconds.regularize),
            sum(|report| report.seconds.train),
            sum(|report| report.seconds.evaluate),
        ];
        let part = |seconds: f64| format!("{seconds:>9.3} {:>6.1} %", 100.0 * seconds / whole);
        print(&format!("\n{:<20} {:>9} {:>9} {:>8}", "phase", "", "seconds", "of all"));
        let line = |(phase, seconds): (&str, &f64)| print(&format!("{phase:<20} {:>9} {}", "", part(*seconds)));
        PHASES.into_iter().zip(&seconds).for_each(line);
        if self.device.as_gpu().is_some() {
            self.report_asked();
        }
        let Some(kernels) = &self.kernels else { return };
        let mut kernels: Vec<_> = kernels.heard().into_iter().collect();
        kernels.sort_by_key(|(_, times)| std::cmp::Reverse(times.nanoseconds));
        print(&format!("\n{:<20} {:>9} {:>9} {:>8}", "kernel", "launches", "seconds", "of all"));
        for (kernel, Times { launches, nanoseconds }) in kernels {
            print(&format!("{kernel:<20} {launches:>9} {}", part(nanoseconds as f64 / 1e9)));
        }
    }

    fn report_asked(&self) {
        let heads = [
            ("dispatches", 10),
            ("passes", 7),
            ("copies", 7),
            ("submits", 8),
            ("waits", 7),
            ("buffers", 7),
            ("groups", 9),
            ("pipelines", 9),
            ("up", 9),
            ("down", 9),
        ];
        let numbers = heads.into_iter().zip(1..).map(|((head, width), rank)| Column::new(head, width, rank));
        let columns = Columns::fit([Column::left("asked in", 10, 0)].into_iter().chain(numbers).collect(), 1, width());
        print(&format!("\n{}", columns.head()));
        let all = self.asked.iter().fold(GpuCounts::default(), |sum, asked| sum + asked.get());
        let phases = PHASES.into_iter().zip(self.asked.iter().map(Cell::get));
        for (phase, asked) in phases.chain([("all", all)]) {
            let counts = [
                asked.dispatches,
                asked.passes,
                asked.copies + asked.clears,
                asked.submissions,
                asked.waits,
                asked.buffers,
                asked.bind_groups,
                asked.pipelines,
            ];
            let bytes = [bytes(asked.bytes_uploaded), bytes(asked.bytes_read)];
            let cells = [phase.to_owned()].into_iter().chain(counts.map(|count| count.to_string())).chain(bytes);
            print(&columns.row(&cells.collect::<Vec<_>>()));
        }
        columns.left_out("in a pipe").iter().for_each(|words| print(&wrapped(words, width())));
    }
}

fn counts(device: &Device) -> GpuCounts {
    device.as_gpu().map_or_else(GpuCounts::default, |gpu| gpu.counts())
}
