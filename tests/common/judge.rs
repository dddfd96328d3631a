//! Segments and probes of which a test knows what is good.

use scall_gpu::Result;
use scall_gpu::device::Device;
use scall_gpu::sizing::{Outcome, Probe, Sizes, SizingContext};

pub fn context<'a>(device: &'a Device, users: &'a [u32], items: &'a [u32], dims: u64) -> SizingContext<'a> {
    SizingContext { device, segment: 1, seed: 3, users, items, dims, d_min: 1, d_max: 64, rows: None }
}

fn outcome(quality: f64) -> Outcome {
    Outcome { quality, of_users: Vec::new(), user_mean: Vec::new(), item_mean: Vec::new() }
}

/// A probe whose quality is a function of the sizes; it keeps what it was asked.
pub struct Judge<F> {
    deployed: Sizes,
    quality: F,
    /// The quality and the sizes of each probe.
    pub asked: Vec<(f64, Sizes)>,
}

impl<F: Fn(&Sizes) -> f64> Judge<F> {
    pub fn new(deployed: Sizes, quality: F) -> Self {
        Self { deployed, quality, asked: Vec::new() }
    }
}

impl<F: Fn(&Sizes) -> f64> Probe for Judge<F> {
    fn run(&mut self, sizes: &Sizes) -> Result<Outcome> {
        let quality = (self.quality)(sizes);
        self.asked.push((quality, sizes.clone()));
        Ok(outcome(quality))
    }

    fn deployed(&self) -> &Sizes {
        &self.deployed
    }
}
