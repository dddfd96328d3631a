//! A budgeted table trained in a compute pass of the caller's: lookup, the caller's own loss, update, all in one
//! submission a frame. Between two frames the table is resized, and once the device is lost.
//!
//! ```text
//! cargo run --release --example train_in_your_pass
//! ```
//! Wants a GPU; a software adapter will do.

#[path = "common/exit.rs"]
mod exit;

use std::path::Path;
use std::process::ExitCode;

use scall_gpu::device::{Buffer, Device, Gpu, Pass};
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::table::{Account, Counts, Occurrences, PreparedRows, RaggedTable, TableOptions};
use scall_gpu::{Error, Result, wgpu};

const ROWS: u32 = 64;
const IDS: u32 = 256;
const DIMS: u32 = 8;
const BUDGET: u64 = 3_000;
const FRAMES: u32 = 120;
const RESIZE_AT: u32 = 40;
const SAVE_EVERY: u32 = 20;
const LOSE_AT: u32 = 90;

/// The caller's loss: half the squared distance of each value from a target, over the dims of the row. Dims that a row
/// does not have are 0 in `rows`, and their gradient is not used.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;

const DIMS = 8u;

@compute @workgroup_size(64)
fn loss(@builtin(global_invocation_id) at: vec3<u32>) {
    let b = at.x;
    if b >= arrayLength(&ids) {
        return;
    }
    var sum = 0.0;
    for (var j = 0u; j < DIMS; j++) {
        let target_value = f32((ids[b] * 7u + j * 3u) % 11u) / 5.0 - 1.0;
        let difference = rows[b * DIMS + j] - target_value;
        gradients[b * DIMS + j] = difference;
        sum += 0.5 * difference * difference;
    }
    losses[b] = sum;
}
";

fn main() -> ExitCode {
    exit::exit(run())
}

fn run() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("train_in_your_pass_{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|source| Error::Io { file: folder.clone(), source })?;
    let result = train(&folder.join("table.safetensors"));
    // What is left behind is of no use to anybody.
    let _ = std::fs::remove_dir_all(&folder);
    result
}

/// Frame after frame. A lost device costs the frames since the table was last saved.
fn train(file: &Path) -> Result<()> {
    // Rows, their directory and the state of the optimizer, whatever the sizes.
    let account = Account::new(BUDGET, Counts { optimizer: true, metadata: true });
    let mut host = Host::start()?;
    println!("device   {}", host.device.describe());
    let options = TableOptions {
        rule: Optimizer::Adagrad { learning_rate: 0.3, epsilon: 1e-8 }.into(),
        ..TableOptions::default()
    };
    let small: Vec<u32> = (0..ROWS).map(|row| 1 + row % 4).collect();
    let mut table = RaggedTable::new(&host.device.labeled("users"), &small, options, &account)?;
    let mut step = Step::new(&host, &mut table)?;
    table.save(file)?;
    let (mut frame, mut saved_at, mut has_been_lost) = (0, 0, false);
    while frame < FRAMES {
        if frame == LOSE_AT && !has_been_lost {
            // As a driver would by itself.
            host.raw.destroy();
            has_been_lost = true;
        }
        match step.frame(&host, &mut table) {
            Ok(Frame { loss, microseconds }) => {
                if frame % SAVE_EVERY == 0 {
                    let took = microseconds.map_or_else(String::new, |time| format!(", {time:.1} us on the device"));
                    println!("frame    {frame:>3}: loss {loss:.4}{took}");
                }
            }
            Err(Error::DeviceLost { reason }) => {
                println!("lost     the device ({reason}); on from frame {saved_at}");
                // Everything on it is gone. The account gets its bytes back with the table.
                drop((step, table));
                host = Host::start()?;
                table = RaggedTable::load(&host.device.labeled("users"), &account, file)?;
                step = Step::new(&host, &mut table)?;
                frame = saved_at;
                continue;
            }
            Err(error) => return Err(error),
        }
        frame += 1;
        if frame == RESIZE_AT {
            let wide: Vec<u32> = (0..ROWS).map(|row| 2 + row % 7).collect();
            let before = table.used_bytes();
            let plan = table.plan(&wide)?;
            // What was prepared keeps the old pages, which a resize wants to free.
            drop(step);
            table.resize(&plan)?;
            step = Step::new(&host, &mut table)?;
            println!("resize   {before} -> {} bytes of {BUDGET}", table.used_bytes());
        }
        if frame % SAVE_EVERY == 0 {
            table.save(file)?;
            saved_at = frame;
        }
    }
    println!("done     {} steps, {} values", table.steps(), table.len());
    Ok(())
}

/// The caller's side: a device, its queue, and a pipeline of its own.
struct Host {
    raw: wgpu::Device,
    queue: wgpu::Queue,
    /// The same device, borrowed.
    device: Device,
    pipeline: wgpu::ComputePipeline,
    /// Where the device keeps time: two timestamps around the pass.
    timestamps: Option<wgpu::QuerySet>,
}

