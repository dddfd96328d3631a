//! Policies as a whole: exact totals, bounds, who gets the larger rows.

mod common;

use common::devices;
use proptest::prelude::*;
use scall_gpu::Error;
use scall_gpu::device::Device;
use scall_gpu::rows::StateSize;
use scall_gpu::sizing::{
    Amount, Budget, Distribution, FrequencyRanked, Population, Random, Shape, SizePolicy, Sizes, SizingContext, Uniform,
};

fn frequencies(n: usize, salt: u32) -> Vec<u32> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 7) % 50).collect()
}

fn context<'a>(device: &'a Device, users: &'a [u32], items: &'a [u32], dims: u64) -> SizingContext<'a> {
    SizingContext { device, segment: 1, seed: 3, users, items, dims, d_min: 1, d_max: 64, rows: None }
}

fn total(sizes: &Sizes) -> u64 {
    sizes.users.iter().chain(&sizes.items).map(|&size| u64::from(size)).sum()
}

fn policies(distribution: Distribution, user_share: Option<f64>) -> Vec<Box<dyn SizePolicy>> {
    let alpha = Some(distribution.alpha(0.1));
    let ranked = FrequencyRanked { distribution, alpha_users: alpha, alpha_items: alpha, user_share, draws: 3 };
    vec![Box::new(Uniform), Box::new(ranked), Box::new(Random { profile: ranked })]
}

#[test]
fn more_frequent_entities_get_larger_rows() {
    let (users, items) = (frequencies(700, 1), frequencies(300, 2));
    for device in devices() {
        let ranked = FrequencyRanked::default().decide(&context(&device, &users, &items, 8000)).unwrap();
        assert_eq!(total(&ranked), 8000);
        for (sizes, frequencies) in [(&ranked.users, &users), (&ranked.items, &items)] {
            let mut order: Vec<usize> = (0..sizes.len()).collect();
            order.sort_by_key(|&i| std::cmp::Reverse(frequencies[i]));
            assert!(order.windows(2).all(|w| sizes[w[0]] >= sizes[w[1]]));
            assert!(sizes[order[0]] > 14 && sizes[order[sizes.len() - 1]] == 1);
        }
        let random = Random::default().decide(&context(&device, &users, &items, 8000)).unwrap();
        assert_eq!(total(&random), 8000);
        assert_ne!(random.users, ranked.users);
        let sorted = |mut sizes: Vec<u32>| {
            sizes.sort_unstable();
            sizes
        };
        assert_eq!(sorted(random.users), sorted(ranked.users));
    }
}

#[test]
fn uniform_rows_differ_by_one_at_most() {
    let (users, items) = (vec![0; 7], vec![0; 4]);
    let sizes = Uniform.decide(&context(&Device::cpu(), &users, &items, 60)).unwrap();
    assert_eq!(sizes.users, [6, 6, 6, 5, 5, 5, 5]);
    assert_eq!(sizes.items, [6, 6, 5, 5]);
    assert_eq!(sizes.action, None);
}

#[test]
fn a_side_passes_on_what_it_cannot_hold() {
    let (users, items) = (frequencies(10, 1), frequencies(90, 2));
    for (share, users_hold) in [(1.0, 640), (0.0, 10)] {
        let mut policy = FrequencyRanked { user_share: Some(share), ..FrequencyRanked::default() };
        let sizes = policy.decide(&context(&Device::cpu(), &users, &items, 1000)).unwrap();
        assert_eq!(total(&sizes), 1000);
        assert_eq!(sizes.users.iter().sum::<u32>(), users_hold);
    }
}

