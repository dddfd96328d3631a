use super::*;
use crate::Error;
use crate::device::Device;
use crate::rng::philox;
use crate::testing::{assert_rejects, assert_same, devices, poisoned, upload};

/// A log, and the items that each user touched.
struct Case {
    log: Vec<(u32, u32)>,
    touched: Vec<Vec<u32>>,
    window: u32,
    step: u32,
    seed: u64,
}

impl Case {
    /// Users who touched nothing, everything, all but one item, and every third; the last ones are past the list.
    fn new(rows: u32, users: u32, items: u32, window: u32) -> Self {
        let touched = |u: u32| -> Vec<u32> {
            match u % 4 {
                0 => vec![],
                1 => (0..items).collect(),
                2 => (0..items).filter(|&i| i != u % items).collect(),
                _ => (0..items).filter(|i| (i + u).is_multiple_of(3)).collect(),
            }
        };
        let log = (0..rows).map(|r| (r * 7 % (users + 2), r.wrapping_mul(0x9E37_79B9) % items)).collect();
        Self { log, touched: (0..users).map(touched).collect(), window, step: 3, seed: 11 }
    }

    fn run(&self, device: &Device, batch: u32) -> Vec<u32> {
        self.run_steps(device, batch, 1)
    }

    fn run_steps(&self, device: &Device, batch: u32, steps: u32) -> Vec<u32> {
        self.run_slice(device, batch, (0, batch), steps)
    }

    fn run_slice(&self, device: &Device, batch: u32, (first, count): (u32, u32), steps: u32) -> Vec<u32> {
        let mut offsets = vec![0];
        self.touched.iter().for_each(|row| offsets.push(offsets.last().unwrap() + row.len() as u32));
        let (users, items): (Vec<u32>, Vec<u32>) = self.log.iter().copied().unzip();
        let mut triples = poisoned(device, 3 * batch as usize * steps as usize);
        SampleLogTriples {
            users: &upload(device, &users),
            items: &upload(device, &items),
            touched_offsets: &upload(device, &offsets),
            touched: &upload(device, &self.touched.concat()),
            window: self.window,
            step: self.step,
            steps,
            seed: self.seed,
            batch,
            first,
            count,
            triples: &mut triples,
        }
        .run(device)
        .unwrap();
        triples.read().unwrap()
    }

    /// By its definition: the rows nearby are written out.
    fn oracle(&self, batch: u32) -> Vec<u32> {
        let mut triples = vec![0; 3 * batch as usize];
        for b in 0..batch {
            let words = [0, 1].map(|k| philox([b, self.step, k, Purpose::LogTriples as u32], key(self.seed))).concat();
            let row = below(words[0], self.log.len() as u32) as usize;
            let (user, positive) = self.log[row];
            let nearby: Vec<u32> = (self.log.iter().enumerate())
                .filter(|(r, _)| r.abs_diff(row) <= self.window as usize)
                .map(|(_, &(_, item))| item)
                .collect();
            let mut tries = words[1..].iter().map(|&word| nearby[below(word, nearby.len() as u32) as usize]);
            let touched = |item: &u32| self.touched.get(user as usize).is_some_and(|row| row.contains(item));
            triples[b as usize] = user;
            triples[(batch + b) as usize] = positive;
            triples[(2 * batch + b) as usize] = tries.find(|item| !touched(item)).unwrap_or(u32::MAX);
        }
        triples
    }
}

fn parity(device: &Device) {
    for (rows, users, items, window) in
        [(1, 1, 1, 1), (1, 1, 9, 5), (40, 3, 7, 1), (40, 5, 30, 3), (2000, 40, 333, 50), (2000, 40, 9, u32::MAX)]
    {
        for batch in [0, 1, 63, 64, 65, 2000] {
            let case = Case::new(rows, users, items, window);
            let what = format!("rows {rows} users {users} items {items} window {window} batch {batch}");
            assert_same(&what, &case.run(device, batch), &case.oracle(batch));
        }
    }
    let mut case = Case::new(500, 40, 333, 20);
    (case.step, case.seed) = (u32::MAX, u64::MAX - 5);
    assert_same("high seed", &case.run(device, 999), &case.oracle(999));
    // Several steps are as many single ones.
    let case = Case::new(500, 40, 333, 20);
    for (batch, steps) in [(1, 5), (63, 3), (64, 2), (65, 4), (0, 2)] {
        let single = |step| Case { step, ..Case::new(500, 40, 333, 20) }.oracle(batch);
        let want: Vec<u32> = (case.step..case.step + steps).flat_map(single).collect();
        assert_same(&format!("{steps} steps of {batch}"), &case.run_steps(device, batch, steps), &want);
    }
    // A slice is what all of the batch has there, and leaves the rest as it was.
    for (batch, (first, count), steps) in
        [(100, (0, 64), 1), (100, (99, 1), 3), (300, (7, 129), 3), (64, (64, 0), 2), (2100, (1030, 1066), 2)]
    {
        let single = |step| {
            let mut want = poisoned(&Device::cpu(), 3 * batch as usize).read().unwrap();
            let all = Case { step, ..Case::new(500, 40, 333, 20) }.oracle(batch);
            for block in 0..3 {
                let drawn = (block * batch + first) as usize..(block * batch + first + count) as usize;
                want[drawn.clone()].copy_from_slice(&all[drawn]);
            }
            want
        };
        let want: Vec<u32> = (case.step..case.step + steps).flat_map(single).collect();
        let what = format!("{count} of {batch} from {first} on in {steps} steps");
        assert_same(&what, &case.run_slice(device, batch, (first, count), steps), &want);
    }
}

