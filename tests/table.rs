//! The ragged table as a whole: plans, resizes, budgets, memory.

mod common;

use common::devices;
use proptest::prelude::*;
use scall_gpu::Error;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::table::bags::Pooling;
use scall_gpu::kernels::table::optimizer::{Optimizer, UpdateRule};
use scall_gpu::rows::{Format, Layout, Rows, StateSize};
use scall_gpu::table::{Account, Counts, Offsets, RaggedTable, ResizePlan, TableOptions};

const OPTIONS: TableOptions = TableOptions {
    rule: UpdateRule::new(Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 }),
    init_std: 0.01,
    zero_dims: 1,
    seed: 42,
    layout: PACKED,
};

const PACKED: Layout = Layout { format: Format::F32, aligned: false, page_bytes: None };
const HALF: Layout = Layout { format: Format::F16, ..PACKED };

/// All there are, in one page and in pages of so many bytes.
fn layouts(page_bytes: u64) -> impl Iterator<Item = Layout> {
    let aligned = |layout| [layout, Layout { aligned: true, ..layout }];
    let paged = move |layout| [layout, Layout { page_bytes: Some(page_bytes), ..layout }];
    [PACKED, HALF].into_iter().flat_map(aligned).flat_map(paged)
}

const OPTIMIZERS: [Optimizer; 7] = [
    Optimizer::Sgd { learning_rate: 0.1 },
    OPTIONS.rule.optimizer,
    Optimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: 1e-8 },
    Optimizer::Momentum { learning_rate: 0.1, momentum: 0.9, nesterov: true },
    Optimizer::AdamW { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 },
    Optimizer::RowWiseAdam { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
];

/// A table whose values and state both differ everywhere.
fn trained(device: &Device, sizes: &[u32], account: &Account) -> RaggedTable {
    trained_by(OPTIONS.rule.optimizer, device, sizes, account)
}

fn trained_by(optimizer: Optimizer, device: &Device, sizes: &[u32], account: &Account) -> RaggedTable {
    trained_in(PACKED, optimizer, device, sizes, account)
}

fn trained_in(layout: Layout, optimizer: Optimizer, device: &Device, sizes: &[u32], account: &Account) -> RaggedTable {
    let options = TableOptions { rule: optimizer.into(), layout, ..OPTIONS };
    let mut table = RaggedTable::new(device, sizes, options, account).unwrap();
    let ids: Vec<u32> = (0..table.rows()).collect();
    let dims = sizes.iter().copied().max().unwrap_or(0);
    let gradients: Vec<f32> = (0..ids.len() as u32 * dims).map(|i| (i % 97) as f32 / 31.0 - 1.5).collect();
    let gradients = Buffer::from_slice(device, &gradients).unwrap();
    table.apply_gradients(&ids, &gradients, dims).unwrap();
    table
}

/// Row after row, as bits.
fn rows(values: &[f32], sizes: &[u32]) -> Vec<Vec<u32>> {
    let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
    let mut rest = bits.as_slice();
    let take = |&size: &u32| {
        let (row, tail) = rest.split_at(size as usize);
        rest = tail;
        row.to_vec()
    };
    sizes.iter().map(take).collect()
}

/// Values and state of a table, row after row; row-wise state is that of rows with one value.
fn contents(table: &RaggedTable) -> Vec<Vec<Vec<u32>>> {
    let sizes: Vec<u32> = table.sizes().collect();
    let per_row = vec![1; sizes.len()];
    let of_state = table.options().rule.optimizer.state_size();
    let shape = |number| if number < of_state.per_value as usize { &sizes } else { &per_row };
    let read = |number| table.as_rows().read_state(number).unwrap();
    let state = (0..of_state.numbers()).map(|number| rows(&read(number), shape(number)));
    [rows(&table.read().unwrap(), &sizes)].into_iter().chain(state).collect()
}

fn sizes() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(prop_oneof![0u32..9, Just(0), 60u32..70], 0..40)
}

