//! `table/lookup` and `table/update` on 100,000 ragged rows of mean size 10 and 30,000 ids.

use crate::common::devices;
use crate::data::{HostRows, ragged, skewed, uniform, values};
use criterion::{BenchmarkId, Criterion, Throughput};
use scall_gpu::device::{Buffer, Device, Kernel};
use scall_gpu::kernels::table::lookup::Lookup;
use scall_gpu::kernels::table::update::{Optimizer, Update};

const ROWS: usize = 100_000;
const IDS: usize = 30_000;
const DIMS: u32 = 32;

pub fn lookup(c: &mut Criterion) {
    let host = HostRows::new(ragged(ROWS, 10));
    let ids = uniform(IDS, ROWS as u32, 1);
    let mut group = c.benchmark_group("table/lookup");
    let read: u64 = ids.iter().map(|&id| host.size(id).min(DIMS.into())).sum();
    // An id, where its row begins and ends, and the base of its block: 12 bytes.
    group.throughput(Throughput::Bytes(4 * read + 4 * (IDS as u64) * (u64::from(DIMS) + 3)));

    let mut naive = vec![0.0f32; IDS * DIMS as usize];
    let copy_rows = |out: &mut [f32]| {
        for (out, &id) in out.chunks_exact_mut(DIMS as usize).zip(&ids) {
            let row = host.row(id);
            let kept = row.len().min(out.len());
            out[..kept].copy_from_slice(&row[..kept]);
            out[kept..].fill(0.0);
        }
    };
    group.bench_function("naive/padded", |b| b.iter(|| copy_rows(&mut naive)));
    copy_rows(&mut naive);
    for (name, device) in devices() {
        let rows = host.on(&device, Default::default()).unwrap();
        let ids = upload(&device, &ids);
        let mut out = Buffer::<f32>::zeroed(&device, naive.len()).unwrap();
        let mut run = || {
            Lookup { rows: &rows, ids: &ids, dims: DIMS, out: &mut out }.run(&device).unwrap();
            device.wait().unwrap();
        };
        run();
        group.bench_function(BenchmarkId::new(name, "padded"), |b| b.iter(&mut run));
        assert_eq!(out.read().unwrap(), naive);
    }
}

pub fn update(c: &mut Criterion) {
    let host = HostRows::new(ragged(ROWS, 10));
    let optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 };
    let gradients = values(IDS * DIMS as usize);
    let mut group = c.benchmark_group("table/update");
    for (case, ids) in [("uniform", uniform(IDS, ROWS as u32, 1)), ("skewed", skewed(IDS, ROWS as u32, 2))] {
        let mut touched = ids.clone();
        touched.sort_unstable();
        touched.dedup();
        let held: u64 = touched.iter().map(|&id| host.size(id)).sum();
        // Gradients within the mask read once; values and state of touched rows read and written once.
        let read: u64 = ids.iter().map(|&id| host.size(id)).sum();
        group.throughput(Throughput::Bytes(4 * read + 16 * held + 4 * IDS as u64));
        group.bench_function(BenchmarkId::new("naive", case), |b| {
            // A dense gradient of the table's shape, then a step of every row that was touched.
            let (mut table, mut state) = (host.values.clone(), vec![0.0f32; host.values.len()]);
            let mut sums = vec![0.0f32; state.len()];
            b.iter(|| {
                for (gradient, &id) in gradients.chunks_exact(DIMS as usize).zip(&ids) {
                    sums[host.range(id)].iter_mut().zip(gradient).for_each(|(s, g)| *s += g);
                }
                for &id in &touched {
                    for at in host.range(id) {
                        let g = std::mem::take(&mut sums[at]);
                        state[at] += g * g;
                        table[at] -= 0.1 * g / (state[at].sqrt() + 1e-8);
                    }
                }
            });
        });
        for (name, device) in devices() {
            let mut rows = host.on(&device, optimizer.state_size()).unwrap();
            let (ids, gradients) = (upload(&device, &ids), upload(&device, &gradients));
            let mut workspace = Buffer::zeroed(&device, Update::workspace_len(IDS as u32, DIMS)).unwrap();
            group.bench_function(BenchmarkId::new(name, case), |b| {
                b.iter(|| {
                    let update = Update {
                        rows: &mut rows,
                        ids: &ids,
                        first: 0,
                        count: IDS as u32,
                        gradients: (&gradients).into(),
                        dims: DIMS,
                        rule: optimizer.into(),
                        step: 1,
                        seed: 0,
                        workspace: &mut workspace,
                    };
                    update.run(&device).unwrap();
                    device.wait().unwrap();
                });
            });
        }
    }
}

fn upload<T: scall_gpu::device::Element>(device: &Device, values: &[T]) -> Buffer<T> {
    Buffer::from_slice(device, values).unwrap()
}
