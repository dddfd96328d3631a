use half::f16;

use super::*;
use crate::device::{Device, Kernel};
use crate::kernels::table::optimizer::oracle::{
    self, ADAGRAD, ADAM, ADAM_W, NESTEROV, ROW_WISE, ROW_WISE_ADAM, SGD, Snapshot, clipped,
};
use crate::kernels::table::testing::{self, HALF, Stepper};
use crate::rows::{Format, Layout};
use crate::testing::{
    LAYOUTS, assert_close, assert_rejects, assert_same, devices, gpu, in_turn, layouts, offsets_of, poisoned, rows_of,
    signed, takes, upload,
};

mod behind;
mod non_finite;

/// Ids, a row of gradients each.
struct Batch {
    ids: Vec<u32>,
}

type Case = testing::Case<Batch>;

impl Case {
    fn new(sizes: &[u32], ids: Vec<u32>, dims: u32, rule: impl Into<UpdateRule>) -> Self {
        Self::of(Batch { ids }, sizes, dims, rule)
    }
}

impl Stepper for Batch {
    fn gradient_rows(case: &Case) -> usize {
        case.stepper.ids.len()
    }

    fn step(case: &Case, device: &Device, rows: &mut Rows, gradients: &Buffer<f32>, counter: Option<&mut Buffer<u32>>) {
        let ids = upload(device, &case.stepper.ids);
        let count = ids.len() as u32;
        Update {
            rows,
            ids: &ids,
            first: 0,
            count,
            gradients: gradients.into(),
            dims: case.dims,
            rule: case.rule,
            step: case.step,
            seed: case.seed,
            workspace: &mut poisoned(device, Update::workspace_len(count, case.dims)),
            counter,
        }
        .run(device)
        .unwrap();
        assert_same("ids", &ids.read().unwrap(), &case.stepper.ids);
    }

    fn sums(case: &Case, gradients: &[f32]) -> Vec<oracle::Gradient> {
        let (sizes, dims) = (&case.sizes, case.dims as usize);
        let mut sums: Vec<_> =
            sizes.iter().map(|_| oracle::Gradient { sums: Vec::new(), errors: Vec::new() }).collect();
        for (b, &id) in case.stepper.ids.iter().enumerate().filter(|(_, id)| (**id as usize) < sizes.len()) {
            let width = dims.min(sizes[id as usize] as usize);
            let row = &mut sums[id as usize];
            row.sums.resize(width, 0.0);
            row.errors.resize(width, 0.0);
            for j in 0..width {
                let g = f64::from(gradients[b * dims + j]);
                row.sums[j] += g;
                // Sums of at most 32 and then of their number: far below eps * length, which holds for one long sum.
                row.errors[j] += 16.0 * f64::from(f32::EPSILON) * g.abs();
            }
        }
        sums
    }
}

/// The way back of bags: what the same batch gives with every occurrence's gradient written out.
struct BagCase {
    case: Case,
    /// Lengths of the bags; the first begins at `before`, and some ids may lie behind the last.
    lengths: Vec<u32>,
    before: u32,
    pooling: Pooling,
    weighted: bool,
}

impl BagCase {
    fn bags(&self) -> Vec<u32> {
        offsets_of(&self.lengths).iter().map(|offset| offset + self.before).collect()
    }

    fn check(&self, device: &Device) {
        let Case { stepper: Batch { ids }, sizes, dims, rule, step, seed, layout, faults } = &self.case;
        let (dims, count) = (*dims as usize, ids.len());
        let bags = self.bags();
        let mut gradients = signed(self.lengths.len() * dims, 3);
        faults.iter().for_each(|&(number, fault)| gradients[number] = fault);
        let weights = signed(count, 8);
        // A winner for each dim: some id of the bag, or none.
        let mut winners = vec![u32::MAX; gradients.len()];
        let mut each = vec![0.0f32; count * dims];
        let mut rows = vec![sizes.len() as u32; count];
        for (k, ends) in bags.windows(2).enumerate() {
            let length = ends[1] - ends[0];
            for j in (0..dims).filter(|j| length > 0 && (k + j) % 5 > 0) {
                winners[k * dims + j] = ends[0] + (k * 3 + j) as u32 % length;
            }
            for i in ends[0]..ends[1] {
                rows[i as usize] = ids[i as usize];
                let weight = if self.weighted { weights[i as usize] } else { 1.0 };
                for j in 0..dims {
                    let g = gradients[k * dims + j];
                    each[i as usize * dims + j] = match self.pooling {
                        Pooling::Sum => weight * g,
                        Pooling::Mean => weight / length as f32 * g,
                        Pooling::Max if winners[k * dims + j] == i => g,
                        Pooling::Max => 0.0,
                    };
                }
            }
        }
        let what = format!("{:?} of {:?}, {rule:?}, {layout:?}", self.pooling, self.lengths);
        let run = |ids: &[u32], gradients: Gradients<'_>| {
            let mut rows = self.case.rows(device);
            let mut workspace = poisoned(device, Update::bag_workspace_len(count as u32, dims as u32));
            let mut counter = upload(device, &[0u32]);
            Update {
                rows: &mut rows,
                ids: &upload(device, ids),
                first: 0,
                count: count as u32,
                gradients,
                dims: dims as u32,
                rule: *rule,
                step: *step,
                seed: *seed,
                workspace: &mut workspace,
                counter: Some(&mut counter),
            }
            .run(device)
            .unwrap();
            (Snapshot::of(&what, &rows), counter.read().unwrap())
        };
        let (want, want_count) = run(&rows, (&upload(device, &each)).into());
        let (gradients, bags) = (upload(device, &gradients), upload(device, &bags));
        let (weights, winners) = (upload(device, &weights), upload(device, &winners));
        let max = self.pooling == Pooling::Max;
        let of = BagGradients {
            gradients: &gradients,
            bags: &bags,
            weights: self.weighted.then_some(&weights),
            pooling: self.pooling,
            winners: max.then_some(&winners),
        };
        let (got, count) = run(ids, Gradients::Bags(of));
        assert_same(&format!("{what}, counter"), &count, &want_count);
        let rounding = |format| match format {
            Format::F32 => 0.0,
            Format::F16 => 1.0 / 1024.0,
            _ => 1.0 / 128.0,
        };
        // A product may be fused with the sum that it goes into, and the other side of a neighbour be the one that is
        // rounded to.
        let close = |got: &[f32], want: &[f32], eps: f32| {
            let largest = want.iter().fold(1.0f32, |most, value| most.max(value.abs()));
            assert_close(&what, got, want, |_| if max { 0.0 } else { eps * largest });
        };
        let fused = 64.0 * f32::EPSILON;
        close(&got.arena, &want.arena, rounding(layout.format) + fused);
        close(&got.state.concat(), &want.state.concat(), fused);
    }
}

