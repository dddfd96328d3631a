//! Pipelines built before they are needed.

use std::collections::HashSet;

use rayon::prelude::*;

use super::gpu::Gpu;
use super::pipeline::Key;
use crate::Result;

/// The pipelines that a kernel's dispatches need, see [`Gpu::warm_up`].
pub struct KernelPipelines(pub(super) Vec<Key>);

impl KernelPipelines {
    /// The shaders that they are of, each once: what [`requirements`](crate::kernels::requirements) knows of.
    pub fn shaders(&self) -> impl Iterator<Item = &'static str> {
        let mut names: Vec<_> = self.0.iter().map(|key| key.shader.name).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }
}

impl Gpu {
    /// Builds the pipelines of some kernels, side by side on rayon's threads, so that the first launch does not wait
    /// for a compiler. Those that are built are not built again, and a shader is compiled once for all of its entry
    /// points.
    ///
    /// What a pipeline is depends on the arguments: on the format of rows, and on the widths, as lanes follow them.
    ///
    /// ```
    /// use scall_gpu::device::{Buffer, Device, Kernel};
    /// use scall_gpu::kernels::prim::scan::Scan;
    /// # fn main() -> scall_gpu::Result<()> {
    /// # let (device, queue) = scall_gpu::wgpu::Device::noop(&Default::default());
    /// # let device = Device::from_wgpu(device, queue);
    /// # let gpu = device.as_gpu().expect("it is one");
    /// let mut values = Buffer::from_slice(&device, &[1u32, 2, 3])?;
    /// let mut workspace = Buffer::zeroed(&device, 1)?;
    /// let scan = Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace };
    /// gpu.warm_up(&[scan.pipelines(gpu)?])?;
    /// let warm = gpu.counts();
    /// Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace }.run(&device)?;
    /// assert_eq!((gpu.counts() - warm).pipelines, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What the device reports.
    pub fn warm_up(&self, kernels: &[KernelPipelines]) -> Result<()> {
        let keys: HashSet<&Key> = kernels.iter().flat_map(|kernel| &kernel.0).collect();
        // Each thread has error scopes of its own.
        keys.into_par_iter().try_for_each(|key| {
            self.guarded(|| {
                self.pipeline(key);
                Ok(())
            })
        })
    }
}
