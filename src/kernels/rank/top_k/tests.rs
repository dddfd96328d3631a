mod ragged;

use super::*;
use crate::device::Device;
use crate::testing::{assert_close, assert_rejects, assert_same, devices, gpu, poisoned, signed, upload};

struct Case {
    queries: Vec<f32>,
    candidates: Vec<f32>,
    counts: [usize; 2],
    dims: usize,
    item_bias: bool,
    excluded: Vec<Vec<u32>>,
    k: u32,
    ragged: Option<Widths>,
}

/// Values behind a row's width are zero.
struct Widths {
    queries: Vec<u32>,
    candidates: Vec<u32>,
    /// The positions of the candidates as they come.
    order: Vec<u32>,
}

impl Case {
    /// Small integers: every score is exact and most are tied.
    fn new([users, items]: [usize; 2], dims: usize, item_bias: bool, k: u32) -> Self {
        let stride = dims + usize::from(item_bias);
        let values = |len: usize, salt: u32| signed(len, salt).iter().map(|v| v.round()).collect::<Vec<f32>>();
        let excluded = |u: usize| -> Vec<u32> {
            match u % 4 {
                0 => vec![],
                1 => (0..items as u32).filter(|i| i % 3 == 0).collect(),
                2 => (0..items as u32).collect(),
                _ => (0..items.min(5) as u32).collect(),
            }
        };
        Self {
            queries: values(users * dims, 5),
            candidates: values(items * stride, 6),
            counts: [users, items],
            dims,
            item_bias,
            excluded: (0..users).map(excluded).collect(),
            k,
            ragged: None,
        }
    }

    /// Widths of all kinds, one after the other.
    fn ragged(mut self) -> Self {
        let width = |i: usize| [17, 0, 16, 1, 15, 3, 40][i * i % 7].min(self.dims as u32);
        let [queries, candidates] = self.counts.map(|count| (0..count).map(width).collect::<Vec<u32>>());
        let (stride, bias) = (self.stride(), usize::from(self.item_bias));
        for (u, &width) in queries.iter().enumerate() {
            self.queries[u * self.dims..(u + 1) * self.dims][width as usize..].fill(0.0);
        }
        for (c, &width) in candidates.iter().enumerate() {
            self.candidates[c * stride..(c + 1) * stride][bias + width as usize..].fill(0.0);
        }
        let order = (0..self.counts[1] as u32).collect();
        self.ragged = Some(Widths { queries, candidates, order });
        self
    }

    fn stride(&self) -> usize {
        self.dims + usize::from(self.item_bias)
    }

    /// Merges tiles that end at these positions, in this order of tiles.
    fn run(&self, device: &Device, ends: &[usize], backwards: bool) -> (Vec<f32>, Vec<u32>) {
        let [users, items] = self.counts;
        let queries = upload(device, &self.queries);
        let mut offsets = vec![0u32];
        self.excluded.iter().for_each(|row| offsets.push(offsets.last().unwrap() + row.len() as u32));
        let (excluded_offsets, excluded) = (upload(device, &offsets), upload(device, &self.excluded.concat()));
        let mut best_scores = poisoned(device, users * self.k as usize);
        let mut best_positions = poisoned(device, users * self.k as usize);
        let mut tiles: Vec<[usize; 2]> = Vec::new();
        for end in ends.iter().copied().chain([items]) {
            let start = tiles.last().map_or(0, |tile| tile[1]);
            tiles.push([start.min(items), end.min(items)]);
        }
        if backwards {
            tiles.reverse();
        }
        let mut commands = device.commands();
        for (i, [start, end]) in tiles.into_iter().enumerate() {
            let positions = match &self.ragged {
                None => (start as u32..end as u32).collect(),
                Some(of) => of.order[start..end].to_vec(),
            };
            let rows = positions.iter().flat_map(|p| &self.candidates[*p as usize * self.stride()..][..self.stride()]);
            let candidates = upload(device, &rows.copied().collect::<Vec<f32>>());
            let base = positions.iter().copied().min().unwrap_or(start as u32);
            let ragged = self.ragged.as_ref().map(|of| {
                let places: Vec<u32> = positions.iter().flat_map(|p| [p - base, of.candidates[*p as usize]]).collect();
                (upload(device, &of.queries), upload(device, &places))
            });
            commands
                .run(TopK {
                    queries: &queries,
                    query_count: users as u32,
                    candidates: &candidates,
                    candidate_count: (end - start) as u32,
                    candidate_base: base,
                    dims: self.dims as u32,
                    item_bias: self.item_bias,
                    ragged: ragged.as_ref().map(|(query_widths, candidates)| Ragged { query_widths, candidates }),
                    excluded_offsets: &excluded_offsets,
                    excluded: &excluded,
                    k: self.k,
                    fresh: i == 0,
                    best_scores: &mut best_scores,
                    best_positions: &mut best_positions,
                })
                .unwrap();
        }
        commands.submit().unwrap();
        assert_same("queries", &queries.read().unwrap(), &self.queries);
        (best_scores.read().unwrap(), best_positions.read().unwrap())
    }

