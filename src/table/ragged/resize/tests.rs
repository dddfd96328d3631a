//! Resizes in place: whatever the pages, whatever fails, and what was held meanwhile.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::device::{Buffer, Gpu, GpuOptions};
use crate::kernels::table::optimizer::Optimizer;
use crate::rows::{Format, Layout};
use crate::table::{Account, Counts, TableOptions};
use crate::testing::{devices, gpu, layouts, signed};

const SGD: Optimizer = Optimizer::Sgd { learning_rate: 0.1 };
const ADAGRAD: Optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 };
const ROW_WISE: Optimizer = Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: 1e-8 };
/// A number of state a value, and one a row.
const BOTH: Optimizer = Optimizer::RowWiseAdam { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

fn table(device: &Device, sizes: &[u32], optimizer: Optimizer, layout: Layout, account: &Account) -> RaggedTable {
    let options = TableOptions { rule: optimizer.into(), init_std: 0.3, zero_dims: 1, seed: 77, layout };
    let mut table = RaggedTable::new(device, sizes, options, account).unwrap();
    train(&mut table);
    table
}

fn train(table: &mut RaggedTable) {
    let ids: Vec<u32> = (0..table.rows()).collect();
    assert_eq!(table.widest(), table.sizes().max().unwrap_or(0));
    let dims = table.widest().max(1);
    let gradients = Buffer::from_slice(table.device(), &signed(ids.len() * dims as usize, 5)).unwrap();
    table.apply_gradients(&ids, &gradients, dims).unwrap();
}

/// The bits of each row: of its values, then of each number of its state.
type Contents = Vec<Vec<Vec<u32>>>;

fn contents(table: &RaggedTable) -> Contents {
    let (rows, sizes) = (table.as_rows(), table.sizes().collect::<Vec<_>>());
    let cut = |numbers: &[f32], sizes: &[u32]| -> Vec<Vec<u32>> {
        let mut rest = numbers;
        let rows = sizes.iter().map(|&size| {
            let (row, behind) = rest.split_at(size as usize);
            rest = behind;
            row.iter().map(|value| value.to_bits()).collect()
        });
        let rows = rows.collect();
        assert!(rest.is_empty());
        rows
    };
    let mut parts = vec![cut(&rows.read().unwrap(), &sizes)];
    for number in 0..rows.state_size().numbers() {
        let ragged = number < rows.state_size().per_value as usize;
        let state = rows.read_state(number).unwrap();
        parts.push(if ragged { cut(&state, &sizes) } else { cut(&state, &vec![1; sizes.len()]) });
    }
    parts
}

/// Whether rows are what they have to be after a resize to `sizes`: what survives, then what a new table has there, and
/// state that is zero. What begins in a word with values that survive is rounded with these: it is finite.
fn is_resized(now: (&Contents, Format), before: &Contents, fresh: &Contents, sizes: &[u32], per_value: usize) -> bool {
    let ((now, format), group) = (now, now.1.group());
    let part = |number: usize| -> Vec<Vec<u32>> {
        let row = |(row, &size): (usize, &u32)| {
            let old = before[number].get(row).map_or(&[][..], |old| old);
            if number > per_value {
                return if old.is_empty() { vec![0] } else { old.to_vec() };
            }
            let kept = old.len().min(size as usize);
            let new = |dim: usize| match number {
                0 if dim < kept.next_multiple_of(group) => {
                    let bits = now[0][row][dim];
                    assert!(f32::from_bits(bits).is_finite(), "{format:?}");
                    bits
                }
                0 => fresh[0][row][dim],
                _ => 0,
            };
            old[..kept].iter().copied().chain((kept..size as usize).map(new)).collect()
        };
        sizes.iter().enumerate().map(row).collect()
    };
    now.iter().enumerate().all(|(number, now)| *now == part(number)) && now.len() == before.len()
}

/// Pages follow each other, and the account has what they hold.
fn assert_consistent(table: &RaggedTable) {
    let mut row = 0;
    for page in table.as_rows().pages() {
        assert_eq!(page.first_row(), row);
        row += page.rows();
    }
    assert_eq!((row, table.len()), (table.rows(), table.sizes().map(u64::from).sum()));
    assert_eq!(table.account().used_bytes(), table.used_bytes());
    let held: u64 = table.as_rows().pages().iter().map(Page::bytes).sum();
    assert_eq!(table.memory().total_bytes(), held);
}

/// Whether rows have to move twice.
fn moves_twice(table: &RaggedTable, plan: &ResizePlan) -> bool {
    let before = table.memory().total_bytes();
    let (layout, state) = (table.as_rows().layout(), table.as_rows().state_size());
    let pages = (0..plan.to().pages()).map(|page| plan.to().page_bytes(page, layout, state));
    table.peak_of(plan.to()) > before.max(pages.clone().sum()) + pages.max().unwrap()
}

/// Sizes before and after, each a case of its own.
fn patterns() -> Vec<(&'static str, Vec<u32>, Vec<u32>)> {
    let (rows, flat) = (60u32, vec![6; 60]);
    let half = |first: u32, second: u32| (0..rows).map(|row| if row < rows / 2 { first } else { second }).collect();
    vec![
        ("grow, then shrink", flat.clone(), half(11, 1)),
        ("shrink, then grow", flat.clone(), half(1, 11)),
        ("grow, then to nothing, and new rows", flat.clone(), [half(12, 0), vec![5; 9]].concat()),
        ("to nothing", flat.clone(), vec![0; 60]),
        ("from nothing", vec![0; 60], flat.clone()),
        ("new rows alone", vec![], flat.clone()),
        ("more rows", flat.clone(), [flat.clone(), vec![3; 70]].concat()),
        ("in turns", flat.clone(), (0..rows).map(|row| if row % 2 == 0 { 12 } else { 0 }).collect()),
        ("at random", (0..rows).map(|row| row * 7 % 13).collect(), (0..75).map(|row| row * 5 % 14).collect()),
        ("as before", flat.clone(), flat),
    ]
}

#[test]
fn pages_change_nothing() {
    for device in devices() {
        for layout in layouts(16) {
            let mut twice = 0;
            // On a software GPU a launch takes its time: all kinds of state there are, but each once.
            let optimizers = if device.as_gpu().is_some() { &[SGD, BOTH][..] } else { &[SGD, ADAGRAD, ROW_WISE, BOTH] };
            for &optimizer in optimizers {
                let whole = Layout { page_bytes: None, ..layout };
                for (pattern, from, to) in patterns() {
                    let what = format!("{pattern}, {optimizer:?}, {layout:?} on {}", device.describe());
                    let account = Account::unlimited();
                    let mut table = table(&device, &from, optimizer, layout, &account);
                    let before = contents(&table);
                    let plan = table.plan(&to).unwrap();
                    twice += u32::from(moves_twice(&table, &plan));
                    table.resize(&plan).unwrap();
                    assert_consistent(&table);
                    let options = TableOptions { layout: whole, ..*table.options() };
                    let fresh = RaggedTable::new(&device, &to, options, &Account::unlimited()).unwrap();
                    assert_eq!(fresh.as_rows().pages().len(), 1);
                    let (now, per_value) = (contents(&table), table.rows.state_size().per_value as usize);
                    let right = is_resized((&now, layout.format), &before, &contents(&fresh), &to, per_value);
                    assert!(right, "{what}");
                    // The same again, both ways from one table.
                    train(&mut table);
                    let mut other = super::tests::table(&device, &from, optimizer, whole, &Account::unlimited());
                    let plan = other.plan(&to).unwrap();
                    other.resize(&plan).unwrap();
                    train(&mut other);
                    assert!(contents(&table) == contents(&other), "trained on after {what}");
                    drop(table);
                    assert_eq!(account.used_bytes(), 0);
                }
            }
            assert_eq!(twice > 0, layout.page_bytes.is_some(), "{layout:?}: {twice}");
        }
    }
}

/// The device has no room for one of the pages: whichever it is, nothing is lost, and what was begun can be ended.
#[test]
fn a_failure_amid_the_pages_loses_nothing() {
    let failed = || Error::DeviceLost { reason: "no room".to_owned() };
    for device in devices() {
        for layout in [layouts(16)[1], layouts(16)[5]] {
            for (pattern, from, to) in patterns() {
                let (mut at, mut failures) = (0u32, 0);
                loop {
                    let what = format!("{pattern}, page {at}, {layout:?} on {}", device.describe());
                    let account = Account::unlimited();
                    let mut table = table(&device, &from, BOTH, layout, &account);
                    let before = contents(&table);
                    let plan = table.plan(&to).unwrap();
                    let most = table.used_bytes().max(table.counted_bytes_after(&plan));
                    // As tight as the resize allows.
                    account.set_capacity(most).unwrap();
                    let left = Cell::new(at);
                    let done = table.resize_with(&plan, &mut |device, directory, page, rows| {
                        if left.replace(left.get().wrapping_sub(1)) == 0 {
                            return Err(failed());
                        }
                        Page::zeroed(device, directory, page, rows.layout().format, rows.state_size())
                    });
                    assert_consistent(&table);
                    let fresh =
                        contents(&RaggedTable::new(&device, &to, table.options, &Account::unlimited()).unwrap());
                    if done.is_err() {
                        failures += 1;
                        let sizes: Vec<u32> = table.sizes().collect();
                        assert!(from.len() <= sizes.len() && sizes.len() <= to.len(), "{what}");
                        for (row, &size) in sizes.iter().enumerate() {
                            let (old, new) = (from.get(row).copied().unwrap_or(0), to[row]);
                            let known = size == new || (row < from.len() && (size == old || size == old.min(new)));
                            assert!(known, "{what}: row {row} of {size}, it was {old} and gets {new}");
                        }
                        if at == 0 {
                            assert!(contents(&table) == before, "{what}: as before");
                        }
                        // Rows where they are, in every part, and read by a kernel too.
                        let fresh =
                            contents(&RaggedTable::new(&device, &sizes, table.options, &Account::unlimited()).unwrap());
                        let now = contents(&table);
                        let right = is_resized((&now, layout.format), &before, &fresh, &sizes, 1);
                        assert!(right, "{what}: rows in between");
                        let ids: Vec<u32> = (0..table.rows()).rev().collect();
                        let found = table.lookup(&ids, 16).unwrap().read().unwrap();
                        for (&id, found) in ids.iter().zip(found.chunks(16)) {
                            let (kept, padding) = found.split_at(sizes[id as usize] as usize);
                            assert!(kept.iter().map(|v| v.to_bits()).eq(now[0][id as usize].iter().copied()), "{what}");
                            assert!(padding.iter().all(|&value| value == 0.0));
                        }
                        let copy = table.duplicate(&Account::unlimited()).unwrap();
                        assert!(contents(&copy) == now, "{what}: a copy");
                        // The table may hold more than both ends of the resize, and may always get smaller.
                        let again = table.plan(&to).unwrap();
                        account.set_capacity(u64::MAX).unwrap();
                        table.resize(&again).unwrap();
                        assert_consistent(&table);
                    }
                    let right = is_resized((&contents(&table), layout.format), &before, &fresh, &to, 1);
                    assert!(right, "{what}: in the end");
                    drop(table);
                    assert_eq!(account.used_bytes(), 0, "{what}");
                    if done.is_ok() {
                        break;
                    }
                    // On a GPU some of them will do.
                    at += if device.as_gpu().is_some() { 7 } else { 1 };
                }
                assert!(failures > 0, "{pattern}: {failures} failures");
            }
        }
    }
}

/// What a failure leaves may be past the budget by part of a page: it is counted, stops others, and can be brought
/// back.
#[test]
fn what_a_failure_leaves_is_counted() {
    let layout = Layout { page_bytes: Some(400), ..Layout::default() };
    let account = Account::new(4 * 140, Counts { optimizer: false, metadata: false });
    let options = TableOptions { layout, ..TableOptions::default() };
    let mut table = RaggedTable::new(&Device::cpu(), &[40, 61, 39], options, &account).unwrap();
    let pages = |table: &RaggedTable| table.as_rows().pages().iter().map(Page::rows).collect::<Vec<_>>();
    assert_eq!(pages(&table), [1, 2]);
    // The first two rows share a page now; the next one fails, and the second row stays where it was.
    let plan = table.plan(&[40, 60, 39]).unwrap();
    let mut made = 0;
    let failed = table.resize_with(&plan, &mut |device, directory, page, rows| {
        made += 1;
        if made == 2 {
            return Err(Error::DeviceLost { reason: "no room".to_owned() });
        }
        Page::zeroed(device, directory, page, rows.layout().format, rows.state_size())
    });
    assert!(matches!(failed, Err(Error::DeviceLost { .. })));
    assert_eq!((pages(&table), table.size(1)), (vec![1, 2], 61));
    assert_eq!((account.used_bytes(), table.used_bytes()), (4 * 200, 4 * 200));
    assert!(matches!(table.append_rows(&[1]), Err(Error::OverBudget { .. })));
    let plan = table.plan(&[40, 61, 38]).unwrap();
    table.resize(&plan).unwrap();
    assert_eq!(account.used_bytes(), 4 * 139);
    drop(table);
    assert_eq!(account.used_bytes(), 0);
}

fn sizes() -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![0u32..9, Just(0), 30u32..40], 0..60)
}

