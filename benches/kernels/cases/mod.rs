//! The kernels, each on made-up input of a size: a number of rows, entities or keys.

mod graph;
mod prim;
mod rank;
mod sizing;
mod steps;
mod table;

use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device, Element, Kernel};

/// What is measured.
pub struct Case<'a> {
    pub name: String,
    /// What the operator has to move.
    pub bytes: u64,
    /// Equal parts that a run consists of; the bytes are those of one.
    pub parts: u32,
    /// What torch would do instead.
    #[allow(dead_code, reason = "asked for by the report alone")]
    pub torch: Option<Torch<'a>>,
}

impl Case<'_> {
    fn new(name: String, bytes: u64) -> Self {
        Self { name, bytes, parts: 1, torch: None }
    }
}

/// Work for `benches/torch/peer.py`, on a dense table.
#[allow(dead_code, reason = "read by the report alone")]
#[derive(Clone, Copy)]
pub struct Torch<'a> {
    pub work: &'static str,
    pub rows: usize,
    pub dims: u32,
    /// Ids of a bag, or triples of a batch.
    pub bag: usize,
    pub ids: &'a [u32],
}

/// Whoever measures.
pub trait Meter {
    /// Measures `run`, which launches and waits, and where there is one the plain loop that gives the same.
    fn measure(
        &mut self,
        case: Case<'_>,
        run: &mut dyn FnMut() -> Result<()>,
        naive: Option<&mut dyn FnMut()>,
    ) -> Result<()>;
}

/// The cases of a kernel.
pub struct Family {
    pub name: &'static str,
    pub run: fn(&Device, &mut dyn Meter, usize) -> Result<()>,
}

/// All kernels, and whole training steps.
#[rustfmt::skip]
pub const ALL: [Family; 22] = [
    Family { name: "table/lookup", run: table::lookup },
    Family { name: "table/bags", run: table::bags },
    Family { name: "table/update", run: table::update },
    Family { name: "table/update_all", run: table::update_all },
    Family { name: "table/migrate", run: table::migrate },
    Family { name: "sizing/sample", run: sizing::sample },
    Family { name: "sizing/apportion", run: sizing::apportion },
    Family { name: "sizing/rank", run: sizing::rank },
    Family { name: "graph/spmm", run: graph::spmm },
    Family { name: "rank/log_triples", run: rank::log_triples },
    Family { name: "rank/triples", run: rank::triples },
    Family { name: "rank/bpr", run: rank::bpr },
    Family { name: "rank/top_k", run: rank::top_k },
    Family { name: "prim/sort", run: prim::sort },
    Family { name: "prim/scan", run: prim::scan },
    Family { name: "prim/reduce", run: prim::reduce },
    Family { name: "prim/segments", run: prim::segments },
    Family { name: "step/table", run: steps::table },
    Family { name: "step/bpr_mf", run: steps::bpr_mf },
    Family { name: "step/fism", run: steps::fism },
    Family { name: "step/light_gcn", run: steps::light_gcn },
    Family { name: "step/agent", run: steps::agent },
];

fn upload<T: Element>(device: &Device, values: &[T]) -> Result<Buffer<T>> {
    Buffer::from_slice(device, values)
}

/// Runs and waits for the end.
fn finish(device: &Device, kernel: impl Kernel) -> Result<()> {
    kernel.run(device)?;
    device.wait()
}

/// What is measured has to be right.
fn assert_close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 1e-4 * want.abs().max(1.0), "{what}: {got} at {i}, not {want}");
    }
}