fn bags_parity(device: &Device) {
    let sizes = [3, 0, 16, 1, 7, 16, 2];
    let batches: [(&[u32], u32, u32); 6] = [
        (&[], 0, 2),
        (&[0, 0], 0, 1),
        (&[1], 0, 0),
        (&[3, 0, 5, 40, 1, 0], 2, 3),
        (&[64, 129, 7], 0, 0),
        (&[2; 200], 1, 1),
    ];
    for (lengths, before, behind) in batches {
        let count = before + lengths.iter().sum::<u32>() + behind;
        for (pooling, weighted) in [
            (Pooling::Sum, false),
            (Pooling::Sum, true),
            (Pooling::Mean, true),
            (Pooling::Mean, false),
            (Pooling::Max, false),
        ] {
            for rule in [SGD.into(), ADAGRAD.into(), clipped(ROW_WISE)] {
                let case = Case::new(&sizes, spread(count, 7), 16, rule);
                BagCase { case, lengths: lengths.to_vec(), before, pooling, weighted }.check(device);
            }
        }
    }
    for (pooling, weighted) in [(Pooling::Sum, true), (Pooling::Mean, true), (Pooling::Max, false)] {
        for (number, layout) in layouts(16).iter().enumerate().skip(1) {
            for rule in [ADAGRAD.into(), clipped(ROW_WISE)].into_iter().filter(|_| takes(device, number)) {
                let case = Case { layout: *layout, ..Case::new(&sizes, spread(205, 7), 16, rule) };
                BagCase { case, lengths: vec![64, 129, 0, 7], before: 2, pooling, weighted }.check(device);
            }
        }
    }
    // One row in all bags: long runs.
    for layout in layouts(5) {
        let case = Case { layout, ..Case::new(&[5, 3], vec![0; 700], 6, SGD) };
        BagCase { case, lengths: vec![100; 7], before: 0, pooling: Pooling::Mean, weighted: true }.check(device);
    }
}

#[test]
fn the_way_back_of_bags_is_that_of_their_ids() {
    devices().iter().for_each(bags_parity);
    if !in_turn(SHADER.name, 0, 4) {
        return;
    }
    assert_rejects(
        SHADER.name,
        &[
            ("winners[at] == origin.occurrence", "winners[at] != origin.occurrence"),
            ("factor /= f32(end - start);", "factor /= f32(end - start + 1u);"),
            ("if bags[middle] <= element {", "if bags[middle] < element {"),
            ("occurrence = bag;", ""),
            ("if i >= start && i < end {", "if i < end {"),
            ("factor = weights[i];", "factor = weights[0];"),
        ],
        bags_parity,
    );
}

/// A table beyond the caches, whose rows are asked for ahead; the first one is hot.
#[test]
fn large_tables() {
    let (sizes, dims) = (vec![64; 40_000], 64);
    let ids: Vec<u32> = (0..3000).map(|b| if b % 3 == 0 { 0 } else { b * 7919 % 40_003 }).collect();
    for rule in [SGD, ROW_WISE, ADAM, ROW_WISE_ADAM] {
        Case::new(&sizes, ids.clone(), dims, rule).check(&Device::cpu());
    }
    let case = Case { layout: HALF, ..Case::new(&vec![160; 40_000], ids, 160, ROW_WISE) };
    case.check(&Device::cpu());
}

