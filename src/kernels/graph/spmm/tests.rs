use std::ops::Range;

use super::*;
use crate::Error;
use crate::device::Device;
use crate::rows::{Layout, StateSize};
use crate::testing::{
    assert_close, assert_gaps, assert_rejects, assert_same, devices, gpu, layouts, offsets_of, poisoned, rows_of,
    signed, stored, upload,
};

const PLAIN: Layout = Layout { format: Format::F32, aligned: false, page_bytes: None };

/// What X is made of: dense rows, or rows of these sizes.
#[derive(Clone, Copy, Debug)]
enum X {
    Dense(u32),
    Ragged(fn(u32) -> u32, u32, Layout),
}

/// Row r of a matrix in compressed rows.
fn row<'a>(values: &'a [f32], offsets: &[u32], r: u32) -> &'a [f32] {
    match offsets.get(r as usize + 1) {
        Some(&end) => &values[offsets[r as usize] as usize..end as usize],
        None => &[],
    }
}

/// A matrix with rows of these lengths times X, with and without a running sum.
fn case(device: &Device, lengths: &[u32], x: X, dims: u32) {
    case_from(device, lengths, x, dims, [0, 0]);
}

/// The same where the product begins after the leading elements of the rows of X and of Y.
fn case_from(device: &Device, lengths: &[u32], x: X, dims: u32, [x_first, y_first]: [u32; 2]) {
    let what = format!("{} rows, X {x:?}, dims {dims} from {x_first} and {y_first}", lengths.len());
    let (skipped, first, width) = (x_first as usize, y_first as usize, (y_first + dims) as usize);
    let row_offsets = offsets_of(lengths);
    let nonzeros = *row_offsets.last().unwrap();
    let (n, x_sizes, layout) = match x {
        X::Dense(n) => (n, vec![x_first + dims; n as usize], PLAIN),
        X::Ragged(size, n, layout) => (n, (0..n).map(size).collect(), layout),
    };
    let x_offsets = offsets_of(&x_sizes);
    // Every row of X, repeats, and columns past it.
    let columns: Vec<u32> =
        (0..nonzeros).map(|e| if e % 97 == 5 { u32::MAX } else { (e * 31 + e / 7) % (n + 2) }).collect();
    let values = signed(nonzeros as usize, 4);
    let arena = stored(&x_sizes, &signed(*x_offsets.last().unwrap() as usize, dims), layout.format);
    let before = signed(lengths.len() * width, 11);
    let scale = 0.75f32;

    let mut want = vec![0.0f64; lengths.len() * width];
    let mut magnitude = want.clone();
    for r in 0..lengths.len() {
        for e in row_offsets[r] as usize..row_offsets[r + 1] as usize {
            let row = row(&arena, &x_offsets, columns[e]);
            for (j, x) in row.iter().skip(skipped).take(dims as usize).enumerate() {
                let term = f64::from(values[e]) * f64::from(*x);
                want[r * width + first + j] += term;
                magnitude[r * width + first + j] += term.abs();
            }
        }
    }
    let chunk = chunk(nonzeros as usize) as u32;
    let bound = |i: usize| {
        let length = lengths[i / width];
        f32::EPSILON * (length.min(chunk) + length / chunk + 1) as f32 * magnitude[i] as f32
    };

    let inputs = (upload(device, &row_offsets), upload(device, &columns), upload(device, &values));
    let dense = upload(device, &arena);
    let ragged = rows_of(device, &x_sizes, &arena, layout, StateSize::default());
    assert_eq!(ragged.pages().len() > 1, layout.page_bytes.is_some(), "{what}");
    let mut results: Vec<Vec<f32>> = Vec::new();
    for accumulated in [false, true] {
        let mut y = poisoned(device, want.len());
        let mut total = upload(device, &before);
        let mut workspace = poisoned(device, Spmm::workspace_len(nonzeros as usize, dims));
        Spmm {
            row_offsets: &inputs.0,
            columns: &inputs.1,
            values: &inputs.2,
            x: match x {
                X::Dense(_) => Operand::Dense(&dense),
                X::Ragged(..) => Operand::Ragged(&ragged),
            },
            x_first,
            dims,
            y: &mut y,
            y_first,
            accumulate: accumulated.then_some(Accumulate { total: &mut total, scale }),
            workspace: &mut workspace,
        }
        .run(device)
        .unwrap();
        let (mut y, total) = (y.read().unwrap(), total.read().unwrap());
        let untouched = poisoned::<f32>(device, first).read().unwrap();
        for (r, row) in y.chunks_exact_mut(width.max(1)).enumerate() {
            assert_same("elements left alone in Y", &row[..first], &untouched);
            row[..first].fill(0.0);
            let own = r * width..r * width + first;
            assert_same("elements left alone in the total", &total[own.clone()], &before[own]);
        }
        let rounded: Vec<f32> = want.iter().map(|&v| v as f32).collect();
        assert_close(&what, &y, &rounded, bound);
        if accumulated {
            let sum = |i: usize| match i % width < first {
                true => before[i],
                false => (f64::from(scale) * (f64::from(before[i]) + want[i])) as f32,
            };
            let sums: Vec<f32> = (0..want.len()).map(sum).collect();
            assert_close(&format!("total, {what}"), &total, &sums, |i| {
                bound(i) + 2.0 * f32::EPSILON * scale * (before[i].abs() + rounded[i].abs())
            });
        } else {
            assert_same("a total that was not given", &total, &before);
        }
        results.push(y);
    }
    // The same bits in the second run.
    assert_same(&what, &results[0], &results[1]);
    assert_same("row_offsets", &inputs.0.read().unwrap(), &row_offsets);
    assert_same("columns", &inputs.1.read().unwrap(), &columns);
    assert_same("values", &inputs.2.read().unwrap(), &values);
    assert_same("dense x", &dense.read().unwrap(), &arena);
    assert_same("ragged x", &ragged.read().unwrap(), &arena);
    assert_gaps("ragged x", &ragged);
}

