//! Gradients that are not finite.

use super::*;
use crate::kernels::table::optimizer::oracle::{FAULTS, faulty_layouts, faulty_rules};

/// A fault in the first dim of a row, one in the middle, two in the last and before it, one in a dim that the row has
/// not, and none in others.
fn faults(fault: f32) -> Vec<(usize, f32)> {
    [(0, 0), (2, 9), (4, 3), (5, 6), (5, 5), (6, 2), (7, 15), (7, 14), (7, 13), (7, 12), (8, 8)]
        .map(|(row, dim)| (row * 16 + dim, fault))
        .to_vec()
}

fn parity(device: &Device) {
    let sizes = [3, 0, 16, 1, 7, 7, 2, 16, 8, 9, 16];
    for (number, rule) in (0..).zip(faulty_rules()) {
        for fault in FAULTS {
            for layout in faulty_layouts(device, number, fault) {
                Case { faults: faults(fault), layout, ..Case::new(&sizes, 16, rule) }.check(device);
            }
        }
        // Rows of more than a lane sums at once.
        let few = device.as_gpu().is_some() && number % 3 > 0;
        for layout in [Layout::default(), HALF].into_iter().take(if few { 0 } else { 2 }) {
            let faults = vec![(300 + 289, f32::INFINITY), (2 * 300 + 5, f32::NAN), (4 * 300, f32::NEG_INFINITY)];
            Case { faults, layout, ..Case::new(&[300, 290, 5, 300, 1], 300, rule) }.check(device);
        }
    }
}

#[test]
fn what_is_not_finite_is_left_out_as_the_f64_oracle_has_it() {
    devices().iter().for_each(parity);
}

#[test]
fn mutants_are_rejected() {
    if !in_turn(SHADER.name, 3, 4) {
        return;
    }
    assert_rejects(
        SHADER.name,
        &[
            ("taken(gradients_of(index, row, dims)), false);", "gradients_of(index, row, dims), false);"),
            (
                "factor * taken(gradients_of(index, row, dims)), true);",
                "factor * gradients_of(index, row, dims), true);",
            ),
            (
                "moved(weights_of(row, dims), factor * taken(g), row_state)",
                "moved(weights_of(row, dims), factor * g, row_state)",
            ),
            ("moved(weights_of(row, dims), taken(gradients), 0.0)", "moved(weights_of(row, dims), gradients, 0.0)"),
            ("let finite = factor >= 0.0 && is_finite(row_state);", "let finite = factor >= 0.0;"),
            ("let finite = factor >= 0.0 && is_finite(row_state);", "let finite = is_finite(row_state);"),
            ("row, dims, g, after, finite);", "row, dims, taken(g), after, finite);"),
            ("if number > 0u {", "if number > 1u {"),
        ],
        parity,
    );
}

/// Squares of a row that are finite, and whose sum is not.
#[test]
fn sums_of_squares_past_the_range_leave_the_row_as_it_is() {
    for device in devices() {
        for rule in [clipped(SGD), clipped(ADAM), ROW_WISE.into()] {
            let faults = (0..16).map(|dim| (dim, 6e18)).collect();
            let case = Case { faults, ..Case::new(&[16, 16], 16, rule) };
            case.check(&device);
            let (before, after) = (case.before(), case.run(&device));
            assert_same("the row", &after.arena[..16], &before.arena[..16]);
            assert!(after.arena[16..].iter().zip(&before.arena[16..]).all(|(after, before)| after != before));
        }
    }
}

/// The counter counts exactly the dims that it should, many at once.
#[test]
fn every_dim_counts() {
    for device in devices() {
        for rule in [SGD.into(), ADAM.into(), clipped(ROW_WISE)] {
            let faults = (0..16 * 600).map(|number| (number, f32::NAN)).collect();
            Case { faults, ..Case::new(&[16; 600], 16, rule) }.check(&device);
        }
    }
}
