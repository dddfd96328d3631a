//! A GPU: adapter choice, limits, and its pipelines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use super::faults::Faults;
use super::pipeline::Pipelines;
use super::shader::MAX_PARAMS_BYTES;
use super::waiter::{Signal, Waiter};
use crate::{Error, Result};

/// How to pick a GPU.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Leave software adapters out (default: they are taken when there is nothing better).
    pub hardware_only: bool,
    /// Take only adapters whose name contains this, ignoring case (default: any).
    pub name_contains: Option<String>,
}

/// A GPU that kernels run on. Cloning is cheap and gives the same GPU.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    faults: Arc<Faults>,
    borrowed: bool,
    immediates: bool,
    pipelines: Pipelines,
    normal_table: OnceLock<wgpu::Buffer>,
    one_buffer: OnceLock<wgpu::BindGroupLayout>,
    waiter: Waiter,
}

impl Gpu {
    /// Starts the best adapter that fits the options. Blocks.
    pub(crate) fn new(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::new_async(options))
    }

    /// Starts the best adapter that fits the options: discrete before integrated before virtual before software.
    ///
    /// # Errors
    /// [`Error::NoGpu`] with the adapters that were seen.
    pub async fn new_async(options: &GpuOptions) -> Result<Self> {
        let instance = wgpu::Instance::default();
        let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
        let seen: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
        adapters.retain(|adapter| {
            let info = adapter.get_info();
            let wanted = options
                .name_contains
                .as_ref()
                .is_none_or(|part| info.name.to_lowercase().contains(&part.to_lowercase()));
            wanted && !(options.hardware_only && info.device_type == wgpu::DeviceType::Cpu)
        });
        adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        });
        let mut refusals = Vec::new();
        for adapter in &adapters {
            match Self::start(adapter).await {
                Ok(gpu) => return Ok(gpu),
                Err(error) => refusals.push(format!("{}: {error}", adapter.get_info().name)),
            }
        }
        let reason = match (refusals.is_empty(), seen.is_empty()) {
            (false, _) => refusals.join("; "),
            (true, true) => "no adapter found".to_owned(),
            (true, false) => format!("no adapter fits {options:?}; found: {}", seen.join(", ")),
        };
        Err(Error::NoGpu { reason })
    }

    async fn start(adapter: &wgpu::Adapter) -> Result<Self, wgpu::RequestDeviceError> {
        let (features, limits) = Self::required_features_and_limits(adapter);
        // For those who ask how long kernels take.
        let timestamps = adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        Self::start_with(adapter, features | timestamps, limits).await
    }

    async fn start_with(
        adapter: &wgpu::Adapter,
        required_features: wgpu::Features,
        required_limits: wgpu::Limits,
    ) -> Result<Self, wgpu::RequestDeviceError> {
        let label = Some("scall-gpu");
        let descriptor = wgpu::DeviceDescriptor { label, required_features, required_limits, ..Default::default() };
        let (device, queue) = adapter.request_device(&descriptor).await?;
        let faults = Faults::of(&device);
        faults.listen();
        Ok(Self::assemble(device, queue, faults, false))
    }

    /// The features and limits to request for a device that is to run this crate's kernels, to be merged into what else
    /// it has to do.
    ///
    /// WebGPU's default limits with buffers as large as the adapter has them, and immediates where it has those, which
    /// spare each dispatch a buffer for its parameters. The defaults and no feature will do too: a large table then has
    /// more pages.
    ///
    /// ```no_run
    /// # use scall_gpu::{device::Gpu, wgpu};
    /// # fn with(adapter: wgpu::Adapter) {
    /// let (features, limits) = Gpu::required_features_and_limits(&adapter);
    /// let descriptor = wgpu::DeviceDescriptor {
    ///     required_features: features | wgpu::Features::TIMESTAMP_QUERY, // what else the caller needs
    ///     required_limits: limits.or_better_values_from(&wgpu::Limits::default()),
    ///     ..Default::default()
    /// };
    /// # }
    /// ```
    pub fn required_features_and_limits(adapter: &wgpu::Adapter) -> (wgpu::Features, wgpu::Limits) {
        let has = adapter.limits();
        let features = adapter.features() & (wgpu::Features::IMMEDIATES | wgpu::Features::SHADER_INT64);
        let immediates = features.contains(wgpu::Features::IMMEDIATES);
        let limits = wgpu::Limits {
            max_buffer_size: has.max_buffer_size,
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
            max_immediate_size: if immediates { has.max_immediate_size.min(MAX_PARAMS_BYTES) } else { 0 },
            ..wgpu::Limits::default()
        };
        (features, limits)
    }

    /// The same adapter with WebGPU's default limits: what every device has.
    #[cfg(test)]
    pub(crate) fn with_default_limits(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(async {
            let instance = wgpu::Instance::default();
            let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
            let name = Self::new_async(options).await?.info().name.clone();
            adapters.retain(|adapter| adapter.get_info().name == name);
            let adapter = adapters.first().expect("it has just been started");
            let started = Self::start_with(adapter, wgpu::Features::empty(), wgpu::Limits::default()).await;
            started.map_err(|error| Error::NoGpu { reason: error.to_string() })
        })
    }

    pub(crate) fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let faults = Faults::of(&device);
        Self::assemble(device, queue, faults, true)
    }

    fn assemble(device: wgpu::Device, queue: wgpu::Queue, faults: Arc<Faults>, borrowed: bool) -> Self {
        let limits = device.limits();
        let immediates = device.features().contains(wgpu::Features::IMMEDIATES);
        Self(Arc::new(Inner {
            info: device.adapter_info(),
            immediates: immediates && limits.max_immediate_size >= MAX_PARAMS_BYTES,
            limits,
            faults,
            device,
            queue,
            borrowed,
            pipelines: Pipelines::default(),
            normal_table: OnceLock::new(),
            one_buffer: OnceLock::new(),
            waiter: Waiter::default(),
        }))
    }

    /// The same device with its own pipelines, built from edited WGSL: what the mutant tests run.
    #[cfg(test)]
    pub(crate) fn with_edit(&self, file: &str, from: &str, to: &str) -> Self {
        self.variant(self.0.limits.clone(), Pipelines::edited(file, from, to))
    }

    /// The same device that claims to allow fewer workgroups a dimension, so that small grids fold too.
    #[cfg(test)]
    pub(crate) fn with_max_groups(&self, max_groups: u32) -> Self {
        let limits = wgpu::Limits { max_compute_workgroups_per_dimension: max_groups, ..self.0.limits.clone() };
        self.variant(limits, Pipelines::default())
    }

    #[cfg(test)]
    fn variant(&self, limits: wgpu::Limits, pipelines: Pipelines) -> Self {
        Self(Arc::new(Inner {
            device: self.0.device.clone(),
            queue: self.0.queue.clone(),
            info: self.0.info.clone(),
            limits,
            faults: self.0.faults.clone(),
            borrowed: self.0.borrowed,
            immediates: self.0.immediates,
            pipelines,
            normal_table: OnceLock::new(),
            one_buffer: OnceLock::new(),
            waiter: Waiter::default(),
        }))
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// The limits the device was created with.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.0.limits
    }

    /// Whether kernels get their parameters as immediates, else as uniforms.
    pub(super) fn has_immediates(&self) -> bool {
        self.0.immediates
    }

    /// Whether shaders can have 64-bit integers.
    pub(super) fn has_wide_integers(&self) -> bool {
        self.0.device.features().contains(wgpu::Features::SHADER_INT64)
    }

    /// What the adapter says of itself.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.0.info
    }

    /// True for a software adapter such as lavapipe.
    pub fn is_software(&self) -> bool {
        self.0.info.device_type == wgpu::DeviceType::Cpu
    }

    pub(crate) fn describe(&self) -> String {
        let info = self.info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete GPU",
            wgpu::DeviceType::IntegratedGpu => "integrated GPU",
            wgpu::DeviceType::VirtualGpu => "virtual GPU",
            wgpu::DeviceType::Cpu => "software GPU",
            wgpu::DeviceType::Other => "GPU",
        };
        let driver = format!("{} {}", info.driver, info.driver_info);
        format!("{} ({kind}, {:?}, driver {})", info.name, info.backend, driver.trim())
    }

    pub(crate) fn pipelines(&self) -> &Pipelines {
        &self.0.pipelines
    }

    /// [`crate::rng::NORMAL_TABLE`] on this GPU, uploaded once.
    pub(crate) fn normal_table(&self) -> Result<&wgpu::Buffer> {
        let table = &self.0.normal_table;
        if table.get().is_none() {
            let bytes = bytemuck::cast_slice(&crate::rng::NORMAL_TABLE[..]);
            let made = self.guarded(|| self.create_filled("common/normal", wgpu::BufferUsages::STORAGE, bytes))?;
            // Another thread may have been first.
            let _ = table.set(made);
        }
        Ok(table.get().expect("it has just been made"))
    }

    /// A buffer born with its contents: no queue write, so its order against recorded work is not a question.
    pub(crate) fn create_filled(&self, label: &str, usage: wgpu::BufferUsages, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let size = (bytes.len() as u64).next_multiple_of(4).max(4);
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: true,
        });
        let mut view = buffer.get_mapped_range_mut(..).map_err(|error| self.explain(error.to_string()))?;
        view.slice(..bytes.len()).copy_from_slice(bytes);
        drop(view);
        buffer.unmap();
        Ok(buffer)
    }

    /// Whether a buffer of this size can be made and bound.
    pub(super) fn check_size(&self, bytes: u64) -> Result<()> {
        let limits = self.limits();
        for (limit, allowed) in [
            ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
            ("max_buffer_size", limits.max_buffer_size),
        ] {
            if bytes > allowed {
                return Err(Error::Limit { op: "Buffer", arg: "bytes", limit, allowed, requested: bytes });
            }
        }
        Ok(())
    }

    /// Whether the device takes a buffer of a caller's: it does not if that is destroyed, or of another device.
    pub(super) fn check_bindable(&self, binding: wgpu::BufferBinding<'_>) -> Result<()> {
        let label = Some("scall-gpu: can it be bound?");
        self.guarded(|| {
            let layout = self.0.one_buffer.get_or_init(|| {
                let ty = wgpu::BufferBindingType::Storage { read_only: true };
                let ty = wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
                let visibility = wgpu::ShaderStages::COMPUTE;
                let entries = &[wgpu::BindGroupLayoutEntry { binding: 0, visibility, ty, count: None }];
                self.device().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries })
            });
            let resource = wgpu::BindingResource::Buffer(binding);
            let entries = &[wgpu::BindGroupEntry { binding: 0, resource }];
            drop(self.device().create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries }));
            Ok(())
        })
    }

    /// What the driver has reported, if anything. A loss stays; another error is reported once.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.faults.check()
    }

    /// The same, and whether a borrowed device is lost, of which nobody tells us.
    pub(super) fn check_alive(&self) -> Result<()> {
        if self.0.borrowed {
            self.0.faults.is_lost();
        }
        self.check()
    }

    /// Runs what may raise errors in wgpu and returns the first: that of wgpu, else that of `run`.
    pub(super) fn guarded<R>(&self, run: impl FnOnce() -> Result<R>) -> Result<R> {
        let faults = &self.0.faults;
        if !self.0.borrowed {
            let result = run();
            return self.check().and(result);
        }
        match faults.scoped(run) {
            (result, None) => self.check().and(result),
            (_, Some(error)) => Err(faults.explain(error.to_string())),
        }
    }

    /// An error in words, or the loss of the device if that is what stands behind it.
    pub(super) fn explain(&self, message: String) -> Error {
        self.0.faults.explain(message)
    }

    pub(super) fn encoder(&self, label: &str) -> Result<wgpu::CommandEncoder> {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some(label) };
        self.guarded(|| Ok(self.device().create_command_encoder(&descriptor)))
    }

    /// Finishes an encoder and submits it.
    pub(super) fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<()> {
        self.check()?;
        self.guarded(|| {
            self.queue().submit([encoder.finish()]);
            Ok(())
        })?;
        self.check_alive()
    }

    /// Runs the callbacks of what is done.
    pub(super) fn poll(&self) -> Result<()> {
        self.0.faults.poll(wgpu::PollType::Poll).map(drop)
    }

    /// Has the device polled by a thread of its own until a signal has its outcome.
    pub(super) fn watch(&self, signal: Arc<Signal>) -> Result<()> {
        self.0.waiter.watch(&self.0.faults, signal)
    }

    /// Blocks until all submitted work is done.
    pub(crate) fn wait(&self) -> Result<()> {
        self.0.faults.poll(wgpu::PollType::wait_indefinitely())?;
        self.check_alive()
    }
}

impl PartialEq for Gpu {
    /// Two handles of one device.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.faults, &other.0.faults)
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.describe())
    }
}

pub(super) type Cache<K, V> = Mutex<HashMap<K, V>>;
