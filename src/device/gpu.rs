//! A GPU: a wgpu device with what we know and keep of it.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use super::counters::{Counters, GpuCounts};
use super::faults::Faults;
use super::pipeline::{Key, Pipeline, Pipelines};
use super::timing::GpuClock;
use super::waiter::{Signal, Waiter};
use crate::{Error, Result};

/// A GPU that kernels run on. Cloning is cheap and gives the same GPU.
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
    /// What is made by way of this handle is labeled so.
    label: Option<Arc<str>>,
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    faults: Arc<Faults>,
    borrowed: bool,
    pipelines: Pipelines,
    counters: Counters,
    clock: Arc<GpuClock>,
    normal_table: OnceLock<wgpu::Buffer>,
    one_buffer: OnceLock<wgpu::BindGroupLayout>,
    waiter: Waiter,
}

impl Gpu {
    fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), label: None }
    }

    /// A device of our own, whose handlers we install.
    pub(super) fn own(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let faults = Faults::of(&device);
        faults.listen();
        Self::assemble(device, queue, faults, false)
    }

    /// A caller's device, which keeps its handlers.
    pub(crate) fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let faults = Faults::of(&device);
        Self::assemble(device, queue, faults, true)
    }

    fn assemble(device: wgpu::Device, queue: wgpu::Queue, faults: Arc<Faults>, borrowed: bool) -> Self {
        Self::new(Inner {
            info: device.adapter_info(),
            limits: device.limits(),
            faults,
            pipelines: Pipelines::of(&device),
            counters: Counters::default(),
            clock: Arc::default(),
            device,
            queue,
            borrowed,
            normal_table: OnceLock::new(),
            one_buffer: OnceLock::new(),
            waiter: Waiter::default(),
        })
    }

    /// The same device with its own pipelines, built from edited WGSL: what the mutant tests run.
    #[cfg(test)]
    pub(crate) fn with_edit(&self, file: &str, from: &str, to: &str) -> Self {
        self.variant(self.inner.limits.clone(), Pipelines::edited(self.device(), file, from, to))
    }

    /// Whether it runs edited WGSL.
    #[cfg(test)]
    pub(crate) fn is_edited(&self) -> bool {
        self.inner.pipelines.is_edited()
    }

    /// The same device that claims to allow fewer workgroups a dimension, so that small grids fold too.
    #[cfg(test)]
    pub(crate) fn with_max_groups(&self, max_groups: u32) -> Self {
        let limits = wgpu::Limits { max_compute_workgroups_per_dimension: max_groups, ..self.inner.limits.clone() };
        self.variant(limits, Pipelines::of(self.device()))
    }

    #[cfg(test)]
    fn variant(&self, limits: wgpu::Limits, pipelines: Pipelines) -> Self {
        Self::new(Inner {
            device: self.inner.device.clone(),
            queue: self.inner.queue.clone(),
            info: self.inner.info.clone(),
            limits,
            faults: self.inner.faults.clone(),
            borrowed: self.inner.borrowed,
            pipelines,
            counters: Counters::default(),
            clock: Arc::default(),
            normal_table: OnceLock::new(),
            one_buffer: OnceLock::new(),
            waiter: Waiter::default(),
        })
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// The limits the device was created with.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    /// Whether kernels get their parameters as immediates, else as uniforms.
    pub(super) fn has_immediates(&self) -> bool {
        self.inner.pipelines.has_immediates()
    }

    /// What the adapter says of itself.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    /// True for a software adapter such as lavapipe.
    pub fn is_software(&self) -> bool {
        self.inner.info.device_type == wgpu::DeviceType::Cpu
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

    /// The same GPU, whose buffers and commands are labeled so from here on, after the label that it has.
    pub(super) fn labeled(&self, label: impl Display) -> Self {
        let label = match &self.label {
            Some(own) => format!("{own}/{label}"),
            None => label.to_string(),
        };
        Self { inner: self.inner.clone(), label: Some(label.into()) }
    }

    pub(super) fn unlabeled(&self) -> Self {
        Self { inner: self.inner.clone(), label: None }
    }

    /// Whether both are one wgpu device: faults are kept once for each.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner.faults, &other.inner.faults)
    }

    /// The label of what is made, else what it is.
    pub(super) fn label<'a>(&'a self, what: &'a str) -> &'a str {
        self.label.as_deref().unwrap_or(what)
    }

    /// Builds pipelines with this cache from now on: one of the caller's, who alone may vouch for its data (which is
    /// `unsafe` in wgpu) and keeps it for the next start. To be set before the first kernel is launched.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is a cache already.
    pub fn set_pipeline_cache(&self, cache: wgpu::PipelineCache) -> Result<()> {
        if self.inner.pipelines.set_cache(cache) {
            return Ok(());
        }
        let (op, arg) = ("Gpu::set_pipeline_cache", "cache");
        Err(Error::Argument { op, arg, expected: "set once".to_owned(), got: "a second one".to_owned() })
    }

    /// What it was asked to do so far.
    pub fn counts(&self) -> GpuCounts {
        self.inner.counters.read()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    pub(super) fn clock(&self) -> &Arc<GpuClock> {
        &self.inner.clock
    }

    pub(super) fn pipeline(&self, key: &Key) -> Pipeline {
        self.inner.pipelines.get(key, self.counters())
    }

    pub(super) fn create_buffer(&self, descriptor: &wgpu::BufferDescriptor<'_>) -> wgpu::Buffer {
        self.counters().buffers.add(1);
        self.device().create_buffer(descriptor)
    }

    pub(super) fn bind_group(
        &self,
        label: &str,
        layout: &wgpu::BindGroupLayout,
        entries: &[wgpu::BindGroupEntry<'_>],
    ) -> wgpu::BindGroup {
        self.counters().bind_groups.add(1);
        self.device().create_bind_group(&wgpu::BindGroupDescriptor { label: Some(label), layout, entries })
    }

    /// [`crate::rng::NORMAL_TABLE`] on this GPU, uploaded once.
    pub(crate) fn normal_table(&self) -> Result<&wgpu::Buffer> {
        let table = &self.inner.normal_table;
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
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: true };
        let buffer = self.create_buffer(&descriptor);
        self.counters().bytes_uploaded.add(bytes.len() as u64);
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
            let layout = self.inner.one_buffer.get_or_init(|| {
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
        self.inner.faults.check()
    }

    /// The same, and whether a borrowed device is lost, of which nobody tells us.
    pub(super) fn check_alive(&self) -> Result<()> {
        if self.inner.borrowed {
            self.inner.faults.is_lost();
        }
        self.check()
    }

    /// Runs what may raise errors in wgpu and returns the first: that of wgpu, else that of `run`.
    pub(super) fn guarded<R>(&self, run: impl FnOnce() -> Result<R>) -> Result<R> {
        let faults = &self.inner.faults;
        if !self.inner.borrowed {
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
        self.inner.faults.explain(message)
    }

    pub(super) fn encoder(&self, label: &str) -> Result<wgpu::CommandEncoder> {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some(label) };
        self.guarded(|| Ok(self.device().create_command_encoder(&descriptor)))
    }

    /// Finishes an encoder and submits it.
    pub(super) fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex> {
        self.check()?;
        self.counters().submissions.add(1);
        let submitted = self.guarded(|| Ok(self.queue().submit([encoder.finish()])))?;
        self.check_alive()?;
        Ok(submitted)
    }

    /// Runs the callbacks of what is done, and frees what is dropped. What else was reported is left to the next check.
    pub(crate) fn poll(&self, how: wgpu::PollType) -> Result<()> {
        self.inner.faults.poll(how).map(drop)
    }

    /// Has the device polled by a thread of its own until a signal has its outcome.
    pub(super) fn watch(&self, signal: Arc<Signal>) -> Result<()> {
        self.inner.waiter.watch(&self.inner.faults, signal)
    }

    /// Blocks until all submitted work is done.
    pub(crate) fn wait(&self) -> Result<()> {
        self.wait_for(None)
    }

    /// Blocks until a submission is done, and all before it; or all there are.
    pub(crate) fn wait_for(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.counters().waits.add(1);
        self.inner.faults.poll(wgpu::PollType::Wait { submission_index, timeout: None })?;
        self.check_alive()
    }
}

impl PartialEq for Gpu {
    /// Two handles of one device.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner.faults, &other.inner.faults)
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.describe())
    }
}