/// Sizes of some rows, and of as many or more afterwards.
fn resizes() -> impl Strategy<Value = (Vec<u32>, Vec<u32>)> {
    (sizes(), sizes(), sizes()).prop_map(|(from, mut to, more)| {
        to.resize(from.len(), 3);
        to.extend(more);
        (from, to)
    })
}

proptest! {
    #[test]
    fn offsets_are_the_running_sum(sizes in sizes()) {
        let offsets = Offsets::from_sizes(&sizes).unwrap();
        prop_assert_eq!(offsets.rows(), sizes.len());
        prop_assert_eq!(offsets.values() as u32, sizes.iter().sum::<u32>());
        prop_assert_eq!(offsets.sizes().collect::<Vec<_>>(), sizes);
        prop_assert_eq!(&Offsets::new(offsets.as_slice().to_vec(), offsets.values() as u64).unwrap(), &offsets);
    }

    #[test]
    fn offsets_from_elsewhere_are_checked(raw in prop::collection::vec(0u32..20, 0..10), values in 0u64..25) {
        let valid = raw.first() == Some(&0)
            && raw.windows(2).all(|p| p[0] <= p[1])
            && raw.last().map(|&l| u64::from(l)) == Some(values);
        prop_assert_eq!(Offsets::new(raw, values).is_ok(), valid);
    }

    #[test]
    fn plans_account_for_every_value((from, to) in resizes()) {
        let rows = Rows::zeroed(&Device::cpu(), &from, PACKED, StateSize::default()).unwrap();
        let plan = ResizePlan::new(&rows, &to).unwrap();
        prop_assert_eq!(plan.kept_values() + plan.dropped_values(), rows.values());
        prop_assert_eq!(plan.kept_values() + plan.new_values(), plan.to().values());
        prop_assert_eq!(plan.to().sizes().collect::<Vec<_>>(), to.clone());
        let kept: u64 = from.iter().zip(&to).map(|(a, b)| u64::from(*a.min(b))).sum();
        prop_assert_eq!(plan.kept_values(), kept);
        prop_assert_eq!(plan.new_rows(), (to.len() - from.len()) as u64);
        prop_assert_eq!(plan.grown_rows() as usize, from.iter().zip(&to).filter(|(a, b)| b > a).count());
        prop_assert_eq!(plan.shrunk_rows() as usize, from.iter().zip(&to).filter(|(a, b)| b < a).count());
    }

    #[test]
    fn a_resize_keeps_every_surviving_bit_on_the_cpu((from, to) in resizes()) {
        for layout in layouts(300) {
            resize_keeps_bits(&Device::cpu(), layout, &from, &to);
        }
    }
}

fn resize_keeps_bits(device: &Device, layout: Layout, from: &[u32], to: &[u32]) {
    for optimizer in OPTIMIZERS {
        let mut table = trained_in(layout, optimizer, device, from, &Account::unlimited());
        let before = contents(&table);
        let plan = table.plan(to).unwrap();
        table.resize(&plan).unwrap();
        let after = contents(&table);
        assert_eq!(after.len(), 1 + optimizer.state_size().lens(1, 1).len());
        assert_eq!(table.steps(), 1);
        let options = TableOptions { layout: Layout { page_bytes: None, ..layout }, ..OPTIONS };
        let fresh = RaggedTable::new(device, to, options, &Account::unlimited()).unwrap();
        let fresh = rows(&fresh.read().unwrap(), to);
        for (r, &size) in to.iter().enumerate() {
            let what = format!("row {r} of {to:?}, {optimizer:?}, {layout:?}");
            let kept = from.get(r).copied().unwrap_or(0).min(size) as usize;
            let old = |part: &[Vec<u32>]| part.get(r).cloned().unwrap_or_default();
            assert_eq!(after[0][r][..kept], old(&before[0])[..kept], "{what}");
            // What is new does not depend on the way: it is what a fresh table has there, and fresh state.
            assert_eq!(after[0][r][kept..], fresh[r][kept..], "{what}");
            for (number, (before, after)) in before[1..].iter().zip(&after[1..]).enumerate() {
                if number >= optimizer.state_size().per_value as usize {
                    // A row keeps its number whatever its size, and a new row has zero.
                    assert_eq!(after[r], before.get(r).cloned().unwrap_or_else(|| vec![0]), "{what}");
                } else {
                    assert_eq!(after[r][..kept], old(before)[..kept], "{what}");
                    assert!(after[r][kept..].iter().all(|&bits| bits == 0), "state of {what}");
                }
            }
        }
    }
}

