use super::*;
use crate::Error;
use crate::device::Device;
use crate::testing::{assert_close, assert_rejects, assert_same, devices, gpu, offsets_of, poisoned, signed, upload};

/// Row sizes: empty, one, full, all equal, and one giant among small ones.
fn tables() -> Vec<Vec<u32>> {
    vec![vec![0, 1, 3, 16, 0, 7, 16], vec![4; 33], vec![1], vec![1, 1, 900, 1, 0], vec![0; 5], vec![]]
}

fn case(device: &Device, sizes: &[u32], count: usize, dims: u32) {
    let offsets = offsets_of(sizes);
    let arena = signed(*offsets.last().unwrap() as usize, dims);
    // Duplicates, every row, and ids past the table.
    let ids: Vec<u32> = (0..count as u32).map(|b| (b * 7 + b / 5) % (sizes.len() as u32 + 2)).collect();
    let mut want = vec![0.0; count * dims as usize];
    for (b, &id) in ids.iter().enumerate() {
        for j in 0..dims.min(sizes.get(id as usize).copied().unwrap_or(0)) {
            want[b * dims as usize + j as usize] = arena[(offsets[id as usize] + j) as usize];
        }
    }
    let (arena_buffer, offsets_buffer) = (upload(device, &arena), upload(device, &offsets));
    let ids_buffer = upload(device, &ids);
    let mut out = poisoned(device, want.len());
    Lookup { arena: &arena_buffer, offsets: &offsets_buffer, ids: &ids_buffer, dims, out: &mut out }
        .run(device)
        .unwrap();
    assert_same(&format!("sizes {sizes:?} count {count} dims {dims}"), &out.read().unwrap(), &want);
    assert_same("arena", &arena_buffer.read().unwrap(), &arena);
}

fn rows_parity(device: &Device) {
    for sizes in tables() {
        for dims in [0, 1, 5, 16, 64] {
            for count in [0, 1, 255, 256, 257] {
                case(device, &sizes, count, dims);
            }
        }
    }
    case(device, &[1, 1, 900, 1, 0], 9, 1000);
}

fn bags_case(device: &Device, lengths: &[u32], dims: u32, pooling: Pooling, weighted: bool) {
    let sizes: Vec<u32> = (0..300).map(|i| (i * 5) % 19).collect();
    let offsets = offsets_of(&sizes);
    let arena = signed(*offsets.last().unwrap() as usize, 3);
    let bags = offsets_of(lengths);
    let total = *bags.last().unwrap();
    let ids: Vec<u32> = (0..total).map(|i| (i * 31 + i / 7) % 301).collect();
    let weights = signed(total as usize, 9);
    let mut want = vec![0.0f32; lengths.len() * dims as usize];
    let mut magnitude = want.clone();
    for k in 0..lengths.len() {
        for j in 0..dims as usize {
            let mut sum = 0.0f64;
            for i in bags[k]..bags[k + 1] {
                let id = ids[i as usize] as usize;
                if id < sizes.len() && j < sizes[id] as usize {
                    let weight = if weighted { weights[i as usize] } else { 1.0 };
                    let term = f64::from(weight) * f64::from(arena[offsets[id] as usize + j]);
                    sum += term;
                    magnitude[k * dims as usize + j] += term.abs() as f32;
                }
            }
            if pooling == Pooling::Mean && lengths[k] > 0 {
                sum /= f64::from(lengths[k]);
            }
            want[k * dims as usize + j] = sum as f32;
        }
    }
    let (arena, offsets) = (upload(device, &arena), upload(device, &offsets));
    let (ids, bags, weights) = (upload(device, &ids), upload(device, &bags), upload(device, &weights));
    let mut out = poisoned(device, want.len());
    LookupBags {
        arena: &arena,
        offsets: &offsets,
        ids: &ids,
        bags: &bags,
        longest_bag: lengths.iter().copied().max().unwrap_or(0),
        weights: weighted.then_some(&weights),
        pooling,
        dims,
        out: &mut out,
    }
    .run(device)
    .unwrap();
    let longest = lengths.iter().copied().max().unwrap_or(0) as f32;
    assert_close(&format!("bags dims {dims} {pooling:?}"), &out.read().unwrap(), &want, |i| {
        2.0 * f32::EPSILON * magnitude[i] * longest.max(1.0).sqrt()
    });
}

fn bags_parity(device: &Device) {
    for lengths in [vec![], vec![0], vec![1], vec![3, 0, 1, 40, 0], vec![2; 257]] {
        for (pooling, weighted) in [(Pooling::Sum, false), (Pooling::Mean, false), (Pooling::Mean, true)] {
            bags_case(device, &lengths, 19, pooling, weighted);
        }
    }
    bags_case(device, &[2, 3, 4], 1, Pooling::Sum, true);
}

fn f16_case(device: &Device, sizes: &[u32], count: usize, dims: u32) {
    let offsets = offsets_of(sizes);
    let mut arena = signed(*offsets.last().unwrap() as usize, dims);
    // Past f16's range, and below its normal numbers.
    arena.iter_mut().step_by(17).for_each(|v| *v *= 1e6);
    arena.iter_mut().skip(3).step_by(17).for_each(|v| *v *= 1e-6);
    let ids: Vec<u32> = (0..count as u32).map(|b| (b * 7 + b / 5) % (sizes.len() as u32 + 2)).collect();
    let mut out: Buffer<f16> = Buffer::from_vec(device, vec![f16::NAN; count * dims as usize]).unwrap();
    Lookup {
        arena: &upload(device, &arena),
        offsets: &upload(device, &offsets),
        ids: &upload(device, &ids),
        dims,
        out: &mut out,
    }
    .run(device)
    .unwrap();
    let got: Vec<f32> = out.read().unwrap().iter().map(|v| v.to_f32()).collect();
    let mut want = vec![0.0; got.len()];
    super::lookup(&arena, &offsets, &ids, dims as usize, &mut want);
    want.iter_mut().for_each(|v| *v = v.clamp(-65504.0, 65504.0));
    assert_close(&format!("f16 sizes {sizes:?} count {count} dims {dims}"), &got, &want, |i| {
        (want[i].abs() / 1024.0).max(6e-8)
    });
}

