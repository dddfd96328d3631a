//! Kernel launches: the trait every operator implements, and a list of launches that is submitted as one.

use super::buffer::check_words;
use super::element::bytes_of;
use super::profile::{Timeline, timed};
use super::{Buffer, Device, Dispatches, Element, Gpu};
use crate::{Error, Result};

/// An operator with its arguments: a struct with named fields, checked, then launched.
///
/// Three ways in: [`run`](Kernel::run) on a device, [`Commands::run`] to submit several as one, and
/// [`record`](Kernel::record) into a compute pass of the caller's own. All give the same result and the same errors.
pub trait Kernel: Sized {
    /// `family/kernel`, the name of its room, shader, label and bench.
    const NAME: &'static str;

    /// Checks the arguments against each other. Every launch begins with it; after an error nothing has been written.
    ///
    /// # Errors
    /// Names the operator and the argument.
    fn check(&self) -> Result<()>;

    /// The GPU side, after [`check`](Kernel::check): lists dispatches and does nothing else.
    ///
    /// # Errors
    /// Buffers of another device, or a launch past the device's limits.
    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()>;

    /// The CPU side, after [`check`](Kernel::check).
    ///
    /// # Errors
    /// Buffers that do not live on the CPU.
    fn twin(self) -> Result<()>;

    /// Records into a caller's compute pass. Never submits, polls, blocks or reads back. The pass has another pipeline,
    /// bind group 0 and immediates afterwards.
    ///
    /// # Errors
    /// Those of [`check`](Kernel::check) and [`dispatch`](Kernel::dispatch); nothing has been recorded then.
    fn record(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        listed(self, gpu)?.record(pass);
        Ok(())
    }

    /// Runs on the device: at once on the CPU, as one submission on a GPU (which does not wait for its end).
    ///
    /// # Errors
    /// Those of [`check`](Kernel::check), and what the device reports.
    fn run(self, device: &Device) -> Result<()> {
        let mut commands = device.commands();
        commands.run(self)?;
        commands.submit()
    }
}

/// The dispatches of a kernel whose arguments are sound.
fn listed<K: Kernel>(kernel: K, gpu: &Gpu) -> Result<Dispatches> {
    kernel.check()?;
    let mut list = Dispatches::default();
    gpu.guarded(|| kernel.dispatch(gpu, &mut list))?;
    Ok(list)
}

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
}

impl Commands {
    pub(super) fn new(device: &Device) -> Self {
        Self(device.as_gpu().map(|gpu| Recording {
            gpu: gpu.clone(),
            pass: None,
            encoder: None,
            timeline: Timeline::start(gpu),
        }))
    }

    /// Launches a kernel.
    ///
    /// # Errors
    /// The kernel's own; what was launched before stays.
    pub fn run<K: Kernel>(&mut self, kernel: K) -> Result<()> {
        match &mut self.0 {
            None => {
                kernel.check()?;
                timed(K::NAME, || kernel.twin())
            }
            Some(recording) => {
                let list = listed(kernel, &recording.gpu)?;
                list.record(recording.pass(K::NAME)?);
                Ok(())
            }
        }
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
                let encoder = recording.encoder_between_passes()?;
                encoder.clear_buffer(target.buffer(), target.offset(), Some(target.size()));
            }
        }
        Ok(())
    }

    /// Submits everything launched; does not wait.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] or [`Error::Gpu`] when the GPU has reported either.
    pub fn submit(self) -> Result<()> {
        let Some(Recording { gpu, pass, encoder, timeline }) = self.0 else {
            return Ok(());
        };
        drop(pass);
        let Some(mut encoder) = encoder else {
            return gpu.check();
        };
        if let Some(timeline) = timeline {
            gpu.guarded(|| {
                timeline.finish(&mut encoder);
                Ok(())
            })?;
        }
        gpu.submit(encoder)
    }
}

impl Recording {
    fn pass(&mut self, kernel: &'static str) -> Result<&mut wgpu::ComputePass<'static>> {
        // One pass for all launches, unless each is timed: encoders with thousands of passes slow every later submit.
        if self.pass.is_none() || self.timeline.is_some() {
            self.pass = None;
            let encoder = encoder(&self.gpu, &mut self.encoder)?;
            let timeline = &mut self.timeline;
            self.pass = Some(self.gpu.guarded(|| {
                let timestamp_writes = timeline.as_mut().map(|timeline| timeline.next(kernel));
                let label = Some(if timestamp_writes.is_some() { kernel } else { LABEL });
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
        *made = Some(gpu.encoder(LABEL)?);
    }
    Ok(made.as_mut().expect("it has just been made"))
}
