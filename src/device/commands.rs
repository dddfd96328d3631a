//! A list of launches, copies and clears that is submitted as one.

use super::bind_groups::BindGroups;
use super::buffer::{Buffer, check_words};
use super::element::{Element, bytes_of};
use super::gpu::Gpu;
use super::place::Device;
use super::readback::{ReadFuture, Readback};
use super::timing::Timeline;
use crate::{Error, Result};

/// Launches collected for one submission. Dropped without [`submit`](Commands::submit), a GPU's launches never run.
#[must_use = "a GPU's launches run when they are submitted"]
pub struct Commands(Option<Recording>);

struct Recording {
    gpu: Gpu,
    // Declared before the encoder: a pass must end before its encoder goes.
    pass: Option<wgpu::ComputePass<'static>>,
    /// Made by the first launch.
    encoder: Option<wgpu::CommandEncoder>,
    timeline: Option<Timeline>,
    groups: Option<BindGroups>,
}

impl Device {
    /// Starts a list of kernel launches. On the CPU each runs at once; on a GPU they run when submitted.
    pub fn commands(&self) -> Commands {
        Commands(self.as_gpu().map(|gpu| Recording {
            gpu: gpu.clone(),
            pass: None,
            encoder: None,
            timeline: Timeline::start(gpu),
            groups: None,
        }))
    }
}

impl Commands {
    /// The same, which takes its bind groups from these and leaves new ones there.
    pub(crate) fn with_groups(mut self, groups: &BindGroups) -> Self {
        if let Some(recording) = &mut self.0 {
            recording.groups = Some(groups.clone());
        }
        self
    }

    /// The bind groups that it was given.
    pub(super) fn groups(&self) -> Option<BindGroups> {
        self.0.as_ref().and_then(|recording| recording.groups.clone())
    }

    /// The GPU that the launches are for, if it is one.
    pub(super) fn gpu(&self) -> Option<&Gpu> {
        self.0.as_ref().map(|recording| &recording.gpu)
    }

