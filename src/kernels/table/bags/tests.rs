use half::f16;

use super::*;
use crate::device::{Device, Kernel};
use crate::rows::Layout;
use crate::rows::StateSize;
use crate::testing::{
    assert_close, assert_gaps, assert_rejects, assert_same, devices, gpu, layouts, offsets_of, poisoned, rows_of,
    signed, stored, upload,
};

const PLAIN: Layout = Layout { format: Format::F32, aligned: false, page_bytes: None };

/// A table of many sizes and bags over it: ids past the table, empty bags, and repeated ids.
struct Case {
    layout: Layout,
    sizes: Vec<u32>,
    /// As they are stored.
    arena: Vec<f32>,
    bags: Vec<u32>,
    ids: Vec<u32>,
    weights: Vec<f32>,
}

impl Case {
    fn new(lengths: &[u32], layout: Layout) -> Self {
        let sizes: Vec<u32> = (0..300).map(|i| (i * 5 + 4) % 19).collect();
        let arena = stored(&sizes, &signed(sizes.iter().sum::<u32>() as usize, 3), layout.format);
        let bags = offsets_of(lengths);
        let total = *bags.last().unwrap();
        let ids = (0..total).map(|i| (i * 31) % 303).collect();
        Self { layout, sizes, arena, bags, ids, weights: signed(total as usize, 9) }
    }

