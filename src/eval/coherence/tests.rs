use rand::Rng;

use super::*;
use crate::rng::{Philox, Purpose, below};

/// The formulas as they are written, by going through all users for each pair.
fn oracle(history: &[Vec<u32>], user: usize) -> Option<Coherence> {
    let has = |user: &Vec<u32>, item: u32| user.contains(&item);
    let n = history.iter().filter(|items| !items.is_empty()).count() as f64;
    let c = |item: u32| history.iter().filter(|user| has(user, item)).count() as f64;
    let c_both = |i: u32, j: u32| history.iter().filter(|user| has(user, i) && has(user, j)).count() as f64;
    let own = &history[user];
    if own.len() < 2 {
        return None;
    }
    let surprise = own.iter().map(|&i| -(c(i) / n).log2()).sum::<f64>() / own.len() as f64;
    let compared: Vec<u32> = match own.len() {
        0..=32 => own.clone(),
        more => (0..32).map(|k| own[k * more / 32]).collect(),
    };
    let (mut sum, mut pairs) = (0.0, 0.0);
    for &i in &compared {
        for &j in compared.iter().filter(|&&j| j != i) {
            // Without this user, and with one more who has i as often as all do.
            sum -= ((c_both(i, j) - 1.0 + c(i) / n) / (c(j) - 1.0 + 1.0)).log2();
            pairs += 1.0;
        }
    }
    Some(Coherence { surprise, conditional: sum / pairs })
}

/// Users of some items each, popular ones more often.
fn random(users: u32, items: u32, most: u32, seed: u64) -> Vec<Vec<u32>> {
    let mut rng = Philox::new(seed, Purpose::User);
    let history = (0..users).map(|user| {
        let count = if user % 7 == 3 { user % 2 } else { below(rng.next_u32(), most + 1) };
        let mut own: Vec<u32> =
            (0..count).map(|_| below(rng.next_u32(), items).min(below(rng.next_u32(), items))).collect();
        own.sort_unstable();
        own.dedup();
        own
    });
    history.collect()
}

fn held(history: &[Vec<u32>]) -> UserItems {
    let pairs = history.iter().enumerate().flat_map(|(user, items)| items.iter().map(move |&item| (user as u32, item)));
    UserItems::new(history.len() as u32, pairs).unwrap()
}

#[track_caller]
fn assert_is_the_oracle(history: &[Vec<u32>], items: u32) {
    let users: Vec<u32> = (0..history.len() as u32).rev().collect();
    let found = coherence(&held(history), items, &users).unwrap();
    assert_eq!(found.len(), users.len());
    for (&user, found) in users.iter().zip(found) {
        match (found, oracle(history, user as usize)) {
            (Some(found), Some(expected)) => {
                assert!((found.surprise - expected.surprise).abs() < 1e-12, "user {user}: {found:?}, not {expected:?}");
                let off = (found.conditional - expected.conditional).abs();
                assert!(off < 1e-11, "user {user}: {found:?}, not {expected:?}");
                assert!(found.surprise >= 0.0 && found.conditional >= 0.0);
            }
            (found, expected) => assert_eq!(found, expected, "user {user}"),
        }
    }
}

#[test]
fn twenty_users_and_thirty_items_are_the_oracle() {
    for seed in 0..8 {
        let history = random(20, 30, 14, seed);
        assert!(history.iter().any(|own| own.len() == 1) && history.iter().any(Vec::is_empty), "all kinds of users");
        assert_is_the_oracle(&history, 30);
    }
}

/// 32 items use every bit of a word; of more, 32 are compared.
#[test]
fn long_histories_are_the_oracle() {
    let mut history = random(25, 120, 60, 3);
    for (user, count) in [(1, 31), (4, 32), (5, 33), (8, 64), (9, 120)] {
        history[user] = (0..120).filter(|item| item * count / 120 != (item + 1) * count / 120).collect();
        assert_eq!(history[user].len(), count as usize);
    }
    assert_is_the_oracle(&history, 120);
}