#[test]
fn matches_the_rows_written_out() {
    devices().iter().for_each(parity);
}

#[test]
fn negatives_are_as_popular_as_positives() {
    // Item 0 makes up half of the first 1,000 rows and none of the others. No user touched anything.
    let log: Vec<(u32, u32)> =
        (0..2000).map(|r| (r % 50, if r < 1000 && r % 2 == 0 { 0 } else { 1 + r % 97 })).collect();
    let case = Case { log, touched: vec![], window: 100, step: 0, seed: 5 };
    let batch = 100_000;
    let triples = case.run(&Device::cpu(), batch);
    let share = |block: usize| {
        let ids = &triples[block * batch as usize..(block + 1) * batch as usize];
        ids.iter().filter(|&&id| id == 0).count() as f64 / f64::from(batch)
    };
    let (positive, negative) = (share(1), share(2));
    // The window rounds the edge between the two times; a share of 1/4 has a deviation of 0.0014 here.
    assert!((positive - 0.25).abs() < 0.006 && (negative - positive).abs() < 0.01, "{positive} {negative}");
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("params.step + number / params.count", "params.step"),
            ("number % params.count, step, block", "number, step, block"),
            ("3u * params.batch * (number / params.count)", "params.batch * (number / params.count)"),
            ("params.first + number % params.count, step", "number % params.count, step"),
            ("number % params.count;", "number % params.count - params.first;"),
            ("touched[middle] < item", "touched[middle] <= item"),
            ("min(row, params.window)", "min(row, params.window + 1u)"),
            ("params.rows - 1u - row", "params.rows - row"),
            ("random[k % 4u]", "random[k / 2u]"),
            ("if k == 4u {", "if k == 5u {"),
            ("if user < params.users {", "if user + 1u < params.users {"),
        ],
        parity,
    );
}

#[test]
fn empty_logs_and_wrong_lengths_are_errors() {
    let device = Device::cpu();
    let run = |users: &[u32], items: &[u32], offsets: &[u32], triples: usize| {
        let up = |values: &[u32]| upload(&device, values);
        let mut triples = poisoned(&device, triples);
        SampleLogTriples {
            users: &up(users),
            items: &up(items),
            touched_offsets: &up(offsets),
            touched: &up(&[]),
            window: 1,
            step: 0,
            steps: 1,
            seed: 0,
            batch: 1,
            first: 0,
            count: 1,
            triples: &mut triples,
        }
        .run(&device)
    };
    assert!(run(&[1], &[1], &[0, 0], 3).is_ok());
    assert!(matches!(run(&[], &[], &[0, 0], 3), Err(Error::Shape { arg: "users", expected: 1, got: 0, .. })));
    assert!(matches!(run(&[1], &[], &[0, 0], 3), Err(Error::Shape { arg: "items", expected: 1, got: 0, .. })));
    assert!(matches!(run(&[1], &[1], &[], 3), Err(Error::Shape { arg: "touched_offsets", .. })));
    // Only what is read is checked: the offsets of user 1.
    assert!(run(&[1], &[1], &[5, 0, 0], 3).is_ok());
    let error = run(&[1], &[1], &[0, 5, 4], 3).unwrap_err().to_string();
    let want = "`touched_offsets` must be never falling, with an end at most 0, got 5 and 4 at 1";
    assert_eq!(error, format!("rank/log_triples: {want}"));
    assert!(matches!(run(&[1], &[1], &[0, 0], 4), Err(Error::Shape { arg: "triples", expected: 3, got: 4, .. })));
}
