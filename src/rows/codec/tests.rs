use half::bf16;

use super::*;

/// The largest distance between two neighbours around a value.
struct Spacing {
    /// As a part of the value's size.
    relative: f64,
    least: f64,
    largest: f32,
}

const OF_F16: Spacing = Spacing { relative: 1.0 / 1024.0, least: 5.960_464_477_539_063e-8, largest: 65_504.0 };
const OF_BF16: Spacing = Spacing { relative: 1.0 / 128.0, least: 9.183_549_615_799_121e-41, largest: 3.389_531_4e38 };

const VALUES: [f32; 15] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    3.3e-5,
    -7.7e-8,
    1e-9,
    65_503.0,
    1e30,
    -3.4e38,
    3e-40,
    f32::INFINITY,
    f32::NEG_INFINITY,
    6.103_515_6e-5,
];

fn dithered_are_neighbours<V: Codec + Scalar>(Spacing { relative, least, largest }: Spacing) {
    // Of what is far below the least, noise of 16 bits makes nothing.
    let seen = |value: &f32| *value == 0.0 || f64::from(value.abs()) > least / 1000.0;
    for value in VALUES.into_iter().filter(seen) {
        let all: Vec<f32> = (0..1u32 << 16).map(|noise| V::dithered(value, noise).decode()).collect();
        let (low, high) = all.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        let most = value.clamp(-largest, largest);
        assert!(low <= most && most <= high, "{} {value}: {low}..{high}", V::NAME);
        let gap = (f64::from(most).abs() * relative).max(least);
        assert!(f64::from(high) - f64::from(low) <= gap, "{} {value}: {low}..{high}", V::NAME);
        let mean = all.iter().map(|&v| f64::from(v)).sum::<f64>() / all.len() as f64;
        assert!((mean - f64::from(most)).abs() <= gap / 60_000.0, "{} {value}: {mean} on average", V::NAME);
        // Without noise it rounds towards zero. Even the largest noise never moves it by two steps.
        assert_eq!(V::dithered(value, 0).decode().abs(), low.abs().min(high.abs()));
        let nearest = V::nearest(value).decode();
        assert!(f64::from((nearest - most).abs()) <= gap / 2.0, "{} {value}: nearest {nearest}", V::NAME);
    }
    assert!(V::dithered(f32::NAN, 9).decode().is_nan() && V::nearest(f32::NAN).decode().is_nan());
}

#[test]
fn dithered_values_are_neighbours_and_right_on_average() {
    dithered_are_neighbours::<f16>(OF_F16);
    dithered_are_neighbours::<bf16>(OF_BF16);
}

fn stored_values_stay<V: Codec + Scalar>(of_bits: fn(u16) -> V, bits_of: fn(V) -> u16) {
    for bits in (0..=u16::MAX).filter(|&bits| of_bits(bits).decode().is_finite()) {
        let value = of_bits(bits).decode();
        for noise in [0, 1, 0x7FFF, 0xFFFF] {
            assert_eq!(bits_of(V::dithered(value, noise)), bits, "{} {value}", V::NAME);
        }
        assert_eq!(bits_of(V::nearest(value)), bits, "{} {value}", V::NAME);
    }
}

#[test]
fn values_that_are_stored_stay() {
    stored_values_stay(f16::from_bits, f16::to_bits);
    stored_values_stay(bf16::from_bits, bf16::to_bits);
}

#[test]
fn ties_go_to_the_even_value() {
    // Halfway between two neighbours, of which the lower is even, then odd.
    let bf16_at = |bits: u32| bf16::nearest(f32::from_bits(bits)).to_bits();
    assert_eq!([bf16_at(0x3F80_8000), bf16_at(0x3F81_8000), bf16_at(0x3F80_8001)], [0x3F80, 0x3F82, 0x3F81]);
    let f16_at = |value: f32| f16::nearest(value).to_bits();
    assert_eq!([f16_at(1.0 + 1.0 / 2048.0), f16_at(1.0 + 3.0 / 2048.0)], [0x3C00, 0x3C02]);
}

#[test]
fn names_are_read_back() {
    for &format in Format::ALL {
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
    }
    let text = "f64".parse::<Format>().unwrap_err().to_string();
    assert_eq!(text, "Format: `format` must be one of f32, f16, bf16, i8, got \"f64\"");
}

/// Compared with the conversions of the crate `half`.
#[test]
fn nearest_values_are_those_of_another_implementation() {
    for i in 0..1_000_000u32 {
        let value = f32::from_bits(i.wrapping_mul(0x9E37_79B1));
        if value.is_nan() {
            continue;
        }
        let want = f16::from_f32(value.clamp(-65_504.0, 65_504.0));
        assert_eq!(f16::nearest(value).to_bits(), want.to_bits(), "f16 {value}");
        let want = bf16::from_f32(value.clamp(bf16::MIN.to_f32(), bf16::MAX.to_f32()));
        assert_eq!(bf16::nearest(value).to_bits(), want.to_bits(), "bf16 {value}");
    }
}

/// One value after another, each as a row of its own would have it.
#[test]
fn values_alone_are_those_of_rows_of_one() {
    let values = [VALUES.to_vec(), vec![f32::NAN, 0.37, 200.0, 1e-3]].concat();
    for &format in Format::ALL {
        let rows_of_one: Vec<u32> =
            values.iter().flat_map(|&value| format.nearest(&[value])).map(f32::to_bits).collect();
        let alone: Vec<u32> = format.each_alone(values.clone()).into_iter().map(f32::to_bits).collect();
        assert_eq!(alone, rows_of_one, "{format:?}");
    }
}
