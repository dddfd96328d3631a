use super::*;
use crate::Error;
use crate::device::{Device, Pass};
use crate::testing::{assert_rejects, assert_same, devices, gpu, poisoned, upload};

/// With other tiles than the count asks for, if any are given.
fn case(device: &Device, count: u32, bits: u32, tiling: Option<Tiling>) {
    let mask = if bits == 32 { u32::MAX } else { (1 << bits) - 1 };
    // Many duplicates for few bits, and a tail beyond `count` that must stay as it is.
    let keys: Vec<u32> = (0..count + 2).map(|i| (i.wrapping_mul(2_654_435_761) >> 3) & mask).collect();
    let payload: Vec<u32> = (0..count + 2).map(|i| i ^ 0x5555).collect();
    let mut order: Vec<usize> = (0..count as usize).collect();
    order.sort_by_key(|&i| keys[i]);
    let tail = count as usize..count as usize + 2;
    let want =
        |from: &[u32]| -> Vec<u32> { order.iter().map(|&i| from[i]).chain(tail.clone().map(|i| from[i])).collect() };
    let (want_keys, want_payload) = (want(&keys), want(&payload));
    let (mut keys, mut payload) = (upload(device, &keys), upload(device, &payload));
    let mut workspace = poisoned(device, workspace_len(count, tiling.unwrap_or(Tiling::of(count))));
    match (device, tiling) {
        (Device::Gpu(gpu), Some(tiling)) => {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let home = [Region::new("keys", &keys), Region::new("payload", &payload)];
            let space = Region::new("workspace", &workspace);
            let keys = Keys { count, bits, tiling };
            assert_eq!(keys.passes() % 2, 0, "the input lies at home");
            Pass::new(gpu, &mut encoder.begin_compute_pass(&Default::default()))
                .record(|list| Sorting { keys, home, space }.record(gpu, list))
                .unwrap();
            gpu.queue().submit([encoder.finish()]);
        }
        _ => {
            let workspace = &mut workspace;
            Sort { keys: &mut keys, payload: &mut payload, count, bits, workspace }.run(device).unwrap();
        }
    }
    assert_same(&format!("keys, count {count} bits {bits}"), &keys.read().unwrap(), &want_keys);
    assert_same(&format!("payload, count {count} bits {bits}"), &payload.read().unwrap(), &want_payload);
}

fn parity(device: &Device) {
    for count in [0, 1, 255, 256, 257, 2049, 8193, 30_001, 65_537] {
        for bits in [0, 1, 5, 17, 32] {
            case(device, count, bits, None);
        }
    }
    for (count, tiling) in [(1, Tiling::Few), (2049, Tiling::Few), (5000, Tiling::Many), (6144, Tiling::Many)] {
        case(device, count, 8, Some(tiling));
    }
}

#[test]
fn sorts_stably() {
    devices().iter().for_each(parity);
}

/// 65,536 tiles of keys and their workspace are larger than lavapipe's largest binding. So the grid is made to fold
/// by a lower limit.
#[test]
fn folded_grids() {
    if let Some(gpu) = gpu() {
        case(&Device::Gpu(gpu.with_max_groups(41)), 400_000, 16, Some(Tiling::Many));
        case(&Device::Gpu(gpu.with_max_groups(7)), 30_000, 16, Some(Tiling::Few));
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("before + (1u <<", "before + (2u <<"),
            ("return half_of(before, digit);", "return 0u;"),
            ("across.high < size, thread)", "across.high <= size, thread)"),
            ("min(params.count - tile * TILE, TILE)", "TILE"),
            ("keys_from[i.z]", "keys_from[i.y]"),
            ("payload_from[i.w]", "payload_from[i.z]"),
            ("half_of(scan_shared[(thread & 7u) * 32u], thread)", "half_of(scan_shared[thread * 32u], thread)"),
            ("first + x.x + x.y + x.z", "first + x.x + x.y"),
            ("before + sum_of_four(met.low)", "before"),
            ("select(0u, lower, digit >= 8u)", "0u"),
            ("own.high < size, thread)", "own.high < size + 9u, thread)"),
            ("select(own.low, low_rank", "select(across.low, low_rank"),
            ("places[thread] = place - first;", "places[thread] = place;"),
            ("exchange(loaded_keys, across, own)", "exchange(loaded_keys, own, own)"),
            (
                "exchange(exchange(loaded_payloads, across, own), sorted, across)",
                "exchange(loaded_payloads, sorted, across)",
            ),
            ("put_payloads(payloads.high, to.high", "put_payloads(payloads.low, to.high"),
            (
                "put_keys(sorted_keys.low, to.low, across.low < size)",
                "put_keys(sorted_keys.low, to.low, own.low < size)",
            ),
            ("= before + pair.x;", "= before;"),
            ("lower_of_four(digit, 12u)", "0u"),
            ("counts[at.w] = values.w;", ""),
            ("key == other && position < other_position", "key == other && position <= other_position"),
            (
                "before(words[i + 7u], position + 7u, own, element)",
                "before(words[i + 7u], position + 6u, own, element)",
            ),
            ("+ scan_shared[thread + 192u]", ""),
            ("words[i] = 0xffffffffu;", "words[i] = 0u;"),
            ("if 2u * thread < 16u * params.tiles {", "if 2u * thread < 15u * params.tiles {"),
        ],
        parity,
    );
}

/// More tiles than a workgroup scans at once.
fn many_tiles(device: &Device) {
    case(device, 1025 * TILE, 5, None);
}

#[test]
fn mutants_of_many_tiles_are_rejected() {
    let edits =
        [("total += scan_shared[255];", ""), ("let before = total + scan_threads", "let before = scan_threads")];
    assert_rejects(SHADER.name, &edits, many_tiles);
}

#[test]
fn bad_arguments_are_errors() {
    let device = Device::cpu();
    let (mut keys, mut payload) = (upload(&device, &[3u32, 1]), upload(&device, &[0u32]));
    let mut workspace = upload(&device, &[0u32]);
    let sort = Sort { keys: &mut keys, payload: &mut payload, count: 2, bits: 2, workspace: &mut workspace };
    assert!(matches!(sort.run(&device), Err(Error::Shape { arg: "payload", expected: 2, got: 1, .. })));
    let sort = Sort { keys: &mut keys, payload: &mut payload, count: 1, bits: 33, workspace: &mut workspace };
    assert_eq!(sort.run(&device).unwrap_err().to_string(), "prim/sort: `bits` must be at most 32, got 33");
}

#[test]
fn bits_below_a_bound() {
    assert_eq!([0, 1, 2, 3, 256, 257, u32::MAX].map(bits_below), [0, 0, 1, 2, 8, 9, 32]);
}
