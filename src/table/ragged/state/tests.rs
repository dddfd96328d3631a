//! Tables that are kept and restored.

use super::*;
use crate::Error;
use crate::kernels::table::optimizer::{Optimizer, UpdateRule};
use crate::rows::Layout;
use crate::table::{Account, Counts, TableOptions};
use crate::testing::{assert_same, devices, layouts, signed, upload};

const ADAM: Optimizer = Optimizer::RowWiseAdam { learning_rate: 0.05, beta1: 0.8, beta2: 0.9, epsilon: 1e-6 };

fn table(device: &Device, (rule, layout): (UpdateRule, Layout), sizes: &[u32], account: &Account) -> RaggedTable {
    let options = TableOptions { rule, layout, seed: 77, ..TableOptions::default() };
    RaggedTable::new(device, sizes, options, account).unwrap()
}

fn step(table: &mut RaggedTable) {
    let ids: Vec<u32> = (0..table.rows()).collect();
    let gradients = upload(table.device(), &signed(ids.len() * 4, table.steps()));
    table.apply_gradients(&ids, &gradients, 4).unwrap();
}

#[test]
fn a_restored_table_goes_on_bit_for_bit() {
    let sgd = Optimizer::Sgd { learning_rate: 0.1 };
    for device in devices() {
        for (optimizer, layout) in [sgd, ADAM].into_iter().flat_map(|of| layouts(16).map(|layout| (of, layout))) {
            let of = (optimizer.into(), layout);
            let account = Account::new(u64::MAX, Counts { optimizer: true, metadata: true });
            for sizes in [&[][..], &[0, 0], &[3, 0, 4, 1], &[9, 16, 0, 3, 12, 7]] {
                let mut kept = table(&device, of, sizes, &account);
                step(&mut kept);
                kept.set_learning_rate(0.025).unwrap();
                // Another one, of other sizes and with a life of its own.
                let mut restored = table(&device, of, &[5, 1, 2], &account);
                step(&mut restored);
                restored.restore_state(&kept.state().unwrap()).unwrap();
                assert_eq!(account.used_bytes(), kept.used_bytes() + restored.used_bytes());
                for _ in 0..2 {
                    assert_eq!(restored.state().unwrap(), kept.state().unwrap());
                    assert_same("values", &restored.read().unwrap(), &kept.read().unwrap());
                    step(&mut kept);
                    step(&mut restored);
                }
                kept.append_rows(&[2]).unwrap();
                restored.append_rows(&[2]).unwrap();
                assert_eq!(restored.state().unwrap(), kept.state().unwrap());
            }
            assert_eq!(account.used_bytes(), 0);
        }
    }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let device = Device::cpu();
    let of = (ADAM.into(), Layout::default());
    let large = table(&device, of, &[40; 9], &Account::unlimited()).state().unwrap();
    let account = Account::new(400, Counts::default());
    let mut own = table(&device, of, &[3, 4], &account);
    step(&mut own);
    let before = own.state().unwrap();
    let mut edits: Vec<(&str, Numbers, &str)> = vec![
        ("steps", [1u64].into(), "numbers (u32), found 1 numbers (u64)"),
        ("values", vec![0.0f32; 6].into(), "7 numbers (f32), found 6 numbers (f32)"),
        ("values", vec![0u16; 7].into(), "numbers (f32), found 7 numbers (u16)"),
        ("state.0", vec![0.0f32; 8].into(), "7 numbers (f32), found 8"),
        ("state.1", vec![0.0f32; 3].into(), "2 numbers (f32), found 3"),
        ("state.2", vec![0.0f32; 2].into(), "nothing of this name"),
        ("learning_rate", [f32::NAN].into(), "a rate of this optimizer"),
    ];
    edits.push(("sizes", vec![65_536u32].into(), ""));
    for (name, numbers, said) in edits {
        let mut state = before.clone();
        state.put(name, numbers);
        let error = own.restore_state(&state).unwrap_err().to_string();
        assert!(error.contains(said), "{name}: {error}");
        assert_eq!(own.state().unwrap(), before, "{name}");
    }
    assert!(matches!(own.restore_state(&large), Err(Error::OverBudget { budget: 400, .. })));
    assert_eq!((own.state().unwrap(), account.used_bytes()), (before.clone(), own.used_bytes()));
    // In the place of what it held, a table needs no room beyond its own.
    let full = Account::new(own.used_bytes(), Counts::default());
    let mut same = table(&device, of, &[3, 4], &full);
    same.restore_state(&before).unwrap();
    assert_eq!(same.state().unwrap(), before);
    assert_eq!(full.used_bytes(), full.capacity_bytes());
}
