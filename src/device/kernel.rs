//! What every operator implements, and what records one.

use super::bind_groups::BindGroups;
use super::commands::Commands;
use super::dispatches::Dispatches;
use super::gpu::Gpu;
use super::place::Device;
use super::prepared::{Changes, Prepared};
use super::timing::timed;
use super::warm_up::KernelPipelines;
use crate::{Error, Result};

/// An operator with its arguments: a struct with named fields, checked, then launched.
///
/// The trait is sealed: its operators are those of this crate. What an operator declares of its shader (codecs,
/// parameters, variants) is held to the WGSL by tests of the crate and will change with it. A kernel of the caller's
/// own is a pipeline of the caller's: it goes into the same pass, and binds a [`Buffer`](super::Buffer) by
/// [`as_wgpu_binding`](super::Buffer::as_wgpu_binding). The example `train_in_your_pass` has one.
///
/// Three ways in: [`run`](Kernel::run) on a device, [`Commands::run`] to submit several as one, and
/// [`record`](Kernel::record) into a compute pass of the caller's own. All give the same result and the same errors.
pub trait Kernel: Sized + sealed::Operator {
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
        Pass::new(gpu, pass).run(self)
    }

    /// Makes its dispatches for a GPU once, to be recorded any number of times.
    ///
    /// # Errors
    /// Those of [`check`](Kernel::check) and [`dispatch`](Kernel::dispatch).
    fn prepare(self, gpu: &Gpu) -> Result<Prepared> {
        let changes = self.changes();
        Prepared::new(gpu, listed(self, gpu, None)?, changes)
    }

    /// How the parameters of the dispatches follow a change of a prepared kernel.
    #[doc(hidden)]
    fn changes(&self) -> Changes {
        Box::new(|_, _| Ok(false))
    }

    /// The pipelines that it needs on a GPU, to be built beforehand by [`Gpu::warm_up`].
    ///
    /// # Errors
    /// Those of [`check`](Kernel::check) and [`dispatch`](Kernel::dispatch).
    fn pipelines(self, gpu: &Gpu) -> Result<KernelPipelines> {
        self.check()?;
        let mut list = Dispatches::of_pipelines(Self::NAME);
        gpu.guarded(|| self.dispatch(gpu, &mut list))?;
        Ok(KernelPipelines(list.keys()))
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

/// Something that kernels are recorded by: [`Commands`], which are submitted as one, or a [`Pass`] of the caller's.
///
/// What takes a recorder, such as every `record_` method of a [`RaggedTable`](crate::table::RaggedTable), never
/// submits, polls, blocks or reads back. It works on the device of the recorder, and on no other. (On the CPU, commands
/// run each kernel at once.)
pub trait Recorder: sealed::Sealed {
    /// Records a kernel.
    ///
    /// # Errors
    /// The kernel's own; what was recorded before stays.
    fn run<K: Kernel>(&mut self, kernel: K) -> Result<()>;

    /// Records a prepared kernel.
    ///
    /// # Errors
    /// [`Error::Buffer`] for one of another device; what was recorded before stays.
    fn replay(&mut self, prepared: &mut Prepared) -> Result<()>;
}

/// A compute pass of the caller's, and the GPU that it is for.
///
/// The pass has to be of the same device, and is the caller's to end and to submit. Afterwards it has another pipeline,
/// bind group 0 and immediates.
///
/// ```
/// use scall_gpu::device::{Buffer, Device, Pass, Recorder};
/// use scall_gpu::kernels::prim::scan::Scan;
/// # fn main() -> scall_gpu::Result<()> {
/// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
/// let device = Device::from_wgpu(device, queue);
/// let gpu = device.as_gpu().expect("it is one");
/// let mut values = Buffer::from_slice(&device, &[1u32, 2, 3])?;
/// let mut workspace = Buffer::zeroed(&device, 1)?;
///
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// Pass::new(gpu, &mut pass).run(Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace })?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// # Ok(()) }
/// ```
pub struct Pass<'a, 'p> {
    gpu: &'a Gpu,
    pass: &'a mut wgpu::ComputePass<'p>,
}

impl<'a, 'p> Pass<'a, 'p> {
    /// Kernels go into this pass.
    pub fn new(gpu: &'a Gpu, pass: &'a mut wgpu::ComputePass<'p>) -> Self {
        Self { gpu, pass }
    }
}

impl Recorder for Pass<'_, '_> {
    fn run<K: Kernel>(&mut self, kernel: K) -> Result<()> {
        let mut list = listed(kernel, self.gpu, None)?;
        list.finish(self.gpu)?;
        // What a lost device gives is invalid, and would be an error of the caller's encoder.
        self.gpu.check_alive()?;
        list.record(self.gpu, self.pass, 0);
        Ok(())
    }

    fn replay(&mut self, prepared: &mut Prepared) -> Result<()> {
        check_device(prepared, Some(self.gpu))?;
        prepared.record(self.pass)
    }
}

/// Whether a prepared kernel is one of the device that records.
fn check_device(prepared: &Prepared, gpu: Option<&Gpu>) -> Result<()> {
    if gpu.is_some_and(|gpu| gpu == prepared.gpu()) {
        return Ok(());
    }
    let (arg, expected) = ("prepared", "a kernel prepared for the device that records");
    Err(Error::Buffer { op: prepared.name(), arg, expected, got: format!("{prepared:?}") })
}

impl Commands {
    /// Launches a kernel.
    ///
    /// # Errors
    /// The kernel's own; what was launched before stays.
    pub fn run<K: Kernel>(&mut self, kernel: K) -> Result<()> {
        match self.gpu().cloned() {
            None => {
                kernel.check()?;
                timed(K::NAME, || kernel.twin())
            }
            Some(gpu) => {
                let mut list = listed(kernel, &gpu, self.groups())?;
                list.finish(&gpu)?;
                list.record(&gpu, self.pass(K::NAME)?, 0);
                Ok(())
            }
        }
    }

    /// Launches a prepared kernel, on a GPU.
    ///
    /// # Errors
    /// [`Error::Buffer`] for one of another device; what was launched before stays.
    pub fn replay(&mut self, prepared: &mut Prepared) -> Result<()> {
        check_device(prepared, self.gpu())?;
        prepared.record(self.pass(prepared.name())?)
    }
}

impl Recorder for Commands {
    fn run<K: Kernel>(&mut self, kernel: K) -> Result<()> {
        self.run(kernel)
    }

    fn replay(&mut self, prepared: &mut Prepared) -> Result<()> {
        self.replay(prepared)
    }
}

/// The dispatches of a kernel whose arguments are sound, with bind groups that are kept or its own.
fn listed<K: Kernel>(kernel: K, gpu: &Gpu, groups: Option<BindGroups>) -> Result<Dispatches> {
    kernel.check()?;
    list(Dispatches::new(K::NAME, gpu, groups), gpu, |list| kernel.dispatch(gpu, list))
}

/// A list with the dispatches that a function adds.
fn list(mut list: Dispatches, gpu: &Gpu, dispatch: impl FnOnce(&mut Dispatches) -> Result<()>) -> Result<Dispatches> {
    gpu.guarded(|| dispatch(&mut list))?;
    Ok(list)
}

#[cfg(test)]
impl Pass<'_, '_> {
    /// What kernels have in common, by itself.
    pub(crate) fn record(&mut self, dispatch: impl FnOnce(&mut Dispatches) -> Result<()>) -> Result<()> {
        let mut list = list(Dispatches::new("test", self.gpu, None), self.gpu, dispatch)?;
        list.finish(self.gpu)?;
        list.record(self.gpu, self.pass, 0);
        Ok(())
    }
}

pub(crate) mod sealed {
    /// What this crate has as kernels, see the list in `kernels/mod.rs`.
    pub trait Operator {}

    /// Only what is in this file records.
    pub trait Sealed {}
    impl Sealed for super::Commands {}
    impl Sealed for super::Pass<'_, '_> {}
}