#[test]
fn a_mean_budget_grows_and_a_fixed_one_thins_out() {
    let budget = |text: &str| Budget { d_min: 0, ..Budget::new(text.parse().unwrap()) };
    for text in ["mean=6", "bytes=20kB"] {
        for n in [100, 1000, 2000] {
            let resolved = budget(text).resolve(Population { users: n, items: n / 2 }, &Shape::default()).unwrap();
            let (users, items) = (frequencies(n as usize, 1), frequencies(n as usize / 2, 2));
            let device = Device::cpu();
            let context = SizingContext { d_min: 0, ..context(&device, &users, &items, resolved.dims) };
            let sizes = FrequencyRanked::default().decide(&context).unwrap();
            assert_eq!(total(&sizes), resolved.dims);
            match budget(text).amount {
                Amount::MeanSize(mean) => assert_eq!(total(&sizes) as f64, mean * f64::from(n) * 1.5),
                _ => assert!(resolved.bytes <= 20_000),
            }
        }
    }
    // 8,000 users and 4,000 items have a directory of 24 kB: past the bytes, whatever the sizes.
    let error = budget("bytes=20kB").resolve(Population { users: 8000, items: 4000 }, &Shape::default()).unwrap_err();
    assert!(matches!(error, Error::Infeasible { unit: "bytes", .. }), "{error}");
}

#[test]
fn too_few_parameters_are_infeasible_for_every_policy() {
    let (users, items) = (frequencies(10, 1), frequencies(5, 2));
    for mut policy in policies(Distribution::PowerLaw, None) {
        let error = policy.decide(&context(&Device::cpu(), &users, &items, 14)).unwrap_err();
        let name = policy.name();
        assert!(matches!(error, Error::Infeasible { entities: 15, min: 15, budget: 14, .. }), "{name}: {error}");
    }
}

#[test]
fn a_share_outside_its_range_is_an_error() {
    let (users, items) = (frequencies(10, 1), frequencies(5, 2));
    let mut policy = FrequencyRanked { user_share: Some(f64::NAN), ..FrequencyRanked::default() };
    let error = policy.decide(&context(&Device::cpu(), &users, &items, 50)).unwrap_err();
    assert!(matches!(error, Error::Argument { arg: "user_share", .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn totals_are_exact_and_sizes_within_bounds(
        counts in (0usize..400, 0usize..400),
        d_min in 0u32..3,
        spread in 0u32..70,
        part in 0.0f64..1.2,
        share in prop::option::of(0.0f64..1.0),
        family in 0usize..5,
    ) {
        let (users, items) = (frequencies(counts.0, 1), frequencies(counts.1, 2));
        let (n, d_max) = ((counts.0 + counts.1) as u64, d_min + spread);
        let dims = n * u64::from(d_min) + (part * (n * u64::from(spread)) as f64) as u64;
        for device in devices() {
            for mut policy in policies(Distribution::ALL[family], share) {
                let context = SizingContext { d_min, d_max, ..context(&device, &users, &items, dims) };
                let sizes = policy.decide(&context).unwrap();
                prop_assert_eq!(total(&sizes), dims.min(n * u64::from(d_max)), "{}", policy.name());
                let bounds = d_min..=d_max;
                prop_assert!(sizes.users.iter().chain(&sizes.items).all(|size| bounds.contains(size)));
                prop_assert_eq!(&sizes, &policy.decide(&context).unwrap());
            }
        }
    }
}

/// Sums of numbers that callers give.
#[test]
fn numbers_past_their_width_neither_wrap_nor_panic() {
    let most = StateSize { per_value: u32::MAX, per_row: u32::MAX };
    assert_eq!(most.bytes(u64::MAX, u64::MAX), u64::MAX);
    assert_eq!(most.numbers(), 2 * u32::MAX as usize);
    assert_eq!(StateSize { per_value: 1, per_row: 2 }.bytes(10, 100), 480);
    let device = Device::cpu();
    let (users, items) = (frequencies(5, 1), frequencies(4, 2));
    for segment in [1 << 31, usize::MAX] {
        let context = SizingContext { segment, ..context(&device, &users, &items, 40) };
        assert_eq!(total(&FrequencyRanked::default().decide(&context).unwrap()), 40);
    }
}
