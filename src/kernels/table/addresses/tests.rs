use std::collections::HashSet;

use super::*;
use crate::device::Device;
use crate::testing::{assert_rejects, assert_same, devices, poisoned, upload};

fn run(device: &Device, keys: &[u64], sharing: Sharing, seed: u64) -> Vec<u32> {
    let words: Vec<u32> = keys.iter().flat_map(|&key| [key as u32, (key >> 32) as u32]).collect();
    let mut out = poisoned(device, keys.len() * sharing.parts() as usize);
    Addresses { keys: &upload(device, &words), sharing, seed, out: &mut out }.run(device).unwrap();
    out.read().unwrap()
}

/// By its definition, a bit at a time, with sums in place of shifts.
fn oracle(keys: &[u64], sharing: Sharing, seed: u64) -> Vec<u32> {
    let seed = [seed as u32, (seed >> 32) as u32];
    let word = |key: u64, k: u32| u64::from(philox([key as u32, (key >> 32) as u32, k, 16], seed)[0]);
    let of_key = |&key: &u64| {
        let code = if key < 1 << 32 { key * 0x9E37_79B1 % (1 << 32) } else { word(key, 0) };
        let row = move |k: u32| match sharing {
            Sharing::Chunks { rows, .. } => (word(key, k) * u64::from(rows) / (1 << 32)) as u32,
            Sharing::Blocks { blocks, bits } => {
                let bit = |j: u32| (code / 2u64.pow(k + j * blocks) % 2) * 2u64.pow(j);
                (u64::from(k) * 2u64.pow(bits) + (0..bits).map(bit).sum::<u64>()) as u32
            }
        };
        (0..sharing.parts()).map(row).collect::<Vec<_>>()
    };
    keys.iter().flat_map(of_key).collect()
}

fn sharings() -> Vec<Sharing> {
    let blocks = [(1, 0), (1, 32), (2, 3), (2, 16), (3, 10), (4, 8), (32, 1), (5, 0)];
    let chunks = [(1, 1), (1, u32::MAX), (3, 100), (8, 4096), (70, 3)];
    let blocks = blocks.into_iter().map(|(blocks, bits)| Sharing::Blocks { blocks, bits });
    let fits = blocks.filter(|sharing| sharing.rows() <= u64::from(u32::MAX));
    fits.chain(chunks.into_iter().map(|(chunks, rows)| Sharing::Chunks { chunks, rows })).collect()
}

fn keys(count: u64) -> Vec<u64> {
    (0..count).map(|k| if k % 3 == 0 { k } else { crate::rng::mix(k) >> (k % 5 * 13) }).collect()
}

fn parity(device: &Device) {
    for sharing in sharings() {
        for count in [0, 1, 63, 64, 65, 1000] {
            let keys = keys(count);
            let found = run(device, &keys, sharing, 1 << 40 | 5);
            assert_same(&format!("{sharing:?} of {count}"), &found, &oracle(&keys, sharing, 1 << 40 | 5));
        }
    }
}

#[test]
fn addresses_are_those_of_the_definition() {
    devices().iter().for_each(parity);
}

#[test]
fn more_than_a_task_and_a_row_of_groups() {
    let sharing = Sharing::Blocks { blocks: 3, bits: 5 };
    for device in devices() {
        let keys = keys(70_000);
        assert_same("many", &run(&device, &keys, sharing, 1), &oracle(&keys, sharing, 1));
    }
}

/// Ids below 2^(K t) have different rows, all of them, whatever t.
#[test]
fn small_keys_never_share_all_rows() {
    for (blocks, bits) in [(1, 10), (2, 8), (3, 5), (4, 4), (16, 1)] {
        let keys: Vec<u64> = (0..1 << (blocks * bits)).collect();
        let found = run(&Device::cpu(), &keys, Sharing::Blocks { blocks, bits }, 9);
        let distinct: HashSet<&[u32]> = found.chunks(blocks as usize).collect();
        assert_eq!(distinct.len(), keys.len(), "{blocks} blocks of {bits} bits");
    }
}

/// One more bit tells rows apart that were one, and nothing else changes.
#[test]
fn a_further_bit_leaves_the_others() {
    let keys = keys(3000);
    for (blocks, bits) in [(1, 9), (2, 6), (3, 4)] {
        let [few, more] = [bits, bits + 1].map(|bits| run(&Device::cpu(), &keys, Sharing::Blocks { blocks, bits }, 3));
        for (few, more) in few.iter().zip(more) {
            assert_eq!((few >> bits, few % (1 << bits)), (more >> (bits + 1), more % (1 << bits)));
        }
    }
}

/// Chi-square of the rows that large keys get; with a fixed seed this either always or never fails. The bound lies 4
/// standard deviations above the mean of the statistic.
#[test]
fn rows_are_equally_likely() {
    let keys: Vec<u64> = (1..=40_000).map(|k| (k << 32) + k * k).collect();
    let sharings = [Sharing::Chunks { chunks: 4, rows: 250 }, Sharing::Blocks { blocks: 2, bits: 7 }];
    for sharing in sharings {
        let mut counts = vec![0u32; sharing.rows() as usize];
        run(&Device::cpu(), &keys, sharing, 17).iter().for_each(|&row| counts[row as usize] += 1);
        let expected = keys.len() as f64 * f64::from(sharing.parts()) / counts.len() as f64;
        let statistic: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
        let freedom = counts.len() as f64 - 1.0;
        assert!(statistic < freedom + 4.0 * (2.0 * freedom).sqrt(), "{sharing:?}: {statistic}");
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("part + bit * params.parts", "part * params.bits + bit"),
            ("if high == 0u {", "if low != high {"),
            ("(part << params.bits) + row", "row"),
            ("number % params.parts), params.rows", "0u), params.rows"),
            ("part, params.purpose), key)", "part, 0u), key)"),
            ("bit < params.bits", "bit + 1u < params.bits"),
            ("low * 0x9E3779B1u", "low"),
        ],
        parity,
    );
}

#[test]
fn bad_arguments() {
    let device = Device::cpu();
    let reject = |keys: usize, sharing, out: usize, said: &str| {
        let keys = poisoned(&device, keys);
        let mut out = poisoned(&device, out);
        let error = Addresses { keys: &keys, sharing, seed: 0, out: &mut out }.run(&device).unwrap_err();
        assert_eq!(error.to_string(), said);
    };
    let blocks = |blocks, bits| Sharing::Blocks { blocks, bits };
    let chunks = |chunks, rows| Sharing::Chunks { chunks, rows };
    reject(2, blocks(0, 3), 0, "table/addresses: `sharing.blocks` must be at least 1, got 0");
    let bits = "table/addresses: `sharing.bits` must be at most 32 for all blocks together, those of a code, got";
    reject(2, blocks(3, 11), 3, &format!("{bits} 3 times 11"));
    reject(2, blocks(u32::MAX, u32::MAX), 3, &format!("{bits} 4294967295 times 4294967295"));
    reject(2, chunks(0, 3), 0, "table/addresses: `sharing.chunks` must be at least 1, got 0");
    reject(2, chunks(3, 0), 3, "table/addresses: `sharing.rows` must be at least 1, got 0");
    reject(3, chunks(3, 9), 3, "table/addresses: `keys` has length 3, expected 4");
    reject(4, chunks(3, 9), 5, "table/addresses: `out` has length 5, expected 6");
}