proptest! {
    #[test]
    fn any_resize_in_any_pages_keeps_rows_and_peak(
        (from, mut to, more) in (sizes(), sizes(), sizes()),
        page_bytes in 192u64..3000,
        format in prop::sample::select(Format::ALL),
        aligned in any::<bool>(),
        optimizer in prop_oneof![Just(SGD), Just(ADAGRAD), Just(ROW_WISE), Just(BOTH)],
    ) {
        to.resize(from.len(), 3);
        to.extend(more);
        let layout = Layout { format, aligned, page_bytes: Some(page_bytes) };
        let account = Account::unlimited();
        let mut table = table(&Device::cpu(), &from, optimizer, layout, &account);
        let old = contents(&table);
        let plan = table.plan(&to).unwrap();
        let pages = |table: &RaggedTable| -> Vec<u64> { table.as_rows().pages().iter().map(Page::bytes).collect() };
        let before = pages(&table);
        // As tight as can be.
        account.set_capacity(table.used_bytes().max(table.counted_bytes_after(&plan))).unwrap();
        table.resize(&plan).unwrap();
        assert_consistent(&table);
        let after = pages(&table);
        let fresh = RaggedTable::new(&Device::cpu(), &to, table.options, &Account::unlimited()).unwrap();
        let per_value = table.rows.state_size().per_value as usize;
        prop_assert!(is_resized((&contents(&table), format), &old, &contents(&fresh), &to, per_value));
        let largest = before.iter().chain(&after).max().unwrap();
        let sum = |pages: &[u64]| pages.iter().sum::<u64>();
        // Where rows move twice there are more pages meanwhile, and so more directories of a word or two.
        let directories = 8 * (before.len() + after.len()) as u64;
        let most = sum(&before).max(sum(&after)) + largest + directories;
        prop_assert!(table.memory().peak_bytes <= most, "{} bytes, at most {most}", table.memory().peak_bytes);
    }
}

