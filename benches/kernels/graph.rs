//! `graph/spmm` on a bipartite graph of 60,000 nodes and 400,000 non-zeros, 64 columns.

use crate::common::devices;
use crate::data::{HostRows, ragged, skewed, uniform};
use criterion::{BenchmarkId, Criterion, Throughput};
use scall_gpu::device::{Buffer, Kernel};
use scall_gpu::kernels::graph::spmm::{Operand, Spmm};
use scall_gpu::models::{Bipartite, Normalisation};
use scall_gpu::stream::UserItems;

const USERS: u32 = 40_000;
const ITEMS: u32 = 20_000;
const EDGES: usize = 200_000;
const DIMS: u32 = 64;

pub fn spmm(c: &mut Criterion) {
    let mut group = c.benchmark_group("graph/spmm");
    let nodes = (USERS + ITEMS) as usize;
    let d = DIMS as usize;
    let (ragged, dense) = (HostRows::new(ragged(nodes, 10)), HostRows::new(vec![DIMS; nodes]));
    for (case, items, x) in [
        ("uniform", uniform(EDGES, ITEMS, 1), &dense),
        ("skewed", skewed(EDGES, ITEMS, 2), &dense),
        ("ragged", uniform(EDGES, ITEMS, 1), &ragged),
    ] {
        let pairs = uniform(EDGES, USERS, 3).into_iter().zip(items);
        let graph = Bipartite::new(&UserItems::new(USERS, pairs).unwrap(), ITEMS, Normalisation::Symmetric).unwrap();
        let (offsets, columns) = (graph.row_offsets(), graph.columns());
        let read: u64 = columns.iter().map(|&column| x.size(column)).sum();
        group.throughput(Throughput::Bytes(4 * read + 8 * columns.len() as u64 + 4 * (nodes * (d + 1)) as u64));

        let mut naive = vec![0.0f32; nodes * d];
        let multiply = |y: &mut [f32]| {
            for (r, y) in y.chunks_exact_mut(d).enumerate() {
                y.fill(0.0);
                let range = offsets[r] as usize..offsets[r + 1] as usize;
                for (&column, value) in columns[range.clone()].iter().zip(&graph.values()[range]) {
                    y.iter_mut().zip(x.row(column)).for_each(|(y, x)| *y += value * x);
                }
            }
        };
        group.bench_function(BenchmarkId::new("naive", case), |b| b.iter(|| multiply(&mut naive)));
        multiply(&mut naive);
        for (name, device) in devices() {
            let row_offsets = Buffer::from_slice(&device, offsets).unwrap();
            let columns = Buffer::from_slice(&device, columns).unwrap();
            let values = Buffer::from_slice(&device, graph.values()).unwrap();
            let rows = x.on(&device, Default::default()).unwrap();
            let dense = Buffer::from_slice(&device, &x.values).unwrap();
            let x = if case == "ragged" { Operand::Ragged(&rows) } else { Operand::Dense(&dense) };
            let mut y = Buffer::zeroed(&device, naive.len()).unwrap();
            let mut workspace = Buffer::zeroed(&device, Spmm::workspace_len(columns.len(), DIMS)).unwrap();
            let mut launch = || {
                let spmm = Spmm {
                    row_offsets: &row_offsets,
                    columns: &columns,
                    values: &values,
                    x,
                    x_first: 0,
                    dims: DIMS,
                    y: &mut y,
                    y_first: 0,
                    accumulate: None,
                    workspace: &mut workspace,
                };
                spmm.run(&device).unwrap();
                device.wait().unwrap();
            };
            group.bench_function(BenchmarkId::new(name, case), |b| b.iter(&mut launch));
            // A filter may have left the bench out.
            launch();
            for (got, want) in y.read().unwrap().iter().zip(&naive) {
                assert!((got - want).abs() <= 1e-4 * want.abs().max(1.0), "{got} {want}");
            }
        }
    }
}