/// Sizes from 0 to 16, and one row wider than most outputs.
fn sizes(i: u32) -> u32 {
    if i == 9 { 400 } else { (i * 5) % 17 }
}

fn parity(device: &Device) {
    for dims in [0, 1, 5, 64, 300] {
        for rows in [0, 1, 255, 256, 257] {
            // Empty rows at both ends and between.
            let lengths: Vec<u32> = (0..rows).map(|r| (r * 3) % 6 * (r % 2)).collect();
            case(device, &lengths, X::Dense(40), dims);
            case(device, &lengths, X::Ragged(sizes, 40, PLAIN), dims);
        }
    }
    // Long rows: next to each other, across several chunks, ending on a chunk's edge, two in one chunk.
    let long = [3, 0, 130, 129, 122, 128, 0, 640, 1, 0, 1000, 1000, 300, 0, 2, 257, 0];
    for dims in [1, 5, 64, 300] {
        case(device, &long, X::Dense(40), dims);
        case(device, &long, X::Ragged(sizes, 40, PLAIN), dims);
    }
    for lengths in [&[2000][..], &[127], &[128], &[129], &[0, 0, 384], &[256, 256, 0]] {
        case(device, lengths, X::Dense(7), 6);
    }
    // After leading elements of X and of Y, with rows of X that are shorter than those.
    for firsts in [[1, 0], [0, 1], [3, 2]] {
        for dims in [0, 1, 5, 48] {
            for lengths in [&long[..], &[2, 0, 5, 1]] {
                case_from(device, lengths, X::Dense(40), dims, firsts);
                case_from(device, lengths, X::Ragged(sizes, 40, PLAIN), dims, firsts);
            }
        }
    }
    // Several pages of X, f16, aligned rows; short and long rows of A.
    for layout in layouts(400) {
        for dims in [1, 5, 64] {
            case(device, &long, X::Ragged(sizes, 150, layout), dims);
        }
        case_from(device, &long, X::Ragged(sizes, 150, layout), 20, [3, 2]);
        case(device, &[2, 0, 5, 1, 3], X::Ragged(sizes, 150, layout), 17);
    }
    // No rows in X: every column is past it.
    case(device, &[2, 0, 200], X::Dense(0), 3);
    case(device, &[2, 0, 200], X::Ragged(sizes, 0, PLAIN), 3);
}

#[test]
fn products_match_the_f64_oracle() {
    devices().iter().for_each(parity);
}

