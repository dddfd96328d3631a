//! When kernels run and how long they take, for those who listen.
//!
//! Each launch through [`Commands`](super::Commands) becomes a [`tracing`] event, see [`KERNEL_TIMES`]. Nothing is
//! measured while no one listens.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::gpu::Gpu;

/// Target of the events that say when a kernel ran, and for how long. Their level is TRACE.
///
/// | field | meaning |
/// |---|---|
/// | `kernel` | its name, `family/kernel` |
/// | `nanoseconds` | how long it took: the CPU twin, or the time between the GPU's timestamps around its dispatches |
/// | `begin` | when it began, in nanoseconds since [`clock_start`] |
/// | `gpu_begin` | of a kernel on a GPU: the same on the GPU's own clock, which begins anywhere |
///
/// A kernel on the CPU is reported by the thread that launched it, when it is done. One on a GPU is reported when a
/// wait finds its timestamps, by the thread that waits, and only where the device has
/// [`TIMESTAMP_QUERY`](wgpu::Features::TIMESTAMP_QUERY). While someone listens, each kernel of a GPU has a pass of its
/// own, which costs some time between them.
///
/// The clock of a GPU and that of the host know nothing of each other. Their difference is taken to be such that no
/// kernel begins before its submission is on its way, and none ends after the host has heard of its end. It stays as it
/// is while it satisfies both, and moves no further than it has to where it does not, as clocks drift. So `begin` is
/// early by at most the time from a submission to its first kernel, of the quickest submission so far, apart from what
/// the clocks have drifted since; `gpu_begin` is what to take for the time between two kernels.
pub const KERNEL_TIMES: &str = "scall_gpu::kernel";

/// The moment that the `begin` of kernels is counted from: the first time that this process asked for it.
///
/// ```
/// let start = scall_gpu::device::clock_start();
/// assert_eq!(start, scall_gpu::device::clock_start());
/// ```
pub fn clock_start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Nanoseconds since [`clock_start`].
fn since_start(moment: Instant) -> u64 {
    moment.saturating_duration_since(clock_start()).as_nanos() as u64
}

fn anybody_listens() -> bool {
    tracing::enabled!(target: KERNEL_TIMES, tracing::Level::TRACE)
}

/// Runs a CPU twin, timed if anybody wants to know.
pub(super) fn timed<R>(kernel: &'static str, run: impl FnOnce() -> R) -> R {
    let start = anybody_listens().then(|| {
        // Before the kernel begins.
        clock_start();
        Instant::now()
    });
    let result = run();
    if let Some(start) = start {
        let (begin, nanoseconds) = (since_start(start), start.elapsed().as_nanos() as u64);
        tracing::trace!(target: KERNEL_TIMES, kernel, nanoseconds, begin);
    }
    result
}

/// What has to be added to nanoseconds of a GPU's clock to have them since [`clock_start`].
#[derive(Default)]
pub(super) struct GpuClock(Mutex<Option<i128>>);

/// What a submission says of both clocks: it was on its way before its first kernel began, and its last kernel had
/// ended before it was heard of. In nanoseconds, of the host since [`clock_start`].
struct Bounds {
    submitted: u64,
    first_begin: u64,
    last_end: u64,
    heard: u64,
}

impl GpuClock {
    /// The difference of the clocks that fits this submission, as near to the one before as it can be.
    fn aligned(&self, bounds: &Bounds) -> i128 {
        let least = i128::from(bounds.submitted) - i128::from(bounds.first_begin);
        let most = i128::from(bounds.heard) - i128::from(bounds.last_end);
        let mut offset = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounds that contradict each other: a GPU whose clock runs at another pace than it says.
        let aligned = offset.unwrap_or(least).min(most).max(least);
        *offset = Some(aligned);
        aligned
    }
}

