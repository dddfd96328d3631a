//! The ragged table as a whole: plans, resizes, budgets, memory.

mod common;

use common::devices;
use proptest::prelude::*;
use scall_gpu::Error;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::table::bags::Pooling;
use scall_gpu::kernels::table::optimizer::{Optimizer, UpdateRule};
use scall_gpu::table::{Account, Counts, Offsets, RaggedTable, ResizePlan, TableOptions};

const OPTIONS: TableOptions = TableOptions {
    rule: UpdateRule::new(Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 }),
    init_std: 0.01,
    zero_dims: 1,
    seed: 42,
};

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
    let options = TableOptions { rule: optimizer.into(), ..OPTIONS };
    let mut table = RaggedTable::new(device, sizes, options, account).unwrap();
    let ids: Vec<u32> = (0..table.rows()).collect();
    let dims = sizes.iter().copied().max().unwrap_or(0);
    let gradients: Vec<f32> = (0..ids.len() as u32 * dims).map(|i| (i % 97) as f32 / 31.0 - 1.5).collect();
    let gradients = Buffer::from_slice(device, &gradients).unwrap();
    table.apply_gradients(&ids, &gradients, dims).unwrap();
    table
}

/// Row after row, as bits.
fn rows(buffer: &Buffer<f32>, sizes: &[u32]) -> Vec<Vec<u32>> {
    let bits: Vec<u32> = buffer.read().unwrap().iter().map(|v| v.to_bits()).collect();
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
    let per_value = table.options().rule.optimizer.state_size().per_value as usize;
    let shape = |number| if number < per_value { &sizes } else { &per_row };
    let state = table.optimizer_state().iter().enumerate().map(|(number, state)| rows(state, shape(number)));
    [rows(table.values(), &sizes)].into_iter().chain(state).collect()
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
        let offsets = Offsets::from_sizes(&from).unwrap();
        let plan = ResizePlan::new(&offsets, &to).unwrap();
        prop_assert_eq!(plan.kept_values() + plan.dropped_values(), offsets.values() as u64);
        prop_assert_eq!(plan.kept_values() + plan.new_values(), plan.to().values() as u64);
        let kept: u64 = from.iter().zip(&to).map(|(a, b)| u64::from(*a.min(b))).sum();
        prop_assert_eq!(plan.kept_values(), kept);
        prop_assert_eq!(plan.new_rows(), (to.len() - from.len()) as u64);
        prop_assert_eq!(plan.grown_rows() as usize, from.iter().zip(&to).filter(|(a, b)| b > a).count());
        prop_assert_eq!(plan.shrunk_rows() as usize, from.iter().zip(&to).filter(|(a, b)| b < a).count());
    }

    #[test]
    fn a_resize_keeps_every_surviving_bit_on_the_cpu((from, to) in resizes()) {
        resize_keeps_bits(&Device::cpu(), &from, &to);
    }
}

