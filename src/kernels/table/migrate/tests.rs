use super::*;
use crate::device::Device;
use crate::rng;
use crate::rng::Purpose;
use crate::rows::{Directory, Format, Layout, Rows, StateSize};
use crate::testing::{
    assert_gaps, assert_rejects, assert_same, devices, gpu, i8_spacing, layouts, offsets_of, poison, rows_of, signed,
    stored,
};

const NORMAL: Fill = Fill::Normal { seed: 0xABCD_EF01_2345_6789, std: 0.01, zero_dims: 1 };
/// About 2^-19: below the normal numbers of f16, and some below half its least.
const TINY: Fill = Fill::Normal { seed: 7, std: 2e-6, zero_dims: 0 };

/// A dim that appears, by the definition.
pub(in crate::kernels::table) fn fresh(row: u32, j: u32, fill: Fill) -> f32 {
    match fill {
        Fill::Normal { seed, std, zero_dims } if j >= zero_dims => {
            let word = rng::philox([row, j / 4, 0, Purpose::Dims as u32], rng::key(seed))[j as usize % 4];
            rng::normal_fixed(&rng::NORMAL_TABLE, word) as f32 * (std / 1_048_576.0)
        }
        _ => 0.0,
    }
}

/// What is moved: sizes and layout before and after, what new dims start as, and the state that goes along.
#[derive(Clone, Copy, Debug)]
struct Move<'a> {
    from: (&'a [u32], Layout),
    to: (&'a [u32], Layout),
    fill: Fill,
    state: StateSize,
}

/// One number for each value of rows, or for each row. The values are number 0, and state comes after.
fn data(len: u32, number: u32) -> Vec<f32> {
    signed(len as usize, 4 + number)
}

/// Rows as they were: values, and state where there is some.
fn old_rows(device: &Device, (sizes, layout): (&[u32], Layout), state: StateSize) -> Rows {
    let values = sizes.iter().sum();
    let mut rows = rows_of(device, sizes, &data(values, 0), layout, state);
    for number in 0..state.per_value + state.per_row {
        let len = if number < state.per_value { values } else { sizes.len() as u32 };
        rows.write_state(number as usize, &data(len, 1 + number)).unwrap();
    }
    rows
}

/// Page by page, each from the old pages that still have rows to move.
fn migrate(device: &Device, Move { from, to, fill, state }: Move<'_>) -> Rows {
    let (old, (sizes, layout)) = (old_rows(device, from, state), to);
    let directory = Directory::new(device, sizes, layout, state).unwrap();
    let mut pages = Vec::new();
    for number in 0..directory.pages() {
        let mut page = Page::zeroed(device, &directory, number, layout.format, state).unwrap();
        poison(&mut page);
        let moved = old.pages().partition_point(|old| old.first_row() + old.rows() <= page.first_row());
        Migrate { from: &old.pages()[moved..], to: &mut page, widest: directory.widest(), fill }.run(device).unwrap();
        pages.push(page);
    }
    Rows::in_pages(device, pages, (layout, state))
}

/// The definition, value by value: of values or state that were `old`.
fn expected(from: &[u32], to: &[u32], old: &[f32], fill: Fill) -> Vec<f32> {
    let offsets = offsets_of(from);
    let mut want = Vec::new();
    for (r, &size) in to.iter().enumerate() {
        let kept = from.get(r).copied().unwrap_or(0).min(size);
        want.extend((0..kept).map(|j| old[(offsets[r] + j) as usize]));
        want.extend((kept..size).map(|j| fresh(r as u32, j, fill)));
    }
    want
}

/// The same of rows in words of four: what stays keeps its word's spacing, unless it is 0, and what begins is rounded
/// by the noise.
pub(in crate::kernels::table) fn begun_in_fours(from: &[u32], to: &[u32], old: &[f32], fill: Fill) -> Vec<f32> {
    let key = match fill {
        Fill::Normal { seed, .. } => rng::key(seed),
        Fill::Zero => [0, 0],
    };
    let offsets = offsets_of(from);
    let mut want = Vec::new();
    for (r, &size) in to.iter().enumerate() {
        let begin = offsets.get(r).map_or(0, |&begin| begin as usize);
        let before = from.get(r).copied().unwrap_or(0);
        for first in (0..size).step_by(4) {
            let of = |j: u32| f64::from(old[begin + j as usize]);
            let stays = (first..before.min(size).min(first + 4)).any(|j| of(j) != 0.0);
            let begins = before.max(first)..size.min(first + 4);
            let fresh = |j| f64::from(fresh(r as u32, j, fill));
            let spacing = match stays {
                true => i8_spacing((first..before.min(first + 4)).map(of)),
                false => i8_spacing(begins.map(fresh)),
            };
            let noise = rng::philox([r as u32, first / 4, 1, Purpose::Dims as u32], key);
            for (j, word) in (first..size.min(first + 4)).zip(noise) {
                let code = (fresh(j) / spacing).clamp(-63.0, 63.0) + f64::from(word >> 16) / 65_536.0;
                want.push(if j < before { of(j) } else { code.floor() * spacing } as f32);
            }
        }
    }
    want
}

fn case(device: &Device, what: Move<'_>) {
    let Move { from: (from, _), to: (to, layout), fill, state } = what;
    let new = migrate(device, what);
    let text = format!("{} rows to {}, {layout:?} from {:?}, {fill:?}, {state:?}", from.len(), to.len(), what.from.1);
    let values = from.iter().sum();
    let old = stored(from, &data(values, 0), layout.format);
    let want = match layout.format {
        Format::I8 => begun_in_fours(from, to, &old, fill),
        format => stored(to, &expected(from, to, &old, fill), format),
    };
    assert_same(&text, &new.read().unwrap(), &want);
    assert_gaps(&text, &new);
    let (ones_before, ones) = (vec![1; from.len()], vec![1; to.len()]);
    for number in 0..state.per_value + state.per_row {
        let (from, to) = if number < state.per_value { (from, to) } else { (&ones_before[..], &ones[..]) };
        let old = data(from.iter().sum(), 1 + number);
        let text = format!("{text}, state {number}");
        assert_same(&text, &new.read_state(number as usize).unwrap(), &expected(from, to, &old, Fill::Zero));
    }
    for page in new.pages() {
        for state in &page.state()[..state.per_value as usize] {
            let mut state = state.read().unwrap();
            page.spans().for_each(|row| state[row].fill(f32::NAN));
            assert!(state.iter().all(|gap| gap.is_nan()), "mismatch: {text}: state written between rows");
        }
    }
}

/// No state; numbers a value, numbers a row, both.
const STATES: [StateSize; 5] = [
    StateSize { per_value: 0, per_row: 0 },
    StateSize { per_value: 1, per_row: 0 },
    StateSize { per_value: 1, per_row: 1 },
    StateSize { per_value: 0, per_row: 1 },
    StateSize { per_value: 2, per_row: 2 },
];

fn parity(device: &Device) {
    let many: Vec<u32> = (0..257).map(|i| (i * 5) % 11).collect();
    let shifted: Vec<u32> = (0..300).map(|i| (i * 7) % 13).collect();
    // Blocks of 16 rows here, and of all rows there.
    let mut blocks: Vec<u32> = (0..50).map(|i| (i * 3) % 5).collect();
    blocks[33] = 3000;
    for (from, to) in [
        (&[][..], &[][..]),
        (&[], &[3]),
        (&[4, 0, 2], &[2, 3, 2]),
        (&[4, 0, 2], &[0, 0, 0, 9, 1]),
        (&[1, 1000, 1], &[1000, 1, 1]),
        (&many, &shifted),
        (&shifted[..256], &many[..256]),
        (&many[..40], &shifted[..60]),
        (&blocks, &shifted[..60]),
        (&shifted[..40], &blocks),
    ] {
        for fill in [Fill::Zero, NORMAL] {
            case(device, Move { from: (from, Layout::default()), to: (to, Layout::default()), fill, state: STATES[0] });
        }
        if to.len() > 100 {
            continue;
        }
        // From pages of one size to pages of another.
        let widest = from.iter().chain(to).copied().max().unwrap_or(0);
        for (number, layout) in layouts(widest).into_iter().enumerate() {
            let larger = 4 * u64::from(widest) + 160;
            for (page_bytes, state) in [(None, STATES[number % 5]), (Some(larger), STATES[(number + 2) % 5])] {
                let fill = if page_bytes.is_some() { NORMAL } else { TINY };
                case(device, Move { from: (from, Layout { page_bytes, ..layout }), to: (to, layout), fill, state });
            }
        }
    }
}

#[test]
fn matches_the_definition_on_every_device() {
    devices().iter().for_each(parity);
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        let (from, to) = (vec![1; 256 * 65_536 + 5], vec![1; 256 * 65_536 + 9]);
        let (from, to) = ((&from[..], Layout::default()), (&to[..], Layout::default()));
        case(&Device::Gpu(gpu), Move { from, to, fill: Fill::Zero, state: STATES[0] });
    }
}

