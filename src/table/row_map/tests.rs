//! The map against a naive one that looks at every row each time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use rand::TryRng;

use super::assignment::sighted;
use super::*;
use crate::Error;
use crate::rng::{Philox, Purpose, below};

fn map(capacity: u32, half_life: f64) -> RowMap {
    RowMap::new(capacity, RowMapOptions { half_life }).unwrap()
}

/// Keys with their rows and scores, and rows without a key.
#[derive(Default)]
struct Model {
    held: BTreeMap<u64, (u32, f64)>,
    free: BTreeSet<u32>,
    /// Rows without a key that are held.
    waiting: BTreeSet<u32>,
    rows: u32,
    clock: u64,
    capacity: u32,
    half_life: f64,
}

impl Model {
    fn now(&self) -> f64 {
        self.clock as f64 / (self.half_life * f64::from(self.capacity))
    }

    /// The key that goes next, among those that may.
    fn lowest(&self, pinned: &[u64], holds: &[HeldRows]) -> Option<u64> {
        let may = self.held.iter().filter(|(key, (row, _))| !pinned.contains(key) && !is_held(*row, holds));
        let by_score = |a: &(u32, f64), b: &(u32, f64)| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0));
        may.min_by(|(_, a), (_, b)| by_score(a, b)).map(|(&key, _)| key)
    }

    /// Rows that a batch of these keys may have, their own included.
    fn room(&self, keys: &[u64], holds: &[HeldRows]) -> usize {
        let others = self.held.iter().filter(|(key, (row, _))| !keys.contains(key) && is_held(*row, holds));
        self.capacity as usize - others.count() - self.waiting.len()
    }

    fn assign(&mut self, keys: &[u64], holds: &[HeldRows]) -> Assigned {
        let mut assigned = Assigned::default();
        for &key in keys {
            let now = self.now();
            self.clock = self.clock.saturating_add(1);
            if let Some((row, score)) = self.held.get_mut(&key) {
                *score = sighted(*score, now);
                assigned.rows.push(*row);
                continue;
            }
            let room = self.held.len() + self.waiting.len() < self.capacity as usize;
            let row = if room && let Some(row) = self.free.pop_first() {
                row
            } else if room {
                self.rows += 1;
                self.rows - 1
            } else {
                let lowest = self.lowest(keys, holds).unwrap();
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

    fn remove(&mut self, key: u64, holds: &[HeldRows]) -> Option<u32> {
        let (row, _) = self.held.remove(&key)?;
        if is_held(row, holds) { &mut self.waiting } else { &mut self.free }.insert(row);
        Some(row)
    }

    fn evict(&mut self, evicted: &[Evicted], holds: &[HeldRows]) {
        for &Evicted { key, row } in evicted {
            assert_eq!(self.lowest(&[], holds), Some(key));
            assert_eq!(self.remove(key, holds), Some(row));
        }
    }

    /// Frequencies stay what they are.
    fn set_capacity(&mut self, capacity: u32) {
        let before = self.now();
        self.capacity = capacity;
        let now = self.now();
        if before != now {
            self.held.values_mut().for_each(|(_, score)| *score = now + (*score - before).min(64.0));
        }
    }

    /// Rows that wait for nothing any more are free.
    fn released(&mut self, holds: &[HeldRows]) {
        let free: Vec<u32> = self.waiting.iter().copied().filter(|&row| !is_held(row, holds)).collect();
        self.waiting.retain(|row| !free.contains(row));
        self.free.extend(free);
    }
}

fn is_held(row: u32, holds: &[HeldRows]) -> bool {
    holds.iter().any(|held| held.rows().contains(&row))
}

#[derive(Clone, Debug)]
enum Call {
    Assign(Vec<u64>),
    AssignAndHold(Vec<u64>),
    Release(usize),
    Remove(u64),
    Evict(usize),
    SetCapacity(u32),
    SaveAndLoad,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    // Clustered keys, and keys that come again.
    let key = prop_oneof![0u64..12, (0u64..60).prop_map(|i| i << 32), Just(u64::MAX)];
    let call = prop_oneof![
        6 => vec(key.clone(), 0..14).prop_map(Call::Assign),
        3 => vec(key.clone(), 0..5).prop_map(Call::AssignAndHold),
        3 => (0usize..4).prop_map(Call::Release),
        2 => key.prop_map(Call::Remove),
        1 => (0usize..5).prop_map(Call::Evict),
        1 => (0u32..20).prop_map(Call::SetCapacity),
        1 => Just(Call::SaveAndLoad),
    ];
    vec(call, 0..60)
}

fn check(map: &RowMap, model: &Model) {
    let held: BTreeMap<u32, u64> = model.held.iter().map(|(&key, &(row, _))| (row, key)).collect();
    assert_eq!(map.iter().map(|(key, row)| (row, key)).collect::<BTreeMap<_, _>>(), held);
    assert_eq!((map.len(), map.rows(), map.capacity()), (held.len(), model.rows, model.capacity));
    assert!(map.len() <= map.capacity() as usize && map.is_empty() == held.is_empty());
    for (&key, &(row, score)) in &model.held {
        assert_eq!((map.get(key), map.key(row)), (Some(row), Some(key)));
        assert_eq!(map.frequency(key), Some(libm::exp2(score - model.now())));
    }
    for &row in model.free.iter().chain(&model.waiting) {
        assert_eq!(map.key(row), None);
    }
    assert_eq!((map.key(map.rows()), map.key(u32::MAX), map.get(u64::MAX - 1)), (None, None, None));
}

/// From its parts it is the map that it was, but for what is held.
fn loaded(map: &RowMap) -> RowMap {
    let Parts { capacity, options, clock, rows: (keys, scores) } = map.parts();
    let again = Parts { capacity, options, clock, rows: (keys.to_vec(), scores.to_vec()) };
    let again = RowMap::from_parts(again).unwrap();
    assert_eq!(again.parts(), map.parts());
    again
}

proptest! {
    #[test]
    fn does_what_a_naive_map_does(
        calls in calls(),
        capacity in 1u32..20,
        half_life in 0.01f64..30.0,
        clock in prop_oneof![4 => Just(0), 1 => Just(u64::MAX - 9)],
    ) {
        let mut map = map(capacity, half_life);
        map.clock = clock;
        let mut model = Model { capacity, half_life, clock, ..Model::default() };
        let mut holds: Vec<HeldRows> = Vec::new();
        for call in calls {
            match call {
                Call::Assign(ref keys) | Call::AssignAndHold(ref keys) => {
                    let distinct = keys.iter().collect::<BTreeSet<_>>().len();
                    let room = model.room(keys, &holds);
                    if distinct > room {
                        let error = map.assign(keys).unwrap_err();
                        let Error::Limit { allowed, requested, .. } = error else { panic!("{error}") };
                        prop_assert_eq!((allowed, requested), (room as u64, distinct as u64));
                        continue;
                    }
                    let assigned = map.assign(keys).unwrap();
                    prop_assert_eq!(&assigned, &model.assign(keys, &holds));
                    prop_assert!(assigned.evicted.iter().all(|gone| !keys.contains(&gone.key)));
                    prop_assert!(assigned.evicted.iter().all(|gone| !is_held(gone.row, &holds)));
                    prop_assert!(keys.iter().zip(&assigned.rows).all(|(&key, &row)| map.key(row) == Some(key)));
                    if matches!(call, Call::AssignAndHold(_)) {
                        holds.push(map.hold(&assigned.rows).unwrap());
                    }
                }
                Call::Release(which) if which < holds.len() => {
                    map.release(holds.swap_remove(which)).unwrap();
                    model.released(&holds);
                }
                Call::Release(_) => {}
                Call::Remove(key) => prop_assert_eq!(map.remove(key), model.remove(key, &holds)),
                Call::Evict(count) => {
                    let evicted = map.evict(count);
                    let stays = |row| is_held(row, &holds) || evicted.iter().any(|gone| gone.row == row);
                    let all_gone = model.held.values().all(|&(row, _)| stays(row));
                    prop_assert!(evicted.len() == count || all_gone);
                    model.evict(&evicted, &holds);
                }
                Call::SetCapacity(capacity) => {
                    let rows: BTreeSet<u32> = holds.iter().flat_map(|held| held.rows()).copied().collect();
                    let too_small = capacity == 0 || (capacity as usize) < rows.len();
                    match map.set_capacity(capacity) {
                        Ok(evicted) => {
                            prop_assert!(!too_small);
                            let taken = model.held.len() + model.waiting.len();
                            prop_assert_eq!(evicted.len(), taken.saturating_sub(capacity as usize));
                            model.evict(&evicted, &holds);
                            model.set_capacity(capacity);
                        }
                        Err(error) => prop_assert!(too_small, "{error}"),
                    }
                }
                Call::SaveAndLoad => {
                    // A copy holds nothing either.
                    let again = if model.clock.is_multiple_of(2) { loaded(&map) } else { map.clone() };
                    map = again;
                    holds.drain(..).for_each(|held| assert!(map.release(held).is_err(), "rows of another map"));
                    model.released(&holds);
                }
            }
            check(&map, &model);
            loaded(&map);
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

/// Two batches in flight: the second may not have the rows of the first before its gradients have come.
#[test]
fn rows_in_flight_stay_with_their_keys() {
    let mut ids = map(3, 1.0);
    let first = ids.assign(&[1, 2, 1]).unwrap();
    let held = ids.hold(&first.rows).unwrap();
    assert_eq!(held.rows(), [0, 1, 0]);
    // Without the hold, key 2 would be the first to leave.
    let second = ids.assign(&[3, 3, 3]).unwrap();
    let again = ids.hold(&[0]).unwrap();
    assert_eq!(ids.assign(&[4]).unwrap().evicted, [Evicted { key: 3, row: 2 }]);
    let text = ids.assign(&[5, 6]).unwrap_err().to_string();
    assert_eq!(text, "RowMap::assign: `keys` needs 2, the limit `rows that are not held for other keys` is 1");
    assert_eq!(ids.assign(&[1, 2, 5]).unwrap().rows, [0, 1, 2], "its own rows do not stand in a batch's way");
    assert_eq!((ids.evict(9).len(), ids.len()), (1, 2));
    let text = ids.set_capacity(1).unwrap_err().to_string();
    assert_eq!(text, "RowMap::set_capacity: `capacity` needs 2, the limit `capacity with the rows that are held` is 1");

    // A key may go; its row waits.
    assert_eq!((ids.remove(1), ids.get(1), ids.key(0)), (Some(0), None, None));
    assert_eq!(ids.assign(&[7]).unwrap().rows, [2]);
    assert_eq!(ids.capacity(), 3);
    ids.release(held).unwrap();
    assert_eq!(ids.assign(&[8]).unwrap().evicted.len(), 1, "row 0 is held by the other batch");
    ids.release(again).unwrap();
    assert_eq!(ids.assign(&[9]).unwrap().rows, [0]);
    assert_eq!(second.rows, [2; 3]);

    let text = ids.hold(&[0, 7]).unwrap_err().to_string();
    assert_eq!(text, "RowMap::hold: `rows` must be rows that have a key, got row 7 at 1");
    let other = map(3, 1.0).hold(&[]).unwrap();
    let text = ids.release(other).unwrap_err().to_string();
    assert_eq!(text, "RowMap::release: `held` must be rows that this map holds, got those of another map");
}

#[test]
fn a_map_that_never_holds_takes_no_memory_for_it() {
    let mut ids = map(100, 1.0);
    ids.assign(&(0..100).collect::<Vec<_>>()).unwrap();
    let before = ids.bytes();
    let nothing = ids.hold(&[]).unwrap();
    assert_eq!(ids.bytes(), before);
    let held = ids.hold(&[5]).unwrap();
    assert!(ids.bytes() >= before + 800);
    ids.release(nothing).unwrap();
    ids.release(held).unwrap();
}

/// Full, and the table may grow: new keys get new rows, those that are there keep theirs and their frequencies.
#[test]
fn a_map_grows_and_shrinks_with_its_table() {
    let grown = |mut ids: RowMap| {
        let frequencies = |ids: &RowMap| [1, 2, 3].map(|key| ids.frequency(key).unwrap());
        let before = frequencies(&ids);
        assert!(ids.set_capacity(5).unwrap().is_empty());
        for (before, after) in before.iter().zip(frequencies(&ids)) {
            assert!((before - after).abs() < 1e-12 * before, "{before} and {after}");
        }
        let batch = ids.assign(&[10, 11]).unwrap();
        assert_eq!((&batch.rows[..], batch.evicted.len()), (&[3, 4][..], 0));
        // 10 and 11 came last, 3 came most often; those that go leave their rows free.
        assert_eq!(ids.set_capacity(3).unwrap(), [Evicted { key: 1, row: 0 }, Evicted { key: 2, row: 1 }]);
        assert_eq!((ids.rows(), ids.len(), ids.get(3)), (5, 3, Some(2)));
        // Full again: a new key takes the row of another, though rows are free.
        let batch = ids.assign(&[12]).unwrap();
        assert_eq!((batch.rows.len(), batch.evicted.len(), ids.rows()), (1, 1, 5));
        ids.set_capacity(4).unwrap();
        assert_eq!(ids.assign(&[13]).unwrap().rows, [0], "the lowest free row");
        ids.parts().rows.0.to_vec()
    };
    let mut ids = map(3, 2.0);
    ids.assign(&[1, 2, 3, 3, 3]).unwrap();
    assert_eq!(grown(loaded(&ids)), grown(ids), "from a file as in memory");
    for capacity in [0, u32::MAX] {
        assert!(matches!(map(3, 1.0).set_capacity(capacity), Err(Error::Argument { .. })));
    }
}

#[test]
fn time_ends_without_a_wrap() {
    let mut ids = map(2, 1.0);
    ids.clock = u64::MAX - 1;
    ids.assign(&[1, 2, 2, 2]).unwrap();
    assert_eq!(ids.clock, u64::MAX);
    assert!(ids.frequency(2) >= ids.frequency(1));
    assert_eq!(loaded(&ids).assign(&[3]).unwrap().evicted, [Evicted { key: 1, row: 0 }]);
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
