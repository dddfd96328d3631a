use super::*;
use crate::Error;
use crate::device::Device;
use crate::kernels::prim::scan::Scan;
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
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // One lane a row: 256 ids a workgroup.
        case(&Device::Gpu(gpu), &[1, 0, 1], 256 * 65_536 + 1, 1);
    }
}

/// The other entries take the same grid as rows; here it is folded by a lower limit.
#[test]
fn folded_grids() {
    if let Some(gpu) = gpu() {
        let device = Device::Gpu(gpu.with_max_groups(17));
        f16_case(&device, &[3, 0, 8, 5], 2001, 16);
        packed_case(&device, &[3, 0, 8, 5], 9001, 6);
        packed_f16_case(&device, &[3, 0, 8, 5], 9001, 6);
    }
}

/// Where the rows of a packed lookup begin; the first not at 0, so that something lies before it.
fn packed_offsets(device: &Device, offsets: &[u32], ids: &[u32], dims: u32) -> Vec<u32> {
    let mut sizes = poisoned(device, ids.len() + 1);
    let (offsets_buffer, ids_buffer) = (upload(device, offsets), upload(device, ids));
    LookupSizes { offsets: &offsets_buffer, ids: &ids_buffer, dims, out: &mut sizes }.run(device).unwrap();
    let want: Vec<u32> = ids
        .iter()
        .map(|&id| offsets.get(id as usize..id as usize + 2).map_or(0, |row| row[1] - row[0]).min(dims))
        .chain([0])
        .collect();
    assert_same("sizes", &sizes.read().unwrap(), &want);
    let mut workspace = Buffer::zeroed(device, Scan::workspace_len(want.len() as u32)).unwrap();
    let count = want.len() as u32;
    Scan { values: &mut sizes, count, inclusive: false, workspace: &mut workspace }.run(device).unwrap();
    sizes.read().unwrap().iter().map(|offset| offset + 3).collect()
}

/// Ids, what is looked up, and the values to find between the offsets.
fn packed_data(device: &Device, sizes: &[u32], count: usize, dims: u32) -> (Vec<u32>, Vec<f32>, Vec<u32>, Vec<f32>) {
    let offsets = offsets_of(sizes);
    let arena = signed(*offsets.last().unwrap() as usize, dims);
    let ids: Vec<u32> = (0..count as u32).map(|b| (b * 7 + b / 5) % (sizes.len() as u32 + 2)).collect();
    let out_offsets = packed_offsets(device, &offsets, &ids, dims);
    let mut want = Vec::new();
    for &id in &ids {
        let size = sizes.get(id as usize).copied().unwrap_or(0).min(dims);
        let start = offsets[(id as usize).min(sizes.len())] as usize;
        want.extend_from_slice(&arena[start..start + size as usize]);
    }
    (ids, arena, out_offsets, want)
}

fn packed_case(device: &Device, sizes: &[u32], count: usize, dims: u32) {
    let (ids, arena, out_offsets, rows) = packed_data(device, sizes, count, dims);
    // Poison stays before and behind.
    let mut out = poisoned(device, 3 + rows.len() + 5);
    let mut want = out.read().unwrap();
    want[3..3 + rows.len()].copy_from_slice(&rows);
    LookupPacked {
        arena: &upload(device, &arena),
        offsets: &upload(device, &offsets_of(sizes)),
        ids: &upload(device, &ids),
        out_offsets: &upload(device, &out_offsets),
        widest: dims,
        out: &mut out,
    }
    .run(device)
    .unwrap();
    assert_same(&format!("packed sizes {sizes:?} count {count} dims {dims}"), &out.read().unwrap(), &want);
}

