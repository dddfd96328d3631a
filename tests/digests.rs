//! Digests of results, recorded: a change that is to change no bit is held to that.
//!
//! Tables, kernels and short runs are computed from inputs that a stream of integers gives. A digest of each result's
//! bits is compared with the one in `tests/digests/cpu.txt` or, on Mesa's software Vulkan device, in
//! `tests/digests/lavapipe.txt`. A change of results that is meant is recorded by running this test with
//! `SCALL_RECORD_DIGESTS=1`; the difference between the files then shows which results it reached.
//!
//! A digest does not say what is right: the other tests do.

// All names of the library that this test uses, in one place: paths may move, results may not.
mod api {
    pub use scall_gpu::device::{Buffer, Device, Gpu, Kernel};
    pub use scall_gpu::eval::{AtCutoff, Cutoffs, Metrics};
    pub use scall_gpu::kernels::graph::spmm::{Accumulate, Operand, Spmm};
    pub use scall_gpu::kernels::prim::reduce::{Operator, Reduce};
    pub use scall_gpu::kernels::prim::scan::Scan;
    pub use scall_gpu::kernels::prim::segments::{Runs, SegmentedSum};
    pub use scall_gpu::kernels::prim::sort::Sort;
    pub use scall_gpu::kernels::rank::block_triples::SampleBlockTriples;
    pub use scall_gpu::kernels::rank::bpr::{BiasUse, Bpr, UserRows};
    pub use scall_gpu::kernels::rank::log_triples::SampleLogTriples;
    pub use scall_gpu::kernels::rank::top_k::TopK;
    pub use scall_gpu::kernels::rank::triples::SampleTriples;
    pub use scall_gpu::kernels::sizing::apportion::{Allotment, Apportion};
    pub use scall_gpu::kernels::sizing::rank::Rank;
    pub use scall_gpu::kernels::sizing::sample::{Distribution, Profile, Sample};
    pub use scall_gpu::kernels::table::addresses::{Addresses, Sharing};
    pub use scall_gpu::kernels::table::bags::{LookupBags, Pooling};
    pub use scall_gpu::kernels::table::lookup::{Lookup, LookupPacked, LookupSizes};
    pub use scall_gpu::kernels::table::optimizer::{Optimizer, UpdateRule};
    pub use scall_gpu::kernels::table::store::Store;
    pub use scall_gpu::kernels::table::update::{BagGradients, Gradients};
    pub use scall_gpu::models::baselines::{DecayedPopularity, ItemKnn};
    pub use scall_gpu::models::{
        BprMfOptions, FismOptions, ItemBias, LightGcnOptions, ModelOptions, RateSchedule, Sampling, TrainingOptions,
    };
    pub use scall_gpu::rows::{Format, Layout, Rows};
    pub use scall_gpu::sizing::{
        Amount, Bet, BetOptions, Budget, FrequencyRanked, GrowOnly, LinTs, LinTsOptions, LinUcb, LinUcbOptions,
        MagnitudeCut, MixedDimensions, Random, SizePolicy, Uniform,
    };
    pub use scall_gpu::stream::{Cut, Format as FileFormat, Interactions, cut, read_from};
    pub use scall_gpu::table::{Account, Occurrences, RaggedTable, TableOptions};
    pub use scall_gpu::{EarlyStop, Followed, ProbeOptions, Replay, Scall, ScallOptions, SegmentReport, follow};
}

mod common;
#[path = "digests/draw.rs"]
mod draw;
#[path = "digests/kernels.rs"]
mod kernels;
#[path = "digests/record.rs"]
mod record;
#[path = "digests/runs.rs"]
mod runs;
#[path = "digests/tables.rs"]
mod tables;

use api::{Device, Gpu};
use record::{Digests, Record};

/// All results on a device.
fn results(device: &Device) -> Digests {
    let mut digests = Digests::default();
    kernels::results(device, &mut digests);
    tables::results(device, &mut digests);
    runs::results(device, &mut digests);
    digests
}

/// The same on the CPU with a number of threads.
fn results_with_threads(threads: usize) -> Digests {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| results(&Device::cpu()))
}

#[test]
fn results_on_the_cpu_are_as_recorded() {
    let digests = results_with_threads(1);
    digests.assert_equal("one thread and two", &results_with_threads(2));
    Record { file: "cpu.txt", head: &[] }.settle(&digests);
}

#[test]
fn results_on_a_software_gpu_are_as_recorded() {
    let devices = common::devices();
    let Some(gpu) = devices.iter().find_map(Device::as_gpu) else { return };
    let head = head_of(gpu);
    let record = Record { file: "lavapipe.txt", head: &head };
    // Floats on a GPU are the driver's own, so the record holds for the device that it was made on.
    if record.is_of_another_device(gpu.is_software()) {
        return;
    }
    record.settle(&results(&Device::Gpu(gpu.clone())));
}

/// What a GPU's results may depend on.
fn head_of(gpu: &Gpu) -> [(&'static str, String); 3] {
    let info = gpu.info();
    [("adapter", info.name.clone()), ("driver", info.driver.clone()), ("version", info.driver_info.clone())]
}
