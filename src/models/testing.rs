//! What the tests of models with dense layers share: a small world, rows in f64, comparisons, and what every such model
//! has to pass.

use rand::Rng;

use super::{Embeddings, ItemBias, RankRequest, Recommender, TrainingData};
use crate::device::Buffer;
use crate::rng::{Philox, Purpose};
use crate::sizing::Sizes;
use crate::stream::UserItems;
use crate::table::Account;
use crate::testing::assert_same;

pub(super) const LEARNED: ItemBias = ItemBias::Learned { keep: 0.0 };

/// Who touched what, and the sizes of the rows.
#[derive(Clone)]
pub(super) struct World {
    pub history: UserItems,
    pub sizes: [Vec<u32>; 2],
}

impl World {
    /// User 0 has every item that anybody has, everybody who has any has item 0, the last quarter of the users and
    /// items nothing; sizes from 0 to 9.
    pub fn new(users: u32, items: u32) -> Self {
        let mut rng = Philox::new(users.into(), Purpose::User);
        let (active, open) = (users * 3 / 4, items * 3 / 4);
        let mut pairs: Vec<(u32, u32)> = (0..open).map(|item| (0, item)).collect();
        pairs.extend((0..active).map(|user| (user, 0)));
        pairs.extend((0..users * 4).map(|_| (rng.next_u32() % active.max(1), rng.next_u32() % open.max(1))));
        let sizes = [users, items].map(|n| (0..n).map(|row| (row * 7 + n) % 10).collect());
        Self { history: UserItems::new(users, pairs).unwrap(), sizes }
    }

    pub fn resize(&self, model: &mut dyn Recommender) {
        resize(model, self.sizes.clone());
    }
}

pub(super) fn resize(model: &mut dyn Recommender, [users, items]: [Vec<u32>; 2]) {
    model.embeddings_mut().resize(&Sizes { users, items, action: None }).unwrap();
}

pub(super) fn prepare(model: &mut dyn Recommender, rows: &UserItems, history: &UserItems) {
    let rows: Vec<_> = rows.pairs().collect();
    model.prepare(TrainingData { rows: &rows, history, blocks: None }).unwrap();
}

/// Dense rows in f64, users first; and the items' biases.
#[derive(Clone)]
pub(super) struct Rows {
    pub values: Vec<Vec<f64>>,
    pub biases: Vec<f64>,
    pub users: usize,
}

impl Rows {
    /// Rows of `width`, missing dims zero.
    pub fn of(tables: &Embeddings, width: usize) -> Self {
        let first = usize::from(tables.item_bias());
        let (mut values, mut biases) = (Vec::new(), Vec::new());
        for (table, first) in [(tables.users(), 0), (tables.items(), first)] {
            let all = table.read().unwrap();
            let mut rest = &all[..];
            for size in table.sizes() {
                let (row, behind) = rest.split_at(size as usize);
                rest = behind;
                if first == 1 {
                    biases.push(f64::from(row[0]));
                }
                let mut row: Vec<f64> = row[first..].iter().map(|&v| v.into()).collect();
                row.resize(width, 0.0);
                values.push(row);
            }
        }
        biases.resize(tables.items().rows() as usize, 0.0);
        Self { values, biases, users: tables.users().rows() as usize }
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `ln(1 + e^x)`.
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// User, positive and negative of each triple.
pub(super) fn triples(blocks: &Buffer<u32>) -> Vec<[u32; 3]> {
    let ids = blocks.read().unwrap();
    let batch = ids.len() / 3;
    (0..batch).map(|b| [ids[b], ids[batch + b], ids[2 * batch + b]]).collect()
}

/// Every value within `tolerance` times the largest that is expected.
#[track_caller]
pub(super) fn assert_near(what: &str, got: &[Vec<f32>], want: &[Vec<f64>], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: rows");
    let largest = want.iter().flatten().fold(1e-30f64, |a, b| a.max(b.abs()));
    for (r, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.len(), want.len(), "{what}: width of row {r}");
        for (j, (got, want)) in got.iter().zip(want).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() <= tolerance * largest,
                "{what}: [{r}, {j}] is {got}, expected {want}"
            );
        }
    }
}

/// The same of one column.
#[track_caller]
pub(super) fn assert_near_column(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    let column = |row: &f32| vec![*row];
    let (got, want): (Vec<_>, Vec<_>) = (got.iter().map(column).collect(), want.iter().map(|w| vec![*w]).collect());
    assert_near(what, &got, &want, tolerance);
}

