use super::*;
use crate::Error;
use crate::device::Device;
use crate::testing::{assert_close, assert_rejects, assert_same, devices, gpu, offsets_of, poisoned, signed, upload};

fn runs_case(device: &Device, keys: &[u32]) {
    let n = keys.len();
    let keys_buffer = upload(device, keys);
    let (mut runs, mut starts) = (poisoned(device, n + 1), poisoned(device, n + 1));
    let mut workspace = poisoned(device, Runs::workspace_len(n as u32));
    Runs { keys: &keys_buffer, runs: &mut runs, starts: &mut starts, workspace: &mut workspace }.run(device).unwrap();
    let mut want = (vec![0], Vec::new());
    for i in (0..n).filter(|&i| i == 0 || keys[i] != keys[i - 1]) {
        want.0.push(keys[i]);
        want.1.push(i as u32);
    }
    want.0[0] = want.1.len() as u32;
    want.1.push(n as u32);
    let what = format!("{n} keys");
    assert_same(&what, &runs.read().unwrap()[..want.0.len()], &want.0);
    assert_same(&what, &starts.read().unwrap()[..want.1.len()], &want.1);
    assert_same(&what, &keys_buffer.read().unwrap(), keys);
}

fn sums_case(device: &Device, lengths: &[u32]) {
    let offsets = offsets_of(lengths);
    let values = signed(*offsets.last().unwrap() as usize, 8);
    let mut sums = poisoned(device, lengths.len());
    let longest = lengths.iter().copied().max().unwrap_or(0);
    SegmentedSum { values: &upload(device, &values), offsets: &upload(device, &offsets), longest, sums: &mut sums }
        .run(device)
        .unwrap();
    let segment = |s: usize| &values[offsets[s] as usize..offsets[s + 1] as usize];
    let want: Vec<f32> =
        (0..lengths.len()).map(|s| segment(s).iter().map(|&v| f64::from(v)).sum::<f64>() as f32).collect();
    let k = lanes(values.len(), lengths.len() as u32) as f32;
    let what = format!("{} segments", lengths.len());
    assert_close(&what, &sums.read().unwrap(), &want, |s| {
        let magnitude: f32 = segment(s).iter().map(|v| v.abs()).sum();
        f32::EPSILON * (1.0 + lengths[s] as f32 / k + k.log2()) * magnitude
    });
}

fn parity(device: &Device) {
    for n in [0u32, 1, 255, 256, 257, 5000] {
        runs_case(device, &(0..n).map(|i| i / 3 + (i / 50) * 2).collect::<Vec<_>>());
        runs_case(device, &vec![7; n as usize]);
        runs_case(device, &(0..n).collect::<Vec<_>>());
        sums_case(device, &(0..n).map(|i| i % 5).collect::<Vec<_>>());
    }
    sums_case(device, &[100, 0, 1, 900, 3]);
    sums_case(device, &[3000; 5]);
}

#[test]
fn runs_and_sums_match_a_plain_loop() {
    devices().iter().for_each(parity);
}

/// So many keys that threads share them: parts that begin within runs and at their start, and runs of several parts.
#[test]
fn runs_of_many_keys() {
    let device = Device::cpu();
    let n = 3 * HAND_OVER as u32;
    for length in [1, 2, 3, 64, 1000, n / 2 + 5, n] {
        runs_case(&device, &(0..n + 7).map(|i| (i + 5) / length).collect::<Vec<_>>());
    }
}

/// Every number of lanes that has a loop of its own, by few segments and by many, in the order of the lanes.
#[test]
fn segments_of_any_length_are_summed_by_lanes() {
    let device = Device::cpu();
    for mean in [1u32, 2, 3, 6, 11, 20] {
        for count in [100, 40_000] {
            let lengths: Vec<u32> = (0..count).map(|i| i * 7 % (2 * mean + 1)).collect();
            sums_case(&device, &lengths);
            let offsets = offsets_of(&lengths);
            let values = signed(*offsets.last().unwrap() as usize, 9);
            let (mut sums, longest) = (poisoned(&device, lengths.len()), 2 * mean);
            let (values, offsets_buffer) = (upload(&device, &values), upload(&device, &offsets));
            SegmentedSum { values: &values, offsets: &offsets_buffer, longest, sums: &mut sums }.run(&device).unwrap();
            let values = values.read().unwrap();
            let lanes = lanes(values.len(), count);
            let segment = |ends: &[u32]| &values[ends[0] as usize..ends[1] as usize];
            let want: Vec<f32> =
                offsets.windows(2).map(|ends| sum_by_lanes(segment(ends), None, lanes, |value| *value)).collect();
            assert_same(&format!("{count} segments of {mean}"), &sums.read().unwrap(), &want);
        }
    }
}

#[test]
fn segment_sums_are_the_same_bits_on_every_device() {
    let values = signed(10_000, 3);
    let sums: Vec<Vec<f32>> = devices()
        .iter()
        .map(|device| {
            let mut sums = poisoned(device, 3);
            let offsets = upload(device, &[0u32, 17, 9000, 10_000]);
            SegmentedSum { values: &upload(device, &values), offsets: &offsets, longest: 8983, sums: &mut sums }
                .run(device)
                .unwrap();
            sums.read().unwrap()
        })
        .collect();
    sums.iter().for_each(|sum| assert_same("sums", sum, &sums[0]));
}

/// One segment of all values takes more strides than the loops of one invocation may have.
#[test]
fn a_giant_segment_is_summed_in_windows() {
    let mut lengths = vec![0; 5000];
    lengths[4000] = 300_000;
    devices().iter().for_each(|device| sums_case(device, &lengths));
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        let device = Device::Gpu(gpu);
        let n = 256 * 65_536 + 3;
        runs_case(&device, &(0..n).map(|i| i / 5).collect::<Vec<_>>());
        sums_case(&device, &vec![1; n as usize]);
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("return keys[i] != keys[i - 1u];", "return keys[i] > keys[i - 1u] + 1u;"),
            ("starts[places[i] - 1u] = i;", "starts[places[i] - 1u] = i + 1u;"),
            ("starts[total] = params.count;", "starts[total] = 0u;"),
            ("var half = lanes >> 1u;", "var half = lanes >> 2u;"),
            ("if i >= length {", "if i + 1u >= length {"),
        ],
        parity,
    );
}

#[test]
fn a_short_output_is_an_error() {
    let device = Device::cpu();
    let (values, offsets) = (upload(&device, &[1.0f32]), upload(&device, &[0u32, 1]));
    let mut sums = poisoned(&device, 0);
    let error =
        SegmentedSum { values: &values, offsets: &offsets, longest: 1, sums: &mut sums }.run(&device).unwrap_err();
    assert!(matches!(error, Error::Shape { arg: "sums", expected: 1, got: 0, .. }));
}
