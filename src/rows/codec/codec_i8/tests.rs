use super::*;
use crate::rng::{self, Purpose};

fn value_of(code: i32, exponent: i32) -> f32 {
    code as f32 * ((exponent - 12) as f32).exp2()
}

fn read(row: &[Code], len: usize) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Code::to_f32(row, &mut values);
    values
}

/// A row of words that end in poison, with these values.
fn stored(values: &[f32]) -> Vec<Code> {
    let mut row = vec![Code(0); values.len().next_multiple_of(4)];
    Code::store(values, &mut row);
    row
}

#[test]
fn a_word_is_four_codes_and_an_exponent() {
    // By the definition, from the bits.
    let bits = 5 | (0x7F & -3i32 as u32) << 7 | 63 << 14 | (0x7F & -63i32 as u32) << 21 | 11 << 28;
    assert_eq!(decoded(bits), [5, -3, 63, -63].map(|code| value_of(code, 11)));
    assert!(decoded(15 << 28).iter().all(|value| value.is_nan()));
    assert_eq!(bits.to_le_bytes().map(Code), codes(bits));
}

#[test]
fn all_that_can_be_stored_is_stored_as_it_is() {
    for exponent in 0..15 {
        for code in -63..=63 {
            // The largest first, so that the exponent is needed.
            for largest in [63, -63, 32, -40] {
                let values = [largest, code, -code, code / 2].map(|code| value_of(code, exponent));
                for noise in [[0; 4], NEAREST, [0xFFFF; 4]] {
                    assert_eq!(decoded(encoded(values, noise)), values, "{largest} {code} {exponent} {noise:?}");
                }
            }
        }
    }
}

#[test]
fn the_exponent_is_the_least_that_holds_the_largest() {
    for exponent in 1..15 {
        let most = value_of(63, exponent - 1);
        assert_eq!(encoded([0.0, most, 0.0, 0.0], NEAREST) >> 28, exponent as u32 - 1);
        assert_eq!(encoded([0.0, most.next_up(), 0.0, 0.0], NEAREST) >> 28, exponent as u32);
        assert_eq!(encoded([0.0, -most.next_up(), 0.0, 0.0], NEAREST) >> 28, exponent as u32);
    }
    for beyond in [252.0, 253.0, 1e30, f32::INFINITY, f32::MAX] {
        assert_eq!(decoded(encoded([beyond, -beyond, 0.0, 1.0], NEAREST)), [252.0, -252.0, 0.0, 0.0]);
    }
    assert_eq!(encoded([0.0, -0.0, 0.0, 0.0], [0xFFFF; 4]), 0);
    // Far below the least, all is 0 to the nearest.
    assert_eq!(encoded([1e-9, -1e-9, f32::MIN_POSITIVE, 1e-40], NEAREST), 0);
    assert_eq!(encoded([1.0, f32::NAN, f32::INFINITY, 0.0], NEAREST), 15 << 28);
}

#[test]
fn noise_is_right_on_average_and_takes_neighbours() {
    for values in [[0.4f32, -0.37, 0.01, 0.0], [1.97, 1e-4, -0.5, 0.003], [100.0, 3.3, -7.7, 0.1]] {
        let spacing = crate::testing::i8_spacing(values.iter().map(|&value| value.into()));
        let mut sums = [0.0f64; 4];
        for noise in 0..1u32 << 16 {
            for (k, (sum, got)) in sums.iter_mut().zip(decoded(encoded(values, [noise; 4]))).enumerate() {
                let (got, want) = (f64::from(got), f64::from(values[k]));
                assert!((got - want).abs() < spacing, "{want}: {got}");
                *sum += got;
            }
        }
        for (sum, want) in sums.iter().zip(values) {
            let mean = sum / 65_536.0;
            assert!((mean - f64::from(want)).abs() <= spacing / 60_000.0, "{want}: {mean} on average");
        }
    }
}

#[test]
fn rows_of_any_width_are_read_stored_and_rounded() {
    let values: Vec<f32> = (0..23).map(|j| ((j * 7) % 23) as f32 / 8.0 - 1.4).collect();
    for len in 0..values.len() {
        let row = stored(&values[..len]);
        for (four, (got, want)) in read(&row, len).chunks(4).zip(values[..len].chunks(4)).enumerate() {
            let mut own = [0.0; 4];
            own[..want.len()].copy_from_slice(want);
            assert_eq!(got, &decoded(encoded(own, NEAREST))[..want.len()], "{len}: {four}");
        }
        assert!(Code::is_own(&row, len));
        // Past the last value there are zeros.
        assert!(read(&row, row.len())[len..].iter().all(|&value| value == 0.0));
        // The first of them alone, the others as they are: all are within the spacing that there is.
        for first in 0..len {
            let mut changed = row.clone();
            Code::store(&vec![0.25; first], &mut changed);
            let (got, before) = (read(&changed, len), read(&row, len));
            assert!(got[..first].iter().all(|&value| value == 0.25), "{got:?}");
            assert_eq!(got[first..], before[first..], "0.25 is a multiple of every spacing here");
        }
        let noise = Noise::of_step([1, 2], 3, 4);
        let mut rounded = row.clone();
        Code::round(&values[..len], &mut rounded, noise);
        for (four, (got, want)) in read(&rounded, len).chunks(4).zip(values[..len].chunks(4)).enumerate() {
            let words = rng::philox([3, four as u32, 4, Purpose::Rounding as u32], [1, 2]).map(|word| word >> 16);
            let mut own = [0.0; 4];
            own[..want.len()].copy_from_slice(want);
            assert_eq!(got, &decoded(encoded(own, words))[..want.len()], "{len}: {four}");
        }
    }
}

#[test]
fn what_is_cut_is_0_and_what_begins_leaves_the_others() {
    let values: Vec<f32> = (0..11).map(|j| 0.3 - 0.05 * j as f32).collect();
    let before = stored(&values);
    for len in 0..11 {
        let mut row = before.clone();
        Code::cut(&mut row, len);
        let whole = len.next_multiple_of(4);
        assert_eq!(read(&row, len), read(&before, len));
        assert!(read(&row, whole)[len..].iter().all(|&value| value == 0.0));
        assert_eq!(row[whole..], before[whole..]);

        // Large and small values begin after them.
        for size in [9.0f32, 1e-3] {
            let mut row = row.clone();
            Code::begin(&vec![size; 11 - len], &mut row, len, Noise::of_beginning([5, 6], 7));
            assert_eq!(read(&row, len), read(&before, len), "{len} {size}");
            let straddling = len.next_multiple_of(4).min(11);
            for (j, got) in read(&row, 11).into_iter().enumerate().skip(straddling) {
                assert!((got - size).abs() <= (size / 31.0).max(1.0 / 4096.0), "{j}: {got}");
            }
            // In a word with others, as far as that goes.
            for got in &read(&row, 11)[len..straddling] {
                assert!(*got >= 0.0 && *got <= size * 1.02 + 1.0 / 128.0, "{got}");
            }
        }
    }
}

#[test]
fn codes_that_are_never_stored_are_told_apart() {
    let mut row = stored(&[0.5, -0.5, 0.1, 0.2, 0.3, 0.4]);
    assert!(Code::is_own(&row, 6));
    // A value more than there are.
    assert!(!Code::is_own(&row, 5));
    row[0] = Code(0x40);
    assert!(!Code::is_own(&row, 6), "-64");
}
