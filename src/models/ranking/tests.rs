use super::*;
use crate::rows::Layout;
use crate::rows::StateSize;
use crate::testing::{devices, layouts, rows_of, signed, takes};

/// Ragged tables of small integers, so that every score is exact and many are tied.
#[derive(Clone)]
struct Model {
    users: Vec<Vec<f32>>,
    items: Vec<Vec<f32>>,
    excluded: Vec<Vec<u32>>,
    /// In place of those in the rows.
    biases: Option<Vec<f32>>,
}

impl Model {
    fn new(users: usize, items: usize) -> Self {
        let row = |size: usize, salt: u32| signed(size, salt).iter().map(|v| v.round()).collect::<Vec<f32>>();
        Self {
            users: (0..users).map(|u| row(u * 7 % 12, u as u32)).collect(),
            items: (0..items).map(|i| row(i * 5 % 14, 1000 + i as u32)).collect(),
            // Descending, and with ids that are no candidates.
            excluded: (0..users as u32)
                .map(|u| (0..items as u32).rev().filter(|i| (i + u) % 5 < u % 3).collect())
                .collect(),
            biases: None,
        }
    }

    fn rank(&self, device: &Device, users: &[u32], candidates: &[u32], settings: Settings) -> Result<Rankings> {
        self.with_rows(device, (users, candidates), settings, |ranking| ranking.run(device))
    }

    fn rank_both(
        &self,
        device: &Device,
        (users, candidates): (&[u32], &[u32]),
        part: &[u32],
        settings: Settings,
    ) -> Result<[Rankings; 2]> {
        self.with_rows(device, (users, candidates), settings, |ranking| ranking.run_both(device, part))
    }

    fn with_rows<T>(
        &self,
        device: &Device,
        (users, candidates): (&[u32], &[u32]),
        settings: Settings,
        run: impl FnOnce(RankCandidates<'_, '_>) -> T,
    ) -> T {
        let table = |rows: &[Vec<f32>]| {
            let sizes: Vec<u32> = rows.iter().map(|row| row.len() as u32).collect();
            rows_of(device, &sizes, &rows.concat(), settings.layout, StateSize::default())
        };
        let (user_rows, item_rows) = (table(&self.users), table(&self.items));
        run(RankCandidates {
            users: &user_rows,
            items: &item_rows,
            item_bias: settings.item_bias,
            dims: settings.dims,
            request: RankRequest {
                users,
                candidates,
                excluded: &|user| self.excluded.get(user as usize).map_or(&[], |ids| &ids[..]),
                k: settings.k,
                item_biases: self.biases.as_deref(),
                scores: true,
            },
            working_bytes: settings.working_bytes,
        })
    }

    /// All scores in f64, sorted.
    fn oracle(&self, user: u32, candidates: &[u32], settings: Settings) -> Vec<u32> {
        let score = |item: u32| -> f64 {
            let (bias, embedding) = match &self.items[item as usize][..] {
                [bias, rest @ ..] if settings.item_bias => (*bias, rest),
                row => (0.0, row),
            };
            let bias = match &self.biases {
                Some(biases) if settings.item_bias => biases[item as usize],
                _ => bias,
            };
            let products = self.users[user as usize].iter().zip(embedding).take(settings.dims as usize);
            f64::from(bias) + products.map(|(u, i)| f64::from(*u) * f64::from(*i)).sum::<f64>()
        };
        let mut ranked: Vec<u32> =
            candidates.iter().copied().filter(|item| !self.excluded[user as usize].contains(item)).collect();
        ranked.sort_by(|a, b| score(*b).partial_cmp(&score(*a)).unwrap().then(a.cmp(b)));
        ranked.truncate(settings.k as usize);
        ranked
    }
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    item_bias: bool,
    dims: u32,
    k: u32,
    working_bytes: usize,
    /// The values are small whole numbers: f16 has them exactly.
    layout: Layout,
}

#[test]
fn matches_a_naive_ranking() {
    let model = Model::new(12, 400);
    let all: Vec<u32> = (0..400).collect();
    let some: Vec<u32> = (0..400).filter(|i| i % 11 < 4).collect();
    let users: Vec<u32> = (0..12).rev().chain([3, 3]).collect();
    for device in devices() {
        for candidates in [&all[..], &some, &all[..1], &[]] {
            for (item_bias, dims, k) in [(true, 12, 20), (false, 12, 100), (true, 3, 1), (false, 0, 5)] {
                // One tile and block; many; one candidate and one user each.
                for working_bytes in [DEFAULT_WORKING_BYTES, 10_000, 0] {
                    if working_bytes == 0 && (candidates.len() > 300 || k > 20) {
                        continue;
                    }
                    let settings = Settings { item_bias, dims, k, working_bytes, layout: Layout::default() };
                    assert_ranks(&model, &device, (&users, candidates), settings);
                }
            }
        }
        for layout in layouts(64) {
            let settings = Settings { item_bias: true, dims: 12, k: 20, working_bytes: 10_000, layout };
            assert_ranks(&model, &device, (&users, &some), settings);
        }
        let settings = Settings { item_bias: true, dims: 4, k: 5, working_bytes: 100, layout: Layout::default() };
        assert!(model.rank(&device, &[], &all, settings).unwrap().is_empty());
    }
}

