use super::*;
use crate::Error;
use crate::device::{Device, Kernel};
use crate::kernels::prim::scan::Scan;
use crate::rows::{Format, Layout, StateSize};
use crate::testing::{
    assert_close, assert_gaps, assert_rejects, assert_same, devices, gpu, layouts, offsets_of, poisoned, rows_of,
    signed, stored, upload,
};

/// Row sizes: empty, one, full, all equal, one giant among small ones, and one that makes blocks of 16 rows.
fn tables() -> Vec<Vec<u32>> {
    let mut blocks: Vec<u32> = (0..70).map(|row| row % 5).collect();
    blocks[40] = 4000;
    vec![vec![0, 1, 3, 16, 0, 7, 16], vec![4; 33], vec![1], vec![1, 1, 900, 1, 0], vec![0; 5], vec![], blocks]
}

/// A lookup of `count` ids.
#[derive(Clone, Copy)]
struct Case<'a> {
    sizes: &'a [u32],
    layout: Layout,
    count: usize,
    dims: u32,
}

impl std::fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sizes, layout, count, dims } = self;
        write!(f, "sizes {sizes:?} {layout:?} count {count} dims {dims}")
    }
}

/// Every table with every width and count; but for the plainest layout, one count.
fn each(widths: &[u32], run: impl Fn(Case<'_>)) {
    for sizes in &tables() {
        for layout in layouts(sizes.iter().copied().max().unwrap_or(0)) {
            let counts = if layout == Layout::default() { &[257, 256, 255, 1, 0][..] } else { &[257] };
            for &dims in widths {
                counts.iter().for_each(|&count| run(Case { sizes, layout, count, dims }));
            }
        }
    }
}

/// A table on a device, what it holds, and ids to look up.
struct Table {
    rows: Rows,
    offsets: Vec<u32>,
    values: Vec<f32>,
    ids: Vec<u32>,
    ids_buffer: Buffer<u32>,
}

impl Table {
    fn new(device: &Device, Case { sizes, layout, count, dims }: Case<'_>, change: impl Fn(usize, f32) -> f32) -> Self {
        let offsets = offsets_of(sizes);
        let mut values = signed(*offsets.last().unwrap() as usize, dims);
        values.iter_mut().enumerate().for_each(|(i, value)| *value = change(i, *value));
        let rows = rows_of(device, sizes, &values, layout, StateSize::default());
        // Duplicates, every row, and ids past the table.
        let ids: Vec<u32> = (0..count as u32).map(|b| (b * 11 + b / 5) % (sizes.len() as u32 + 2)).collect();
        let ids_buffer = upload(device, &ids);
        Self { rows, offsets, values: stored(sizes, &values, layout.format), ids, ids_buffer }
    }

    /// What a looked-up row shows of itself in `dims` values.
    fn row(&self, id: u32, dims: u32) -> &[f32] {
        let row = self.offsets.get(id as usize..id as usize + 2).unwrap_or(&[0, 0]);
        &self.values[row[0] as usize..row[1].min(row[0] + dims) as usize]
    }

    /// All looked-up rows, padded.
    fn padded(&self, dims: u32) -> Vec<f32> {
        let mut want = vec![0.0; self.ids.len() * dims as usize];
        for (b, &id) in self.ids.iter().enumerate() {
            let row = self.row(id, dims);
            want[b * dims as usize..][..row.len()].copy_from_slice(row);
        }
        want
    }

    fn assert_untouched(&self, what: &str) {
        assert_same(what, &self.rows.read().unwrap(), &self.values);
        assert_gaps(what, &self.rows);
    }
}

fn case(device: &Device, case: Case<'_>) {
    let table = Table::new(device, case, |_, value| value);
    let want = table.padded(case.dims);
    let mut out = poisoned(device, want.len());
    Lookup { rows: &table.rows, ids: &table.ids_buffer, dims: case.dims, out: &mut out }.run(device).unwrap();
    assert_same(&case.to_string(), &out.read().unwrap(), &want);
    table.assert_untouched("rows");
}

fn rows_parity(device: &Device) {
    each(&[0, 1, 5, 16, 17, 24, 64], |of| case(device, of));
    for layout in layouts(900) {
        for dims in [1000, 1001] {
            case(device, Case { sizes: &[1, 1, 880, 1, 0], layout, count: 9, dims });
        }
    }
}

fn f16_case(device: &Device, case: Case<'_>) {
    // Past f16's range, and below its normal numbers.
    let table = Table::new(device, case, |i, value| match i % 17 {
        0 => value * 1e6,
        3 => value * 1e-6,
        _ => value,
    });
    let mut out = Buffer::from_vec(device, vec![f16::NAN; case.count * case.dims as usize]).unwrap();
    Lookup { rows: &table.rows, ids: &table.ids_buffer, dims: case.dims, out: &mut out }.run(device).unwrap();
    let got: Vec<f32> = out.read().unwrap().iter().map(|v| v.to_f32()).collect();
    let want: Vec<f32> = table.padded(case.dims).iter().map(|v| v.clamp(-65504.0, 65504.0)).collect();
    assert_close(&format!("f16 {case}"), &got, &want, |i| match case.layout.format {
        Format::F16 => 0.0,
        _ => (want[i].abs() / 1024.0).max(6e-8),
    });
    table.assert_untouched("rows");
}

fn f16_parity(device: &Device) {
    each(&[0, 2, 6, 16, 64], |of| f16_case(device, of));
}

#[test]
fn rows_become_f16() {
    devices().iter().for_each(f16_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("if dims.y < row.size {", "if dims.x < row.size {"),
            ("pack2x16float(clamp(values,", "pack2x16float(clamp(values.yx,"),
            ("(word >> (16u * k))", "(word >> (16u * (1u - k)))"),
            ("bitcast<f32>(half(word, k) << 16u)", "bitcast<f32>(half(word, k))"),
            ("7u * k, 7u)", "7u * k, 6u)"),
            ("exponent == 15u", "exponent == 16u"),
        ],
        f16_parity,
    );
    let device = Device::cpu();
    let table = Table::new(&device, Case { sizes: &[1], layout: Layout::default(), count: 1, dims: 3 }, |_, v| v);
    let mut out = Buffer::from_vec(&device, vec![f16::ZERO; 3]).unwrap();
    let lookup = Lookup { rows: &table.rows, ids: &table.ids_buffer, dims: 3, out: &mut out };
    assert_eq!(lookup.run(&device).unwrap_err().to_string(), "table/lookup: `dims` must be even, got 3");
}