#[test]
fn bags_that_do_not_fit_are_errors() {
    let device = Device::cpu();
    let (gradients, weights) = (upload(&device, &[1.0f32; 4]), upload(&device, &[1.0f32; 2]));
    let winners = upload(&device, &[0u32; 4]);
    let run = |bags: &[u32], pooling, weighted: bool, won: bool, first| {
        let bags = upload(&device, bags);
        let of = BagGradients {
            gradients: &gradients,
            bags: &bags,
            weights: weighted.then_some(&weights),
            pooling,
            winners: won.then_some(&winners),
        };
        let update = Update {
            rows: &mut rows_of(&device, &[2], &[0.0; 2], Layout::default(), SGD.state_size()),
            ids: &upload(&device, &[0u32; 4]),
            first,
            count: 3,
            gradients: Gradients::Bags(of),
            dims: 2,
            rule: SGD.into(),
            step: 1,
            seed: 0,
            workspace: &mut poisoned(&device, Update::bag_workspace_len(3, 2)),
            counter: None,
        };
        update.run(&device).unwrap_err().to_string()
    };
    let found = [
        run(&[0, 1, 2], Pooling::Sum, false, false, 1),
        run(&[0, 1], Pooling::Sum, false, false, 0),
        run(&[0, 1, 2], Pooling::Sum, true, false, 0),
        run(&[0, 1, 2], Pooling::Max, true, true, 0),
        run(&[0, 1, 2], Pooling::Max, false, false, 0),
        run(&[0, 1, 2], Pooling::Mean, false, true, 0),
        run(&[0, 1, 4], Pooling::Mean, false, false, 0),
    ];
    let expected = [
        "table/update: `first` must be 0 with bags, got 1",
        "table/update: `gradients` has length 4, expected 2",
        "table/update: `weights` has length 2, expected 3",
        "table/update: `weights` must be none for the max, got some",
        "table/update: `winners` must be some for the max, got none",
        "table/update: `winners` must be none but for the max, got some",
        "table/update: `bags` must be never falling, with an end at most 3, got an end at 4",
    ];
    assert_eq!(found, expected);
}

fn spread(count: u32, rows: u32) -> Vec<u32> {
    (0..count).map(|b| (b * 7 + b / 3) % (rows + 2)).collect()
}

fn parity(device: &Device) {
    let sizes = [3, 0, 16, 1, 7, 16, 2];
    for (number, rule) in oracle::rules().into_iter().enumerate() {
        for count in [0, 1, 63, 255, 256, 257] {
            Case::new(&sizes, spread(count, 7), 16, rule).check(device);
        }
        // Every rule in one width; widths ask for pipelines of their own.
        if !takes(device, number) {
            continue;
        }
        // Gradients narrower than rows, and much wider.
        Case::new(&sizes, spread(40, 7), 4, rule).check(device);
        Case::new(&sizes, spread(40, 7), 300, rule).check(device);
        Case::new(&[900, 1], spread(9, 2), 1000, rule).check(device);
        // Lanes with one, two and three values.
        Case::new(&[32, 40, 0, 64, 65], spread(30, 5), 70, rule).check(device);
        // Runs that begin inside a chunk, fill chunks exactly, and end inside one.
        let runs = |lengths: &[usize]| {
            lengths.iter().enumerate().flat_map(|(row, &n)| vec![row as u32; n]).collect::<Vec<_>>()
        };
        for lengths in [&[31, 32, 33, 64, 1, 200][..], &[32, 32, 65], &[63, 64, 65, 128], &[500], &[10, 500, 10]] {
            let mut ids = runs(lengths);
            ids.reverse();
            Case::new(&[5, 300, 2, 9, 1, 4], ids, 300, rule).check(device);
        }
        // Short runs, some of them across two tiles.
        Case::new(&[9; 30], runs(&[20; 30]), 9, rule).check(device);
        Case::new(&[], vec![0, 1], 2, rule).check(device);
        Case::new(&[0, 0], vec![0, 1, 0], 2, rule).check(device);
    }
    for optimizer in [ADAM, ADAM_W, ROW_WISE_ADAM] {
        for step in [1, 100_000] {
            Case { step, ..Case::new(&sizes, spread(40, 7), 16, optimizer) }.check(device);
        }
    }
}

#[test]
fn updates_match_the_f64_oracle() {
    devices().iter().for_each(parity);
}

