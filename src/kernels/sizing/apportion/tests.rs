use proptest::prelude::*;

use super::*;
use crate::device::Device;
use crate::testing::{assert_rejects, assert_same, devices, gpu, poisoned, upload};

/// The definition, row by row: quantised through f64, the multiplier by bisection over all rows, fractions by a sort.
fn oracle(weights: &[f32], a: Allotment) -> Vec<u32> {
    let mut unit = 1.0f64;
    if let Some(&largest) = weights.first().filter(|&&w| w > 0.0) {
        while f64::from(largest) * unit < 2f64.powi(31) {
            unit *= 2.0;
        }
        while f64::from(largest) * unit >= 2f64.powi(32) {
            unit *= 0.5;
        }
    }
    let q: Vec<u128> = weights.iter().map(|&w| ((f64::from(w) * unit) as u128).max(1)).collect();
    let target = u128::from(a.total).min(q.len() as u128 * u128::from(a.d_max));
    let clamped = |l: u128, q: u128| (l * q).clamp(u128::from(a.d_min) << 64, u128::from(a.d_max) << 64);
    let fits = |l: u128| q.iter().map(|&q| clamped(l, q)).sum::<u128>() <= target << 64;
    let (mut low, mut high) = (0, u128::from(a.d_max) << 64);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    let mut sizes: Vec<u32> = q.iter().map(|&q| (clamped(low, q) >> 64) as u32).collect();
    let key = |i: usize| {
        let y = clamped(low, q[i]);
        let free = y > u128::from(a.d_min) << 64 && y < u128::from(a.d_max) << 64;
        if free { ((y as u64) >> 32).max(1) } else { 0 }
    };
    let mut order: Vec<usize> = (0..q.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(key(i)));
    let left = target as usize - sizes.iter().map(|&s| s as usize).sum::<usize>();
    for &i in &order[..left] {
        assert!(key(i) > 0, "row {i} is at a bound");
        sizes[i] += 1;
    }
    sizes
}

fn run(device: &Device, weights: &[f32], allotment: Allotment) -> Result<Vec<u32>> {
    // The weights lie in the middle of a batch.
    let padded: Vec<f32> = [&[9.0, 9.0, 9.0][..], weights, &[9.0]].concat();
    let buffer = upload(device, &padded);
    let mut sizes = poisoned(device, weights.len());
    let mut workspace = poisoned(device, Apportion::workspace_len(weights.len() as u32));
    Apportion { weights: &buffer, first: 3, allotment, sizes: &mut sizes, workspace: &mut workspace }.run(device)?;
    assert_same("weights", &buffer.read()?, &padded);
    sizes.read()
}

fn case(device: &Device, weights: &[f32], allotment: Allotment) {
    let got = run(device, weights, allotment).unwrap();
    let n = weights.len();
    assert_same(&format!("{n} weights, {allotment:?}"), &got, &oracle(weights, allotment));
    let sum: u64 = got.iter().map(|&s| u64::from(s)).sum();
    assert_eq!(sum, u64::from(allotment.total).min(n as u64 * u64::from(allotment.d_max)), "mismatch: sum");
    assert!(got.windows(2).all(|w| w[0] >= w[1]), "mismatch: sizes rise");
    assert!(got.iter().all(|s| (allotment.d_min..=allotment.d_max).contains(s)), "mismatch: bounds");
}

fn falling(n: usize, kind: u32) -> Vec<f32> {
    let weight = |i: usize| match kind {
        0 => 1.0 / (i + 1) as f32,
        1 => 0.25,
        2 => 0.0,
        3 => (-(i as f32) * 0.3).exp(),
        4 => f32::from_bits((n - i) as u32),
        5 => (n - i / 3) as f32 * 1e30,
        _ => {
            if i < n / 2 {
                1.0
            } else {
                0.0
            }
        }
    };
    (0..n).map(weight).collect()
}

fn parity(device: &Device) {
    for n in [1usize, 2, 255, 256, 257, 4095, 4097] {
        for kind in 0..7 {
            let weights = falling(n, kind);
            let n = n as u32;
            for (total, d_min, d_max) in
                [(n * 8 + 3, 1, 64), (n, 1, 16), (n / 3, 0, 300), (n * 20, 0, 20), (n * 9, 0, 10)]
            {
                case(device, &weights, Allotment { total, d_min, d_max });
            }
        }
    }
    case(device, &[], Allotment { total: 5, d_min: 1, d_max: 2 });
    case(device, &[1.0, 0.5], Allotment { total: u32::MAX, d_min: 0, d_max: 65_535 });
    case(device, &[1.0, 0.5], Allotment { total: 0, d_min: 0, d_max: 0 });
}