#[test]
fn rows_are_copied_bit_for_bit() {
    devices().iter().for_each(rows_parity);
}

/// Beyond the caches, where rows are asked for ahead; in one page and in several, with ids past the table.
#[test]
fn large_tables() {
    let sizes: Vec<u32> = (0..50_000).map(|row| row % 100).collect();
    for layout in [Layout::default(), Layout { page_bytes: Some(1 << 20), ..Layout::default() }] {
        let of = Case { sizes: &sizes, layout, count: 70_000, dims: 60 };
        case(&Device::cpu(), of);
        packed_case(&Device::cpu(), of);
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // One lane a row: 256 ids a workgroup.
        let (sizes, layout) = (&[1, 0, 1], Layout::default());
        case(&Device::Gpu(gpu), Case { sizes, layout, count: 256 * 65_536 + 1, dims: 1 });
    }
}

/// The other entries take the same grid as rows; here it is folded by a lower limit.
#[test]
fn folded_grids() {
    if let Some(gpu) = gpu() {
        let device = Device::Gpu(gpu.with_max_groups(17));
        let sizes = &[3, 0, 8, 5];
        for layout in layouts(8) {
            f16_case(&device, Case { sizes, layout, count: 2001, dims: 16 });
            packed_case(&device, Case { sizes, layout, count: 9001, dims: 6 });
            packed_f16_case(&device, Case { sizes, layout, count: 9001, dims: 6 });
        }
    }
}