/// The kernels of a submission between timestamps.
pub(super) struct Timeline {
    gpu: Gpu,
    /// Kernels and the queries around each, by set.
    sets: Vec<(wgpu::QuerySet, Vec<&'static str>)>,
}

/// Kernels a query set holds, of two queries each.
const SET: u32 = wgpu::QUERY_SET_MAX_QUERIES / 2;

impl Timeline {
    /// None where nobody listens, or the device keeps no time.
    pub fn start(gpu: &Gpu) -> Option<Self> {
        let known = gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        (known && anybody_listens()).then(|| Self { gpu: gpu.clone(), sets: Vec::new() })
    }

    /// The timestamps of the next kernel's pass.
    pub fn next(&mut self, kernel: &'static str) -> wgpu::ComputePassTimestampWrites<'_> {
        if self.sets.last().is_none_or(|(_, kernels)| kernels.len() as u32 == SET) {
            let label = Some("kernel times");
            let descriptor = wgpu::QuerySetDescriptor { label, ty: wgpu::QueryType::Timestamp, count: 2 * SET };
            self.sets.push((self.gpu.device().create_query_set(&descriptor), Vec::new()));
        }
        let (query_set, kernels) = self.sets.last_mut().expect("one has just been made");
        let begin = 2 * kernels.len() as u32;
        kernels.push(kernel);
        wgpu::ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(begin),
            end_of_pass_write_index: Some(begin + 1),
        }
    }

    /// Reads the timestamps with the submission of the encoder.
    pub fn finish(self, encoder: &mut wgpu::CommandEncoder) {
        let period = f64::from(self.gpu.queue().get_timestamp_period());
        clock_start();
        let submitted = since_start(Instant::now());
        for (set, kernels) in self.sets {
            let buffer = |usage| {
                let (label, size) = (Some("kernel times"), 16 * kernels.len() as u64);
                let descriptor = wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false };
                self.gpu.create_buffer(&descriptor)
            };
            let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
            let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
            encoder.resolve_query_set(&set, 0..2 * kernels.len() as u32, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, staging.size());
            let (mapped, clock) = (staging.clone(), self.gpu.clock().clone());
            encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
                // A lost device is reported elsewhere.
                let Ok(view) = result.map_err(drop).and_then(|()| mapped.get_mapped_range(..).map_err(drop)) else {
                    return;
                };
                let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
                let nanoseconds = |ticks: u64| (ticks as f64 * period) as u64;
                let offset = clock.aligned(&Bounds {
                    submitted,
                    first_begin: nanoseconds(ticks.iter().copied().min().unwrap_or(0)),
                    last_end: nanoseconds(ticks.iter().copied().max().unwrap_or(0)),
                    heard: since_start(Instant::now()),
                });
                for (&kernel, ticks) in kernels.iter().zip(ticks.chunks_exact(2)) {
                    let gpu_begin = nanoseconds(ticks[0]);
                    let begin = (i128::from(gpu_begin) + offset).max(0) as u64;
                    let nanoseconds = nanoseconds(ticks[1].saturating_sub(ticks[0]));
                    tracing::trace!(target: KERNEL_TIMES, kernel, nanoseconds, begin, gpu_begin);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_are_aligned_by_what_submissions_say() {
        let clock = GpuClock::default();
        let aligned = |submitted, first_begin, last_end, heard| {
            clock.aligned(&Bounds { submitted, first_begin, last_end, heard })
        };
        // 1000 apart: the first submission began 40 after it was on its way, the second one 5.
        assert_eq!(aligned(100, 1140, 1150, 200), -1040);
        assert_eq!(aligned(300, 1305, 1350, 390), -1005);
        // One that waited says nothing new.
        assert_eq!(aligned(400, 1500, 1600, 700), -1005);
        // The GPU's clock has come to run ahead: the end would be after it was heard of.
        assert_eq!(aligned(900, 1950, 2000, 980), -1020);
        // Bounds that contradict each other: a kernel does not begin before it is submitted.
        assert_eq!(aligned(2000, 3000, 3500, 2400), -1000);
    }
}
