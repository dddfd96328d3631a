//! `sizing/sample`, `sizing/apportion` and `sizing/rank`.

use crate::common::devices;
use crate::data::skewed;
use criterion::{BenchmarkId, Criterion, Throughput};
use scall_gpu::device::{Buffer, Kernel};
use scall_gpu::kernels::sizing::apportion::{Allotment, Apportion};
use scall_gpu::kernels::sizing::rank::Rank;
use scall_gpu::kernels::sizing::sample::{Distribution, Profile, Sample};

const ENTITIES: u32 = 100_000;
const DRAWS: u32 = 20;

pub fn sample(c: &mut Criterion) {
    let mut group = c.benchmark_group("sizing/sample");
    group.throughput(Throughput::Elements(u64::from(ENTITIES) * u64::from(DRAWS)));
    group.bench_function("naive/power-law", |b| {
        // Draw, sort, normalise, average.
        b.iter(|| {
            let mut mean = vec![0.0f32; ENTITIES as usize];
            for draw in 0..DRAWS {
                let uniform = crate::data::uniform(ENTITIES as usize, 1 << 24, draw);
                let mut draws: Vec<f32> =
                    uniform.iter().map(|&u| (u as f32 / (1 << 24) as f32).powf(1.0 / 3.0)).collect();
                draws.sort_unstable_by(|a, b| b.total_cmp(a));
                let scale = 1.0 / (draws.iter().sum::<f32>() * DRAWS as f32);
                mean.iter_mut().zip(draws).for_each(|(mean, x)| *mean += x * scale);
            }
            mean
        });
    });
    for (name, device) in devices() {
        for distribution in [Distribution::PowerLaw, Distribution::TruncatedNormal] {
            let profiles = [Profile { distribution, alpha: distribution.alpha(0.1) }];
            let mut out = Buffer::zeroed(&device, ENTITIES as usize).unwrap();
            let mut workspace = Buffer::zeroed(&device, Sample::workspace_len(1, ENTITIES, DRAWS)).unwrap();
            let mut run = || {
                let sample = Sample {
                    profiles: &profiles,
                    entities: ENTITIES,
                    draws: DRAWS,
                    seed: 1,
                    first_action: 0,
                    out: &mut out,
                    workspace: &mut workspace,
                };
                sample.run(&device).unwrap();
                device.wait().unwrap();
            };
            run();
            group.bench_function(BenchmarkId::new(name, distribution), |b| b.iter(&mut run));
            let sum: f32 = out.read().unwrap().iter().sum();
            assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        }
    }
}

pub fn apportion(c: &mut Criterion) {
    let mut group = c.benchmark_group("sizing/apportion");
    group.throughput(Throughput::Bytes(8 * u64::from(ENTITIES)));
    let weights: Vec<f32> = (0..ENTITIES).map(|k| 1.0 / (k + 1) as f32).collect();
    for (name, device) in devices() {
        let weights = Buffer::from_slice(&device, &weights).unwrap();
        let mut sizes = Buffer::zeroed(&device, ENTITIES as usize).unwrap();
        let mut workspace = Buffer::zeroed(&device, Apportion::workspace_len(ENTITIES)).unwrap();
        let total = 8 * ENTITIES;
        let mut run = || {
            let apportion = Apportion {
                weights: &weights,
                first: 0,
                allotment: Allotment { total, d_min: 1, d_max: 256 },
                sizes: &mut sizes,
                workspace: &mut workspace,
            };
            apportion.run(&device).unwrap();
            device.wait().unwrap();
        };
        run();
        group.bench_function(BenchmarkId::new(name, "1/k"), |b| b.iter(&mut run));
        assert_eq!(sizes.read().unwrap().iter().sum::<u32>(), total);
    }
}

pub fn rank(c: &mut Criterion) {
    let mut group = c.benchmark_group("sizing/rank");
    group.throughput(Throughput::Bytes(8 * u64::from(ENTITIES)));
    let frequencies = skewed(ENTITIES as usize, 5000, 3);
    let mut expected: Vec<u32> = (0..ENTITIES).collect();
    let sort = |order: &mut [u32]| order.sort_by_key(|&i| std::cmp::Reverse(frequencies[i as usize]));
    group.bench_function("naive/skewed", |b| b.iter(|| sort(&mut (0..ENTITIES).collect::<Vec<_>>())));
    sort(&mut expected);
    for (name, device) in devices() {
        let frequencies = Buffer::from_slice(&device, &frequencies).unwrap();
        let mut order = Buffer::zeroed(&device, ENTITIES as usize).unwrap();
        let mut workspace = Buffer::zeroed(&device, Rank::workspace_len(ENTITIES)).unwrap();
        let mut run = || {
            let rank = Rank { frequencies: &frequencies, order: &mut order, workspace: &mut workspace };
            rank.run(&device).unwrap();
            device.wait().unwrap();
        };
        run();
        group.bench_function(BenchmarkId::new(name, "skewed"), |b| b.iter(&mut run));
        assert_eq!(order.read().unwrap(), expected);
    }
}