fn f16_parity(device: &Device) {
    for sizes in tables() {
        for dims in [0, 2, 6, 16, 64] {
            for count in [0, 1, 255, 256, 257] {
                f16_case(device, &sizes, count, dims);
            }
        }
    }
}

#[test]
fn rows_become_f16() {
    devices().iter().for_each(f16_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("if 2u * j + 1u < row.width {", "if 2u * j < row.width {"),
            ("pack2x16float(clamp(pair,", "pack2x16float(clamp(pair.yx,"),
        ],
        f16_parity,
    );
    let device = Device::cpu();
    let (arena, offsets, ids) = (upload(&device, &[1.0]), upload(&device, &[0, 1]), upload(&device, &[0]));
    let mut out = Buffer::from_vec(&device, vec![f16::ZERO; 3]).unwrap();
    let lookup = Lookup { arena: &arena, offsets: &offsets, ids: &ids, dims: 3, out: &mut out };
    assert_eq!(lookup.run(&device).unwrap_err().to_string(), "table/lookup: `dims` must be even, got 3");
}

#[test]
fn rows_are_copied_bit_for_bit() {
    devices().iter().for_each(rows_parity);
}

#[test]
fn bags_match_the_f64_oracle() {
    devices().iter().for_each(bags_parity);
}

/// lavapipe ends loops at 65,535 trips without a word: a bag past that must still count exactly.
#[test]
fn a_bag_of_100_000_ids_loses_none() {
    for device in devices() {
        bags_case(&device, &[5, 100_000, 0], 2, Pooling::Mean, false);
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // One lane a row: 256 ids a workgroup.
        case(&Device::Gpu(gpu), &[1, 0, 1], 256 * 65_536 + 1, 1);
    }
}

/// Bags and f16 take the same grid as rows; here it is folded by a lower limit.
#[test]
fn folded_grids() {
    if let Some(gpu) = gpu() {
        let device = Device::Gpu(gpu.with_max_groups(17));
        bags_case(&device, &[2; 2000], 19, Pooling::Mean, true);
        f16_case(&device, &[3, 0, 8, 5], 2001, 16);
    }
}

#[test]
fn a_bag_longer_than_stated_is_an_error_on_the_cpu() {
    let device = Device::cpu();
    let (arena, offsets) = (upload(&device, &[1.0f32]), upload(&device, &[0u32, 1]));
    let ids = upload(&device, &[0u32, 0, 0]);
    for (bags, text) in [
        ([0u32, 3], "table/lookup: `longest_bag` must be at least 3, got 2"),
        ([0, 4], "table/lookup: `bags` must be never falling, with an end at most 3, got an end at 4"),
    ] {
        let mut out = poisoned::<f32>(&device, 1);
        let bags = LookupBags {
            arena: &arena,
            offsets: &offsets,
            ids: &ids,
            bags: &upload(&device, &bags),
            longest_bag: 2,
            weights: None,
            pooling: Pooling::Sum,
            dims: 1,
            out: &mut out,
        }
        .run(&device);
        assert_eq!(bags.unwrap_err().to_string(), text);
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("if j < row.width {\n            value", "if j <= row.width {\n            value"),
            ("let start = offsets[id];", "let start = offsets[id + 1u];"),
            ("if id >= params.rows {", "if id + 1u >= params.rows {"),
            ("j += lanes) {\n        var value", "j += lanes + 1u) {\n        var value"),
        ],
        rows_parity,
    );
    assert_rejects(
        SHADER.name,
        &[
            ("sum += weight * arena[row.start + j];", "sum += arena[row.start + j];"),
            ("i < start + last;", "i + 1u < start + last;"),
            ("sum /= f32(length);", "sum /= f32(length + 1u);"),
        ],
        bags_parity,
    );
}

#[test]
fn wrong_lengths_are_errors() {
    let device = Device::cpu();
    let (arena, offsets, ids) = (upload(&device, &[1.0]), upload(&device, &[0, 1]), upload(&device, &[0, 0]));
    let mut out = poisoned::<f32>(&device, 3);
    let lookup = Lookup { arena: &arena, offsets: &offsets, ids: &ids, dims: 2, out: &mut out };
    let error = lookup.run(&device).unwrap_err();
    assert!(matches!(error, Error::Shape { arg: "out", expected: 4, got: 3, .. }), "{error}");
    assert_eq!(error.to_string(), "table/lookup: `out` has length 3, expected 4");
}

#[test]
fn buffers_of_another_device_are_errors() {
    let Some(gpu) = gpu() else { return };
    let (cpu, gpu) = (Device::cpu(), Device::Gpu(gpu));
    let (arena, offsets, ids) = (upload(&gpu, &[1.0]), upload(&gpu, &[0, 1]), upload(&cpu, &[0]));
    let mut out = poisoned::<f32>(&gpu, 1);
    let lookup = Lookup { arena: &arena, offsets: &offsets, ids: &ids, dims: 1, out: &mut out };
    let error = lookup.run(&gpu).unwrap_err();
    assert!(matches!(error, Error::Buffer { arg: "ids", .. }), "{error}");
}