/// Training that goes on after a resize is training that goes on: rows that keep their size take the steps that they
/// would have taken.
#[test]
fn steps_go_on_after_a_resize() {
    for device in devices() {
        for (optimizer, layout) in OPTIMIZERS.into_iter().flat_map(|o| layouts(80).map(move |layout| (o, layout))) {
            let gradients: Vec<f32> = (0..12).map(|i| i as f32 / 7.0 - 0.6).collect();
            let gradients = Buffer::from_slice(&device, &gradients).unwrap();
            let run = |resized: bool| {
                let mut table = trained_in(layout, optimizer, &device, &[3, 4, 2], &Account::unlimited());
                if resized {
                    let plan = table.plan(&[3, 9, 2, 5]).unwrap();
                    table.resize(&plan).unwrap();
                }
                table.apply_gradients(&[0, 2, 0], &gradients, 4).unwrap();
                assert_eq!(table.steps(), 2);
                let contents = contents(&table);
                contents.iter().flat_map(|part| [part[0].clone(), part[2].clone()]).collect::<Vec<_>>()
            };
            assert_eq!(run(true), run(false), "{optimizer:?}, {layout:?}");
        }
    }
}

#[test]
fn a_new_learning_rate_keeps_steps_and_state() {
    for optimizer in OPTIMIZERS {
        let device = Device::cpu();
        let moved = |rate: Option<f32>| {
            let mut table = trained_by(optimizer, &device, &[2, 1], &Account::unlimited());
            let before = table.read().unwrap();
            if let Some(rate) = rate {
                table.set_learning_rate(rate).unwrap();
            }
            let steps = table.steps();
            let gradients = Buffer::from_slice(&device, &[1.0f32, -0.5, 0.25, 0.0]).unwrap();
            table.apply_gradients(&[0, 1], &gradients, 2).unwrap();
            assert_eq!(table.steps(), steps + 1);
            let after = table.read().unwrap();
            after.iter().zip(before).map(|(after, before)| after - before).collect::<Vec<f32>>()
        };
        let (slow, fast) = (moved(None), moved(Some(0.2)));
        assert!(slow.iter().zip(&fast).all(|(s, f)| (2.0 * s - f).abs() < 1e-5), "{optimizer:?}: {slow:?} {fast:?}");
    }
    let mut table = RaggedTable::new(&Device::cpu(), &[1], OPTIONS, &Account::unlimited()).unwrap();
    assert!(matches!(table.set_learning_rate(f32::NAN), Err(Error::Argument { arg: "learning_rate", .. })));
}

