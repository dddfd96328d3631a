use super::*;
use crate::Error;
use crate::device::Device;
use crate::rng::{Purpose, key, philox};
use crate::testing::{assert_close, assert_rejects, assert_same, devices, gpu, poisoned};

const PROFILES: [Profile; 7] = [
    Profile { distribution: Distribution::PowerLaw, alpha: 0.1 },
    Profile { distribution: Distribution::PowerLaw, alpha: 2.5 },
    Profile { distribution: Distribution::Pareto, alpha: 30.0 },
    Profile { distribution: Distribution::TruncatedNormal, alpha: 0.3 },
    Profile { distribution: Distribution::TruncatedExponential, alpha: 5.0 },
    Profile { distribution: Distribution::TruncatedExponential, alpha: 0.0 },
    Profile { distribution: Distribution::LogNormal, alpha: 0.5 },
];

fn sampled(device: &Device, profiles: &[Profile], entities: u32, draws: u32, first_stream: u32) -> Vec<f32> {
    sampled_from(device, profiles, entities, draws, (first_stream, 1))
}

fn sampled_from(
    device: &Device,
    profiles: &[Profile],
    entities: u32,
    draws: u32,
    (first_stream, profiles_per_stream): (u32, u32),
) -> Vec<f32> {
    let mut out = poisoned(device, profiles.len() * entities as usize);
    let mut workspace = poisoned(device, Sample::workspace_len(profiles.len(), entities, draws));
    Sample {
        profiles,
        entities,
        draws,
        seed: 0x1234_5678_9ABC,
        first_stream,
        profiles_per_stream,
        out: &mut out,
        workspace: &mut workspace,
    }
    .run(device)
    .unwrap();
    out.read().unwrap()
}

/// P(Z > z) = `upper`, by bisection.
fn quantile(upper: f64) -> f64 {
    let (mut low, mut high) = (-40.0f64, 40.0f64);
    for _ in 0..80 {
        let z = 0.5 * (low + high);
        let tail = 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2);
        if tail > upper { low = z } else { high = z }
    }
    0.5 * (low + high)
}

/// The module's formulas in f64, on the same random words.
fn oracle(profile: &Profile, n: usize, draws: u32, stream: u32) -> Vec<f32> {
    let alpha = f64::from(profile.alpha);
    let mut mean = vec![0.0f64; n];
    for draw in 0..draws {
        let spacing = |rank: usize| {
            let words = philox([rank as u32 / 4, draw, stream, Purpose::Sizes as u32], key(0x1234_5678_9ABC));
            -((f64::from(words[rank % 4] >> 9) + 0.5) / 8_388_608.0).ln()
        };
        let spacings: Vec<f64> = (0..=n).map(spacing).collect();
        let total: f64 = spacings.iter().sum();
        let mut s = 0.0;
        let mut suffix = vec![0.0; n + 1];
        for k in (0..n).rev() {
            suffix[k] = suffix[k + 1] + spacings[k + 1];
        }
        let x: Vec<f64> = (0..n)
            .map(|k| {
                s += spacings[k];
                let (v, u): (f64, f64) = (s / total, suffix[k] / total);
                match profile.distribution {
                    Distribution::PowerLaw => u.powf(1.0 / alpha),
                    Distribution::Pareto => v.powf(-1.0 / alpha),
                    Distribution::TruncatedNormal => {
                        let tail = |z: f64| 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2);
                        let mean = 1.0 / n as f64;
                        let (low, high) = (tail(-mean / alpha), tail((1.0 - mean) / alpha));
                        (mean + alpha * quantile(v * (low - high) + high)).clamp(0.0, 1.0)
                    }
                    Distribution::TruncatedExponential if alpha < 1e-9 => u,
                    Distribution::TruncatedExponential => -(u * (-alpha).exp_m1()).ln_1p() / alpha,
                    Distribution::LogNormal => (alpha * quantile(v)).exp(),
                }
            })
            .collect();
        let sum: f64 = x.iter().sum();
        for (mean, x) in mean.iter_mut().zip(x) {
            *mean += x / (sum * f64::from(draws));
        }
    }
    mean.into_iter().map(|w| w as f32).collect()
}

fn check_rows(weights: &[f32], n: usize) {
    for (k, row) in weights.chunks_exact(n.max(1)).enumerate() {
        let sum: f64 = row.iter().map(|&w| f64::from(w)).sum();
        assert!((sum - 1.0).abs() < 1e-5, "mismatch: row {k} of {n} sums to {sum}");
        assert!(row.windows(2).all(|w| w[0] >= w[1]), "mismatch: row {k} of {n} rises");
    }
}

/// Against the oracle, with the normal table's error of 2e-5 sigma on top.
fn against_oracle(device: &Device, profiles: &[Profile], n: u32, draws: u32, profiles_per_stream: u32) {
    let got = sampled_from(device, profiles, n, draws, (5, profiles_per_stream));
    check_rows(&got, n as usize);
    for (k, profile) in profiles.iter().enumerate() {
        let table = match profile.distribution {
            Distribution::TruncatedNormal | Distribution::LogNormal => 4e-5,
            _ => 0.0,
        };
        let want = oracle(profile, n as usize, draws, 5 + k as u32 / profiles_per_stream);
        let row = &got[k * n as usize..(k + 1) * n as usize];
        assert_close(&format!("{profile:?} n {n}"), row, &want, |i| 4e-5 * want[i] + (1e-6 + table) / n as f32);
    }
}

