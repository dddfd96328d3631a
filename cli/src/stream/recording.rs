//! The trace of a run, where one is wanted.

use std::sync::Arc;

use scall_gpu::Result;
use scall_gpu::device::Device;

use super::args::Args;
use super::trace::Trace;
use crate::common::also_to;

/// What `--trace` asks for.
pub struct Recording(Option<Arc<Trace>>);

impl Recording {
    /// Hears spans and kernels from now on; `resumed` says whether a run goes on that was kept.
    ///
    /// # Errors
    /// Those of [`Trace::open`].
    pub fn begin(args: &Args, resumed: bool) -> Result<Self> {
        let trace = args.trace.as_deref().map(|path| Trace::open(path, resumed)).transpose()?;
        if let Some(trace) = &trace {
            also_to(trace.clone());
        }
        Ok(Self(trace))
    }

    /// Says where the run is, and that its options are good: what was there before in the trace's file goes now.
    ///
    /// # Errors
    /// For a file that cannot be written.
    pub fn run_begins(&self, device: &Device) -> Result<()> {
        if let (Some(trace), Some(_)) = (&self.0, device.as_gpu()) {
            trace.gpu_is(&device.describe());
        }
        self.flush()
    }

    /// Writes what the trace holds back.
    ///
    /// # Errors
    /// What writing reports.
    pub fn flush(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |trace| trace.flush())
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// What writing reports.
    pub fn finish(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |trace| trace.finish())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // The run has failed, and says so; or the trace is at its end already.
        self.0.iter().for_each(|trace| drop(trace.close()));
    }
}