/// `gradient` is the slope of `loss` at `rows`, by central differences in some dims of every row and in every bias.
pub(super) fn assert_is_gradient(rows: &Rows, gradient: &Rows, loss: &dyn Fn(&Rows) -> f64) {
    let central = |change: &dyn Fn(&mut Rows, f64)| {
        let [ahead, behind] = [1e-5, -1e-5].map(|by| {
            let mut moved = rows.clone();
            change(&mut moved, by);
            loss(&moved)
        });
        (ahead - behind) / 2e-5
    };
    for node in 0..rows.values.len() {
        for j in [0, 3, 8] {
            let slope = central(&|rows, by| rows.values[node][j] += by);
            let got = gradient.values[node][j];
            assert!((slope - got).abs() < 1e-8, "row {node}, dim {j}: slope {slope}, gradient {got}");
        }
    }
    for item in 0..rows.biases.len() {
        let slope = central(&|rows, by| rows.biases[item] += by);
        let got = gradient.biases[item];
        assert!((slope - got).abs() < 1e-8, "bias {item}: slope {slope}, gradient {got}");
    }
}

/// The values of both tables.
pub(super) fn values(model: &dyn Recommender) -> Vec<f32> {
    let tables = model.embeddings();
    [tables.users(), tables.items()].map(|table| table.read().unwrap()).concat()
}

/// Two tastes: users like the items of their own parity; some of each user's are held back.
fn tastes() -> (UserItems, UserItems) {
    let mut rng = Philox::new(7, Purpose::User);
    let pairs: Vec<(u32, u32)> = (0..80 * 14).map(|n| (n % 80, rng.next_u32() % 60 * 2 + n % 2)).collect();
    let (known, held) = pairs.split_at(80 * 10);
    let known = UserItems::new(80, known.iter().copied()).unwrap();
    let held: Vec<_> = held.iter().copied().filter(|&(u, i)| !known.contains(u, i)).collect();
    (known, UserItems::new(80, held).unwrap())
}

fn recall(model: &mut dyn Recommender, known: &UserItems, held: &UserItems) -> f64 {
    let (users, candidates): (Vec<u32>, Vec<u32>) = ((0..80).collect(), (0..120).collect());
    let excluded = |user: u32| known.row(user);
    let request = RankRequest {
        users: &users,
        candidates: &candidates,
        excluded: &excluded,
        k: 20,
        item_biases: None,
        scores: false,
    };
    let rankings = model.rank(request).unwrap();
    let part: Vec<u32> = candidates.iter().copied().filter(|id| id % 7 < 3).collect();
    let of_part = RankRequest { candidates: &part, ..request };
    let both = model.rank_both(request, &part).unwrap();
    assert_eq!(both, [model.rank(of_part).unwrap(), rankings.clone()]);
    let hits: usize =
        rankings.iter().zip(&users).map(|(list, &u)| list.iter().filter(|&&i| held.contains(u, i)).count()).sum();
    hits as f64 / held.len() as f64
}

/// A model without rows learns planted tastes; its copies, and itself when its rows are put back, rank alike.
pub(super) fn assert_finds_tastes(what: &str, model: &mut dyn Recommender) {
    let (known, held) = tastes();
    resize(model, [vec![6; 80], vec![5; 120]]);
    prepare(model, &known, &known);
    let untrained = recall(model, &known, &held);
    let first = model.train(1, &mut |_| {}).unwrap();
    let mut heard = 0;
    let last = model.train(60, &mut |now| heard += now).unwrap();
    assert_eq!(heard, 60);
    assert!((first - f32::ln(2.0)).abs() < 0.05 && last < 0.8 * first, "{what}: loss {first} then {last}");
    let trained = recall(model, &known, &held);
    // Of some 110 open items 20 are listed; half of all are to a user's taste.
    assert!(trained > 0.25 && trained > untrained, "{what}: {untrained} then {trained}");
    let snapshot = model.embeddings().snapshot().unwrap();
    model.train(20, &mut |_| {}).unwrap();
    model.embeddings_mut().restore(&snapshot).unwrap();
    assert_eq!(recall(model, &known, &held), trained);

    let (account, used) = (Account::unlimited(), model.embeddings().users().account().used_bytes());
    let mut copy = model.duplicate(&account).unwrap();
    assert_eq!([account.used_bytes(), model.embeddings().users().account().used_bytes()], [used; 2], "{what}");
    let request = RankRequest {
        users: &[3, 4],
        candidates: &[1, 2, 3, 4, 5, 6],
        excluded: &|_| &[],
        k: 6,
        item_biases: None,
        scores: false,
    };
    assert_eq!(copy.rank(request).unwrap(), model.rank(request).unwrap());
    // Three dense copies of the rows, eight wide.
    assert!(model.working_bytes() > 12 * 200 * 8 && copy.working_bytes() < model.working_bytes());
    assert!(copy.working_bytes() > 0);
    // What the copy learns is its own.
    let before = values(model);
    prepare(&mut *copy, &known, &known);
    copy.train(2, &mut |_| {}).unwrap();
    assert_ne!(values(&*copy), before);
    assert_same(what, &values(model), &before);
}