#[test]
fn sizes_match_the_slow_oracle() {
    devices().iter().for_each(parity);
    if let Some(gpu) = gpu() {
        let device = Device::Gpu(gpu.with_max_groups(20));
        case(&device, &falling(100_001, 0), Allotment { total: 500_000, d_min: 1, d_max: 64 });
    }
}

/// Past 2^20 rows: the one invocation of the solver stays within the loop trips that lavapipe allows.
#[test]
fn many_rows_on_both_devices() {
    let n = (1 << 20) + 77;
    let weights = falling(n, 0);
    let allotment = Allotment { total: 8 * n as u32 + 1, d_min: 0, d_max: 65_535 };
    let want = run(&Device::cpu(), &weights, allotment).unwrap();
    assert_eq!(want.iter().map(|&s| u64::from(s)).sum::<u64>(), u64::from(allotment.total));
    assert!(want.windows(2).all(|w| w[0] >= w[1]));
    if let Some(gpu) = gpu() {
        assert_same("both devices", &run(&Device::Gpu(gpu), &weights, allotment).unwrap(), &want);
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("max(m >> (down - up), 1u)", "1u"),
            ("vec2<u32>(low, a.y + b.y + u32(low < a.x))", "vec2<u32>(low, a.y + b.y)"),
            ("var running = scan_threads64(thread, sum);", "var running = sum;"),
            (
                "at_least(product(l, quantised(middle)), params.d_max)",
                "at_least(product(l, quantised(middle)), params.d_max + 1u)",
            ),
            ("params.total - clamped.x)", "params.total - clamped.x + 1u)"),
            ("var key = max(p.y, 1u);", "var key = 1u;"),
            ("workspace[3] = params.total - end;", "workspace[3] = params.total - end - 1u;"),
        ],
        parity,
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_weights_and_any_budget(
        bits in prop::collection::vec(prop_oneof![0u32..0x7f80_0000, 0u32..40, Just(0x3f80_0000u32), 0x3f00_0000u32..0x3f80_0000], 1..2000),
        d_min in 0u32..3,
        spread in 0u32..300,
        part in -0.3f64..1.3,
    ) {
        let mut weights: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        weights.sort_by(|a, b| b.total_cmp(a));
        let (n, d_max) = (weights.len() as u32, d_min + spread);
        // From less than the least sizes need to more than the largest can hold.
        let total = (f64::from(n * d_min) + (f64::from(n * (spread + 1)) * part)).max(0.0) as u32;
        let allotment = Allotment { total, d_min, d_max };
        for device in devices() {
            if total >= n * d_min {
                case(&device, &weights, allotment);
            } else {
                let error = run(&device, &weights, allotment).unwrap_err();
                let infeasible = matches!(error, Error::Infeasible { entities, budget, .. }
                    if entities == u64::from(n) && budget == u64::from(total));
                prop_assert!(infeasible, "{}", error);
            }
        }
    }
}

#[test]
fn bad_arguments_are_errors() {
    for device in devices() {
        let allotment = Allotment { total: 5, d_min: 2, d_max: 4 };
        let error = run(&device, &[1.0; 3], allotment).unwrap_err();
        assert!(matches!(error, Error::Infeasible { entities: 3, min: 6, budget: 5, unit: "parameters" }), "{error}");
        let error = run(&device, &[1.0], Allotment { total: 5, d_min: 3, d_max: 2 }).unwrap_err();
        assert!(matches!(error, Error::Argument { arg: "d_min", .. }), "{error}");
        let error = run(&device, &[1.0], Allotment { total: 5, d_min: 0, d_max: 65_536 }).unwrap_err();
        assert!(matches!(error, Error::Argument { arg: "d_max", .. }), "{error}");
    }
    let allotment = Allotment { total: 5, d_min: 0, d_max: 4 };
    for weights in [[1.0, 2.0, 0.5], [1.0, f32::NAN, 0.5], [f32::INFINITY, 1.0, 0.5], [1.0, 0.5, -0.1]] {
        let error = run(&Device::cpu(), &weights, allotment).unwrap_err();
        assert!(matches!(error, Error::Argument { arg: "weights", .. }), "{error}");
    }
}

/// Weights that the CPU refuses give sizes on a GPU: the same in every run, and at most one past d_max.
#[test]
fn weights_that_rise_are_harmless_on_a_gpu() {
    let Some(gpu) = gpu() else { return };
    let device = Device::Gpu(gpu);
    let allotment = Allotment { total: 2000, d_min: 0, d_max: 9 };
    let weights: Vec<f32> =
        (0..500).map(|i| if i % 7 == 0 { f32::NAN } else { (i * 37 % 100) as f32 - 50.0 }).collect();
    let sizes = run(&device, &weights, allotment).unwrap();
    assert!(sizes.iter().all(|&s| s <= 10));
    assert_same("again", &run(&device, &weights, allotment).unwrap(), &sizes);
}