    /// Few values, none of them zero: many rows share a dim's largest.
    fn with_ties(mut self) -> Self {
        self.arena.iter_mut().for_each(|value| *value = (*value * 4.0).round() / 4.0 + 0.125);
        self
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
        let rows = rows_of(device, &self.sizes, &self.arena, self.layout, StateSize::default());
        assert_eq!(rows.pages().len() > 1, self.layout.page_bytes.is_some());
        LookupBags {
            rows: &rows,
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
        assert_same("rows", &rows.read().unwrap(), &self.arena);
        assert_gaps("rows", &rows);
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

fn pooled_case(device: &Device, (lengths, layout): (&[u32], Layout), dims: u32, pooling: Pooling, weighted: bool) {
    let (case, how) = (Case::new(lengths, layout), (pooling, weighted, dims));
    let (want, magnitude) = case.pooled(how);
    let mut out: Buffer<f32> = poisoned(device, want.len());
    case.run(device, how, &mut out, None);
    let longest = (case.longest() as f32).max(1.0);
    let what = format!("{lengths:?} dims {dims} {pooling:?} {layout:?}");
    assert_close(&what, &out.read().unwrap(), &want, |i| 2.0 * f32::EPSILON * magnitude[i] * longest.sqrt());
}

fn largest_case(device: &Device, (lengths, layout): (&[u32], Layout), dims: u32) {
    for case in [Case::new(lengths, layout), Case::new(lengths, layout).with_ties()] {
        largest_of(device, &case, dims);
    }
}

fn largest_of(device: &Device, case: &Case, dims: u32) {
    let (want, want_winners) = case.largest(dims);
    for with_winners in [false, true] {
        let (mut out, mut winners): (Buffer<f32>, Buffer<u32>) =
            (poisoned(device, want.len()), poisoned(device, want.len()));
        case.run(device, (Pooling::Max, false, dims), &mut out, with_winners.then_some(&mut winners));
        let what = format!("largest {:?} dims {dims} {:?}", case.bags, case.layout);
        assert_same(&what, &out.read().unwrap(), &want);
        if with_winners {
            assert_same(&what, &winners.read().unwrap(), &want_winners);
        }
    }
}

fn f16_case(device: &Device, (lengths, layout): (&[u32], Layout), dims: u32, pooling: Pooling, weighted: bool) {
    let (case, how) = (Case::new(lengths, layout), (pooling, weighted, dims));
    let want = if pooling == Pooling::Max { case.largest(dims).0 } else { case.pooled(how).0 };
    let mut out = Buffer::from_vec(device, vec![f16::NAN; want.len()]).unwrap();
    case.run(device, how, &mut out, None);
    let got: Vec<f32> = out.read().unwrap().iter().map(|value| value.to_f32()).collect();
    let what = format!("f16 {lengths:?} dims {dims} {pooling:?} {layout:?}");
    assert_close(&what, &got, &want, |i| (want[i].abs() / 1000.0).max(1e-4));
}

fn lengths() -> Vec<Vec<u32>> {
    vec![vec![], vec![0], vec![1], vec![3, 0, 1, 40, 0], vec![2; 257]]
}

/// Layouts with rows of up to 18 values, several of them to a page.
fn all_layouts() -> Vec<Layout> {
    layouts(64).to_vec()
}

fn pooled_parity(device: &Device) {
    for layout in all_layouts() {
        for lengths in lengths() {
            for (pooling, weighted) in [(Pooling::Sum, false), (Pooling::Mean, false), (Pooling::Mean, true)] {
                pooled_case(device, (&lengths, layout), 19, pooling, weighted);
            }
        }
        pooled_case(device, (&[2, 3, 4], layout), 1, Pooling::Sum, true);
    }
}

fn largest_parity(device: &Device) {
    for layout in all_layouts() {
        for lengths in lengths() {
            for dims in [1, 19, 40] {
                largest_case(device, (&lengths, layout), dims);
            }
        }
    }
}

fn f16_parity(device: &Device) {
    for layout in all_layouts() {
        for lengths in lengths() {
            for (pooling, weighted) in [(Pooling::Sum, true), (Pooling::Mean, false), (Pooling::Max, false)] {
                f16_case(device, (&lengths, layout), 20, pooling, weighted);
            }
        }
    }
}

#[test]
fn sums_and_means_match_the_f64_oracle() {
    devices().iter().for_each(pooled_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("sum + weight_of(i) * row.values", "sum + row.values"),
            ("if i < part.end {", "if i + 1u < part.end {"),
            ("i + 1u < part.end; i += 2u", "i < part.end; i += 2u"),
            ("sum = add(sum, i + 1u, next);", "sum = add(sum, i, next);"),
            ("sum /= f32(part.length);", "sum /= f32(part.length + 1u);"),
            ("if dims.x < row.size {", "if dims.x <= row.size {"),
            ("if dims.z < row.size {", "if dims.z <= row.size {"),
            ("row.size = select(0u, row.size, here);", ""),
            // Of pages and of f16.
            ("before = bitcast<vec4<f32>>(outputs(at));", "before = vec4<f32>(0.0);"),
            ("if params.mean == 1u && params.ends == 1u", "if params.mean == 1u"),
            ("select(0u, id - params.first_row, here)", "select(0u, id, here)"),
            ("arena[word_of(at)]", "arena[at]"),
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
            ("(row.values > best.value) |", "(row.values >= best.value) |"),
            ("let first = (best.winner == vec4<u32>(NOBODY)) |", "let first ="),
            ("vec4<u32>(NOBODY), lacks)", "best.winner, lacks)"),
            // Of pages: the first id may lie in a later one, and what lies in another is no row without dims.
            ("& (winner < best.winner));", "& vec4<bool>(false));"),
            ("here || past", "true"),
            ("let none = words == vec4<u32>(NOBODY);", "let none = vec4<bool>(false);"),
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
            ("vec4<u32>(j, j + 1u, j + 2u * stride,", "vec4<u32>(j, j, j + 2u * stride,"),
            ("last_best(best_of(part, two_pairs(j, lanes), nobody())).value", "vec4<f32>(0.0)"),
            ("bitcast<f32>(output[2u * at + 1u])", "bitcast<f32>(output[2u * at])"),
            ("if at < in_use() * (params.dims / 2u) {", "if at + 1u < in_use() * (params.dims / 2u) {"),
        ],
        f16_parity,
    );
}

/// lavapipe ends loops at 65,535 trips without a word: a bag past that must still count exactly.
#[test]
fn a_bag_of_100_000_ids_loses_none() {
    for device in devices() {
        for layout in [PLAIN, all_layouts()[4]] {
            pooled_case(&device, (&[5, 100_000, 0], layout), 2, Pooling::Mean, false);
            largest_case(&device, (&[5, 100_000, 0], layout), 2);
            f16_case(&device, (&[5, 100_000, 0], layout), 2, Pooling::Mean, false);
            f16_case(&device, (&[5, 100_000, 0], layout), 2, Pooling::Max, false);
        }
    }
}

#[test]
fn folded_grids() {
    if let Some(gpu) = gpu() {
        let device = Device::Gpu(gpu.with_max_groups(17));
        for layout in [PLAIN, all_layouts()[1]] {
            pooled_case(&device, (&[2; 2000], layout), 19, Pooling::Mean, true);
            largest_case(&device, (&[2; 2000], layout), 19);
            f16_case(&device, (&[2; 2000], layout), 20, Pooling::Sum, true);
        }
    }
}

/// Sums past what f16 holds come back into it: parts do not pass through f16.
#[test]
fn parts_of_a_sum_in_f16_lose_nothing() {
    for device in devices() {
        for page_bytes in [None, Some(32)] {
            let layout = Layout { page_bytes, ..PLAIN };
            let rows = rows_of(
                &device,
                &[8, 8, 8],
                &[[60_000.0; 8], [60_000.0; 8], [-65_000.0; 8]].concat(),
                layout,
                StateSize::default(),
            );
            assert_eq!(rows.pages().len(), if page_bytes.is_some() { 3 } else { 1 });
            let mut out = Buffer::from_vec(&device, vec![f16::NAN; 8]).unwrap();
            LookupBags {
                rows: &rows,
                ids: &upload(&device, &[0, 1, 2]),
                bags: &upload(&device, &[0, 3]),
                longest_bag: 3,
                weights: None,
                pooling: Pooling::Sum,
                dims: 8,
                out: &mut out,
                winners: None,
            }
            .run(&device)
            .unwrap();
            let got: Vec<f32> = out.read().unwrap().iter().map(|value| value.to_f32()).collect();
            assert_close(&device.describe(), &got, &[55_000.0; 8], |_| 32.0);
        }
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let device = Device::cpu();
    let (rows, ids) = (rows_of(&device, &[1], &[1.0], PLAIN, StateSize::default()), upload(&device, &[0u32; 3]));
    let weights = upload(&device, &[1.0f32; 3]);
    let run = |bags: &[u32], pooling, weighted: bool, with_winners: bool| {
        let (mut out, mut winners) = (poisoned::<f32>(&device, 1), poisoned::<u32>(&device, 1));
        let bags = LookupBags {
            rows: &rows,
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
