use super::*;
use crate::Error;
use crate::device::Device;
use crate::testing::{assert_rejects, assert_same, devices, gpu, poisoned, upload};

/// What each user likes (ids) and touched (positions in `items`).
struct Case {
    users: Vec<u32>,
    items: Vec<u32>,
    positives: Vec<Vec<u32>>,
    touched: Vec<Vec<u32>>,
    step: u32,
    seed: u64,
}

fn csr(rows: &[Vec<u32>]) -> (Vec<u32>, Vec<u32>) {
    let mut offsets = vec![0];
    for row in rows {
        offsets.push(offsets.last().unwrap() + row.len() as u32);
    }
    (offsets, rows.concat())
}

impl Case {
    /// Users who touched nothing, everything, all but the first, all but the last, and every third item.
    fn new(users: u32, items: u32) -> Self {
        let touched = |u: u32| -> Vec<u32> {
            match u % 5 {
                0 => vec![],
                1 => (0..items).collect(),
                2 => (1..items).collect(),
                3 => (0..items - 1).collect(),
                _ => (0..items).filter(|i| (i + u).is_multiple_of(3)).collect(),
            }
        };
        let item_ids: Vec<u32> = (0..items).map(|i| 10 + 3 * i).collect();
        let touched: Vec<Vec<u32>> = (0..users).map(touched).collect();
        // Positives may repeat; every seventh user has none.
        let positives = (0..users).map(|u| (0..u % 7).map(|i| 1000 * u + i / 2).collect()).collect();
        Self { users: (0..users).map(|u| 5 * u + 2).collect(), items: item_ids, positives, touched, step: 3, seed: 11 }
    }

    fn run(&self, device: &Device, batch: u32) -> Vec<u32> {
        self.run_steps(device, batch, 1)
    }

    fn run_steps(&self, device: &Device, batch: u32, steps: u32) -> Vec<u32> {
        let (positive_offsets, positives) = csr(&self.positives);
        let (touched_offsets, touched) = csr(&self.touched);
        let up = |values: &[u32]| upload(device, values);
        let mut triples = poisoned(device, 3 * batch as usize * steps as usize);
        SampleTriples {
            users: &up(&self.users),
            positive_offsets: &up(&positive_offsets),
            positives: &up(&positives),
            items: &up(&self.items),
            touched_offsets: &up(&touched_offsets),
            touched: &up(&touched),
            step: self.step,
            steps,
            seed: self.seed,
            batch,
            triples: &mut triples,
        }
        .run(device)
        .unwrap();
        triples.read().unwrap()
    }

    /// By its definition: the list of untouched items is written out.
    fn oracle(&self, batch: u32) -> Vec<u32> {
        let pick = |list: &[u32], word: u32| list.get(below(word, list.len() as u32) as usize).copied();
        let free: Vec<Vec<u32>> = self
            .touched
            .iter()
            .map(|touched| {
                let mut free = Vec::new();
                for (position, &id) in self.items.iter().enumerate() {
                    if !touched.contains(&(position as u32)) {
                        free.push(id);
                    }
                }
                free
            })
            .collect();
        let mut triples = vec![0; 3 * batch as usize];
        for b in 0..batch {
            let words = philox([b, self.step, 0, Purpose::Triples as u32], key(self.seed));
            let slot = below(words[0], self.users.len() as u32) as usize;
            triples[b as usize] = self.users[slot];
            triples[(batch + b) as usize] = pick(&self.positives[slot], words[1]).unwrap_or(u32::MAX);
            triples[(2 * batch + b) as usize] = pick(&free[slot], words[2]).unwrap_or(u32::MAX);
        }
        triples
    }
}

fn parity(device: &Device) {
    for (users, items) in [(1, 1), (1, 50), (2, 1), (40, 1), (40, 2), (40, 333)] {
        for batch in [0, 1, 63, 64, 65, 257, 3000] {
            let case = Case::new(users, items);
            let what = format!("users {users} items {items} batch {batch}");
            assert_same(&what, &case.run(device, batch), &case.oracle(batch));
        }
    }
    let mut case = Case::new(40, 333);
    (case.step, case.seed) = (u32::MAX, u64::MAX - 5);
    assert_same("high seed", &case.run(device, 999), &case.oracle(999));
    // Several steps are as many single ones.
    let case = Case::new(7, 20);
    for (batch, steps) in [(1, 5), (63, 3), (64, 2), (65, 4), (0, 2)] {
        let single = |step| Case { step, ..Case::new(7, 20) }.oracle(batch);
        let want: Vec<u32> = (case.step..case.step + steps).flat_map(single).collect();
        assert_same(&format!("{steps} steps of {batch}"), &case.run_steps(device, batch, steps), &want);
    }
}