/// Every rule on f16 and in pages, which a batch's duplicates lie across.
fn parity_in_layouts(device: &Device) {
    let runs = [(0, 70), (1, 64), (2, 1), (3, 130), (4, 3), (5, 65), (8, 200), (9, 2), (10, 2), (11, 1), (400, 3)];
    let ids: Vec<u32> = runs.iter().rev().flat_map(|&(row, count)| vec![row; count]).collect();
    // Blocks of two rows.
    for (number, layout) in layouts(20_000).into_iter().enumerate() {
        for rule in [SGD.into(), clipped(ROW_WISE_ADAM)].into_iter().filter(|_| takes(device, number + 1)) {
            Case { layout, ..Case::new(&[5, 3, 20_000, 7, 2, 9, 4], spread(40, 7), 3, rule) }.check(device);
        }
    }
    // Those that do most come last there.
    for (number, rule) in oracle::rules().into_iter().rev().enumerate() {
        let taken = |layouts: [Layout; LAYOUTS]| {
            let layouts = (1..).zip(layouts.into_iter().skip(1));
            layouts.filter(move |(i, _)| takes(device, i + number)).map(|(_, layout)| layout)
        };
        for layout in taken(layouts(300)) {
            let sizes = [5, 300, 2, 9, 1, 4, 3, 0, 16, 7, 290];
            let case = Case { layout, ..Case::new(&sizes, ids.clone(), 300, rule) };
            let one = layout.page_bytes.is_none() || layout.format == Format::I8;
            assert!(one || case.rows(&Device::cpu()).pages().len() > 1);
            case.check(device);
        }
        // Gradients of an odd width narrower than rows: the other half of its last word stays.
        for layout in taken(layouts(16)) {
            let sizes = [3, 0, 16, 1, 7, 16, 2, 11];
            let case = Case { layout, ..Case::new(&sizes, spread(40, 8), 3, rule) };
            let one = layout.page_bytes.is_none() || layout.format == Format::I8;
            assert!(one || case.rows(&Device::cpu()).pages().len() > 1);
            case.check(device);
        }
        // Lanes with one, two and three words of f16.
        if takes(device, number + 2) {
            let sizes = [64, 65, 66, 0, 80, 127, 128, 129];
            Case { layout: HALF, ..Case::new(&sizes, spread(30, 8), 140, rule) }.check(device);
        }
    }
    for optimizer in [ADAM, ADAM_W, ROW_WISE_ADAM] {
        for step in [1, 100_000] {
            let case = Case::new(&[3, 0, 16, 1, 7, 16, 2], spread(40, 7), 3, optimizer);
            Case { step, layout: HALF, ..case }.check(device);
        }
    }
}

#[test]
fn updates_match_the_f64_oracle_in_every_layout() {
    devices().iter().for_each(parity_in_layouts);
}

#[test]
fn pages_without_an_id_of_the_batch_stay() {
    for device in devices() {
        for (_, layout) in (1..).zip(layouts(16)).filter(|(number, _)| takes(&device, *number)) {
            for rule in [SGD.into(), ADAM.into(), clipped(ROW_WISE_ADAM)] {
                for ids in [&[0, 11, 12, 0, u32::MAX, 11][..], &[4], &[12, 13, u32::MAX], &[]] {
                    let case = Case { layout, ..Case::new(&[16; 12], ids.to_vec(), 16, rule) };
                    let pages = case.rows(&Device::cpu()).pages().len();
                    let least = if layout.format == Format::I8 { 2 } else { 4 };
                    assert!(layout.page_bytes.is_none() || pages >= least, "{pages} pages");
                    case.check(&device);
                }
            }
        }
    }
}

/// lavapipe ends loops at 65,535 trips without a word: one row with 300,000 occurrences must still count exactly.
#[test]
fn one_row_with_all_occurrences() {
    for device in devices() {
        for rule in [SGD.into(), ADAM.into(), ROW_WISE.into(), clipped(NESTEROV), clipped(ROW_WISE_ADAM)] {
            Case::new(&[3, 2], vec![1; 300_000], 2, rule).check(&device);
        }
        for rule in [SGD.into(), clipped(ROW_WISE_ADAM)] {
            Case { layout: HALF, ..Case::new(&[3, 2], vec![1; 300_000], 2, rule) }.check(&device);
        }
    }
}

/// As wide and as often as a short run can be, summed twice and three times: the loops of a lane stay below 65,535
/// trips.
#[test]
fn one_wide_row_as_a_whole() {
    for device in devices() {
        Case::new(&[33_023], vec![0; 32], 33_023, ROW_WISE).check(&device);
        // 264 values a lane, the most there are.
        Case::new(&[8447], vec![0; 32], 8447, clipped(ROW_WISE_ADAM)).check(&device);
        // As many words of f16.
        Case { layout: HALF, ..Case::new(&[65_535], vec![0; 32], 65_535, ROW_WISE) }.check(&device);
        Case { layout: HALF, ..Case::new(&[16_894], vec![0; 64], 16_894, SGD) }.check(&device);
        Case { layout: HALF, ..Case::new(&[16_894], vec![0; 64], 16_894, clipped(ROW_WISE_ADAM)) }.check(&device);
    }
}