fn packed_f16_case(device: &Device, sizes: &[u32], count: usize, dims: u32) {
    let (ids, mut arena, out_offsets, _) = packed_data(device, sizes, count, dims);
    // Whole numbers, which f16 has exactly.
    arena.iter_mut().for_each(|value| *value = (*value * 512.0).round());
    let offsets = offsets_of(sizes);
    let row = |id: u32| {
        sizes.get(id as usize).map_or(0..0, |&size| {
            let start = offsets[id as usize];
            start as usize..(start + size.min(dims)) as usize
        })
    };
    let rows: Vec<f32> = ids.iter().flat_map(|&id| arena[row(id)].to_vec()).collect();
    let len = (3 + rows.len() + 4).next_multiple_of(2);
    let outside = f16::from_f32(-7.0);
    let mut out = Buffer::from_vec(device, vec![outside; len]).unwrap();
    let mut want = vec![-7.0; len];
    want[3..3 + rows.len()].copy_from_slice(&rows);
    LookupPacked {
        arena: &upload(device, &arena),
        offsets: &upload(device, &offsets),
        ids: &upload(device, &ids),
        out_offsets: &upload(device, &out_offsets),
        widest: dims,
        out: &mut out,
    }
    .run(device)
    .unwrap();
    let got: Vec<f32> = out.read().unwrap().iter().map(|value| value.to_f32()).collect();
    assert_same(&format!("packed f16 sizes {sizes:?} count {count} dims {dims}"), &got, &want);
}

fn packed_parity(device: &Device) {
    for sizes in tables() {
        for dims in [0, 1, 5, 16] {
            for count in [0, 1, 255, 257] {
                packed_case(device, &sizes, count, dims);
            }
        }
    }
    packed_case(device, &[1, 1, 900, 1, 0], 90, 1000);
    // A caller's own offsets: cut to 1, padded to 4.
    let (arena, offsets) = (upload(device, &[1.0, 2.0, 3.0]), upload(device, &[0, 3]));
    let mut out = poisoned(device, 5);
    LookupPacked {
        arena: &arena,
        offsets: &offsets,
        ids: &upload(device, &[0, 0]),
        out_offsets: &upload(device, &[0, 1, 5]),
        widest: 4,
        out: &mut out,
    }
    .run(device)
    .unwrap();
    assert_same("own offsets", &out.read().unwrap(), &[1.0, 1.0, 2.0, 3.0, 0.0]);
}

fn packed_f16_parity(device: &Device) {
    for sizes in tables() {
        for dims in [0, 1, 5, 16] {
            for count in [0, 1, 255, 257] {
                packed_f16_case(device, &sizes, count, dims);
            }
        }
    }
}

#[test]
fn rows_are_packed() {
    devices().iter().for_each(packed_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("let start = output_offsets[b];", "let start = output_offsets[b] + 1u;"),
            ("min(output_offsets[b + 1u] - start, params.dims);", "params.dims;"),
            ("min(row_of(ids[b]).width, params.dims);", "row_of(ids[b]).width;"),
            ("} else if b == params.count {", "} else if b > params.count {"),
        ],
        packed_parity,
    );
}

#[test]
fn rows_are_packed_as_f16() {
    devices().iter().for_each(packed_f16_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("if output_offsets[middle] <= element {", "if output_offsets[middle] < element {"),
            ("output_pairs[word] & ~mask", "output_pairs[word] & 0u"),
            ("let j = element - output_offsets[b];", "let j = 0u;"),
        ],
        packed_f16_parity,
    );
}

#[test]
fn packed_rows_that_do_not_fit_are_errors() {
    let device = Device::cpu();
    let (arena, offsets, ids) = (upload(&device, &[1.0, 2.0]), upload(&device, &[0, 2]), upload(&device, &[0, 0]));
    for (out_offsets, widest, text) in [
        (vec![0, 2], 2, "table/lookup: `out_offsets` has length 2, expected 3"),
        (
            vec![0, 2, 1],
            2,
            "table/lookup: `out_offsets` must be never falling, with an end at most 4, got 2 before 1 at 1",
        ),
        (vec![0, 2, 5], 3, "table/lookup: `out_offsets` must be never falling, with an end at most 4, got an end at 5"),
        (vec![0, 1, 4], 2, "table/lookup: `widest` must be at least 3, got 2"),
    ] {
        let mut out = poisoned::<f32>(&device, 4);
        let out_offsets = upload(&device, &out_offsets);
        let (arena, offsets, ids) = (&arena, &offsets, &ids);
        let lookup = LookupPacked { arena, offsets, ids, out_offsets: &out_offsets, widest, out: &mut out };
        assert_eq!(lookup.run(&device).unwrap_err().to_string(), text);
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