#[test]
fn a_large_table_is_cut_without_loss() {
    let from: Vec<u32> = (0..90_000).map(|i| i % 7).collect();
    let to: Vec<u32> = (0..100_000).map(|i| (i * 3) % 8).collect();
    for layout in layouts(8).into_iter().filter(|layout| layout.page_bytes.is_none()) {
        let layout = Layout { page_bytes: Some(600_000), ..layout };
        case(&Device::cpu(), Move { from: (&from, layout), to: (&to, layout), fill: NORMAL, state: STATES[2] });
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("if j < old.size {", "if j + 1u < old.size {"),
            ("words[j & 3u]", "words[0]"),
            ("vec4<u32>(row, j >> 2u, 0u,", "vec4<u32>(row + 1u, j >> 2u, 0u,"),
            ("j < params.zero_dims", "j <= params.zero_dims"),
            ("let zeros = countLeadingZeros(odd);", "let zeros = countLeadingZeros(odd >> 1u);"),
            ("let cross = a0 * b1 + (middle & 0xffffu);", "let cross = a0 * b1 + middle;"),
            // Pages, blocks, alignment.
            ("id - params.from_first_row < params.from_rows", "id - params.from_first_row + 1u < params.from_rows"),
            ("let row = id - params.from_first_row;", "let row = id - params.first_row;"),
            ("return row_at(id - params.first_row);", "return row_at(id - params.begin);"),
            ("let id = params.begin +", "let id = params.first_row +"),
            ("from_directory[row >> params.from_shift]", "from_directory[0u]"),
            ("directory[row >> params.shift]", "directory[0u]"),
            ("let start = (before + alignment - 1u) & ~(alignment - 1u);", "let start = before;"),
            // Numbers of state, one a row.
            ("return Row(row, 1u);", "return Row(0u, 1u);"),
            ("return Row(id - params.first_row, 1u);", "return Row(id - params.begin, 1u);"),
            // Halves of words, and the nearest of them.
            ("from_arena[from_word_of(old.start + j)]", "from_arena[old.start + j]"),
            ("max(min(old.size, row.size), j) - j", "max(old.size, j) - j"),
            ("(before & ~mask) | (after & mask)", "after & mask"),
            ("size + 0xfffu", "size"),
            ("(1u << (shift - 1u)) - 1u", "0u"),
            // Words of four: what stays, what is cut, and what begins next to it.
            ("(1u << (7u * min(count, 4u))) - 1u", "0xfffffffu"),
            ("& ~kept) | (before & kept)", "& ~kept)"),
            ("with_exponent(before >> 28u, own, noise)", "encoded(own, noise)"),
            ("vec4<u32>(row, j >> 2u, 1u,", "vec4<u32>(row, j >> 2u, 2u,"),
        ],
        parity,
    );
}

#[test]
fn wrong_arguments_are_errors() {
    let device = Device::cpu();
    let f32s = Layout::default();
    let run = |layout: Layout, state: StateSize, std: f32| {
        let mut to = old_rows(&device, (&[1], f32s), STATES[1]);
        let from = old_rows(&device, (&[1], layout), state);
        let fill = Fill::Normal { seed: 1, std, zero_dims: 0 };
        let migrate = Migrate { from: from.pages(), to: &mut to.pages_mut()[0], widest: 1, fill };
        migrate.run(&device).unwrap_err().to_string()
    };
    let wrong = |got| format!("table/migrate: `from` must be (F32, 1, 1), got {got}");
    assert_eq!(run(f32s, STATES[1], -1.0), "table/migrate: `std` must be finite and not negative, got -1");
    assert_eq!(run(Layout { format: Format::F16, ..f32s }, STATES[1], 1.0), wrong("(F16, 2, 1)"));
    assert_eq!(run(Layout { aligned: true, ..f32s }, STATES[1], 1.0), wrong("(F32, 4, 1)"));
    assert_eq!(run(f32s, STATES[0], 1.0), wrong("(F32, 1, 0)"));
}
