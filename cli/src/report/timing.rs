//! Medians.

use std::time::Instant;

use scall_gpu::Result;

use crate::kernel_times::seconds_of;

/// Runs things often enough.
pub struct Timer {
    /// At least so long a case.
    pub seconds: f64,
    /// Whether there are timestamps of a GPU to ask for.
    pub gpu: bool,
}

/// Seconds of a run.
#[derive(Clone, Copy)]
pub struct Time {
    pub wall: f64,
    /// By a GPU's timestamps: its kernels alone, without what lies between them.
    pub kernels: Option<f64>,
}

impl Time {
    /// Of one of `count` equal parts.
    pub fn part(self, count: u32) -> Self {
        let part = |seconds: f64| seconds / f64::from(count);
        Self { wall: part(self.wall), kernels: self.kernels.map(part) }
    }

    /// What the device was busy for, as well as it is known.
    pub fn device(self) -> f64 {
        self.kernels.unwrap_or(self.wall)
    }
}

/// Runs whose timestamps are read.
const STAMPED: usize = 9;

/// Seconds until the clock of a GPU has risen, at least: while a case is made it falls.
const WARM_UP: f64 = 0.3;

impl Timer {
    /// Medians of a run, after others that warm up: a GPU that was idle a while begins at a low clock.
    pub fn median(&self, run: &mut dyn FnMut() -> Result<()>) -> Result<Time> {
        let begin = Instant::now();
        while self.gpu && begin.elapsed().as_secs_f64() < self.seconds.max(WARM_UP) {
            run()?;
        }
        let wall = self.wall(run)?;
        let mut stamped = Vec::new();
        for _ in 0..if self.gpu { STAMPED } else { 0 } {
            let mut result = Ok(());
            stamped.extend(seconds_of(|| result = run()));
            result?;
        }
        stamped.sort_by(f64::total_cmp);
        Ok(Time { wall, kernels: stamped.get(stamped.len() / 2).copied() })
    }

    /// The same of a plain loop.
    pub fn naive(&self, run: &mut dyn FnMut()) -> Result<f64> {
        self.wall(&mut || {
            run();
            Ok(())
        })
    }

    fn wall(&self, run: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
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
}
