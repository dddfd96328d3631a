use super::*;
use crate::Error;
use crate::device::Device;
use crate::testing::{assert_rejects, assert_same, devices, gpu, poisoned, upload};

/// What users took after what they turned down.
struct Case {
    blocks: Vec<(u32, Vec<u32>, Vec<u32>)>,
    step: u32,
    seed: u64,
}

/// The triples of a batch that are drawn.
#[derive(Clone, Copy, Debug)]
struct Of {
    batch: u32,
    first: u32,
    count: u32,
}

fn all(batch: u32) -> Of {
    Of { batch, first: 0, count: batch }
}

fn offsets<'a>(rows: impl Iterator<Item = &'a Vec<u32>>) -> Vec<u32> {
    let mut offsets = vec![0];
    rows.for_each(|row| offsets.push(offsets.last().unwrap() + row.len() as u32));
    offsets
}

impl Case {
    /// Blocks of all lengths, with repeats; some have an empty side.
    fn new(blocks: u32) -> Self {
        let items = |k: u32, count: u32| (0..count).map(|i| (k * 31 + i / 2 * 7) % 1000).collect();
        let block = |k: u32| (k / 2 * 3 % 50, items(k, k % 6), items(k + 500, k * 5 % 7));
        Self { blocks: (0..blocks).map(|k| block(k + 1)).collect(), step: 3, seed: 11 }
    }

    fn run_steps(&self, device: &Device, Of { batch, first, count }: Of, steps: u32) -> Vec<u32> {
        let up = |values: &[u32]| upload(device, values);
        let users: Vec<u32> = self.blocks.iter().map(|block| block.0).collect();
        let [positives, negatives]: [Vec<u32>; 2] = [
            self.blocks.iter().flat_map(|block| block.1.clone()).collect(),
            self.blocks.iter().flat_map(|block| block.2.clone()).collect(),
        ];
        let mut triples = poisoned(device, 3 * batch as usize * steps as usize);
        SampleBlockTriples {
            users: &up(&users),
            positive_offsets: &up(&offsets(self.blocks.iter().map(|block| &block.1))),
            positives: &up(&positives),
            negative_offsets: &up(&offsets(self.blocks.iter().map(|block| &block.2))),
            negatives: &up(&negatives),
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

    fn run(&self, device: &Device, of: Of) -> Vec<u32> {
        self.run_steps(device, of, 1)
    }

    /// By its definition; what is not drawn stays.
    fn oracle(&self, Of { batch, first, count }: Of) -> Vec<u32> {
        let mut triples = poisoned(&Device::cpu(), 3 * batch as usize).read().unwrap();
        for b in first..first + count {
            let words = philox([b, self.step, 0, Purpose::Blocks as u32], key(self.seed));
            let pick = |list: &[u32], word: u32| match list.len() {
                0 => u32::MAX,
                len => list[below(word, len as u32) as usize],
            };
            let (user, positives, negatives) = &self.blocks[below(words[0], self.blocks.len() as u32) as usize];
            triples[b as usize] = *user;
            triples[(batch + b) as usize] = pick(positives, words[1]);
            triples[(2 * batch + b) as usize] = pick(negatives, words[2]);
        }
        triples
    }
}

fn parity(device: &Device) {
    for blocks in [1, 2, 40, 999] {
        for batch in [0, 1, 63, 64, 65, 257, 3000] {
            let case = Case::new(blocks);
            let what = format!("{blocks} blocks, batch {batch}");
            assert_same(&what, &case.run(device, all(batch)), &case.oracle(all(batch)));
        }
    }
    let mut case = Case::new(40);
    (case.step, case.seed) = (u32::MAX, u64::MAX - 5);
    assert_same("high seed", &case.run(device, all(999)), &case.oracle(all(999)));
    // Of parts of batches, several steps are single ones after each other.
    let of = |batch, first, count| Of { batch, first, count };
    for (of, steps) in [
        (all(1), 5),
        (all(65), 4),
        (all(0), 2),
        (of(100, 0, 64), 1),
        (of(100, 99, 1), 3),
        (of(300, 7, 129), 3),
        (of(64, 64, 0), 2),
        (of(64, 10, 0), 2),
    ] {
        let case = Case::new(40);
        let single = |step| Case { step, ..Case::new(40) }.oracle(of);
        let want: Vec<u32> = (case.step..case.step + steps).flat_map(single).collect();
        assert_same(&format!("{steps} steps of {of:?}"), &case.run_steps(device, of, steps), &want);
    }
}

#[test]
fn matches_the_definition() {
    devices().iter().for_each(parity);
}

/// Chi-square of counts against what is expected, in standard deviations from its mean.
fn excess(counts: &[(u32, f64)]) -> f64 {
    let freedom = counts.len() as f64 - 1.0;
    let chi: f64 = counts.iter().map(|&(count, expected)| (f64::from(count) - expected).powi(2) / expected).sum();
    (chi - freedom) / (2.0 * freedom).sqrt()
}

/// Each block weighs the same, and within it each pair of a click and a non-click.
#[test]
fn blocks_and_their_pairs_are_uniform() {
    // Clicks and non-clicks of block k are named 100 k and on.
    let items = |k: u32, count: u32| (0..count).map(|i| 100 * k + i).collect::<Vec<u32>>();
    let blocks: Vec<_> = (0..12).map(|k| (k, items(k, 1 + k % 4), items(k, 1 + k * 3 % 5))).collect();
    let case = Case { blocks, step: 1, seed: 42 };
    let batch = 400_000;
    let triples = case.run(&Device::cpu(), all(batch));
    let (users, (positives, negatives)) = (&triples[..400_000], triples[400_000..].split_at(400_000));
    let mut counts = std::collections::HashMap::new();
    for ((&user, &positive), &negative) in users.iter().zip(positives).zip(negatives) {
        *counts.entry((user, positive, negative)).or_insert(0u32) += 1;
    }
    let mut pairs = Vec::new();
    for (user, positives, negatives) in &case.blocks {
        let expected = f64::from(batch) / 12.0 / (positives.len() * negatives.len()) as f64;
        for &p in positives {
            pairs.extend(negatives.iter().map(|&n| (counts.remove(&(*user, p, n)).unwrap_or(0), expected)));
        }
    }
    assert!(counts.is_empty() && pairs.len() > 60, "{counts:?}");
    assert!(excess(&pairs).abs() < 4.0, "{}", excess(&pairs));
    // The same counts against blocks that weigh by their clicks are far off.
    let clicks: usize = case.blocks.iter().map(|block| block.1.len()).sum();
    let by_clicks: Vec<(u32, f64)> = (case.blocks.iter())
        .map(|(user, positives, _)| {
            let count = users.iter().filter(|of| *of == user).count() as u32;
            (count, f64::from(batch) * positives.len() as f64 / clicks as f64)
        })
        .collect();
    assert!(excess(&by_clicks) > 100.0);
}

#[test]
fn steps_and_seeds_draw_again() {
    let device = Device::cpu();
    let mut case = Case::new(40);
    let first = case.run(&device, all(100));
    assert_eq!(first, case.run(&device, all(100)));
    case.step += 1;
    let second = case.run(&device, all(100));
    case.seed += 1 << 32;
    assert!(first != second && second != case.run(&device, all(100)));
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        let of = all(WORKGROUP * 65_536 + 1);
        let case = Case::new(40);
        assert_same("folded", &case.run(&Device::Gpu(gpu), of), &case.oracle(of));
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("params.step + number / params.count", "params.step"),
            ("params.first + number % params.count, step", "number % params.count, step"),
            ("number % params.count;", "number % params.count - params.first;"),
            ("below(random.y, clicks)", "below(random.z, clicks)"),
            ("below(random.z, others)", "below(random.y, others)"),
            ("if clicks > 0u {", "if clicks > 1u {"),
            ("if others > 0u {", "if clicks > 0u {"),
            ("users[block]", "users[number % params.blocks]"),
        ],
        parity,
    );
}