/// A step of 1 from zero shows the sums themselves, and what f16 are rounded by.
fn same_bits(device: &Device) {
    let ids: Vec<u32> = (0..3000).map(|b| if b % 3 == 0 { 1 } else { b % 60 }).collect();
    let sizes: Vec<u32> = (0..60).map(|row| [9, 14, 5, 0, 10, 1][row % 6]).collect();
    // Some rows come to f16 that are not normal.
    let unit = |at: usize| if ids[at / 9] % 6 == 4 { 2.0f32.powi(-20) } else { 1.0 };
    let gradients: Vec<f32> = signed(ids.len() * 9, 3).into_iter().enumerate().map(|(at, g)| g * unit(at)).collect();
    let sums = |device: &Device, layout| {
        let zeros = vec![0.0; sizes.iter().sum::<u32>() as usize];
        let mut rows = rows_of(device, &sizes, &zeros, layout, SGD.state_size());
        Update {
            rows: &mut rows,
            ids: &upload(device, &ids),
            first: 0,
            count: ids.len() as u32,
            gradients: (&upload(device, &gradients)).into(),
            dims: 9,
            rule: Optimizer::Sgd { learning_rate: 1.0 }.into(),
            step: 77,
            seed: 0x0123_4567_89AB_CDEF,
            workspace: &mut poisoned(device, Update::workspace_len(ids.len() as u32, 9)),
            counter: None,
        }
        .run(device)
        .unwrap();
        Snapshot::of("sums", &rows).arena
    };
    for layout in layouts(14) {
        let in_one_page = Layout { format: layout.format, ..Layout::default() };
        assert_same("sums", &sums(device, layout), &sums(&Device::cpu(), in_one_page));
    }
}

#[test]
fn sums_are_the_same_bits_on_every_device_and_in_every_layout() {
    devices().iter().for_each(same_bits);
}

/// Rows of f16, all values `start`, after steps by `by` a value, those of odd dims by `-by`.
fn walk(device: &Device, (rows, dims): (u32, u32), [start, by]: [f32; 2], (seed, steps): (u64, &[u32])) -> Vec<f32> {
    let (sizes, values) = (vec![dims; rows as usize], (rows * dims) as usize);
    let layout = Layout { aligned: true, ..layouts(dims)[4] };
    let mut rows = rows_of(device, &sizes, &vec![start; values], layout, SGD.state_size());
    // Every row twice.
    let ids: Vec<u32> = (0..rows.len()).chain(0..rows.len()).collect();
    let gradients: Vec<f32> =
        (0..2 * values as u32).map(|at| if at % dims % 2 == 0 { -by / 2.0 } else { by / 2.0 }).collect();
    let (ids, gradients) = (upload(device, &ids), upload(device, &gradients));
    let count = ids.len() as u32;
    let mut workspace = poisoned(device, Update::workspace_len(count, dims));
    for &step in steps {
        Update {
            rows: &mut rows,
            ids: &ids,
            first: 0,
            count,
            gradients: (&gradients).into(),
            dims,
            rule: Optimizer::Sgd { learning_rate: 1.0 }.into(),
            step,
            seed,
            workspace: &mut workspace,
            counter: None,
        }
        .run(device)
        .unwrap();
    }
    Snapshot::of("walk", &rows).arena
}

/// Steps of a 32nd of the distance to the next f16: each would be lost to the nearest, together they are not.
#[test]
fn tiny_steps_add_up_on_average() {
    let steps: Vec<u32> = (1..=64).collect();
    for (start, distance) in [(1.5f32, 2.0f32.powi(-10)), (100.0 * 2.0f32.powi(-24), 2.0f32.powi(-24))] {
        let by = distance / 32.0;
        assert_eq!(f16::from_f32(start + by).to_f32(), start);
        for device in devices() {
            let after = walk(&device, (20, 50), [start, by], (9, &steps));
            // In distances, all in the same direction: the sum of 64 draws of 1 in 32.
            let moved: Vec<f64> = (0..)
                .zip(&after)
                .map(|(at, value)| f64::from((value - start) / distance) * if at % 2 == 0 { 1.0 } else { -1.0 })
                .collect();
            let n = moved.len() as f64;
            let mean = moved.iter().sum::<f64>() / n;
            let variance = moved.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / n;
            let expected = 64.0 * 31.0 / (32.0 * 32.0);
            assert!((mean - 2.0).abs() < 5.0 * (expected / n).sqrt(), "{device:?} from {start}: moved by {mean}");
            assert!((variance / expected - 1.0).abs() < 0.3, "{device:?} from {start}: variance {variance}");
        }
    }
}

/// Steps of half the distance to the next f16 toss a coin for each value.
#[test]
fn noise_is_of_seed_and_row_and_dim_and_step() {
    for device in devices() {
        let coins = |seed, step| walk(&device, (6, 40), [1.5, 2.0f32.powi(-11)], (seed, &[step]));
        let moved = |coins: &[f32]| coins.iter().map(|&value| value != 1.5).collect::<Vec<_>>();
        let own = coins(5, 3);
        assert_same("the same seed and step", &coins(5, 3), &own);
        let own = moved(&own);
        // 240 tosses, 24 of them of 5 standard deviations from half.
        let apart = |other: &[bool]| own.iter().zip(other).filter(|(a, b)| a != b).count().abs_diff(other.len() / 2);
        assert!(own.iter().filter(|up| **up).count().abs_diff(120) < 40);
        for (seed, step) in [(6, 3), (5 | 1 << 32, 3), (5, 4), (5, 3 | 1 << 31)] {
            assert!(apart(&moved(&coins(seed, step))) < 40, "seed {seed}, step {step}");
        }
        // Another row, and neighbouring dims.
        assert!(apart(&own[40..]) < 40 && apart(&own[1..]) < 40 && apart(&own[4..]) < 40);
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // 32 lanes a row: 8 occurrences a workgroup.
        for rule in [SGD.into(), clipped(ROW_WISE)] {
            Case::new(&[20; 1000], spread(8 * 65_536 + 8, 1000), 32, rule).check(&Device::Gpu(gpu.clone()));
        }
    }
}