fn assert_ranks(model: &Model, device: &Device, (users, candidates): (&[u32], &[u32]), settings: Settings) {
    let rankings = model.rank(device, users, candidates, settings).unwrap();
    assert_eq!(rankings.len(), users.len());
    for (list, &user) in rankings.iter().zip(users) {
        assert_eq!(list, model.oracle(user, candidates, settings), "user {user} {settings:?}");
    }
}

/// Values that are not exact: the same bits all the same, with ties between items of one row.
#[test]
fn both_lists_of_one_run_are_those_of_two() {
    let mut model = Model::new(12, 400);
    for (id, row) in model.users.iter_mut().chain(&mut model.items).enumerate() {
        let len = row.len();
        *row = signed(len, (id % 150) as u32);
    }
    let all: Vec<u32> = (0..400).collect();
    let pick = |keep: fn(u32) -> bool| -> Vec<u32> { all.iter().copied().filter(|id| keep(*id)).collect() };
    let (some, few, one) = (pick(|i| i % 11 < 4), pick(|i| i % 37 == 3), pick(|i| i == 399));
    let users: Vec<u32> = (0..12).rev().chain([3, u32::MAX]).collect();
    let with_biases = Model { biases: Some(signed(400, 9)), ..model.clone() };
    for device in devices() {
        for (model, item_bias) in [(&model, true), (&model, false), (&with_biases, true)] {
            for (candidates, part) in
                [(&all, &some), (&all, &one), (&all, &all), (&all, &vec![]), (&few, &few), (&vec![], &vec![])]
            {
                for working_bytes in [DEFAULT_WORKING_BYTES, 10_000] {
                    let settings = Settings { item_bias, dims: 12, k: 20, working_bytes, layout: Layout::default() };
                    let [of_part, of_all] = model.rank_both(&device, (&users, candidates), part, settings).unwrap();
                    // What is ranked among a part comes without scores.
                    let alone = model.rank(&device, &users, part, settings).unwrap();
                    assert!(of_part.iter().eq(alone.iter()));
                    assert_eq!((0..users.len()).find_map(|user| of_part.scores(user)), None);
                    assert_eq!(of_all, model.rank(&device, &users, candidates, settings).unwrap());
                }
            }
        }
    }
    let settings = Settings { item_bias: true, dims: 4, k: 5, working_bytes: 100, layout: Layout::default() };
    for part in [&[3, 7][..], &[14, 3], &[3, 3]] {
        let error = model.rank_both(&Device::cpu(), (&users, &some), part, settings).unwrap_err();
        assert!(matches!(error, Error::Argument { arg: "part", .. }), "{error}");
    }
}

/// One tile and many, candidates with gaps, items without a row; and models without biases pass them over.
#[test]
fn biases_of_the_request_stand_in_for_those_of_the_rows() {
    let model =
        Model { biases: Some(signed(400, 77).iter().map(|v| (20.0 * v).round()).collect()), ..Model::new(12, 400) };
    let all: Vec<u32> = (0..400).collect();
    let some: Vec<u32> = (0..400).filter(|i| i % 11 < 4).collect();
    let users: Vec<u32> = (0..12).collect();
    for device in devices() {
        for (_, layout) in (2..).zip(layouts(64)).filter(|(number, _)| takes(&device, *number)) {
            for (candidates, working_bytes) in
                [(&all[..], DEFAULT_WORKING_BYTES), (&some, 4_000), (&some, 100), (&[], 0)]
            {
                for (item_bias, dims) in [(true, 12), (true, 0), (false, 12)] {
                    let settings = Settings { item_bias, dims, k: 20, working_bytes, layout };
                    assert_ranks(&model, &device, (&users, candidates), settings);
                }
            }
        }
    }
    let settings = Settings { item_bias: true, dims: 4, k: 5, working_bytes: 100, layout: Layout::default() };
    let short = Model { biases: Some(vec![0.0; 399]), ..model };
    let error = short.rank(&Device::cpu(), &[0], &all, settings).unwrap_err().to_string();
    assert_eq!(error, "models/rank_candidates: `item_biases` has length 399, expected 400");
    assert!(short.rank(&Device::cpu(), &[0], &all, Settings { item_bias: false, ..settings }).is_ok());
}

#[test]
fn bad_arguments_are_errors() {
    let model = Model::new(3, 5);
    let settings = Settings { item_bias: true, dims: 4, k: 5, working_bytes: 100, layout: Layout::default() };
    let rank = |users: &[u32], candidates: &[u32], settings| {
        model.rank(&Device::cpu(), users, candidates, settings).unwrap_err()
    };
    assert!(matches!(rank(&[0, 3], &[0], settings), Error::IdOutOfRange { arg: "users", position: 1, id: 3, .. }));
    assert!(matches!(rank(&[0], &[0, 5], settings), Error::IdOutOfRange { arg: "candidates", id: 5, rows: 5, .. }));
    assert!(matches!(rank(&[0], &[2, 1], settings), Error::Argument { arg: "candidates", .. }));
    assert!(matches!(rank(&[0], &[1], Settings { k: 101, ..settings }), Error::Argument { arg: "k", .. }));
    assert!(matches!(rank(&[0], &[1], Settings { dims: 9000, ..settings }), Error::Limit { arg: "dims", .. }));
}
