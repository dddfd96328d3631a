//! How long kernels take, for whoever listens.
//!
//! Each launch through [`Commands`](super::Commands) is told as a [`tracing`] event of target [`KERNEL_TIMES`] and
//! level TRACE, with fields `kernel` (its name) and `nanoseconds`: those of the CPU twin, or between the GPU's own
//! timestamps around its dispatches where the device has [`TIMESTAMP_QUERY`](wgpu::Features::TIMESTAMP_QUERY) (told
//! when a wait finds them). Nothing is measured while nobody listens. While somebody does, each kernel of a GPU has a
//! pass of its own, which costs some time between them.

use std::time::Instant;

use super::gpu::Gpu;

/// Target of the events that tell how long a kernel took.
pub const KERNEL_TIMES: &str = "scall_gpu::kernel";

fn anybody_listens() -> bool {
    tracing::enabled!(target: KERNEL_TIMES, tracing::Level::TRACE)
}

fn tell(kernel: &'static str, nanoseconds: u64) {
    tracing::trace!(target: KERNEL_TIMES, kernel, nanoseconds);
}

/// Runs a CPU twin, timed if anybody wants to know.
pub(super) fn timed<R>(kernel: &'static str, run: impl FnOnce() -> R) -> R {
    let start = anybody_listens().then(Instant::now);
    let result = run();
    if let Some(start) = start {
        tell(kernel, start.elapsed().as_nanos() as u64);
    }
    result
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
            let mapped = staging.clone();
            encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
                // A lost device tells of itself elsewhere.
                let Ok(view) = result.map_err(drop).and_then(|()| mapped.get_mapped_range(..).map_err(drop)) else {
                    return;
                };
                let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
                for (kernel, ticks) in kernels.iter().zip(ticks.chunks_exact(2)) {
                    tell(kernel, (ticks[1].saturating_sub(ticks[0]) as f64 * period) as u64);
                }
            });
        }
    }
}
