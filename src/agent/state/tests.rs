//! The oracles follow the formulas, group by group and pair by pair.

use super::*;

const VARIANTS: [StateVariant; 4] =
    [StateVariant::Paper, StateVariant::Gini, StateVariant::NoEmbeddings, StateVariant::Full];

/// Uneven, position-dependent, with ties and zeros.
fn frequencies(n: usize, salt: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * 7919 + salt * 31) % 1013) as u32 * ((i + salt) % 3) as u32).collect()
}

fn input<'a>(users: &'a [u32], items: &'a [u32], means: &'a [Vec<f32>; 2]) -> StateInput<'a> {
    StateInput {
        user_frequencies: users,
        item_frequencies: items,
        last_reward: 0.75,
        user_mean: &means[0],
        item_mean: &means[1],
        user_size_range: 0.3,
        item_size_range: 0.6,
    }
}

fn means(d_max: usize) -> [Vec<f32>; 2] {
    [1, 2].map(|salt| crate::testing::signed(d_max, salt))
}

/// Group by group as the formula reads, O(n * groups).
fn plain_groups(frequencies: &[u32], groups: usize) -> Vec<f64> {
    let mut f: Vec<f64> = frequencies.iter().map(|&f| f64::from(f)).collect();
    f.sort_by(|a, b| b.total_cmp(a));
    let (max, min) = (f.first().copied().unwrap_or(0.0), f.last().copied().unwrap_or(0.0));
    let size = f.len().div_ceil(groups).max(1);
    let group = |g: usize| -> Vec<f64> {
        (g * size..(g + 1) * size).filter_map(|i| f.get(i)).map(|f| (f - min) / (max - min).max(1.0)).collect()
    };
    (0..groups).map(group).map(|g| g.iter().sum::<f64>() / g.len().max(1) as f64).collect()
}

/// The mean absolute difference of all pairs, relative to twice the mean, O(n^2).
fn plain_gini(frequencies: &[u32]) -> f64 {
    let (n, sum) = (frequencies.len() as f64, frequencies.iter().map(|&f| f64::from(f)).sum::<f64>());
    let pairs = frequencies.iter().flat_map(|&a| frequencies.iter().map(move |&b| f64::from(a.abs_diff(b))));
    if sum > 0.0 { pairs.sum::<f64>() / (2.0 * n * sum) } else { 0.0 }
}

#[test]
fn one_length_for_every_population() {
    let means = means(256);
    for variant in VARIANTS {
        let layout = StateLayout { variant, ..StateLayout::default() };
        for (users, items) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 10), (255, 256), (257, 513), (1000, 1_000_000)] {
            let (users, items) = (frequencies(users, 1), frequencies(items, 2));
            let state = layout.pool(&input(&users, &items, &means)).unwrap();
            assert_eq!(state.len(), layout.len());
            assert!(state.iter().all(|value| value.is_finite()), "{} users, {} items", users.len(), items.len());
        }
    }
    assert_eq!(StateLayout::default().len(), 1028);
}

#[test]
fn parts_stand_in_order() {
    let means = means(5);
    for (users, items, groups) in [(0, 3, 4), (1, 2, 4), (4, 5, 4), (9, 7, 4), (1000, 97, 16), (97, 1, 1)] {
        let (users, items) = (frequencies(users, 3), frequencies(items, 4));
        let input = input(&users, &items, &means);
        let share = users.len() as f64 / (users.len() + items.len()) as f64;
        let pooled = [plain_groups(&users, groups), plain_groups(&items, groups), vec![0.75, share]].concat();
        let embeddings: Vec<f64> = means.iter().flatten().map(|&x| f64::from(x)).collect();
        let (ranges, gini) = (vec![0.3, 0.6], vec![plain_gini(&users), plain_gini(&items)]);
        for (variant, parts) in VARIANTS.into_iter().zip([
            vec![&embeddings, &ranges],
            vec![&embeddings, &gini],
            vec![&ranges],
            vec![&embeddings, &ranges, &gini],
        ]) {
            let state = StateLayout { groups, d_max: 5, variant }.pool(&input).unwrap();
            let expected: Vec<f64> = pooled.iter().chain(parts.into_iter().flatten()).copied().collect();
            assert_eq!(state.len(), expected.len());
            for (i, (got, expected)) in state.iter().zip(&expected).enumerate() {
                assert!((f64::from(*got) - expected).abs() < 1e-6, "{variant:?}[{i}]: {got}, not {expected}");
            }
        }
    }
}

#[test]
fn equal_frequencies_pool_to_zero() {
    let means = means(1);
    let layout = StateLayout { groups: 3, d_max: 1, variant: StateVariant::Full };
    for f in [0, 1, u32::MAX] {
        let state = layout.pool(&input(&[f; 7], &[f], &means)).unwrap();
        assert_eq!(state[..6], [0.0; 6]);
        assert_eq!(state[12..], [0.0; 2], "equal shares have no Gini");
    }
}

#[test]
fn order_of_entities_does_not_matter() {
    let (means, mut users) = (means(2), frequencies(1000, 5));
    let layout = StateLayout { groups: 7, d_max: 2, variant: StateVariant::Full };
    let before = layout.pool(&input(&users, &[1], &means)).unwrap();
    users.rotate_left(333);
    assert_eq!(layout.pool(&input(&users, &[1], &means)).unwrap(), before);
}

#[test]
fn a_length_past_all_numbers_is_the_largest() {
    let layout = StateLayout { groups: usize::MAX / 2, d_max: usize::MAX, variant: StateVariant::Full };
    assert_eq!(layout.len(), usize::MAX);
}

#[test]
fn bad_input_is_named() {
    let means = means(2);
    let layout = StateLayout { groups: 2, d_max: 2, ..StateLayout::default() };
    let good = input(&[1], &[1], &means);
    let bad = [
        (layout, StateInput { user_mean: &[0.0], ..good }, "`user_mean` has length 1, expected 2"),
        (layout, StateInput { item_mean: &[0.0, f32::NAN], ..good }, "`item_mean` must be finite"),
        (layout, StateInput { last_reward: f32::INFINITY, ..good }, "`last_reward` must be finite"),
        (layout, StateInput { item_size_range: f32::NAN, ..good }, "`item_size_range` must be finite"),
        (StateLayout { groups: 0, ..layout }, good, "`groups` must be from 1 to 16777216, got 0"),
        (StateLayout { groups: usize::MAX, ..layout }, good, "`groups` must be from 1 to 16777216, got 1844"),
    ];
    for (layout, input, message) in bad {
        let error = layout.pool(&input).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
