//! Laws of segments, replay samples and items by user.

use std::collections::{BTreeSet, HashMap};

use proptest::collection::vec;
use proptest::prelude::*;
use scall_gpu::rng::{Philox, Purpose};
use scall_gpu::stream::{Cut, Interactions, Segment, UserItems, cut, replay};

fn stream() -> impl Strategy<Value = Interactions> {
    vec((0..30u8, 0..30u8, 0..20i64), 1..200).prop_map(|rows| {
        Interactions::from_rows(rows.iter().map(|(u, i, t)| (u.to_string(), i.to_string(), *t))).unwrap()
    })
}

fn assert_partition(data: &Interactions, segments: &[Segment]) {
    let mut end = 0;
    for segment in segments {
        assert_eq!(segment.rows.start, end);
        assert!(!segment.rows.is_empty());
        end = segment.rows.end;
    }
    assert_eq!(end, data.len());
}

/// Users and items in the first rows, counted the slow way.
fn entities(data: &Interactions, rows: usize) -> usize {
    let users: BTreeSet<_> = data.users()[..rows].iter().collect();
    let items: BTreeSet<_> = data.items()[..rows].iter().collect();
    assert_eq!(data.users_seen(rows) as usize, users.len());
    assert_eq!(data.items_seen(rows) as usize, items.len());
    users.len() + items.len()
}

proptest! {
    /// Against the definition: sort, then number by first appearance.
    #[test]
    fn interactions(rows in vec((0..9u8, 0..9u8, 0..8i64), 0..60)) {
        let data = Interactions::from_rows(rows.iter().map(|(u, i, t)| (u.to_string(), i.to_string(), *t))).unwrap();
        let mut sorted = rows;
        sorted.sort_by_key(|row| row.2);
        let (mut users, mut items) = (HashMap::new(), HashMap::new());
        for (row, (user, item, timestamp)) in sorted.into_iter().enumerate() {
            let next = users.len() as u32;
            prop_assert_eq!(data.users()[row], *users.entry(user).or_insert(next));
            let next = items.len() as u32;
            prop_assert_eq!(data.items()[row], *items.entry(item).or_insert(next));
            prop_assert_eq!(data.timestamps()[row], timestamp);
            let user = user.to_string();
            prop_assert_eq!(data.user_names().get(data.users()[row]), Some(user.as_str()));
            let item = item.to_string();
            prop_assert_eq!(data.item_names().get(data.items()[row]), Some(item.as_str()));
        }
        prop_assert_eq!(data.user_names().len(), data.user_count() as usize);
        prop_assert_eq!(data.item_names().len(), data.item_count() as usize);
    }

    #[test]
    fn equal_segments(data in stream(), segments in 1..300usize) {
        let parts = cut(&data, Cut::Equal { segments });
        if segments > data.len() {
            prop_assert!(parts.is_err());
            return Ok(());
        }
        let parts = parts.unwrap();
        prop_assert_eq!(parts.len(), segments);
        assert_partition(&data, &parts);
        let lengths: Vec<_> = parts.iter().map(|part| part.rows.len()).collect();
        prop_assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1);
    }

    #[test]
    fn segments_by_new_entities(data in stream(), limit in 1..70u32) {
        let parts = cut(&data, Cut::NewEntities { entities: limit }).unwrap();
        assert_partition(&data, &parts);
        for (i, part) in parts.iter().enumerate() {
            let new = |end| (entities(&data, end) - entities(&data, part.rows.start)) as u32;
            prop_assert!(new(part.rows.end - 1) <= limit, "cut too late");
            prop_assert!(i + 1 == parts.len() || new(part.rows.end) > limit, "cut too soon");
        }
    }

    #[test]
    fn splits_partition(start in 0..1000usize, rows in 0..1000usize, share in 0.0..=1.0f64) {
        let (first, rest) = Segment { rows: start..start + rows }.split(share).unwrap();
        prop_assert_eq!((first.rows.start, rest.rows.end), (start, start + rows));
        prop_assert_eq!(first.rows.end, rest.rows.start);
        prop_assert!((first.rows.len() as f64 - share * rows as f64).abs() <= 0.5 + 1e-9);
    }

    #[test]
    fn replay_samples(rows in 0..2000usize, capacity in 0..2500usize, seed: u64) {
        let sample = replay(..rows, capacity, &mut Philox::new(seed, Purpose::Replay));
        prop_assert_eq!(sample.len(), capacity.min(rows));
        prop_assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(sample.last().is_none_or(|&last| last < rows));
    }

    /// Against a set of pairs, built in one go and in three.
    #[test]
    fn user_items(pairs in vec((0..20u32, 0..20u32), 0..200), cuts in (0..200usize, 0..200usize)) {
        let expected: BTreeSet<_> = pairs.iter().copied().collect();
        let whole = UserItems::new(25, pairs.iter().copied()).unwrap();
        let (a, b) = (cuts.0.min(cuts.1).min(pairs.len()), cuts.0.max(cuts.1).min(pairs.len()));
        let mut grown = UserItems::new(20, pairs[..a].iter().copied()).unwrap();
        grown.extend(20, pairs[a..b].iter().copied()).unwrap();
        grown.extend(25, pairs[b..].iter().copied()).unwrap();
        prop_assert_eq!(&grown, &whole);

        prop_assert!(whole.pairs().eq(expected.iter().copied()));
        prop_assert_eq!(whole.offsets().len(), 26);
        for user in 0..27 {
            prop_assert!(whole.row(user).is_sorted_by(|a, b| a < b));
            for item in 0..21 {
                prop_assert_eq!(whole.contains(user, item), expected.contains(&(user, item)));
            }
        }
    }
}