/// Users who have the same things are more coherent than those who share nothing, at the same popularity.
#[test]
fn what_goes_together_surprises_less() {
    // Items 0 to 3 are of users 0 to 3, all of them; items 4 to 7 are of four users each too, no two items of one user
    // twice.
    let mut history: Vec<Vec<u32>> = vec![vec![0, 1, 2, 3]; 4];
    history.extend([vec![4, 5], vec![4, 6], vec![4, 7], vec![5, 6], vec![5, 7], vec![6, 7]]);
    history.extend([vec![4], vec![5], vec![6], vec![7]]);
    let found = coherence(&held(&history), 8, &[0, 4]).unwrap();
    let [together, apart] = [found[0].unwrap(), found[1].unwrap()];
    assert!((together.surprise - apart.surprise).abs() < 1e-12);
    assert!(together.conditional < 0.5 && apart.conditional > together.conditional + 2.0, "{together:?}, {apart:?}");
}

#[test]
fn threads_change_no_bit() {
    let history = held(&random(200, 90, 50, 9));
    let users: Vec<u32> = (0..200).collect();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| coherence(&history, 90, &users).unwrap())
    };
    assert_eq!(with(1), with(3));
    // Nor does who else is asked for.
    assert_eq!(coherence(&history, 90, &users[150..]).unwrap(), with(1)[150..]);
}

#[test]
fn edges() {
    let none = UserItems::new(0, []).unwrap();
    assert!(coherence(&none, 0, &[]).unwrap().is_empty());
    // A user past the last has no items.
    assert_eq!(coherence(&none, 0, &[5]).unwrap(), [None]);
    let history = UserItems::new(2, [(0, 1), (1, 4), (1, 2)]).unwrap();
    let said = coherence(&history, 4, &[0]).unwrap_err().to_string();
    assert_eq!(said, "eval::coherence: `history[2]` is row 4, but the table has 4 rows");
}

/// Eleven users, of whom two have no coherence and one nothing relevant.
#[test]
fn groups_are_quartiles() {
    let relevant: [&[u32]; 2] = [&[5], &[]];
    let user = |id: u32| RankedUser {
        coherence: (id % 5 != 4).then_some(Coherence {
            // Equal ones stay in their order.
            surprise: f64::from(id / 2),
            conditional: 100.0 - f64::from(id),
        }),
        ranked: if id.is_multiple_of(2) { &[5] } else { &[6] },
        relevant: relevant[usize::from(id == 10)],
        user_dims: id,
        item_dims: f64::from(id) / 2.0,
    };
    let users: Vec<RankedUser<'_>> = (0..11).map(user).collect();
    let report = CoherenceReport::of(&"1,20".parse().unwrap(), &users);
    // Of 0 1 2 3 5 6 7 8, two each.
    let [first, second, third, fourth] = &report.by_surprise;
    assert_eq!((first.bounds, second.bounds), ([0.0, 0.0], [1.0, 1.0]));
    assert_eq!((third.bounds, fourth.bounds), ([2.0, 3.0], [3.0, 4.0]));
    assert_eq!([first, second, third, fourth].map(|of| of.mean_user_dims), [0.5, 2.5, 5.5, 7.5]);
    assert_eq!([first, second, third, fourth].map(|of| of.mean_item_dims), [0.25, 1.25, 2.75, 3.75]);
    assert!(report.groups().all(|of| of.metrics.users == 2 && of.metrics.at(1).recall == 0.5));
    assert_eq!(report.by_conditional[0].bounds, [92.0, 93.0]);
    assert_eq!(report.by_conditional[3].bounds, [99.0, 100.0]);
    assert_eq!((report.too_few.bounds, report.too_few.mean_user_dims), ([0.0, 0.0], 6.5));
    let groups: Vec<UserGroup> = report.groups().cloned().collect();
    assert_eq!(CoherenceReport::of_groups(groups.try_into().unwrap()), report);

    // Fewer users than groups: some have none, and sizes differ by one at most.
    let few = CoherenceReport::of(&Cutoffs::default(), &users[..3]);
    let counts = few.by_surprise.each_ref().map(|of| of.metrics.users);
    assert_eq!(counts, [0, 1, 1, 1]);
    assert_eq!((few.by_surprise[0].bounds, few.by_surprise[0].mean_item_dims), ([0.0, 0.0], 0.0));
    let none = CoherenceReport::of(&Cutoffs::default(), &[]);
    assert!(none.groups().all(|of| of.metrics.users == 0 && of.metrics.at(20).ndcg == 0.0));
}