/// Where the rows of a packed lookup begin; the first not at 0, so that something lies before it.
fn packed_offsets(device: &Device, table: &Table, dims: u32) -> Buffer<u32> {
    let mut sizes = poisoned(device, table.ids.len() + 1);
    LookupSizes { rows: &table.rows, ids: &table.ids_buffer, dims, out: &mut sizes }.run(device).unwrap();
    let want: Vec<u32> = table.ids.iter().map(|&id| table.row(id, dims).len() as u32).chain([0]).collect();
    assert_same("sizes", &sizes.read().unwrap(), &want);
    let mut workspace = Buffer::zeroed(device, Scan::workspace_len(want.len() as u32)).unwrap();
    let count = want.len() as u32;
    Scan { values: &mut sizes, count, inclusive: false, workspace: &mut workspace }.run(device).unwrap();
    upload(device, &sizes.read().unwrap().iter().map(|offset| offset + 3).collect::<Vec<_>>())
}

fn packed_case(device: &Device, case: Case<'_>) {
    let table = Table::new(device, case, |_, value| value);
    let out_offsets = packed_offsets(device, &table, case.dims);
    let rows: Vec<f32> = table.ids.iter().flat_map(|&id| table.row(id, case.dims).to_vec()).collect();
    // Poison stays before and behind.
    let mut out = poisoned(device, 3 + rows.len() + 5);
    let mut want = out.read().unwrap();
    want[3..3 + rows.len()].copy_from_slice(&rows);
    let (ids, widest) = (&table.ids_buffer, case.dims);
    LookupPacked { rows: &table.rows, ids, out_offsets: &out_offsets, widest, out: &mut out }.run(device).unwrap();
    assert_same(&format!("packed {case}"), &out.read().unwrap(), &want);
    table.assert_untouched("rows");
}

fn packed_f16_case(device: &Device, case: Case<'_>) {
    // Whole numbers, which f16 has exactly.
    let table = Table::new(device, case, |_, value| (value * 512.0).round());
    let out_offsets = packed_offsets(device, &table, case.dims);
    let rows: Vec<f32> = table.ids.iter().flat_map(|&id| table.row(id, case.dims).to_vec()).collect();
    let len = (3 + rows.len() + 4).next_multiple_of(2);
    let mut out = Buffer::from_vec(device, vec![f16::from_f32(-7.0); len]).unwrap();
    let mut want = vec![-7.0; len];
    want[3..3 + rows.len()].copy_from_slice(&rows);
    let (ids, widest) = (&table.ids_buffer, case.dims);
    LookupPacked { rows: &table.rows, ids, out_offsets: &out_offsets, widest, out: &mut out }.run(device).unwrap();
    let got: Vec<f32> = out.read().unwrap().iter().map(|value| value.to_f32()).collect();
    assert_same(&format!("packed f16 {case}"), &got, &want);
    table.assert_untouched("rows");
}

fn packed_parity(device: &Device) {
    each(&[0, 1, 5, 16], |of| packed_case(device, of));
    for layout in layouts(900) {
        packed_case(device, Case { sizes: &[1, 1, 880, 1, 0], layout, count: 90, dims: 1000 });
    }
    // A caller's own offsets: cut to 1, padded to 4.
    for layout in layouts(3) {
        let rows = rows_of(device, &[3], &[1.0, 2.0, 3.0], layout, StateSize::default());
        let (ids, out_offsets) = (upload(device, &[0, 0]), upload(device, &[0, 1, 5]));
        let mut out = poisoned(device, 5);
        LookupPacked { rows: &rows, ids: &ids, out_offsets: &out_offsets, widest: 4, out: &mut out }
            .run(device)
            .unwrap();
        assert_same("own offsets", &out.read().unwrap(), &[1.0, 1.0, 2.0, 3.0, 0.0]);
    }
}

fn packed_f16_parity(device: &Device) {
    each(&[0, 1, 5, 16], |of| packed_f16_case(device, of));
}

