//! What a device has to allow for the shaders.

use super::SHADERS;
use crate::device::Shader;
use crate::device::shader::MAX_SHARED_BYTES;
use crate::{Error, Result};

/// What a device has to allow for a shader of the crate: no feature, and these limits, none of which is above WebGPU's
/// defaults.
///
/// Two features are used where a device has them: immediates, which spare parameters a buffer, and 64-bit integers, for
/// products. The bits are the same with and without. Sizes of buffers are as the arguments want them; where a device
/// binds less, a table has more pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// The shader's name, which is its kernel's: `family/kernel`. A kernel may use the shaders of others, such as
    /// `table/update` that of `prim/sort`; of a kernel with its arguments,
    /// [`KernelPipelines::shaders`](crate::device::KernelPipelines::shaders) names all.
    pub shader: &'static str,
    /// `max_storage_buffers_per_shader_stage`.
    pub storage_buffers: u32,
    /// `max_compute_invocations_per_workgroup` and `max_compute_workgroup_size_x`.
    pub threads: u32,
    /// `max_compute_workgroup_storage_size`.
    pub workgroup_bytes: u32,
    /// Bytes of parameters: of immediates (`max_immediate_size`) where a device has them, else of a uniform.
    pub params_bytes: u32,
}

impl Requirements {
    fn of(shader: &Shader) -> Self {
        let most = |number: fn(&crate::device::Entry) -> u32| shader.entries.iter().map(number).max().unwrap_or(0);
        Self {
            shader: shader.name,
            storage_buffers: most(|entry| entry.bindings.len() as u32),
            threads: most(|entry| entry.workgroup),
            workgroup_bytes: MAX_SHARED_BYTES,
            params_bytes: 4 * shader.param_words() as u32,
        }
    }

    /// Whether a device with these limits runs the shader.
    ///
    /// # Errors
    /// [`Error::Limit`] with the first limit that is too low. A launch on such a device gives the same.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::kernels::requirements;
    /// use scall_gpu::wgpu;
    /// let defaults = wgpu::Limits::default();
    /// assert!(requirements().all(|needed| needed.check(&defaults).is_ok()));
    /// // Four storage buffers are too few for an update.
    /// let low = wgpu::Limits::downlevel_defaults();
    /// let update = requirements().find(|needed| needed.shader == "table/update").unwrap();
    /// assert_eq!(update.storage_buffers, 8);
    /// assert!(update.check(&low).is_err());
    /// ```
    pub fn check(&self, limits: &wgpu::Limits) -> Result<()> {
        for (limit, allowed, requested) in [
            ("max_storage_buffers_per_shader_stage", limits.max_storage_buffers_per_shader_stage, self.storage_buffers),
            ("max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup, self.threads),
            ("max_compute_workgroup_size_x", limits.max_compute_workgroup_size_x, self.threads),
            ("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size, self.workgroup_bytes),
        ] {
            if requested > allowed {
                let (op, arg, allowed, requested) = (self.shader, "device", allowed.into(), requested.into());
                return Err(Error::Limit { op, arg, limit, allowed, requested });
            }
        }
        Ok(())
    }
}

/// What a device has to allow for each shader of the crate.
pub fn requirements() -> impl ExactSizeIterator<Item = Requirements> {
    SHADERS.iter().map(|shader| Requirements::of(shader))
}