/// lavapipe ends loops at 65,535 trips and reports nothing. A row longer than that must still be summed exactly.
#[test]
fn a_row_of_300_000_nonzeros_loses_none() {
    let mut lengths = vec![2; 500];
    lengths[400] = 300_000;
    for device in devices() {
        case(&device, &lengths, X::Dense(501), 6);
        case(&device, &lengths, X::Ragged(sizes, 501, PLAIN), 6);
        case(&device, &lengths, X::Ragged(sizes, 501, layouts(400)[1]), 6);
        // Small integers: every sum is exact, so one term lost or counted twice shows.
        let nonzeros = 300_007u32;
        let columns: Vec<u32> = (0..nonzeros).map(|e| e % 3).collect();
        let mut y = poisoned(&device, 3);
        Spmm {
            row_offsets: &upload(&device, &[0, 5, nonzeros - 2, nonzeros]),
            columns: &upload(&device, &columns),
            values: &upload(&device, &vec![1.0; nonzeros as usize]),
            x: Operand::Dense(&upload(&device, &[1.0, 2.0, 4.0])),
            x_first: 0,
            dims: 1,
            y: &mut y,
            y_first: 0,
            accumulate: None,
            workspace: &mut poisoned(&device, Spmm::workspace_len(nonzeros as usize, 1)),
        }
        .run(&device)
        .unwrap();
        let sum = |range: Range<u32>| range.map(|e| [1.0f32, 2.0, 4.0][(e % 3) as usize]).sum::<f32>();
        let want = [sum(0..5), sum(5..nonzeros - 2), sum(nonzeros - 2..nonzeros)];
        assert_same("exact sums", &y.read().unwrap(), &want);
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // One lane a row: 256 rows a workgroup.
        let lengths: Vec<u32> = (0..256 * 65_536 + 1).map(|r| u32::from(r % 1000 == 0)).collect();
        case(&Device::Gpu(gpu), &lengths, X::Dense(50), 1);
    }
}

/// However the work is divided, the order of the sums stays. The values are powers of two, so products are exact, and a
/// device that fuses them into the sum gets the same bits.
#[test]
fn one_order_on_every_device_and_any_number_of_threads() {
    let lengths: Vec<u32> = (0..900).map(|r| if r == 450 { 50_000 } else { (r * 7) % 260 }).collect();
    let row_offsets = offsets_of(&lengths);
    let nonzeros = *row_offsets.last().unwrap();
    let columns: Vec<u32> = (0..nonzeros).map(|e| (e * 31 + e / 7) % 900).collect();
    let values: Vec<f32> = (0..nonzeros as usize).map(|e| [1.0, -0.5, 4.0, -2.0, 0.25][e % 5]).collect();
    let x = signed(900 * 36, 2);
    let run = |device: &Device| {
        let mut y = poisoned(device, 900 * 36);
        Spmm {
            row_offsets: &upload(device, &row_offsets),
            columns: &upload(device, &columns),
            values: &upload(device, &values),
            x: Operand::Dense(&upload(device, &x)),
            x_first: 0,
            dims: 36,
            y: &mut y,
            y_first: 0,
            accumulate: None,
            workspace: &mut poisoned(device, Spmm::workspace_len(columns.len(), 36)),
        }
        .run(device)
        .unwrap();
        y.read().unwrap()
    };
    let on =
        |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| run(&Device::cpu()));
    let one = on(1);
    // The stated order, one row at a time.
    let mut want = vec![0.0f32; one.len()];
    for (r, want) in want.chunks_exact_mut(36).enumerate() {
        let range = row_offsets[r] as usize..row_offsets[r + 1] as usize;
        let chunk = if range.len() <= 128 { usize::MAX } else { 128 };
        let mut at = range.start;
        while at < range.end {
            let end = (at / chunk).saturating_add(1).saturating_mul(chunk).min(range.end);
            for (j, want) in want.iter_mut().enumerate() {
                let terms = (at..end).map(|e| values[e] * x[columns[e] as usize * 36 + j]);
                *want += terms.fold(0.0, |sum, term| sum + term);
            }
            at = end;
        }
    }
    assert_same("the stated order", &one, &want);
    for threads in [2, 3, 7] {
        assert_same(&format!("{threads} threads"), &on(threads), &one);
    }
    for device in devices() {
        assert_same(&device.describe(), &run(&device), &one);
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("id - params.x_first_row < params.x_rows", "id - params.x_first_row + 1u < params.x_rows"),
            ("before = x_end_of(row - 1u);", "before = 0u;"),
            ("return Row(row.start + left_out,", "return Row(row.start,"),
            ("+ params.dims) + params.x_first, params.dims);", "+ params.dims), params.dims);"),
            ("+ params.dims) + params.y_first + j;", "+ params.dims) + j;"),
            ("let at = column - params.x_first_row;", "let at = column;"),
            ("return output[place_of(row, j)];", "return 0.0;"),
            ("before = partial_of(place, team.first);", "before = vec4<f32>(0.0);"),
            ("j < params.dims && params.begins == 0u", "j < params.dims"),
            ("x_arena[x_word_of(at)]", "x_arena[at]"),
            ("e < end; e++", "e + 1u < end; e++"),
            ("if end - begin <= params.chunk {", "if end - begin < params.chunk {"),
            ("if row_offsets[middle + 1u] <= position {", "if row_offsets[middle + 1u] < position {"),
            ("slot < 2u; slot++", "slot < 1u; slot++"),
            ("sum_of(max(low, begin),", "sum_of(begin,"),
            ("next * params.chunk < high;", "(next + 1u) * params.chunk < high;"),
            ("params.scale * (total[at] + value);", "total[at] + params.scale * value;"),
        ],
        parity,
    );
}