#[test]
fn rows_are_packed() {
    devices().iter().for_each(packed_parity);
    assert_rejects(
        SHADER.name,
        &[
            ("let start = output_offsets[taken.b];", "let start = output_offsets[taken.b] + 1u;"),
            ("min(output_offsets[taken.b + 1u] - start, params.dims);", "params.dims;"),
            ("min(row_of(id).size, params.dims);", "row_of(id).size;"),
            ("} else if b <= params.count {", "} else if b < params.count {"),
            ("id >= params.table_rows", "id > params.table_rows"),
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
            ("return Element(0.0, is_ours(id));", "return Element(0.0, true);"),
        ],
        packed_f16_parity,
    );
}

#[test]
fn packed_rows_that_do_not_fit_are_errors() {
    let device = Device::cpu();
    let rows = rows_of(&device, &[2], &[1.0, 2.0], Layout::default(), StateSize::default());
    let ids = upload(&device, &[0, 0]);
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
        let lookup = LookupPacked { rows: &rows, ids: &ids, out_offsets: &out_offsets, widest, out: &mut out };
        assert_eq!(lookup.run(&device).unwrap_err().to_string(), text);
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("if dims.x < row.size {", "if dims.x <= row.size {"),
            ("if dims.w < row.size {", "if dims.w <= row.size {"),
            ("j < width; j += 4u * lanes", "j < width; j += 5u * lanes"),
            ("dims < vec4<u32>(width)", "dims <= vec4<u32>(width)"),
            // Of widths that four divides.
            ("let dims = four_dims(4u * i, 1u);", "let dims = four_dims(i, 1u);"),
            ("if i + lanes < fours {", "if i + 1u < fours {"),
            ("output_fours[taken.b * fours + i] = values;", "output_fours[taken.b * fours + i] = next;"),
            ("arena_fours[row.start / 4u + i]", "arena_fours[row.start / 4u]"),
            ("row.start / 4u + i], dims < vec4", "row.start / 4u + i], dims <= vec4"),
            ("let next = four_neighbours(row, i + lanes);", "let next = four_neighbours(row, i);"),
            // Pages.
            ("id - params.first_row < params.rows", "id - params.first_row + 1u < params.rows"),
            ("return row_at(id - params.first_row);", "return row_at(id);"),
            ("id >= params.table_rows", "id > params.table_rows"),
            ("params.first_row == 0u && id >= params.table_rows", "id >= params.rows"),
            // Blocks, alignment, halves of words.
            ("before = end_of(row - 1u);", "before = end_of(row);"),
            ("if !begins_block(row, params.shift) {", "if row > 0u {"),
            ("directory[row >> params.shift]", "directory[0u]"),
            ("let start = (before + alignment - 1u) & ~(alignment - 1u);", "let start = before;"),
            ("(word >> (16u * k))", "(word >> (16u * (1u - k)))"),
        ],
        rows_parity,
    );
}

#[test]
fn wrong_lengths_are_errors() {
    let device = Device::cpu();
    let rows = rows_of(&device, &[1], &[1.0], Layout::default(), StateSize::default());
    let ids = upload(&device, &[0, 0]);
    let mut out = poisoned::<f32>(&device, 3);
    let error = Lookup { rows: &rows, ids: &ids, dims: 2, out: &mut out }.run(&device).unwrap_err();
    assert!(matches!(error, Error::Shape { arg: "out", expected: 4, got: 3, .. }), "{error}");
    assert_eq!(error.to_string(), "table/lookup: `out` has length 3, expected 4");
}

#[test]
fn buffers_of_another_device_are_errors() {
    let Some(gpu) = gpu() else { return };
    let (cpu, gpu) = (Device::cpu(), Device::Gpu(gpu));
    for (rows, ids, on, wrong) in [(&gpu, &cpu, &gpu, "ids"), (&cpu, &gpu, &gpu, "rows"), (&gpu, &cpu, &cpu, "rows")] {
        let rows = rows_of(rows, &[1], &[1.0], Layout::default(), StateSize::default());
        let ids = upload(ids, &[0]);
        let mut out = poisoned::<f32>(on, 1);
        let error = Lookup { rows: &rows, ids: &ids, dims: 1, out: &mut out }.run(on).unwrap_err();
        assert!(matches!(error, Error::Buffer { arg, .. } if arg == wrong), "{error}");
    }
}