#[test]
fn the_same_bits_twice() {
    for device in devices() {
        for (number, rule) in oracle::rules().into_iter().enumerate() {
            if !takes(&device, number) {
                continue;
            }
            let case = Case::new(&[8; 50], spread(5000, 50), 8, rule);
            case.run(&device).assert_same("twice", &case.run(&device));
            // Two words of f16 a row, the second half of the last without a gradient.
            let layout = Layout { aligned: true, ..layouts(8)[4] };
            let case = Case { layout, ..Case::new(&[8; 50], spread(5000, 50), 3, rule) };
            case.run(&device).assert_same("twice", &case.run(&device));
        }
    }
}

/// What asks for nothing changes nothing, by whichever code it goes.
#[test]
fn no_clipping_and_no_decay_are_the_same_bits() {
    for (device, layout) in
        devices().into_iter().flat_map(|device| [(device.clone(), Layout::default()), (device, HALF)])
    {
        for (number, &optimizer) in oracle::ALL.iter().enumerate() {
            if !takes(&device, number + usize::from(layout != HALF)) {
                continue;
            }
            let case = |rule| Case { layout, ..Case::new(&[3, 0, 16, 1, 90], spread(700, 5), 80, rule) };
            let plain = case(UpdateRule::new(optimizer)).run(&device);
            // A norm that no row reaches goes by other entry points, which a GPU may fuse in another way.
            let far = if device.as_gpu().is_some() { f32::INFINITY } else { 1e18 };
            for (weight_decay, max_norm) in [(0.0, f32::INFINITY), (-0.0, f32::INFINITY), (0.0, far)] {
                let same = case(UpdateRule { weight_decay, max_norm, ..UpdateRule::new(optimizer) }).run(&device);
                same.assert_same("nothing asked for", &plain);
            }
        }
        let adam_w = |weight_decay| match ADAM_W {
            Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, .. } => {
                Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay }
            }
            other => panic!("{other:?}"),
        };
        let [adam, none] =
            [ADAM, adam_w(0.0)].map(|rule| Case { layout, ..Case::new(&[9; 5], spread(70, 5), 8, rule) }.run(&device));
        none.assert_same("no decay", &adam);
    }
}

/// Rows that do not occur keep their weights, decay or not.
#[test]
fn decay_is_of_the_rows_that_are_stepped() {
    for (device, layout) in devices().into_iter().flat_map(|device| layouts(4).map(|layout| (device.clone(), layout))) {
        for rule in [oracle::decayed(SGD), ADAM_W.into(), oracle::clipped_and_decayed(ROW_WISE_ADAM)] {
            let case = Case { layout, ..Case::new(&[3, 4, 2], vec![1, 1], 2, rule) };
            let (before, after) = (case.before(), case.run(&device));
            let kept = |arena: &[f32]| [&arena[..3], &arena[5..]].concat();
            assert_same("other rows and dims", &kept(&after.arena), &kept(&before.arena));
            assert!(after.arena[3..5].iter().zip(&before.arena[3..5]).all(|(a, b)| a != b));
        }
    }
}

#[test]
fn a_part_of_the_ids() {
    for (device, layout) in devices().into_iter().flat_map(|device| layouts(1).map(|layout| (device.clone(), layout))) {
        let mut rows = rows_of(&device, &[1, 1, 1], &[1.0, 2.0, 3.0], layout, SGD.state_size());
        let mut workspace = poisoned(&device, Update::workspace_len(2, 1));
        Update {
            rows: &mut rows,
            ids: &upload(&device, &[0u32, 2, 1, 2]),
            first: 1,
            count: 2,
            gradients: (&upload(&device, &[10.0f32, 20.0])).into(),
            dims: 1,
            rule: SGD.into(),
            step: 1,
            seed: 0,
            workspace: &mut workspace,
            counter: None,
        }
        .run(&device)
        .unwrap();
        assert_eq!(rows.read().unwrap(), [1.0, 2.0 - 10.0, 3.0 - 5.0]);
    }
}

/// Beyond the range of f16 lies its largest.
#[test]
fn values_of_f16_stay_finite() {
    for device in devices() {
        let mut rows = rows_of(&device, &[3], &[1.0, -2.0, 3.0], HALF, SGD.state_size());
        Update {
            rows: &mut rows,
            ids: &upload(&device, &[0u32]),
            first: 0,
            count: 1,
            gradients: (&upload(&device, &[1e6f32, -1e30, 131_100.0])).into(),
            dims: 3,
            rule: SGD.into(),
            step: 1,
            seed: 0,
            workspace: &mut poisoned(&device, Update::workspace_len(1, 3)),
            counter: None,
        }
        .run(&device)
        .unwrap();
        assert_eq!(rows.read().unwrap(), [-65_504.0, 65_504.0, -65_504.0]);
    }
}

