//! Baselines on recorded streams: the yardsticks that a recommender is measured with.

#[path = "baselines/metrics.rs"]
mod metrics;
#[path = "common/recorded.rs"]
mod recorded;

use recorded::recorded;
use scall_gpu::eval::{AtCutoff, CatalogueAtCutoff, Cutoffs, Metrics};
use scall_gpu::models::baselines::{Baseline, ItemKnn, Popularity, RecentPopularity};
use scall_gpu::stream::{Cut, Format, Interactions, Segment, cut, read};
use scall_gpu::{Error, follow};

fn baselines() -> [Box<dyn Baseline>; 3] {
    [Box::new(Popularity::default()), Box::new(RecentPopularity::default()), Box::new(ItemKnn::default())]
}

#[test]
fn a_stream_by_hand() {
    // Each user's rows side by side; the last row of each five is test.
    let rows = [
        ["u1 a", "u2 a", "u2 b", "u3 c", "u1 b"],
        ["u3 d", "u4 d", "u4 b", "u5 c", "u5 d"],
        // An item and a user that are new do not count.
        ["u1 d", "u2 d", "u3 b", "u4 a", "u6 e"],
    ];
    let rows = rows.iter().flatten().enumerate().map(|(t, row)| {
        let (user, item) = row.split_once(' ').unwrap();
        (user, item, t as i64)
    });
    let data = Interactions::from_rows(rows).unwrap();
    let segments = cut(&data, Cut::Equal { segments: 3 }).unwrap();
    let cutoffs = Cutoffs::new([3, 5]).unwrap();
    let follow = |baseline: &mut dyn Baseline| follow(&data, &segments, 0.8, &cutoffs, baseline).unwrap();
    let check = |found: &Metrics, rank: f64| {
        let (ndcg, mrr) = (1.0 / (rank + 1.0).log2(), 1.0 / rank);
        assert!(found.users == 1 && found.by_cutoff.keys().eq(&[3, 5, 20]), "{found:?}");
        for (&cutoff, of) in &found.by_cutoff {
            let precision = 1.0 / f64::from(cutoff);
            let expected = AtCutoff { recall: 1.0, ndcg, hit_rate: 1.0, mrr, precision, map: mrr };
            of.values().iter().zip(expected.values()).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} {b}"));
        }
    };
    // Where the right item stands. Segment 0: u1 has a and takes b; rows are a 2, b 1, c 1, and u2 has a and b. Segment
    // 1: u5
    // has c and takes d; rows are a 2, b 3, c 2, d 2, in the segment b 1, c 1, d 2, and u3 has c and d.
    for (baseline, ranks) in baselines().iter_mut().zip([[1.0, 3.0], [1.0, 1.0], [1.0, 1.0]]) {
        let followed = follow(&mut **baseline);
        for t in [0, 1] {
            check(&followed.all_candidates[t], ranks[t]);
            check(&followed.test_candidates[t], 1.0);
        }
        let none = &followed.test_candidates[2];
        assert_eq!((none.users, none.at(5)), (0, AtCutoff::default()), "{}", baseline.name());
        // In segment 1, u5 is offered a, b and d of four items, which have 2, 3 and 2 rows; the test part has d alone.
        let listed = CatalogueAtCutoff { coverage: 0.75, mean_popularity: 7.0 / 3.0, gini: 0.25 };
        let single = CatalogueAtCutoff { coverage: 1.0, mean_popularity: 2.0, gini: 0.0 };
        assert_eq!((followed.all_catalogue[1].at(3), followed.test_catalogue[1].at(3)), (listed, single));
        let mean = followed.summary().unwrap();
        assert_eq!((mean.segments, &mean.all_candidates), (1, &followed.all_candidates[1]));
        assert_eq!(mean.all_catalogue, followed.all_catalogue[1]);
    }
}

#[test]
fn a_share_and_a_cutoff_outside_their_range_are_errors() {
    let data = Interactions::from_rows([("u", "a", 1)]).unwrap();
    let follow = |share, cutoffs: &[u32]| {
        let cutoffs = Cutoffs::new(cutoffs.iter().copied()).unwrap();
        follow(&data, &[Segment { rows: 0..1 }], share, &cutoffs, &mut Popularity::default()).unwrap_err()
    };
    let (share, cutoff) = (follow(1.5, &[5]), follow(0.5, &[5, 101]));
    assert!(matches!(share, Error::Argument { .. }), "{share}");
    assert_eq!(cutoff.to_string(), "follow: `cutoffs` needs 101, the limit `longest list that is ranked` is 100");
}

/// Recall@20 and NDCG@20 of the three baselines on ten equal segments, as other code counts them.
#[test]
fn yardsticks_on_real_streams() {
    let cases = [
        ("online-retail/interactions.csv", Format::Csv, [(0.0481, 0.0469), (0.0822, 0.0831), (0.1053, 0.0952)]),
        (
            "movietweetings-100k/ratings.dat",
            Format::DoubleColon,
            [(0.2046, 0.0926), (0.2939, 0.1610), (0.2066, 0.0918)],
        ),
    ];
    for (name, format, expected) in cases {
        let Some(file) = recorded(name) else { continue };
        let data = read(&file, format).unwrap();
        let segments = cut(&data, Cut::Equal { segments: 10 }).unwrap();
        let mut wrong = Vec::new();
        for (mut baseline, (recall, ndcg)) in baselines().into_iter().zip(expected) {
            let followed = follow(&data, &segments, 0.8, &Cutoffs::default(), &mut *baseline).unwrap();
            let mean = followed.summary().unwrap().test_candidates.at(20);
            let got = (mean.recall, mean.ndcg);
            let close = |got: f64, expected: f64| (got - expected).abs() < 1e-4;
            if !close(got.0, recall) || !close(got.1, ndcg) {
                wrong.push(format!("{}: {got:?}, expected {:?}", baseline.name(), (recall, ndcg)));
            }
        }
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}
