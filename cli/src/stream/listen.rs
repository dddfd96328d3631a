//! Those who hear of spans and kernels. A program has one listener for all of them.

use std::sync::Arc;

use scall_gpu::Result;
use scall_gpu::device::Device;

use super::args::{Args, Profile};
use super::trace::Trace;
use crate::kernel_times::KernelTimes;

/// What the flags want to hear.
pub struct Listeners {
    /// For the profile.
    pub kernels: Option<Arc<KernelTimes>>,
    pub trace: Option<Arc<Trace>>,
}

impl Listeners {
    /// Listens from now on; `resumed` says whether a run goes on that was kept.
    ///
    /// # Errors
    /// Those of [`Trace::open`].
    pub fn begin(args: &Args, resumed: bool) -> Result<Self> {
        let kernels = (args.profile == Some(Profile::Times)).then(Arc::<KernelTimes>::default);
        let trace = args.trace.as_deref().map(|path| Trace::open(path, resumed, kernels.clone())).transpose()?;
        let set = match (&trace, &kernels) {
            (Some(trace), _) => tracing::subscriber::set_global_default(trace.clone()),
            (None, Some(kernels)) => tracing::subscriber::set_global_default(kernels.clone()),
            (None, None) => Ok(()),
        };
        set.expect("this program has no other listener");
        Ok(Self { kernels, trace })
    }

    /// Says where the run is, and that its options are good: what was there before in the trace's file goes now.
    ///
    /// # Errors
    /// For a file that cannot be written.
    pub fn run_begins(&self, device: &Device) -> Result<()> {
        if let (Some(trace), Some(_)) = (&self.trace, device.as_gpu()) {
            trace.gpu_is(&device.describe());
        }
        self.flush()
    }

    /// Writes what the trace holds back, if there is one.
    ///
    /// # Errors
    /// What writing reports.
    pub fn flush(&self) -> Result<()> {
        self.trace.as_ref().map_or(Ok(()), |trace| trace.flush())
    }

    /// Ends the trace, if there is one.
    ///
    /// # Errors
    /// What writing reports.
    pub fn finish(&self) -> Result<()> {
        self.trace.as_ref().map_or(Ok(()), |trace| trace.finish())
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        // The run has failed, and says so; or the trace is at its end already.
        self.trace.iter().for_each(|trace| drop(trace.close()));
    }
}