/// So many occurrences of so many dims that a lane would not come to an end of them.
#[test]
fn batches_past_the_trips_of_a_lane_are_errors() {
    let Some(gpu) = gpu() else { return };
    let device = Device::Gpu(gpu);
    for (layout, rule, dims, count, fits) in [
        (Layout::default(), SGD.into(), 65_535, 65_536, true),
        (Layout::default(), SGD.into(), 65_535, 65_537, false),
        (Layout::default(), clipped(SGD), 65_535, 65_536, true),
        (Layout::default(), clipped(SGD), 65_535, 65_537, false),
        (HALF, SGD.into(), 65_535, 32_768, true),
        (HALF, SGD.into(), 65_535, 32_769, false),
        (HALF, clipped(ROW_WISE), 65_535, 16_384, true),
        (HALF, clipped(ROW_WISE), 65_535, 16_385, false),
    ] {
        let size = rule.optimizer.state_size();
        let update = Update {
            rows: &mut Rows::zeroed(&device, &[3], layout, size).unwrap(),
            ids: &Buffer::zeroed(&device, count as usize).unwrap(),
            first: 0,
            count,
            gradients: Gradients::Bags(BagGradients {
                gradients: &Buffer::zeroed(&device, dims as usize).unwrap(),
                bags: &upload(&device, &[0, count]),
                weights: None,
                pooling: Pooling::Sum,
                winners: None,
            }),
            dims,
            rule,
            step: 1,
            seed: 0,
            workspace: &mut Buffer::zeroed(&device, Update::bag_workspace_len(count, dims)).unwrap(),
            counter: None,
        };
        let text = format!("table/update: `ids` needs {count}, the limit `occurrences a batch` is {}", count - 1);
        match update.check() {
            Ok(()) => assert!(fits, "{layout:?}, {rule:?}: {count} of {dims} dims"),
            Err(error) => {
                assert!(!fits, "{layout:?}, {rule:?}: {error}");
                assert_eq!(error.to_string(), text);
            }
        }
    }
}

#[test]
fn mutants_are_rejected() {
    if !in_turn(SHADER.name, 1, 4) {
        return;
    }
    assert_rejects(
        SHADER.name,
        &[
            ("run.row.size, position < run.end)", "run.row.size, position <= run.end)"),
            ("let d = next_gradients(run, tile, is_tile, position + 3u, dims);", "let d = vec4<f32>(0.0);"),
            ("position < run.end; position += 4u", "position + 1u < run.end; position += 4u"),
            ("is_tile, position + 2u, dims)", "is_tile, position + 1u, dims)"),
            ("return beyond < params.count && key(beyond) == own;", "return false;"),
            ("is_start = position == 0u || key(position - 1u)", "is_start = position == first || key(position - 1u)"),
            ("min(first + TILE, params.count) + atomicLoad(&beyond_tile)", "min(first + TILE, params.count)"),
            ("i < min(end + chunk, params.count)", "i < end + chunk"),
            ("before + select(0u, lower, thread >= 32u)", "before"),
            ("start = lower_bound(own, begin, end);\n    } else", "start = begin;\n    } else"),
            ("return lower_bound(own, low + 1u, high);", "return high;"),
            ("/ chunk * chunk;", ";"),
            ("if begins_before || !is_long", "if !is_long"),
            ("!is_stepped(own) || end - start > chunk", "!is_stepped(own)"),
            ("start = start_of(own, begin);", "start = begin;"),
            ("lower_bound(own + 1u, first, min(first + chunk, params.count))", "min(first + chunk, params.count)"),
            ("select(0u, 1u, run.start > window * chunk)", "0u"),
            ("workspace[at.z] = values.z;", "workspace[at.z] = values.y;"),
            ("next_sums(run, window, next + 6u, dims)", "next_sums(run, window, next + 5u, dims)"),
            ("min(row.size, params.dims)", "params.dims"),
            // Row-wise: a lane keeps only its last sum, and a long run's sums lie where its first partial was.
            ("if clip == 0u || !keeps {", "if clip == 0u {"),
            ("                before = weights_of(row, dims);", ""),
            ("            if !keeps {", "            if row.size > 12u * lanes {"),
            ("put_sums(kept, dims, row.size, g);", ""),
            // The shared step.
            ("half > 0u; half >>= 1u", "half > 1u; half >>= 1u"),
            ("/ f32(width)", "/ f32(lanes)"),
            ("second_state[row] = state;", ""),
            // Clipping and decay, in short runs and long ones.
            ("factor = clip_factor(thread, squares);\n        }", "}"),
            ("factor = clip_factor(thread, squares);\n        if", "if"),
            ("return params.max_norm / norm;", "return params.max_norm / (norm * norm);"),
            (
                "g += params.weight_decay * four_values(row, dims);",
                "g -= params.weight_decay * four_values(row, dims);",
            ),
            ("g += params.weight_decay * before.w;", "g -= params.weight_decay * before.w;"),
            ("kept -= params.weight_decay * before.w;", ""),
            ("dims, taken(g), clip == 0u);", "dims, taken(g), false);"),
            ("dims, factor * taken(g), true);", "dims, taken(g), true);"),
            ("dims, factor * taken(g), true);", "dims, factor * taken(g), false);"),
            ("factor * taken(four_sums(kept, dims, row.size))", "taken(four_sums(kept, dims, row.size))"),
        ],
        parity,
    );
}

