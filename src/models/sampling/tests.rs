use super::*;
use crate::stream::{BlockOptions, Interactions};
use crate::testing::devices;

#[test]
fn layout_by_user() {
    // User 1 has nothing among the rows; user 2 touched item 5 before, which is not among them.
    let rows = [(0, 4), (2, 9), (2, 4), (0, 7)];
    let history = UserItems::new(3, [(0, 4), (0, 7), (1, 9), (2, 4), (2, 5), (2, 9)]).unwrap();
    let device = Device::cpu();
    let set = TrainingSet::new(&device, TrainingData { rows: &rows, history: &history, blocks: None }, Sampling::Users)
        .unwrap();
    let read = |buffer: &Buffer<u32>| buffer.read().unwrap();
    let Layout::ByUser { users, positive_offsets, positives, items } = &set.layout else { panic!("{:?}", set.layout) };
    assert_eq!(read(users), [0, 2]);
    assert_eq!(read(positive_offsets), [0, 2, 4]);
    assert_eq!(read(positives), [4, 7, 4, 9]);
    assert_eq!(read(items), [4, 7, 9]);
    assert_eq!(read(&set.touched_offsets), [0, 2, 4]);
    assert_eq!(read(&set.touched), [0, 1, 0, 2]);
    assert!(
        TrainingSet::new(&device, TrainingData { rows: &[], history: &history, blocks: None }, Sampling::Users)
            .is_err()
    );
}

/// What a set of these rows draws in some steps.
fn drawn(set: &TrainingSet, device: &Device, batch: usize, steps: u32) -> Vec<u32> {
    let mut triples = Buffer::zeroed(device, 3 * batch * steps as usize).unwrap();
    let mut commands = device.commands();
    set.record_steps(&mut commands, Drawn { step: 4, steps, seed: 2 }, &mut triples).unwrap();
    commands.submit().unwrap();
    triples.read().unwrap()
}

/// The first triples of a batch are those of the log, to the bit, and the others pairs of blocks.
#[test]
fn a_share_of_each_batch_comes_from_blocks() {
    let named = (0..400u32).map(|r| (format!("u{}", r % 9), format!("i{}", r * 7 % 60), i64::from(r)));
    let mut data = Interactions::from_rows(named).unwrap();
    data.mark_non_clicks((0..400).filter(|row| row / 5 % 3 == 1)).unwrap();
    let rows: Vec<(u32, u32)> = data.pairs((0..400).filter(|&row| data.clicked(row))).collect();
    let history = UserItems::new(9, data.pairs(0..400)).unwrap();
    let blocks = Blocks::new(&data, 0..400, &BlockOptions::default()).unwrap();
    assert!(blocks.len() > 50);
    let is_pair = |[user, positive, negative]: [u32; 3]| {
        let of = |k: usize, offsets: &[u32]| offsets[k] as usize..offsets[k + 1] as usize;
        (0..blocks.len()).filter(|&k| blocks.users()[k] == user).any(|k| {
            blocks.positives()[of(k, blocks.positive_offsets())].contains(&positive)
                && blocks.negatives()[of(k, blocks.negative_offsets())].contains(&negative)
        })
    };
    let data = TrainingData { rows: &rows, history: &history, blocks: Some(&blocks) };
    let (window, batch, steps) = (40, 90, 3);
    for device in devices() {
        let of = |sampling, data| drawn(&TrainingSet::new(&device, data, sampling).unwrap(), &device, batch, steps);
        let log = of(Sampling::Log { window }, data);
        for (share, of_blocks) in [(0.0, 0), (0.25, 23), (0.5, 45), (1.0, 90)] {
            let triples = of(Sampling::Blocks { share, window }, data);
            for step in 0..steps as usize {
                for b in 0..batch {
                    let at = [0, 1, 2].map(|block| (3 * step + block) * batch + b);
                    let [found, of_log] = [&triples, &log].map(|of| at.map(|at| of[at]));
                    let as_wanted = if b < batch - of_blocks { found == of_log } else { is_pair(found) };
                    assert!(as_wanted, "share {share}, triple {b} of step {step}: {found:?}");
                }
            }
        }
        // Without blocks all is of the log.
        let none = TrainingData { blocks: None, ..data };
        assert_eq!(of(Sampling::Blocks { share: 1.0, window }, none), log);
    }
    let bytes = |sampling| TrainingSet::new(&Device::cpu(), data, sampling).unwrap().bytes();
    let words = blocks.positives().len() + blocks.negatives().len() + 3 * blocks.len() + 2;
    let more = bytes(Sampling::Blocks { share: 0.5, window }) - bytes(Sampling::Log { window });
    assert_eq!(more, 4 * words as u64);
}

#[test]
fn both_samplings_draw_positives_from_the_rows_and_negatives_from_what_is_untouched() {
    let rows: Vec<(u32, u32)> = (0..300).map(|r| (r % 7, r * 5 % 60)).collect();
    let history = UserItems::new(7, rows.iter().copied().chain([(3, 1), (4, 2)])).unwrap();
    let device = Device::cpu();
    for sampling in [Sampling::Users, Sampling::Log { window: 40 }] {
        let set =
            TrainingSet::new(&device, TrainingData { rows: &rows, history: &history, blocks: None }, sampling).unwrap();
        let mut triples = Buffer::zeroed(&device, 3 * 500).unwrap();
        let mut commands = device.commands();
        set.record_triples(&mut commands, 1, 2, &mut triples).unwrap();
        commands.submit().unwrap();
        let triples = triples.read().unwrap();
        for b in 0..500 {
            let [user, positive, negative] = [triples[b], triples[500 + b], triples[1000 + b]];
            assert!(rows.contains(&(user, positive)), "{sampling:?}");
            assert!(negative == u32::MAX || !history.contains(user, negative), "{sampling:?}");
        }
    }
}