#[test]
fn matches_the_list_of_untouched_items() {
    devices().iter().for_each(parity);
}

#[test]
fn negatives_are_never_touched() {
    for device in devices() {
        let case = Case::new(5, 40);
        let triples = case.run(&device, 4000);
        for b in 0..4000 {
            let slot = case.users.iter().position(|&u| u == triples[b]).unwrap();
            match case.items.iter().position(|&i| i == triples[8000 + b]) {
                Some(position) => assert!(!case.touched[slot].contains(&(position as u32)), "user {slot}"),
                None => assert!(triples[8000 + b] == u32::MAX && slot == 1, "only user 1 touched everything"),
            }
        }
    }
}

/// Chi-square of counts against equal expectation, in standard deviations from its mean.
fn excess(counts: &[u32]) -> f64 {
    let total: f64 = counts.iter().copied().map(f64::from).sum();
    let (expected, freedom) = (total / counts.len() as f64, counts.len() as f64 - 1.0);
    let chi: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    (chi - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn users_positives_and_negatives_are_uniform() {
    let touched: Vec<u32> = (0..100).filter(|i| i % 3 == 1 || (20..40).contains(i)).collect();
    let case = Case {
        users: (0..10).collect(),
        items: (0..100).collect(),
        positives: vec![(0..20).collect(); 10],
        touched: vec![touched.clone(); 10],
        step: 0,
        seed: 42,
    };
    let batch = 200_000;
    let triples = case.run(&Device::cpu(), batch);
    let mut counts = [vec![0u32; 10], vec![0; 20], vec![0; 100]];
    for (i, id) in triples.into_iter().enumerate() {
        counts[i / batch as usize][id as usize] += 1;
    }
    for &position in touched.iter().rev() {
        assert_eq!(counts[2].remove(position as usize), 0);
    }
    for (name, counts) in ["users", "positives", "negatives"].iter().zip(&counts) {
        assert!(excess(counts).abs() < 4.0, "{name}: {counts:?}");
    }
}

#[test]
fn steps_and_seeds_draw_anew() {
    let device = Device::cpu();
    let mut case = Case::new(40, 333);
    let first = case.run(&device, 100);
    assert_eq!(first, case.run(&device, 100));
    case.step += 1;
    let second = case.run(&device, 100);
    case.seed += 1 << 32;
    let third = case.run(&device, 100);
    assert!(first != second && second != third);
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        let batch = WORKGROUP * 65_536 + 1;
        let case = Case::new(5, 40);
        assert_same("folded", &case.run(&Device::Gpu(gpu), batch), &case.oracle(batch));
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("params.step + number / params.count", "params.step"),
            ("number % params.count, step, block", "number, step, block"),
            ("3u * params.batch * (number / params.count)", "params.batch * (number / params.count)"),
            ("- middle <= r {", "- middle < r {"),
            ("if held < params.items {", "if held <= params.items {"),
            ("var high = held;", "var high = max(held, 1u) - 1u;"),
            ("below(random.y, count)", "below(random.z, count)"),
            ("vec2<u32>(params.seed_low, params.seed_high)", "vec2<u32>(params.seed_low, 0u)"),
            ("if count > 0u {", "if count > 1u {"),
        ],
        parity,
    );
}

#[test]
fn empty_lists_and_wrong_lengths_are_errors() {
    let device = Device::cpu();
    let run = |users: &[u32], items: &[u32], offsets: &[u32], triples: usize| {
        let up = |values: &[u32]| upload(&device, values);
        let mut triples = poisoned(&device, triples);
        SampleTriples {
            users: &up(users),
            positive_offsets: &up(&[0, 0]),
            positives: &up(&[]),
            items: &up(items),
            touched_offsets: &up(offsets),
            touched: &up(&[]),
            step: 0,
            steps: 1,
            seed: 0,
            batch: 1,
            triples: &mut triples,
        }
        .run(&device)
    };
    assert!(run(&[1], &[1], &[0, 0], 3).is_ok());
    assert!(matches!(run(&[], &[1], &[0, 0], 3), Err(Error::Shape { arg: "users", expected: 1, got: 0, .. })));
    assert!(matches!(run(&[1], &[], &[0, 0], 3), Err(Error::Shape { arg: "items", expected: 1, got: 0, .. })));
    assert!(matches!(run(&[1], &[1], &[0], 3), Err(Error::Shape { arg: "touched_offsets", expected: 2, .. })));
    let error = run(&[1], &[1], &[0, 5], 3).unwrap_err().to_string();
    assert_eq!(error, "rank/triples: `touched_offsets` must be never falling, with an end at most 0, got 0 and 5 at 0");
    assert!(matches!(run(&[1], &[1], &[0, 0], 4), Err(Error::Shape { arg: "triples", expected: 3, got: 4, .. })));
}
