//! Kernel launches: the trait every operator implements, and a list of launches that is submitted as one.

use super::buffer::check_words;
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

    /// Records into a caller's compute pass. Never submits, polls, blocks or reads back. The pass has another pipeline, bind group 0 and
    /// immediates afterwards.
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
    kernel.dispatch(gpu, &mut list)?;
    Ok(list)
}

/// Launches collected for one submission. Dropped without [`submit`](Commands::submit), a GPU's launches never run.
#[must_use = "a GPU's launches run when they are submitted"]
pub struct Commands(Option<Recording>);

struct Recording {
    gpu: Gpu,
    // Declared before the encoder: a pass must end before its encoder goes.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: wgpu::CommandEncoder,
    timeline: Option<Timeline>,
}

impl Commands {
    pub(super) fn new(device: &Device) -> Self {
        Self(device.as_gpu().map(|gpu| Recording {
            gpu: gpu.clone(),
            pass: None,
            encoder: gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("scall-gpu") }),
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
                list.record(recording.pass(K::NAME));
                Ok(())
            }
        }
    }

    /// Copies the first `len` elements of `from` over those of `to`.
    ///
    /// # Errors
    /// [`Error::Shape`] when one is shorter; [`Error::Argument`] when `len` ends within a 32-bit word of `to`;
    /// [`Error::Buffer`] when they live elsewhere.
    pub fn copy<T: Element>(&mut self, from: &Buffer<T>, to: &mut Buffer<T>, len: usize) -> Result<()> {
        for (arg, has) in [("from", from.len()), ("to", to.len())] {
            if has < len {
                return Err(Error::Shape { op: "copy", arg, expected: len as u64, got: has as u64 });
            }
        }
        check_words::<T>("copy", len, to.len())?;
        match &mut self.0 {
            None => to.host_mut("copy", "to")?[..len].copy_from_slice(&from.host("copy", "from")?[..len]),
            Some(recording) => {
                let bytes = ((len * size_of::<T>()) as u64).next_multiple_of(4);
                if bytes > 0 {
                    recording.pass = None;
                    let (source, target) = (from.on(&recording.gpu, "from")?, to.on(&recording.gpu, "to")?);
                    recording.encoder.copy_buffer_to_buffer(source, 0, target, 0, bytes);
                }
            }
        }
        Ok(())
    }

    /// Sets every element of `to` to zero.
    ///
    /// # Errors
    /// [`Error::Buffer`] when it lives elsewhere.
    pub fn clear<T: Element>(&mut self, to: &mut Buffer<T>) -> Result<()> {
        match &mut self.0 {
            None => to.host_mut("clear", "to")?.fill(T::zeroed()),
            Some(recording) => {
                recording.pass = None;
                recording.encoder.clear_buffer(to.on(&recording.gpu, "to")?, 0, None);
            }
        }
        Ok(())
    }

    /// Submits everything launched; does not wait.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] or [`Error::Gpu`] when the GPU has reported either.
    pub fn submit(self) -> Result<()> {
        let Some(Recording { gpu, pass, mut encoder, timeline }) = self.0 else {
            return Ok(());
        };
        drop(pass);
        if let Some(timeline) = timeline {
            timeline.finish(&mut encoder);
        }
        gpu.submit(encoder.finish())
    }
}

impl Recording {
    fn pass(&mut self, kernel: &'static str) -> &mut wgpu::ComputePass<'static> {
        let Self { pass, encoder, timeline, .. } = self;
        // One pass for all launches, unless each is timed: encoders with thousands of passes slow every later submit.
        if timeline.is_some() {
            *pass = None;
        }
        pass.get_or_insert_with(|| {
            let timestamp_writes = timeline.as_mut().map(|timeline| timeline.next(kernel));
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            encoder.begin_compute_pass(&descriptor).forget_lifetime()
        })
    }
}
