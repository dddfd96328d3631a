use half::f16;

use super::*;
use crate::device::Device;
use crate::testing::{assert_close, assert_rejects, assert_same, devices, gpu, offsets_of, poisoned, signed, upload};

/// A table of many sizes and bags over it: ids past the table, empty bags, and repeated ids.
struct Case {
    sizes: Vec<u32>,
    arena: Vec<f32>,
    bags: Vec<u32>,
    ids: Vec<u32>,
    weights: Vec<f32>,
}

impl Case {
    fn new(lengths: &[u32]) -> Self {
        let sizes: Vec<u32> = (0..300).map(|i| (i * 5) % 19).collect();
        let arena = signed(sizes.iter().sum::<u32>() as usize, 3);
        let bags = offsets_of(lengths);
        let total = *bags.last().unwrap();
        let ids = (0..total).map(|i| (i * 31 + i / 7) % 301).collect();
        Self { sizes, arena, bags, ids, weights: signed(total as usize, 9) }
    }

    fn value(&self, offsets: &[u32], i: u32, j: usize) -> Option<f32> {
        let id = self.ids[i as usize] as usize;
        let inside = self.sizes.get(id).is_some_and(|&size| j < size as usize);
        inside.then(|| self.arena[offsets[id] as usize + j])
    }

    fn longest(&self) -> u32 {
        self.bags.windows(2).map(|bag| bag[1] - bag[0]).max().unwrap_or(0)
    }

    fn run<T: Output>(
        &self,
        device: &Device,
        how: (Pooling, bool, u32),
        out: &mut Buffer<T>,
        winners: Option<&mut Buffer<u32>>,
    ) {
        let (pooling, weighted, dims) = how;
        let weights = upload(device, &self.weights);
        LookupBags {
            arena: &upload(device, &self.arena),
            offsets: &upload(device, &offsets_of(&self.sizes)),
            ids: &upload(device, &self.ids),
            bags: &upload(device, &self.bags),
            longest_bag: self.longest(),
            weights: weighted.then_some(&weights),
            pooling,
            dims,
            out,
            winners,
        }
        .run(device)
        .unwrap();
    }

    /// Sums or means in f64, and the sums of what their terms are in size.
    fn pooled(&self, (pooling, weighted, dims): (Pooling, bool, u32)) -> (Vec<f32>, Vec<f32>) {
        let (offsets, mut want, mut magnitude) = (offsets_of(&self.sizes), Vec::new(), Vec::new());
        for bag in self.bags.windows(2) {
            for j in 0..dims as usize {
                let term = |i: u32| {
                    let weight = if weighted { self.weights[i as usize] } else { 1.0 };
                    f64::from(weight) * f64::from(self.value(&offsets, i, j).unwrap_or(0.0))
                };
                let sum: f64 = (bag[0]..bag[1]).map(term).sum();
                let length = if pooling == Pooling::Mean { (bag[1] - bag[0]).max(1) } else { 1 };
                want.push((sum / f64::from(length)) as f32);
                magnitude.push((bag[0]..bag[1]).map(|i| term(i).abs()).sum::<f64>() as f32);
            }
        }
        (want, magnitude)
    }

    /// Maxima and winners.
    fn largest(&self, dims: u32) -> (Vec<f32>, Vec<u32>) {
        let (offsets, mut want, mut winners) = (offsets_of(&self.sizes), Vec::new(), Vec::new());
        for bag in self.bags.windows(2) {
            for j in 0..dims as usize {
                let values: Vec<f32> = (bag[0]..bag[1]).map(|i| self.value(&offsets, i, j).unwrap_or(0.0)).collect();
                let most = values.iter().copied().reduce(f32::max).unwrap_or(0.0);
                let winner = values.iter().position(|&value| value == most).map(|at| bag[0] + at as u32);
                want.push(most);
                winners.push(winner.filter(|&i| self.value(&offsets, i, j).is_some()).unwrap_or(u32::MAX));
            }
        }
        (want, winners)
    }
}

fn pooled_case(device: &Device, lengths: &[u32], dims: u32, pooling: Pooling, weighted: bool) {
    let (case, how) = (Case::new(lengths), (pooling, weighted, dims));
    let (want, magnitude) = case.pooled(how);
    let mut out: Buffer<f32> = poisoned(device, want.len());
    case.run(device, how, &mut out, None);
    let longest = (case.longest() as f32).max(1.0);
    let what = format!("{lengths:?} dims {dims} {pooling:?}");
    assert_close(&what, &out.read().unwrap(), &want, |i| 2.0 * f32::EPSILON * magnitude[i] * longest.sqrt());
}

fn largest_case(device: &Device, lengths: &[u32], dims: u32) {
    let case = Case::new(lengths);
    let (want, want_winners) = case.largest(dims);
    for with_winners in [false, true] {
        let (mut out, mut winners): (Buffer<f32>, Buffer<u32>) =
            (poisoned(device, want.len()), poisoned(device, want.len()));
        case.run(device, (Pooling::Max, false, dims), &mut out, with_winners.then_some(&mut winners));
        let what = format!("largest {lengths:?} dims {dims}");
        assert_same(&what, &out.read().unwrap(), &want);
        if with_winners {
            assert_same(&what, &winners.read().unwrap(), &want_winners);
        }
    }
}