    fn score(&self, u: usize, c: usize) -> f64 {
        let candidate = &self.candidates[c * self.stride()..][..self.stride()];
        let (bias, embedding) = candidate.split_at(usize::from(self.item_bias));
        let query = &self.queries[u * self.dims..][..self.dims];
        let products = query.iter().zip(embedding).map(|(q, e)| f64::from(*q) * f64::from(*e));
        bias.iter().copied().map(f64::from).sum::<f64>() + products.sum::<f64>()
    }

    /// A full sort in f64.
    fn oracle(&self) -> (Vec<f32>, Vec<u32>) {
        let (mut scores, mut positions) = (Vec::new(), Vec::new());
        for u in 0..self.counts[0] {
            let mut all: Vec<(f64, u32)> = (0..self.counts[1])
                .map(|c| (self.score(u, c), c as u32))
                .filter(|(score, c)| !score.is_nan() && !self.excluded[u].contains(c))
                .collect();
            all.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)));
            all.resize(all.len().max(self.k as usize), (f64::NEG_INFINITY, u32::MAX));
            // Adding 0 makes one of both zeros.
            scores.extend(all[..self.k as usize].iter().map(|(score, _)| *score as f32 + 0.0));
            positions.extend(all[..self.k as usize].iter().map(|(_, position)| position));
        }
        (scores, positions)
    }

    fn check(&self, device: &Device, ends: &[usize], backwards: bool) {
        let what = format!("{:?} dims {} bias {} k {} tiles {ends:?}", self.counts, self.dims, self.item_bias, self.k);
        let (scores, positions) = self.run(device, ends, backwards);
        let want = self.oracle();
        assert_same(&format!("{what} positions"), &positions, &want.1);
        assert_same(&format!("{what} scores"), &scores, &want.0);
    }
}

fn parity(device: &Device) {
    for k in [1, 20, 100] {
        for (dims, item_bias) in [(0, false), (0, true), (1, false), (7, true), (64, false), (300, true)] {
            for items in [0, 1, 19, 255, 256, 257, 1100] {
                Case::new([6, items], dims, item_bias, k).check(device, &[], false);
            }
        }
        for users in [0, 1, 3, 9, 70] {
            Case::new([users, 300], 5, true, k).check(device, &[100], false);
        }
        let case = Case::new([5, 1100], 3, true, k);
        for ends in [&[1][..], &[256, 512, 513], &[550], &[0, 0, 1099]] {
            case.check(device, ends, false);
            case.check(device, ends, true);
        }
    }
    for (dims, item_bias, k) in [(40, false, 20), (16, true, 100), (0, true, 1)] {
        let mut case = Case::new([20, 700], dims, item_bias, k).ragged();
        case.check(device, &[300, 301], false);
        case.ragged.as_mut().unwrap().order.reverse();
        case.check(device, &[300, 301], true);
    }
    // Scores that rise with the position: every candidate enters and every round is sorted.
    let mut rising = Case::new([2, 3000], 1, false, 100);
    rising.queries = vec![1.0, -1.0];
    rising.candidates = (0..3000).map(|c| (c / 2) as f32).collect();
    rising.check(device, &[], false);
    let mut odd = Case::new([3, 600], 2, true, 20);
    let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, f32::MAX, -f32::NAN, 1e-40];
    // Every third candidate gets a bias that is its own.
    (0..600).step_by(3).for_each(|c| odd.candidates[3 * c] = specials[c / 3 % 7]);
    odd.queries.fill(0.0);
    odd.check(device, &[300], true);
    odd.k = 100;
    odd.excluded = vec![vec![]; 3];
    odd.check(device, &[300], false);
}

