//! The kernels inside somebody else's pipeline: a device of the caller's, rows whose values lie in one of its buffers,
//! and two passes of its own around our lookup, all in one submission.
//!
//! ```text
//! cargo run --release --example borrowed_device
//! ```

#[path = "common/exit.rs"]
mod exit;

use std::process::ExitCode;

use scall_gpu::device::{Buffer, Device, Gpu, Kernel};
use scall_gpu::kernels::table::lookup::Lookup;
use scall_gpu::rows::{Rows, Values};
use scall_gpu::{Error, Result, wgpu};
use wgpu::util::DeviceExt;

const DIMS: u32 = 4;
const IDS: u32 = 6;

/// The caller's own work: which rows are wanted, and the length of each that came.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read_write> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> lengths: array<f32>;

@compute @workgroup_size(64)
fn choose(@builtin(global_invocation_id) at: vec3<u32>) {
    if at.x < arrayLength(&ids) {
        ids[at.x] = (at.x * 2u) % 3u;
    }
}

@compute @workgroup_size(64)
fn measure(@builtin(global_invocation_id) at: vec3<u32>) {
    if at.x < arrayLength(&lengths) {
        lengths[at.x] = length(rows[at.x]);
    }
}
";

fn main() -> ExitCode {
    exit::exit(run())
}

fn run() -> Result<()> {
    // The caller's device. Of the library it only asks what to request; handlers and queue stay the caller's.
    let adapter =
        pollster::block_on(wgpu::Instance::default().request_adapter(&wgpu::RequestAdapterOptions::default()))
            .map_err(|error| Error::NoGpu { reason: error.to_string() })?;
    let (required_features, required_limits) = Gpu::required_features_and_limits(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
        .map_err(|error| Error::NoGpu { reason: error.to_string() })?;
    let borrowed = Device::from_wgpu(device.clone(), queue.clone());
    let gpu = borrowed.as_gpu().expect("made of a wgpu device");
    println!("device   {}", borrowed.describe());

    // The caller's buffers.
    let storage = |contents: &[u8]| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
    };
    let raw_values = storage(bytemuck::cast_slice(&[3.0f32, 4.0, 1.0, 1.0, 1.0, 1.0]));
    let raw_ids = storage(&[0; 4 * IDS as usize]);
    let raw_rows = storage(&[0; 4 * (IDS * DIMS) as usize]);
    let raw_lengths = storage(&[0; 4 * IDS as usize]);
    // Wrapped, nothing is copied: the values as three rows of 2, 0 and 4 dims, which get a directory of ours and no
    // optimizer's state.
    let values = Values::F32(Buffer::from_wgpu(gpu, raw_values)?);
    let table = Rows::from_parts(&borrowed, &[2, 0, 4], false, values, Default::default())?;
    let ids = Buffer::<u32>::from_wgpu(gpu, raw_ids.clone())?;
    let mut rows = Buffer::<f32>::from_wgpu(gpu, raw_rows.clone())?;
    let lengths = Buffer::<f32>::from_wgpu(gpu, raw_lengths.clone())?;

    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(SHADER.into()),
    });
    let own = |entry: &str, bindings: &[(u32, &wgpu::Buffer)]| {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = bindings
            .iter()
            .map(|&(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = &pipeline.get_bind_group_layout(0);
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        (pipeline, group)
    };
    let choose = own("choose", &[(0, &raw_ids)]);
    let measure = own("measure", &[(1, &raw_rows), (2, &raw_lengths)]);

    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let run = |(pipeline, group): &(wgpu::ComputePipeline, wgpu::BindGroup), pass: &mut wgpu::ComputePass<'_>| {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(IDS.div_ceil(64), 1, 1);
    };
    run(&choose, &mut pass);
    // Recorded between the two: no submission, no wait, no handler.
    Lookup { rows: &table, ids: &ids, dims: DIMS, out: &mut rows }.record(gpu, &mut pass)?;
    run(&measure, &mut pass);
    drop(pass);
    // The way back is queued too, and mapped when the caller submits.
    let found = lengths.record_read(&mut encoder)?;
    queue.submit([encoder.finish()]);

    println!("lengths  {:?}", pollster::block_on(found)?);
    Ok(())
}