/// A table's rule reaches both of its updates, survives a new rate, and is checked before there is a table.
#[test]
fn decay_and_clipping_belong_to_the_table() {
    for device in devices() {
        let rule = UpdateRule { weight_decay: 0.5, max_norm: 5.0, ..Optimizer::Sgd { learning_rate: 1.0 }.into() };
        let options = TableOptions { rule, init_std: 0.0, zero_dims: 0, ..OPTIONS };
        let mut table = RaggedTable::new(&device, &[2, 1], options, &Account::unlimited()).unwrap();
        let gradients = Buffer::from_slice(&device, &[6.0f32, 8.0, 2.0, 100.0]).unwrap();
        table.apply_gradients(&[0, 1], &gradients, 2).unwrap();
        // Of norm 10 to 5; of norm 2 as it is, and what lies past the row's end does not count.
        let close = |table: &RaggedTable, want: [f32; 3]| {
            let values = table.read().unwrap();
            assert!(values.iter().zip(want).all(|(v, w)| (v - w).abs() < 1e-5), "{values:?}, expected {want:?}");
        };
        close(&table, [-3.0, -4.0, -2.0]);
        table.set_learning_rate(2.0).unwrap();
        let mut commands = device.commands();
        table.record_update_all(&mut commands, &gradients, 2).unwrap();
        commands.submit().unwrap();
        close(&table, [-3.0 - 2.0 * (3.0 - 1.5), -4.0 - 2.0 * (4.0 - 2.0), -2.0 - 2.0 * (2.0 - 1.0)]);
        for (weight_decay, max_norm, arg) in [(-1.0, 1.0, "weight_decay"), (0.0, 0.0, "max_norm")] {
            let options = TableOptions { rule: UpdateRule { weight_decay, max_norm, ..rule }, ..options };
            let error = RaggedTable::new(&device, &[1], options, &Account::unlimited()).unwrap_err();
            assert!(matches!(error, Error::Argument { arg: found, .. } if found == arg), "{error}");
        }
    }
}

/// A batch in which each row occurs once is a dense gradient.
#[test]
fn an_update_of_all_rows_is_that_of_a_batch_with_all_rows() {
    for device in devices() {
        for (optimizer, layout) in OPTIMIZERS.into_iter().flat_map(|o| layouts(80).map(move |layout| (o, layout))) {
            let sizes = [3, 0, 4, 2];
            let gradients: Vec<f32> = (0..16).map(|i| i as f32 / 9.0 - 0.7).collect();
            let gradients = Buffer::from_slice(&device, &gradients).unwrap();
            let mut sparse = trained_in(layout, optimizer, &device, &sizes, &Account::unlimited());
            let mut dense = trained_in(layout, optimizer, &device, &sizes, &Account::unlimited());
            sparse.apply_gradients(&[0, 1, 2, 3], &gradients, 4).unwrap();
            let mut commands = device.commands();
            dense.record_update_all(&mut commands, &gradients, 4).unwrap();
            commands.submit().unwrap();
            assert_eq!(sparse.steps(), dense.steps());
            let numbers = |table: &RaggedTable| {
                let bits = contents(table).concat().concat();
                bits.into_iter().map(f32::from_bits).collect::<Vec<f32>>()
            };
            // Where the last bit of f32 decides, neighbouring f16.
            let epsilon = if layout.format == Format::F16 { 1e-3 } else { 1e-6 };
            for (a, b) in numbers(&sparse).into_iter().zip(numbers(&dense)) {
                assert!((a - b).abs() <= epsilon * a.abs().max(0.1), "{optimizer:?}, {layout:?}: {a} and {b}");
            }
        }
    }
}

#[test]
fn a_resize_keeps_every_surviving_bit_on_every_device() {
    let from: Vec<u32> = (0..700).map(|i| (i * 7) % 33).collect();
    let to: Vec<u32> = (0..900).map(|i| (i * 11) % 29).collect();
    for (device, layout) in devices().into_iter().flat_map(|device| layouts(6000).map(move |of| (device.clone(), of))) {
        resize_keeps_bits(&device, layout, &from, &to);
        resize_keeps_bits(&device, layout, &[], &[2, 0, 5]);
        resize_keeps_bits(&device, layout, &[2, 0, 5], &[0, 0, 0]);
    }
}

