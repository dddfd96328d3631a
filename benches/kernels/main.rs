//! The kernels against a naive loop, a group a kernel. See `benches/README.md`.

mod cases;
mod data;
mod ids;
mod kernel_times;

use std::time::Duration;

use cases::{Case, Family, Meter};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernel_times::seconds_of;
use scall_gpu::Result;
use scall_gpu::device::{Device, GpuOptions};

/// Rows, entities or keys of each case.
const SIZE: usize = 100_000;

/// Benches by the clock, of a GPU also between its timestamps, under `gpu_kernels`.
struct Bench<'a, 'b> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    device: &'static str,
}

impl Meter for Bench<'_, '_> {
    fn measure(
        &mut self,
        case: Case<'_>,
        run: &mut dyn FnMut() -> Result<()>,
        naive: Option<&mut dyn FnMut()>,
    ) -> Result<()> {
        let Case { name, bytes, parts, .. } = case;
        self.group.throughput(Throughput::Bytes(bytes * u64::from(parts)));
        let mut launch = || run().expect("what has been run once");
        if let Some(naive) = naive.filter(|_| self.device == "cpu") {
            self.group.bench_function(BenchmarkId::new("naive", &name), |b| b.iter(&mut *naive));
        }
        self.group.bench_function(BenchmarkId::new(self.device, &name), |b| b.iter(&mut launch));
        if self.device == "gpu" && seconds_of(&mut launch).is_some() {
            let mut kernels = || Duration::from_secs_f64(seconds_of(&mut launch).unwrap_or(0.0));
            let id = BenchmarkId::new("gpu_kernels", &name);
            self.group.bench_function(id, |b| b.iter_custom(|count| (0..count).map(|_| kernels()).sum()));
        }
        Ok(())
    }
}

fn kernels(c: &mut Criterion) {
    let mut devices = vec![("cpu", Device::cpu())];
    if let Ok(gpu) = Device::gpu(&GpuOptions::default()) {
        devices.push(("gpu", gpu));
    }
    devices.iter().for_each(|(name, device)| println!("{name}: {}", device.describe()));
    // Criterion filters ids, which are only known once inputs have been made: what it would leave out altogether is not
    // begun.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let named = |family: &Family| family.name.contains(&filter) || filter.contains(family.name);
    let any_named = cases::ALL.iter().any(named);
    for family in cases::ALL.iter().filter(|family| named(family) || !any_named) {
        let mut group = c.benchmark_group(family.name);
        for (name, device) in &devices {
            let other = if *name == "cpu" { ["/gpu", "/gpu"] } else { ["/cpu", "/naive"] };
            if other.iter().any(|other| filter.contains(other)) {
                continue;
            }
            (family.run)(device, &mut Bench { group: &mut group, device: name }, SIZE).expect("sizes that fit");
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = kernels, ids::row_map
}
criterion_main!(benches);
