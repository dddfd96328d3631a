//! What lies behind a row, NaN and infinities too, takes no part in its step and stays as it is.

use super::*;
use crate::kernels::table::optimizer::UpdateRule;
use crate::kernels::table::update_all::UpdateAll;

const SIZES: [u32; 12] = [0, 1, 15, 16, 17, 31, 2, 33, 0, 5, 9, 7];
const DIMS: u32 = 20;

/// The rows of a batch, neighbours and others, and the last of the page, once as its only occurrence and once not.
const TOUCHED: [u32; 9] = [1, 3, 4, 4, 7, 9, 10, 11, 1];

/// Values and state of a table whose rows `of` have been stepped, where everything behind their stepped dims is
/// `behind`.
fn stepped(rule: UpdateRule, of: &[u32], behind: f32, all: bool) -> Vec<Vec<f32>> {
    let device = Device::cpu();
    let begins = offsets_of(&SIZES);
    let filled = |mut numbers: Vec<f32>| {
        for (row, &size) in (0u32..).zip(&SIZES) {
            let kept = if of.contains(&row) { size.min(DIMS) } else { 0 };
            let row = begins[row as usize] as usize..begins[row as usize + 1] as usize;
            numbers[row][kept as usize..].fill(behind);
        }
        numbers
    };
    let size = rule.optimizer.state_size();
    let len = *begins.last().unwrap() as usize;
    let mut rows = Rows::zeroed(&device, &SIZES, Layout::default(), size).unwrap();
    rows.write(&filled(signed(len, 1))).unwrap();
    for number in 0..size.per_value as usize {
        let state = filled(signed(len, 2 + number as u32).into_iter().map(f32::abs).collect());
        rows.write_state(number, &state).unwrap();
    }
    let ids: Vec<u32> = if all { (0..SIZES.len() as u32).collect() } else { TOUCHED.to_vec() };
    let mut gradients = signed(ids.len() * DIMS as usize, 5);
    for (gradient, &id) in gradients.chunks_exact_mut(DIMS as usize).zip(&ids) {
        gradient[SIZES[id as usize].min(DIMS) as usize..].fill(behind);
    }
    let gradients = upload(&device, &gradients);
    let mut counter = upload(&device, &[0u32]);
    if all {
        let (rows, gradients, counter) = (&mut rows, &gradients, Some(&mut counter));
        UpdateAll { rows, gradients, dims: DIMS, rule, step: 2, seed: 0, counter }.run(&device).unwrap();
    } else {
        let mut workspace = Buffer::zeroed(&device, Update::workspace_len(ids.len() as u32, DIMS)).unwrap();
        Update {
            rows: &mut rows,
            ids: &upload(&device, &ids),
            first: 0,
            count: ids.len() as u32,
            gradients: Gradients::Each(&gradients),
            dims: DIMS,
            rule,
            step: 2,
            seed: 0,
            workspace: &mut workspace,
            counter: Some(&mut counter),
        }
        .run(&device)
        .unwrap();
    }
    assert_eq!(counter.read().unwrap(), [0], "{rule:?}, {behind} behind");
    let state = rows.pages()[0].state().iter().map(|state| state.read().unwrap());
    std::iter::once(rows.read().unwrap()).chain(state).collect()
}

#[test]
fn what_is_behind_a_row_takes_no_part_and_stays() {
    let begins = offsets_of(&SIZES);
    let all: Vec<u32> = (0..SIZES.len() as u32).collect();
    for &optimizer in crate::kernels::table::optimizer::oracle::ALL {
        let plain = UpdateRule::new(optimizer);
        for (rule, every) in [(plain, false), (plain, true), (UpdateRule { max_norm: 3.0, ..plain }, false)] {
            let of = if every { &all } else { &TOUCHED[..] };
            let want = stepped(rule, of, 0.5, every);
            for behind in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let got = stepped(rule, of, behind, every);
                for (got, want) in got.iter().zip(&want).filter(|(got, _)| got.len() == begins[SIZES.len()] as usize) {
                    for (row, &size) in (0u32..).zip(&SIZES) {
                        let kept = if of.contains(&row) { size.min(DIMS) as usize } else { 0 };
                        let own = begins[row as usize] as usize..begins[row as usize + 1] as usize;
                        let what = format!("{rule:?}, all {every}, row {row}, {behind} behind");
                        assert_same(&what, &got[own.clone()][..kept], &want[own.clone()][..kept]);
                        assert_same(&what, &got[own.clone()][kept..], &vec![behind; size as usize - kept]);
                    }
                }
            }
        }
    }
}