/// Bytes that a GPU's allocator has given out.
fn allocated(gpu: &Gpu) -> u64 {
    let _ = gpu.device().poll(wgpu::PollType::wait_indefinitely());
    gpu.device().generate_allocator_report().map_or(0, |report| report.total_allocated_bytes)
}

/// What wgpu's allocator has given out, asked whenever a page is there beside the old ones.
#[test]
fn a_gpu_holds_a_page_more_than_before_and_after() {
    if gpu().is_none() {
        return;
    }
    // A device of its own: other tests allocate on theirs.
    let gpu = Gpu::with_default_limits(&GpuOptions::default()).unwrap();
    if allocated(&gpu) == 0 && gpu.device().generate_allocator_report().is_none() {
        return;
    }
    let device = Device::Gpu(gpu.clone());
    const PAGE: u64 = 1 << 20;
    // Directories on their way, parameters of launches.
    const SLACK: u64 = 64 << 10;
    let rows = 6000u32;
    let half = |first: u32, second: u32| (0..rows).map(|row| if row < rows / 2 { first } else { second }).collect();
    let cases: [(&str, Vec<u32>); 4] = [
        ("grow, then shrink", half(500, 12)),
        ("shrink, then grow", half(12, 500)),
        ("grow", vec![300; 6000]),
        ("shrink", vec![100; 6000]),
    ];
    for (case, to) in cases {
        for (format, aligned, optimizer) in
            [(Format::F32, false, SGD), (Format::F16, true, SGD), (Format::F32, false, BOTH)]
        {
            let base = allocated(&gpu);
            let layout = Layout { format, aligned, page_bytes: Some(PAGE) };
            let options = TableOptions { rule: optimizer.into(), layout, ..TableOptions::default() };
            let mut table = RaggedTable::new(&device, &[256; 6000], options, &Account::unlimited()).unwrap();
            let plan = table.plan(&to).unwrap();
            let before = allocated(&gpu) - base;
            let mut peak = 0;
            table
                .resize_with(&plan, &mut |device, directory, page, rows| {
                    let made = Page::zeroed(device, directory, page, rows.layout().format, rows.state_size());
                    let report = gpu.device().generate_allocator_report().unwrap();
                    peak = peak.max(report.total_allocated_bytes - base);
                    made
                })
                .unwrap();
            let after = allocated(&gpu) - base;
            let memory = table.memory();
            // Values and state lie in pages as large together as they have numbers.
            let page = PAGE + PAGE * 4 / format.bytes() * u64::from(table.rows.state_size().per_value);
            let what = format!(
                "{case}, {optimizer:?}, {layout:?}: {before} bytes before, {after} after, {peak} at once; reported {memory:?}"
            );
            println!("{what}");
            assert!(peak <= before.max(after) + page + SLACK, "{what}");
            assert!(peak.abs_diff(memory.peak_bytes) <= SLACK, "{what}");
            assert!(after.abs_diff(memory.total_bytes()) <= SLACK, "{what}");
            drop(table);
            assert!(allocated(&gpu).abs_diff(base) <= SLACK, "{what}: all is given back");
        }
    }
}