fn parity(device: &Device) {
    for n in [0, 1, 2, 255, 256, 257, 4095, 4096, 4097] {
        against_oracle(device, &PROFILES, n, 3, 1);
    }
    against_oracle(device, &PROFILES, 20_011, 2, 1);
    // Two families interleaved, in streams of 21: blocks of eight, eight and five, of three and of none.
    let profile = |k: u32| {
        let distribution = if k % 7 == 3 { Distribution::Pareto } else { Distribution::PowerLaw };
        Profile { distribution, alpha: 2.0 + k as f32 }
    };
    let many: Vec<Profile> = (0..43).map(profile).collect();
    against_oracle(device, &many, 3001, 2, 21);
}

#[test]
fn weights_match_the_f64_oracle() {
    devices().iter().for_each(parity);
    // A folded grid has workgroups past the last.
    gpu().into_iter().for_each(|gpu| against_oracle(&Device::Gpu(gpu.with_max_groups(8)), &PROFILES, 5000, 3, 2));
}

/// Past one window of draws, and past one chunk of tiles a thread.
#[test]
fn devices_agree_on_many_draws_and_many_tiles() {
    let Some(gpu) = gpu() else { return };
    for (n, draws) in [(1000, 2 * WINDOW + 1), (256 * TILE + 5, 1)] {
        let profile = [Profile { distribution: Distribution::PowerLaw, alpha: 2.0 }];
        let want = sampled(&Device::cpu(), &profile, n, draws, 0);
        let got = sampled(&Device::Gpu(gpu.clone()), &profile, n, draws, 0);
        check_rows(&got, n as usize);
        assert_close(&format!("n {n} draws {draws}"), &got, &want, |i| 4e-5 * want[i] + 1e-5 / n as f32);
    }
}

#[test]
fn profiles_of_a_stream_are_drawn_with_the_same_numbers() {
    for device in devices() {
        let shared = sampled_from(&device, &PROFILES, 700, 5, (3, 4));
        let rows: Vec<f32> =
            (0..PROFILES.len()).flat_map(|k| sampled(&device, &PROFILES[k..=k], 700, 5, 3 + k as u32 / 4)).collect();
        assert_close("each by itself", &shared, &rows, |i| 1e-6 * rows[i]);
        assert_same("again", &sampled_from(&device, &PROFILES, 700, 5, (3, 4)), &shared);
        let same = sampled_from(&device, &[PROFILES[1]; 11], 700, 5, (3, u32::MAX));
        assert!(same.chunks(700).all(|row| row == &same[..700]), "mismatch: equal profiles of a stream");
    }
}

/// The published scales, at which the truncated normal of 1e-5 reaches from 0 to six means.
#[test]
fn a_truncated_normal_of_the_published_range() {
    let profile = [Profile { distribution: Distribution::TruncatedNormal, alpha: 1e-5 }];
    for device in devices() {
        let n = 100_000;
        let got = sampled(&device, &profile, n, 1, 0);
        check_rows(&got, n as usize);
        let want = oracle(&profile[0], n as usize, 1, 0);
        assert_close("n 100,000", &got, &want, |i| 4e-5 * want[i] + 4e-5 / n as f32);
    }
}

#[test]
fn folded_grids() {
    let Some(gpu) = gpu() else { return };
    let profiles = vec![PROFILES[1]; 2001];
    let got = sampled(&Device::Gpu(gpu.with_max_groups(47)), &profiles, 3, 1, 0);
    check_rows(&got, 3);
    let want = sampled(&Device::cpu(), &profiles, 3, 1, 0);
    assert_close("2,001 profiles", &got, &want, |i| 4e-5 * want[i] + 1e-6);
}

/// E[x_k] of a power law's order statistics in closed form: with b = 1 / alpha, the m-th smallest of n draws has mean
/// Gamma(m + b) * n! / (Gamma(m) * Gamma(n + 1 + b)).
#[test]
fn a_power_law_has_its_expected_order_statistics() {
    let (n, alpha, draws) = (200usize, 2.0f64, 4000);
    let profile = [Profile { distribution: Distribution::PowerLaw, alpha: alpha as f32 }];
    let got = sampled(&Device::cpu(), &profile, n as u32, draws, 0);
    let b = 1.0 / alpha;
    let mean = |k: usize| {
        let m = (n - k) as f64;
        let log =
            libm::lgamma(m + b) + libm::lgamma(n as f64 + 1.0) - libm::lgamma(m) - libm::lgamma(n as f64 + 1.0 + b);
        log.exp()
    };
    // Their sum is n * E[U^b] = n * alpha / (alpha + 1).
    let sum = n as f64 * alpha / (alpha + 1.0);
    assert!(((0..n).map(mean).sum::<f64>() / sum - 1.0).abs() < 0.01);
    for k in [0, 10, 50, 100, 150, 190] {
        let want = mean(k) / sum;
        assert!((f64::from(got[k]) / want - 1.0).abs() < 0.02, "rank {k}: {} and not {want}", got[k]);
    }
}

