//! The map against a naive one that looks at every row each time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use rand::TryRng;

use super::*;
use crate::rng::{Philox, Purpose, below};

fn map(capacity: u32, half_life: f64) -> RowMap {
    RowMap::new(capacity, RowMapOptions { half_life }).unwrap()
}

/// Keys with their rows and scores, and rows without a key.
#[derive(Default)]
struct Model {
    held: BTreeMap<u64, (u32, f64)>,
    free: BTreeSet<u32>,
    rows: u32,
    clock: u64,
}

impl Model {
    /// The key that goes next, among those that may.
    fn lowest(&self, pinned: &[u64]) -> Option<u64> {
        let may = self.held.iter().filter(|(key, _)| !pinned.contains(key));
        let by_score = |a: &(u32, f64), b: &(u32, f64)| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0));
        may.min_by(|(_, a), (_, b)| by_score(a, b)).map(|(&key, _)| key)
    }

    fn assign(&mut self, keys: &[u64], capacity: u32, half_life: f64) -> Assigned {
        let mut assigned = Assigned::default();
        for &key in keys {
            let now = self.clock as f64 / (half_life * f64::from(capacity));
            self.clock += 1;
            if let Some((row, score)) = self.held.get_mut(&key) {
                *score = sighted(*score, now);
                assigned.rows.push(*row);
                continue;
            }
            let row = if let Some(row) = self.free.pop_first() {
                row
            } else if self.rows < capacity {
                self.rows += 1;
                self.rows - 1
            } else {
                let lowest = self.lowest(keys).unwrap();
                let (row, _) = self.held.remove(&lowest).unwrap();
                assigned.evicted.push(Evicted { key: lowest, row });
                row
            };
            self.held.insert(key, (row, now));
            assigned.rows.push(row);
            assigned.fresh.push(row);
        }
        assigned
    }

    fn remove(&mut self, key: u64) -> Option<u32> {
        let (row, _) = self.held.remove(&key)?;
        self.free.insert(row);
        Some(row)
    }
}

#[derive(Clone, Debug)]
enum Call {
    Assign(Vec<u64>),
    Remove(u64),
    Evict(usize),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    // Clustered keys, and keys that come again.
    let key = prop_oneof![0u64..12, (0u64..60).prop_map(|i| i << 32), Just(u64::MAX)];
    let call = prop_oneof![
        6 => vec(key.clone(), 0..14).prop_map(Call::Assign),
        2 => key.prop_map(Call::Remove),
        1 => (0usize..5).prop_map(Call::Evict),
    ];
    vec(call, 0..60)
}

fn check(map: &RowMap, model: &Model) {
    let held: BTreeMap<u32, u64> = model.held.iter().map(|(&key, &(row, _))| (row, key)).collect();
    assert_eq!(map.iter().map(|(key, row)| (row, key)).collect::<BTreeMap<_, _>>(), held);
    assert_eq!((map.len(), map.rows()), (held.len(), model.rows));
    assert!(map.rows() <= map.capacity() && map.is_empty() == held.is_empty());
    for (&key, &(row, _)) in &model.held {
        assert_eq!((map.get(key), map.key(row)), (Some(row), Some(key)));
    }
    for &row in &model.free {
        assert_eq!(map.key(row), None);
    }
    assert_eq!((map.key(map.rows()), map.key(u32::MAX), map.get(u64::MAX - 1)), (None, None, None));
}

proptest! {
    #[test]
    fn does_what_a_naive_map_does(calls in calls(), capacity in 1u32..20, half_life in 0.01f64..30.0) {
        let (mut map, mut model) = (map(capacity, half_life), Model::default());
        for call in calls {
            match call {
                Call::Assign(keys) => {
                    let distinct = keys.iter().collect::<BTreeSet<_>>().len();
                    if distinct > capacity as usize {
                        let error = map.assign(&keys).unwrap_err();
                        let Error::Limit { allowed, requested, .. } = error else { panic!("{error}") };
                        prop_assert_eq!((allowed, requested), (u64::from(capacity), distinct as u64));
                    } else {
                        let assigned = map.assign(&keys).unwrap();
                        prop_assert_eq!(&assigned, &model.assign(&keys, capacity, half_life));
                        prop_assert!(assigned.evicted.iter().all(|gone| !keys.contains(&gone.key)));
                        prop_assert!(keys.iter().zip(&assigned.rows).all(|(&key, &row)| map.key(row) == Some(key)));
                    }
                }
                Call::Remove(key) => prop_assert_eq!(map.remove(key), model.remove(key)),
                Call::Evict(count) => {
                    for Evicted { key, row } in map.evict(count) {
                        prop_assert_eq!(model.lowest(&[]), Some(key));
                        prop_assert_eq!(model.remove(key), Some(row));
                    }
                    prop_assert!(map.len() == model.held.len());
                }
            }
            check(&map, &model);
            // From its parts it is the map that it was.
            let Parts { capacity, options, clock, rows: (keys, scores) } = map.parts();
            let again = Parts { capacity, options, clock, rows: (keys.to_vec(), scores.to_vec()) };
            let again = RowMap::from_parts(again).unwrap();
            prop_assert_eq!(again.parts(), map.parts());
            map = again;
        }
    }
}