#[test]
fn fresh_tables_are_the_same_bits_on_every_device() {
    let sizes: Vec<u32> = (0..500).map(|i| (i * 3) % 17).collect();
    let fresh = |device: &Device, layout| {
        let options = TableOptions { layout, ..OPTIONS };
        RaggedTable::new(device, &sizes, options, &Account::unlimited()).unwrap().read().unwrap()
    };
    let tables: Vec<Vec<f32>> = devices().iter().map(|device| fresh(device, PACKED)).collect();
    let bits = |table: &[f32]| table.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let nearest: Vec<f32> = tables[0].iter().map(|&value| half::f16::from_f32(value).to_f32()).collect();
    for (device, layout) in devices().iter().flat_map(|device| layouts(3000).map(move |layout| (device, layout))) {
        let want = if layout.format == Format::F16 { &nearest } else { &tables[0] };
        assert_eq!(bits(&fresh(device, layout)), bits(want), "{layout:?}");
    }
    // Standard deviation near 0.01, the leading dim zero.
    let offsets = Offsets::from_sizes(&sizes).unwrap();
    let mut square = 0.0;
    for r in 0..sizes.len() {
        let row = &tables[0][offsets.as_slice()[r] as usize..offsets.as_slice()[r + 1] as usize];
        assert!(row.first().is_none_or(|v| *v == 0.0));
        square += row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    }
    let std = (square / (offsets.values() - sizes.iter().filter(|&&s| s > 0).count()) as f64).sqrt();
    assert!((std - 0.01).abs() < 5e-4, "{std}");
}

#[test]
fn lookup_pads_and_refuses_ids_past_the_table() {
    for (device, layout) in devices().into_iter().flat_map(|device| layouts(64).map(move |of| (device.clone(), of))) {
        let options = TableOptions { layout, ..OPTIONS };
        let table = RaggedTable::new(&device, &[2, 0, 3], options, &Account::unlimited()).unwrap();
        let values = table.read().unwrap();
        let out = table.lookup(&[2, 1, 0], 3).unwrap().read().unwrap();
        assert_eq!(out, [values[2], values[3], values[4], 0.0, 0.0, 0.0, values[0], values[1], 0.0]);
        let error = table.lookup(&[0, 3], 1).unwrap_err();
        assert_eq!(error.to_string(), "table/lookup: `ids[1]` is row 3, but the table has 3 rows");
    }
}

#[test]
fn the_budget_cannot_be_passed() {
    for device in devices() {
        // Two tables on one account: 4 bytes a value, a word for the block of rows of each, and one for each two rows.
        let account = Account::new(4 * 100 + 4 * (1 + 5) + 4 * (1 + 3), Counts::default());
        let mut users = trained(&device, &[6; 10], &account);
        let items = trained(&device, &[8; 5], &account);
        assert_eq!(account.used_bytes(), account.capacity_bytes());
        let before = contents(&users);
        let mut larger = vec![6; 10];
        larger[3] = 7;
        let plan = users.plan(&larger).unwrap();
        let error = users.resize(&plan).unwrap_err();
        assert_eq!(error.to_string(), "over budget: the change needs 444 bytes, the budget is 440");
        assert_eq!(contents(&users), before);
        assert!(matches!(users.append_rows(&[0]), Err(Error::OverBudget { .. })));
        // Room made by one row is room for another.
        larger[0] = 5;
        let plan = users.plan(&larger).unwrap();
        users.resize(&plan).unwrap();
        assert!(matches!(account.set_capacity(439), Err(Error::OverBudget { .. })));
        drop(items);
        assert_eq!(account.used_bytes(), users.used_bytes());
    }
}

