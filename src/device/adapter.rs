//! The choice of a GPU, and what is asked of it.

use super::gpu::Gpu;
use super::shader::MAX_PARAMS_BYTES;
use crate::{Error, Result};

/// How to pick a GPU.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Leave software adapters out (default: they are taken when there is nothing better).
    pub hardware_only: bool,
    /// Take only adapters whose name contains this, ignoring case (default: any).
    pub name_contains: Option<String>,
}

impl Gpu {
    /// Starts the best adapter that fits the options. Blocks.
    pub(crate) fn start_best(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::new_async(options))
    }

    /// Starts the best adapter that fits the options: discrete before integrated before virtual before software.
    ///
    /// # Errors
    /// [`Error::NoGpu`] with the adapters that were seen.
    pub async fn new_async(options: &GpuOptions) -> Result<Self> {
        Self::best(options, |adapter| {
            let (features, limits) = Self::required_features_and_limits(adapter);
            // For those who ask how long kernels take.
            (features | adapter.features() & wgpu::Features::TIMESTAMP_QUERY, limits)
        })
        .await
    }

    async fn best(options: &GpuOptions, ask: fn(&wgpu::Adapter) -> (wgpu::Features, wgpu::Limits)) -> Result<Self> {
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
            let (features, limits) = ask(adapter);
            match Self::start(adapter, features, limits).await {
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

    async fn start(
        adapter: &wgpu::Adapter,
        required_features: wgpu::Features,
        required_limits: wgpu::Limits,
    ) -> Result<Self, wgpu::RequestDeviceError> {
        let label = Some("scall-gpu");
        let descriptor = wgpu::DeviceDescriptor { label, required_features, required_limits, ..Default::default() };
        let (device, queue) = adapter.request_device(&descriptor).await?;
        Ok(Self::own(device, queue))
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
        pollster::block_on(Self::best(options, |_| (wgpu::Features::empty(), wgpu::Limits::default())))
    }
}