impl Host {
    fn start() -> Result<Self> {
        let no_gpu = |reason: String| Error::NoGpu { reason };
        let instance = wgpu::Instance::default();
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .map_err(|error| no_gpu(error.to_string()))?;
        let (features, required_limits) = Gpu::required_features_and_limits(&adapter);
        let required_features = features | (adapter.features() & wgpu::Features::TIMESTAMP_QUERY);
        let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
        let (raw, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| no_gpu(error.to_string()))?;
        let module = raw.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("loss"),
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let pipeline = raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("loss"),
            layout: None,
            module: &module,
            entry_point: Some("loss"),
            compilation_options: Default::default(),
            cache: None,
        });
        let timestamps = required_features.contains(wgpu::Features::TIMESTAMP_QUERY).then(|| {
            raw.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("pass"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            })
        });
        let device = Device::from_wgpu(raw.clone(), queue.clone());
        Ok(Self { raw, queue, device, pipeline, timestamps })
    }

    fn gpu(&self) -> &Gpu {
        self.device.as_gpu().expect("made of a wgpu device")
    }
}

/// What a frame gave.
struct Frame {
    loss: f32,
    microseconds: Option<f64>,
}

/// All that a frame needs, made once: a frame makes an encoder, a readback, and nothing else.
struct Step {
    group: wgpu::BindGroup,
    lookup: PreparedRows,
    update: PreparedRows,
    losses: Buffer<f32>,
    ticks: Option<Buffer<u64>>,
    ticks_at: Option<wgpu::Buffer>,
}

impl Step {
    fn new(host: &Host, table: &mut RaggedTable) -> Result<Self> {
        let device = &host.device;
        let ids: Vec<u32> = (0..IDS).map(|k| k * k % ROWS).collect();
        let ids = Buffer::from_slice(&device.labeled("ids"), &ids)?;
        let mut found = Buffer::<f32>::zeroed(&device.labeled("found"), (IDS * DIMS) as usize)?;
        let gradients = Buffer::<f32>::zeroed(&device.labeled("gradients"), (IDS * DIMS) as usize)?;
        let losses = Buffer::<f32>::zeroed(&device.labeled("losses"), IDS as usize)?;
        let mut workspace = Buffer::zeroed(&device.labeled("workspace"), table.update_workspace_len(IDS, DIMS))?;
        // The buffers, bound by the caller's own shader.
        let [a, b, c, d] =
            [ids.as_wgpu_binding(), found.as_wgpu_binding(), gradients.as_wgpu_binding(), losses.as_wgpu_binding()]
                .map(|binding| wgpu::BindingResource::Buffer(binding.expect("a buffer on a GPU")));
        let entries =
            [(0, a), (1, b), (2, c), (3, d)].map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource });
        let layout = &host.pipeline.get_bind_group_layout(0);
        let label = Some("loss");
        let group = host.raw.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries: &entries });
        let lookup = table.prepare_lookup(&ids, DIMS, &mut found)?;
        let (first, count) = (0, IDS.into());
        let occurrences = Occurrences { ids: &ids, first, count, gradients: (&gradients).into(), dims: DIMS };
        let update = table.prepare_update(occurrences, &mut workspace)?;
        // Timestamps resolve into a buffer of the caller's, which is wrapped to be read like any other.
        let ticks_at = host.timestamps.is_some().then(|| {
            host.raw.create_buffer(&wgpu::BufferDescriptor {
                label: Some("ticks"),
                size: 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        });
        let ticks = ticks_at.clone().map(|buffer| Buffer::from_wgpu(host.gpu(), buffer)).transpose()?;
        Ok(Self { group, lookup, update, losses, ticks, ticks_at })
    }

    /// One pass and one submission, both the caller's. Waits for the loss alone.
    fn frame(&mut self, host: &Host, table: &mut RaggedTable) -> Result<Frame> {
        let mut encoder = host.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("frame") });
        let timestamp_writes = host.timestamps.as_ref().map(|query_set| wgpu::ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        let descriptor = wgpu::ComputePassDescriptor { label: Some("train"), timestamp_writes };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        table.record_prepared(&mut Pass::new(host.gpu(), &mut pass), &mut self.lookup)?;
        pass.push_debug_group("loss");
        pass.set_pipeline(&host.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(IDS.div_ceil(64), 1, 1);
        pass.pop_debug_group();
        table.record_prepared(&mut Pass::new(host.gpu(), &mut pass), &mut self.update)?;
        drop(pass);
        if let (Some(timestamps), Some(buffer)) = (&host.timestamps, &self.ticks_at) {
            encoder.resolve_query_set(timestamps, 0..2, buffer, 0);
        }
        let losses = self.losses.record_read(&mut encoder)?;
        let ticks = self.ticks.as_ref().map(|ticks| ticks.record_read(&mut encoder)).transpose()?;
        host.queue.submit([encoder.finish()]);
        let losses = pollster::block_on(losses)?;
        let microseconds = match ticks {
            Some(ticks) => {
                let ticks = pollster::block_on(ticks)?;
                Some(ticks[1].saturating_sub(ticks[0]) as f64 * f64::from(host.queue.get_timestamp_period()) / 1e3)
            }
            None => None,
        };
        Ok(Frame { loss: losses.iter().sum::<f32>() / losses.len() as f32, microseconds })
    }
}