    /// The pass that the dispatches of a kernel go into, on a GPU.
    pub(super) fn pass(&mut self, kernel: &'static str) -> Result<&mut wgpu::ComputePass<'static>> {
        self.0.as_mut().expect("commands of a GPU").pass(kernel)
    }

    /// Copies the first `len` elements of `from` over those of `to`.
    ///
    /// # Errors
    /// [`Error::Shape`] when one is shorter; [`Error::Argument`] when `len` ends within a 32-bit word of `to`;
    /// [`Error::Buffer`] when they live elsewhere, are wrapped without the usages `COPY_SRC` and `COPY_DST`, or wrap
    /// one wgpu buffer.
    pub fn copy<T: Element>(&mut self, from: &Buffer<T>, to: &mut Buffer<T>, len: usize) -> Result<()> {
        let op = "Commands::copy";
        for (arg, has) in [("from", from.len()), ("to", to.len())] {
            if has < len {
                return Err(Error::Shape { op, arg, expected: len as u64, got: has as u64 });
            }
        }
        check_words::<T>(op, len, to.len())?;
        match &mut self.0 {
            None => to.host_mut(op, "to")?[..len].copy_from_slice(&from.host(op, "from")?[..len]),
            Some(recording) => {
                let (source, target) = (from.on(&recording.gpu, op, "from")?, to.on(&recording.gpu, op, "to")?);
                source.check_usage(op, "from", wgpu::BufferUsages::COPY_SRC)?;
                target.check_usage(op, "to", wgpu::BufferUsages::COPY_DST)?;
                if source.buffer() == target.buffer() {
                    let (expected, got) = ("a buffer of its own", "that of `from`".to_owned());
                    return Err(Error::Buffer { op, arg: "to", expected, got });
                }
                let bytes = bytes_of::<T>(len).next_multiple_of(4);
                if bytes > 0 {
                    recording.gpu.counters().copies.add(1);
                    let encoder = recording.encoder_between_passes()?;
                    let (from, to) = (source.offset(), target.offset());
                    encoder.copy_buffer_to_buffer(source.buffer(), from, target.buffer(), to, bytes);
                }
            }
        }
        Ok(())
    }

    /// Sets every element of `to` to zero.
    ///
    /// # Errors
    /// [`Error::Buffer`] when it lives elsewhere, or is wrapped without the usage `COPY_DST`.
    pub fn clear<T: Element>(&mut self, to: &mut Buffer<T>) -> Result<()> {
        let op = "Commands::clear";
        match &mut self.0 {
            None => to.host_mut(op, "to")?.fill(T::zeroed()),
            Some(recording) => {
                let target = to.on(&recording.gpu, op, "to")?;
                target.check_usage(op, "to", wgpu::BufferUsages::COPY_DST)?;
                recording.gpu.counters().clears.add(1);
                let encoder = recording.encoder_between_passes()?;
                encoder.clear_buffer(target.buffer(), target.offset(), Some(target.size()));
            }
        }
        Ok(())
    }

    /// Reads a buffer as it is after all that was launched before: at once on the CPU; on a GPU once it is submitted.
    pub(crate) fn read<T: Element>(&mut self, from: &Buffer<T>) -> Result<Reading<T>> {
        let op = "Commands::read";
        match &mut self.0 {
            None => Ok(Reading(ReadFuture::Ready(Some(Ok(from.host(op, "from")?.to_vec()))))),
            Some(recording) => {
                let source = from.on(&recording.gpu, op, "from")?;
                let readback = Readback::record(op, source, from.len(), recording.encoder_between_passes()?)?;
                Ok(Reading(readback.into()))
            }
        }
    }

    /// Submits everything launched; does not wait.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] or [`Error::Gpu`] when the GPU has reported either.
    pub fn submit(self) -> Result<()> {
        self.submit_one().map(drop)
    }

    /// The same; says which submission it is, if there is one.
    pub(crate) fn submit_one(self) -> Result<Option<wgpu::SubmissionIndex>> {
        let Some(Recording { gpu, pass, encoder, timeline, .. }) = self.0 else {
            return Ok(None);
        };
        drop(pass);
        let Some(mut encoder) = encoder else {
            return gpu.check().map(|()| None);
        };
        if let Some(timeline) = timeline {
            gpu.guarded(|| {
                timeline.finish(&mut encoder);
                Ok(())
            })?;
        }
        gpu.submit(encoder).map(Some)
    }
}

/// What a buffer holds when its commands come to it.
pub(crate) struct Reading<T>(ReadFuture<T>);

impl<T: Element> Reading<T> {
    /// Blocks until the elements are there. Their commands have to be submitted.
    pub fn wait(self) -> Result<Vec<T>> {
        self.0.wait()
    }
}

impl Recording {
    fn pass(&mut self, kernel: &'static str) -> Result<&mut wgpu::ComputePass<'static>> {
        // One pass for all launches, unless each is timed: encoders with thousands of passes slow every later submit.
        if self.pass.is_none() || self.timeline.is_some() {
            self.pass = None;
            let encoder = encoder(&self.gpu, &mut self.encoder)?;
            self.gpu.counters().passes.add(1);
            let timeline = &mut self.timeline;
            self.pass = Some(self.gpu.guarded(|| {
                let timestamp_writes = timeline.as_mut().map(|timeline| timeline.next(kernel));
                let label = Some(if timestamp_writes.is_some() { kernel } else { self.gpu.label(LABEL) });
                let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes };
                Ok(encoder.begin_compute_pass(&descriptor).forget_lifetime())
            })?);
        }
        Ok(self.pass.as_mut().expect("it has just been made"))
    }

    /// The encoder, after the pass.
    fn encoder_between_passes(&mut self) -> Result<&mut wgpu::CommandEncoder> {
        self.pass = None;
        encoder(&self.gpu, &mut self.encoder)
    }
}

const LABEL: &str = "scall-gpu";

fn encoder<'a>(gpu: &Gpu, made: &'a mut Option<wgpu::CommandEncoder>) -> Result<&'a mut wgpu::CommandEncoder> {
    if made.is_none() {
        *made = Some(gpu.encoder(gpu.label(LABEL))?);
    }
    Ok(made.as_mut().expect("it has just been made"))
}
