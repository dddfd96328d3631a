//! Medians.

use std::hint::black_box;
use std::time::Instant;

use scall_gpu::Result;

/// Runs things often enough.
pub struct Timer {
    /// At least so long a case.
    pub seconds: f64,
}

impl Timer {
    /// Median seconds of a run, after one that warms up.
    pub fn median(&self, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
        run()?;
        let begin = Instant::now();
        let mut times = Vec::new();
        while times.len() < 5 || (begin.elapsed().as_secs_f64() < self.seconds && times.len() < 1000) {
            let start = Instant::now();
            run()?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    /// The same of a plain loop.
    pub fn naive<T>(&self, mut run: impl FnMut() -> T) -> Result<f64> {
        self.median(|| {
            black_box(run());
            Ok(())
        })
    }
}