fn f16_case(device: &Device, lengths: &[u32], dims: u32, pooling: Pooling, weighted: bool) {
    let (case, how) = (Case::new(lengths), (pooling, weighted, dims));
    let want = if pooling == Pooling::Max { case.largest(dims).0 } else { case.pooled(how).0 };
    let mut out = Buffer::from_vec(device, vec![f16::NAN; want.len()]).unwrap();
    case.run(device, how, &mut out, None);
    let got: Vec<f32> = out.read().unwrap().iter().map(|value| value.to_f32()).collect();
    let what = format!("f16 {lengths:?} dims {dims} {pooling:?}");
    assert_close(&what, &got, &want, |i| (want[i].abs() / 1000.0).max(1e-4));
}

fn lengths() -> Vec<Vec<u32>> {
    vec![vec![], vec![0], vec![1], vec![3, 0, 1, 40, 0], vec![2; 257]]
}

fn pooled_parity(device: &Device) {
    for lengths in lengths() {
        for (pooling, weighted) in [(Pooling::Sum, false), (Pooling::Mean, false), (Pooling::Mean, true)] {
            pooled_case(device, &lengths, 19, pooling, weighted);
        }
    }
    pooled_case(device, &[2, 3, 4], 1, Pooling::Sum, true);
}

fn largest_parity(device: &Device) {
    for lengths in lengths() {
        for dims in [1, 19, 40] {
            largest_case(device, &lengths, dims);
        }
    }
}

fn f16_parity(device: &Device) {
    for lengths in lengths() {
        for (pooling, weighted) in [(Pooling::Sum, true), (Pooling::Mean, false), (Pooling::Max, false)] {
            f16_case(device, &lengths, 20, pooling, weighted);
        }
    }
}

#[test]
fn sums_and_means_match_the_f64_oracle() {
    devices().iter().for_each(pooled_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("weight * value_at", "value_at"),
            ("i < part.end; i++) {\n        var weight", "i + 1u < part.end; i++) {\n        var weight"),
            ("sum /= f32(part.length);", "sum /= f32(part.length + 1u);"),
            ("if j >= offsets[id + 1u] - start {", "if j > offsets[id + 1u] - start {"),
        ],
        pooled_parity,
    );
}

#[test]
fn maxima_and_winners() {
    devices().iter().for_each(largest_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("if value > best.value ||", "if value >= best.value ||"),
            ("(i == part.start && !part.begun)", "false"),
            ("select(0xffffffffu, i, has(ids[i], j))", "i"),
        ],
        largest_parity,
    );
}

#[test]
fn bags_become_f16() {
    devices().iter().for_each(f16_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("sum_of(part, 2u * j + 1u, 0.0)", "sum_of(part, 2u * j, 0.0)"),
            ("best_of(part, 2u * j, none).value,", "0.0,"),
        ],
        f16_parity,
    );
}

/// lavapipe ends loops at 65,535 trips without a word: a bag past that must still count exactly.
#[test]
fn a_bag_of_100_000_ids_loses_none() {
    for device in devices() {
        pooled_case(&device, &[5, 100_000, 0], 2, Pooling::Mean, false);
        largest_case(&device, &[5, 100_000, 0], 2);
    }
}

#[test]
fn folded_grids() {
    if let Some(gpu) = gpu() {
        let device = Device::Gpu(gpu.with_max_groups(17));
        pooled_case(&device, &[2; 2000], 19, Pooling::Mean, true);
        largest_case(&device, &[2; 2000], 19);
        f16_case(&device, &[2; 2000], 20, Pooling::Sum, true);
    }
}

#[test]
fn a_long_bag_into_f16_is_refused_by_a_gpu() {
    let Some(gpu) = gpu() else { return };
    let device = Device::Gpu(gpu);
    let (arena, offsets, ids) = (upload(&device, &[1.0]), upload(&device, &[0, 1]), upload(&device, &[0; 20_000]));
    let mut out = Buffer::from_vec(&device, vec![f16::ZERO; 2]).unwrap();
    let bags = LookupBags {
        arena: &arena,
        offsets: &offsets,
        ids: &ids,
        bags: &upload(&device, &[0, 20_000]),
        longest_bag: 20_000,
        weights: None,
        pooling: Pooling::Sum,
        dims: 2,
        out: &mut out,
        winners: None,
    };
    let error = bags.run(&device).unwrap_err();
    assert!(matches!(error, Error::Limit { arg: "longest_bag", allowed: 8192, .. }), "{error}");
}

#[test]
fn wrong_arguments_are_errors() {
    let device = Device::cpu();
    let (arena, offsets, ids) = (upload(&device, &[1.0f32]), upload(&device, &[0u32, 1]), upload(&device, &[0u32; 3]));
    let weights = upload(&device, &[1.0f32; 3]);
    let run = |bags: &[u32], pooling, weighted: bool, with_winners: bool| {
        let (mut out, mut winners) = (poisoned::<f32>(&device, 1), poisoned::<u32>(&device, 1));
        let bags = LookupBags {
            arena: &arena,
            offsets: &offsets,
            ids: &ids,
            bags: &upload(&device, bags),
            longest_bag: 2,
            weights: weighted.then_some(&weights),
            pooling,
            dims: 1,
            out: &mut out,
            winners: with_winners.then_some(&mut winners),
        };
        bags.run(&device).unwrap_err().to_string()
    };
    let found = [
        run(&[0, 3], Pooling::Sum, false, false),
        run(&[0, 4], Pooling::Sum, false, false),
        run(&[0, 2], Pooling::Max, true, false),
        run(&[0, 2], Pooling::Sum, false, true),
    ];
    let expected = [
        "table/bags: `longest_bag` must be at least 3, got 2",
        "table/bags: `bags` must be never falling, with an end at most 3, got an end at 4",
        "table/bags: `weights` must be none for the max, got some",
        "table/bags: `winners` must be none but for the max of f32, got some",
    ];
    assert_eq!(found, expected);
}
