//! The limit: how fast a device copies.

use std::time::{Duration, Instant};

use rayon::prelude::*;
use scall_gpu::device::{Buffer, Device, Gpu};
use scall_gpu::{Error, Result, wgpu};

/// Far beyond what the caches of a CPU hold.
const BYTES: usize = 128 << 20;

/// The same of a hardware GPU.
const GPU_BYTES: usize = 1 << 30;

/// Copies of a hardware GPU in a submission, next to which the submission itself takes no time.
const GPU_COPIES: u32 = 8;

/// Measurements that one takes the best of.
const RUNS: usize = 5;

/// So long a hardware GPU copies before the first measurement.
const WARM_UP: Duration = Duration::from_secs(1);

/// Two buffers, and copies from one to the other on all that the device has.
pub enum Copier {
    Cpu { from: Vec<u64>, to: Vec<u64> },
    Gpu(Box<GpuCopier>),
}

pub struct GpuCopier {
    gpu: Gpu,
    from: wgpu::Buffer,
    to: wgpu::Buffer,
    copies: u32,
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    groups: (u32, u32),
}

/// Who copies: on some GPUs the one is far faster than the other.
#[derive(Clone, Copy)]
enum Means {
    Command,
    Kernel,
}

impl Copier {
    pub fn new(device: &Device) -> Result<Self> {
        let mut copier = match device {
            Device::Cpu => Self::Cpu { from: vec![1; BYTES / 8], to: vec![0; BYTES / 8] },
            Device::Gpu(gpu) => Self::Gpu(Box::new(GpuCopier::new(device, gpu)?)),
        };
        // Fresh memory is slow the first time, and a GPU's clock rises only under work.
        let begin = Instant::now();
        copier.bandwidth()?;
        while device.as_gpu().is_some_and(|gpu| !gpu.is_software()) && begin.elapsed() < WARM_UP {
            copier.bandwidth()?;
        }
        Ok(copier)
    }

    /// Bytes a second that a large copy reads and writes at this moment: on a shared machine it changes by the minute.
    pub fn bandwidth(&mut self) -> Result<f64> {
        let mut best = 0.0f64;
        for _ in 0..RUNS {
            match self {
                Self::Cpu { from, to } => {
                    let (start, part) = (Instant::now(), (1 << 20) / 8);
                    to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
                    best = best.max(2.0 * BYTES as f64 / start.elapsed().as_secs_f64());
                }
                Self::Gpu(copier) => {
                    for means in [Means::Command, Means::Kernel] {
                        best = best.max(copier.bandwidth(means)?);
                    }
                }
            }
        }
        Ok(best)
    }
}

impl GpuCopier {
    fn new(owner: &Device, gpu: &Gpu) -> Result<Self> {
        let (device, limits) = (gpu.device(), gpu.limits());
        let bound = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        let (bytes, copies) = if gpu.is_software() { (BYTES, 1) } else { (GPU_BYTES.min(bound as usize), GPU_COPIES) };
        // Not zeros, which a GPU may keep in less memory.
        let values: Vec<u32> = (0..bytes as u32 / 4).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
        let on_gpu = |buffer: Buffer<u32>| buffer.as_wgpu().expect("it is on a GPU").clone();
        let (from, to) = (on_gpu(Buffer::from_slice(owner, &values)?), on_gpu(Buffer::zeroed(owner, values.len())?));
        let source = wgpu::ShaderSource::Wgsl(include_str!("copy.wgsl").into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("copy"),
            layout: None,
            module: &module,
            entry_point: Some("copy"),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries = [(0, &from), (1, &to)]
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        let layout = &pipeline.get_bind_group_layout(0);
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        let groups = (bytes / 16 / 1024) as u32;
        let rows = groups.div_ceil(limits.max_compute_workgroups_per_dimension);
        Ok(Self { gpu: gpu.clone(), from, to, copies, pipeline, bindings, groups: (groups.div_ceil(rows), rows) })
    }

    fn bandwidth(&self, means: Means) -> Result<f64> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        match means {
            Means::Command => {
                for _ in 0..self.copies {
                    encoder.copy_buffer_to_buffer(&self.from, 0, &self.to, 0, self.from.size());
                }
            }
            Means::Kernel => {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&self.pipeline);
                pass.set_bind_group(0, &self.bindings, &[]);
                for _ in 0..self.copies {
                    pass.dispatch_workgroups(self.groups.0, self.groups.1, 1);
                }
            }
        }
        let commands = encoder.finish();
        let start = Instant::now();
        self.gpu.queue().submit([commands]);
        let waited = self.gpu.device().poll(wgpu::PollType::wait_indefinitely());
        waited.map_err(|error| Error::Gpu { message: error.to_string() })?;
        Ok(2.0 * self.from.size() as f64 * f64::from(self.copies) / start.elapsed().as_secs_f64())
    }
}