#[test]
fn rows_depend_on_their_stream_alone() {
    for device in devices() {
        let all = sampled(&device, &PROFILES, 700, 5, 3);
        assert_same("same seed", &sampled(&device, &PROFILES, 700, 5, 3), &all);
        let tail = sampled(&device, &PROFILES[2..4], 700, 5, 5);
        assert_same("a part of the batch", &tail, &all[2 * 700..4 * 700]);
        let other = sampled(&device, &PROFILES[2..4], 700, 5, 6);
        assert_ne!(other, tail);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let run = |threads: usize, profiles: &[Profile], n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| sampled_from(&Device::cpu(), profiles, n, 7, (0, 2)))
    };
    for n in [300, 90_000] {
        let want = run(1, &PROFILES[..3], n);
        for threads in [2, 3, 5] {
            assert_same(&format!("{threads} threads"), &run(threads, &PROFILES[..3], n), &want);
        }
    }
}

#[test]
fn steep_profiles_stay_finite() {
    for device in devices() {
        for distribution in Distribution::ALL {
            let (least, largest) = distribution.alpha_domain();
            for alpha in [least, largest] {
                for n in [1, 2, 5000] {
                    check_rows(&sampled(&device, &[Profile { distribution, alpha }], n, 3, 0), n as usize);
                }
            }
        }
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("rank, params.entities + 1u)", "rank, params.entities)"),
            ("rank, params.entities));", "rank, params.entities + 1u));"),
            ("rank / 4u + 1u, draw", "rank / 4u, draw"),
            ("s.high.y = s.high.x + spacing.high.y;", "s.high.y = s.high.x;"),
            ("t.low.w = t.high.x + spacing.high.x;", "t.low.w = t.high.x;"),
            ("low + 4u < ends", "low + 4u <= ends"),
            ("low < ends", "low <= ends"),
            ("result.y = shared_ends[thread + 1u].y;", "result.y = shared_ends[thread].y;"),
            ("scan_step(thread, 64u, 0u);", "scan_step(thread, 32u, 0u);"),
            ("workspace[after_base() + i - 1u] = after;", "workspace[after_base() + i - 1u] = 0.0;"),
            ("params.first_stream + stream", "params.first_stream"),
            ("1.0 / (total * f32(params.draws))", "1.0 / total"),
            ("sums.high + x.high * factor", "x.high * factor"),
            ("sums[7] = added(sums[7], block, 7u, draw, at);", "sums[7] = added(sums[7], block, 6u, draw, at);"),
            ("part.w = sum_inside(block, i + 3u, rank, at);", "part.w = part.z;"),
            ("base + (i + thread) * params.draws", "base + thread * params.draws"),
            ("params.tiles / params.draws]", "params.tiles / params.draws + 1u]"),
            ("least = min(scan_min(thread, least), workspace[index]);", "least = 0.0;"),
            ("let w = u * p.a;", "let w = u;"),
            ("profiles[block.first + i].row", "(block.first + i)"),
        ],
        |device| {
            against_oracle(device, &PROFILES, 5000, 2, 1);
            let many: Vec<Profile> =
                (0..20).map(|k| Profile { alpha: 2.0 + k as f32, ..PROFILES[k % 2 * 2] }).collect();
            against_oracle(device, &many, 2500, 2, 18);
        },
    );
}

#[test]
fn bad_arguments_are_errors() {
    let device = Device::cpu();
    let mut out = poisoned(&device, 4);
    let mut workspace = poisoned(&device, 0);
    let mut run = |alpha, entities, draws, shared| {
        let profiles = [Profile { distribution: Distribution::PowerLaw, alpha }];
        Sample {
            profiles: &profiles,
            entities,
            draws,
            seed: 0,
            first_stream: 0,
            profiles_per_stream: shared,
            out: &mut out,
            workspace: &mut workspace,
        }
        .run(&device)
        .unwrap_err()
    };
    let error = run(1.0, 4, 1, 0);
    assert!(matches!(error, Error::Argument { arg: "profiles_per_stream", .. }), "{error}");
    assert!(matches!(run(f32::NAN, 4, 1, 1), Error::Argument { arg: "alpha", .. }));
    assert!(matches!(run(1.0, 4, 0, 1), Error::Argument { arg: "draws", .. }));
    assert!(matches!(run(1.0, 5, 1, 1), Error::Shape { arg: "out", expected: 5, got: 4, .. }));
    assert_same("out", &out.read().unwrap(), &poisoned::<f32>(&device, 4).read().unwrap());
}

#[test]
fn a_workspace_past_all_numbers_is_the_largest() {
    assert_eq!(Sample::workspace_len(usize::MAX, u32::MAX, u32::MAX), usize::MAX);
    assert_eq!(Sample::workspace_len(0, u32::MAX, u32::MAX), 0);
}