/// The definition: every sighting counts, halved for each half-life since.
#[test]
fn the_score_is_the_sum_of_what_is_left_of_each_sighting() {
    let (capacity, half_life) = (50, 0.3);
    let mut map = map(capacity, half_life);
    let mut rng = Philox::new(1, Purpose::User);
    let mut seen: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for clock in 0..2_000 {
        let key = u64::from(below(rng.try_next_u32().unwrap(), 40));
        map.assign(&[key]).unwrap();
        seen.entry(key).or_default().push(clock);
    }
    for (key, times) in seen {
        let left = times.iter().map(|&time| (-((2_000 - time) as f64) / (half_life * f64::from(capacity))).exp2());
        let (want, got) = (left.sum::<f64>(), map.frequency(key).unwrap());
        assert!((got - want).abs() <= 1e-9 * want, "{key}: {got}, expected {want}");
    }
    assert_eq!(map.frequency(99), None);
}

/// A million keys that come once each, and memory stays what it is; keys that come again and again stay too.
#[test]
fn a_flood_of_strangers_moves_neither_memory_nor_regulars() {
    let capacity = 1_000;
    let mut ids = map(capacity, 10.0);
    let regulars: Vec<u64> = (0..300).map(|i| i << 40).collect();
    for _ in 0..10 {
        ids.assign(&regulars).unwrap();
    }
    let rows: Vec<u32> = regulars.iter().map(|&key| ids.get(key).unwrap()).collect();
    let mut most = 0;
    for batch in 0..2_000u64 {
        let strangers: Vec<u64> = (0..500).map(|i| 1 + batch * 500 + i).collect();
        let assigned = ids.assign(&strangers).unwrap();
        assert!(assigned.evicted.len() <= 500 && ids.len() <= capacity as usize);
        // Each regular comes once in five turnovers of all rows, half a half-life.
        let of_batch = batch as usize % 10 * 30;
        ids.assign(&regulars[of_batch..of_batch + 30]).unwrap();
        most = most.max(ids.bytes());
    }
    assert_eq!(regulars.iter().map(|&key| ids.get(key).unwrap()).collect::<Vec<_>>(), rows);
    assert!(most <= 55 * u64::from(capacity) + 1_000, "{most} bytes");
    // By recency alone, the same flood takes their place.
    let mut recent = map(capacity, 1e-9);
    for _ in 0..10 {
        recent.assign(&regulars).unwrap();
    }
    for batch in 0..2 {
        recent.assign(&(0..500).map(|i| 1 + batch * 500 + i).collect::<Vec<_>>()).unwrap();
    }
    assert!(regulars.iter().all(|&key| recent.get(key).is_none()));
}

/// Rows freed and taken a million times, at the load at which a hash table with gravestones grows.
#[test]
fn churn_does_not_grow_the_map() {
    let capacity = 1_790; // 7/8 of 2,048 slots, nearly
    let mut ids = map(capacity, 1.0);
    let mut most = 0;
    for i in 0..1_000_000u64 {
        if i % 3 == 0 {
            ids.remove(i.saturating_sub(500));
        }
        ids.assign(&[i]).unwrap();
        most = most.max(ids.bytes());
    }
    assert!(most <= 55 * u64::from(capacity), "{most} bytes");
}

#[test]
fn the_same_calls_give_the_same_rows() {
    let run = || {
        let mut ids = map(100, 2.0);
        let mut rng = Philox::new(5, Purpose::User);
        let mut all = Vec::new();
        for _ in 0..300 {
            let keys: Vec<u64> = (0..50).map(|_| u64::from(below(rng.try_next_u32().unwrap(), 400)) << 20).collect();
            all.push(ids.assign(&keys).unwrap());
        }
        all
    };
    assert_eq!(run(), run());
}

#[test]
fn a_batch_that_cannot_fit_changes_nothing() {
    let mut ids = map(2, 1.0);
    ids.assign(&[1, 2]).unwrap();
    let text = ids.assign(&[3, 4, 3, 5]).unwrap_err().to_string();
    assert_eq!(text, "RowMap::assign: `keys` needs 3, the limit `distinct keys of a batch` is 2");
    assert_eq!(ids.iter().collect::<Vec<_>>(), [(1, 0), (2, 1)]);
    assert_eq!(ids.assign(&[2, 2, 2, 1]).unwrap().rows, [1, 1, 1, 0]);
    for (capacity, half_life) in [(0, 1.0), (u32::MAX, 1.0), (1, 0.0), (1, f64::NAN), (1, f64::INFINITY)] {
        assert!(matches!(RowMap::new(capacity, RowMapOptions { half_life }), Err(Error::Argument { .. })));
    }
}

/// Every bit of a key moves about half the bits of its hash, those that choose the slot and those that tag it alike.
#[test]
fn clustered_keys_spread() {
    for shift in 0..52 {
        let mut slots = vec![0u32; 1 << 10];
        let mut tags = vec![0u32; 1 << 7];
        for i in 0..1u64 << 12 {
            slots[hash(i << shift) as usize & 1023] += 1;
            tags[(hash(i << shift) >> 57) as usize] += 1;
        }
        assert!(slots.iter().all(|&n| n < 20) && tags.iter().all(|&n| n < 64), "keys of {shift} zero bits");
    }
}