fn resize_keeps_bits(device: &Device, from: &[u32], to: &[u32]) {
    for optimizer in OPTIMIZERS {
        let mut table = trained_by(optimizer, device, from, &Account::unlimited());
        let before = contents(&table);
        let plan = table.plan(to).unwrap();
        table.resize(&plan).unwrap();
        let after = contents(&table);
        assert_eq!(after.len(), 1 + optimizer.state_size().lens(1, 1).len());
        assert_eq!(table.steps(), 1);
        let fresh = RaggedTable::new(device, to, OPTIONS, &Account::unlimited()).unwrap();
        let fresh = rows(fresh.values(), to);
        for (r, &size) in to.iter().enumerate() {
            let what = format!("row {r} of {to:?}, {optimizer:?}");
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
        for optimizer in OPTIMIZERS {
            let gradients: Vec<f32> = (0..12).map(|i| i as f32 / 7.0 - 0.6).collect();
            let gradients = Buffer::from_slice(&device, &gradients).unwrap();
            let run = |resized: bool| {
                let mut table = trained_by(optimizer, &device, &[3, 4, 2], &Account::unlimited());
                if resized {
                    let plan = table.plan(&[3, 9, 2, 5]).unwrap();
                    table.resize(&plan).unwrap();
                }
                table.apply_gradients(&[0, 2, 0], &gradients, 4).unwrap();
                assert_eq!(table.steps(), 2);
                let contents = contents(&table);
                contents.iter().flat_map(|part| [part[0].clone(), part[2].clone()]).collect::<Vec<_>>()
            };
            assert_eq!(run(true), run(false), "{optimizer:?}");
        }
    }
}

#[test]
fn a_new_learning_rate_keeps_steps_and_state() {
    for optimizer in OPTIMIZERS {
        let device = Device::cpu();
        let moved = |rate: Option<f32>| {
            let mut table = trained_by(optimizer, &device, &[2, 1], &Account::unlimited());
            let before = table.values().read().unwrap();
            if let Some(rate) = rate {
                table.set_learning_rate(rate).unwrap();
            }
            let steps = table.steps();
            let gradients = Buffer::from_slice(&device, &[1.0f32, -0.5, 0.25, 0.0]).unwrap();
            table.apply_gradients(&[0, 1], &gradients, 2).unwrap();
            assert_eq!(table.steps(), steps + 1);
            let after = table.values().read().unwrap();
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
        let options = TableOptions { rule, init_std: 0.0, zero_dims: 0, seed: 0 };
        let mut table = RaggedTable::new(&device, &[2, 1], options, &Account::unlimited()).unwrap();
        let gradients = Buffer::from_slice(&device, &[6.0f32, 8.0, 2.0, 100.0]).unwrap();
        table.apply_gradients(&[0, 1], &gradients, 2).unwrap();
        // Of norm 10 to 5; of norm 2 as it is, and what lies past the row's end does not count.
        let close = |table: &RaggedTable, want: [f32; 3]| {
            let values = table.values().read().unwrap();
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
        for optimizer in OPTIMIZERS {
            let sizes = [3, 0, 4, 2];
            let gradients: Vec<f32> = (0..16).map(|i| i as f32 / 9.0 - 0.7).collect();
            let gradients = Buffer::from_slice(&device, &gradients).unwrap();
            let mut sparse = trained_by(optimizer, &device, &sizes, &Account::unlimited());
            let mut dense = trained_by(optimizer, &device, &sizes, &Account::unlimited());
            sparse.apply_gradients(&[0, 1, 2, 3], &gradients, 4).unwrap();
            let mut commands = device.commands();
            dense.record_update_all(&mut commands, &gradients, 4).unwrap();
            commands.submit().unwrap();
            assert_eq!(sparse.steps(), dense.steps());
            let numbers = |table: &RaggedTable| {
                let bits = contents(table).concat().concat();
                bits.into_iter().map(f32::from_bits).collect::<Vec<f32>>()
            };
            for (a, b) in numbers(&sparse).into_iter().zip(numbers(&dense)) {
                assert!((a - b).abs() <= 1e-6 * a.abs().max(0.1), "{optimizer:?}: {a} and {b}");
            }
        }
    }
}

#[test]
fn a_resize_keeps_every_surviving_bit_on_every_device() {
    let from: Vec<u32> = (0..700).map(|i| (i * 7) % 33).collect();
    let to: Vec<u32> = (0..900).map(|i| (i * 11) % 29).collect();
    for device in devices() {
        resize_keeps_bits(&device, &from, &to);
        resize_keeps_bits(&device, &[], &[2, 0, 5]);
        resize_keeps_bits(&device, &[2, 0, 5], &[0, 0, 0]);
    }
}

#[test]
fn fresh_tables_are_the_same_bits_on_every_device() {
    let sizes: Vec<u32> = (0..500).map(|i| (i * 3) % 17).collect();
    let tables: Vec<Vec<f32>> = devices()
        .iter()
        .map(|device| {
            RaggedTable::new(device, &sizes, OPTIONS, &Account::unlimited()).unwrap().values().read().unwrap()
        })
        .collect();
    for table in &tables {
        assert_eq!(
            table.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            tables[0].iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
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
    for device in devices() {
        let table = RaggedTable::new(&device, &[2, 0, 3], OPTIONS, &Account::unlimited()).unwrap();
        let values = table.values().read().unwrap();
        let out = table.lookup(&[2, 1, 0], 3).unwrap().read().unwrap();
        assert_eq!(out, [values[2], values[3], values[4], 0.0, 0.0, 0.0, values[0], values[1], 0.0]);
        let error = table.lookup(&[0, 3], 1).unwrap_err();
        assert_eq!(error.to_string(), "table/lookup: `ids[1]` is row 3, but the table has 3 rows");
    }
}

#[test]
fn the_budget_cannot_be_passed() {
    for device in devices() {
        // Two tables on one account: 4 bytes a value, 4 a row and 4 a table.
        let account = Account::new(4 * 100 + 4 * (10 + 1) + 4 * (5 + 1), Counts::default());
        let mut users = trained(&device, &[6; 10], &account);
        let items = trained(&device, &[8; 5], &account);
        assert_eq!(account.used_bytes(), account.capacity_bytes());
        let before = contents(&users);
        let mut larger = vec![6; 10];
        larger[3] = 7;
        let plan = users.plan(&larger).unwrap();
        let error = users.resize(&plan).unwrap_err();
        assert_eq!(error.to_string(), "over budget: the change needs 472 bytes, the budget is 468");
        assert_eq!(contents(&users), before);
        assert!(matches!(users.append_rows(&[0]), Err(Error::OverBudget { .. })));
        // Room made by one row is room for another.
        larger[0] = 5;
        let plan = users.plan(&larger).unwrap();
        users.resize(&plan).unwrap();
        assert!(matches!(account.set_capacity(467), Err(Error::OverBudget { .. })));
        drop(items);
        assert_eq!(account.used_bytes(), users.used_bytes());
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
    for device in devices() {
        let mut table = trained(&device, &[3, 4], &Account::unlimited());
        let plan = table.plan(&[3, 4, 10]).unwrap();
        let before = table.memory().total_bytes();
        table.resize(&plan).unwrap();
        let memory = table.memory();
        assert_eq!(memory.values_bytes, 4 * 17);
        assert_eq!(memory.optimizer_bytes, 4 * 17);
        assert_eq!(memory.metadata_bytes, 4 * 4);
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
    let mut of_devices = Vec::new();
    for device in devices() {
        for optimizer in OPTIMIZERS {
            let mut table = trained_by(optimizer, &device, &sizes, &Account::unlimited());
            let before = contents(&table);
            let options = TableOptions { rule: optimizer.into(), ..OPTIONS };
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
            assert_eq!((table.steps(), table.memory().values_bytes), (1, 4 * table.len()));
            of_devices.push(after[0].iter().skip(1).step_by(3).cloned().collect::<Vec<_>>());
            table.reset_rows(&[]).unwrap();
            assert_eq!(contents(&table), after);
            let error = table.reset_rows(&[0, 700]).unwrap_err();
            assert_eq!(error.to_string(), "table/reset: `ids[1]` is row 700, but the table has 700 rows");
            assert_eq!(contents(&table), after);
        }
    }
    assert!(of_devices.iter().all(|row| row == &of_devices[0]), "the same bits on every device");
}

#[test]
fn rows_are_looked_up_packed_and_pooled() {
    for device in devices() {
        let table = RaggedTable::new(&device, &[3, 0, 2, 5], OPTIONS, &Account::unlimited()).unwrap();
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