#[test]
fn matches_a_full_sort() {
    devices().iter().for_each(parity);
}

#[test]
fn inexact_scores_stay_close() {
    for device in devices() {
        let mut case = Case::new([9, 700], 64, true, 20);
        (case.queries, case.candidates) = (signed(9 * 64, 1), signed(700 * 65, 2));
        let ((scores, _), want) = (case.run(&device, &[400], false), case.oracle());
        assert_close("scores", &scores, &want.0, |_| f32::EPSILON * 66.0 * 65.0 * 4.0);
        assert_same("second run", &case.run(&device, &[400], false).0, &scores);
    }
}

/// lavapipe ends loops at 65,535 trips and reports nothing: several dispatches, in which every candidate enters.
#[test]
fn long_tiles_lose_no_candidate() {
    for device in devices() {
        let mut case = Case::new([1, 340_000], 7, false, 100);
        case.candidates.iter_mut().for_each(|value| *value = 0.0);
        case.queries.fill(1.0);
        (0..340_000).for_each(|c| case.candidates[7 * c + c % 7] = (c / 3) as f32);
        case.check(&device, &[], false);
        let mut wide = Case::new([2, 3000], MAX_DIMS as usize, false, 5);
        wide.candidates.iter_mut().enumerate().for_each(|(i, value)| *value = (i % 3) as f32 - 1.0);
        wide.check(&device, &[], false);
    }
}

/// Enough queries for one segment, enough candidates for several dispatches.
#[test]
fn many_queries_need_no_segments() {
    if let Some(gpu) = gpu() {
        let case = Case::new([257 * 16, 8000], 3, true, 20);
        let (got, want) = (case.run(&Device::Gpu(gpu), &[], false), case.run(&Device::cpu(), &[], false));
        assert_same("positions", &got.1, &want.1);
        assert_same("scores", &got.0, &want.0);
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        let mut case = Case::new([16 * 65_536 + 1, 3], 1, true, 2);
        case.excluded.iter_mut().for_each(|row| row.truncate(2));
        case.check(&Device::Gpu(gpu), &[], false);
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("position < than_position", "position > than_position"),
            ("if place >= places {", "if place > places {"),
            ("return low < end && ", "return "),
            ("size > vec4<u32>(0x7f800000u)", "size > vec4<u32>(0x7fffffffu)"),
            ("size == vec4<u32>(0u)", "size == vec4<u32>(1u)"),
            ("step > 0u; step /= 2u", "step > 1u; step /= 2u"),
            ("var i = list + params.k; i < list + count", "var i = list + params.k; i + 1u < list + count"),
            ("if j < dims {", "if j + 1u < dims {"),
            ("slice(block, tile, start + depth, dims, thread)", "slice(block, tile, start, dims, thread)"),
            ("min(wide, tile_dims(tile, thread))", "min(wide, max(tile_dims(tile, thread), 1u) - 1u)"),
            (
                "return min(widest_of_all(query_widths[query], thread), ",
                "return min(query_widths[block * 4u * fours], ",
            ),
            ("max(first, second)", "min(first, second)"),
            ("candidate < params.last)", "candidate <= params.last)"),
            ("if params.fresh == 0u {", "if params.fresh == 1u {"),
            ("bit % 4u, position_of(candidate", "bit % 4u, (candidate"),
            ("key_at(sums, bit), position_of(candidate", "key_at(sums, bit), (candidate"),
            ("vec4<u32>(position_of(candidate))", "vec4<u32>(params.base + candidate)"),
            ("return params.base + ragged", "return ragged"),
            ("return params.base + candidate", "return candidate"),
            ("waiting &= passing(sums, query, candidate);", "waiting = 0u;"),
            ("params.first + segment * params.span", "params.first"),
            ("min(first + params.span, params.last)", "params.last"),
            ("i / params.k * params.queries", "0u * params.queries"),
        ],
        parity,
    );
}