#[test]
fn mutants_of_layouts_are_rejected() {
    if !in_turn(SHADER.name, 2, 4) {
        return;
    }
    assert_rejects(
        SHADER.name,
        &[
            // Pages.
            ("return id - params.first_row < params.rows;", "return id < params.rows;"),
            ("row_at(id_of(own) - params.first_row)", "row_at(id_of(own))"),
            ("thread, id_of(run.key) - params.first_row, width", "thread, id_of(run.key), width"),
            // Blocks and alignment.
            ("& ~(alignment - 1u);", ";"),
            ("let start = (before + alignment - 1u)", "let start = (before + 1u)"),
            ("if !begins_block(row, params.shift) {", "if row > 0u {"),
            ("directory[row >> params.shift]", "directory[0]"),
            // Odd widths.
            ("values.xyxy, vec4<bool>(those.xy, none)", "values.xyxy, vec4<bool>(true, true, none)"),
            ("values.xyxy, vec4<bool>(those.xy, none)", "values.xyxy, vec4<bool>(those.x, false, none)"),
            ("values.xyxy, vec4<bool>(those.xy, none)", "values.xxxx, vec4<bool>(those.xy, none)"),
            ("vec4<bool>(those.zw, none)", "vec4<bool>(those.z, true, none)"),
            ("(before & ~mask) | (after & mask)", "after & mask"),
            ("(before + (numbers.x + numbers.y))", "(before + numbers.x)"),
            ("values.y = first_state[at.y];", "values.y = first_state[at.x];"),
            ("first_state[at.y] = values.y;", "first_state[at.y] = values.x;"),
            ("(word >> (16u * k)) & 0xffffu", "word & 0xffffu"),
            ("g.y = gradient(origin, dims.y);", "g.y = gradient(origin, dims.x);"),
            ("values.y = workspace[at.y];", "values.y = workspace[at.x];"),
            // Noise.
            ("noise = noise.zwzw;", ""),
            // Words of four.
            ("7u * k, 7u)", "7u * k, 6u)"),
            ("(largest + 0x3ffffu)", "(largest + 0x40000u)"),
            ("select(all_decoded(before), values, those), noise", "values, noise"),
            ("(1.0 / 65536.0)", "0.0"),
            ("vec4<u32>(id, j >> 2u,", "vec4<u32>(id, j >> 1u,"),
            ("vec4<u32>(id, j >> 2u,", "vec4<u32>(id - params.first_row, j >> 2u,"),
            ("params.step, params.purpose)", "0u, params.purpose)"),
            ("vec2<u32>(params.key_low, params.key_high)", "vec2<u32>(params.key_low)"),
            ("(noise >> 3u)", "0xfffu"),
            ("+ scaled) >> shift", ") >> shift"),
            ("with_added(value, noise)", "with_added(value, 0x7fffu)"),
        ],
        |device| {
            same_bits(device);
            parity_in_layouts(device);
        },
    );
}

#[test]
fn missing_state_and_bad_constants_are_errors() {
    let device = Device::cpu();
    let (ids, gradients) = (upload(&device, &[0u32]), upload(&device, &[1.0f32]));
    let mut workspace = upload(&device, &[0u32]);
    let adam = |beta1| Optimizer::Adam { learning_rate: 0.1, beta1, beta2: 0.999, epsilon: 1e-8 };
    let state = "table/update: `rows` must be rows with the state of the rule, StateSize";
    for (optimizer, own, step, text) in [
        (
            ADAGRAD,
            SGD,
            1,
            &*format!("{state} {{ per_value: 1, per_row: 0 }}, got StateSize {{ per_value: 0, per_row: 0 }}"),
        ),
        (
            adam(0.9),
            ADAGRAD,
            1,
            &format!("{state} {{ per_value: 2, per_row: 0 }}, got StateSize {{ per_value: 1, per_row: 0 }}"),
        ),
        (
            ROW_WISE,
            ADAGRAD,
            1,
            &format!("{state} {{ per_value: 0, per_row: 1 }}, got StateSize {{ per_value: 1, per_row: 0 }}"),
        ),
        (adam(0.9), ADAM, 0, "table/update: `step` must be at least 1, got 0"),
        (adam(f32::NAN), ADAM, 1, "table/update: `beta1` must be at least 0 and below 1, got NaN"),
        (Optimizer::Sgd { learning_rate: f32::NAN }, SGD, 1, "table/update: `learning_rate` must be finite, got NaN"),
    ] {
        for layout in [Layout::default(), HALF] {
            let mut rows = rows_of(&device, &[1], &[1.0], layout, own.state_size());
            let update = Update {
                rows: &mut rows,
                ids: &ids,
                first: 0,
                count: 1,
                gradients: (&gradients).into(),
                dims: 1,
                rule: optimizer.into(),
                step,
                seed: 0,
                workspace: &mut workspace,
                counter: None,
            };
            assert_eq!(update.run(&device).unwrap_err().to_string(), text);
            assert_eq!(rows.read().unwrap(), [1.0]);
        }
    }
}