/// A stream of sizes for two tables on one account, in every layout: what would pass the budget is refused before
/// anything moves, what is
/// within it is done, and the account has what the buffers hold.
#[test]
fn budgets_hold_in_every_layout_through_many_resizes() {
    let state = OPTIMIZERS[6];
    for (device, layout) in devices().into_iter().flat_map(|device| layouts(400).map(move |of| (device.clone(), of))) {
        let width = layout.format.bytes();
        let counts = Counts { optimizer: layout.aligned, metadata: true };
        let account = Account::new(if counts.optimizer { 600 * (width + 4) } else { 500 * width }, counts);
        let mut tables =
            [trained_in(layout, state, &device, &[4; 30], &account), trained_in(layout, state, &device, &[], &account)];
        let (mut refused, mut done) = (0, 0);
        for step in 0..24u32 {
            let other = tables[(step as usize + 1) % 2].used_bytes();
            let table = &mut tables[step as usize % 2];
            let rows = table.rows() + step % 3;
            let sizes: Vec<u32> = (0..rows).map(|row| (row * 7 + step * 5) % (3 + step * 11 % 37)).collect();
            let before = (contents(table), table.used_bytes());
            let plan = table.plan(&sizes).unwrap();
            let after = table.counted_bytes_after(&plan);
            match table.resize(&plan) {
                Ok(()) => {
                    assert_eq!((table.used_bytes(), table.sizes().collect::<Vec<_>>()), (after, sizes), "{layout:?}");
                    done += 1;
                }
                Err(Error::OverBudget { needed, .. }) => {
                    assert_eq!(needed, other + after);
                    assert!(needed > account.capacity_bytes());
                    assert!((contents(table), table.used_bytes()) == before);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
            let held: u64 = tables
                .iter()
                .map(|table| {
                    let memory = table.memory();
                    let buffers = table.as_rows().pages().iter().map(|page| page.values().size_bytes()).sum::<u64>();
                    assert_eq!(memory.values_bytes, buffers);
                    memory.values_bytes
                        + memory.metadata_bytes
                        + if counts.optimizer { memory.optimizer_bytes } else { 0 }
                })
                .sum();
            assert_eq!(account.used_bytes(), held);
            assert!(held <= account.capacity_bytes());
        }
        assert!(refused > 2 && done > 5, "{layout:?}: {refused} refused, {done} done");
    }
}

#[test]
fn the_optimizer_counts_when_it_is_asked_to() {
    for (optimizer, state) in OPTIMIZERS.into_iter().zip([0, 240, 480, 40, 240, 480, 280]) {
        for device in devices() {
            let account = Account::new(u64::MAX, Counts { optimizer: true, metadata: false });
            let mut table = trained_by(optimizer, &device, &[6; 10], &account);
            assert_eq!(account.used_bytes(), 240 + state);
            assert_eq!(table.memory().optimizer_bytes, state);
            // A row without values has a number of row-wise state all the same.
            table.append_rows(&[0]).unwrap();
            let held = table.memory();
            assert_eq!(account.used_bytes(), held.values_bytes + held.optimizer_bytes);
            assert_eq!(held.optimizer_bytes, state + 4 * u64::from(optimizer.state_size().per_row));
        }
    }
}

#[test]
fn the_memory_report_is_what_the_buffers_hold() {
    // Rows of 3, 4 and 10; begun at words, and at 16 bytes.
    let places =
        [(PACKED, 17), (HALF, 18), (Layout { aligned: true, ..PACKED }, 20), (Layout { aligned: true, ..HALF }, 32)];
    for (device, (layout, places)) in devices().into_iter().flat_map(|d| places.map(|place| (d.clone(), place))) {
        let mut table = trained_in(layout, OPTIONS.rule.optimizer, &device, &[3, 4], &Account::unlimited());
        let plan = table.plan(&[3, 4, 10]).unwrap();
        let before = table.memory().total_bytes();
        table.resize(&plan).unwrap();
        let memory = table.memory();
        assert_eq!(memory.values_bytes, layout.format.bytes() * places);
        assert_eq!(memory.optimizer_bytes, 4 * places);
        // A block, and three rows.
        assert_eq!(memory.metadata_bytes, 4 + 4 * 2);
        assert_eq!(memory.peak_bytes, before + memory.total_bytes());
    }
}

#[test]
fn a_plan_for_another_state_is_refused() {
    let mut table = trained(&Device::cpu(), &[3, 4], &Account::unlimited());
    let stale = table.plan(&[4, 4]).unwrap();
    let other = table.plan(&[4, 3]).unwrap();
    table.resize(&other).unwrap();
    // As many rows and values as the plan starts from, but not the same rows.
    assert!(matches!(table.resize(&stale), Err(Error::StalePlan { .. })));
    assert!(matches!(table.plan(&[1]), Err(Error::Argument { arg: "sizes", .. })));
}

/// A reset is the row's shrinking to nothing and growing back, and a fresh number of row-wise state.
#[test]
fn a_reset_row_is_a_new_row() {
    let sizes: Vec<u32> = (0..700).map(|i| (i * 7) % 33).collect();
    let chosen: Vec<u32> = (0..700).filter(|i| i % 3 == 1).rev().collect();
    let paged = Layout { aligned: true, page_bytes: Some(6000), ..HALF };
    let mut of_devices = Vec::new();
    for device in devices() {
        for (optimizer, layout) in OPTIMIZERS.into_iter().flat_map(|o| [PACKED, paged].map(|layout| (o, layout))) {
            let mut table = trained_in(layout, optimizer, &device, &sizes, &Account::unlimited());
            let before = contents(&table);
            let options = TableOptions { rule: optimizer.into(), layout, ..OPTIONS };
            let fresh = contents(&RaggedTable::new(&device, &sizes, options, &Account::unlimited()).unwrap());
            table.reset_rows(&[&chosen[..], &chosen[..5]].concat()).unwrap();
            let after = contents(&table);
            for (part, after) in after.iter().enumerate() {
                for (row, after) in after.iter().enumerate() {
                    let want = if row % 3 == 1 { &fresh } else { &before };
                    assert_eq!(after, &want[part][row], "row {row}, part {part}, {optimizer:?}");
                }
            }
            assert!(after[1..].iter().all(|state| state[1].iter().all(|&bits| bits == 0)));
            assert_eq!(table.steps(), 1);
            of_devices.push((layout, after[0].iter().skip(1).step_by(3).cloned().collect::<Vec<_>>()));
            table.reset_rows(&[]).unwrap();
            assert_eq!(contents(&table), after);
            let error = table.reset_rows(&[0, 700]).unwrap_err();
            assert_eq!(error.to_string(), "table/reset: `ids[1]` is row 700, but the table has 700 rows");
            assert_eq!(contents(&table), after);
        }
    }
    assert!(of_devices.iter().all(|of| of_devices[..2].contains(of)), "the same bits on every device");
}

#[test]
fn rows_are_looked_up_packed_and_pooled() {
    for (device, layout) in devices().into_iter().flat_map(|device| layouts(64).map(move |of| (device.clone(), of))) {
        let options = TableOptions { layout, ..OPTIONS };
        let table = RaggedTable::new(&device, &[3, 0, 2, 5], options, &Account::unlimited()).unwrap();
        let ids = [3, 1, 0, 3];
        let padded = table.lookup(&ids, 4).unwrap().read().unwrap();
        let (packed, offsets) = table.lookup_packed(&ids, 4).unwrap();
        assert_eq!(offsets.read().unwrap(), [0, 4, 4, 7, 11]);
        let want = [&padded[..4], &padded[8..11], &padded[12..]].concat();
        assert_eq!(packed.read().unwrap(), want);

        let pooled = |bags: &[u32], pooling| table.lookup_bags(&ids, bags, pooling, 4).map(|out| out.read().unwrap());
        let most = pooled(&[0, 0, 3], Pooling::Max).unwrap();
        let column = |j: usize| padded.iter().skip(j).step_by(4).take(3).copied().fold(f32::MIN, f32::max);
        assert_eq!(most, [vec![0.0; 4], (0..4).map(column).collect()].concat());
        let mean = pooled(&[0, 4], Pooling::Mean).unwrap();
        for (j, mean) in mean.iter().enumerate() {
            let sum: f32 = padded.iter().skip(j).step_by(4).sum();
            assert!((mean - sum / 4.0).abs() < 1e-6);
        }
        let error = table.lookup_packed(&[4], 2).unwrap_err();
        assert!(matches!(error, Error::IdOutOfRange { id: 4, rows: 4, .. }), "{error}");
        let error = pooled(&[0, 5], Pooling::Sum).unwrap_err();
        assert!(matches!(error, Error::Argument { arg: "bags", .. }), "{error}");
    }
}