#[test]
fn bad_arguments_are_errors() {
    let device = Device::cpu();
    let (values, offsets) = (upload(&device, &[1.0f32, 2.0]), upload(&device, &[0u32, 0]));
    let none = upload::<u32>(&device, &[]);
    let run = |k: u32, dims: u32, queries: u32, base: u32| {
        let (mut best_scores, mut best_positions) = (poisoned(&device, 2), poisoned(&device, 2));
        TopK {
            queries: &values,
            query_count: queries,
            candidates: &values,
            candidate_count: 1,
            candidate_base: base,
            dims,
            item_bias: false,
            ragged: None,
            excluded_offsets: &offsets,
            excluded: &none,
            k,
            fresh: true,
            best_scores: &mut best_scores,
            best_positions: &mut best_positions,
        }
        .run(&device)
    };
    assert!(run(2, 2, 1, 0).is_ok());
    assert!(matches!(run(0, 2, 1, 0), Err(Error::Argument { arg: "k", .. })));
    assert!(matches!(run(101, 2, 1, 0), Err(Error::Argument { arg: "k", .. })));
    assert!(matches!(run(3, 2, 1, 0), Err(Error::Shape { arg: "best_scores", expected: 3, got: 2, .. })));
    assert!(matches!(run(1, 3, 1, 0), Err(Error::Shape { arg: "queries", expected: 3, got: 2, .. })));
    assert!(matches!(run(1, 1, 2, 0), Err(Error::Shape { arg: "excluded_offsets", expected: 3, got: 2, .. })));
    assert!(matches!(run(1, 10_000, 1, 0), Err(Error::Limit { arg: "dims", .. })));
    assert!(matches!(run(1, 1, 1, u32::MAX), Err(Error::Limit { arg: "candidate_base", .. })));
    let short = |widths: usize, places: usize| {
        let (mut best_scores, mut best_positions) = (poisoned(&device, 2), poisoned(&device, 2));
        let [widths, places] = [widths, places].map(|len| upload(&device, &vec![9u32; len]));
        TopK {
            queries: &values,
            query_count: 1,
            candidates: &values,
            candidate_count: 2,
            candidate_base: u32::MAX - 2,
            dims: 1,
            item_bias: false,
            ragged: Some(Ragged { query_widths: &widths, candidates: &places }),
            excluded_offsets: &offsets,
            excluded: &none,
            k: 2,
            fresh: true,
            best_scores: &mut best_scores,
            best_positions: &mut best_positions,
        }
        .run(&device)
    };
    // A width past the dims counts as the dims, a position past the last is any.
    assert!(short(1, 4).is_ok());
    assert!(matches!(short(0, 4), Err(Error::Shape { arg: "ragged.query_widths", expected: 1, got: 0, .. })));
    assert!(matches!(short(1, 3), Err(Error::Shape { arg: "ragged.candidates", expected: 4, got: 3, .. })));
}

#[test]
fn one_buffer_under_two_names_is_an_error() {
    let Some(gpu) = gpu() else { return };
    let device = Device::Gpu(gpu.clone());
    let none = upload::<u32>(&device, &[0, 0]);
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: 4 * 5000,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    };
    let raw = gpu.device().create_buffer(&descriptor);
    let [values, mut best_scores] = [0, 1].map(|_| Buffer::<f32>::from_wgpu(&gpu, raw.clone()).unwrap());
    let mut best_positions = poisoned(&device, 1);
    for count in [1, 5000] {
        let error = TopK {
            queries: &values,
            query_count: 1,
            candidates: &values,
            candidate_count: count,
            candidate_base: 0,
            dims: 1,
            item_bias: false,
            ragged: None,
            excluded_offsets: &none,
            excluded: &none,
            k: 1,
            fresh: true,
            best_scores: &mut best_scores,
            best_positions: &mut best_positions,
        }
        .run(&device);
        assert!(matches!(error, Err(Error::Buffer { arg: "best_scores", .. })), "{error:?}");
    }
}