#[test]
fn wrong_arguments_are_errors() {
    let message = |device: &Device, x_len: usize, y_len: usize, scale: f32, space: usize| {
        let mut total = poisoned::<f32>(device, 4);
        Spmm {
            row_offsets: &upload(device, &[0u32, 1, 2]),
            columns: &upload(device, &[0u32, 1]),
            values: &upload(device, &[1.0, 2.0]),
            x: Operand::Dense(&upload(device, &vec![1.0; x_len])),
            x_first: 0,
            dims: 2,
            y: &mut poisoned(device, y_len),
            y_first: 0,
            accumulate: Some(Accumulate { total: &mut total, scale }),
            workspace: &mut poisoned(device, space),
        }
        .run(device)
        .map_err(|error| error.to_string())
    };
    let cpu = Device::cpu();
    assert_eq!(message(&cpu, 5, 4, 1.0, 0).unwrap_err(), "graph/spmm: `x` has length 5, expected 4");
    assert_eq!(message(&cpu, 4, 3, 1.0, 0).unwrap_err(), "graph/spmm: `y` has length 3, expected 4");
    assert_eq!(message(&cpu, 4, 4, f32::NAN, 0).unwrap_err(), "graph/spmm: `scale` must be finite, got NaN");
    assert_eq!(message(&cpu, 4, 4, 1.0, 0), Ok(()));
    if let Some(gpu) = gpu() {
        let gpu = Device::Gpu(gpu);
        assert_eq!(message(&gpu, 4, 4, 1.0, 3).unwrap_err(), "graph/spmm: `workspace` has length 3, expected 4");
    }
    let mut y = poisoned::<f32>(&cpu, 2);
    let error = Spmm {
        row_offsets: &upload(&cpu, &[]),
        columns: &upload(&cpu, &[0u32]),
        values: &upload(&cpu, &[]),
        x: Operand::Dense(&upload(&cpu, &[])),
        x_first: 0,
        dims: 1,
        y: &mut y,
        y_first: 0,
        accumulate: None,
        workspace: &mut poisoned(&cpu, 0),
    }
    .run(&cpu)
    .unwrap_err();
    assert!(matches!(error, Error::Shape { arg: "row_offsets", expected: 1, got: 0, .. }), "{error}");
}

#[test]
fn buffers_of_another_device_are_errors() {
    let Some(gpu) = gpu() else { return };
    let (cpu, gpu) = (Device::cpu(), Device::Gpu(gpu));
    let error = Spmm {
        row_offsets: &upload(&gpu, &[0u32, 1]),
        columns: &upload(&cpu, &[0u32]),
        values: &upload(&gpu, &[1.0]),
        x: Operand::Dense(&upload(&gpu, &[1.0])),
        x_first: 0,
        dims: 1,
        y: &mut poisoned(&gpu, 1),
        y_first: 0,
        accumulate: None,
        workspace: &mut poisoned(&gpu, 2),
    }
    .run(&gpu)
    .unwrap_err();
    assert!(matches!(error, Error::Buffer { arg: "columns", .. }), "{error}");
}