#[test]
fn no_blocks_and_wrong_lengths_are_errors() {
    let device = Device::cpu();
    let run = |users: &[u32], offsets: [&[u32]; 2], (first, count): (u32, u32), triples: usize| {
        let up = |values: &[u32]| upload(&device, values);
        let mut triples = poisoned(&device, triples);
        SampleBlockTriples {
            users: &up(users),
            positive_offsets: &up(offsets[0]),
            positives: &up(&[3]),
            negative_offsets: &up(offsets[1]),
            negatives: &up(&[4]),
            step: 0,
            steps: 1,
            seed: 0,
            batch: 2,
            first,
            count,
            triples: &mut triples,
        }
        .run(&device)
    };
    let good: [&[u32]; 2] = [&[0, 1], &[0, 1]];
    assert!(run(&[1], good, (1, 1), 6).is_ok());
    assert!(matches!(run(&[], good, (0, 2), 6), Err(Error::Shape { arg: "users", expected: 1, got: 0, .. })));
    assert!(matches!(run(&[1], [&[0], &[0, 1]], (0, 2), 6), Err(Error::Shape { arg: "positive_offsets", .. })));
    assert!(matches!(run(&[1], [&[0, 1], &[0]], (0, 2), 6), Err(Error::Shape { arg: "negative_offsets", .. })));
    assert!(matches!(run(&[1], good, (0, 2), 7), Err(Error::Shape { arg: "triples", expected: 6, got: 7, .. })));
    let error = |offsets, part| run(&[1], offsets, part, 6).unwrap_err().to_string();
    for (first, count) in [(1, 2), (3, 0), (u32::MAX, 2)] {
        let said = "rank/block_triples: `count` must be a part of the batch of 2, got";
        assert_eq!(error(good, (first, count)), format!("{said} {count} from {first} on"));
    }
    let falling = "must be never falling, with an end at most 1, got";
    assert_eq!(
        error([&[0, 2], &[0, 1]], (0, 2)),
        format!("rank/block_triples: `positive_offsets` {falling} 0 and 2 at 0")
    );
    assert_eq!(
        error([&[0, 1], &[1, 0]], (0, 2)),
        format!("rank/block_triples: `negative_offsets` {falling} 1 and 0 at 0")
    );
}