/// A trained model of `world`, its items with biases, gets two users and three items more, all rows 4 dims, and ranks
/// by `scores(world, rows, user)`; then it learns on.
pub(super) fn assert_survives_a_resize(
    model: &mut dyn Recommender,
    world: &World,
    scores: &dyn Fn(&World, &Rows, usize) -> Vec<f64>,
) {
    let before = Rows::of(model.embeddings(), 16);
    let (users, items) = (world.sizes[0].len(), world.sizes[1].len());
    let grown = World { sizes: [vec![4; users + 2], vec![4; items + 3]], ..world.clone() };
    grown.resize(model);
    let after = Rows::of(model.embeddings(), 16);
    for (side, rows, at) in [(0, users, [0, 0]), (1, items, [users, users + 2])] {
        for row in 0..rows {
            let kept = (world.sizes[side][row] as usize).min(4);
            assert_eq!(before.values[at[0] + row][..kept], after.values[at[1] + row][..kept], "{side} {row}");
        }
    }
    assert_eq!(before.biases[..], after.biases[..items]);
    // A newcomer, and the user who has everything.
    let asked = [users as u32 + 1, 0];
    let candidates: Vec<u32> = (0..items as u32 + 3).collect();
    let request = RankRequest {
        users: &asked,
        candidates: &candidates,
        excluded: &|_| &[],
        k: items as u32 + 3,
        item_biases: None,
        scores: false,
    };
    let rankings = model.rank(request).unwrap();
    for (list, user) in rankings.iter().zip(asked) {
        let scores = scores(&grown, &after, user as usize);
        let listed: Vec<f64> = list.iter().map(|&item| scores[item as usize]).collect();
        assert_eq!(listed.len(), items + 3);
        assert!(listed.windows(2).all(|pair| pair[0] >= pair[1] - 1e-6), "{user}: {listed:?}");
        assert!(listed[0] > listed[items + 2], "{user}: all the same");
    }
    prepare(model, &world.history, &world.history);
    assert!(model.train(3, &mut |_| {}).unwrap() > 0.0);
}

/// A model without rows has nothing to rank and nothing to learn; without training rows it stays as it is; and a user
/// who touched everything teaches nothing.
pub(super) fn assert_bears_nothing_to_learn(model: &mut dyn Recommender, world: &World) {
    let users = world.sizes[0].len() as u32;
    let nothing = UserItems::new(users, []).unwrap();
    let request =
        |users| RankRequest { users, candidates: &[], excluded: &|_| &[], k: 3, item_biases: None, scores: false };
    assert!(model.rank(request(&[u32::MAX])).unwrap().user(0).is_empty());
    assert_eq!(model.train(5, &mut |_| {}).unwrap(), 0.0);

    world.resize(model);
    for history in [&nothing, &world.history] {
        prepare(model, &nothing, history);
        let before = values(model);
        assert_eq!(model.train(5, &mut |_| {}).unwrap(), 0.0);
        assert_same("values", &values(model), &before);
        let asked = [0, users - 1, u32::MAX];
        let request = RankRequest {
            users: &asked,
            candidates: &[2, 15],
            excluded: &|_| &[],
            k: 2,
            item_biases: None,
            scores: false,
        };
        let rankings = model.rank(request).unwrap();
        assert!(rankings.iter().all(|list| list.len() == 2));
    }
    // The only user of the segment touched all of its items: no negative, no loss.
    let all = UserItems::new(users, (0..12).map(|item| (0, item))).unwrap();
    prepare(model, &all, &world.history);
    assert_eq!(model.train(3, &mut |_| {}).unwrap(), 0.0);
    assert!(values(model).iter().all(|v| v.is_finite()));
}
